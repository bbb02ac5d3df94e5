"""Shares to whole counts to rows: the only rounding and the only shuffling in the library.

Every label scheme comes down to the same three steps. `apportion` turns a class's shares into whole numbers of rows,
`meet_minimum` moves the fewest rows that give every partition its minimum, and `deal` picks the rows themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew.labels import LabelColumn
from flskew.streams import Streams
from flskew.typing import Codes, Counts, Offsets, Rows, Shares, Sizes

__all__ = ["Deal", "apportion", "apportion_classes", "deal", "even_counts", "meet_minimum", "normalise", "stable_order"]

# Rows or shares worked on at a time: large enough to leave the interpreter behind, small enough for the cache.
_BLOCK = 1 << 16
# Partitions that begin within so many rows share a random stream. Another number makes other splits of all data.
_ROWS_PER_STREAM = 1 << 16


class Deal(NamedTuple):
    """Who holds which row: all partitions' rows end to end, where each begins, and the rows that nobody holds."""

    rows: Rows
    offsets: Offsets
    unassigned: Rows


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

    Example:
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


def deal(column: LabelColumn, counts: Counts, streams: Streams, *, shuffle: bool) -> Deal:
    """Pick the rows: within a class every row is as likely as any other to go to any partition.

    Args:
        column: The labels.
        counts: (num_classes, num_partitions) rows to hand out; what they leave of a class stays unassigned.
        streams: Where the random numbers come from.
        shuffle: Whether the rows of a partition are in random order, or else in the order of the data set.

    Returns:
        The rows of every partition, and the unassigned ones in rising order.
    """
    _check_counts(counts, column.sizes)
    left = column.sizes - counts.sum(axis=1)
    blocks = np.hstack([counts, left[:, None]])
    source = _shuffled_by_class(column, blocks, streams)
    offsets = np.concatenate(([0], np.cumsum(blocks.sum(axis=0))))
    rows = _gather_by_partition(source, blocks)
    del source
    offsets, assigned = offsets[:-1], int(offsets[-2])
    pieces = list(pairwise(offsets.tolist()))
    if shuffle:
        _shuffle_partitions(rows, pieces, streams)
    else:
        for start, stop in pieces:
            rows[start:stop].sort()
    return Deal(rows[:assigned], offsets, np.sort(rows[assigned:]))


def _check_counts(counts: Counts, sizes: Sizes) -> None:
    """Refuse counts that ask for more rows of a class than there are; no sum of such may be trusted not to overflow."""
    if counts.ndim != 2 or len(counts) != len(sizes) or counts.dtype.kind not in "iu":
        raise ValueError(
            f"counts must be whole numbers of {len(sizes)} classes by partitions, "
            f"got an array of {counts.dtype} of shape {counts.shape}"
        )
    wrong = ((counts < 0) | (counts > sizes[:, None])).any(axis=1)
    if not wrong.any():
        wrong = counts.sum(axis=1) > sizes
    if wrong.any():
        code = int(np.argmax(wrong))
        raise ValueError(f"counts of class {code} must be >= 0 and sum to at most its {sizes[code]} rows")


def _shuffled_by_class(column: LabelColumn, blocks: Counts, streams: Streams) -> Rows:
    """Return all rows, class after class, in random order within each class that is split at all."""
    source = stable_order(column.codes, len(column.classes))
    ends = np.cumsum(column.sizes)
    starts = ends - column.sizes

    def shuffle(code: int, own: Streams) -> None:
        own("rows", column.labels[code]).shuffle(source[starts[code] : ends[code]])

    _on_all_processors(shuffle, np.flatnonzero(blocks.max(axis=1) < column.sizes).tolist(), len(source), streams)
    return source


def _shuffle_partitions(rows: Rows, pieces: list[tuple[int, int]], streams: Streams) -> None:
    """Shuffle each partition's rows, in place. Making a stream for each would cost more than small ones do."""
    groups = [list(group) for _, group in groupby(pieces, key=lambda piece: piece[0] // _ROWS_PER_STREAM)]

    def shuffle(number: int, own: Streams) -> None:
        rng = own("order", groups[number][0][0] // _ROWS_PER_STREAM)
        for start, stop in groups[number]:
            if stop - start > 1:
                rng.shuffle(rows[start:stop])

    _on_all_processors(shuffle, list(range(len(groups))), len(rows), streams)


def _on_all_processors(work: Callable[[int, Streams], None], tasks: list[int], num_rows: int, streams: Streams) -> None:
    """Do tasks that each draw from a stream of their own, so that neither order nor number of threads matters.

    NumPy shuffles without holding the interpreter's lock.
    """
    # Starting a thread takes as long as shuffling some thousand rows.
    threads = min(os.cpu_count() or 1, len(tasks), num_rows // 100_000)

    def share(first: int) -> None:
        own = streams.copy()
        for task in tasks[first :: max(threads, 1)]:
            work(task, own)

    if threads < 2:
        share(0)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(share, range(threads)))


def _gather_by_partition(source: Rows, blocks: Counts) -> Rows:
    """Turn rows that lie class after class into rows that lie partition after partition."""
    if blocks.shape[0] == 1:
        return source
    starts = np.cumsum(blocks).reshape(blocks.shape) - blocks
    sizes = blocks.T.ravel()
    ends = np.cumsum(sizes)
    # How far back the rows of each partition in each class come from.
    moves = starts.T.ravel() - (ends - sizes)
    rows = np.empty_like(source)
    first = begin = 0
    while first < len(sizes):
        last = max(int(np.searchsorted(ends, begin + _BLOCK, side="right")), first + 1)
        end = int(ends[last - 1])
        origin = np.repeat(moves[first:last], sizes[first:last])
        origin += np.arange(begin, end)
        # No index is out of range, and mode="clip" writes straight into its place.
        np.take(source, origin, out=rows[begin:end], mode="clip")
        first, begin = last, end
    return rows


def stable_order(codes: Codes, num_classes: int) -> Rows:
    """Return the rows sorted by class, and within a class in the order of the data set, in linear time.

    NumPy sorts 16-bit numbers by radix; two such passes do for four thousand million classes.
    """
    if num_classes == 1:
        return np.arange(len(codes), dtype=np.int64)
    if codes.dtype.itemsize <= 2:
        return np.argsort(codes, kind="stable")
    low = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    return low[np.argsort((codes >> 16).astype(np.uint16)[low], kind="stable")]
