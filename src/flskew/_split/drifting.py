"""Splits that change over time: rows that change hands one after the other, and periods of a column of times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._split.building import Parts, without_classes
from flskew.typing import Offsets, Rows

__all__ = ["in_steps", "period_starts", "without_partition"]

_ABOUT_IDS = ("natural_ids", "natural_id_partitions")


def in_steps(first: Parts, last: Parts, count: int, rng: np.random.Generator) -> Iterator[Parts]:
    """Yield the splits between two others, in equal steps, without anything about classes.

    The rows that the two splits give to different partitions, m of them, change hands in random order, each once. After
    step t of T = count - 1, the floor or the ceiling of m · t / T rows have, and m · t / T in expectation.

    Args:
        first: The split before the first step.
        last: The split after the last step, over as many rows and partitions.
        count: Number of splits including both ends, which are not yielded; >= 2.
        rng: Draws the order and the rounding.
    """
    before, after = _by_row(first), _by_row(last)
    changing = np.flatnonzero(before != after)
    # When each row changes hands; those that stay are always in the order of the first split.
    turn = np.full(len(before), len(changing))
    turn[rng.permutation(changing)] = np.arange(len(changing))
    offset = rng.random()
    common = without_classes(first)
    if not all(np.array_equal(getattr(first, name), getattr(last, name)) for name in _ABOUT_IDS):
        common = common._replace(natural_ids=None, natural_id_partitions=None)
    (turns_before, holders_before), (turns_after, holders_after) = ((turn[p.rows], _holders(p)) for p in (first, last))
    for step in range(1, count - 1):
        moved = int(len(changing) * step / (count - 1) + offset)
        stays, came = turns_before >= moved, turns_after < moved
        rows = np.concatenate([first.rows[stays], last.rows[came]])
        holders = np.concatenate([holders_before[stays], holders_after[came]])
        sizes = np.bincount(holders, minlength=len(first.offsets) - 1)
        yield _with_rows(common, rows[np.argsort(holders, kind="stable")], np.concatenate(([0], np.cumsum(sizes))))


def period_starts(times: NDArray[Any], count: int) -> NDArray[Any]:
    """Return the first time of each of several periods with about equally many rows.

    A period begins where that comes closest to an equal number of rows; rows at the same time are never divided.

    Args:
        times: (num_rows,) at least one, each the time of a row.
        count: Number of periods, >= 1.

    Returns:
        (count,) times, increasing unless there are too few different times.
    """
    distinct, counts = np.unique(times, return_counts=True)
    before = np.cumsum(counts) - counts
    wanted = len(times) * np.arange(count) / count
    after = np.minimum(np.searchsorted(before, wanted), len(before) - 1)
    ahead = np.maximum(after - 1, 0)
    # Of two equally close ones, the later.
    nearest = np.where(wanted - before[ahead] < before[after] - wanted, ahead, after)
    return np.asarray(distinct[nearest])


def without_partition(parts: Parts, partition_id: int) -> Parts:
    """Take all rows away from one partition; nobody else gets them."""
    start, stop = parts.offsets[partition_id : partition_id + 2].tolist()
    offsets = parts.offsets.copy()
    offsets[partition_id + 1 :] -= stop - start
    left = _with_rows(parts, np.delete(parts.rows, np.s_[start:stop]), offsets)
    if parts.label_counts is None:
        return left
    counts = parts.label_counts.copy()
    counts[partition_id] = 0
    return left._replace(label_counts=counts, label_targets=None)


def _holders(parts: Parts) -> NDArray[np.int64]:
    """(number of assigned rows,) the partition of each."""
    return np.repeat(np.arange(len(parts.offsets) - 1), np.diff(parts.offsets))


def _by_row(parts: Parts) -> NDArray[np.int64]:
    """(num_rows,) the partition of each row; -1 if it is unassigned."""
    holders = np.full(len(parts.rows) + len(parts.unassigned), -1)
    holders[parts.rows] = _holders(parts)
    return holders


def _with_rows(parts: Parts, rows: Rows, offsets: Offsets) -> Parts:
    """Return a split of other rows among the same partitions; what it says about classes is unchanged."""
    is_out = np.ones(len(parts.rows) + len(parts.unassigned), dtype=np.bool_)
    is_out[rows] = False
    return parts._replace(rows=rows, offsets=offsets, unassigned=np.flatnonzero(is_out))
