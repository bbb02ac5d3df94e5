"""Build the arrays of an assignment from counts, sizes or rows.

Returns plain arrays, which `Assignment` seals: this package must not import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._split.dealing import deal
from flskew._split.labels import LabelColumn, read_labels
from flskew._split.names import is_partition_name
from flskew._split.streams import Streams
from flskew.typing import Classes, Counts, Edges, Holders, LabelCounts, Labels, Offsets, Rows, Sizes

__all__ = ["Parts", "deal_counts", "deal_sizes", "keep_held", "labels_of", "stored_parts", "with_labels"]


class Parts(NamedTuple):
    """The arrays of an assignment, shared only with other assignments.

    Attributes:
        rows: The rows of all partitions, one partition after the other.
        offsets: (num_partitions + 1,) where each partition begins in `rows`.
        unassigned: The rows of no partition, in increasing order.
        classes: (num_classes,) the distinct labels; None, like all arrays about classes, without labels.
        label_counts: (num_partitions, num_classes) rows of each class in each partition.
        class_totals: (num_classes,) rows of each class, assigned or not.
        edges: (num_classes - 1,) boundaries of the classes if they are bins.
        names: (num_partitions,) the name of each partition; None if they have none.
        natural_ids: (num_ids,) the natural ids by which rows were split, in the order of their partitions; an id occurs
            once for each of its partitions. None for other splits.
        natural_id_partitions: (num_ids,) the partition of each natural id; -1 if its rows are unassigned.
        shift: () what clients see differently, as the expression that makes it; None if all see the data as they are.
    """

    rows: Rows
    offsets: Offsets
    unassigned: Rows
    classes: Classes | None = None
    label_counts: LabelCounts | None = None
    class_totals: Sizes | None = None
    edges: Edges | None = None
    names: NDArray[np.str_] | None = None
    natural_ids: Classes | None = None
    natural_id_partitions: NDArray[np.int64] | None = None
    shift: NDArray[np.str_] | None = None


def deal_counts(column: LabelColumn, counts: Counts, streams: Streams, *, shuffle: bool) -> Parts:
    """Draw the rows that (num_classes, num_partitions) counts ask for."""
    dealt = deal(column, counts, streams, shuffle=shuffle)
    return _described(Parts(*dealt), column, np.array(counts.T, dtype=np.int64, order="C"))


def deal_sizes(num_rows: int, sizes: Sizes, column: LabelColumn | None, streams: Streams, *, shuffle: bool) -> Parts:
    """Draw (num_partitions,) numbers of rows regardless of their classes, then count the classes drawn."""
    one_class = LabelColumn(np.zeros(num_rows, dtype=np.uint8), np.array([0]))
    return with_labels(Parts(*deal(one_class, sizes[None], streams, shuffle=shuffle)), column)


def with_labels(parts: Parts, column: LabelColumn | None) -> Parts:
    """Count the classes of each partition, if there are labels."""
    if column is None:
        return parts
    counts = np.empty((len(parts.offsets) - 1, len(column.classes)), dtype=np.int64)
    for partition_id, (start, stop) in enumerate(pairwise(parts.offsets)):
        counts[partition_id] = np.bincount(column.codes[parts.rows[start:stop]], minlength=len(column.classes))
    return _described(parts, column, counts)


def labels_of(parts: Parts, labels: Labels | None) -> LabelColumn | None:
    """Read the labels of all rows, which must be those that the split was made with, if it was made with any.

    Raises:
        ValueError: There is not one label per row, or the counts differ.
    """
    if labels is None:
        return None
    column, num_rows = read_labels(labels, edges=parts.edges), len(parts.rows) + len(parts.unassigned)
    if len(column) != num_rows:
        raise ValueError(f"labels must be one per row of the data set, got {len(column)} for {num_rows} rows")
    if parts.classes is not None:
        read = with_labels(parts, column)
        same = (np.array_equal(getattr(read, name), getattr(parts, name)) for name in ("classes", "label_counts"))
        if not all(same):
            raise ValueError(
                "labels must be those that the assignment was made with, in the same order, but their counts differ"
            )
    return column


def keep_held(parts: Parts, may_hold: Holders, column: LabelColumn) -> Parts:
    """Unassign the rows that their partition must not hold."""
    num_partitions = len(parts.offsets) - 1
    holder = np.repeat(np.arange(num_partitions), np.diff(parts.offsets))
    kept = may_hold[column.codes[parts.rows], holder]
    offsets = np.concatenate(([0], np.cumsum(np.bincount(holder[kept], minlength=num_partitions))))
    return with_labels(Parts(parts.rows[kept], offsets, np.sort(parts.rows[~kept])), column)


def stored_parts(arrays: Mapping[str, NDArray[Any]]) -> Parts:
    """Check arrays that come from a file, which anyone may have written.

    Raises:
        ValueError: They are not those of an assignment; the error says which rule they break.
    """
    about_rows, about_classes = ("rows", "offsets", "unassigned"), ("classes", "label_counts", "class_totals")
    about_ids = ("natural_ids", "natural_id_partitions")
    has_classes, has_ids = "classes" in arrays, "natural_ids" in arrays
    wanted = {*about_rows, *(about_classes if has_classes else ()), *(about_ids if has_ids else ())}
    allowed = wanted | {"names", "shift"} | ({"edges"} if has_classes else set())
    _rule(wanted <= set(arrays) <= allowed, "it has other arrays")
    for name in sorted(wanted - {"classes", "natural_ids"}):
        _rule(arrays[name].dtype == np.int64, f"{name} must be int64, not {arrays[name].dtype}")
        _rule(arrays[name].ndim == 1 + (name == "label_counts"), f"{name} must have another number of dimensions")
    parts = Parts(**arrays)
    rows, offsets, unassigned = parts.rows, parts.offsets, parts.unassigned
    num_rows = len(rows) + len(unassigned)
    _rule(len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == len(rows), "offsets must lead from 0 to the last row")
    _rule((offsets[1:] >= offsets[:-1]).all(), "offsets must not decrease")
    is_there = np.zeros(num_rows, dtype=np.bool_)
    for held in (rows, unassigned):
        _rule(((held >= 0) & (held < num_rows)).all(), f"rows must be in 0 ... {num_rows - 1}")
        is_there[held] = True
    _rule(is_there.all(), "each row must be there once")
    _rule((unassigned[1:] > unassigned[:-1]).all(), "unassigned rows must increase")
    if parts.classes is not None and parts.label_counts is not None and parts.class_totals is not None:
        _check_classes(parts.classes, parts.edges)
        counts, totals, num_classes = parts.label_counts, parts.class_totals, len(parts.classes)
        _rule(counts.shape == (len(offsets) - 1, num_classes) and totals.shape == (num_classes,), "one count per class")
        _rule(((counts >= 0) & (counts <= num_rows)).all(), f"class counts must be in 0 ... {num_rows}")
        _rule(((totals >= 0) & (totals <= num_rows)).all(), f"class counts must be in 0 ... {num_rows}")
        _rule((counts.sum(axis=1) == np.diff(offsets)).all(), "class counts must sum to the sizes of the partitions")
        _rule(totals.sum() == num_rows and (counts.sum(axis=0) <= totals).all(), "class counts must sum to the rows")
    if parts.names is not None:
        _check_names(parts.names, len(offsets) - 1)
    if parts.natural_ids is not None and parts.natural_id_partitions is not None:
        _check_natural_ids(parts.natural_ids, parts.natural_id_partitions, len(offsets) - 1)
    if parts.shift is not None:
        _rule(parts.shift.dtype.kind == "U" and parts.shift.shape == (), "a shift must be a string")
    return parts


def _check_names(names: NDArray[Any], num_partitions: int) -> None:
    _rule(names.dtype.kind == "U" and names.shape == (num_partitions,), "names must be one string per partition")
    texts = names.tolist()
    _rule(all(map(is_partition_name, texts)), "names must be printable in one line")
    _rule(len(set(texts)) == len(texts), "names must be distinct")


def _check_natural_ids(natural_ids: NDArray[Any], partitions: NDArray[np.int64], num_partitions: int) -> None:
    _check_labels("natural_ids", natural_ids)
    held = list(zip(natural_ids.tolist(), partitions.tolist(), strict=False))
    _rule(len(set(held)) == len(natural_ids) == len(partitions), "natural ids of a partition must be distinct")
    _rule(((partitions >= -1) & (partitions < num_partitions)).all(), "natural ids must be in partitions that exist")


def _check_labels(name: str, labels: NDArray[Any]) -> None:
    _rule(labels.ndim == 1 and labels.dtype.kind in "iuUb", f"{name} must be integers, strings or booleans")


def _check_classes(classes: NDArray[Any], edges: Edges | None) -> None:
    _check_labels("classes", classes)
    _rule((classes[1:] > classes[:-1]).all(), "classes must increase")
    if edges is not None:
        _rule(edges.dtype in (np.float64, np.dtype("M8[us]")), "edges must be numbers or dates")
        _rule(edges.shape == (len(classes) - 1,) and (edges == edges).all(), "edges must lie between the classes")
        _rule(np.array_equal(edges, np.unique(edges)), "edges must increase")


def _rule(holds: bool | np.bool_, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _described(parts: Parts, column: LabelColumn, label_counts: LabelCounts) -> Parts:
    """Add what is known about the classes. Arrays are copied, because sealing would freeze those of the column."""
    edges = None if column.edges is None else column.edges.copy()
    return parts._replace(
        classes=column.classes.copy(), label_counts=label_counts, class_totals=column.sizes.copy(), edges=edges
    )
