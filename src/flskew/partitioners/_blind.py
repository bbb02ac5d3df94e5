"""Schemes that ignore labels and only decide the sizes of the partitions."""

from __future__ import annotations

from abc import abstractmethod

from datasets import Dataset

from flskew._split.building import deal_sizes
from flskew._split.labels import LabelColumn
from flskew._split.multi_label import AnyColumn, MultiLabelColumn
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners.base import Partitioner
from flskew.typing import Sizes

__all__ = ["BlindPartitioner"]


class BlindPartitioner(Partitioner):
    """Draw the rows of each partition from all rows; labels are optional and do not affect the split."""

    def __init__(self, num_partitions: int, partition_by: str | None, seed: int, *, shuffle: bool = True) -> None:
        super().__init__(num_partitions, partition_by, seed)
        self.shuffle = checks.truth("shuffle", shuffle)

    def split(self, column: LabelColumn, streams: Streams) -> Assignment:
        """Draw partitions of random sizes from all rows."""
        return self._split(len(column), column, streams)

    def split_multi_label(self, column: MultiLabelColumn, streams: Streams) -> Assignment:
        """Draw partitions of random sizes from all rows, whatever their labels."""
        return self._split(len(column), column, streams)

    @abstractmethod
    def _sizes(self, num_rows: int, streams: Streams) -> Sizes:
        """Return (num_partitions,) sizes that sum to `num_rows`."""

    def _split(self, num_rows: int, column: AnyColumn | None, streams: Streams) -> Assignment:
        sizes = self._sizes(num_rows, streams)
        return Assignment._seal(deal_sizes(num_rows, sizes, column, streams, shuffle=self.shuffle))

    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        if self.partition_by is not None:
            return super()._assign_dataset(dataset)
        self.check_num_rows(dataset.num_rows)
        return self._split(dataset.num_rows, None, Streams(self.seed))
