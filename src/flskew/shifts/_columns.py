"""Features of any kind, one column at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew._util.texts import listed
from flskew.typing import Features, Labels, Rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ChangeArray",
    "ChangeColumn",
    "as_column",
    "checked_columns",
    "each_array",
    "each_column",
    "label_array",
    "num_entries",
    "taken",
]

ChangeArray: TypeAlias = Callable[[NDArray[Any], str], NDArray[Any]]
"""Given the values of a column and its name, returns the new values, or the same object if nothing changes."""

ChangeColumn: TypeAlias = "Callable[[NDArray[Any] | pd.Series[Any], str], NDArray[Any] | pd.Series[Any]]"
"""The same for the columns of a DataFrame too, as pandas has them."""


def checked_columns(columns: Iterable[str | int]) -> tuple[str | int, ...]:
    """Return names or positions of columns as a tuple.

    Raises:
        TypeError: It is not a list of names and positions.
        ValueError: There is none, or one is there twice.
    """
    if isinstance(columns, str | bytes) or not isinstance(columns, Iterable):
        raise TypeError(f"columns must be a list of names or positions, got {columns!r:.40}; put it in brackets")
    checked = tuple(str(one) if isinstance(one, str) else checks.integer("columns", one, minimum=0) for one in columns)
    if not checked:
        raise ValueError("columns must name at least one column, got none; omit it for all")
    if len(set(checked)) < len(checked):
        raise ValueError(f"columns must be distinct, got {listed(checked)}")
    return checked


def num_entries(data: Features, name: str = "features") -> int:
    """Return the number of rows of features or labels.

    Raises:
        TypeError: They are neither a table nor an array with one entry per row, or the array is masked.
        ValueError: Columns have several lengths, or there is none.
    """
    if isinstance(data, Mapping):
        lengths = {num_entries(as_column(column), f"column {column_name!r}") for column_name, column in data.items()}
        if not lengths:
            raise ValueError(f"{name} must have at least one column, got none")
        if len(lengths) > 1:
            raise ValueError(f"columns of {name} must have the same length, got {sorted(lengths)}")
        return lengths.pop()
    if isinstance(data, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array, because the mask would be lost; pass its filled(...)")
    if isinstance(data, np.ndarray) and data.ndim == 0:
        raise TypeError(f"{name} must have one entry per row, got a single value")
    if not isinstance(data, np.ndarray) and not hasattr(data, "iloc"):
        raise TypeError(
            f"{name} must be a NumPy array with one entry per row, a DataFrame, or a mapping from names to columns, "
            f"got {type(data).__name__}; for a Hugging Face data set, use view.dataset"
        )
    return int(data.shape[0])


def as_column(column: Features) -> Features:
    """Return a column of a mapping as an array, unless pandas made it."""
    return column if isinstance(column, np.ndarray) or hasattr(column, "iloc") else np.asarray(column)


def label_array(labels: Labels) -> NDArray[Any]:
    """Return labels as an array.

    Raises:
        TypeError: There is not one label per row, or the array is masked.
    """
    try:
        values = np.asanyarray(labels)
    except ValueError:
        raise TypeError(
            "labels must be an array with one entry per row, got lists of different lengths; for several labels per "
            "row, pass a 0/1 matrix"
        ) from None
    num_entries(values, "labels")
    return np.asarray(values)


def taken(features: Features, places: Rows | slice) -> Features:
    """Return some entries of features, by position."""
    if isinstance(features, Mapping):
        return {name: taken(as_column(column), places) for name, column in features.items()}
    return features[places] if isinstance(features, np.ndarray) else features.iloc[places]


def each_array(features: Features, columns: tuple[str | int, ...] | None, change: ChangeArray, by: str) -> Features:
    """Do as `each_column`, with NumPy arrays instead of pandas' columns."""
    return each_column(features, columns, lambda column, name: _through_array(column, name, change), by)


