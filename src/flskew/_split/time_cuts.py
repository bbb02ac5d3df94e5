"""Cut each partition into an earlier and a later part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._split.building import Parts, without_classes
from flskew._split.labels import read_times
from flskew.typing import Offsets, Rows, Times

__all__ = ["later_share", "selected", "times_of"]


def times_of(parts: Parts, when: Times) -> NDArray[Any]:
    """Read the times of all rows.

    Raises:
        TypeError: They are neither dates nor numbers.
        ValueError: There is not one time per row, or one is missing.
    """
    times, num_rows = read_times(when, "when"), len(parts.rows) + len(parts.unassigned)
    if len(times) != num_rows:
        raise ValueError(f"when must be one time per row of the data set, got {len(times)} for {num_rows} rows")
    return times


def later_share(rows: Rows, offsets: Offsets, times: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """Choose the latest rows of each partition, about a share of them.

    A cut lies between two different times, so that no time is on both sides. The cut of a partition is the one that
    comes closest to the share; of two equally close ones, the later.

    Args:
        rows: The rows of all partitions, one partition after the other.
        offsets: (num_partitions + 1,) where each partition begins in `rows`.
        times: (num_rows,) the time of each row of the data set.
        share: Between 0 and 1.

    Returns:
        (len(rows),) whether each row is among the latest; none of a partition whose rows all have the same time.
    """
    sizes, stops = np.diff(offsets), offsets[1:]
    holder = np.repeat(np.arange(len(sizes)), sizes)
    # Partitions stay where they are, and the rows of each are sorted by time.
    order = np.lexsort((times[rows], holder))
    ordered = times[rows[order]]
    cuts = np.flatnonzero((ordered[1:] != ordered[:-1]) & (holder[1:] == holder[:-1])) + 1
    partition = holder[cuts]
    distance = np.abs(stops[partition] - cuts - share * sizes[partition])
    best = np.lexsort((-cuts, distance, partition))
    is_cut, first = np.unique(partition[best], return_index=True)
    starts = stops.copy()
    starts[is_cut] = cuts[best[first]]
    is_later = np.empty(len(rows), dtype=np.bool_)
    is_later[order] = np.arange(len(rows)) >= np.repeat(starts, sizes)
    return is_later


def selected(parts: Parts, which: NDArray[np.bool_]) -> Parts:
    """Keep some of the assigned rows, each in its partition; the others become unassigned. Nothing about classes."""
    num_rows = len(parts.rows) + len(parts.unassigned)
    kept = np.concatenate(([0], np.cumsum(which)))
    is_out = np.ones(num_rows, dtype=np.bool_)
    is_out[parts.rows[which]] = False
    return without_classes(parts)._replace(
        rows=parts.rows[which],
        offsets=kept[parts.offsets],
        unassigned=np.flatnonzero(is_out),
    )
