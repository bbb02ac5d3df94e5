"""k classes per client, then Dirichlet shares among the holders of each class."""

from __future__ import annotations

from functools import partial

import numpy as np

from flskew._split.allocation import apportion_classes, meet_minimum
from flskew._split.holders import balanced_holders, check_enough_rows, check_num_classes
from flskew._split.labels import LabelColumn
from flskew._split.shares import as_concentration, as_numbers, dirichlet_weights
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.partitioners.base import LabelPartitioner, Partitioner
from flskew.typing import Alpha, Counts

__all__ = ["ExtendedDirichletPartitioner"]


class ExtendedDirichletPartitioner(LabelPartitioner):
    """Give each partition rows of exactly k classes, in Dirichlet-distributed shares.

    Use it when clients should hold exactly k classes, but in unequal shares. With k, you set how many classes a
    client holds; with alpha, how unequal the shares are.

    First, every partition draws k classes so that all classes have equally many holders, as in
    `PathologicalPartitioner`. Then the shares of each class are one Dirichlet draw among its holders.

    The paper's code redraws the classes until all are covered, and the shares until all are large enough. This scheme
    draws both once, and then moves the fewest rows within each class that give every holder `min_rows_per_class`.

    Args:
        num_partitions: Number of partitions, from 1 to the number of rows.
        partition_by: The column with the labels in a data set; not used by `assign`.
        num_classes_per_partition: Number of classes per partition, from 1 to the number of classes. The default is that
            of McMahan et al. (AISTATS 2017).
        alpha: Concentration, > 0, one number or one per partition; smaller is more skewed. The default is that of Li et
            al. (ICDE 2022).
        min_rows_per_class: Minimum number of rows of each class in each of its holders, >= 0. With 0, a partition may
            hold fewer classes than requested.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.
        num_bins: For a continuous target or dates, the number of quantile bins to use as classes; None for labels.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A number is out of range; on assigning, there are fewer classes than each partition needs, or a
            class has too few rows for its holders.

    References:
        Y. Li, X. Lyu: "Convergence Analysis of Sequential Federated Learning on Heterogeneous Data", NeurIPS 2023,
        https://arxiv.org/abs/2311.03154, whose experiments call it the Extended Dirichlet strategy.

    Examples:
        >>> partitioner = ExtendedDirichletPartitioner(
        ...     10, num_classes_per_partition=3, alpha=0.3
        ... )
        >>> assignment = partitioner.assign([row % 10 for row in range(1000)])
        >>> (assignment.label_counts > 0).sum(axis=1)
        array([3, 3, 3, 3, 3, 3, 3, 3, 3, 3])
    """

    def __init__(
        self,
        num_partitions: int,
        partition_by: str = "label",
        num_classes_per_partition: int = 2,
        alpha: Alpha = 0.5,
        min_rows_per_class: int = 1,
        shuffle: bool = True,
        seed: int = 42,
        *,
        num_bins: int | None = None,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle, num_bins=num_bins)
        self.num_classes_per_partition = checks.integer(
            "num_classes_per_partition", num_classes_per_partition, minimum=1
        )
        self.alpha = as_concentration(alpha, self.num_partitions)
        self.min_rows_per_class = checks.integer("min_rows_per_class", min_rows_per_class, minimum=0)

    # Rows with other labels, too, would break the promise of exactly k classes.
    split_multi_label = Partitioner.split_multi_label

    def class_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Draw the holders of each class, then their shares."""
        num_held, num_classes = self.num_classes_per_partition, len(column.classes)
        check_num_classes(num_held, column)
        holders = balanced_holders(self.num_partitions, num_classes, num_held, streams("holders"))
        check_enough_rows(column, holders, self.min_rows_per_class)
        draw_weights = partial(dirichlet_weights, as_numbers(self.alpha), self.num_partitions)
        counts = apportion_classes(column, self.num_partitions, draw_weights, streams, among=holders)
        for code in np.flatnonzero(counts.any(axis=1)).tolist():
            mine = np.flatnonzero(holders[code])
            rng = streams("minimum", column.labels[code])
            counts[code, mine] = meet_minimum(counts[None, code, mine], self.min_rows_per_class, rng)[0]
        return counts
