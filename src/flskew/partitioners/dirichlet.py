"""Dirichlet over partitions, class by class."""

from __future__ import annotations

from functools import partial

import numpy as np

from flskew._split.allocation import apportion, apportion_classes, meet_minimum, normalise
from flskew._split.building import deal_targets
from flskew._split.labels import LabelColumn
from flskew._split.multi_label import MultiLabelColumn
from flskew._split.shares import as_concentration, as_numbers, dirichlet_weights
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners.base import LabelPartitioner
from flskew.typing import Alpha, Counts

__all__ = ["DirichletPartitioner"]


class DirichletPartitioner(LabelPartitioner):
    """Give each partition a Dirichlet-distributed share of every class.

    Use it when you want to compare with published results: this is the most common way to simulate label skew.
    Clients also differ in size.

    For each class, independently, the shares of the partitions are one draw from a symmetric Dirichlet distribution, or
    from one with a different alpha for each partition.

    Takes the arguments of Flower Datasets' partitioner of the same name. Unlike it and the papers' code,

    - it draws once and moves the fewest rows that meet `min_partition_size`. Redrawing until every partition is large
      enough may never end if alpha is small, and training and test splits would no longer match;
    - it rounds shares without bias and draws the rows of a class at random, so no partition is favoured;
    - the shares of a class depend only on the seed and the label, so the splits of a training set and a test set match.

    NIID-Bench, the code of Li et al., corresponds to `self_balancing=True`.

    Args:
        num_partitions: Number of partitions, from 1 to the number of rows.
        partition_by: The column with the labels in a data set; not used by `assign`.
        alpha: Concentration, > 0: one number for all partitions, or one per partition. Smaller is more skewed: 0.1
            gives most partitions few classes, 100 is close to IID. With one per partition, the expected shares are
            proportional to them. The default is that of Li et al.
        min_partition_size: Minimum number of rows per partition, >= 0.
        self_balancing: Whether partitions with more than an even share of the rows get no further rows, as in the code
            of Yurochkin et al. and in NIID-Bench. Classes are then processed in an order drawn from the seed and their
            labels, and the shares of a class depend on the classes before it.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.
        num_bins: For a continuous target or dates, the number of quantile bins to use as classes; None for labels.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A number is out of range; on assigning, there are too few rows for the partitions or their minimum.

    References:
        M. Yurochkin, M. Agarwal, S. Ghosh, K. Greenewald, N. Hoang, Y. Khazaeni: "Bayesian Nonparametric Federated
        Learning of Neural Networks", ICML 2019, https://arxiv.org/abs/1905.12022.

        Q. Li, Y. Diao, Q. Chen, B. He: "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022,
        https://arxiv.org/abs/2102.02079, where it is "distribution-based label imbalance".

    Examples:
        >>> labels = [0, 1, 2, 3] * 100
        >>> DirichletPartitioner(3, alpha=0.3).assign(labels).label_counts
        array([[  7, 100,  74,  35],
               [  3,   0,   0,  21],
               [ 90,   0,  26,  44]])
        >>> DirichletPartitioner(3, alpha=100).assign(labels).label_counts
        array([[31, 36, 32, 31],
               [32, 35, 37, 32],
               [37, 29, 31, 37]])
    """

    def __init__(
        self,
        num_partitions: int,
        partition_by: str = "label",
        alpha: Alpha = 0.5,
        min_partition_size: int = 10,
        self_balancing: bool = False,
        shuffle: bool = True,
        seed: int = 42,
        *,
        num_bins: int | None = None,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle, num_bins=num_bins)
        self.alpha = as_concentration(alpha, self.num_partitions)
        self.min_partition_size = checks.integer("min_partition_size", min_partition_size, minimum=0)
        self.self_balancing = checks.truth("self_balancing", self_balancing)

    def check_num_rows(self, num_rows: int) -> None:
        """Reject too few rows for the partitions or their minimum."""
        super().check_num_rows(num_rows)
        checks.enough_rows(self.min_partition_size, self.num_partitions, num_rows)

    def class_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Draw the shares of each class and round them, then meet the minimum."""
        return meet_minimum(self._drawn_counts(column, streams), self.min_partition_size, streams("minimum"))

    def split_multi_label(self, column: MultiLabelColumn, streams: Streams) -> Assignment:
        """Come as close as possible to the shares of each class; the minimum is a number of rows, not of labels."""
        counts = self._drawn_counts(column.entries, streams)
        minimum = self.min_partition_size
        return Assignment._seal(deal_targets(column, counts, streams, shuffle=self.shuffle, minimum=minimum))

    def _drawn_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Draw the shares of each class and round them."""
        if self.self_balancing:
            return self._balanced_counts(column, streams)
        draw_weights = partial(dirichlet_weights, as_numbers(self.alpha), self.num_partitions)
        return apportion_classes(column, self.num_partitions, draw_weights, streams)

    def _balanced_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Split one class after the other among the partitions that are not yet full."""
        counts = np.zeros((len(column.classes), self.num_partitions), dtype=np.int64)
        sizes = np.zeros(self.num_partitions, dtype=np.int64)
        even = len(column) / self.num_partitions
        alpha = as_numbers(self.alpha)
        # The order depends on the labels, so that it does not matter which class comes first in the data.
        turns = np.array([streams("turn", label).random() for label in column.labels])
        for code in np.argsort(turns, kind="stable"):
            rng = streams("shares", column.labels[code])
            shares = normalise(dirichlet_weights(alpha, self.num_partitions, rng)[None], among=(sizes <= even)[None])
            counts[code] = apportion(shares, column.sizes[code : code + 1], rng.random(1))[0]
            sizes += counts[code]
        return counts
