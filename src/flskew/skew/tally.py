"""Count the labels of each class in each partition, from which every measure is computed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.labels import LabelColumn
from flskew._split.multi_label import AnyColumn, MultiLabelColumn
from flskew._split.multi_reading import read_any_column, read_any_labels
from flskew._util.words import named_partitions, names_of_classes, one_line
from flskew.assignment import Assignment
from flskew.skew._hypergeometric import deviations_of_several_labels
from flskew.skew._summary import Summary, summarise
from flskew.typing import Label, LabelCounts, Labels, MultiLabels, Sizes

if TYPE_CHECKING:
    import flwr_datasets.partitioner
    import pandas as pd

__all__ = ["Split", "Tally", "tally"]

# With this many rows, sums would overflow.
_TOO_MANY = 2.0**62


@dataclass(frozen=True, eq=False)
class Tally:
    """The number of rows of each class in each partition, and the names that reports and pictures show.

    `flskew.skew.tally` makes one; every function that accepts a split accepts it. If rows may have several labels or
    none, everything is counted in labels: a row with three labels counts three times, and a row without labels does not
    count.

    Attributes:
        counts: (num_partitions, num_classes) int64, each >= 0, with at least one row in total; read-only.
        classes: The name of each class.
        names: The name of each partition; None if partitions only have their ids 0, 1, ...
        unit: What is counted: "row", or "label" if rows may have several labels.
        chance: (num_partitions,) the mean total variation of each partition in an IID split, if rows have several
            labels and it is known which rows have them; otherwise None.

    Examples:
        >>> from flskew import skew
        >>> skew.tally([[0, 1, 1], [0]], class_names=["cat", "dog"]).classes
        ('cat', 'dog')
    """

    counts: LabelCounts
    classes: tuple[Label, ...]
    names: tuple[str, ...] | None = None
    unit: Literal["row", "label"] = "row"
    chance: NDArray[np.float64] | None = None

    @property
    def sizes(self) -> Sizes:
        """(num_partitions,) rows of each partition; labels, if rows may have several."""
        return self._summary.sizes

    @property
    def partitions(self) -> Sequence[int] | Sequence[str]:
        """The name of each partition, or its id if it has no name."""
        return range(len(self.counts)) if self.names is None else self.names

    @cached_property
    def _summary(self) -> Summary:
        """The sums that the measures share, computed once."""
        return summarise(self.counts)


Split: TypeAlias = (
    "Assignment | Tally | NDArray[np.integer[Any]] | pd.DataFrame | Sequence[Labels | MultiLabels] "
    "| flwr_datasets.partitioner.Partitioner"
)
"""Anything from which label counts can be computed; `flskew.skew.tally` lists the accepted types."""


def tally(split: Split, *, label_by: str | None = None, class_names: Iterable[str] | None = None) -> Tally:
    """Count the labels of a split.

    Measures, reports and pictures accept the same splits and call this function themselves. Call it directly to choose
    the label column or to name the classes.

    Args:
        split: One of

            - an `Assignment`;
            - counts, partitions by classes: a NumPy array, or a DataFrame as returned by `Assignment.to_frame` and
              Flower Datasets' `compute_counts`. Its index may name the partitions;
            - a list with the labels of each partition, one label per row; a list of lists always contains labels,
              never counts or row numbers. If rows have several labels, a 0/1 matrix or a list of lists for each
              partition;
            - a partitioner, of flskew or of Flower Datasets, bound to a data set;
            - a `Tally`.
        label_by: The label column, if the split is a partitioner; by default, the partitioner's `partition_by`.
        class_names: One name per class, in the order of the classes, such as the `names` of a data set's `ClassLabel`;
            the labels themselves by default.

    Returns:
        The number of rows of each class in each partition, with the names of both.

    Raises:
        TypeError: `split` is not one of these, its counts are not integers, or `class_names` is not a list.
        ValueError: The split has no partitions, no rows, a negative count, or 2**62 rows or more. A partitioner has no
            data set or no labels. There is not one name per class. Lists look like row numbers: no integer occurs
            twice, and there are more integers than partitions.

    Examples:
        >>> from flskew import skew
        >>> skew.tally([["cat", "dog", "dog"], ["cat"]]).counts
        array([[1, 2],
               [1, 0]])
    """
    if isinstance(split, Tally):
        counted = split
    elif isinstance(split, Assignment):
        counted = _of_assignment(split)
    elif _is_partitioner(split):
        return _named(_of_partitioner(split, label_by), class_names)
    else:
        counted = _of_others(split)
    if label_by is not None:
        raise ValueError(
            f"label_by={label_by!r} names a column of a partitioner's data set, but split is of type "
            f"{type(split).__name__}; remove label_by"
        )
    return _named(counted, class_names)


def _of_assignment(split: Assignment) -> Tally:
    counted = _checked(split.label_counts, split.classes.tolist(), split.names)
    joint = split._parts.joint_labels
    if joint is None:
        return counted
    each = deviations_of_several_labels(split.sizes, counted.counts, split._class_totals, joint, split.num_rows)
    return replace(counted, unit="label", chance=np.minimum(each.sum(axis=1) / 2, 1.0))


def _named(counted: Tally, class_names: Iterable[str] | None) -> Tally:
    if class_names is None:
        return counted
    return replace(counted, classes=names_of_classes(class_names, counted.classes))


def _of_others(split: object) -> Tally:
    if isinstance(split, np.ndarray):
        # Subclasses become plain arrays; so does a masked array unless a value is masked.
        return _of_counts(split if np.ma.is_masked(split) else np.asarray(split), None)
    if hasattr(split, "columns") and hasattr(split, "to_numpy"):
        frame = cast("pd.DataFrame", split)
        index = frame.index.tolist()
        names = None if index == list(range(len(index))) else tuple(map(str, index))
        return _of_counts(_cells(frame), frame.columns.tolist(), names)
    if isinstance(split, Sequence) and not isinstance(split, str | bytes):
        return _of_labels(split)
    raise TypeError(
        f"split must be an Assignment, an array or DataFrame of counts, a list with the labels of each partition, or a "
        f"partitioner bound to a data set, got {type(split).__name__}"
    )


def _cells(frame: pd.DataFrame) -> NDArray[Any]:
    cells: NDArray[Any] = frame.to_numpy()
    # pandas turns its nullable integers into Python objects, even if none is missing.
    nullable = cells.dtype == object and all(column.kind in "iu" for column in frame.dtypes)
    return frame.to_numpy(dtype=np.int64) if nullable and not frame.isna().any(axis=None) else cells


def _of_counts(counts: NDArray[Any], classes: Sequence[Label] | None, names: tuple[str, ...] | None = None) -> Tally:
    # Floats may be integers: pandas stores a table whose gaps were filled as floats.
    whole = counts.dtype.kind in "iu" or (counts.dtype.kind == "f" and bool((np.rint(counts) == counts).all()))
    if counts.ndim != 2 or not whole or np.ma.is_masked(counts):
        raise TypeError(
            f"counts must be integers in an array of partitions by classes, got an array of {counts.dtype} of shape "
            f"{counts.shape}; shares are not enough, because measures weight partitions by their rows; fill empty "
            f"cells of a DataFrame with .fillna(0), masked ones of an array with .filled(0)"
        )
    wrong = np.argwhere(counts < 0)
    if len(wrong):
        partition_id, code = wrong[0].tolist()
        partition = named_partitions([partition_id if names is None else names[partition_id]])
        name = one_line(code if classes is None else classes[code])
        raise ValueError(f"counts must be >= 0, got {counts[partition_id, code]} for {partition} and class {name}")
    if counts.sum(dtype=np.float64) >= _TOO_MANY:
        raise ValueError(f"counts must sum to less than 2**62, got {counts.sum(dtype=np.float64):.3g} rows in total")
    return _checked(counts.astype(np.int64), range(counts.shape[1]) if classes is None else classes, names)


def _of_labels(partitions: Sequence[Labels | MultiLabels]) -> Tally:
    columns: list[AnyColumn | None] = []
    for partition_id, labels in enumerate(partitions):
        if not isinstance(labels, Sized) or isinstance(labels, str) or getattr(labels, "shape", None) == ():
            raise TypeError(
                f"split[{partition_id}] must be the labels of partition {partition_id}, got {labels!r:.40}; "
                f"pass counts as a NumPy array"
            )
        columns.append(read_any_labels(labels, name=f"split[{partition_id}]") if len(labels) else None)
    _refuse_row_numbers(columns)
    return _joined(columns)


def _refuse_row_numbers(columns: Sequence[AnyColumn | None]) -> None:
    """Refuse lists in which no integer occurs twice: they are row numbers, not labels."""
    held = [column for column in columns if isinstance(column, LabelColumn)]
    num_rows = sum(map(len, held))
    if num_rows <= len(columns) or any(len(column.classes) < len(column) for column in held):
        return
    integers = all(column.classes.dtype.kind in "iu" for column in held)
    if integers and len({label for column in held for label in column.labels}) == num_rows:
        raise ValueError(
            f"split must contain labels, but no integer occurs twice among the {num_rows} given, so they look like row "
            f"numbers; use Assignment.from_partitions(rows, labels), or an array of counts if each class really has "
            f"a single row"
        )


def _of_partitioner(partitioner: flwr_datasets.partitioner.Partitioner, label_by: str | None) -> Tally:
    if not partitioner.is_dataset_assigned():
        raise ValueError(
            f"{type(partitioner).__name__} is not bound to a data set; set its dataset, load a partition through "
            f"FederatedDataset first, or pass the result of its assign(labels)"
        )
    own = getattr(partitioner, "assignment", None)
    if isinstance(own, Assignment) and own.has_labels and label_by is None:
        return tally(own)
    # Ours and Flower Datasets' partitioners keep the name of the column in one of these.
    known = getattr(partitioner, "partition_by", None) or getattr(partitioner, "_partition_by", None)
    column = label_by if label_by is not None else known
    if not isinstance(column, str):
        raise ValueError(f"label_by must name the label column, because {type(partitioner).__name__} has none")
    parts = map(partitioner.load_partition, range(partitioner.num_partitions))
    return _joined([read_any_column(part, column, argument="label_by") if part.num_rows else None for part in parts])


def _joined(columns: Sequence[AnyColumn | None]) -> Tally:
    """Count the labels of partitions with different classes; None stands for an empty partition."""
    kinds_of_rows = {type(column) for column in columns if column is not None}
    if len(kinds_of_rows) > 1:
        raise TypeError("labels must be one per row in all partitions, or several per row in all; got both")
    held: list[NDArray[Any]] = [column.classes for column in columns if column is not None]
    kinds = {classes.dtype.kind for classes in held}
    if kinds == {"i", "u"}:
        # NumPy would convert both to float64, which cannot represent such large integers.
        held = [classes.astype(object) for classes in held]
    elif len(kinds) > 1:
        raise TypeError("labels must have one type in all partitions, integers, strings or booleans; got several")
    classes = np.unique(np.concatenate(held)) if held else np.empty(0, dtype=np.int64)
    counts = np.zeros((len(columns), len(classes)), dtype=np.int64)
    for row, column in zip(counts, columns, strict=True):
        if column is not None:
            row[np.searchsorted(classes, column.classes)] = column.sizes
    counted = _checked(counts, classes.tolist())
    return replace(counted, unit="label") if MultiLabelColumn in kinds_of_rows else counted


def _checked(counts: LabelCounts, classes: Sequence[Label], names: tuple[str, ...] | None = None) -> Tally:
    if not counts.any():
        raise ValueError(f"split must contain at least one row, got none in {len(counts)} partitions")
    counts.setflags(write=False)
    return Tally(counts, tuple(classes), names)


def _is_partitioner(value: object) -> TypeGuard[flwr_datasets.partitioner.Partitioner]:
    # Flower Datasets takes seconds to import; if it is not loaded, nothing can be one of its partitioners.
    module = sys.modules.get("flwr_datasets.partitioner")
    return module is not None and isinstance(value, module.Partitioner)
