"""Sizes that you give, or that grow with the partition id: the schemes of Flower Datasets with the same names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import apportion, meet_minimum, normalise
from flskew._split.streams import Streams
from flskew._split.water_filling import check_sizes
from flskew._util import checks
from flskew.partitioners._blind import BlindPartitioner
from flskew.typing import Sizes, Weights

__all__ = ["ExponentialPartitioner", "LinearPartitioner", "SizePartitioner", "SquarePartitioner"]


class _Sized(BlindPartitioner):
    """Has the attributes of Flower Datasets' partitioners by size."""

    @property
    def partition_id_to_size(self) -> dict[int, int]:
        """Number of rows in each partition of the bound data set."""
        return dict(enumerate(self.assignment.sizes.tolist()))

    @property
    def partition_id_to_indices(self) -> dict[int, list[int]]:
        """Rows of each partition of the bound data set."""
        return {partition_id: rows.tolist() for partition_id, rows in enumerate(self.assignment)}


class _GrowingPartitioner(_Sized):
    """Sizes in proportion to a function of the partition id."""

    def __init__(
        self,
        num_partitions: int,
        *,
        partition_by: str | None = None,
        min_partition_size: int = 1,
        shuffle: bool = True,
        seed: int = 42,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle)
        self.min_partition_size = checks.integer("min_partition_size", min_partition_size, minimum=0)

    def check_num_rows(self, num_rows: int) -> None:
        """Reject too few rows for the partitions or their minimum."""
        super().check_num_rows(num_rows)
        checks.enough_rows(self.min_partition_size, self.num_partitions, num_rows)

    def _sizes(self, num_rows: int, streams: Streams) -> Sizes:
        # In logarithms, because the exponential of the 710th partition would overflow.
        shares = normalise(self._weights(np.arange(1.0, self.num_partitions + 1))[None])
        counts = apportion(shares, np.array([num_rows]), streams("sizes").random(1))
        sizes: Sizes = meet_minimum(counts, self.min_partition_size, streams("minimum"))[0]
        return sizes

    @abstractmethod
    def _weights(self, places: NDArray[np.float64]) -> Weights:
        """(num_partitions,) logarithms of the sizes, up to a constant, given the partition ids plus 1."""


class LinearPartitioner(_GrowingPartitioner):
    """Give partitions sizes in proportion to 1, 2, 3, and so on; rows are drawn regardless of their labels.

    Use it when client sizes should differ moderately and be known in advance, or to compare with results from
    Flower Datasets.

    Takes the arguments of Flower Datasets' partitioner of the same name, and gives the same sizes, to within one row.
    Unlike it,

    - it draws the rows at random, where Flower Datasets cuts the data set in its current order;
    - it rounds without bias, where Flower Datasets rounds down and gives the last partition what is left;
    - it moves the fewest rows that meet `min_partition_size`, where Flower Datasets rejects an empty partition.

    Args:
        num_partitions: Number of partitions, from 1 to the number of rows.
        partition_by: The column with the labels in a data set, or None. The split does not depend on labels, but with
            them, the assignment has `label_counts`, and `Assignment.match` works.
        min_partition_size: Minimum number of rows per partition, >= 0.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A number is out of range; on assigning, there are too few rows for the partitions or their minimum.

    References:
        D. J. Beutel et al.: "Flower: A Friendly Federated Learning Research Framework", 2020,
        https://arxiv.org/abs/2007.14390.

    Examples:
        >>> LinearPartitioner(4).assign([0, 1] * 50).sizes
        array([10, 20, 30, 40])
    """

    def _weights(self, places: NDArray[np.float64]) -> Weights:
        return np.log(places)


