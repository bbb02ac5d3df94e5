"""Rows that others have split, checked and laid end to end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np

from flskew._util import checks
from flskew.typing import Offsets, Rows

if TYPE_CHECKING:
    import flwr_datasets.partitioner
    from datasets import Dataset

__all__ = ["given_rows", "joined", "loaded_rows"]

# Added to a copy of the user's data set, so its name should be nobody's.
_ROW_COLUMN = "flskew row"


def given_rows(partitions: Iterable[Iterable[int]]) -> list[Rows]:
    """Return the rows of each partition as an array of its own.

    Raises:
        TypeError: A row is not an integer.
        ValueError: A row is larger than any can be.
    """
    if isinstance(partitions, Mapping):
        raise TypeError("partitions must be in the order of their ids, got a mapping; pass a list of its values")
    if not isinstance(partitions, Iterable):
        raise TypeError(f"partitions must be a list with the rows of each, got {type(partitions).__name__}")
    arrays = []
    for partition_id, rows in enumerate(partitions):
        try:
            array = np.asarray(rows if hasattr(rows, "__array__") else list(rows))
        except (TypeError, ValueError):  # A number where rows should be, or lists of several lengths.
            raise TypeError(
                f"partitions[{partition_id}] must hold rows, that is whole numbers in one dimension, got {rows!r:.40}"
            ) from None
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
            raise TypeError(
                f"partitions[{partition_id}] must hold rows, that is whole numbers in one dimension, "
                f"got an array of {array.dtype} of shape {array.shape}"
            )
        if array.max(initial=0) >= checks.MOST_ROWS:
            raise ValueError(f"partitions[{partition_id}] names row {array.max()}, more than there can be rows")
        arrays.append(array.astype(np.int64))
    return arrays


def loaded_rows(partitioner: flwr_datasets.partitioner.Partitioner, dataset: Dataset) -> list[Rows]:
    """Return the rows of each partition that a partitioner of Flower Datasets makes.

    Raises:
        TypeError: One of them is something else.
        ValueError: The partitioner is bound to a data set already.
    """
    from flwr_datasets.partitioner import Partitioner

    if not isinstance(partitioner, Partitioner):
        raise TypeError(
            f"partitioner must be a partitioner of Flower Datasets, got {type(partitioner).__name__}; "
            f"rows that are split already go into Assignment.from_partitions"
        )
    if partitioner.is_dataset_assigned():
        raise ValueError("partitioner must not be bound to a data set yet; make a new one with the same arguments")
    bound = deepcopy(partitioner)
    bound.dataset = checks.dataset(dataset).add_column(_ROW_COLUMN, np.arange(dataset.num_rows))
    partitions = (bound.load_partition(i) for i in range(bound.num_partitions))
    return [np.asarray(own.with_format("numpy")[_ROW_COLUMN][:], dtype=np.int64) for own in partitions]


def joined(arrays: list[Rows], num_rows: int | None) -> tuple[Rows, Offsets, Rows]:
    """Lay partitions end to end: all rows, where each partition begins, and the rows that are in none.

    Args:
        arrays: The rows of each partition.
        num_rows: Rows of the data set; None for one more than the largest.

    Raises:
        ValueError: There is no partition, or a row is in two places, negative, or beyond the data set.
    """
    if not arrays:
        raise ValueError("partitions must hold at least one partition, got none")
    rows = np.concatenate(arrays)
    if num_rows is None:
        num_rows = int(rows.max(initial=-1)) + 1
    if rows.min(initial=0) < 0:
        raise ValueError(f"partitions must name rows by their positions, 0 and up, got {rows.min()}")
    outside = np.flatnonzero(rows >= num_rows)
    if len(outside):
        raise ValueError(f"partitions name row {rows[outside[0]]}, and the data set has rows 0 to {num_rows - 1}")
    times_held = np.bincount(rows, minlength=num_rows)
    if (times_held > 1).any():
        raise ValueError(f"row {int(np.argmax(times_held > 1))} is in more than one place; each row has one holder")
    offsets = np.concatenate(([0], np.cumsum([len(array) for array in arrays])))
    return rows, offsets, np.flatnonzero(times_held == 0)
