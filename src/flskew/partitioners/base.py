"""What every partitioner is: a rule, and a partitioner of Flower Datasets."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from typing import cast

import flwr_datasets.partitioner
from datasets import Dataset

from flskew._split.labels import LabelColumn, read_column, read_labels
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.typing import Counts, Labels

__all__ = ["LabelPartitioner", "Partitioner"]


class Partitioner(flwr_datasets.partitioner.Partitioner):
    """A rule that splits rows by their labels, with its hyper-parameters and seed.

    Use it on labels (`assign`), or give it to a `FederatedDataset` like any partitioner of Flower Datasets. A scheme of
    your own subclasses it and writes `_assign`, or `LabelPartitioner` and writes `_counts`.

    Args:
        num_partitions: At least 1.
        partition_by: The column with the labels, in a data set; `assign` does not look at it.
        seed: Any integer; the same seed, arguments and labels give the same assignment, in every process.
    """

    def __init__(self, num_partitions: int, partition_by: str | None, seed: int) -> None:
        super().__init__()
        self._num_partitions = checks.integer("num_partitions", num_partitions, minimum=1, maximum=checks.MOST_ROWS)
        self._partition_by = None if partition_by is None else checks.column_name("partition_by", partition_by)
        self._seed = checks.seed(seed)
        self._num_bins: int | None = None
        self._assignment: Assignment | None = None

    def assign(self, labels: Labels, /) -> Assignment:
        """Split rows by their labels, with no data set needed.

        Args:
            labels: One label per row: integers, strings or booleans, as a list, a NumPy array, a pandas or Arrow
                column, or a column of a Hugging Face data set. They are not changed.

        Returns:
            The assignment: the same one each time, for the same labels.

        Raises:
            TypeError: Labels of another type, nested or mixed.
            ValueError: A label is missing (None, NaN), or the scheme cannot split these labels.
        """
        column = read_labels(labels, num_bins=self._num_bins)
        self._check_num_rows(len(column))
        return self._assign(column, Streams(self._seed))

    @property
    def assignment(self) -> Assignment:
        """The assignment of the data set that the partitioner is bound to.

        Raises:
            AttributeError: No data set is bound yet.
        """
        if self._assignment is None:
            self._check_num_rows(self.dataset.num_rows)
            self._assignment = self._assign_dataset(self.dataset)
        return self._assignment

    def load_partition(self, partition_id: int) -> Dataset:
        """Return one partition of the bound data set.

        Raises:
            PartitionIdError: There is no such partition; both a KeyError and an IndexError.
        """
        # `select` makes a list of whatever it is given: Python's integers then take half as long as NumPy's.
        rows = array("q", self.assignment[partition_id].tobytes())
        return cast("Dataset", self.dataset.select(rows))

    @property
    def num_partitions(self) -> int:
        """Total number of partitions."""
        return self._num_partitions

    @property
    def dataset(self) -> Dataset:
        """The data set that the partitioner is bound to; it can be set once.

        Raises:
            AttributeError: No data set is bound yet.
        """
        if not self.is_dataset_assigned():
            raise AttributeError(
                f"{type(self).__name__} is bound to no data set yet; set its dataset, load a partition through "
                f"FederatedDataset, or call assign(labels), which needs none"
            )
        return super().dataset

    @dataset.setter
    def dataset(self, value: Dataset) -> None:
        # The setter of the class above, which super() does not reach.
        flwr_datasets.partitioner.Partitioner.dataset.__set__(self, checks.dataset(value))  # type: ignore[attr-defined]

    @abstractmethod
    def _assign(self, column: LabelColumn, streams: Streams) -> Assignment:
        """Split these labels; everything random comes from `streams`."""

    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        if self._partition_by is None:
            raise ValueError("partition_by must name the column with the labels, got None")
        return self._assign(read_column(dataset, self._partition_by, num_bins=self._num_bins), Streams(self._seed))

    def _check_num_rows(self, num_rows: int) -> None:
        if self._num_partitions > num_rows:
            raise ValueError(
                f"num_partitions={self._num_partitions} is more than the {num_rows} rows there are; "
                f"lower num_partitions"
            )


class LabelPartitioner(Partitioner):
    """A partitioner that decides only how many rows of each class each partition gets; which rows is drawn by lot.

    A scheme of your own subclasses it and writes `_counts`.

    Args:
        num_partitions: At least 1.
        partition_by: The column with the labels, in a data set; `assign` does not look at it.
        seed: Any integer.
        shuffle: Whether the rows of a partition are in random order, or in that of the data set.
        num_bins: For a continuous target, the number of quantile bins that become its classes; None for labels.
    """

    def __init__(
        self, num_partitions: int, partition_by: str, seed: int, *, shuffle: bool = True, num_bins: int | None = None
    ) -> None:
        super().__init__(num_partitions, checks.column_name("partition_by", partition_by), seed)
        self._shuffle = checks.truth("shuffle", shuffle)
        self._num_bins = checks.optional_integer("num_bins", num_bins, minimum=1)

    def _assign(self, column: LabelColumn, streams: Streams) -> Assignment:
        return Assignment._from_counts(column, self._counts(column, streams), streams, shuffle=self._shuffle)

    @abstractmethod
    def _counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Return (num_classes, num_partitions) counts, no class's sum above its rows."""
