"""Which partitions may hold a row with several labels, if some labels are banned from some partitions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._split.multi_label import MultiLabelColumn
from flskew.typing import Holders

__all__ = ["Bans", "banned"]


class Bans(NamedTuple):
    """The partitions that may hold each row.

    Attributes:
        pattern: (num_rows,) position of each row's set of partitions; sets with fewer partitions come first.
        allowed: (num_patterns, num_partitions) the sets.
    """

    pattern: NDArray[np.int64]
    allowed: NDArray[np.bool_]


def banned(column: MultiLabelColumn, may_hold: Holders, rng: np.random.Generator, *, strict: bool) -> Bans:
    """Combine the bans of all labels of each row, as bits: there may be many rows and partitions, but few sets."""
    bits = np.packbits(~may_hold, axis=1)
    held = np.zeros((len(column), bits.shape[1]), dtype=np.uint8)
    labelled = np.flatnonzero(np.diff(column.indptr))
    held[labelled] = np.bitwise_or.reduceat(bits[column.indices], column.indptr[labelled], axis=0)
    # Bytes of a fixed length are compared as a whole.
    words, which = np.unique(held.view(f"V{bits.shape[1]}").ravel(), return_inverse=True)
    sets = np.ascontiguousarray(words).view(np.uint8).reshape(len(words), -1)
    allowed = np.unpackbits(sets, axis=1, count=may_hold.shape[1]) == 0
    if not strict:
        allowed[~allowed.any(axis=1)] = True
    # Which set comes first must not depend on the positions of the partitions.
    order = np.lexsort((rng.random(len(allowed)), np.count_nonzero(allowed, axis=1)))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Bans(rank[which.ravel()], allowed[order])
