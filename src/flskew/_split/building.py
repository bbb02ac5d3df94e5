"""Build the arrays of an assignment from counts, sizes or rows.

Returns plain arrays, which `Assignment` seals: this package must not import it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import meet_minimum
from flskew._split.dealing import assemble, check_counts, deal, stable_order
from flskew._split.labels import LabelColumn
from flskew._split.multi_label import AnyColumn, MultiLabelColumn
from flskew._split.multi_reading import read_any_labels
from flskew._split.stratifying import proportional, raise_to_minimum, stratify
from flskew._split.streams import Streams
from flskew.typing import Classes, Counts, Edges, Holders, LabelCounts, Labels, MultiLabels, Offsets, Rows, Sizes

__all__ = ["Parts", "deal_counts", "deal_sizes", "deal_targets", "keep_held", "labels_of", "with_labels"]
__all__ += ["without_classes"]


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
        joint_labels: (num_classes,) number of labels, summed over all rows that have each label; None if each row has
            one label.
        label_targets: (num_partitions, num_classes) rows of each class that the scheme aimed for, if rows may have
            several labels; None if it had no targets.
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
    joint_labels: Sizes | None = None
    label_targets: LabelCounts | None = None


def deal_counts(column: LabelColumn, counts: Counts, streams: Streams, *, shuffle: bool) -> Parts:
    """Draw the rows that (num_classes, num_partitions) counts ask for."""
    dealt = deal(column, counts, streams, shuffle=shuffle)
    return _described(Parts(*dealt), column, np.array(counts.T, dtype=np.int64, order="C"))


def deal_targets(
    column: MultiLabelColumn,
    targets: Counts,
    streams: Streams,
    *,
    shuffle: bool,
    sizes: Sizes | None = None,
    minimum: int = 0,
    may_hold: Holders | None = None,
    strict: bool = True,
) -> Parts:
    """Draw rows with several labels, so that partitions come close to (num_classes, num_partitions) targets.

    Args:
        column: The labels.
        targets: Labels to hand out, as in `deal`; the remaining ones of a class are unassigned.
        streams: Source of the random numbers.
        shuffle: Whether the rows of a partition are in random order or in the order of the data set.
        sizes: (num_partitions + 1,) numbers in proportion to which the partitions, and the last for none, should have
            rows; None for the number of their labels.
        minimum: Rows that each partition needs.
        may_hold: (num_classes, num_partitions) the partitions that may hold rows with each label; None for all.
        strict: Whether rows that no partition may hold are unassigned, or go to any.
    """
    check_counts(targets, column.entries)
    num_partitions = targets.shape[1]
    wanted = np.hstack([targets.astype(np.int64), (column.sizes - targets.sum(axis=1))[:, None]])
    shares = wanted.sum(axis=0) if sizes is None else sizes
    if not shares.any():  # No row has a label.
        shares = np.append(np.ones(num_partitions, dtype=np.int64), 0)
    # The unassigned rows are like one more partition.
    used = num_partitions + int(shares[-1] > 0 or wanted[:, -1].any())
    room = proportional(shares[:used], len(column), streams("row sizes"))
    if used == num_partitions:
        room = meet_minimum(room[None], minimum, streams("minimum"))[0]
    elif may_hold is not None:
        may_hold = np.hstack([may_hold, np.ones((len(may_hold), 1), dtype=np.bool_)])
    holder = stratify(column, wanted[:, :used], room, streams, may_hold=may_hold, strict=strict)
    holder[holder < 0] = num_partitions
    holder = raise_to_minimum(holder, num_partitions, minimum, streams("minimum rows"))
    source = stable_order(holder.astype(np.min_scalar_type(num_partitions)), num_partitions + 1)
    blocks = np.bincount(holder, minlength=num_partitions + 1)[None]
    parts = with_labels(Parts(*assemble(source, blocks, streams, shuffle=shuffle)), column)
    return parts._replace(label_targets=np.array(targets.T, dtype=np.int64, order="C"))


def deal_sizes(num_rows: int, sizes: Sizes, column: AnyColumn | None, streams: Streams, *, shuffle: bool) -> Parts:
    """Draw (num_partitions,) numbers of rows regardless of their classes, then count the classes drawn."""
    one_class = LabelColumn(np.zeros(num_rows, dtype=np.uint8), np.array([0]))
    return with_labels(Parts(*deal(one_class, sizes[None], streams, shuffle=shuffle)), column)


def with_labels(parts: Parts, column: AnyColumn | None) -> Parts:
    """Count the classes of each partition, if there are labels."""
    if column is None:
        return parts
    if isinstance(column, MultiLabelColumn):
        return _with_several(parts, column)
    counts = np.empty((len(parts.offsets) - 1, len(column.classes)), dtype=np.int64)
    for partition_id, (start, stop) in enumerate(pairwise(parts.offsets)):
        counts[partition_id] = np.bincount(column.codes[parts.rows[start:stop]], minlength=len(column.classes))
    return _described(parts, column, counts)


def _with_several(parts: Parts, column: MultiLabelColumn) -> Parts:
    num_partitions, num_classes = len(parts.offsets) - 1, len(column.classes)
    holder = _holder(parts, len(column))[column.rows]
    # The last partition is that of the unassigned rows.
    shape = num_partitions + 1, num_classes
    cells = np.bincount(holder * num_classes + column.indices, minlength=shape[0] * shape[1]).reshape(shape)
    lengths = np.diff(column.indptr)[column.rows]
    joint = np.bincount(column.indices, weights=lengths, minlength=num_classes).astype(np.int64)
    return _described(parts, column, cells[:-1].copy())._replace(joint_labels=joint)


def labels_of(parts: Parts, labels: Labels | MultiLabels | None) -> AnyColumn | None:
    """Read the labels of all rows, which must be those that the split was made with, if it was made with any.

    Raises:
        ValueError: There is not one label per row, or the counts differ.
    """
    if labels is None:
        return None
    column, num_rows = read_any_labels(labels, edges=parts.edges), len(parts.rows) + len(parts.unassigned)
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


def keep_held(parts: Parts, may_hold: Holders, column: AnyColumn) -> Parts:
    """Unassign the rows that their partition must not hold, because of any of their labels."""
    num_partitions = len(parts.offsets) - 1
    holder = np.repeat(np.arange(num_partitions), np.diff(parts.offsets))
    if isinstance(column, MultiLabelColumn):
        holds = np.hstack([may_hold, np.ones((len(may_hold), 1), dtype=np.bool_)])
        wrong = ~holds[column.indices, _holder(parts, len(column))[column.rows]]
        kept = ~np.isin(parts.rows, column.rows[wrong])
    else:
        kept = may_hold[column.codes[parts.rows], holder]
    offsets = np.concatenate(([0], np.cumsum(np.bincount(holder[kept], minlength=num_partitions))))
    return with_labels(Parts(parts.rows[kept], offsets, np.sort(parts.rows[~kept])), column)


def without_classes(parts: Parts) -> Parts:
    """Return the split without anything about classes."""
    return parts._replace(
        classes=None, label_counts=None, class_totals=None, edges=None, joint_labels=None, label_targets=None
    )


def _holder(parts: Parts, num_rows: int) -> NDArray[np.int64]:
    """(num_rows,) the partition of each row; `num_partitions` for an unassigned one."""
    num_partitions = len(parts.offsets) - 1
    holder = np.full(num_rows, num_partitions, dtype=np.int64)
    holder[parts.rows] = np.repeat(np.arange(num_partitions), np.diff(parts.offsets))
    return holder


def _described(parts: Parts, column: AnyColumn, label_counts: LabelCounts) -> Parts:
    """Add what is known about the classes. Arrays are copied, because sealing would freeze those of the column."""
    edges = None if column.edges is None else column.edges.copy()
    return parts._replace(
        classes=column.classes.copy(),
        label_counts=label_counts,
        class_totals=column.sizes.copy(),
        edges=edges,
        joint_labels=None,
        label_targets=None,
    )
