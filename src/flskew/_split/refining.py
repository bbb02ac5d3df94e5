"""Improve a deal of rows with several labels: deal the rows with equal labels again, one set of labels after the other.

The sum over all classes and partitions of (rows too many or too few / rows of the class)² is convex, and the rows of a
set of labels are interchangeable. To deal such a set anew, each row to the partition where it lowers the sum most,
never raises it: block coordinate descent, which approaches the least sum that is possible (P. Tseng: "Convergence of a
Block Coordinate Descent Method for Nondifferentiable Minimization", Journal of Optimization Theory and Applications
109(3), 2001).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flskew._split.bans import Bans
from flskew._split.levelling import level
from flskew._split.multi_label import MultiLabelColumn
from flskew._split.streams import Streams
from flskew.typing import Counts, Rows

__all__ = ["refine"]

# Two rounds lower the largest deviation to a half or less; each further one, by a few percent.
_ROUNDS = 2
# Only the largest sets are dealt again, so that time stays linear in labels.
_MOST_SETS = 2048
# Weights are integers, because sums of floats depend on their order: 16 for the most frequent class, squared.
_UNIT, _MOST = 16, 1 << 12


def refine(
    column: MultiLabelColumn,
    holder: NDArray[np.int64],
    demand: Counts,
    room: NDArray[np.int64],
    streams: Streams,
    bans: Bans | None,
) -> None:
    """Deal the rows of each set of labels again, in place.

    Args:
        column: The labels.
        holder: (num_rows,) the partition of each row that has labels; -1 for none.
        demand: (num_classes, num_partitions) rows that each partition still wants; negative if it has too many.
        room: (num_partitions,) rows of any class that each partition still wants.
        streams: Source of the random numbers.
        bans: The partitions that may hold each row; None for all.
    """
    if np.abs(demand).max(initial=0) <= 1:
        return
    weights = np.minimum(_UNIT * column.sizes.max() // column.sizes, _MOST) ** 2
    num_partitions = len(room)
    rng = streams("refine")
    sets = _largest_sets(column, streams)
    for _ in range(_ROUNDS):
        for rows in sets:
            codes = column.indices[column.indptr[rows[0]] : column.indptr[rows[0] + 1]]
            if holder[rows[0]] < 0 or not demand[codes].any():
                continue
            held = np.bincount(holder[rows], minlength=num_partitions)
            demand[codes] += held
            most = np.full(num_partitions, len(rows))
            if bans is not None:
                most *= bans.allowed[bans.pattern[rows[0]]]
            # Each row that a partition gets lowers what the next one gains there by the sum of the weights.
            gain, fraction = np.divmod(weights[codes] @ demand[codes], weights[codes].sum())
            takes = level(gain, most, room + held, len(rows), rng, fraction=fraction)
            demand[codes] -= takes
            room += held - takes
            if (takes != held).any():
                rng.shuffle(rows)
                holder[rows] = np.repeat(np.arange(num_partitions), takes)


def _largest_sets(column: MultiLabelColumn, streams: Streams) -> list[Rows]:
    """Return the rows of each of the largest sets of equal rows, the largest first."""
    labelled = np.flatnonzero(np.diff(column.indptr))
    # Equal sums of random numbers of 62 bits are equal sets, but for one in 10^10 pairs of a million sets.
    numbers = np.array([int(streams("label set", label).integers(1 << 62)) for label in column.labels])
    sums = np.add.reduceat(numbers[column.indices], column.indptr[labelled])
    _, which, sizes = np.unique(sums, return_inverse=True, return_counts=True)
    rows = labelled[np.argsort(which.ravel(), kind="stable")]
    ends = np.cumsum(sizes)
    largest = np.argsort(-sizes, kind="stable")[:_MOST_SETS].tolist()
    return [rows[ends[number] - sizes[number] : ends[number]] for number in largest]
