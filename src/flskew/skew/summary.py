"""The one look at the counts that all measures are made from."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from flskew.typing import LabelCounts, Sizes

__all__ = ["PerClass", "PerPartition", "Summary", "summarise"]

PerPartition: TypeAlias = NDArray[np.float64]
"""(num_partitions,) one number for each."""

PerClass: TypeAlias = NDArray[np.float64]
"""(num_classes,) one number for each."""

Result = TypeVar("Result")

# Cells looked at together: enough to leave the interpreter behind, few enough for the cache.
_BLOCK = 1 << 17


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
    divisors = np.maximum(sizes, 1).astype(np.float64)
    held = np.empty(num_partitions, dtype=np.int64)
    entropy = np.empty(num_partitions)
    distance = np.empty(num_partitions)

    def look(block: slice) -> tuple[PerClass, PerClass]:
        shares = counts[block].astype(np.float64)
        scratch = np.minimum(shares, 1.0)
        held[block] = scratch.sum(axis=1)
        # H(p) = log n - (sum of c·log c) / n, with 0·log 0 = 0.
        np.maximum(shares, 1.0, out=scratch)
        np.log2(scratch, out=scratch)
        scratch *= shares
        entropy[block] = np.log2(divisors[block]) - scratch.sum(axis=1) / divisors[block]
        shares /= divisors[block, None]
        np.subtract(shares, overall, out=scratch)
        np.abs(scratch, out=scratch)
        distance[block] = scratch.sum(axis=1) / 2
        sums = shares.sum(axis=0)
        return sums, np.sqrt(shares, out=shares).sum(axis=0)

    height = max(_BLOCK // num_classes, 1)
    blocks = [slice(start, start + height) for start in range(0, num_partitions, height)]
    looks = _in_order(look, blocks)
    empty = sizes == 0
    distance[empty] = 0.0
    mean_shares = np.sum([sums for sums, _ in looks], axis=0) / np.count_nonzero(~empty)
    root_shares = np.sum([roots for _, roots in looks], axis=0)
    return Summary(sizes, totals, held, np.maximum(entropy, 0.0), distance, mean_shares, root_shares)


def _in_order(look: Callable[[slice], Result], blocks: list[slice]) -> list[Result]:
    """Look at the blocks on all processors; the results are in the order of the blocks, whichever is done first."""
    threads = min(os.cpu_count() or 1, len(blocks))
    if threads == 1:  # Starting a thread takes as long as a small block does.
        return list(map(look, blocks))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(look, blocks))
