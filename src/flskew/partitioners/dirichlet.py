"""Dirichlet over partitions, class by class.

M. Yurochkin, M. Agarwal, S. Ghosh, K. Greenewald, N. Hoang, Y. Khazaeni: "Bayesian Nonparametric Federated Learning of
Neural Networks", ICML 2019, arXiv 1905.12022. Also "distribution-based label imbalance" in Q. Li, Y. Diao, Q. Chen,
B. He: "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022, arXiv 2102.02079.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from flskew._split.allocation import apportion, apportion_classes, meet_minimum, normalise
from flskew._split.labels import LabelColumn
from flskew._split.shares import dirichlet_weights
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.partitioners.base import LabelPartitioner
from flskew.typing import Alpha, Counts

__all__ = ["DirichletPartitioner"]


class DirichletPartitioner(LabelPartitioner):
    """Give each partition a Dirichlet-distributed share of every class.

    The most common way to make label skew. For each class, independently, the shares of the partitions are one draw
    from a symmetric Dirichlet distribution (or one with an alpha of its own for each partition).

    Takes the arguments of Flower Datasets' partitioner of this name. Unlike that one, and the code of the papers, this

    - never draws again until every partition is large enough, which for small alpha never ends, and breaks the match
      between train and test splits; instead it moves the fewest rows that meet `min_partition_size`;
    - rounds shares without bias and picks the rows of a class at random, so no partition is favoured by its position;
    - draws each class's shares from the seed and the label alone, so two splits of one data set match.

    Args:
        num_partitions: At least 1, at most the number of rows.
        partition_by: The column with the labels, in a data set; `assign` does not look at it.
        alpha: Concentration, > 0: one for all, or one per partition, whose ratios are then those of the expected
            shares. Smaller is more skewed: 0.1 gives most partitions few classes, 100 is close to IID.
        min_partition_size: Rows that every partition gets at least, >= 0.
        self_balancing: Whether partitions that hold more than an even share of the rows get no more, as in the code of
            Yurochkin et al. Classes are then dealt in an order drawn from the seed and their labels; a class's shares
            do depend on those dealt before it.
        shuffle: Whether the rows of a partition are in random order, or in that of the data set.
        seed: Any integer.
        num_bins: For a continuous target, the number of quantile bins that become its classes; None for labels.

    Raises:
        TypeError: An argument of the wrong type, or `seed=None`.
        ValueError: A number out of range; on assigning, rows too few for the partitions or their minimum.

    Examples:
        >>> partitioner = DirichletPartitioner(10, "label", alpha=0.3)
        >>> assignment = partitioner.assign([row % 10 for row in range(60_000)])
        >>> len(assignment), assignment.num_rows, assignment.label_counts.shape
        (10, 60000, (10, 10))
    """

    def __init__(
        self,
        num_partitions: int,
        partition_by: str,
        alpha: Alpha,
        min_partition_size: int = 10,
        self_balancing: bool = False,
        shuffle: bool = True,
        seed: int = 42,
        *,
        num_bins: int | None = None,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle, num_bins=num_bins)
        self._alpha = checks.concentration(alpha, self._num_partitions)
        self._min_partition_size = checks.integer("min_partition_size", min_partition_size, minimum=0)
        self._self_balancing = checks.truth("self_balancing", self_balancing)

    def _check_num_rows(self, num_rows: int) -> None:
        super()._check_num_rows(num_rows)
        checks.enough_rows(self._min_partition_size, self._num_partitions, num_rows)

    def _counts(self, column: LabelColumn, streams: Streams) -> Counts:
        if self._self_balancing:
            counts = self._balanced_counts(column, streams)
        else:
            draw_weights = partial(dirichlet_weights, self._alpha)
            counts = apportion_classes(column, self._num_partitions, draw_weights, streams)
        return meet_minimum(counts, self._min_partition_size, streams("minimum"))

    def _balanced_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Deal the classes one after the other, each among the partitions that are not yet full."""
        counts = np.zeros((len(column.classes), self._num_partitions), dtype=np.int64)
        sizes = np.zeros(self._num_partitions, dtype=np.int64)
        even = len(column) / self._num_partitions
        # By label and not by position, so that it does not matter which class comes first in the data.
        lots = np.array([streams("turn", label).random() for label in column.labels])
        for code in np.argsort(lots, kind="stable"):
            rng = streams("shares", column.labels[code])
            shares = normalise(dirichlet_weights(self._alpha, rng)[None], among=sizes <= even)
            counts[code] = apportion(shares, column.sizes[code : code + 1], rng.random(1))[0]
            sizes += counts[code]
        return counts
