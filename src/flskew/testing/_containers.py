"""Features and labels in the containers that a shift may be given, and whether two contain the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew.typing import Features

__all__ = ["arrays_of", "frozen", "other_containers", "same"]


def arrays_of(data: Features) -> list[NDArray[Any]]:
    """Return the columns of a table, or the array as the only one."""
    if isinstance(data, np.ndarray):
        return [data]
    if isinstance(data, Mapping):
        return [np.asarray(column) for column in data.values()]
    return [data.iloc[:, place].to_numpy() for place in range(data.shape[1])]


def same(one: Features, other: Features) -> bool:
    """Return whether two containers of the same kind have the same bytes."""
    if isinstance(one, Mapping):
        named_alike = list(one) == list(other)
    else:
        named_alike = isinstance(one, np.ndarray) or (
            one.index.equals(other.index) and one.columns.equals(other.columns)
        )
    return named_alike and all(map(_same_array, arrays_of(one), arrays_of(other)))


def _same_array(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype.kind == other.dtype.kind == "U":
        # The same strings can have room for more characters.
        return np.array_equal(one, other)
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    if one.dtype == object:
        return all(map(_same_object, one.ravel().tolist(), other.ravel().tolist()))
    return one.tobytes() == other.tobytes()


def _same_object(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return _same_array(one, other)
    if _is_missing(one) or _is_missing(other):
        return _is_missing(one) and _is_missing(other)
    return type(one) is type(other) and bool(one == other)


def _is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NA or NaT, which containers use for the same purpose."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def frozen(data: Features) -> Features:
    """Return a copy that cannot be written to, as far as its kind allows."""
    if isinstance(data, Mapping):
        return {name: frozen(np.asarray(column)) for name, column in data.items()}
    if not isinstance(data, np.ndarray):
        return data
    copy = data.copy()
    copy.setflags(write=False)
    return copy


def other_containers(data: Features, name: str) -> Iterator[tuple[Features, str]]:
    """Yield the same features or labels in containers of other kinds, and a description of each."""
    if name == "labels":
        if data.dtype != object:
            yield data.tolist(), "a list"
    elif isinstance(data, np.ndarray):
        yield np.repeat(data, 2, axis=0)[::2], "every other row of an array"
        yield np.asfortranarray(data), "an array in Fortran order"
    elif isinstance(data, Mapping):
        columns = {column: np.asarray(values) for column, values in data.items()}
        if all(values.ndim == 1 for values in columns.values()):
            import pandas as pd

            yield pd.DataFrame(columns), "a DataFrame"
    else:
        yield data.set_axis([f"row {place}" for place in range(len(data))]), "a DataFrame with another index"
        if data.columns.is_unique and all(isinstance(dtype, np.dtype) for dtype in data.dtypes):
            yield {column: np.asarray(data[column]) for column in data.columns}, "a mapping"
