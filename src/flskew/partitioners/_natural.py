"""The base of natural splits: which natural id is in which partition, and pinning that."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from flskew._split.building import Parts, with_labels
from flskew._split.labels import LabelColumn, read_column, read_labels
from flskew._split.multi_label import AnyColumn
from flskew._split.multi_reading import read_any_column, read_any_labels
from flskew._split.natural_ids import Numbering, numbered, numbering_of, partition_of_codes, pinned, split_by_ids
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners._binding import BindingPartitioner
from flskew.typing import Label, Labels, MultiLabels, OnUnknown

__all__ = ["NaturalPartitioner", "checked_like"]


class NaturalPartitioner(BindingPartitioner):
    """Give each partition all rows of one or several natural ids; nothing is random."""

    def __init__(
        self,
        partition_by: str,
        label_by: str | None,
        natural_ids: Labels | None,
        on_unknown: OnUnknown,
        num_bins: int | None,
    ) -> None:
        super().__init__()
        self.partition_by = checks.column_name("partition_by", partition_by)
        self.label_by = None if label_by is None else checks.column_name("label_by", label_by)
        self.natural_ids = None if natural_ids is None else pinned(natural_ids)
        self.on_unknown = checks.choice("on_unknown", on_unknown, ("error", "drop"))
        self.num_bins = checks.optional_integer("num_bins", num_bins, minimum=1)

    def assign(
        self, natural_ids: Labels, /, labels: Labels | MultiLabels | None = None, *, like: Assignment | None = None
    ) -> Assignment:
        """Split rows by their natural ids, without a data set.

        Args:
            natural_ids: One natural id per row: integers, strings or booleans.
            labels: One label per row, or several as in `Partitioner.assign`. The split does not depend on them;
                without them, the assignment has no classes.
            like: A split of other rows, such as the training set. Each natural id gets the same partition as in `like`.
                An id without rows has an empty partition, and an id that `like` lacks is unknown (see `on_unknown`). If
                `like` was not made from natural ids, the names of its partitions identify them. If the labels of `like`
                are bins, the same bins are used.

        Returns:
            The assignment; the rows of a partition are in the order of the data set.

        Raises:
            TypeError: Natural ids or labels have an unsupported type, or several types; or `like` is not an assignment.
            ValueError: A natural id or a label is missing, a natural id is unknown, the natural ids do not fill the
                groups, or `like` has neither natural ids nor names.
        """
        edges = None if like is None else checked_like(like).edges
        binning: dict[str, Any] = {"num_bins": self.num_bins} if edges is None else {"edges": edges}
        column = None if labels is None else read_any_labels(labels, can_bin=True, **binning)
        return self._assign(read_labels(natural_ids, name="natural_ids"), column, "natural_ids", like)

    @property
    def num_partitions(self) -> int:
        """Number of partitions: of the bound data set, or given by `natural_ids`."""
        return len(self.assignment) if self.natural_ids is None else self._group_of_each(len(self.natural_ids))[0]

    @abstractmethod
    def _order(self, ids: LabelColumn) -> NDArray[np.intp]:
        """(num_ids,) positions among the sorted natural ids, in the order in which the ids fill the partitions."""

    @abstractmethod
    def _group_of_each(self, num_ids: int) -> tuple[int, NDArray[np.int64]]:
        """Return the number of groups, and the group of each natural id in that order; num_groups if it is dropped."""

    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        labels: AnyColumn | None = None
        if self.label_by is not None:
            labels = read_any_column(dataset, self.label_by, argument="label_by", num_bins=self.num_bins, can_bin=True)
        return self._assign(read_column(dataset, self.partition_by), labels, f"column {self.partition_by!r}")

    def _assign(
        self, ids: LabelColumn, labels: AnyColumn | None, name: str, like: Assignment | None = None
    ) -> Assignment:
        if labels is not None and len(labels) != len(ids):
            raise ValueError(f"labels must be one per row, got {len(labels)} for {len(ids)} natural ids")
        source = "the partitioner's natural_ids" if like is None else "like"
        return Assignment._seal(with_labels(self._split(ids, name, self._known(like), source), labels))

    def _split(self, ids: LabelColumn, name: str, known: Numbering | None, source: str) -> Parts:
        """Split rows by their natural ids; by a known numbering if there is one, which `source` names in errors."""
        if known is None:
            order = self._order(ids)
            num_groups, groups = self._group_of_each(len(order))
            known = numbered(ids.classes[order], groups, num_groups)
            partition_of_code = np.empty(len(order), dtype=np.int64)
            partition_of_code[order] = known.partitions
        else:
            drops = self.on_unknown == "drop"
            partition_of_code = partition_of_codes(ids, known, name=name, source=source, drops_unknown=drops)
        return split_by_ids(ids, known, partition_of_code)

    def _known(self, like: Assignment | None) -> Numbering | None:
        """Return the numbering that is fixed before the rows are seen, if any."""
        if like is not None:
            if self.natural_ids is not None:
                raise ValueError("natural_ids of the partitioner already number the partitions; omit like")
            numbering = numbering_of(like._parts)
            if numbering is None:
                raise ValueError(
                    "like has neither natural ids nor names; make it with NaturalIdPartitioner, "
                    "GroupedNaturalIdPartitioner or from_partitions({name: rows})"
                )
            return numbering
        if self.natural_ids is None:
            return None
        column = read_labels(self.natural_ids, name="natural_ids")
        num_groups, groups = self._group_of_each(len(column))
        return numbered(column.classes[column.codes], groups, num_groups)

    def _members(self) -> Iterator[tuple[Label, int]]:
        """Yield each natural id that is not dropped, and its partition, in order: those listed, or of the data set."""
        numbering = self._known(None) or cast("Numbering", numbering_of(self.assignment._parts))
        members = zip(numbering.natural_ids.tolist(), numbering.partitions.tolist(), strict=True)
        return ((one, partition_id) for one, partition_id in members if partition_id >= 0)


def checked_like(like: object) -> Assignment:
    """Return `like` if it is an assignment."""
    if not isinstance(like, Assignment):
        raise TypeError(
            f"like must be an Assignment, such as that of the training set, got {type(like).__name__}; "
            f"pass the result of assign, or the partitioner's assignment"
        )
    return like