def each_column(features: Features, columns: tuple[str | int, ...] | None, change: ChangeColumn, by: str) -> Features:
    """Return features in which some columns have changed; the same object if none has.

    Args:
        features: An array, a DataFrame, a Series, or a mapping from names to columns; not changed.
        columns: Names, or positions in an array; None for all columns of floating-point numbers, or the whole array.
        change: Returns the new values of a column, or the same object.
        by: The name of the shift, for error messages.

    Raises:
        TypeError: A name is given for an array.
        ValueError: A column does not exist, two have the same name, or none is named and none has floating-point
            numbers.
    """
    if isinstance(features, np.ndarray):
        return _in_array(features, columns, change, by)
    if isinstance(features, Mapping):
        names, table = list(features), list(map(as_column, features.values()))
    elif features.ndim == 1:
        names, table = ["" if features.name is None else features.name], [features]
        columns = tuple(names) if columns is None else columns
    else:
        names, table = features.columns.tolist(), [features.iloc[:, place] for place in range(features.shape[1])]
    if columns is None:
        columns = tuple(name for name, column in zip(names, table, strict=True) if column.dtype.kind == "f")
        if not columns:
            raise ValueError(
                f"{by} changes columns of floating-point numbers unless you name others with columns=[...], but "
                f"features have none; they have {listed(names)}"
            )
    counts, places = Counter(names), {name: place for place, name in enumerate(names)}
    changed = {}
    for name in columns:
        if counts[name] != 1:
            problem = "is the name of several columns" if name in counts else "is not a column"
            raise ValueError(f"{by}: {name!r} {problem} of the features; they have {listed(names)}")
        place = places[name]
        new = change(table[place], str(name))
        if new is not table[place]:
            changed[place] = new
    if not changed:
        return features
    if isinstance(features, Mapping):
        return dict(zip(names, [changed.get(place, column) for place, column in enumerate(table)], strict=True))
    if features.ndim == 1:
        return changed[0]
    # Setting columns one by one would take quadratic time.
    together = {place: changed.get(place, column) for place, column in enumerate(table)}
    frame = type(features)(together, index=features.index, copy=False).__finalize__(features)
    frame.columns = features.columns
    return frame


def _in_array(array: NDArray[Any], columns: tuple[str | int, ...] | None, change: ChangeColumn, by: str) -> Features:
    values = np.asarray(array)  # Not a subclass, such as a memory map.
    if columns is None:
        new = change(values, "")
        return array if new is values else new
    if values.ndim != 2:
        raise ValueError(f"{by}: columns need a table, but features are an array of shape {array.shape}; omit columns")
    seen = values
    for position in columns:
        if isinstance(position, str):
            raise TypeError(
                f"{by}: columns of an array are given by position, got {position!r}; pass a table with names"
            )
        if position >= values.shape[1]:
            raise ValueError(f"{by}: column {position} does not exist; there are {values.shape[1]}")
        column = values[:, position]
        after: Any = change(column, str(position))
        if after is not column:
            # Only strings may have become longer.
            seen = seen.astype(np.promote_types(seen.dtype, after.dtype), copy=seen is values)
            seen[:, position] = after
    return array if seen is values else seen


def _through_array(column: NDArray[Any] | pd.Series[Any], name: str, change: ChangeArray) -> Features:
    """Change a column of pandas as an array of the same numbers; missing numbers stay missing."""
    if isinstance(column, np.ndarray):
        return change(column, name)
    dtype: Any = column.dtype
    missing = None
    if isinstance(dtype, np.dtype) or dtype.kind not in "iuf":
        values = column.to_numpy()
    else:
        missing = column.isna()
        values = column.to_numpy(np.dtype(getattr(dtype, "numpy_dtype", dtype.type)), na_value=0)
    new = change(values, name)
    if new is values:
        return column
    seen = type(column)(new, index=column.index, name=column.name, dtype=dtype)
    return seen if missing is None else seen.mask(missing)
