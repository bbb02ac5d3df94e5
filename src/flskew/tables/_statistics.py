"""What is known about the columns of all sites together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from flskew._util.texts import is_name, listed
from flskew.tables._columns import CATEGORICAL, EMPTY, NUMERIC

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Column", "TableStatistics"]

_MOST_ROWS = 2**53  # beyond it, float64 cannot count


@dataclass(frozen=True)
class Column:
    """Statistics of one column over all sites.

    Examples:
        >>> from flskew.tables import Column
        >>> age = Column("age", "numeric", count=4, missing=1, mean=25.0, m2=100.0)
        >>> age.std
        5.0

    Attributes:
        name: Name of the column.
        kind: "numeric", "categorical", or "empty" if every value of every site is missing.
        count: Number of rows that the statistics describe.
        missing: Number of rows without a value.
        withheld: Number of rows whose values the sites withhold, because too few rows share them.
        mean: Mean of the numbers; 0 if there are none.
        m2: Sum of the squared deviations from the mean; 0 if there are no numbers.
        quantiles: Pairs (probability, value), increasing.
        categories: Pairs (category, number of rows), sorted by category.
    """

    name: str
    kind: str
    count: int
    missing: int
    withheld: int = 0
    mean: float = 0.0
    m2: float = 0.0
    quantiles: tuple[tuple[float, float], ...] = ()
    categories: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise ValueError(problem)

    @property
    def variance(self) -> float:
        """Variance of the numbers, with divisor `count`; 0 if there are none."""
        return self.m2 / self.count if self.count else 0.0

    @property
    def std(self) -> float:
        """Standard deviation of the numbers, with divisor `count`; 0 if there are none."""
        return math.sqrt(self.variance)

    def quantile(self, probability: float) -> float:
        """Return a quantile that was collected.

        Raises:
            ValueError: This quantile was not collected.
        """
        for collected, value in self.quantiles:
            if collected == probability:
                return value
        raise ValueError(
            f"column {self.name!r} has no quantile {probability}; call tables.collect(..., quantiles=[{probability}])"
        )


@dataclass(frozen=True, repr=False)
class TableStatistics:
    """Statistics of the tables of all sites together, as `collect` returns them; they can be sent as text.

    Examples:
        >>> from flskew.tables import Column, TableStatistics
        >>> statistics = TableStatistics(
        ...     5, (Column("age", "numeric", count=4, missing=1, mean=25.0, m2=100.0),)
        ... )
        >>> statistics
        TableStatistics(5 rows, columns 'age')
        >>> statistics["age"].mean
        25.0
        >>> TableStatistics.from_json(statistics.to_json()) == statistics
        True

    Attributes:
        num_rows: Number of rows of all sites.
        columns: One `Column` for each column.
    """

    num_rows: int
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        if not _is_count(self.num_rows):
            raise ValueError(f"num_rows must be an integer from 0 to 2^53, got {self.num_rows!r}")
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise ValueError(f"column names must be unique, got {listed(names)}")
        for column in self.columns:
            if column.count + column.missing + column.withheld != self.num_rows:
                raise ValueError(f"the counts of column {column.name!r} do not add up to {self.num_rows:,} rows")

    def __repr__(self) -> str:
        """One line; `to_frame` shows the statistics."""
        return f"{type(self).__name__}({self.num_rows:,} rows, columns {listed(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        """Return the column with this name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"no column {name!r}; the columns are {listed(self.names)}")

    def select(self, *names: str) -> TableStatistics:
        """Return the statistics of some columns, in the order given.

        Raises:
            KeyError: The statistics lack one of these columns.
        """
        return TableStatistics(self.num_rows, tuple(self[name] for name in names))

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with one row per column of the tables."""
        import pandas as pd

        rows: dict[str, dict[str, object]] = {}
        for column in self.columns:
            is_numeric = column.kind == NUMERIC and column.count > 0
            rows[column.name] = {
                "kind": column.kind,
                "count": column.count,
                "missing": column.missing,
                "withheld": column.withheld,
                "mean": column.mean if is_numeric else math.nan,
                "std": column.std if is_numeric else math.nan,
                "num_categories": len(column.categories),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("column")

    def to_json(self) -> str:
        """Return a text from which `from_json` makes an equal value, for `train_config` or a file."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> TableStatistics:
        """Return the statistics in a text.

        Raises:
            ValueError: The text was not made by `to_json`.
        """
        try:
            fields: Any = json.loads(text)
            columns = tuple(_column(column) for column in fields["columns"])
            return cls(fields["num_rows"], columns)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"the text must be one of TableStatistics.to_json ({type(error).__name__})") from None


def _column(fields: Mapping[str, Any]) -> Column:
    pairs = {name: tuple((pair[0], pair[1]) for pair in fields[name]) for name in ("quantiles", "categories")}
    return Column(**{**fields, **pairs})


def _problem(column: Column) -> str:
    """Return what is wrong with a column, or an empty string; the values may come from anywhere."""
    if not is_name(column.name):
        return "a column must have a printable name of 1 to 200 characters"
    about = f"column {column.name!r}"
    if column.kind not in (NUMERIC, CATEGORICAL, EMPTY):
        return f"{about} must be numeric, categorical or empty"
    if not all(map(_is_count, (column.count, column.missing, column.withheld))):
        return f"{about} has a count that is not an integer from 0 to 2^53"
    if not (_is_finite(column.mean) and _is_finite(column.m2) and column.m2 >= 0):
        return f"{about} has a mean or a sum of squares that is negative or not finite"
    if (column.count == 0 or column.kind != NUMERIC) and (column.mean or column.m2):
        return f"{about} has a mean or a sum of squares without numbers"
    if column.count == 1 and column.m2:
        return f"{about} has a sum of squares, but only one number"
    if column.kind == EMPTY and (column.count or column.withheld):
        return f"{about} is empty but has values"
    if column.kind != NUMERIC and column.quantiles:
        return f"{about} has quantiles without numbers"
    if not all(_is_finite(p) and 0 <= p <= 1 and _is_finite(value) for p, value in column.quantiles):
        return f"{about} has a quantile that is not finite, or of no probability"
    return _category_problem(column, about)


def _category_problem(column: Column, about: str) -> str:
    names = [name for name, _ in column.categories]
    if not all(map(is_name, names)):
        return f"{about} has a category that is not printable or longer than 200 characters"
    if len(set(names)) < len(names):
        return f"{about} has the same category twice"
    counts = [count for _, count in column.categories]
    if not all(_is_count(count) and count > 0 for count in counts):
        return f"{about} has a category whose count is not an integer from 1 to 2^53"
    if column.kind == CATEGORICAL and sum(counts) != column.count:
        return f"{about} has counts of categories that do not add up to its count"
    return f"{about} has categories but is {column.kind}" if column.kind != CATEGORICAL and counts else ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_ROWS


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
