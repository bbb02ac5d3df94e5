"""k classes per client, each class split evenly."""

from __future__ import annotations

import numpy as np

from flskew._split.allocation import apportion_classes
from flskew._split.holders import balanced_holders, check_enough_rows, check_num_classes
from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.partitioners.base import LabelPartitioner, Partitioner
from flskew.typing import ClassAssignmentMode, Counts, Holders

__all__ = ["PathologicalPartitioner"]


class PathologicalPartitioner(LabelPartitioner):
    """Give each partition rows of exactly k classes, and split each class evenly among its holders.

    Use it when each client should hold exactly k classes. The skew is extreme and easy to picture, and few real
    federations look like this.

    Takes the arguments of Flower Datasets' partitioner of the same name. There, `"random"` may leave a class without a
    holder, and its rows are lost. Here, the numbers of holders differ by at most one. A class has no holder only if
    `num_partitions * num_classes_per_partition` is below the number of classes; its rows are then `unassigned`.

    "#C=k" in NIID-Bench, the code of Li et al., corresponds to `class_assignment_mode="first-deterministic"`.

    Args:
        num_partitions: Number of partitions, from 1 to the number of rows.
        partition_by: The column with the labels in a data set; not used by `assign`.
        num_classes_per_partition: Number of classes per partition, from 1 to the number of classes. The default is that
            of McMahan et al.
        class_assignment_mode: `"random"`: classes are drawn, with equally many holders each. `"deterministic"`:
            partition i has the classes i, i + 1, … in sorted order, wrapping around after the last.
            `"first-deterministic"`: partition i has class i, likewise wrapping around, and others drawn uniformly.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.
        num_bins: For a continuous target or dates, the number of quantile bins to use as classes; None for labels.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A number is out of range; on assigning, there are fewer classes than each partition needs, or a
            class has fewer rows than holders.

    References:
        H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas: "Communication-Efficient Learning of Deep
        Networks from Decentralized Data", AISTATS 2017, https://arxiv.org/abs/1602.05629.

        Q. Li, Y. Diao, Q. Chen, B. He: "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022,
        https://arxiv.org/abs/2102.02079, where it is "quantity-based label imbalance".

    Examples:
        >>> partitioner = PathologicalPartitioner(10, num_classes_per_partition=2)
        >>> assignment = partitioner.assign([row % 10 for row in range(1000)])
        >>> (assignment.label_counts > 0).sum(axis=1)
        array([2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """

    def __init__(
        self,
        num_partitions: int,
        partition_by: str = "label",
        num_classes_per_partition: int = 2,
        class_assignment_mode: ClassAssignmentMode = "random",
        shuffle: bool = True,
        seed: int = 42,
        *,
        num_bins: int | None = None,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle, num_bins=num_bins)
        self.num_classes_per_partition = checks.integer(
            "num_classes_per_partition", num_classes_per_partition, minimum=1
        )
        self.class_assignment_mode = checks.choice(
            "class_assignment_mode", class_assignment_mode, ("random", "deterministic", "first-deterministic")
        )

    # Rows with other labels, too, would break the promise of exactly k classes.
    split_multi_label = Partitioner.split_multi_label

    def class_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Choose the holders of each class, then split it evenly among them."""
        check_num_classes(self.num_classes_per_partition, column)
        holders = self._holders(len(column.classes), streams)
        check_enough_rows(column, holders)
        return apportion_classes(column, self.num_partitions, lambda _: 0.0, streams, among=holders)

    def _holders(self, num_classes: int, streams: Streams) -> Holders:
        rng, num_held = streams("holders"), self.num_classes_per_partition
        if self.class_assignment_mode == "random":
            return balanced_holders(self.num_partitions, num_classes, num_held, rng)
        holders = np.zeros((num_classes, self.num_partitions), dtype=np.bool_)
        for partition_id in range(self.num_partitions):
            first = partition_id % num_classes
            if self.class_assignment_mode == "deterministic":
                others = np.arange(1, num_held)
            else:
                others = 1 + rng.choice(num_classes - 1, num_held - 1, replace=False, shuffle=False)
            holders[first, partition_id] = True
            holders[(first + others) % num_classes, partition_id] = True
        return holders
