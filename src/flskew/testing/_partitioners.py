"""The laws of partitioners.

Breaking one causes trouble later: two clients that train on the same row, a test set that does not match its training
set, a run that cannot be repeated.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence, Set
from contextlib import suppress
from copy import deepcopy
from typing import Any, Protocol, TypeAlias, runtime_checkable

import flwr_datasets.partitioner
import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import NDArray

from flskew._split.multi_label import MultiLabelColumn
from flskew._split.multi_reading import read_any_labels
from flskew.assignment import Assignment
from flskew.testing._errors import LawError
from flskew.typing import Label, Labels

__all__ = ["Assigns", "check_partitioner"]


@runtime_checkable
class Assigns(Protocol):
    """An object with `assign`, which splits rows by their labels."""

    def assign(self, labels: Labels, /) -> Assignment:
        """Split rows by their labels."""
        ...


_Rows: TypeAlias = list[Any]
"""One label or one collection of labels per row."""

_Assign: TypeAlias = Callable[[Any], Assignment]


def check_partitioner(
    partitioner: Assigns | flwr_datasets.partitioner.Partitioner,
    labels: Sequence[Label] | Sequence[Collection[Label]],
    *,
    drops_rows: bool = False,
    by_class: bool = False,
) -> None:
    """Check that a partitioner obeys the laws, on labels of your choice.

    - Law 1: every row is in exactly one partition, or unassigned if the scheme drops rows by request; `classes` and
      `label_counts` match the rows.
    - Law 2: the same labels give the same assignment, on a second call, from a copy of the partitioner, and after a
      failed call.
    - Law 5: for schemes that treat classes one by one (`by_class`), the counts of a class depend neither on the order
      of the rows nor on the other classes.
    - Law 6: a missing label is an error, and no row is silently dropped.
    - Law 7: the labels are not changed, and their container does not matter.
    - Names: if partitions have names, each identifies its partition.
    - Natural ids: if `assign` takes `like`, a split made like another has each natural id in the same partitions.
    - Flower Datasets: once bound to a data set, it loads the same partitions, and refuses partition ids out of range.

    The laws are numbered as on the docs page Partitioners. Laws 3 (splitting ends, in linear time) and 4 (a partition's
    position does not matter) are not checked, because they take long runs and many seeds. Call this function with
    several seeds and labels, or from a property test.

    Args:
        partitioner: Any object with `assign`, or an unbound partitioner of Flower Datasets.
        labels: One label per row, with enough rows for the partitioner; natural ids for a scheme that splits by them,
            numbers for a scheme with `num_bins`, or a list of labels for each row if the scheme accepts several. For
            these three, leave `by_class` false. The data set has only this column, so omit arguments of the partitioner
            that name another one, such as `label_by`.
        drops_rows: Whether the scheme may leave rows unassigned.
        by_class: Whether the scheme treats each class independently of the others.

    Raises:
        LawError: A law is broken. It is an AssertionError, so a test that raises it fails.
        TypeError: `partitioner` is not a partitioner, or its `assign` does not return an Assignment.

    Examples:
        >>> from flskew import DirichletPartitioner
        >>> from flskew.testing import check_partitioner
        >>> check_partitioner(DirichletPartitioner(3), [row % 4 for row in range(90)])
    """
    rows: _Rows = list(labels)
    given = deepcopy(rows)
    assign = _assign_of(partitioner)
    assignment = assign(rows)
    if rows != given:
        raise LawError("law 7: the list of labels was changed")
    _check_rows(assignment, rows, drops_rows)
    _check_names(assignment)
    _check_repeats(assign, _assign_of(deepcopy(partitioner)), assignment, rows)
    _check_containers(assign, assignment, rows)
    _check_missing(assign, rows)
    if by_class:
        _check_by_class(assign, assignment, rows)
    if isinstance(partitioner, Assigns) and "like" in inspect.signature(partitioner.assign).parameters:
        _check_like(partitioner, assignment, rows)
    if isinstance(partitioner, flwr_datasets.partitioner.Partitioner):
        _check_binding(partitioner, assignment, rows)


def _assign_of(partitioner: Assigns | flwr_datasets.partitioner.Partitioner) -> _Assign:
    """Return a function that assigns labels; a partitioner of Flower Datasets is copied and bound for each call."""
    is_flowers = isinstance(partitioner, flwr_datasets.partitioner.Partitioner)
    if isinstance(partitioner, type) or not (is_flowers or isinstance(partitioner, Assigns)):
        raise TypeError(
            f"partitioner must be an object with assign(labels), or a partitioner of Flower Datasets, "
            f"got {partitioner!r:.60}; pass an instance, e.g. IidPartitioner(10)"
        )

    def assign(labels: Any) -> Assignment:
        if isinstance(partitioner, Assigns):
            return _checked(partitioner.assign(labels), partitioner)
        column = _label_column(partitioner)
        return Assignment.from_partitioner(partitioner, _dataset(column, labels), column)

    return assign


def _checked(assignment: object, partitioner: Assigns) -> Assignment:
    if not isinstance(assignment, Assignment):
        raise TypeError(
            f"{type(partitioner).__name__}.assign must return an Assignment, got {type(assignment).__name__}; "
            f"make one with Assignment.from_partitions or Assignment.from_counts"
        )
    return assignment


def _dataset(column: str, labels: _Rows) -> Dataset:
    rows = [list(row) if isinstance(row, Collection) and not isinstance(row, str) else row for row in labels]
    return Dataset.from_dict({column: rows})


def _label_column(partitioner: flwr_datasets.partitioner.Partitioner) -> str:
    # Ours and Flower Datasets' partitioners keep the name of the column in one of these.
    known = getattr(partitioner, "partition_by", None) or getattr(partitioner, "_partition_by", None)
    return known or "label"


def _check_rows(assignment: Assignment, labels: _Rows, drops_rows: bool) -> None:
    rows = np.concatenate([*assignment, assignment.unassigned])
    times = np.bincount(rows, minlength=len(labels))
    if len(times) > len(labels):
        raise LawError(f"law 1: row {rows.max()} is in a partition, but there are only {len(labels)} rows")
    if (times > 1).any():
        raise LawError(f"law 1: row {np.argmax(times > 1)} is assigned {times.max()} times instead of once")
    if (times == 0).any():
        raise LawError(f"law 1: row {np.argmin(times)} is neither in a partition nor unassigned")
    if len(assignment.unassigned) and not drops_rows:
        raise LawError(
            f"law 1: {len(assignment.unassigned)} rows are unassigned, the first {assignment.unassigned[0]}; "
            f"pass drops_rows=True if the scheme drops rows by request"
        )
    if not assignment.has_labels:
        return  # The scheme splits by natural ids, without labels.
    column = read_any_labels(labels, edges=assignment.edges)
    if not np.array_equal(column.classes, assignment.classes):
        raise LawError("law 1: the classes are not the distinct labels in sorted order")
    for partition_id, held in enumerate(assignment):
        codes = column.indices[column.gathered(held)[0]] if isinstance(column, MultiLabelColumn) else column.codes[held]
        counted = np.bincount(codes, minlength=len(assignment.classes))
        if not np.array_equal(counted, assignment.label_counts[partition_id]):
            raise LawError(f"law 1: label_counts of partition {partition_id} differ from the labels of its rows")


def _check_names(assignment: Assignment) -> None:
    for partition_id, name in enumerate(assignment.names or ()):
        if not np.array_equal(assignment[name], assignment[partition_id]):
            raise LawError(f"names: {name!r} is not the name of partition {partition_id} alone")


def _check_like(partitioner: Assigns, assignment: Assignment, natural_ids: _Rows) -> None:
    """Split some of the rows in another order, like all of them."""
    holders: dict[Label, set[int]] = {}
    for partition_id, rows in enumerate(assignment):
        for row in rows:
            holders.setdefault(natural_ids[row], set()).add(partition_id)
    others = natural_ids[::-2]
    like = partitioner.assign(others, like=assignment)  # type: ignore[call-arg]
    if (len(like), like.names) != (len(assignment), assignment.names):
        raise LawError("natural ids: a split made like another has other partitions")
    for partition_id, rows in enumerate(like):
        moved = [others[row] for row in rows if partition_id not in holders.get(others[row], ())]
        if moved:
            raise LawError(f"natural ids: {moved[0]!r} is in another partition of a split made like this one")


def _check_repeats(assign: _Assign, copied: _Assign, assignment: Assignment, labels: _Rows) -> None:
    if assign(labels) != assignment:
        raise LawError("law 2: a second call with the same labels gave another assignment")
    if copied(labels) != assignment:
        raise LawError("law 2: a copy of the partitioner gave another assignment for the same labels")
    # Any error will do; the next call matters.
    with suppress(Exception):
        assign([])
    if assign(labels) != assignment:
        raise LawError("law 2: after a failed call, the same labels gave another assignment")


def _check_containers(assign: _Assign, assignment: Assignment, labels: _Rows) -> None:
    array = _as_array(labels)
    if array is not None and assign(array) != assignment:
        raise LawError("law 7: the same labels in a read-only array gave another assignment")


def _as_array(labels: _Rows) -> NDArray[Any] | pd.DataFrame | None:
    """Return one label per row as an array, several as a 0/1 matrix; None for a single class, which has no matrix."""
    column = read_any_labels(labels) if any(isinstance(row, list | tuple | Set) for row in labels) else None
    array = np.array(labels) if column is None else np.zeros((len(labels), len(column.classes)), dtype=np.int8)
    if isinstance(column, MultiLabelColumn):
        array[column.rows, column.indices] = 1
    array.setflags(write=False)
    if column is None:
        return array
    return pd.DataFrame(array, columns=column.classes.tolist()) if array.shape[1] > 1 else None


def _check_missing(assign: _Assign, labels: _Rows) -> None:
    damaged: _Rows = [*labels]
    damaged[len(damaged) // 2] = None
    try:
        assign(damaged)
    except (TypeError, ValueError):
        return
    raise LawError(f"law 6: label None at row {len(damaged) // 2} was accepted; raise a ValueError that names the row")


def _check_by_class(assign: _Assign, assignment: Assignment, labels: _Rows) -> None:
    if not assignment.has_labels or assignment.edges is not None or assignment.is_multi_label:
        raise ValueError(
            "by_class needs classes that do not change when rows are left out, unlike natural ids without labels and "
            "bins of a continuous target, and one label per row; omit by_class"
        )
    if not np.array_equal(assign(labels[::-1]).label_counts, assignment.label_counts):
        raise LawError("law 5: the order of the rows changed the class counts")
    kept = assignment.classes.tolist()[::2]
    try:
        fewer = assign([label for label in labels if label in kept])
    except ValueError:
        # A scheme that names classes needs all of them, so keep one row of each class that is left out.
        firsts = [labels.index(label) for label in set(labels) - set(kept)]
        fewer = assign([label for row, label in enumerate(labels) if label in kept or row in firsts])
    here, there = (one.classes.tolist() for one in (fewer, assignment))
    changed = (
        fewer.label_counts[:, [here.index(label) for label in kept]]
        != assignment.label_counts[:, [there.index(label) for label in kept]]
    ).any(axis=0)
    if changed.any():
        raise LawError(f"law 5: the counts of class {kept[int(np.argmax(changed))]!r} depend on the other classes")


def _check_binding(partitioner: flwr_datasets.partitioner.Partitioner, assignment: Assignment, labels: _Rows) -> None:
    dataset = _dataset(_label_column(partitioner), labels)
    loaded = Assignment.from_partitioner(partitioner, dataset)
    if [rows.tolist() for rows in loaded] != [rows.tolist() for rows in assignment]:
        raise LawError("Flower Datasets: load_partition returns other rows than assign")
    bound = deepcopy(partitioner)
    bound.dataset = dataset
    for wrong in (len(loaded), -1):
        try:
            bound.load_partition(wrong)
        except (KeyError, IndexError, ValueError):
            continue
        raise LawError(f"Flower Datasets: load_partition({wrong}) returned a partition; there are {len(loaded)}")
