"""k classes a client, then Dirichlet among those who hold a class.

Y. Li, X. Lyu: "Convergence Analysis of Sequential Federated Learning on Heterogeneous Data", NeurIPS 2023,
arXiv 2311.03154, whose experiments call it the Extended Dirichlet strategy.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from flskew._split.allocation import apportion_classes, meet_minimum
from flskew._split.holders import balanced_holders, check_enough_rows, check_num_classes
from flskew._split.labels import LabelColumn
from flskew._split.shares import dirichlet_weights
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.partitioners.base import LabelPartitioner
from flskew.typing import Alpha, Counts

__all__ = ["ExtendedDirichletPartitioner"]


class ExtendedDirichletPartitioner(LabelPartitioner):
    """Give each partition rows of exactly k classes, in Dirichlet-distributed shares.

    First every partition draws k classes, evenly, as in `PathologicalPartitioner`; then the shares of each class are
    one Dirichlet draw among its holders.

    Unlike the paper's code, which draws the classes again until all are covered and the shares again until all are
    large enough, nothing is drawn twice: within a class, the fewest rows are moved that give each holder
    `min_rows_per_class`.

    Args:
        num_partitions: At least 1, at most the number of rows.
        partition_by: The column with the labels, in a data set; `assign` does not look at it.
        num_classes_per_partition: Classes of each partition: at least 1, at most the number of classes.
        alpha: Concentration, > 0, one or one per partition; smaller is more skewed.
        min_rows_per_class: Rows that a partition has of each of its classes at least, >= 0. With 0 a partition may
            hold fewer classes than asked for.
        shuffle: Whether the rows of a partition are in random order, or in that of the data set.
        seed: Any integer.
        num_bins: For a continuous target, the number of quantile bins that become its classes; None for labels.

    Raises:
        TypeError: An argument of the wrong type, or `seed=None`.
        ValueError: A number out of range; on assigning, more classes asked for than there are, or a class with too
            few rows for its holders.

    Examples:
        >>> partitioner = ExtendedDirichletPartitioner(10, "label", 3, alpha=0.3)
        >>> (partitioner.assign([row % 10 for row in range(1000)]).label_counts > 0).sum(axis=1)
        array([3, 3, 3, 3, 3, 3, 3, 3, 3, 3])
    """

    def __init__(
        self,
        num_partitions: int,
        partition_by: str,
        num_classes_per_partition: int,
        alpha: Alpha,
        min_rows_per_class: int = 1,
        shuffle: bool = True,
        seed: int = 42,
        *,
        num_bins: int | None = None,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle, num_bins=num_bins)
        self._num_held = checks.integer("num_classes_per_partition", num_classes_per_partition, minimum=1)
        self._alpha = checks.concentration(alpha, self._num_partitions)
        self._min_rows_per_class = checks.integer("min_rows_per_class", min_rows_per_class, minimum=0)

    def _counts(self, column: LabelColumn, streams: Streams) -> Counts:
        check_num_classes(self._num_held, column)
        num_classes = len(column.classes)
        holders = balanced_holders(self._num_partitions, num_classes, self._num_held, streams("holders"))
        check_enough_rows(column, holders, self._min_rows_per_class)
        draw_weights = partial(dirichlet_weights, self._alpha)
        counts = apportion_classes(column, self._num_partitions, draw_weights, streams, among=holders)
        for code in np.flatnonzero(counts.any(axis=1)).tolist():
            mine = np.flatnonzero(holders[code])
            rng = streams("minimum", column.labels[code])
            counts[code, mine] = meet_minimum(counts[None, code, mine], self._min_rows_per_class, rng)[0]
        return counts
