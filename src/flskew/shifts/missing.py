"""Values that were not recorded, at some clients more than at others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew.shifts._columns import checked_columns, each_column
from flskew.shifts._strengths import Strength, as_fraction, checked_severity, scaled, strength_at
from flskew.shifts._viewer import Viewer
from flskew.shifts.base import Shift
from flskew.typing import Features, Rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Missing"]


class Missing(Shift):
    """Make values of a table missing, completely at random and independently in each column.

    Use it when some clients record less than others.

    A missing value is NaN in columns of floating-point numbers, NaT in dates, NA or NaN in pandas' own types, and None
    in columns of Python objects. NumPy's integers, booleans and strings have no missing value: pass `fill`, or use
    pandas' types, such as Int64.

    Args:
        columns: The columns in which values are missing, by name, or by position for an array.
        rate: Probability that a value is missing, 0 to 1: one number for all partitions, one per partition, or a
            `Ramp`.
        fill: The value to write instead; None writes a missing value: NaN, NaT, NA or None, depending on the type of
            the column.
        partitions: The partitions in which values are missing; None for all.
        seed: Any integer; it determines every random draw.

    Raises:
        TypeError: `columns` is not a list of names or positions, or `fill` is not a number, string or boolean.
        ValueError: A rate is not in 0 to 1, there is no column, or `fill` is not finite.

    References:
        D. B. Rubin: "Inference and Missing Data", Biometrika 63, 1976, which defines "missing completely at random":
        whether a value is missing depends neither on it nor on any other.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import Missing
        >>> view = Missing(["age"], rate=[0.1, 0.4]).view(1, num_partitions=2)
        >>> view.features({"age": np.array([50.0, 61.0, 47.0, 58.0])}, rows=range(4))
        {'age': array([50., 61., nan, nan])}
    """

    def __init__(
        self,
        columns: Iterable[str | int],
        rate: Strength,
        fill: float | str | bool | None = None,
        *,
        partitions: Iterable[int] | None = None,
        seed: int = 42,
    ) -> None:
        super().__init__(partitions=partitions)
        self.columns = checked_columns(columns)
        self.rate = as_fraction("rate", rate)
        plain = fill.item() if isinstance(fill, np.generic) else fill
        if not isinstance(plain, int | float | str | None):
            raise TypeError(f"fill must be a number, a string, a boolean or None, got {fill!r:.40}")
        if isinstance(plain, float) and not math.isfinite(plain):
            raise ValueError(f"fill must be finite, got {plain}; omit it for NaN")
        self.fill = plain
        self.seed = checks.seed(seed)

    def at(self, severity: float) -> Missing:
        """Return a shift through which fewer values are missing: rate times severity."""
        rate = scaled(self.rate, checked_severity(severity))
        return Missing(self.columns, rate, self.fill, partitions=self.partitions, seed=self.seed)

    def _see_features(self, features: Features, rows: Rows, viewer: Viewer) -> Features:
        if not self._is_seen_by(viewer):
            return features
        rate = strength_at("rate", self.rate, viewer)
        if rate == 0:
            return features

        def with_holes(column: NDArray[Any] | pd.Series[Any], name: str) -> Features:
            holes = viewer.streams(self.seed, f"missing:{name}").uniform(rows) < rate
            if isinstance(column, np.ndarray):
                return _in_array(column, holes, self.fill, name)
            if isinstance(column.dtype, np.dtype):
                seen = _in_array(column.to_numpy(), holes, self.fill, name)
                return type(column)(seen, index=column.index, name=column.name, dtype=column.dtype)
            return _in_series(column, holes, self.fill, name)

        return each_column(features, self.columns, with_holes, "Missing")


def _in_array(
    values: NDArray[Any], holes: NDArray[np.bool_], fill: float | str | bool | None, name: str
) -> NDArray[Any]:
    """Return values with `fill`, or a missing value, in each hole."""
    dtype = values.dtype
    if fill is None:
        if dtype.kind not in _MISSING:
            raise TypeError(
                f"Missing: column {name!r} contains {dtype}, which has no missing value; pass fill=, or convert it "
                f"to a type that has one, such as object or pandas' Int64"
            )
        given = np.array(_MISSING[dtype.kind])
        dtype_seen, fits = dtype, True
    else:
        given = np.array(fill, None if dtype.kind != "O" else object)
        fits = given.dtype.kind in _FILLS.get(dtype.kind, dtype.kind)
        # Strings may become longer, other dtypes stay.
        dtype_seen = np.promote_types(dtype, given.dtype) if dtype.kind == given.dtype.kind == "U" else dtype
    with np.errstate(over="ignore"):
        new = given.astype(dtype_seen) if fits else given
    if not fits or (dtype.kind in "iu" and new != given) or (dtype.kind in "fc" and np.isinf(new)):
        raise _unfit(name, dtype, fill)
    seen = values.astype(dtype_seen)
    seen[holes] = new
    return seen


_MISSING = {"f": np.nan, "c": np.nan, "m": "NaT", "M": "NaT", "O": None}
"""The missing value of each kind of dtype that has one."""

_FILLS = {"f": "iuf", "c": "iufc", "i": "iu", "u": "iu", "T": "U"}
"""The kinds of numbers and strings that fit into columns of another kind."""


def _in_series(
    column: pd.Series[Any], holes: NDArray[np.bool_], fill: float | str | bool | None, name: str
) -> pd.Series[Any]:
    """Do the same for a column of a type of pandas' own."""
    try:
        seen = column.mask(holes) if fill is None else column.mask(holes, fill)
    except (TypeError, ValueError):
        raise _unfit(name, column.dtype, fill) from None
    if seen.dtype != column.dtype:
        raise _unfit(name, column.dtype, fill)
    return seen


def _unfit(name: str, dtype: object, fill: object) -> TypeError:
    return TypeError(f"Missing: column {name!r} contains {dtype}, which cannot represent fill={fill!r:.40}")
