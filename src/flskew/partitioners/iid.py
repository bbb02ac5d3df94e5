"""Independent and identically distributed: what all the skewed schemes are compared with."""

from __future__ import annotations

from datasets import Dataset

from flskew._split.allocation import even_counts
from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew.assignment import Assignment
from flskew.partitioners.base import Partitioner

__all__ = ["IidPartitioner"]


class IidPartitioner(Partitioner):
    """Split the rows evenly and at random, whatever their labels.

    Sizes differ by one row at most. Class counts vary as in any random sample.

    Unlike Flower Datasets' partitioner of this name, which cuts the data set into contiguous pieces, this one draws
    the rows at random: data sets sorted by class or by time would be anything but IID otherwise.

    Args:
        num_partitions: At least 1, at most the number of rows.
        partition_by: The column with the labels. The split does not depend on it, but with it the assignment knows
            its `label_counts` and can be matched.
        seed: Any integer.

    Raises:
        TypeError: An argument of the wrong type, or `seed=None`.
        ValueError: `num_partitions` is below 1.

    Examples:
        >>> IidPartitioner(3).assign([0, 1] * 50).sizes.tolist() in ([34, 33, 33], [33, 34, 33], [33, 33, 34])
        True
    """

    def __init__(self, num_partitions: int, *, partition_by: str | None = None, seed: int = 42) -> None:
        super().__init__(num_partitions, partition_by, seed)

    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        if self._partition_by is not None:
            return super()._assign_dataset(dataset)
        return even_split(dataset.num_rows, self._num_partitions, None, Streams(self._seed))

    def _assign(self, column: LabelColumn, streams: Streams) -> Assignment:
        return even_split(len(column), self._num_partitions, column, streams)


def even_split(num_rows: int, num_partitions: int, column: LabelColumn | None, streams: Streams) -> Assignment:
    """Split rows as if all were of one class, in even shares."""
    counts = even_counts(num_rows, num_partitions, streams("sizes"))
    return Assignment._from_sizes(num_rows, counts, column, streams, shuffle=True)