class SquarePartitioner(_GrowingPartitioner):
    """Give partitions sizes in proportion to 1, 4, 9, and so on; rows are drawn regardless of their labels.

    Use it when client sizes should differ more than with `LinearPartitioner`, or to compare with results from
    Flower Datasets.

    Takes the arguments of Flower Datasets' partitioner of the same name. Unlike it, this one draws the rows at random,
    rounds without bias, and meets `min_partition_size`.

    Args:
        num_partitions: Number of partitions, from 1 to the number of rows.
        partition_by: The column with the labels in a data set, or None. The split does not depend on labels, but with
            them, the assignment has `label_counts`, and `Assignment.match` works.
        min_partition_size: Minimum number of rows per partition, >= 0.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A number is out of range; on assigning, there are too few rows for the partitions or their minimum.

    References:
        D. J. Beutel et al.: "Flower: A Friendly Federated Learning Research Framework", 2020,
        https://arxiv.org/abs/2007.14390.

    Examples:
        >>> SquarePartitioner(4).assign([0, 1] * 150).sizes
        array([ 10,  40,  90, 160])
    """

    def _weights(self, places: NDArray[np.float64]) -> Weights:
        return 2 * np.log(places)


class ExponentialPartitioner(_GrowingPartitioner):
    """Make each partition e = 2.718… times as large as the one before; rows are drawn regardless of their labels.

    Use it when a few clients should have nearly all rows, or to compare with results from Flower Datasets.

    Takes the arguments of Flower Datasets' partitioner of the same name. Unlike it, this one draws the rows at random,
    rounds without bias, and meets `min_partition_size`. The last partition has 63 % of the rows. With many partitions,
    the first ones have only `min_partition_size`.

    Args:
        num_partitions: Number of partitions, from 1 to the number of rows.
        partition_by: The column with the labels in a data set, or None. The split does not depend on labels, but with
            them, the assignment has `label_counts`, and `Assignment.match` works.
        min_partition_size: Minimum number of rows per partition, >= 0.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A number is out of range; on assigning, there are too few rows for the partitions or their minimum.

    References:
        D. J. Beutel et al.: "Flower: A Friendly Federated Learning Research Framework", 2020,
        https://arxiv.org/abs/2007.14390.

    Examples:
        >>> ExponentialPartitioner(3).assign([0, 1] * 500).sizes
        array([ 90, 244, 666])
    """

    def _weights(self, places: NDArray[np.float64]) -> Weights:
        return places


class SizePartitioner(_Sized):
    """Give each partition the number of rows that you choose, drawn at random regardless of their labels.

    Use it when you know the sizes of real clients, and nothing else about them.

    Takes the arguments of Flower Datasets' partitioner of the same name, which cuts the data set in its current order.
    `InnerDirichletPartitioner` combines given sizes with label skew.

    Args:
        partition_sizes: Number of rows per partition, each >= 0; the remaining rows are `unassigned`.
        partition_by: The column with the labels in a data set, or None. The split does not depend on labels, but with
            them, the assignment has `label_counts`, and `Assignment.match` works.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A size is negative; on assigning, the sizes exceed the number of rows.

    References:
        D. J. Beutel et al.: "Flower: A Friendly Federated Learning Research Framework", 2020,
        https://arxiv.org/abs/2007.14390.

    Examples:
        >>> assignment = SizePartitioner([10, 60, 20]).assign([0, 1] * 50)
        >>> assignment.sizes, len(assignment.unassigned)
        (array([10, 60, 20]), 10)
    """

    def __init__(
        self,
        partition_sizes: Sequence[int] | NDArray[np.integer[Any]],
        *,
        partition_by: str | None = None,
        shuffle: bool = True,
        seed: int = 42,
    ) -> None:
        sizes = check_sizes(partition_sizes)
        super().__init__(len(sizes), partition_by, seed, shuffle=shuffle)
        self.partition_sizes = sizes

    def check_num_rows(self, num_rows: int) -> None:
        """Reject sizes that exceed the rows."""
        checks.sizes_fit(self.partition_sizes, num_rows)

    def _sizes(self, num_rows: int, streams: Streams) -> Sizes:
        return self.partition_sizes
