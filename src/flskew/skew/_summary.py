"""The sums over the counts that all measures share, computed in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._util.threads import in_strips
from flskew.typing import LabelCounts, Sizes

__all__ = ["PerClass", "PerPartition", "Summary", "summarise"]

PerPartition: TypeAlias = NDArray[np.float64]
"""(num_partitions,) one number per partition."""

PerClass: TypeAlias = NDArray[np.float64]
"""(num_classes,) one number per class."""

Cells: TypeAlias = NDArray[np.float64]
"""One number per partition and class of a block."""

Function: TypeAlias = Callable[[Cells], Cells]

# Cells per block: enough to make the interpreter's overhead negligible, few enough for the cache.
_BLOCK = 1 << 17
# Up to this size, a table of a function's values stays in the cache, so a lookup is faster than computing the value.
_MOST_LOOKED_UP = 1 << 16

_BITS_SET = np.array([number.bit_count() for number in range(256)], dtype=np.uint16)


class Summary(NamedTuple):
    """The sums that the measures need, as one-dimensional arrays.

    Attributes:
        sizes: (num_partitions,) rows of each partition.
        totals: (num_classes,) rows of each class in all partitions.
        held: (num_partitions,) number of classes of which each partition has rows.
        entropy: H(p_k) in bits, 0 for a partition without rows.
        distance: Total variation 1/2·||p_k - p||_1 of each partition, 0 for one without rows.
        mean_shares: The unweighted mean of p_k over the partitions with rows.
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
    """Sum (num_partitions, num_classes) counts block by block; at least one must be above 0."""
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

    def sum_strip(strip: range) -> list[tuple[PerClass, PerClass]]:
        # Allocated once, because allocating takes longer than the arithmetic.
        rows, scratch = np.empty((2, height, num_classes))
        return [sum_block(slice(start, start + height), rows, scratch) for start in strip]

    def sum_block(block: slice, rows: Cells, scratch: Cells) -> tuple[PerClass, PerClass]:
        own, scale = counts[block], scales[block]
        rows, scratch = rows[: len(own)], scratch[: len(own)]
        # Packed into bits, because NumPy sums booleans as 64-bit integers.
        held[block] = _BITS_SET[np.packbits(own != 0, axis=1)].sum(axis=1)
        # H(p) = log n - (sum of c·log c) / n.
        entropy[block] = -np.log2(scale) - weigh(own, scratch).sum(axis=1) * scale
        # ||p - q|| = ||c - n·q|| / n; np.dot is the fastest outer product.
        np.copyto(rows, own)
        np.dot(sizes[block, None].astype(np.float64), overall[None], out=scratch)
        scratch -= rows
        np.abs(scratch, out=scratch)
        distance[block] = scratch.sum(axis=1) * scale / 2
        sums = scale @ rows
        return sums, np.sqrt(scale) @ root(own, scratch)

    strips = in_strips(sum_strip, range(0, num_partitions, height), counts.size)
    sums_of_blocks = [sums for strip in strips for sums in strip]
    mean_shares = np.sum([sums for sums, _ in sums_of_blocks], axis=0) / np.count_nonzero(sizes)
    root_shares = np.sum([roots for _, roots in sums_of_blocks], axis=0)
    return Summary(sizes, totals, held, np.maximum(entropy, 0.0), distance, mean_shares, root_shares)


def _looked_up(function: Function, largest: int) -> Callable[[LabelCounts, Cells], Cells]:
    """Return the function for counts from 0 to `largest`, as a lookup table if that is small."""
    if largest >= _MOST_LOOKED_UP:
        return lambda counts, out: function(counts.astype(np.float64))
    table = function(np.arange(largest + 1, dtype=np.float64))
    # All counts are in range; mode="clip" writes directly into `out` without a buffer.
    return lambda counts, out: np.take(table, counts, out=out, mode="clip")


def _times_logarithm(numbers: Cells) -> Cells:
    """Return c·log2(c), and 0 for 0."""
    weighed: Cells = numbers * np.log2(np.maximum(numbers, 1.0))
    return weighed
