"""Counts to rows: which rows each partition gets, and in which order. The only shuffling in the library."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew._util.threads import in_threads, usable_processors
from flskew.typing import Codes, Counts, Offsets, Rows

__all__ = ["Deal", "assemble", "check_counts", "deal", "stable_order"]

# Rows gathered at a time: enough to make the interpreter's overhead negligible, few enough to stay in the cache.
_BLOCK = 1 << 16
# Changing either constant changes every split: partitions that begin in the same group of _ROWS_PER_GROUP rows share a
# random stream, and pieces with a length in _DRAWN are sampled instead of shuffled.
_ROWS_PER_GROUP = 1 << 16
_DRAWN = range(10_001, 1 << 18)
# The mean length of pieces from which threads save time.
_ROWS_PER_PIECE = 500


class Deal(NamedTuple):
    """Who holds which row: the rows of all partitions in one array, where each begins, and the unassigned rows."""

    rows: Rows
    offsets: Offsets
    unassigned: Rows


def deal(column: LabelColumn, counts: Counts, streams: Streams, *, shuffle: bool) -> Deal:
    """Draw the rows: within a class, every row is equally likely to go to any partition.

    Args:
        column: The labels.
        counts: (num_classes, num_partitions) rows to hand out; the remaining rows of a class are unassigned.
        streams: Source of the random numbers.
        shuffle: Whether the rows of a partition are in random order or in the order of the data set.

    Returns:
        The rows of every partition, and the unassigned rows in increasing order.

    Raises:
        ValueError: The counts have the wrong type or shape, are negative, or exceed the rows of a class.
    """
    check_counts(counts, column)
    counts = counts.astype(np.int64, copy=False)
    left = column.sizes - counts.sum(axis=1)
    blocks = np.hstack([counts, left[:, None]])
    return assemble(_shuffled_by_class(column, blocks, streams), blocks, streams, shuffle=shuffle)


def assemble(source: Rows, blocks: Counts, streams: Streams, *, shuffle: bool) -> Deal:
    """Gather the rows of each partition from several lists of rows, such as one per class.

    Args:
        source: All rows, list after list, and within a list partition after partition; changed if there is one list.
        blocks: (num_lists, num_partitions + 1) rows of each partition in each list; in the last column, those of no
            partition.
        streams: Source of the random numbers.
        shuffle: Whether the rows of a partition are in random order or in the order of the data set.
    """
    offsets = np.concatenate(([0], np.cumsum(blocks.sum(axis=0))))
    rows = _by_partition(source, blocks, offsets, streams, shuffle=shuffle)
    assigned = int(offsets[-2])
    return Deal(rows[:assigned], offsets[:-1], np.sort(rows[assigned:]))


def check_counts(counts: Counts, column: LabelColumn) -> None:
    """Refuse counts that exceed the rows of a class, checked before any sum of them can overflow."""
    sizes = column.sizes
    if counts.ndim != 2 or len(counts) != len(sizes) or counts.dtype.kind not in "iu":
        raise ValueError(
            f"counts must be integers of shape ({len(sizes)} classes, number of partitions), "
            f"got an array of {counts.dtype} of shape {counts.shape}"
        )
    wrong = ((counts < 0) | (counts > sizes[:, None])).any(axis=1)
    if not wrong.any():
        wrong = counts.sum(axis=1) > sizes
    if wrong.any():
        code = int(np.argmax(wrong))
        raise ValueError(
            f"counts of class {column.labels[code]!r} must be >= 0 and sum to at most its {sizes[code]} rows"
        )


def _shuffled_by_class(column: LabelColumn, blocks: Counts, streams: Streams) -> Rows:
    """Return all rows, class after class, in random order within each class that is split among several blocks."""
    source = stable_order(column.codes, len(column.classes))
    split = np.flatnonzero(blocks.max(axis=1) < column.sizes)
    if len(split) == 0:
        return source
    ends = np.cumsum(column.sizes)[split]
    starts = ends - column.sizes[split]
    pieces = list(zip(column.classes[split].tolist(), starts.tolist(), ends.tolist(), strict=True))

    def shuffle(group: int, first: int, last: int) -> None:
        for label, start, stop in pieces[first:last]:
            _shuffle(source[start:stop], streams("rows", label))

    _in_groups(shuffle, starts, len(source))
    return source


def _by_partition(source: Rows, blocks: Counts, offsets: Offsets, streams: Streams, *, shuffle: bool) -> Rows:
    """Rearrange rows sorted by class into rows sorted by partition, each partition in its final order.

    Partitions of one group share a stream: making one for each would take longer than shuffling a small partition.
    """
    gather, rows = _gatherer(source, blocks)
    ends = offsets.tolist()
    num_partitions = len(ends) - 2

    def finish(group: int, first: int, last: int) -> None:
        gather(first, last)
        rng = streams("order", group)
        for start, stop in pairwise(ends[first : min(last, num_partitions) + 1]):
            if shuffle:
                _shuffle(rows[start:stop], rng)
            else:
                rows[start:stop].sort()

    _in_groups(finish, offsets[:-1], len(rows))
    return rows


def _gatherer(source: Rows, blocks: Counts) -> tuple[Callable[[int, int], None], Rows]:
    """Return a function that gathers the rows of successive partitions, and the array that it writes to."""
    if blocks.shape[0] == 1:
        return lambda first, last: None, source
    rows = np.empty_like(source)
    starts = np.cumsum(blocks).reshape(blocks.shape) - blocks
    sizes = blocks.T.ravel()
    ends = np.cumsum(sizes)
    # How far the rows of a class in a partition move.
    moves = starts.T.ravel() - (ends - sizes)

    def gather(first_partition: int, last_partition: int) -> None:
        first, stop = (partition * len(blocks) for partition in (first_partition, last_partition))
        begin = int(ends[first] - sizes[first])
        while first < stop:
            last = min(max(int(np.searchsorted(ends, begin + _BLOCK, side="right")), first + 1), stop)
            end = int(ends[last - 1])
            origin = np.repeat(moves[first:last], sizes[first:last])
            origin += np.arange(begin, end)
            # No index is out of range; mode="clip" lets NumPy write directly to the output.
            np.take(source, origin, out=rows[begin:end], mode="clip")
            first, begin = last, end

    return gather, rows


def _shuffle(rows: Rows, rng: np.random.Generator) -> None:
    """Put rows in random order, in place."""
    if len(rows) in _DRAWN:
        # A sample of all rows is a random permutation; at these lengths NumPy draws it in half the time of a shuffle.
        rows[:] = rng.choice(rows, len(rows), replace=False)
    elif len(rows) > 1:
        rng.shuffle(rows)


def _in_groups(work: Callable[[int, int, int], None], starts: NDArray[np.int64], num_rows: int) -> None:
    """Call `work(group, first, last)` in threads, for each group of successive pieces that start close together.

    Each group draws from streams that its name determines, so neither the order nor the number of threads matters.
    NumPy shuffles without holding the interpreter's lock. A group is large enough to be worth a task, and small enough
    to stay in the cache between gathering and shuffling.
    """
    near = starts // _ROWS_PER_GROUP
    firsts = [0, *(np.flatnonzero(np.diff(near)) + 1).tolist(), len(near)]
    groups = [(int(near[first]), first, last) for first, last in pairwise(firsts)]
    # Starting a thread takes as long as shuffling several thousand rows. If the pieces are small, most of the time is
    # spent in Python code, and threads only wait for each other.
    is_worthwhile = num_rows >= _ROWS_PER_PIECE * len(starts)
    threads = min(usable_processors(), num_rows // 100_000) if is_worthwhile else 1
    for _ in in_threads(lambda group: work(*group), groups, threads):
        pass  # Results are ready in any order; errors are raised here.


def stable_order(codes: Codes, num_classes: int) -> Rows:
    """Return the rows sorted by class, and within a class in the order of the data set, in linear time.

    NumPy sorts 16-bit integers by radix; two such passes are enough for 2^32 classes.
    """
    if num_classes == 1:
        return np.arange(len(codes), dtype=np.int64)
    if codes.dtype.itemsize <= 2:
        return np.argsort(codes, kind="stable")
    low = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    return low[np.argsort((codes >> 16).astype(np.uint16)[low], kind="stable")]
