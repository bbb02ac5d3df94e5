"""Water-filling: partitions of given sizes take rows from classes of given sizes, in given proportions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import apportion
from flskew._util import checks
from flskew.typing import Counts, Sizes

__all__ = ["Demand", "check_sizes", "draw_until_full", "water_fill"]

Demand: TypeAlias = Callable[[NDArray[np.intp], Sizes, Sizes], NDArray[np.float64]]
"""Takes some partitions, the rows left of each class and the rows that each of these partitions needs; returns the
(len(partitions), num_classes) rows that each would take."""


def check_sizes(partition_sizes: Sequence[int] | NDArray[np.integer[Any]]) -> Sizes:
    """Return sizes as a read-only array of (num_partitions,) integers, at least one, each >= 0."""
    sizes = np.array(partition_sizes, dtype=object)
    if sizes.ndim != 1 or len(sizes) == 0:
        raise TypeError(f"partition_sizes must be one integer per partition, got {partition_sizes!r:.80}")
    for partition_id, size in enumerate(sizes):
        checks.integer(f"partition_sizes[{partition_id}]", size, minimum=0, maximum=checks.MOST_ROWS)
    checked = sizes.astype(np.int64)
    checked.setflags(write=False)
    return checked


def draw_until_full(sizes: Sizes, totals: Sizes, demand: Demand, rng: np.random.Generator) -> Counts:
    """Give each partition exactly its size without exceeding the rows of any class.

    All partitions request the rows they need at once. An oversubscribed class is allocated at random among the rows
    requested, and partitions that are still short request rows from the remaining classes. Every iteration uses up the
    oversubscribed classes, so there are at most as many iterations as classes, and usually few.

    Args:
        sizes: (num_partitions,) rows of each partition; their sum must not exceed that of `totals`.
        totals: (num_classes,) rows of each class.
        demand: Returns the rows that each partition would take if it were alone.
        rng: Draws the rounding and the allocation of oversubscribed classes.

    Returns:
        (num_classes, num_partitions) counts.
    """
    counts = np.zeros((len(totals), len(sizes)), dtype=np.int64)
    lacking, left = sizes.copy(), totals.copy()
    while lacking.any():
        asking = np.flatnonzero(lacking)
        amounts = demand(asking, left, lacking[asking])
        with np.errstate(under="ignore"):
            shares = amounts / amounts.sum(axis=1, keepdims=True)
        asked = apportion(shares, lacking[asking], rng.random(len(asking)))
        # An amount equal to the rows left may exceed them by a rounding error.
        np.minimum(asked, left, out=asked)
        for code in np.flatnonzero(asked.sum(axis=0) > left):
            asked[:, code] = _allocate(asked[:, code], int(left[code]), rng)
        counts[:, asking] += asked.T
        lacking[asking] -= asked.sum(axis=1)
        left -= asked.sum(axis=0)
    return counts


def water_fill(
    weights: NDArray[np.float64], capacity: NDArray[np.integer[Any]], amounts: NDArray[np.number[Any]]
) -> NDArray[np.float64]:
    """Split each amount among classes in proportion to weights, none beyond its capacity.

    The excess of a full class goes to the others, again in proportion to their weights, as if rows were drawn one by
    one and classes skipped once used up. Works in logarithms, so that classes whose weights would underflow as floats
    are still filled in the right order.

    Args:
        weights: (num_amounts, num_classes) logarithms, finite.
        capacity: (num_classes,), >= 0.
        amounts: (num_amounts,), >= 0, each at most the sum of the capacities.

    Returns:
        (num_amounts, num_classes) parts of the amounts.
    """
    with np.errstate(divide="ignore", under="ignore"):
        levels = np.log(capacity) - weights  # Logarithm of the factor at which a class is full.
        order = np.argsort(levels, axis=1)
        rising = np.take_along_axis(levels, order, axis=1)
        held = capacity[order]
        above = np.take_along_axis(weights, order, axis=1)[:, ::-1]
        open_weight = np.logaddexp.accumulate(above, axis=1)[:, ::-1]
        # If the first k classes are full, the others share the rest by this factor.
        rest = amounts[:, None] - (np.cumsum(held, axis=1) - held)
        factors = np.log(np.maximum(rest, 0)) - open_weight
    fits = factors <= rising
    first = np.where(fits.any(axis=1), fits.argmax(axis=1), len(capacity) - 1)
    factor = np.take_along_axis(factors, first[:, None], axis=1)
    with np.errstate(under="ignore"):
        amounts_each = np.exp(np.minimum(factor + weights, np.log(np.maximum(capacity, 1))))
    return np.asarray(np.minimum(amounts_each, capacity))


def _allocate(asked: NDArray[np.int64], number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Grant `number` of the requested rows, each with equal probability."""
    granted = rng.choice(int(asked.sum()), number, replace=False, shuffle=False)
    return np.bincount(np.searchsorted(np.cumsum(asked), granted, side="right"), minlength=len(asked))
