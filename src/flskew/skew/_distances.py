"""Distances between the distribution of each partition and that of all, and what they would be by chance.

All partitions of a column take O(N log N) together, whatever their number.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew.skew._hypergeometric import expected_total_variations, mean_share_deviations
from flskew.typing import Sizes

__all__ = ["Distances", "Places", "total_variations", "wasserstein_distances"]

PerPartition: TypeAlias = NDArray[np.float64]
"""(num_partitions,) one number per partition."""

# The expected deviation is interpolated between numbers of rows that grow by this factor.
_GRID_RATIO = 1.05
# Larger numbers are scaled down, so that no difference overflows.
_LARGE = 1e300


class Distances(NamedTuple):
    """The distances of one column.

    Attributes:
        measured: The distance of each partition; 0 for one without values.
        by_chance: Its mean in a random split.
        unit: What a distance of 1 is in the unit of the column.
    """

    measured: PerPartition
    by_chance: PerPartition
    unit: float = 1.0


class Places:
    """Where partitions of given sizes have their values; columns without missing values share one."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.num_rows = int(sizes.sum())
        self.filled = np.flatnonzero(sizes)

    @cached_property
    def owners(self) -> NDArray[Any]:
        """(num_rows,) the partition of each value, in the smallest type, which is fastest to sort."""
        return np.repeat(np.arange(len(self.sizes), dtype=np.min_scalar_type(len(self.sizes))), self.sizes)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The first value of each partition that has any."""
        return (np.cumsum(self.sizes) - self.sizes)[self.filled]

    @cached_property
    def quantiles(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(num_rows,) j N / n for the j-th of n values, as an integer and a fraction: a rank among all N values."""
        sizes = self.sizes[self.filled]
        within = np.arange(self.num_rows) - np.repeat(self.starts, sizes)
        own = np.repeat(sizes, sizes)
        whole, rest = np.divmod(within * self.num_rows, own)
        return whole, rest / own

    @cached_property
    def deviations(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """A grid of M in 1 ... N/2, E|X/n - M/N| for each size and M, and the size of each partition with values."""
        half = self.num_rows // 2
        steps = np.arange(np.log(max(half, 1)) / np.log(_GRID_RATIO))
        grid = np.unique([*np.floor(_GRID_RATIO**steps), half]).astype(np.int64)
        distinct, which = np.unique(self.sizes[self.filled], return_inverse=True)
        return grid, mean_share_deviations(distinct, grid, self.num_rows), which.reshape(-1)


def wasserstein_distances(values: NDArray[np.float64], places: Places) -> Distances:
    """Return W1(P_k, P) / E|X - X'| of each partition, where X and X' are drawn from all values.

    Their mean, weighted by rows, is at most 1: with independent X_k and X, W1(P_k, P) <= E|X_k - X|, and the weighted
    mean of this is E|X - X'|, Gini's mean difference.

    Args:
        values: (num_rows,) finite numbers, one partition after the other.
        places: Where the partitions have their values.
    """
    measured, by_chance = np.zeros((2, len(places.sizes)))
    order = np.argsort(values)
    rising, scale = _scaled(values[order])
    gaps = np.diff(rising)
    below = np.arange(1, places.num_rows) / places.num_rows
    mean_difference = 2 * float((gaps * (below * (1 - below))).sum())
    if mean_difference > 0:
        by_site = np.argsort(places.owners[order], kind="stable")
        measured[places.filled] = _transported(rising, by_site, places) / mean_difference
        by_chance[places.filled] = _expected(gaps, places) / mean_difference
    with np.errstate(over="ignore", under="ignore"):
        return Distances(measured, by_chance, float(np.float64(mean_difference) * scale))


def total_variations(codes: NDArray[np.int64], num_categories: int, places: Places) -> Distances:
    """Return 1/2 sum_c |p_k(c) - p(c)| of each partition.

    Args:
        codes: (num_rows,) the category of each value, one partition after the other.
        num_categories: Number of categories.
        places: Where the partitions have their values.
    """
    measured = np.zeros(len(places.sizes))
    totals = np.bincount(codes, minlength=num_categories)
    # Only pairs of a partition and a category that occur: there may be a million of either.
    pairs, counts = np.unique(places.owners * np.int64(num_categories) + codes, return_counts=True)
    owners, held = np.divmod(pairs, num_categories)
    overall = totals[held] / max(places.num_rows, 1)
    surplus = np.abs(counts / places.sizes[owners] - overall) - overall
    absent = np.bincount(owners, weights=surplus, minlength=len(measured))
    measured[places.filled] = np.maximum(1 + absent[places.filled], 0) / 2
    return Distances(measured, expected_total_variations(places.sizes, totals))


def _scaled(rising: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Shift and scale sorted numbers to -1 ... 1, and return by how much they were scaled.

    The median moves to 0, which keeps rounding errors small.
    """
    with np.errstate(under="ignore"):
        if not len(rising) or rising[0] == rising[-1]:
            return np.zeros(len(rising)), 1.0
        factor = 4.0 if max(-rising[0], rising[-1]) > _LARGE else 1.0
        centred = rising / factor - rising[len(rising) // 2] / factor
        largest = float(np.abs(centred[[0, -1]]).max())
        return centred / largest, largest * factor


def _transported(rising: NDArray[np.float64], by_site: NDArray[np.intp], places: Places) -> NDArray[np.float64]:
    """Return W1 of each partition that has values.

    W1 is the integral of |Q_k - Q| over the quantiles. Q_k is constant, x, on the interval of each value, and Q crosses
    x at the rank of that value among all, so two differences of prefix sums give the integral.
    """
    prefix = np.concatenate([[0.0], np.cumsum(rising)])
    whole, fraction = places.quantiles
    starts = whole + fraction
    sums = prefix[whole] + fraction * rising[whole]
    stops, sums_at_stops = np.append(starts[1:], 0.0), np.append(sums[1:], 0.0)
    last = np.append(places.starts[1:], places.num_rows) - 1
    stops[last], sums_at_stops[last] = places.num_rows, prefix[-1]
    x = rising[by_site]
    crossing = np.clip(by_site, starts, stops)
    sums_at_crossing = np.where(by_site <= starts, sums, np.where(by_site >= stops, sums_at_stops, prefix[by_site]))
    areas = x * (2 * crossing - starts - stops) - 2 * sums_at_crossing + sums + sums_at_stops
    return np.maximum(np.add.reduceat(areas, places.starts), 0) / places.num_rows


def _expected(gaps: NDArray[np.float64], places: Places) -> NDArray[np.float64]:
    """Return the mean of W1 in a random split, the integral of E|F_k - F|, of each partition that has values.

    E|F_k - F| depends on the size of the partition and on M, the number of values below. It is symmetric in M and
    N - M, and interpolated linearly between the M of a grid, so the gaps are first divided among the M of the grid.
    """
    grid, deviations, which = places.deviations
    half = grid[-1]
    folded = gaps[:half].copy()
    folded[: len(gaps) - half] += gaps[::-1][: len(gaps) - half]
    sums = np.add.reduceat(folded, grid - 1)
    moments = np.add.reduceat(folded * np.arange(1, half + 1), grid - 1)
    # The share of the next point of the grid; the last point is followed by no other.
    onward = np.append((moments - grid * sums)[:-1] / np.diff(grid), 0.0)
    weights = sums - onward
    weights[1:] += onward[:-1]
    expected: NDArray[np.float64] = deviations @ weights
    return expected[which]
