"""Quantity skew: partitions of unequal sizes, with the labels of the whole data set."""

from __future__ import annotations

import numpy as np

from flskew._split.allocation import apportion, meet_minimum, normalise
from flskew._split.shares import as_concentration, as_numbers, dirichlet_weights
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.partitioners._blind import BlindPartitioner
from flskew.typing import Alpha, Sizes, Weights

__all__ = ["QuantityPartitioner"]


class QuantityPartitioner(BlindPartitioner):
    """Give partitions unequal numbers of rows, drawn at random from all rows regardless of their labels.

    Use it when clients should differ in size alone, so that any accuracy lost is not due to label skew.

    Pass exactly one of `alpha`, `sigma` and `exponent` to select the distribution of the sizes. Sizes sum to the number
    of rows. If a partition is below the minimum, the fewest rows that meet it are moved.

    Args:
        num_partitions: Number of partitions, from 1 to the number of rows.
        partition_by: The column with the labels in a data set, or None. The split does not depend on labels, but with
            them, the assignment has `label_counts`, and `Assignment.match` works.
        alpha: Concentration of Dirichlet-distributed sizes, > 0, one number or one per partition; smaller is more
            skewed.
        sigma: Standard deviation of the logarithm of log-normal sizes, > 0; larger is more skewed. Li et al. 2020 use
            2.
        exponent: Exponent of power-law (Pareto) sizes, > 0: the probability that the weight of a partition exceeds x is
            x**-exponent. Smaller is more skewed; at 1 or below, a single partition often holds most rows.
        min_partition_size: Minimum number of rows per partition, >= 0.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.

    Raises:
        TypeError: An argument has the wrong type, `seed` is None, or not exactly one of `alpha`, `sigma` and `exponent`
            is given.
        ValueError: A number is out of range; on assigning, there are too few rows for the partitions or their minimum.

    References:
        Q. Li, Y. Diao, Q. Chen, B. He: "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022,
        https://arxiv.org/abs/2102.02079, for Dirichlet sizes: "quantity skew".

        T. Li, A. K. Sahu, M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith: "Federated Optimization in Heterogeneous
        Networks", MLSys 2020, https://arxiv.org/abs/1812.06127, for log-normal sizes, which it calls a power law.

    Examples:
        >>> assignment = QuantityPartitioner(5, sigma=2.0).assign([0, 1] * 500)
        >>> sorted(assignment.sizes.tolist())
        [10, 88, 98, 141, 663]
    """

    def __init__(
        self,
        num_partitions: int,
        partition_by: str | None = None,
        *,
        alpha: Alpha | None = None,
        sigma: float | None = None,
        exponent: float | None = None,
        min_partition_size: int = 10,
        shuffle: bool = True,
        seed: int = 42,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle)
        given = {"alpha": alpha, "sigma": sigma, "exponent": exponent}
        names = [name for name, value in given.items() if value is not None]
        if len(names) != 1:
            raise TypeError(
                f"exactly one of alpha, sigma and exponent must be given, got {' and '.join(names) or 'none'}; "
                f"alpha=0.5 is a common choice"
            )
        self.alpha = None if alpha is None else as_concentration(alpha, self.num_partitions)
        self.sigma = None if sigma is None else checks.positive("sigma", sigma, "2 is a common choice")
        self.exponent = None if exponent is None else checks.positive("exponent", exponent, "1.5 is a common choice")
        self.min_partition_size = checks.integer("min_partition_size", min_partition_size, minimum=0)

    def check_num_rows(self, num_rows: int) -> None:
        """Reject too few rows for the partitions or their minimum."""
        super().check_num_rows(num_rows)
        checks.enough_rows(self.min_partition_size, self.num_partitions, num_rows)

    def _sizes(self, num_rows: int, streams: Streams) -> Sizes:
        rng = streams("sizes")
        shares = normalise(self._draw_weights(rng)[None])
        counts = apportion(shares, np.array([num_rows]), rng.random(1))
        sizes: Sizes = meet_minimum(counts, self.min_partition_size, streams("minimum"))[0]
        return sizes

    def _draw_weights(self, rng: np.random.Generator) -> Weights:
        """(num_partitions,) logarithms of the sizes, up to a constant."""
        if self.alpha is not None:
            return dirichlet_weights(as_numbers(self.alpha), self.num_partitions, rng)
        with np.errstate(under="ignore"):
            if self.sigma is not None:
                # Above 1e300 the product would overflow; far below, one partition already has everything.
                return min(self.sigma, 1e300) * rng.standard_normal(self.num_partitions)
            # The logarithm of a Pareto variable is exponential. Below 1e-300 the quotient would overflow.
            return rng.standard_exponential(self.num_partitions) / max(self.exponent or 1, 1e-300)
