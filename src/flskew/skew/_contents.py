"""Number the rows of a table so that two rows have the same number if and only if their contents are equal."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flskew.skew._given import Codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_contents"]


def read_contents(content: object, test: object) -> dict[str, Codes]:
    """Number the rows of `content` and of `test` alike, as "content" and "test_content".

    The numbers come from comparing values, so different rows never get the same one, as two digests might. 0.0 equals
    -0.0, and a missing value equals a missing value.

    Raises:
        TypeError: A table is not an array, a DataFrame or a Hugging Face data set.
        ValueError: The two have different columns, or there is only a test table.
    """
    if content is None:
        if test is not None:
            raise ValueError("test_content needs content; pass the training rows, too")
        return {}
    table = _table(content, "content")
    if test is None:
        return {"content": Codes(_codes(table), [])}
    other = _table(test, "test_content")
    if isinstance(table, np.ndarray) != isinstance(other, np.ndarray):
        raise TypeError("content and test_content must be of one type, both arrays or both tables")
    if isinstance(table, np.ndarray):
        if table.shape[1:] != other.shape[1:]:
            raise ValueError(f"rows of content have shape {table.shape[1:]}, those of test_content {other.shape[1:]}")
        both = np.concatenate([table, other])
    else:
        import pandas as pd

        if set(table.columns) != set(other.columns):
            differing = sorted(map(str, set(table.columns) ^ set(other.columns)))
            raise ValueError(f"content and test_content must have the same columns; only one has {differing[:6]}")
        both = pd.concat([table, other[table.columns]], ignore_index=True)
    codes = _codes(both)
    return {"content": Codes(codes[: len(table)], []), "test_content": Codes(codes[len(table) :], [])}


def _table(content: object, argument: str) -> Any:
    import pandas as pd

    if hasattr(content, "with_format") and hasattr(content, "to_pandas"):
        # The stored values, not decoded images.
        content = content.with_format("arrow").to_pandas()
    if isinstance(content, pd.Series):
        content = content.to_frame()
    if isinstance(content, pd.DataFrame):
        return content
    array = np.asarray(content)
    if array.ndim == 0 or array.dtype == object:
        raise TypeError(f"{argument} must be an array, a DataFrame or a data set, got {type(content).__name__}")
    return array


def _codes(table: Any) -> NDArray[np.int64]:
    import pandas as pd

    if isinstance(table, np.ndarray):
        rows = table.reshape(len(table), -1)
        if rows.dtype.kind == "f":
            rows = rows + 0.0  # Turns -0.0 into 0.0.
            rows[np.isnan(rows)] = np.nan  # NaNs have many bit patterns.
        keys = np.empty(len(rows), dtype=object)
        keys[:] = [row.tobytes() for row in rows]
        return np.asarray(pd.factorize(keys)[0], dtype=np.int64)
    codes = np.zeros(len(table), dtype=np.int64)
    for position in range(table.shape[1]):
        column = _column_codes(table.iloc[:, position]) + 1
        # Both factors are at most the number of rows, so the product fits into 64 bits.
        codes = np.asarray(pd.factorize(codes * (column.max(initial=0) + 1) + column)[0], dtype=np.int64)
    return codes


def _column_codes(column: pd.Series) -> NDArray[np.int64]:
    import pandas as pd

    try:
        codes = pd.factorize(column)[0]
    except TypeError:  # Lists, arrays and dicts are unhashable.
        codes = pd.factorize(column.map(pickle.dumps))[0]
    return np.asarray(codes, dtype=np.int64)
