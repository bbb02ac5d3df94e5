"""Change numbers of any dtype, a block of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew.typing import Rows

__all__ = ["ChangeFloats", "changed_numbers"]

ChangeFloats: TypeAlias = Callable[[NDArray[Any], Rows], NDArray[Any]]
"""Given float32 or float64 values and their rows, returns the new values, or the same object for no change."""

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

_BLOCK = 2**17
"""Numbers in a block: few enough for the cache of a processor."""

_BLOCK_OF_NARROW_ROWS = 2**22
"""Narrow rows share random numbers, which are drawn again in every block."""


def changed_numbers(values: NDArray[Any], rows: Rows, change: ChangeFloats, by: str, column: str) -> NDArray[Any]:
    """Return new values, or the same object if nothing changes.

    Temporary arrays have the size of a block, whatever the number of rows.

    Args:
        values: (num_rows, ...) integers or floating-point numbers; not changed.
        rows: (num_rows,) the number of each row.
        change: Called for each block, with floats.
        by: The name of the shift, for error messages.
        column: The name of the column, or empty for a whole array.

    Raises:
        TypeError: The values are not numbers.
        ValueError: `change` returns another shape.
    """
    if values.dtype.kind not in "iuf" and values.dtype.name != "bfloat16":
        if column:
            raise TypeError(f"{by} changes numbers, but column {column!r} contains {values.dtype}; convert or omit it")
        raise TypeError(
            f"{by} changes numbers, but features contain {values.dtype}; name the columns to change with columns=[...]"
        )
    size = math.prod(values.shape[1:])
    step = max(1, (_BLOCK if size > 64 else _BLOCK_OF_NARROW_ROWS) // max(1, size))
    if len(values) <= step:
        return _changed_block(values, rows, change, by)
    seen = None
    for start in range(0, len(values), step):
        old = values[start : start + step]
        new = _changed_block(old, rows[start : start + step], change, by)
        if seen is None and new is not old:
            seen = np.empty_like(values)
            seen[:start] = values[:start]
        if seen is not None:
            seen[start : start + step] = new
    return values if seen is None else seen


def _changed_block(values: NDArray[Any], rows: Rows, change: ChangeFloats, by: str) -> NDArray[Any]:
    dtype = values.dtype
    floats = values
    if dtype not in _FLOATS:
        # 8 and 16 bits fit into float32 exactly.
        floats = values.astype(np.float32 if dtype.itemsize <= 2 else np.float64)
    with np.errstate(under="ignore"):
        new = change(floats, rows)
        if new is floats:
            return values
        if new.shape != values.shape:
            raise ValueError(f"{by} must return values of shape {values.shape}, got {new.shape}")
        if dtype.kind not in "iu":
            return np.asarray(new, dtype)
    limits = np.iinfo(dtype)
    # Floats have no 2^63 - 1: take the next below.
    most = limits.max if dtype.itemsize < 8 else np.nextafter(float(limits.max), 0)
    whole = np.rint(new)
    return np.clip(whole, limits.min, most, out=whole).astype(dtype)
