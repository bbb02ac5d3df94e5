"""k classes a client, in even parts.

H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas: "Communication-Efficient Learning of Deep Networks
from Decentralized Data", AISTATS 2017, arXiv 1602.05629, names the case; as "quantity-based label imbalance" it is in
Q. Li, Y. Diao, Q. Chen, B. He: "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022,
arXiv 2102.02079.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import apportion_classes
from flskew._split.holders import balanced_holders, check_enough_rows, check_num_classes
from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.partitioners.base import LabelPartitioner
from flskew.typing import Counts

__all__ = ["PathologicalPartitioner"]

ClassAssignmentMode: TypeAlias = Literal["random", "deterministic", "first-deterministic"]


class PathologicalPartitioner(LabelPartitioner):
    """Give each partition rows of exactly k classes, and split each class evenly among those who hold it.

    Takes the arguments of Flower Datasets' partitioner of this name. Unlike that one, `"random"` leaves no class out
    as long as `num_partitions * num_classes_per_partition` reaches the number of classes: numbers of holders differ by
    one at most. Where it does not reach it, the classes that nobody holds are `unassigned`.

    Args:
        num_partitions: At least 1, at most the number of rows.
        partition_by: The column with the labels, in a data set; `assign` does not look at it.
        num_classes_per_partition: Classes of each partition: at least 1, at most the number of classes.
        class_assignment_mode: `"random"`: drawn evenly. `"deterministic"`: partition i has the classes i, i + 1, … in
            their sorted order, beginning anew after the last. `"first-deterministic"`: partition i has class i in
            that sense, and others drawn uniformly; as in the code of Li et al.
        shuffle: Whether the rows of a partition are in random order, or in that of the data set.
        seed: Any integer.
        num_bins: For a continuous target, the number of quantile bins that become its classes; None for labels.

    Raises:
        TypeError: An argument of the wrong type, or `seed=None`.
        ValueError: A number out of range; on assigning, more classes asked for than there are, or a class with fewer
            rows than holders.

    Examples:
        >>> assignment = PathologicalPartitioner(10, "label", 2).assign([row % 10 for row in range(1000)])
        >>> (assignment.label_counts > 0).sum(axis=1)
        array([2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """

    def __init__(
        self,
        num_partitions: int,
        partition_by: str,
        num_classes_per_partition: int,
        class_assignment_mode: ClassAssignmentMode = "random",
        shuffle: bool = True,
        seed: int = 42,
        *,
        num_bins: int | None = None,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle, num_bins=num_bins)
        self._num_held = checks.integer("num_classes_per_partition", num_classes_per_partition, minimum=1)
        self._mode = checks.choice(
            "class_assignment_mode", class_assignment_mode, ("random", "deterministic", "first-deterministic")
        )

    def _counts(self, column: LabelColumn, streams: Streams) -> Counts:
        check_num_classes(self._num_held, column)
        holders = self._holders(len(column.classes), streams)
        check_enough_rows(column, holders)
        return apportion_classes(column, self._num_partitions, lambda _: 0.0, streams, among=holders)

    def _holders(self, num_classes: int, streams: Streams) -> NDArray[np.bool_]:
        rng = streams("holders")
        if self._mode == "random":
            return balanced_holders(self._num_partitions, num_classes, self._num_held, rng)
        holders = np.zeros((num_classes, self._num_partitions), dtype=np.bool_)
        for partition_id in range(self._num_partitions):
            first = partition_id % num_classes
            if self._mode == "deterministic":
                others = np.arange(1, self._num_held)
            else:
                others = 1 + rng.choice(num_classes - 1, self._num_held - 1, replace=False, shuffle=False)
            holders[first, partition_id] = True
            holders[(first + others) % num_classes, partition_id] = True
        return holders
