"""Shares to whole counts: the only rounding in the library.

Every label scheme takes the same steps: `apportion` rounds the shares of a class to numbers of rows, `meet_minimum`
moves the fewest rows that give every partition its minimum, and `deal`, in `_split/dealing.py`, draws the rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew.typing import Counts, Holders, Shares, Sizes, Weights

__all__ = ["apportion", "apportion_classes", "even_sizes", "meet_minimum", "normalise"]

# Shares rounded at a time: enough to make the interpreter's overhead negligible, few enough to stay in the cache.
_BLOCK = 1 << 16


def apportion(shares: Shares, totals: Sizes, offsets: NDArray[np.float64]) -> Counts:
    """Split each class's rows among the partitions in proportion to its shares.

    Uses systematic rounding: a uniform offset shifts the cumulative shares before they are floored. Each count is the
    floor or the ceiling of its expectation, and the expectation is exact, whatever the order of the partitions. A
    share of 0 gets no rows.

    Args:
        shares: (num_classes, num_partitions), non-negative, each row summing to 1.
        totals: (num_classes,) numbers of rows to hand out, >= 0.
        offsets: (num_classes,) independent uniform draws from [0, 1).

    Returns:
        (num_classes, num_partitions) counts; each row sums to its total.

    Raises:
        ValueError: A share is negative or not finite, or a class's shares do not sum to 1.

    Examples:
        >>> import numpy as np
        >>> from flskew.partitioners import apportion
        >>> apportion(np.array([[0.5, 0.25, 0.25]]), np.array([10]), np.array([0.3]))
        array([[5, 2, 3]])
    """
    with np.errstate(over="ignore"):  # infinite sums are refused
        edges = np.cumsum(shares, axis=1)
    sums = edges[:, -1:]
    if not (np.isfinite(sums).all() and (shares >= 0).all() and np.allclose(sums, 1)):
        raise ValueError("shares must be finite, non-negative and sum to 1 over the partitions of each class")
    with np.errstate(under="ignore"):
        edges /= sums
        edges *= totals[:, None]
    edges += offsets[:, None]
    # A total plus an offset just below 1 can round up to the next integer.
    np.minimum(np.floor(edges, out=edges), totals[:, None], out=edges)
    whole = edges.astype(np.int64)
    whole[:, 1:] -= whole[:, :-1].copy()
    return whole


def even_sizes(total: int, num_parts: int, rng: np.random.Generator) -> Sizes:
    """Split rows into parts whose sizes differ by at most one; which parts are larger is random.

    Uses the same systematic rounding as `apportion`, but in integers: in floating point, a million equal shares do not
    sum to 1.

    Args:
        total: Number of rows, >= 0.
        num_parts: Number of parts, >= 1.
        rng: Source of the one random number that is drawn.

    Returns:
        (num_parts,) sizes that sum to `total`.

    Examples:
        >>> import numpy as np
        >>> from flskew.partitioners import even_sizes
        >>> sorted(even_sizes(11, 3, np.random.default_rng(0)).tolist())
        [3, 4, 4]
    """
    return np.diff((np.arange(num_parts + 1, dtype=np.int64) * total + int(rng.integers(num_parts))) // num_parts)


def normalise(weights: Weights, among: Holders | None = None) -> Shares:
    """Turn logarithms of weights into shares that sum to 1 for each class.

    Args:
        weights: (num_classes, num_partitions) logarithms of any size: only differences within a class matter.
        among: (num_classes, num_partitions) the partitions that may hold each class, at least one per class; the
            others have a share of 0. None for all.

    Returns:
        (num_classes, num_partitions) shares.

    Examples:
        >>> import numpy as np
        >>> from flskew.partitioners import normalise
        >>> normalise(np.log([[1.0, 1.0, 2.0]])).round(2)
        array([[0.25, 0.25, 0.5 ]])
    """
    if among is not None:
        weights = np.where(among, weights, -np.inf)
    # Weights that differ by more than floats can say are a share of 0.
    with np.errstate(over="ignore", under="ignore"):
        shares = np.exp(weights - weights.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def apportion_classes(
    column: LabelColumn,
    num_partitions: int,
    draw_weights: Callable[[np.random.Generator], Weights | float],
    streams: Streams,
    *,
    among: Holders | None = None,
) -> Counts:
    """Draw the shares of every class from its own stream, and split its rows accordingly.

    Args:
        column: The labels.
        num_partitions: Number of partitions.
        draw_weights: Takes the generator of a class and returns (num_partitions,) logarithms of weights, or one number
            if all are equal. It is called once per class.
        streams: Source of the generators.
        among: (num_classes, num_partitions) the partitions that may hold each class; None for all.

    Returns:
        (num_classes, num_partitions) counts; 0 for a class that no partition may hold.

    Examples:
        >>> import numpy as np
        >>> from flskew.partitioners import Streams, apportion_classes, read_labels
        >>> column = read_labels(["cat", "dog"] * 30)
        >>> apportion_classes(column, 2, lambda rng: np.log([2.0, 1.0]), Streams(42))
        array([[20, 10],
               [20, 10]])
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
    """Move the fewest rows that give every partition at least `minimum` rows.

    Missing rows come from the largest partitions, which are lowered to a common level. Which rows move, where they go
    and how ties are broken is random, so no position is favoured.

    Args:
        counts: (num_classes, num_partitions) rows of each class in each partition; not changed.
        minimum: Minimum number of rows of each partition, >= 0; `minimum * num_partitions` must not exceed the number
            of rows.
        rng: Draws which rows move, and where to.

    Returns:
        Counts of the same shape and class totals; `counts` itself if nothing is missing.

    Examples:
        >>> import numpy as np
        >>> from flskew.partitioners import meet_minimum
        >>> meet_minimum(np.array([[10, 4, 0]]), 2, np.random.default_rng(0))
        array([[8, 4, 2]])
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
    """Lower the largest sizes to a common level until `number` rows are taken; return (partition, rows taken) pairs."""
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
    """Take `number` random rows out of the counts of one partition, in place; return their classes."""
    positions = rng.choice(int(column.sum()), number, replace=False, shuffle=False)
    classes = np.searchsorted(np.cumsum(column), positions, side="right")
    column -= np.bincount(classes, minlength=len(column))
    return classes
