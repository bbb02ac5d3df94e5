"""A scikit-learn transformer from federated statistics: scaling, imputation and one-hot encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from flskew._util import checks
from flskew.tables._columns import CATEGORICAL, EMPTY, NUMERIC, check_names, read
from flskew.tables._statistics import Column, TableStatistics

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TablePreparation"]


class TablePreparation(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn tables into arrays of floats, with the statistics of all sites.

    All sites with the same statistics make the same columns in the same order, even if their rows lack some values or
    categories. Numeric columns are scaled, then missing values are filled in; categorical columns become one column per
    category, all 0 for a missing or unknown category. Scales come from the values present, as if `StandardScaler` or
    `RobustScaler` came before `SimpleImputer` in a scikit-learn pipeline: imputing first would shrink the variance.

    There is nothing to fit: `fit` only checks the columns.

    Args:
        statistics: From `tables.collect`; its columns are the features. Use `statistics.select` to choose some.
        numeric: "standard" subtracts the mean and divides by the standard deviation, as `StandardScaler` does. "robust"
            uses median and interquartile range, as `RobustScaler`; it needs quantiles 0.25, 0.5 and 0.75. "none" keeps
            numbers unchanged. Constant columns have scale 1.
        impute: What missing numbers become: the "mean", or the "median", which needs quantile 0.5.
        indicator: Whether to add, for every column that misses values at any site, a column that is 1 where a value is
            missing.

    Raises:
        TypeError: From `fit` or `transform`: `statistics` is not a TableStatistics, or the rows are not a pandas
            DataFrame.
        ValueError: From `fit` or `transform`: an argument has an unknown value, or needs a quantile that was not
            collected. A column has no values at any site, two features would have the same name, or the rows do not
            have the columns and kinds of the statistics.

    Examples:
        >>> import pandas as pd
        >>> from flskew.tables import Column, TableStatistics
        >>> from flskew.tables.sklearn import TablePreparation
        >>> age = Column("age", "numeric", count=4, missing=1, mean=25.0, m2=100.0)
        >>> sex = Column(
        ...     "sex",
        ...     "categorical",
        ...     count=5,
        ...     missing=0,
        ...     categories=(("f", 3), ("m", 2)),
        ... )
        >>> preparation = TablePreparation(TableStatistics(5, (age, sex)))
        >>> preparation.transform(
        ...     pd.DataFrame({"age": [30.0, None], "sex": [" m", "?"]})
        ... )
        array([[1., 0., 1.],
               [0., 0., 0.]])
        >>> preparation.get_feature_names_out().tolist()
        ['age', 'sex_f', 'sex_m']
    """

    def __init__(
        self,
        statistics: TableStatistics,
        *,
        numeric: Literal["standard", "robust", "none"] = "standard",
        impute: Literal["mean", "median"] = "mean",
        indicator: bool = False,
    ) -> None:
        # scikit-learn's clone requires arguments to be stored unchanged, and checked later.
        self.statistics = statistics
        self.numeric = numeric
        self.impute = impute
        self.indicator = indicator

    def fit(self, X: pd.DataFrame, y: object = None) -> TablePreparation:
        """Check that the rows have the columns of the statistics; nothing is learned from them."""
        self._check()
        self._columns(X)
        return self

    def transform(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the rows as an array of shape (num_rows, num_features)."""
        self._check()
        parts = self._columns(X)
        features = [self._features(column, values) for column, values in parts]
        if self.indicator:
            features += [_is_missing(values)[:, None].astype(np.float64) for column, values in parts if column.missing]
        return np.concatenate([np.empty((len(X), 0)), *features], axis=1, dtype=np.float64)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> NDArray[np.object_]:
        """Return the names of the features: "age", "sex_f", "missing_age"."""
        self._check()
        return np.array(self._names(), object)

    def __sklearn_is_fitted__(self) -> bool:
        """Return True: the statistics are all it needs."""
        return True

    def _names(self) -> list[str]:
        names: list[str] = []
        for column in self.statistics.columns:
            texts = [f"{column.name}_{text}" for text, _ in column.categories]
            names += [column.name] if column.kind == NUMERIC else texts
        if self.indicator:
            names += [f"missing_{column.name}" for column in self.statistics.columns if column.missing]
        return names

    def _check(self) -> None:
        if not isinstance(self.statistics, TableStatistics):
            raise TypeError(f"statistics must come from tables.collect, got {type(self.statistics).__name__}")
        checks.choice("numeric", self.numeric, ("standard", "robust", "none"))
        checks.choice("impute", self.impute, ("mean", "median"))
        checks.truth("indicator", self.indicator)
        for column in self.statistics.columns:
            if not column.count:
                raise ValueError(
                    f"column {column.name!r} has no values that a site described; leave it out with statistics.select"
                )
            if column.kind == NUMERIC:
                self._scaling(column)
        names = self._names()
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two features would be called {twice!r}; rename a column at every site")

    def _columns(self, frame: pd.DataFrame) -> list[tuple[Column, NDArray[Any]]]:
        names = check_names(frame)
        lacking = [name for name in self.statistics.names if name not in names]
        if lacking:
            raise ValueError(
                f"the rows lack column {lacking[0]!r}; the statistics have {', '.join(self.statistics.names)}"
            )
        found = []
        for column in self.statistics.columns:
            kind, values = read(frame[column.name])
            if kind not in (column.kind, EMPTY):
                raise ValueError(f"column {column.name!r} is {kind}, but {column.kind} in the statistics; convert it")
            found.append((column, values))
        return found

    def _features(self, column: Column, values: NDArray[Any]) -> NDArray[np.float64]:
        if column.kind == CATEGORICAL:
            places = {text: place for place, (text, _) in enumerate(column.categories)}
            codes = np.array([places.get(value, -1) for value in values], np.int64)
            encoded = np.zeros((len(values), len(places)))
            rows = np.flatnonzero(codes >= 0)
            encoded[rows, codes[rows]] = 1
            return encoded
        centre, scale, fill = self._scaling(column)
        filled = np.where(np.isnan(values), fill, values)
        return np.asarray((filled - centre) / scale)[:, None]

    def _scaling(self, column: Column) -> tuple[float, float, float]:
        """Return centre, scale and the value for missing ones of a numeric column."""
        fill = column.mean if self.impute == "mean" else column.quantile(0.5)
        if self.numeric == "standard":
            return column.mean, 1.0 if _is_constant(column) else column.std, fill
        if self.numeric == "robust":
            spread = column.quantile(0.75) - column.quantile(0.25)
            return column.quantile(0.5), spread if spread >= 10 * np.finfo(np.float64).eps else 1.0, fill
        return 0.0, 1.0, fill


def _is_constant(column: Column) -> bool:
    """Return whether the variance is that of rounding errors: the rule of scikit-learn's `StandardScaler`."""
    error = column.count * np.finfo(np.float64).eps
    return bool(column.variance <= error * column.variance + (error * column.mean) ** 2)


def _is_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    is_missing = [value is None for value in values] if values.dtype == object else np.isnan(values)
    return np.asarray(is_missing, np.bool_)
