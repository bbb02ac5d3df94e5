"""Check a column for missing values, and read numbers and dates from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ALLOWED", "present", "read_numbers"]

ALLOWED = "must be integers, strings or booleans"


def read_numbers(column: NDArray[Any] | pa.ChunkedArray, name: str, remedy: str) -> NDArray[Any]:
    """Return numbers as they are, and dates as datetime64[us] in UTC; a time without a zone is taken as UTC.

    Raises:
        TypeError: The values are neither.
        ValueError: A value is missing, or a date has no 64-bit number of microseconds.
    """
    import pyarrow as pa

    if isinstance(column, np.ndarray):  # integers or booleans
        kind = pa.from_numpy_dtype(column.dtype)
    else:
        column = present(column, name)
        kind = column.type
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return _dates(column, name)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise TypeError(f"{name} must be numbers or dates, got {kind}; {remedy}")
    return column if isinstance(column, np.ndarray) else column.to_numpy()


def present(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return the column without a dictionary, after checking that no value is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        try:
            column = column.cast(column.type.value_type)
        except pa.ArrowNotImplementedError:
            raise TypeError(f"{name} {ALLOWED}, got {column.type.value_type}; convert it first") from None
    # NaN, which only floating-point numbers can be, is a value in Arrow but a missing label here.
    if column.null_count or pa.types.is_floating(column.type):
        missing = pc.is_null(column, nan_is_null=True)
        if pc.any(missing).as_py():
            raise ValueError(
                f"{name} has a missing value (None, NaN or NaT) at row {pc.index(missing, True).as_py()} "
                f"({pc.sum(missing).as_py()} in total); drop these rows or fill them in first"
            )
    return column


def _dates(column: pa.ChunkedArray, name: str) -> NDArray[np.datetime64]:
    """Return dates in microseconds, which a match compares exactly, unlike floats; nanoseconds are cut off."""
    import pyarrow as pa

    has_nanoseconds = pa.types.is_timestamp(column.type) and column.type.unit == "ns"
    try:
        # Arrow refuses to cut off nanoseconds if it has to be safe. Without a zone, the time is that in UTC.
        counts = column.cast(pa.timestamp("us"), safe=not has_nanoseconds).cast(pa.int64())
    except pa.ArrowInvalid:
        raise ValueError(f"{name} contains a date too far away to count in microseconds; correct it") from None
    return np.asarray(counts.to_numpy().view("M8[us]"))
