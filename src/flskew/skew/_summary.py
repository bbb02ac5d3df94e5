"""The one look at the counts that all measures are made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._util.threads import in_strips
from flskew.typing import LabelCounts, Sizes

__all__ = ["PerClass", "PerPartition", "Summary", "summarise"]

PerPartition: TypeAlias = NDArray[np.float64]
"""(num_partitions,) one number for each."""

PerClass: TypeAlias = NDArray[np.float64]
"""(num_classes,) one number for each."""

Cells: TypeAlias = NDArray[np.float64]
"""One number for each partition and class of a block."""

Function: TypeAlias = Callable[[Cells], Cells]

# Cells looked at together: enough to leave the interpreter behind, few enough for the cache.
_BLOCK = 1 << 17
# Up to here a table of a function's values stays in the cache, and looking one up is faster than computing it.
_MOST_LOOKED_UP = 1 << 16

_BITS_SET = np.array([number.bit_count() for number in range(256)], dtype=np.uint16)


class Summary(NamedTuple):
    """What the measures need to know of counts, in arrays of one dimension.

    Attributes:
        sizes: (num_partitions,) rows of each partition.
        totals: (num_classes,) rows of each class that any partition holds.
        held: (num_partitions,) classes that each partition has rows of.
        entropy: H(p_k) in bits, 0 for a partition without rows.
        distance: Total variation 1/2·||p_k - p||_1 of each partition, 0 for one without rows.
        mean_shares: The mean of p_k over the partitions with rows, each counting alike.
        root_shares: The sum of the square roots of p_k.
    """

    sizes: Sizes
    totals: Sizes
    held: Sizes
    entropy: PerPartition
    distance: PerPartition
    mean_shares: PerClass
    root_shares: PerClass


def summarise(counts: LabelCounts) -> Summary:
    """Look at (num_partitions, num_classes) counts, of which at least one is above 0, block by block."""
    num_partitions, num_classes = counts.shape
    sizes = counts.sum(axis=1)
    totals = counts.sum(axis=0)
    overall = totals / totals.sum()
    scales = 1.0 / np.maximum(sizes, 1)
    held = np.empty(num_partitions, dtype=np.int64)
    entropy = np.empty(num_partitions)
    distance = np.empty(num_partitions)
    largest = int(min(sizes.max(), totals.max()))
    weigh, root = _looked_up(_times_logarithm, largest), _looked_up(np.sqrt, largest)

    height = max(_BLOCK // num_classes, 1)

    def look(strip: range) -> list[tuple[PerClass, PerClass]]:
        # Made once, for asking the system for memory takes longer than what is done with it.
        rows, scratch = np.empty((2, height, num_classes))
        return [look_at(slice(start, start + height), rows, scratch) for start in strip]

    def look_at(block: slice, rows: Cells, scratch: Cells) -> tuple[PerClass, PerClass]:
        own, scale = counts[block], scales[block]
        rows, scratch = rows[: len(own)], scratch[: len(own)]
        # Eight truth values a byte, for NumPy adds them up as if they were 64-bit numbers.
        held[block] = _BITS_SET[np.packbits(own != 0, axis=1)].sum(axis=1)
        # H(p) = log n - (sum of c·log c) / n.
        entropy[block] = -np.log2(scale) - weigh(own, scratch).sum(axis=1) * scale
        # ||p - q|| = ||c - n·q|| / n, the outer product by the fastest way there is.
        np.copyto(rows, own)
        np.dot(sizes[block, None].astype(np.float64), overall[None], out=scratch)
        scratch -= rows
        np.abs(scratch, out=scratch)
        distance[block] = scratch.sum(axis=1) * scale / 2
        sums = scale @ rows
        return sums, np.sqrt(scale) @ root(own, scratch)

    looks = [found for strip in in_strips(look, range(0, num_partitions, height)) for found in strip]
    mean_shares = np.sum([sums for sums, _ in looks], axis=0) / np.count_nonzero(sizes)
    root_shares = np.sum([roots for _, roots in looks], axis=0)
    return Summary(sizes, totals, held, np.maximum(entropy, 0.0), distance, mean_shares, root_shares)


def _looked_up(function: Function, largest: int) -> Callable[[LabelCounts, Cells], Cells]:
    """Return the function of counts from 0 to `largest`; where these are few, its values are looked up in a table."""
    if largest >= _MOST_LOOKED_UP:
        return lambda counts, out: function(counts.astype(np.float64))
    table = function(np.arange(largest + 1, dtype=np.float64))
    # No count is out of range, and mode="clip" writes straight into its place.
    return lambda counts, out: np.take(table, counts, out=out, mode="clip")


def _times_logarithm(numbers: Cells) -> Cells:
    """Return c·log2(c), and 0 for 0."""
    weighed: Cells = numbers * np.log2(np.maximum(numbers, 1.0))
    return weighed
