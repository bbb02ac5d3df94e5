"""The numbers of rows, as users give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew.typing import Rows

__all__ = ["row_numbers"]


def row_numbers(rows: Iterable[int]) -> Rows:
    """Return checked row numbers.

    Raises:
        TypeError: They are not a list of integers.
        ValueError: One is negative or too large.
    """
    rule = "rows must be a list of row numbers, which are integers from 0 to 2^63 - 1"
    numbers = rows if type(rows) is np.ndarray else _as_array(rows, rule)
    if numbers.ndim != 1 or (numbers.dtype.kind not in "iu" and numbers.size):
        raise TypeError(f"{rule}, got {numbers.dtype} of shape {numbers.shape}")
    seen = numbers.astype(np.int64, copy=False)
    # Larger numbers have become negative.
    if np.minimum.reduce(seen, initial=0) < 0:
        raise ValueError(f"{rule}, got {numbers[seen < 0][0]}")
    return seen


def _as_array(rows: object, rule: str) -> NDArray[Any]:
    if isinstance(rows, range):
        return np.arange(rows.start, rows.stop, rows.step)  # Much faster than a list of them.
    if isinstance(rows, str | Set | Mapping | np.ma.MaskedArray) or not isinstance(rows, Iterable):
        raise TypeError(f"{rule}, got {type(rows).__name__}")
    return np.asarray(rows if hasattr(rows, "__array__") else list(rows))
