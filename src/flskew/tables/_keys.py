"""float64 as integers in the same order, so that quantiles are found by bisection, bit for bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["HIGHEST", "LOWEST", "from_key", "to_keys"]


def to_keys(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return an integer per number, in the same order: a < b if and only if key(a) < key(b).

    Examples:
        >>> to_keys(np.array([-1.0, -0.0, 0.0, 5e-324])).tolist()
        [-4607182418800017409, 0, 0, 1]
    """
    bits = (np.asarray(values, np.float64) + 0.0).view(np.int64)  # + 0.0 turns -0.0 into 0.0
    return _flipped(bits)


def from_key(key: int) -> float:
    """Return the number of a key."""
    return float(_flipped(np.array([key], np.int64)).view(np.float64)[0])


def _flipped(bits: NDArray[np.int64]) -> NDArray[np.int64]:
    # The bits of negative floats count down; this is its own inverse.
    return bits ^ ((bits >> 63) & np.int64(2**63 - 1))


_LARGEST = np.finfo(np.float64).max
LOWEST, HIGHEST = to_keys(np.array([-_LARGEST, _LARGEST])).tolist()
"""The keys of the smallest and the largest finite number."""
