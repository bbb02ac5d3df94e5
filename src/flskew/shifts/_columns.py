"""Features of any kind, one column at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from flskew._util.texts import listed
from flskew.typing import Features, Rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ChangeColumn", "each_column", "num_entries", "taken"]

ChangeColumn: TypeAlias = Callable[[NDArray[Any], str], NDArray[Any]]
"""Given the values of a column and its name, returns the new values."""


def num_entries(features: Features) -> int:
    """Return the number of rows.

    Raises:
        TypeError: The features are not a table, or an array of at least one dimension.
        ValueError: Columns have several lengths, or there is none.
    """
    if isinstance(features, Mapping):
        lengths = set(map(len, features.values()))
        if len(lengths) != 1:
            raise ValueError(f"columns of features must have the same length, got {sorted(lengths)}")
        return int(lengths.pop())
    if (isinstance(features, np.ndarray) and features.ndim) or (hasattr(features, "iloc") and features.ndim == 2):
        return len(features)
    raise TypeError(
        f"features must be an array with one entry per row, a DataFrame, or a mapping from names to columns, "
        f"got {type(features).__name__}{' without rows' if isinstance(features, np.ndarray) else ''}"
    )


def taken(features: Features, places: Rows | slice) -> Features:
    """Return some entries of features, by position."""
    if isinstance(features, Mapping):
        return {name: np.asarray(column)[places] for name, column in features.items()}
    return features[places] if isinstance(features, np.ndarray) else features.iloc[places]


def each_column(features: Features, columns: tuple[str | int, ...] | None, change: ChangeColumn, by: str) -> Features:
    """Return features in which some columns have changed; the same object if none has.

    Args:
        features: An array, a DataFrame, or a mapping from names to columns; not changed.
        columns: Names, or positions in an array; None for all columns of floating-point numbers, or the whole array.
        change: Returns the new values of a column, or what it got if they do not change.
        by: The name of the shift, for error messages.

    Raises:
        TypeError: A name is given for an array, or a position for a table.
        ValueError: A column does not exist.
    """
    if isinstance(features, np.ndarray):
        return _in_array(features, columns, change, by)
    names = list(features) if isinstance(features, Mapping) else features.columns.tolist()
    if columns is None:
        columns = tuple(name for name in names if np.asarray(features[name]).dtype.kind == "f")
    changed = {}
    for name in columns:
        if name not in names:
            raise ValueError(f"{by}: {name!r} is not a column of the features; they have {listed(names)}")
        values = np.asarray(features[name])
        new = change(values, str(name))
        if new is not values:
            changed[name] = new
    if not changed:
        return features
    table = dict(features) if isinstance(features, Mapping) else cast("pd.DataFrame", features).copy(deep=False)
    for name, new in changed.items():
        table[name] = new
    return table


def _in_array(
    array: NDArray[Any], columns: tuple[str | int, ...] | None, change: ChangeColumn, by: str
) -> NDArray[Any]:
    if columns is None:
        return change(array, "")
    if array.ndim != 2:
        raise ValueError(f"{by}: columns need a table, but features are an array of shape {array.shape}; omit columns")
    copy = array
    for position in columns:
        if isinstance(position, str):
            raise TypeError(
                f"{by}: columns of an array are given by position, got {position!r}; pass a table with names"
            )
        if position >= array.shape[1]:
            raise ValueError(f"{by}: column {position} does not exist; there are {array.shape[1]}")
        values = array[:, position]
        new = change(values, str(position))
        if new is not values:
            copy = array.copy() if copy is array else copy
            copy[:, position] = new
    return copy
