"""Natural splits: a column names the site, user or device of each row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from flskew._split.building import Parts, with_labels
from flskew._split.dealing import stable_order
from flskew._split.labels import LabelColumn, read_column, read_labels
from flskew._split.names import names_of_ids
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners._binding import BindingPartitioner
from flskew.typing import GroupMode, Label, Labels

__all__ = ["GroupedNaturalIdPartitioner", "NaturalIdPartitioner"]


class _NaturalPartitioner(BindingPartitioner):
    """Give each partition all rows of one or several natural ids; nothing is random."""

    _groups: tuple[tuple[Label, ...], ...] = ()

    def __init__(self, partition_by: str, label_by: str | None) -> None:
        super().__init__()
        self.partition_by = checks.column_name("partition_by", partition_by)
        self.label_by = None if label_by is None else checks.column_name("label_by", label_by)

    def assign(self, natural_ids: Labels, /, labels: Labels | None = None) -> Assignment:
        """Split rows by their natural ids, without a data set.

        Args:
            natural_ids: One natural id per row: integers, strings or booleans.
            labels: One label per row. The split does not depend on them; without them, the assignment has no classes.

        Returns:
            The assignment; the rows of a partition are in the order of the data set.

        Raises:
            TypeError: Natural ids or labels have another type, or are nested or mixed.
            ValueError: A natural id or a label is missing, or the natural ids do not fill the groups.
        """
        column = None if labels is None else read_labels(labels)
        return self._assign(read_labels(natural_ids, name="natural_ids"), column)

    @property
    def num_partitions(self) -> int:
        """Number of partitions of the bound data set."""
        return len(self.assignment)

    @abstractmethod
    def _order(self, ids: LabelColumn) -> NDArray[np.intp]:
        """(num_ids,) positions among the sorted natural ids, in the order in which the ids fill the partitions."""

    @abstractmethod
    def _group_of_each(self, num_ids: int) -> tuple[int, NDArray[np.int64]]:
        """Return the number of groups, and the group of each natural id in that order; num_groups if it is dropped."""

    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        labels = None if self.label_by is None else read_column(dataset, self.label_by, argument="label_by")
        return self._assign(read_column(dataset, self.partition_by), labels)

    def _assign(self, ids: LabelColumn, labels: LabelColumn | None) -> Assignment:
        if labels is not None and len(labels) != len(ids):
            raise ValueError(f"labels must be one per row, got {len(labels)} for {len(ids)} natural ids")
        num_groups, group_of_each = self._group_of_each(len(ids.classes))
        group_of_code = np.empty(len(ids.classes), dtype=np.min_scalar_type(num_groups))
        group_of_code[self._order(ids)] = group_of_each
        groups = group_of_code[ids.codes]
        rows = stable_order(groups, num_groups + 1)
        ends = np.cumsum(np.bincount(groups))
        assigned = int(ends[num_groups - 1])
        parts = Parts(rows[:assigned], np.concatenate(([0], ends[:num_groups])), np.sort(rows[assigned:]))
        is_kept = group_of_each < num_groups
        in_order = ids.classes[self._order(ids)]
        parts = parts._replace(
            names=names_of_ids(in_order[is_kept]) if np.count_nonzero(is_kept) == num_groups else None,
            natural_ids=in_order,
            natural_id_partitions=np.where(is_kept, group_of_each, -1),
        )
        return Assignment._seal(with_labels(parts, labels))

    def _members(self) -> Iterator[tuple[Label, int]]:
        """Yield each natural id of the bound data set that is not dropped, and its partition, in order."""
        ids = read_column(self.dataset, self.partition_by)
        num_groups, group_of_each = self._group_of_each(len(ids.classes))
        members = zip(ids.classes[self._order(ids)].tolist(), group_of_each.tolist(), strict=True)
        return ((one, partition_id) for one, partition_id in members if partition_id < num_groups)


class GroupedNaturalIdPartitioner(_NaturalPartitioner):
    """Give each partition all rows of several natural ids.

    Takes the arguments of Flower Datasets' partitioner of the same name. With `label_by`, the assignment has
    `label_counts`, so that natural splits can be measured, plotted and matched like any other.

    Args:
        partition_by: The column with the natural ids in a data set.
        group_size: Number of natural ids per partition, at least 1.
        mode: What happens to the natural ids that do not fill a group. `"allow-smaller"`: they form the last partition.
            `"allow-bigger"`: each joins one of the first partitions. `"drop-reminder"`: their rows are `unassigned`.
            `"strict"`: they raise an error.
        sort_unique_ids: Whether natural ids are taken in sorted order or in the order in which they first appear.
        label_by: The column with the labels in a data set; None if there is none.

    Raises:
        TypeError: An argument of the wrong type.
        ValueError: A number out of range; on assigning, a missing natural id, or natural ids that do not fill the
            groups.

    Examples:
        >>> users = ["ann", "bob", "ann", "eve", "bob"]
        >>> assignment = GroupedNaturalIdPartitioner("user", group_size=2).assign(users, labels=[0, 1, 1, 0, 0])
        >>> assignment.label_counts
        array([[2, 2],
               [1, 0]])
    """

    def __init__(
        self,
        partition_by: str,
        group_size: int,
        mode: GroupMode = "allow-smaller",
        sort_unique_ids: bool = False,
        *,
        label_by: str | None = None,
    ) -> None:
        super().__init__(partition_by, label_by)
        self.group_size = checks.integer("group_size", group_size, minimum=1)
        self.mode = checks.choice("mode", mode, ("allow-smaller", "allow-bigger", "drop-reminder", "strict"))
        self.sort_unique_ids = checks.truth("sort_unique_ids", sort_unique_ids)

    @property
    def partition_id_to_natural_ids(self) -> dict[int, list[Label]]:
        """The natural ids of each partition of the bound data set."""
        groups: dict[int, list[Label]] = {}
        for one, partition_id in self._members():
            groups.setdefault(partition_id, []).append(one)
        return groups

    @property
    def natural_id_to_partition_id(self) -> dict[Label, int]:
        """The partition of each natural id in the bound data set, except dropped ones."""
        return dict(self._members())

    def _order(self, ids: LabelColumn) -> NDArray[np.intp]:
        if self.sort_unique_ids:
            return np.arange(len(ids.classes))
        first = np.empty(len(ids.classes), dtype=np.int64)
        # With repeated indices, the last write wins. Writing from the last row to the first keeps the first row.
        first[ids.codes[::-1]] = np.arange(len(ids))[::-1]
        return np.argsort(first)

    def _group_of_each(self, num_ids: int) -> tuple[int, NDArray[np.int64]]:
        full, left_over = divmod(num_ids, self.group_size)
        places = np.arange(num_ids, dtype=np.int64)
        # Capped at the number of natural ids, so that a huge group size cannot overflow.
        groups = places // min(self.group_size, num_ids)
        if self.mode == "strict" and left_over:
            raise ValueError(
                f"group_size={self.group_size} leaves {left_over} of {num_ids} natural ids over, which mode='strict' "
                f"forbids; choose a divisor of {num_ids}, or another mode"
            )
        if self.mode != "allow-smaller" and full == 0:
            raise ValueError(
                f"group_size={self.group_size} exceeds the number of natural ids, {num_ids}; "
                f"lower it, or pass mode='allow-smaller'"
            )
        if self.mode == "allow-bigger":
            sizes = np.full(full, num_ids // full)
            sizes[: num_ids % full] += 1
            return full, np.repeat(places[:full], sizes)
        if self.mode == "drop-reminder":
            return full, np.minimum(groups, full)
        return full + (left_over > 0), groups


class NaturalIdPartitioner(_NaturalPartitioner):
    """Give each natural id its own partition.

    Takes the arguments of Flower Datasets' partitioner of the same name. With `label_by`, the assignment has
    `label_counts`. Partitions are in the sorted order of the natural ids, as in flwr-datasets since 0.6.

    Args:
        partition_by: The column with the natural ids in a data set.
        label_by: The column with the labels in a data set; None if there is none.

    Raises:
        TypeError: An argument of the wrong type.
        ValueError: On assigning, a missing natural id.

    Examples:
        >>> [rows.tolist() for rows in NaturalIdPartitioner("user").assign(["bob", "ann", "bob"])]
        [[1], [0, 2]]
    """

    def __init__(self, partition_by: str, *, label_by: str | None = None) -> None:
        super().__init__(partition_by, label_by)

    @property
    def partition_id_to_natural_id(self) -> dict[int, Label]:
        """The natural id of each partition of the bound data set."""
        return {partition_id: one for one, partition_id in self._members()}

    def _order(self, ids: LabelColumn) -> NDArray[np.intp]:
        return np.arange(len(ids.classes))

    def _group_of_each(self, num_ids: int) -> tuple[int, NDArray[np.int64]]:
        return num_ids, np.arange(num_ids, dtype=np.int64)
