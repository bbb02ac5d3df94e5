"""The base of all partitioners: binding to a data set, as in Flower Datasets."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from typing import cast

import flwr_datasets.partitioner
from datasets import Dataset

from flskew._util import checks
from flskew._util.values import Value
from flskew.assignment import Assignment

__all__ = ["BindingPartitioner"]


class BindingPartitioner(Value, flwr_datasets.partitioner.Partitioner):
    """A value that can be bound to a data set once, and then loads its partitions.

    The data set is not part of the value: a bound and an unbound partitioner made by the same call are equal.
    """

    _assignment: Assignment | None = None

    @property
    def assignment(self) -> Assignment:
        """The assignment of the bound data set.

        Raises:
            AttributeError: No data set is bound yet.
        """
        if self._assignment is None:
            self._assignment = self._assign_dataset(self.dataset)
        return self._assignment

    def load_partition(self, partition_id: int) -> Dataset:
        """Return one partition of the bound data set.

        Raises:
            PartitionIdError: No partition has this id. It is both a KeyError and an IndexError.
        """
        # `select` converts its argument to a list, which is twice as fast for Python integers as for NumPy's.
        rows = array("q", self.assignment[partition_id].tobytes())
        return cast("Dataset", self.dataset.select(rows))

    @property
    def dataset(self) -> Dataset:
        """The bound data set; it can be set once.

        Raises:
            AttributeError: No data set is bound yet.
        """
        if not self.is_dataset_assigned():
            raise AttributeError(
                f"{type(self).__name__} is not bound to a data set yet; set its dataset, load a partition through "
                f"FederatedDataset, or call assign, which needs none"
            )
        return super().dataset

    @dataset.setter
    def dataset(self, value: Dataset) -> None:
        # super() does not reach the setter of a property.
        flwr_datasets.partitioner.Partitioner.dataset.__set__(self, checks.dataset(value))  # type: ignore[attr-defined]

    @abstractmethod
    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        """Split a data set."""
