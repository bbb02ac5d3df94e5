"""Check and copy the rows and counts that users pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np

from flskew._split.building import Parts
from flskew._split.natural_ids import with_natural_ids
from flskew._util import checks
from flskew.typing import Counts, LabelCounts, Rows

if TYPE_CHECKING:
    import flwr_datasets.partitioner
    from datasets import Dataset

__all__ = ["given_counts", "given_rows", "joined", "loaded"]

# Added to a copy of the user's data set, so the name should be unlikely.
_ROW_COLUMN = "flskew row"


def given_rows(partitions: Iterable[Iterable[int]] | Mapping[str, Iterable[int]]) -> list[Rows]:
    """Return the rows of each partition as a new array.

    Raises:
        TypeError: A row is not an integer.
        ValueError: A row is larger than any can be.
    """
    if not isinstance(partitions, Iterable):
        raise TypeError(f"partitions must be a list with the rows of each, got {type(partitions).__name__}")
    arrays = []
    for key, rows in partitions.items() if isinstance(partitions, Mapping) else enumerate(partitions):
        rule = f"partitions[{key!r}] must be a one-dimensional collection of row numbers"
        try:
            array = np.asarray(rows if hasattr(rows, "__array__") else list(rows))
        except (TypeError, ValueError):  # A number instead of rows, or lists of several lengths.
            raise TypeError(f"{rule}, got {rows!r:.40}") from None
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
            raise TypeError(f"{rule}, got an array of {array.dtype} of shape {array.shape}")
        if array.max(initial=0) >= checks.MOST_ROWS:
            raise ValueError(f"partitions[{key!r}] contains row {array.max()}, more than there can be rows")
        arrays.append(array.astype(np.int64))
    return arrays


def given_counts(label_counts: LabelCounts | Sequence[Sequence[int]], num_classes: int) -> Counts:
    """Return (num_partitions, num_classes) counts as a new array of (num_classes, num_partitions).

    Raises:
        TypeError: The counts are not integers.
        ValueError: They have another shape.
    """
    try:
        counts = np.array(label_counts)
    except ValueError:
        raise ValueError("label_counts must be a matrix of integers, got rows of several lengths") from None
    if counts.dtype.kind not in "iu":
        raise TypeError(f"label_counts must be integers, got an array of {counts.dtype}; round them first")
    if counts.ndim != 2 or len(counts) == 0 or counts.shape[1] != num_classes:
        raise ValueError(
            f"label_counts must have the shape (num_partitions, {num_classes}), one column for each of {num_classes} "
            f"classes, got {counts.shape}"
        )
    return counts.T


def loaded(partitioner: flwr_datasets.partitioner.Partitioner, dataset: Dataset) -> Parts:
    """Return the split that a partitioner of Flower Datasets makes, with its natural ids if it has them.

    Raises:
        TypeError: An argument has another type.
        ValueError: The partitioner is already bound to a data set.
    """
    from flwr_datasets.partitioner import Partitioner

    if not isinstance(partitioner, Partitioner):
        raise TypeError(
            f"partitioner must be a partitioner of Flower Datasets, got {type(partitioner).__name__}; "
            f"pass existing partitions to Assignment.from_partitions"
        )
    if partitioner.is_dataset_assigned():
        raise ValueError("partitioner must not be bound to a data set yet; make a new one with the same arguments")
    bound = deepcopy(partitioner)
    bound.dataset = checks.dataset(dataset).add_column(_ROW_COLUMN, np.arange(dataset.num_rows))
    partitions = (bound.load_partition(i) for i in range(bound.num_partitions))
    arrays = [np.asarray(part.with_format("numpy")[_ROW_COLUMN][:], dtype=np.int64) for part in partitions]
    parts = joined(arrays, dataset.num_rows)
    natural_ids = getattr(bound, "partition_id_to_natural_id", None)
    return parts if natural_ids is None else with_natural_ids(parts, natural_ids)


def joined(arrays: list[Rows], num_rows: int | None) -> Parts:
    """Join partitions into one array.

    Args:
        arrays: The rows of each partition.
        num_rows: Number of rows in the data set; None for one more than the largest row.

    Raises:
        ValueError: There is no partition, or a row occurs twice, is negative, or is beyond the data set.
    """
    if not arrays:
        raise ValueError("partitions must contain at least one partition, got none")
    rows = np.concatenate(arrays)
    if num_rows is None:
        num_rows = int(rows.max(initial=-1)) + 1
    if rows.min(initial=0) < 0:
        raise ValueError(f"partitions must contain row numbers >= 0, got {rows.min()}")
    outside = np.flatnonzero(rows >= num_rows)
    if len(outside):
        raise ValueError(f"partitions contain row {rows[outside[0]]}, but the data set has rows 0 to {num_rows - 1}")
    times_held = np.bincount(rows, minlength=num_rows)
    if (times_held > 1).any():
        raise ValueError(f"row {int(np.argmax(times_held > 1))} is held more than once; assign each row at most once")
    offsets = np.concatenate(([0], np.cumsum([len(array) for array in arrays])))
    return Parts(rows, offsets, np.flatnonzero(times_held == 0))
