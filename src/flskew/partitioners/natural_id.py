"""Natural splits: a column names each row's owner."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from flskew._split.dealing import stable_order
from flskew._split.labels import LabelColumn, read_column, read_labels
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners.base import Partitioner
from flskew.typing import Labels

__all__ = ["GroupedNaturalIdPartitioner", "NaturalIdPartitioner"]

Mode: TypeAlias = Literal["allow-smaller", "allow-bigger", "drop-reminder", "strict"]


class GroupedNaturalIdPartitioner(Partitioner):
    """Give each partition all rows of several owners.

    Takes the arguments of Flower Datasets' partitioner of this name; with `label_by` the assignment knows its
    `label_counts`, so natural splits can be measured, drawn and matched like any others.

    Args:
        partition_by: The column that names each row's owner, in a data set.
        group_size: Owners of a partition, at least 1.
        mode: What becomes of the owners that do not fill a group. `"allow-smaller"`: they are the last partition.
            `"allow-bigger"`: the first partitions have one owner more. `"drop-reminder"`: their rows are `unassigned`.
            `"strict"`: they are an error.
        sort_unique_ids: Whether owners are taken in sorted order, or as they first appear.
        label_by: The column with the labels, in a data set; None if there is none.

    Raises:
        TypeError: An argument of the wrong type.
        ValueError: A number out of range; on assigning, a row without owner, or owners that do not fill the groups.

    Examples:
        >>> owners = ["ann", "bob", "ann", "eve", "bob"]
        >>> assignment = GroupedNaturalIdPartitioner("user", group_size=2).assign(owners, labels=[0, 1, 1, 0, 0])
        >>> assignment.label_counts
        array([[2, 2],
               [1, 0]])
    """

    def __init__(
        self,
        partition_by: str,
        group_size: int,
        mode: Mode = "allow-smaller",
        sort_unique_ids: bool = False,
        *,
        label_by: str | None = None,
    ) -> None:
        # How many partitions there are, the owners tell; and nothing here is random.
        super().__init__(1, checks.column_name("partition_by", partition_by), seed=0)
        self._group_size = checks.integer("group_size", group_size, minimum=1)
        self._mode = checks.choice("mode", mode, ("allow-smaller", "allow-bigger", "drop-reminder", "strict"))
        self._sort_unique_ids = checks.truth("sort_unique_ids", sort_unique_ids)
        self._label_by = None if label_by is None else checks.column_name("label_by", label_by)

    def assign(self, owners: Labels, /, labels: Labels | None = None) -> Assignment:
        """Split rows by their owners, with no data set needed.

        Args:
            owners: One owner per row: integers, strings or booleans.
            labels: One label per row, which the split does not depend on; without them the assignment has no classes.

        Returns:
            The assignment; a partition's rows are in the order of the data set.

        Raises:
            TypeError: Owners or labels of another type, nested or mixed.
            ValueError: A row without owner or label, or owners that do not fill the groups.
        """
        column = None if labels is None else read_labels(labels)
        return self._group(read_labels(owners, name="owners"), column)

    @property
    def num_partitions(self) -> int:
        """Total number of partitions in the bound data set."""
        return len(self.assignment)

    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        labels = None if self._label_by is None else read_column(dataset, self._label_by, argument="label_by")
        return self._group(read_column(dataset, str(self._partition_by)), labels)

    def _assign(self, column: LabelColumn, streams: Streams) -> Assignment:
        return self._group(column, None)

    def _group(self, owners: LabelColumn, labels: LabelColumn | None) -> Assignment:
        if labels is not None and len(labels) != len(owners):
            raise ValueError(f"labels must be one for each row, got {len(labels)} for {len(owners)} owners")
        num_groups, group_of_rank = self._group_of_rank(len(owners.classes))
        ranks = np.arange(len(owners.classes)) if self._sort_unique_ids else _ranks_by_appearance(owners)
        groups = group_of_rank[ranks][owners.codes].astype(np.min_scalar_type(num_groups))
        rows = stable_order(groups, num_groups + 1)
        ends = np.cumsum(np.bincount(groups))
        assigned = int(ends[num_groups - 1])
        offsets = np.concatenate(([0], ends[:num_groups]))
        return Assignment._from_rows(rows[:assigned], offsets, np.sort(rows[assigned:]), labels)

    def _group_of_rank(self, num_owners: int) -> tuple[int, NDArray[np.int64]]:
        """Return the number of groups, and the group of each owner in turn; one past the last for nobody."""
        full, left_over = divmod(num_owners, self._group_size)
        ranks = np.arange(num_owners, dtype=np.int64)
        # A number beyond all owners says the same as a larger one, and cannot overflow.
        groups = ranks // min(self._group_size, num_owners)
        if self._mode == "strict" and left_over:
            raise ValueError(
                f"group_size={self._group_size} leaves {left_over} of {num_owners} owners over, which mode='strict' "
                f"forbids; choose a divisor of {num_owners}, or another mode"
            )
        if self._mode != "allow-smaller" and full == 0:
            raise ValueError(
                f"group_size={self._group_size} is more than the {num_owners} owners there are; "
                f"lower it, or pass mode='allow-smaller'"
            )
        if self._mode == "allow-bigger":
            sizes = np.full(full, num_owners // full)
            sizes[: num_owners % full] += 1
            return full, np.repeat(ranks[:full], sizes)
        if self._mode == "drop-reminder":
            return full, np.minimum(groups, full)
        return full + (left_over > 0), groups


class NaturalIdPartitioner(GroupedNaturalIdPartitioner):
    """Give each owner a partition.

    Takes the arguments of Flower Datasets' partitioner of this name; with `label_by` the assignment knows its
    `label_counts`. Partitions are in the order in which the owners first appear.

    Args:
        partition_by: The column that names each row's owner, in a data set.
        label_by: The column with the labels, in a data set; None if there is none.

    Raises:
        TypeError: An argument of the wrong type.
        ValueError: On assigning, a row without owner.

    Examples:
        >>> [rows.tolist() for rows in NaturalIdPartitioner("user").assign(["bob", "ann", "bob"])]
        [[0, 2], [1]]
    """

    def __init__(self, partition_by: str, *, label_by: str | None = None) -> None:
        super().__init__(partition_by, 1, label_by=label_by)


def _ranks_by_appearance(owners: LabelColumn) -> NDArray[np.int64]:
    """(num_owners,) how many other owners appear before each."""
    first = np.empty(len(owners.classes), dtype=np.int64)
    # Of several writes to one place the last stays, so from the end to the beginning it is the first row.
    first[owners.codes[::-1]] = np.arange(len(owners))[::-1]
    ranks = np.empty_like(first)
    ranks[np.argsort(first)] = np.arange(len(first))
    return ranks
