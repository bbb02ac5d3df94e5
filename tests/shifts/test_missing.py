"""Values that are missing completely at random."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flskew import Assignment
from flskew.shifts import Missing, Ramp

FRAME = pd.DataFrame(
    {
        "float": np.arange(40.0, dtype=np.float32),
        "integer": pd.array(range(40), dtype="Int64"),
        "boolean": pd.array([True, False] * 20, dtype="boolean"),
        "string": pd.array(["a", "b"] * 20, dtype="string"),
        "category": pd.Categorical(["a", "b"] * 20),
        "date": pd.date_range("2020-01-01", periods=40),
        "date in a zone": pd.date_range("2020-01-01", periods=40, tz="UTC"),
        "object": pd.Series([("a",), ("b",)] * 20, dtype=object),
        "arrow": pd.array(range(40), dtype="int64[pyarrow]"),
    }
)


@pytest.mark.parametrize("column", FRAME.columns)
def test_columns_of_every_type_that_has_a_missing_value_keep_it(column: str):
    seen = Missing([column], 0.5).view(0, 1).features(FRAME, range(40))[column]
    assert seen.dtype == FRAME[column].dtype
    assert 10 < seen.isna().sum() < 30
    kept = seen.notna()
    assert seen[kept].tolist() == FRAME.loc[kept, column].tolist()


def test_each_client_misses_as_many_values_as_it_should_and_columns_are_independent():
    table = {"a": np.zeros(20_000), "b": np.zeros(20_000)}
    missing = Missing(["a", "b"], Ramp(0.4, first=0.2))
    for partition_id, rate in enumerate([0.2, 0.3, 0.4]):
        seen = missing.view(partition_id, 3).features(table, range(20_000))
        a, b = np.isnan(seen["a"]), np.isnan(seen["b"])
        # 20,000 draws have a standard error of at most sqrt(.4 * .6 / 20,000) = .0035.
        assert a.mean() == pytest.approx(rate, abs=0.011)
        assert b.mean() == pytest.approx(rate, abs=0.011)
        assert (a & b).mean() == pytest.approx(rate**2, abs=0.011)


def test_a_value_that_is_missing_at_a_lower_severity_is_missing_at_a_higher_one():
    values = np.zeros((1000, 1))
    weak, strong = (Missing([0], rate).view(0, 1).features(values, range(1000)) for rate in (0.2, 0.6))
    assert np.isnan(strong[np.isnan(weak)]).all()
    assert np.isnan(strong).sum() > np.isnan(weak).sum() > 0


@pytest.mark.parametrize(
    ("values", "fill"),
    [
        (np.arange(40), -1),
        (np.arange(40, dtype=np.uint8), 255),
        (np.arange(40.0), 0.5),
        (np.arange(40, dtype=np.float32), 0.1),
        (np.array(["a", "b"] * 20), "unknown"),
        (np.array(["a", "b"] * 20, dtype=object), "unknown"),
        (np.array([True] * 40), False),
        (pd.Series(range(40), dtype="Int64"), -1),
        (pd.Series(["a", "b"] * 20, dtype="string"), "unknown"),
        (pd.Series(["a", "b"] * 20, dtype="category"), "b"),
        (pd.Series(range(40)), -1),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_a_value_can_be_put_in_place_of_missing_ones(values, fill):
    seen = Missing(["x"], 0.5, fill).view(0, 1).features({"x": values}, range(40))["x"]
    holes = np.isnan(Missing(["x"], 0.5).view(0, 1).features({"x": np.zeros(40)}, range(40))["x"])
    expected = np.array(fill, dtype=seen.dtype) if isinstance(seen, np.ndarray) else fill
    assert [one == expected for one in np.asarray(seen)[holes]] == [True] * holes.sum()
    assert np.asarray(seen)[~holes].tolist() == np.asarray(values)[~holes].tolist()
    assert seen.dtype == values.dtype or values.dtype.kind == "U"


def test_a_table_of_a_whole_data_set_misses_what_each_client_misses():
    split = Assignment.from_partitions([range(0, 40, 2), range(1, 39, 2)], num_rows=40)
    shifted = split.with_shift(Missing(list(FRAME.columns), [0.0, 0.5]))
    seen = shifted.shift_features(FRAME)
    assert list(seen.dtypes) == list(FRAME.dtypes)
    assert seen.iloc[split[0]].equals(FRAME.iloc[split[0]])
    assert seen.iloc[39:].equals(FRAME.iloc[39:])
    assert seen.iloc[split[1]].equals(shifted.view(1).features(FRAME.iloc[split[1]]))
    strings = shifted.with_shift(Missing(["x"], [0.0, 0.5], "unknown")).shift_features({"x": np.array(["a"] * 40)})
    assert set(strings["x"].tolist()) == {"a", "unknown"}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Missing("age", 0.1), TypeError, "columns must be a list of names or positions, got 'age'"),
        (lambda: Missing([], 0.1), ValueError, "columns must name at least one column"),
        (lambda: Missing(["age"], 1.1), ValueError, "rate must be a number from 0 to 1, got 1.1"),
        (lambda: Missing(["age"], 0.1, fill=[0]), TypeError, r"fill must be a number, a string, a boolean or None"),
        (lambda: Missing(["age"], 0.1, fill=float("nan")), ValueError, "fill must be finite, got nan; omit it for NaN"),
    ],
)
def test_bad_arguments_are_refused(call, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("values", "fill", "message"),
    [
        (np.arange(40), None, "column 'x' contains int64, which has no missing value; pass fill="),
        (np.array(["a"] * 40), None, "column 'x' contains <U1, which has no missing value"),
        (np.array([True] * 40), None, "column 'x' contains bool, which has no missing value"),
        (np.arange(40), 0.5, "column 'x' contains int64, which cannot represent fill=0.5"),
        (np.arange(40, dtype=np.uint8), -1, "column 'x' contains uint8, which cannot represent fill=-1"),
        (np.arange(40), True, "column 'x' contains int64, which cannot represent fill=True"),
        (np.arange(40, dtype=np.float32), 1e40, r"column 'x' contains float32, which cannot represent fill=1e\+40"),
        (np.arange(40.0), "?", r"column 'x' contains float64, which cannot represent fill='\?'"),
        (pd.Series(range(40), dtype="Int64"), "?", "column 'x' contains Int64, which cannot represent"),
        (pd.Series(["a", "b"] * 20, dtype="category"), "c", "column 'x' contains category, which cannot represent"),
    ],
)
def test_a_column_that_cannot_have_missing_values_is_named(values, fill, message: str):
    with pytest.raises(TypeError, match=message):
        Missing(["x"], 0.5, fill).view(0, 1).features({"x": values}, range(40))
