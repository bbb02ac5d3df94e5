"""Natural splits: a column names the site, user or device of each row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flskew._split.labels import LabelColumn
from flskew._util import checks
from flskew.partitioners._natural import NaturalPartitioner
from flskew.typing import GroupMode, Label, Labels, OnUnknown

__all__ = ["GroupedNaturalIdPartitioner", "NaturalIdPartitioner"]


class GroupedNaturalIdPartitioner(NaturalPartitioner):
    """Give each partition all rows of several natural ids.

    Use it when a column names each row's site, user or device, and one id alone has too few rows for a client.

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
        natural_ids: All natural ids, in the order in which they fill the groups; None to take those of the rows that
            are split. List them if a training set and a test set must have the same groups.
        on_unknown: What happens to the rows of a natural id that is not among `natural_ids` or in `like`.
            `"error"`: they raise an error. `"drop"`: they are `unassigned`.
        num_bins: For a continuous target or dates, the number of quantile bins to use as classes; None for labels.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A number is out of range, or a natural id is listed twice; on assigning, a natural id is missing or
            unknown, or the natural ids do not fill the groups and `mode` forbids that.

    References:
        D. J. Beutel et al.: "Flower: A Friendly Federated Learning Research Framework", 2020,
        https://arxiv.org/abs/2007.14390.

    Examples:
        >>> users = ["ann", "bob", "ann", "eve", "bob"]
        >>> pairs = GroupedNaturalIdPartitioner("user", group_size=2)
        >>> assignment = pairs.assign(users, labels=[0, 1, 1, 0, 0])
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
        natural_ids: Labels | None = None,
        on_unknown: OnUnknown = "error",
        num_bins: int | None = None,
    ) -> None:
        super().__init__(partition_by, label_by, natural_ids, on_unknown, num_bins)
        self.group_size = checks.integer("group_size", group_size, minimum=1)
        self.mode = checks.choice("mode", mode, ("allow-smaller", "allow-bigger", "drop-reminder", "strict"))
        self.sort_unique_ids = checks.truth("sort_unique_ids", sort_unique_ids)

    @property
    def partition_id_to_natural_ids(self) -> dict[int, list[Label]]:
        """The natural ids of each partition of the bound data set, or as listed in `natural_ids`."""
        groups: dict[int, list[Label]] = {}
        for one, partition_id in self._members():
            groups.setdefault(partition_id, []).append(one)
        return groups

    @property
    def natural_id_to_partition_id(self) -> dict[Label, int]:
        """The partition of each natural id of the bound data set or in `natural_ids`, except dropped ones."""
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


class NaturalIdPartitioner(NaturalPartitioner):
    """Give each natural id its own partition.

    Use it when a column names each row's site, user or device. No other split is as realistic.

    Takes the arguments of Flower Datasets' partitioner of the same name. With `label_by`, the assignment has
    `label_counts`. Partitions are in the sorted order of the natural ids, as in flwr-datasets since 0.6, and are named
    after them (`Assignment.names`).

    If a test set lacks some natural ids, partition 3 of the test set may be another site than partition 3 of the
    training set. To avoid this, pass the training split as `like` to `assign`. For a `FederatedDataset`, list the
    `natural_ids` in both partitioners.

    Args:
        partition_by: The column with the natural ids in a data set.
        label_by: The column with the labels in a data set; None if there is none.
        natural_ids: The natural id of each partition; None to take those of the rows that are split. Ids without rows
            have empty partitions.
        on_unknown: What happens to the rows of a natural id that is not among `natural_ids` or in `like`.
            `"error"`: they raise an error. `"drop"`: they are `unassigned`.
        num_bins: For a continuous target or dates, the number of quantile bins to use as classes; None for labels.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A natural id is listed twice; on assigning, one is missing or unknown.

    References:
        S. Caldas, S. M. K. Duddu, P. Wu, T. Li, J. Konečný, H. B. McMahan, V. Smith, A. Talwalkar: "LEAF: A Benchmark
        for Federated Settings", 2018, https://arxiv.org/abs/1812.01097, which splits data sets by writer, user and
        speaker.

    Examples:
        >>> hospitals = NaturalIdPartitioner("hospital")
        >>> train = hospitals.assign(["Rome", "Bern", "Rome", "Lyon"])
        >>> train.names, train["Rome"]
        (('Bern', 'Lyon', 'Rome'), array([0, 2]))
        >>> test = hospitals.assign(["Rome", "Bern", "Bern"], like=train)
        >>> [rows.tolist() for rows in test]
        [[1, 2], [], [0]]
    """

    def __init__(
        self,
        partition_by: str,
        *,
        label_by: str | None = None,
        natural_ids: Labels | None = None,
        on_unknown: OnUnknown = "error",
        num_bins: int | None = None,
    ) -> None:
        super().__init__(partition_by, label_by, natural_ids, on_unknown, num_bins)

    @property
    def partition_id_to_natural_id(self) -> dict[int, Label]:
        """The natural id of each partition of the bound data set, or as listed in `natural_ids`."""
        return {partition_id: one for one, partition_id in self._members()}

    def _order(self, ids: LabelColumn) -> NDArray[np.intp]:
        return np.arange(len(ids.classes))

    def _group_of_each(self, num_ids: int) -> tuple[int, NDArray[np.int64]]:
        return num_ids, np.arange(num_ids, dtype=np.int64)
