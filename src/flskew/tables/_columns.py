"""Columns of a table as floats or as texts: what both the statistics and the preparation read."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._util.texts import LONGEST_NAME, is_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CATEGORICAL", "EMPTY", "NUMERIC", "Numbers", "Texts", "check_names", "read"]

NUMERIC, CATEGORICAL, EMPTY = "numeric", "categorical", "empty"

Numbers: TypeAlias = NDArray[np.float64]
"""(num_rows,) values of a numeric column; NaN where one is missing."""

Texts: TypeAlias = NDArray[np.object_]
"""(num_rows,) stripped texts of a categorical column; None where one is missing."""


def check_names(frame: pd.DataFrame) -> list[str]:
    """Return the names of a frame's columns. Names are schema, not data, so errors quote them.

    Raises:
        TypeError: It is not a pandas DataFrame, or a name is not a string.
        ValueError: A name is repeated or cannot be printed.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame must be a pandas DataFrame, got {type(frame).__name__}")
    seen: set[str] = set()
    for position, name in enumerate(frame.columns):
        if not isinstance(name, str):
            raise TypeError(
                f"the name of column {position} must be a string, got {type(name).__name__}; set frame.columns"
            )
        if not is_name(name):
            raise ValueError(
                f"the name of column {position} must be printable and have 1 to {LONGEST_NAME} characters; rename it"
            )
        if name in seen:
            raise ValueError(f"two columns are called {name!r}; rename one")
        seen.add(name)
    return list(frame.columns)


def read(column: pd.Series[Any]) -> tuple[str, Numbers | Texts]:
    """Return the kind of a column and its values.

    Numbers and booleans are numeric. Texts and pandas categoricals are categorical: surrounding blanks are removed, and
    a blank text is missing. A column of missing values only is empty, with NaN for its values.

    Raises:
        ValueError: The column has infinite values, or values of another or of several types. The message names the
            column and the types, and quotes no value.
    """
    import pandas as pd

    is_missing = column.isna().to_numpy(dtype=bool)
    given = column[~is_missing]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _texts(column, is_missing, [_text(value) for value in given])
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_numeric_dtype(column.dtype):
        if pd.api.types.is_complex_dtype(column.dtype):
            raise _refused(column, "complex numbers")
        return _numbers(column, is_missing, given.to_numpy(dtype=np.float64))
    values = list(given)
    if not values:
        return EMPTY, np.full(len(column), np.nan)
    if all(isinstance(value, str) for value in values):
        return _texts(column, is_missing, [value.strip() for value in values])
    if all(isinstance(value, numbers.Real | np.bool_) for value in values):
        try:
            return _numbers(column, is_missing, np.array(values, np.float64))
        except OverflowError:
            raise _refused(column, "integers too large for float64") from None
    raise _refused(column, ", ".join(sorted({type(value).__name__ for value in values})[:5]))


def _numbers(column: pd.Series[Any], is_missing: NDArray[np.bool_], given: Numbers) -> tuple[str, Numbers]:
    values = np.full(len(column), np.nan)
    values[~is_missing] = given
    if np.isinf(values).any():
        raise ValueError(f"column {column.name!r} has infinite values; replace them, for example by NaN")
    return (EMPTY if np.isnan(values).all() else NUMERIC), values


def _texts(column: pd.Series[Any], is_missing: NDArray[np.bool_], given: list[str]) -> tuple[str, Numbers | Texts]:
    values = np.full(len(column), None, object)
    values[~is_missing] = [text or None for text in given]
    if all(value is None for value in values):
        return EMPTY, np.full(len(column), np.nan)
    return CATEGORICAL, values


def _text(value: object) -> str:
    """Return a category as text. A missing value makes pandas store 1 as 1.0, which is the same category."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _refused(column: pd.Series[Any], got: str) -> ValueError:
    return ValueError(
        f"column {column.name!r} must contain numbers, booleans or texts, got {got}; convert it or leave it out"
    )
