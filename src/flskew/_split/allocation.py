"""Shares to whole counts: the only rounding in the library.

Every label scheme comes down to the same steps. `apportion` turns a class's shares into whole numbers of rows,
`meet_minimum` moves the fewest rows that give every partition its minimum, and `deal`, in the module dealing, picks the
rows themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew.typing import Counts, Shares, Sizes

__all__ = ["apportion", "apportion_classes", "even_counts", "meet_minimum", "normalise"]

# Shares worked on at a time: large enough to leave the interpreter behind, small enough for the cache.
_BLOCK = 1 << 16


def apportion(shares: Shares, totals: Sizes, offsets: NDArray[np.float64]) -> Counts:
    """Split each class's rows among the partitions in proportion to its shares.

    Systematic rounding: a uniform offset moves the cumulative shares before they are floored. Each count is then the
    floor or the ceiling of its expectation, and its expectation is exact, whatever the order of partitions. A share
    of 0 gets no row.

    Args:
        shares: (num_classes, num_partitions), non-negative, each row summing to 1.
        totals: (num_classes,) rows to hand out, >= 0.
        offsets: (num_classes,) uniform draws from [0, 1).

    Returns:
        (num_classes, num_partitions) counts; each row sums to its total.

    Raises:
        ValueError: A share is negative or not finite, or a class's shares do not sum to 1.

    Examples:
        >>> apportion(np.array([[0.5, 0.25, 0.25]]), np.array([10]), np.array([0.3]))
        array([[5, 2, 3]])
    """
    edges = np.cumsum(shares, axis=1)
    sums = edges[:, -1:]
    if not (np.isfinite(sums).all() and (shares >= 0).all() and np.allclose(sums, 1)):
        raise ValueError("shares must be finite, non-negative and sum to 1 over the partitions of each class")
    edges /= sums
    edges *= totals[:, None]
    edges += offsets[:, None]
    # A total plus an offset just below 1 can round up to the next whole number, so the last edge is set, not computed.
    np.minimum(np.floor(edges, out=edges), totals[:, None], out=edges)
    edges[:, -1] = totals
    whole = edges.astype(np.int64)
    whole[:, 1:] -= whole[:, :-1].copy()
    return whole


def even_counts(total: int, num_parts: int, rng: np.random.Generator) -> Counts:
    """Split rows into parts that differ by one row at most, which parts have it drawn by lot.

    The same systematic rounding as `apportion`, but in whole numbers: a million equal shares do not sum to 1 in floats.

    Returns:
        (1, num_parts) counts.
    """
    edges = (np.arange(num_parts + 1, dtype=np.int64) * total + int(rng.integers(num_parts))) // num_parts
    return np.diff(edges)[None]


def normalise(weights: NDArray[np.float64], among: NDArray[np.bool_] | None = None) -> Shares:
    """Turn logarithms of weights into shares of 1, with 0 for those that are not `among` the holders.

    Args:
        weights: (num_classes, num_partitions); a class's largest may be any size, for only differences count.
        among: (num_classes, num_partitions), at least one of each class; None for all.
    """
    if among is not None:
        weights = np.where(among, weights, -np.inf)
    shares = np.exp(weights - weights.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def apportion_classes(
    column: LabelColumn,
    num_partitions: int,
    draw_weights: Callable[[np.random.Generator], NDArray[np.float64] | float],
    streams: Streams,
    *,
    among: NDArray[np.bool_] | None = None,
) -> Counts:
    """Draw every class's shares from a stream of its own, and split its rows accordingly.

    Args:
        column: The labels.
        num_partitions: Partitions to split among.
        draw_weights: Given a class's generator, returns the logarithms of the partitions' weights.
        streams: Where the random numbers come from.
        among: (num_classes, num_partitions) who may hold rows of which class, of some classes nobody; None for
            everybody.

    Returns:
        (num_classes, num_partitions) counts; of classes that nobody may hold, 0.
    """
    counts = np.empty((len(column.classes), num_partitions), dtype=np.int64)
    step = max(_BLOCK // num_partitions, 1)
    for first in range(0, len(counts), step):
        block = slice(first, first + step)
        weights = np.empty_like(counts[block], dtype=np.float64)
        offsets = np.empty(len(weights))
        for place, label in enumerate(column.labels[block]):
            rng = streams("shares", label)
            weights[place] = draw_weights(rng)
            offsets[place] = rng.random()
        totals = column.sizes[block]
        if among is not None:
            held = np.asarray(among[block].any(axis=1))
            totals = totals * held
            shares = normalise(weights, among[block] | ~held[:, None])
        else:
            shares = normalise(weights)
        counts[block] = apportion(shares, totals, offsets)
    return counts


def meet_minimum(counts: Counts, minimum: int, rng: np.random.Generator) -> Counts:
    """Move the fewest rows that give every partition `minimum` of them.

    What is missing is taken from the largest partitions, down to a common level, at random among their rows; it is
    handed out at random too. Ties are broken by lot, so no position is favoured.

    Args:
        counts: (num_classes, num_partitions) rows of each class in each partition; not changed.
        minimum: Rows that each partition must have; `minimum * num_partitions` may not exceed the rows there are.
        rng: Draws which rows move, and where to.

    Returns:
        Counts of the same shape and class totals; `counts` itself when nothing is missing.
    """
    sizes = counts.sum(axis=0)
    missing = np.maximum(minimum - sizes, 0)
    num_moved = int(missing.sum())
    if num_moved == 0:
        return counts
    moved = counts.copy()
    taken = [
        _draw_classes(moved[:, donor], int(number), rng) for donor, number in _take_from_largest(sizes, num_moved, rng)
    ]
    pool = np.concatenate(taken)
    rng.shuffle(pool)
    np.add.at(moved, (pool, np.repeat(np.arange(len(sizes)), missing)), 1)
    return moved


def _take_from_largest(sizes: Sizes, number: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Lower the largest sizes to a common level until `number` rows are taken: pairs of partition and rows taken."""
    order = np.argsort(-sizes, kind="stable")
    falling = sizes[order]
    # Lowering the k + 1 largest to the size of the next one frees this many rows.
    steps = np.arange(1, len(sizes)) * -np.diff(falling)
    freed = np.concatenate(([0], np.cumsum(steps)))
    donors = order[: int(np.searchsorted(freed, number, side="left"))]
    spare, extra = divmod(int(sizes[donors].sum()) - number, len(donors))
    kept = np.full(len(donors), spare)
    kept[rng.choice(len(donors), extra, replace=False)] += 1
    takes = sizes[donors] - kept
    return [(int(donor), int(take)) for donor, take in zip(donors, takes, strict=True) if take > 0]


def _draw_classes(column: NDArray[np.int64], number: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Take `number` random rows out of one partition's counts, in place; return their classes."""
    positions = rng.choice(int(column.sum()), number, replace=False, shuffle=False)
    classes = np.searchsorted(np.cumsum(column), positions, side="right")
    column -= np.bincount(classes, minlength=len(column))
    return classes
