"""Check the arrays of an assignment that come from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.building import Parts
from flskew._split.names import is_partition_name
from flskew.typing import Edges, LabelCounts, Sizes

__all__ = ["stored_parts"]


def stored_parts(arrays: Mapping[str, NDArray[Any]]) -> Parts:
    """Check arrays that come from a file, which anyone may have written.

    Raises:
        ValueError: They are not those of an assignment; the error says which rule they break.
    """
    about_rows, about_classes = ("rows", "offsets", "unassigned"), ("classes", "label_counts", "class_totals")
    about_ids = ("natural_ids", "natural_id_partitions")
    has_classes, has_ids = "classes" in arrays, "natural_ids" in arrays
    wanted = {*about_rows, *(about_classes if has_classes else ()), *(about_ids if has_ids else ())}
    allowed = wanted | {"names", "shift"} | ({"edges", "joint_labels", "label_targets"} if has_classes else set())
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
        _rule((counts.sum(axis=0) <= totals).all(), "class counts must not exceed the rows of the class")
        if parts.joint_labels is None:
            _rule(
                (counts.sum(axis=1) == np.diff(offsets)).all(), "class counts must sum to the sizes of the partitions"
            )
            _rule(totals.sum() == num_rows, "class counts must sum to the rows")
        else:
            _rule((counts <= np.diff(offsets)[:, None]).all(), "class counts must not exceed the size of the partition")
        _check_several(parts)
    if parts.names is not None:
        _check_names(parts.names, len(offsets) - 1)
    if parts.natural_ids is not None and parts.natural_id_partitions is not None:
        _check_natural_ids(parts.natural_ids, parts.natural_id_partitions, len(offsets) - 1)
    if parts.shift is not None:
        _rule(parts.shift.dtype.kind == "U" and parts.shift.shape == (), "a shift must be a string")
    return parts


def _check_several(parts: Parts) -> None:
    joint, targets, totals = parts.joint_labels, parts.label_targets, cast("Sizes", parts.class_totals)
    if joint is None:
        _rule(targets is None, "only rows with several labels have label_targets")
        return
    _rule(parts.edges is None, "bins have one label per row")
    counts = cast("LabelCounts", parts.label_counts)
    _rule(joint.dtype == np.int64 and joint.shape == totals.shape, "joint_labels must be one integer per class")
    _rule(((joint >= totals) & (joint <= totals * len(totals))).all(), "joint_labels must be at least 1 for each row")
    if targets is not None:
        _rule(targets.dtype == np.int64 and targets.shape == counts.shape, "label_targets must be like label_counts")
        _rule(((targets >= 0) & (targets <= totals)).all(), "label_targets must not exceed the rows of the class")


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
