"""Read the columns of a table: numbers, dates and categories, each with its missing values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew.typing import Rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from datasets import Dataset

__all__ = ["Column", "Kind", "Table", "read_columns", "read_table", "with_missing"]

Table: TypeAlias = "pd.DataFrame | Dataset | pa.Table | Mapping[str, Sequence[Any]] | NDArray[Any]"
"""One row per row of the data set: a DataFrame; a data set, an Arrow table or anything else that has `to_pandas`; a
mapping from names to columns; or an array of numbers, whose columns are named feature 0, feature 1, ..."""

Kind: TypeAlias = Literal["numeric", "date", "ordinal", "categorical", "missing"]
"""How a column is compared."""

_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")
_DATES = ("datetime", "datetime64", "date")
# "empty" has only missing values.
_CATEGORIES = ("string", "boolean", "empty")


class Column(NamedTuple):
    """The values of one column that are not missing, in the order of the partitions.

    Attributes:
        name: Its name.
        kind: Any kind but "missing".
        values: Numbers; dates as nanoseconds since 1970; the codes of categories.
        missing: (num_rows,) whether each row has no value.
        categories: The category of each code.
        zone: The time zone of dates.
    """

    name: str
    kind: Kind
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    categories: tuple[str, ...] = ()
    zone: tzinfo | None = None


def read_table(table: Table, num_rows: int) -> pd.DataFrame:
    """Return a DataFrame with distinct names that are strings.

    Raises:
        TypeError: `table` is not a table.
        ValueError: It has no columns, another number of rows, or two columns of one name.
    """
    import pandas as pd

    if isinstance(table, np.ndarray) and table.ndim in (1, 2):
        columns = table.reshape(len(table), -1)
        frame = pd.DataFrame(columns, columns=[f"feature {number}" for number in range(columns.shape[1])], copy=False)
    elif isinstance(table, Mapping):
        frame = pd.DataFrame(dict(table), copy=False)
    else:
        given: Any = table
        frame = given.to_pandas() if hasattr(given, "to_pandas") else given
    if not isinstance(frame, pd.DataFrame):
        shape = f" of shape {table.shape}" if isinstance(table, np.ndarray) else ""
        raise TypeError(
            f"frame must be a table, such as a pandas DataFrame, got {type(table).__name__}{shape}; pass an array with "
            f"one row for each row of the data set and one column for each feature, or a DataFrame"
        )
    if len(frame) != num_rows or frame.shape[1] == 0:
        raise ValueError(
            f"frame must have at least one column, and one row for each of the {num_rows:,} rows of the data set, got "
            f"{frame.shape[1]:,} columns and {len(frame):,} rows; pass the table that was split, in the same order"
        )
    names = list(map(str, frame.columns))
    if len(set(names)) < len(names):
        twice = next(name for position, name in enumerate(names) if name in names[:position])
        raise ValueError(f"frame must have distinct column names, got {twice!r} twice; rename one of them")
    renamed = frame.copy(deep=False)  # unlike `set_axis`, which copies the values in pandas 2
    renamed.columns = pd.Index(names)
    return renamed


def read_columns(frame: pd.DataFrame, rows: Rows) -> Iterator[Column]:
    """Yield each column of these rows, one at a time.

    Raises:
        TypeError: A column contains anything but numbers, dates, text, booleans or categories.
        ValueError: A number is infinite.
    """
    import pandas as pd

    for name in frame.columns:
        values = frame[name].array
        if isinstance(values.dtype, pd.SparseDtype):
            values = values.to_dense()
        yield _read(name, pd.Series(values.take(rows)), rows)


def with_missing(column: Column) -> Iterator[Column]:
    """Yield a column, and another with its missing values if it has some."""
    yield column
    if column.missing.any():
        missing, none = column.missing.astype(np.int64), np.zeros(len(column.missing), dtype=np.bool_)
        yield Column(f"{column.name} is missing", "missing", missing, none, ("no", "yes"))


def _read(name: str, series: pd.Series[Any], rows: Rows) -> Column:
    import pandas as pd

    missing = series.isna().to_numpy()
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        kind: Kind = "ordinal" if dtype.ordered else "categorical"
        return _of_categories(name, kind, series.cat.codes.to_numpy(), series.cat.categories.tolist())
    if pd.api.types.is_bool_dtype(dtype):
        return _of_factors(name, series)
    if dtype.kind in "iuf":
        return _of_numbers(name, series, missing, rows)
    if dtype.kind == "M":
        return _of_dates(name, series, missing)
    inferred = pd.api.types.infer_dtype(series, skipna=True)
    if inferred in _NUMBERS:
        return _of_numbers(name, series, missing, rows)
    if inferred in _DATES:
        return _of_dates(name, pd.to_datetime(series), missing)
    if inferred in _CATEGORIES:
        return _of_factors(name, series)
    what = f"values of several types ({inferred})" if inferred.startswith("mixed") else f"{inferred} values"
    raise TypeError(
        f"frame has {what} in column {name!r}, but a column must contain numbers, dates, text, booleans or categories; "
        f"drop the column, or convert it, e.g. with .astype(str)"
    )


def _of_numbers(name: str, series: pd.Series[Any], missing: NDArray[np.bool_], rows: Rows) -> Column:
    numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
    values = numbers[~missing]
    if not np.isfinite(values).all():
        first = int(np.argmax(np.isinf(numbers)))
        raise ValueError(
            f"frame must contain finite numbers, got {numbers[first]} in column {name!r}, row {rows[first]}; "
            f"replace it by a number, or by NaN if it means that the value is missing"
        )
    return Column(name, "numeric", values, missing)


def _of_dates(name: str, series: pd.Series[Any], missing: NDArray[np.bool_]) -> Column:
    import pandas as pd

    dates = pd.DatetimeIndex(series[~missing])
    per_unit = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}[dates.unit]
    return Column(name, "date", dates.asi8 * per_unit, missing, zone=dates.tz)


def _of_factors(name: str, series: pd.Series[Any]) -> Column:
    codes, uniques = series.factorize()
    return _of_categories(name, "categorical", codes, list(uniques))


def _of_categories(name: str, kind: Kind, codes: NDArray[Any], uniques: Sequence[object]) -> Column:
    """Merge categories that differ only in blanks around them; a blank category is missing."""
    words = [str(unique).strip() for unique in uniques]
    merged = {word: code for code, word in enumerate(dict.fromkeys(word for word in words if word))}
    # One more code, because missing values have the code -1.
    own = np.array([*(merged.get(word, -1) for word in words), -1], dtype=np.int64)[codes]
    missing = own < 0
    return Column(name, kind, own[~missing], missing, tuple(merged))
