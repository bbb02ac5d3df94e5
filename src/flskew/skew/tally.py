"""What a split is to a measure: how many rows of each class each partition holds."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence, Set, Sized
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.labels import LabelColumn, read_column, read_labels
from flskew.assignment import Assignment
from flskew.skew._summary import Summary, summarise
from flskew.skew._tables import listed
from flskew.typing import Label, LabelCounts, Labels, Sizes

if TYPE_CHECKING:
    import flwr_datasets.partitioner
    import pandas as pd

__all__ = ["Split", "Tally", "names_of_classes", "several", "tally"]

# Sums of so many rows would overflow.
_TOO_MANY = 2.0**62


@dataclass(frozen=True, eq=False)
class Tally:
    """Rows of each class in each partition, under the names that reports and pictures show.

    `flskew.skew.tally` makes one, and whatever takes a split takes it.

    Attributes:
        counts: (num_partitions, num_classes) int64, each >= 0, at least one row in all; read-only.
        classes: What each class is called.

    Examples:
        >>> from flskew import skew
        >>> skew.tally([[0, 1, 1], [0]], class_names=["cat", "dog"]).classes
        ('cat', 'dog')
    """

    counts: LabelCounts
    classes: tuple[Label, ...]

    @property
    def sizes(self) -> Sizes:
        """(num_partitions,) rows of each partition."""
        return self.summary.sizes

    @cached_property
    def summary(self) -> Summary:
        """What the measures are made from, computed once."""
        return summarise(self.counts)


Split: TypeAlias = (
    "Assignment | Tally | NDArray[np.integer[Any]] | pd.DataFrame | Sequence[Labels] "
    "| flwr_datasets.partitioner.Partitioner"
)
"""Whatever says who holds what; `flskew.skew.tally` lists the kinds."""


def tally(split: Split, *, label_by: str | None = None, class_names: Iterable[str] | None = None) -> Tally:
    """Count the labels of a split, whatever it comes as.

    Every measure, report and picture takes what this takes, and calls it; call it yourself to name the column of the
    labels or the classes.

    Args:
        split: One of

            - an `Assignment`;
            - counts, partitions by classes: a NumPy array, or a DataFrame such as `Assignment.to_frame` and Flower
              Datasets' `compute_counts` return;
            - a list with the labels of each partition, one label per row; a list of lists is labels, never counts;
            - a partitioner, of flskew or of Flower Datasets, bound to a data set;
            - a `Tally`.
        label_by: The column with the labels, where the split is a partitioner; by default its own `partition_by`.
        class_names: What to call the classes, one name for each in their order, such as the `names` of a data set's
            `ClassLabel`; by default the labels themselves.

    Raises:
        TypeError: `split` is nothing of the kind, its counts are not whole numbers, or `class_names` is no list.
        ValueError: There is no partition, no row, a negative count or 2**62 rows and more; a partitioner has no data
            set or no labels; or there are other than one name per class.

    Examples:
        >>> from flskew import skew
        >>> skew.tally([["cat", "dog", "dog"], ["cat"]]).counts
        array([[1, 2],
               [1, 0]])
    """
    if isinstance(split, Tally):
        counted = split
    elif isinstance(split, Assignment):
        counted = _checked(split.label_counts, split.classes.tolist())
    elif _is_partitioner(split):
        return _named(_of_partitioner(split, label_by), class_names)
    else:
        counted = _of_others(split)
    if label_by is not None:
        raise ValueError(f"label_by={label_by!r} names a column of a partitioner's data set, and there is none here")
    return _named(counted, class_names)


def several(splits: Mapping[str, Split] | Iterable[Split], *, prefix: str, instead: str) -> dict[str, Split]:
    """Return splits by their names; those of a list are their places, after a prefix.

    Raises:
        TypeError: They are one split, for which there is a function to use instead, or nothing of the kind.
        ValueError: There are none, or two of the same name.
    """
    one = hasattr(splits, "__array__") or isinstance(splits, Assignment | Tally)
    if one or isinstance(splits, str) or not isinstance(splits, Iterable):
        raise TypeError(f"splits must be a list or a mapping of splits, got one {type(splits).__name__}; use {instead}")
    named = dict(splits) if isinstance(splits, Mapping) else {f"{prefix}{i}": split for i, split in enumerate(splits)}
    if not named:
        raise ValueError("splits must hold at least one split, got none")
    names = [str(name) for name in named]
    if len(set(names)) < len(names):
        raise ValueError(f"splits must have names of their own, got {', '.join(names)}")
    return dict(zip(names, named.values(), strict=True))


def names_of_classes(class_names: object, classes: Sequence[Label]) -> tuple[str, ...]:
    """Return what a user calls the classes, one name for each.

    Raises:
        TypeError: The names are no list; a set has no order.
        ValueError: There are other than one per class.
    """
    known = f"the classes are {listed(classes)}"
    if isinstance(class_names, str | bytes | Mapping | Set) or not isinstance(class_names, Iterable):
        raise TypeError(f"class_names must be a list with one name per class, got {class_names!r:.40}; {known}")
    names = tuple(map(str, class_names))
    if len(names) != len(classes):
        raise ValueError(f"class_names must be {len(classes)} names, one per class, got {len(names)}; {known}")
    return names


def _named(counted: Tally, class_names: Iterable[str] | None) -> Tally:
    if class_names is None:
        return counted
    return Tally(counted.counts, names_of_classes(class_names, counted.classes))


def _of_others(split: object) -> Tally:
    if isinstance(split, np.ndarray):
        # Of a matrix or the like the mere array; a mask that hides nothing goes with it.
        return _of_counts(split if np.ma.is_masked(split) else np.asarray(split), None)
    if hasattr(split, "columns") and hasattr(split, "to_numpy"):
        return _of_counts(_cells(cast("pd.DataFrame", split)), split.columns.tolist())
    if isinstance(split, Sequence) and not isinstance(split, str | bytes):
        return _of_labels(split)
    raise TypeError(
        f"split must be an Assignment, an array or DataFrame of counts, a list with the labels of each partition, or a "
        f"partitioner bound to a data set, got {type(split).__name__}"
    )


def _cells(frame: pd.DataFrame) -> NDArray[Any]:
    cells: NDArray[Any] = frame.to_numpy()
    # Of integers of its own kind, which may lack values, pandas makes Python objects even where none is lacking.
    if (
        cells.dtype == object
        and all(column.kind in "iu" for column in frame.dtypes)
        and not frame.isna().any(axis=None)
    ):
        return frame.to_numpy(dtype=np.int64)
    return cells


def _of_counts(counts: NDArray[Any], classes: Sequence[Label] | None) -> Tally:
    # Whole numbers may come as fractions: a table with gaps that were filled is one of floats to pandas.
    whole = counts.dtype.kind in "iu" or (counts.dtype.kind == "f" and bool((np.rint(counts) == counts).all()))
    if counts.ndim != 2 or not whole or np.ma.is_masked(counts):
        raise TypeError(
            f"counts must be whole numbers of partitions by classes, got an array of {counts.dtype} of shape "
            f"{counts.shape}; shares are not enough, as measures weigh partitions by their rows, and empty cells of a "
            f"DataFrame become zeros with .fillna(0), masked ones of an array with .filled(0)"
        )
    wrong = np.argwhere(counts < 0)
    if len(wrong):
        partition_id, code = wrong[0].tolist()
        raise ValueError(
            f"counts must be >= 0, got {counts[partition_id, code]} for partition {partition_id} and class {code}"
        )
    if counts.sum(dtype=np.float64) >= _TOO_MANY:
        raise ValueError(f"counts must sum to less than 2**62, got {counts.sum(dtype=np.float64):.3g} rows in all")
    return _checked(counts.astype(np.int64), range(counts.shape[1]) if classes is None else classes)


def _of_labels(partitions: Sequence[Labels]) -> Tally:
    columns = []
    for partition_id, labels in enumerate(partitions):
        if not isinstance(labels, Sized) or isinstance(labels, str) or getattr(labels, "shape", None) == ():
            raise TypeError(
                f"split[{partition_id}] must be the labels of partition {partition_id}, got {labels!r:.40}; "
                f"counts go into a NumPy array"
            )
        columns.append(read_labels(labels, name=f"split[{partition_id}]") if len(labels) else None)
    return _joined(columns)


def _of_partitioner(partitioner: flwr_datasets.partitioner.Partitioner, label_by: str | None) -> Tally:
    if not partitioner.is_dataset_assigned():
        raise ValueError(
            f"{type(partitioner).__name__} is bound to no data set yet; set its dataset, load a partition through "
            f"FederatedDataset first, or pass what its assign(labels) returns"
        )
    own = getattr(partitioner, "assignment", None)
    if isinstance(own, Assignment) and own.has_labels and label_by is None:
        return tally(own)
    # Ours and Flower Datasets' partitioners keep the name of the column in one of these.
    known = getattr(partitioner, "partition_by", None) or getattr(partitioner, "_partition_by", None)
    column = label_by if label_by is not None else known
    if not isinstance(column, str):
        raise ValueError(f"label_by must name the column with the labels, as {type(partitioner).__name__} knows none")
    parts = map(partitioner.load_partition, range(partitioner.num_partitions))
    return _joined([read_column(part, column, argument="label_by") if part.num_rows else None for part in parts])


def _joined(columns: Sequence[LabelColumn | None]) -> Tally:
    """Count the labels of partitions, each of which knows only the classes it has; None for an empty one."""
    held: list[NDArray[Any]] = [column.classes for column in columns if column is not None]
    kinds = {classes.dtype.kind for classes in held}
    if kinds == {"i", "u"}:
        # NumPy would make fractions of both, and those have no room for so large numbers.
        held = [classes.astype(object) for classes in held]
    elif len(kinds) > 1:
        raise TypeError("the labels of all partitions must be of one type, integers, strings or booleans; got several")
    classes = np.unique(np.concatenate(held)) if held else np.empty(0, dtype=np.int64)
    counts = np.zeros((len(columns), len(classes)), dtype=np.int64)
    for row, column in zip(counts, columns, strict=True):
        if column is not None:
            row[np.searchsorted(classes, column.classes)] = column.sizes
    return _checked(counts, classes.tolist())


def _checked(counts: LabelCounts, classes: Sequence[Label]) -> Tally:
    if not counts.any():
        raise ValueError(f"split must hold at least one row, got none in {len(counts)} partitions")
    counts.setflags(write=False)
    return Tally(counts, tuple(classes))


def _is_partitioner(value: object) -> TypeGuard[flwr_datasets.partitioner.Partitioner]:
    # Flower Datasets takes seconds to import; where it is not loaded, nothing can be one of its partitioners.
    module = sys.modules.get("flwr_datasets.partitioner")
    return module is not None and isinstance(value, module.Partitioner)
