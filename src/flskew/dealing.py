"""Whole counts to rows: which rows each partition gets, and in which order. The only shuffling in the library."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

from flskew.labels import LabelColumn
from flskew.streams import Streams
from flskew.typing import Codes, Counts, Offsets, Rows, Sizes

__all__ = ["Deal", "deal", "stable_order"]

# Rows gathered at a time: large enough to leave the interpreter behind, small enough for the cache.
_BLOCK = 1 << 16
# Partitions that begin within so many rows share a random stream. Another number makes other splits of all data.
_ROWS_PER_STREAM = 1 << 16


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
