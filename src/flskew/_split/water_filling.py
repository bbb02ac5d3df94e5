"""Filling partitions of given sizes from classes of given sizes, each in shares of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import apportion
from flskew._util import checks
from flskew.typing import Counts, Sizes

__all__ = ["Pour", "check_sizes", "fill", "pour"]

Pour: TypeAlias = Callable[[NDArray[np.intp], Sizes, Sizes], NDArray[np.float64]]
"""Given some partitions, what is left of each class and what these partitions lack: what each would take of each."""


def check_sizes(partition_sizes: Sequence[int] | NDArray[np.integer[Any]]) -> Sizes:
    """Return the rows of each partition as (num_partitions,) whole numbers, at least one of them, each >= 0."""
    sizes = np.array(partition_sizes, dtype=object)
    if sizes.ndim != 1 or len(sizes) == 0:
        raise TypeError(f"partition_sizes must be one whole number per partition, got {partition_sizes!r:.80}")
    for partition_id, size in enumerate(sizes):
        checks.integer(f"partition_sizes[{partition_id}]", size, minimum=0, maximum=checks.MOST_ROWS)
    return sizes.astype(np.int64)


def fill(sizes: Sizes, totals: Sizes, pour: Pour, rng: np.random.Generator) -> Counts:
    """Give each partition exactly its size, and take no more of a class than there is.

    All partitions ask at once for what they lack. A class that is asked for more than it has is shared out by lot
    among the rows asked for; those who lost ask again for what is left. Each time round, such a class is used up, so
    there are no more times than classes, and mostly a few.

    Args:
        sizes: (num_partitions,) rows of each partition; no more than there are in all.
        totals: (num_classes,) rows of each class.
        pour: What partitions would take if each were alone.
        rng: Draws the rounding and the lots.

    Returns:
        (num_classes, num_partitions) counts.
    """
    counts = np.zeros((len(totals), len(sizes)), dtype=np.int64)
    lacking, left = sizes.copy(), totals.copy()
    while lacking.any():
        asking = np.flatnonzero(lacking)
        amounts = pour(asking, left, lacking[asking])
        shares = amounts / amounts.sum(axis=1, keepdims=True)
        asked = apportion(shares, lacking[asking], rng.random(len(asking)))
        # An amount equal to what is left may be a rounding error above it.
        np.minimum(asked, left, out=asked)
        for code in np.flatnonzero(asked.sum(axis=0) > left):
            asked[:, code] = _by_lot(asked[:, code], int(left[code]), rng)
        counts[:, asking] += asked.T
        lacking[asking] -= asked.sum(axis=1)
        left -= asked.sum(axis=0)
    return counts


def pour(
    weights: NDArray[np.float64], capacity: NDArray[np.integer[Any]], amounts: NDArray[np.number[Any]]
) -> NDArray[np.float64]:
    """Pour each row's amount into vessels in proportion to its weights, none beyond its capacity.

    What a full vessel cannot take goes to the others, in proportion again: the limit of drawing one after the other
    and leaving out what is used up. All in logarithms, so that a vessel of a weight too small for a float is still
    filled before one of a smaller weight.

    Args:
        weights: (num_rows, num_vessels) logarithms, finite.
        capacity: (num_vessels,), >= 0.
        amounts: (num_rows,), >= 0, each at most the sum of capacities.

    Returns:
        (num_rows, num_vessels) amounts.
    """
    with np.errstate(divide="ignore"):
        levels = np.log(capacity) - weights  # The logarithm of the factor at which a vessel is full.
        order = np.argsort(levels, axis=1)
        rising = np.take_along_axis(levels, order, axis=1)
        held = capacity[order]
        above = np.take_along_axis(weights, order, axis=1)[:, ::-1]
        open_weight = np.logaddexp.accumulate(above, axis=1)[:, ::-1]
        # With the first k vessels full, the others share the rest by this factor.
        rest = amounts[:, None] - (np.cumsum(held, axis=1) - held)
        factors = np.log(np.maximum(rest, 0)) - open_weight
    fits = factors <= rising
    first = np.where(fits.any(axis=1), fits.argmax(axis=1), len(capacity) - 1)
    factor = np.take_along_axis(factors, first[:, None], axis=1)
    amounts_each = np.exp(np.minimum(factor + weights, np.log(np.maximum(capacity, 1))))
    return np.asarray(np.minimum(amounts_each, capacity))


def _by_lot(asked: NDArray[np.int64], number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Grant `number` of the rows asked for, each as likely as any other."""
    granted = rng.choice(int(asked.sum()), number, replace=False, shuffle=False)
    return np.bincount(np.searchsorted(np.cumsum(asked), granted, side="right"), minlength=len(asked))
