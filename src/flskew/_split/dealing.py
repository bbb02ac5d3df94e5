"""Whole counts to rows: which rows each partition gets, and in which order. The only shuffling in the library."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew._util.threads import usable_processors
from flskew.typing import Codes, Counts, Offsets, Rows, Sizes

__all__ = ["Deal", "deal", "stable_order"]

# Rows gathered at a time: large enough to leave the interpreter behind, small enough for the cache.
_BLOCK = 1 << 16
# Partitions that begin within so many rows share a random stream. Another number makes other splits of all data, as
# does another range of the lengths that are drawn rather than shuffled.
_ROWS_PER_STREAM = 1 << 16
_DRAWN = range(10_001, 1 << 18)


class Deal(NamedTuple):
    """Who holds which row: all partitions' rows end to end, where each begins, and the rows that nobody holds."""

    rows: Rows
    offsets: Offsets
    unassigned: Rows


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
    offsets = np.concatenate(([0], np.cumsum(blocks.sum(axis=0))))
    rows = _by_partition(_shuffled_by_class(column, blocks, streams), blocks, offsets, streams, shuffle=shuffle)
    assigned = int(offsets[-2])
    return Deal(rows[:assigned], offsets[:-1], np.sort(rows[assigned:]))


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
        _shuffle(source[starts[code] : ends[code]], own("rows", column.labels[code]))

    _on_all_processors(shuffle, np.flatnonzero(blocks.max(axis=1) < column.sizes).tolist(), len(source), streams)
    return source


def _by_partition(source: Rows, blocks: Counts, offsets: Offsets, streams: Streams, *, shuffle: bool) -> Rows:
    """Turn rows that lie class after class into rows that lie partition after partition, each in its final order.

    Partitions that begin near each other are one task: what was gathered is still in the cache when it is shuffled,
    and making a stream for each would cost more than to shuffle small ones.
    """
    gather, rows = _gatherer(source, blocks)
    near = (offsets[:-1] // _ROWS_PER_STREAM).tolist()
    firsts = [0, *(np.flatnonzero(np.diff(near)) + 1).tolist(), len(near)]
    ends = offsets.tolist()
    num_partitions = len(near) - 1

    def finish(task: int, own: Streams) -> None:
        first, last = firsts[task : task + 2]
        gather(first, last)
        rng = own("order", near[first])
        for start, stop in pairwise(ends[first : min(last, num_partitions) + 1]):
            if shuffle:
                _shuffle(rows[start:stop], rng)
            else:
                rows[start:stop].sort()

    _on_all_processors(finish, list(range(len(firsts) - 1)), len(rows), streams)
    return rows


def _gatherer(source: Rows, blocks: Counts) -> tuple[Callable[[int, int], None], Rows]:
    """Return what gathers the rows of some successive partitions, and where it puts them."""
    if blocks.shape[0] == 1:
        return lambda first, last: None, source
    rows = np.empty_like(source)
    starts = np.cumsum(blocks).reshape(blocks.shape) - blocks
    sizes = blocks.T.ravel()
    ends = np.cumsum(sizes)
    # How far back the rows of each partition in each class come from.
    moves = starts.T.ravel() - (ends - sizes)

    def gather(first_partition: int, last_partition: int) -> None:
        first, stop = (partition * len(blocks) for partition in (first_partition, last_partition))
        begin = int(ends[first] - sizes[first])
        while first < stop:
            last = min(max(int(np.searchsorted(ends, begin + _BLOCK, side="right")), first + 1), stop)
            end = int(ends[last - 1])
            origin = np.repeat(moves[first:last], sizes[first:last])
            origin += np.arange(begin, end)
            # No index is out of range, and mode="clip" writes straight into its place.
            np.take(source, origin, out=rows[begin:end], mode="clip")
            first, begin = last, end

    return gather, rows


def _shuffle(rows: Rows, rng: np.random.Generator) -> None:
    """Put rows in random order, in place."""
    if len(rows) in _DRAWN:
        # A sample of all rows is a random order of them, and of so many NumPy draws one in half the time of a shuffle.
        rows[:] = rng.choice(rows, len(rows), replace=False)
    elif len(rows) > 1:
        rng.shuffle(rows)


def _on_all_processors(work: Callable[[int, Streams], None], tasks: list[int], num_rows: int, streams: Streams) -> None:
    """Do tasks that each draw from a stream of their own, so that neither order nor number of threads matters.

    NumPy shuffles without holding the interpreter's lock.
    """
    # Starting a thread takes as long as shuffling some thousand rows.
    threads = min(usable_processors(), len(tasks), num_rows // 100_000)
    waiting = deque(tasks)

    def share(_: int) -> None:
        own = streams.copy()
        while waiting:
            try:
                task = waiting.popleft()
            except IndexError:
                return  # Another thread has just taken the last one.
            work(task, own)

    if threads < 2:
        share(0)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(share, range(threads)))


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
