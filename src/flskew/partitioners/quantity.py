"""Skewed sizes, with labels as in the whole.

"Quantity skew" with Dirichlet sizes: Q. Li, Y. Diao, Q. Chen, B. He: "Federated Learning on Non-IID Data Silos: An
Experimental Study", ICDE 2022, arXiv 2102.02079. Log-normal sizes, there called a power law: T. Li, A. K. Sahu,
M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith: "Federated Optimization in Heterogeneous Networks", MLSys 2020,
arXiv 1812.06127.
"""

from __future__ import annotations

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from flskew._split.allocation import apportion, meet_minimum, normalise
from flskew._split.labels import LabelColumn
from flskew._split.shares import dirichlet_weights
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners.base import Partitioner
from flskew.typing import Alpha

__all__ = ["QuantityPartitioner"]


class QuantityPartitioner(Partitioner):
    """Give partitions skewed numbers of rows, drawn at random from all rows, whatever their labels.

    Exactly one of `alpha`, `sigma` and `exponent` is given; it names the distribution of the sizes. Sizes sum to the
    number of rows exactly, and the fewest rows are moved that meet the minimum.

    Args:
        num_partitions: At least 1, at most the number of rows.
        partition_by: The column with the labels. The split does not depend on it, but with it the assignment knows
            its `label_counts` and can be matched.
        alpha: Dirichlet sizes of this concentration, > 0, one or one per partition; smaller is more skewed.
        sigma: Log-normal sizes whose logarithm has this standard deviation, > 0; larger is more skewed. Li et al.
            2020 use 2.
        exponent: Power-law sizes (Pareto), > 0: the odds that a partition's weight is above x fall as x**-exponent;
            smaller is more skewed, and up to 1 a single partition may well hold most rows.
        min_partition_size: Rows that every partition gets at least, >= 0.
        shuffle: Whether the rows of a partition are in random order, or in that of the data set.
        seed: Any integer.

    Raises:
        TypeError: An argument of the wrong type, `seed=None`, or not exactly one distribution.
        ValueError: A number out of range; on assigning, rows too few for the partitions or their minimum.

    Examples:
        >>> assignment = QuantityPartitioner(5, sigma=2.0).assign([0, 1] * 500)
        >>> int(assignment.sizes.sum()), bool(assignment.sizes.min() >= 10)
        (1000, True)
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
        super().__init__(num_partitions, partition_by, seed)
        given = {"alpha": alpha, "sigma": sigma, "exponent": exponent}
        names = [name for name, value in given.items() if value is not None]
        if len(names) != 1:
            raise TypeError(
                f"exactly one of alpha, sigma and exponent must be given, got {' and '.join(names) or 'none'}; "
                f"alpha=0.5 is a common choice"
            )
        self._alpha = None if alpha is None else checks.concentration(alpha, self._num_partitions)
        self._sigma = None if sigma is None else checks.positive("sigma", sigma, "2 is a common choice")
        self._exponent = None if exponent is None else checks.positive("exponent", exponent, "try 1.5")
        self._min_partition_size = checks.integer("min_partition_size", min_partition_size, minimum=0)
        self._shuffle = checks.truth("shuffle", shuffle)

    def _check_num_rows(self, num_rows: int) -> None:
        super()._check_num_rows(num_rows)
        checks.enough_rows(self._min_partition_size, self._num_partitions, num_rows)

    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        if self._partition_by is not None:
            return super()._assign_dataset(dataset)
        return self._split(dataset.num_rows, None, Streams(self._seed))

    def _assign(self, column: LabelColumn, streams: Streams) -> Assignment:
        return self._split(len(column), column, streams)

    def _split(self, num_rows: int, column: LabelColumn | None, streams: Streams) -> Assignment:
        rng = streams("sizes")
        shares = normalise(self._draw_weights(rng)[None])
        counts = apportion(shares, np.array([num_rows]), rng.random(1))
        counts = meet_minimum(counts, self._min_partition_size, streams("minimum"))
        return Assignment._from_sizes(num_rows, counts, column, streams, shuffle=self._shuffle)

    def _draw_weights(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(num_partitions,) logarithms of the weights."""
        if self._alpha is not None:
            return dirichlet_weights(self._alpha, rng)
        if self._sigma is not None:
            # Above 1e300 the product would overflow; one partition has everything from far below on.
            return min(self._sigma, 1e300) * rng.standard_normal(self._num_partitions)
        # The logarithm of a Pareto variable is exponential. Below 1e-300 the quotient would overflow.
        return rng.standard_exponential(self._num_partitions) / max(self._exponent or 1, 1e-300)
