"""How much the columns of a table differ between partitions."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from flskew import Assignment, IidPartitioner, skew

CLINICS = Assignment.from_partitions({"Bern": range(60), "Lyon": range(60, 100)})


def held(split: Assignment, values: Sequence[Any]) -> list[list[Any]]:
    """The values of each partition that are not missing."""
    return [[values[row] for row in rows if not pd.isna(values[row])] for rows in split]


def scaled_wasserstein(samples: list[list[float]]) -> float:
    """The same by SciPy, and Gini's mean difference by comparing all pairs."""
    pooled = np.concatenate(samples)
    spread = np.abs(pooled[:, None] - pooled).mean()
    if not spread:
        return 0
    return sum(len(own) * wasserstein_distance(own, pooled) for own in samples if len(own)) / len(pooled) / spread


def total_variation(samples: list[list[str]]) -> float:
    pooled = Counter(word for own in samples for word in own)
    rows = pooled.total()
    return sum(
        len(own) / rows * sum(abs(Counter(own)[word] / len(own) - pooled[word] / rows) for word in pooled) / 2
        for own in samples
        if own
    )


@st.composite
def splits(draw: st.DrawFn, num_rows: int) -> Assignment:
    """Up to four partitions, some empty, and rows that nobody holds."""
    holders = draw(st.lists(st.integers(-1, 3), min_size=num_rows, max_size=num_rows).filter(lambda x: max(x) >= 0))
    return Assignment.from_partitions([np.flatnonzero(np.array(holders) == i) for i in range(4)], num_rows=num_rows)


numbers = st.one_of(st.none(), st.integers(-3, 3), st.floats(-1e6, 1e6), st.floats(-1e-6, 1e-6))


@given(st.data())
def test_numbers_are_compared_as_scipy_does(data: st.DataObject) -> None:
    values = np.array(data.draw(st.lists(numbers, min_size=1, max_size=30)), dtype=float)
    split = data.draw(splits(len(values)))
    columns = skew.feature_report({"x": values}, split).columns
    (column,) = (one for one in columns if one.name == "x")
    samples = held(split, values)
    assert 0 <= column.distance <= 1 + 1e-12
    if any(samples):
        assert column.distance == pytest.approx(scaled_wasserstein(samples), abs=1e-9)
        weights = np.array([len(own) for own in samples])
        assert column.distance == pytest.approx(weights @ column.distances / weights.sum(), abs=1e-12)


@given(st.data())
def test_text_is_compared_by_total_variation_without_blanks_around_it(data: st.DataObject) -> None:
    words = st.sampled_from(["yes", "yes ", "no", "  ", "", None])
    values = data.draw(st.lists(words, min_size=1, max_size=30))
    split = data.draw(splits(len(values)))
    columns = {one.name: one for one in skew.feature_report({"x": values}, split).columns}
    known = [None if word is None or not word.strip() else word.strip() for word in values]
    samples: list[list[str]] = held(split, known)
    assert columns["x"].distance == pytest.approx(total_variation(samples), abs=1e-12)
    missing = [[str(known[row] is None) for row in rows] for rows in split]
    if any("True" in own for own in missing):
        assert columns["x is missing"].distance == pytest.approx(total_variation(missing), abs=1e-12)
        assert columns["x is missing"].kind == "missing"
    else:
        assert "x is missing" not in columns


def test_a_column_that_tells_the_partitions_apart_has_distance_1() -> None:
    many = Assignment.from_partitions([[row] for row in range(50)])
    by_id = skew.feature_report({"number": np.arange(50) ** 2, "text": list(map(str, range(50)))}, many).columns
    assert {one.name: round(one.distance, 9) for one in by_id} == {"number": 1, "text": 1 - 1 / 50}


NUMBERS = [*range(50), *range(20, 70)]
DAYS = [datetime.date(2024, 1, 1) + datetime.timedelta(days=day) for day in NUMBERS]
KINDS: dict[str, tuple[Any, skew.Kind]] = {
    "integers": (np.array(NUMBERS), "numeric"),
    "unsigned": (np.array(NUMBERS, np.uint8), "numeric"),
    "half precision": (np.array(NUMBERS, np.float16), "numeric"),
    "nullable integers": (pd.array(NUMBERS, "Int8"), "numeric"),
    "nullable floats": (pd.array(NUMBERS, "Float32"), "numeric"),
    "Arrow integers": (pd.array(NUMBERS, "uint16[pyarrow]"), "numeric"),
    "Arrow decimals": (
        pd.array([Decimal(number) for number in NUMBERS], pd.ArrowDtype(pa.decimal128(6, 2))),
        "numeric",
    ),
    "numbers as objects": (np.array([*NUMBERS[:-1], 69.0], dtype=object), "numeric"),
    "sparse": (pd.arrays.SparseArray(NUMBERS), "numeric"),
    "ordered categories": (pd.Categorical(NUMBERS, ordered=True), "ordinal"),
    "dates as objects": (np.array(DAYS, dtype=object), "date"),
    "datetimes in seconds": (np.array(DAYS, "datetime64[s]"), "date"),
    "datetimes in a zone": (pd.DatetimeIndex(DAYS, tz="Europe/Zurich"), "date"),
    "Arrow dates": (pd.array(DAYS, pd.ArrowDtype(pa.date32())), "date"),
    "Arrow timestamps": (pd.array(pd.to_datetime(DAYS), pd.ArrowDtype(pa.timestamp("us"))), "date"),
}


@pytest.mark.parametrize(("values", "kind"), KINDS.values(), ids=KINDS)
def test_each_type_of_number_and_date_is_compared_as_its_numbers(values: Any, kind: skew.Kind) -> None:
    (column,) = skew.feature_report(pd.DataFrame({"x": values}), CLINICS).columns
    assert column.kind == kind
    hours = 1 / 24 if "zone" in str(getattr(values, "tz", "")) else 0.01  # the clocks change in March
    assert column.distance == pytest.approx(scaled_wasserstein(held(CLINICS, NUMBERS)), abs=hours)


WORDS = ["a", "b", "b", "c"] * 20 + ["a"] * 20
CATEGORIES = {
    "objects": np.array(WORDS, dtype=object),
    "strings": np.array(WORDS),
    "pandas strings": pd.array(WORDS, "string"),
    "Arrow strings": pd.array(WORDS, pd.ArrowDtype(pa.string())),
    "categories, one unused": pd.Categorical(WORDS, categories=["c", "b", "x", "a"]),
}


@pytest.mark.parametrize("values", CATEGORIES.values(), ids=CATEGORIES)
def test_each_type_of_text_is_compared_as_categories(values: Any) -> None:
    (column,) = skew.feature_report(pd.DataFrame({"x": values}), CLINICS).columns
    assert column.kind == "categorical"
    assert column.distance == pytest.approx(total_variation(held(CLINICS, WORDS)))
    assert (column.most_different, column.difference) == ("Lyon", "62% a against 40%")  # 25 of 40, 40 of 100


@pytest.mark.parametrize("dtype", ["bool", "boolean", "bool[pyarrow]", "object"])
def test_booleans_are_categories(dtype: str) -> None:
    values = pd.Series([True] * 60 + [False] * 40).astype(dtype)
    (column,) = skew.feature_report(pd.DataFrame({"x": values}), CLINICS).columns
    assert (column.kind, column.distance) == ("categorical", pytest.approx(0.48))  # 0.6 * 0.4 + 0.4 * 0.6
    assert column.difference == "100% False against 40%"


def test_a_column_without_values_or_with_a_single_one_does_not_differ() -> None:
    table = {
        "nothing": [None] * 100,
        "NaN": [np.nan] * 100,
        "blank": [" "] * 100,
        "one": [7] * 100,
        "word": ["a"] * 100,
    }
    for column in skew.feature_report(table, CLINICS).columns:
        assert (column.distance, column.chance, column.most_different, column.difference) == (0, 0, None, "")


def test_missing_values_are_a_column_of_their_own() -> None:
    bmi = np.where(np.arange(100) < 30, np.nan, 25.0)
    columns = {one.name: one for one in skew.feature_report({"bmi": bmi}, CLINICS).columns}
    missing = columns["bmi is missing"]
    assert missing.distance == pytest.approx(0.6 * 0.2 + 0.4 * 0.3)  # 30 of 60, and none of 40, against 30 of 100
    assert (missing.most_different, missing.difference) == ("Lyon", "0% against 30%")


def test_the_difference_of_one_partition_is_named() -> None:
    table = {
        "mean": [*range(60), *range(100, 140)],
        "spread": [*np.linspace(40, 60, 60), *np.linspace(0, 100, 40)],
        "day": pd.date_range("2024-01-01", periods=100, tz="Asia/Tokyo"),
        "minute": pd.date_range("2024-01-01 12:00", periods=100, freq="min"),
    }
    columns = {one.name: one.difference for one in skew.feature_report(pd.DataFrame(table), CLINICS).columns}
    assert columns == {
        "mean": "mean 120 against 66",
        "spread": "middle half 23 to 74 against 42 to 57",
        "day": "mean 2024-03-20 against 2024-02-19",
        "minute": "mean 2024-01-01 13:19 against 2024-01-01 12:49",
    }


def test_a_tiny_partition_is_not_named_most_different_for_being_tiny() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    values[:300] += 1
    sizes = [300, *[1] * 50, 650]
    split = Assignment.from_partitions(np.split(np.arange(1000), np.cumsum(sizes)[:-1]))
    (column,) = skew.feature_report(values, split).columns
    assert column.most_different == 0
    assert column.distances[1:51].max() > column.distances[0]


CHANCE = {
    "823 normal, in 4": (np.random.default_rng(1).normal(size=823), [247, 211, 192, 173]),
    "ties, tiny sites": (np.random.default_rng(2).integers(0, 3, 300), [1] * 30 + [3] * 40 + [150]),
    "long tail, one site of 5 and an empty one": (np.random.default_rng(3).lognormal(0, 1.5, 800), [5, 0, 295, 500]),
    "as many sites as rows": (np.random.default_rng(4).normal(size=100), [1] * 100),
    "3 rows": (np.array([1.0, 2.0, 9.0]), [1, 2]),
    "text": (np.random.default_rng(5).choice(list("aaaabbc"), 400), [1, 2, 3, 4, 90, 300]),
    "text, each once": (np.array(list(map(str, range(200)))), [50, 70, 80]),
}


@pytest.mark.parametrize(("values", "sizes"), CHANCE.values(), ids=CHANCE)
def test_chance_is_the_mean_of_random_splits_with_these_sizes(values: Any, sizes: list[int]) -> None:
    """Within 3 %, or 4 standard errors of 200 random splits."""
    split = Assignment.from_partitions(np.split(np.arange(len(values)), np.cumsum(sizes)[:-1]))
    rng = np.random.default_rng(7)
    drawn = [skew.feature_report({"x": rng.permutation(values)}, split).columns[0] for _ in range(200)]
    distances = np.array([one.distance for one in drawn])
    tolerance = max(0.03 * distances.mean(), 4 * distances.std() / np.sqrt(200))
    assert drawn[0].chance == pytest.approx(distances.mean(), abs=tolerance)
    # About what a normal distribution has beyond 4 standard deviations: almost none.
    assert np.mean([one.exceeds_chance for one in drawn]) <= 0.01


def test_remarks_name_the_columns_and_partitions_that_differ_most() -> None:
    rng = np.random.default_rng(0)
    table = {
        f"x{i}": np.where(np.arange(100) < 60, 0, shift) + rng.normal(size=100)
        for i, shift in enumerate((0, 3, 9, 5, 7))
    }
    remarks = skew.feature_report(table, CLINICS).remarks
    assert [remark.partition(" has ")[0] for remark in remarks[:3]] == ["x2 differs most: Lyon", "x4: Lyon", "x3: Lyon"]
    assert remarks[3:] == ("4 of 5 columns differ more than by chance.",)
    unnamed = Assignment.from_partitions(list(CLINICS))
    assert skew.feature_report(table, unnamed).remarks[0].startswith("x2 differs most: Partition 1 has mean ")


def test_a_random_split_does_not_differ_more_than_by_chance() -> None:
    rng = np.random.default_rng(0)
    table = {f"x{i}": rng.normal(size=500) for i in range(10)} | {
        f"w{i}": rng.choice(["a", "b"], 500) for i in range(10)
    }
    for seed in range(10):
        report = skew.feature_report(table, IidPartitioner(5, seed=seed).assign([0] * 500))
        (remark,) = report.remarks
        assert remark.startswith("Over all partitions together, no column differs more than by chance")


TABLES = {
    "DataFrame": lambda columns: pd.DataFrame(columns),
    "DataFrame with another index": lambda columns: pd.DataFrame(columns, index=range(100, 0, -1)),
    "mapping": lambda columns: columns,
    "Arrow table": pa.table,
    "data set": Dataset.from_dict,
}


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_any_table_is_read(make: Any) -> None:
    report = skew.feature_report(make({"number": NUMBERS, "word": WORDS}), CLINICS)
    assert {one.name: one.kind for one in report.columns} == {"number": "numeric", "word": "categorical"}


def test_the_columns_of_an_array_are_numbered() -> None:
    report = skew.feature_report(np.array([NUMBERS, NUMBERS[::-1]]).T, CLINICS)
    assert sorted(one.name for one in report.columns) == ["feature 0", "feature 1"]


def test_a_report_is_a_table_in_every_format() -> None:
    report = skew.feature_report({"x <b>": [None, *NUMBERS[1:]], "w|w": WORDS}, CLINICS)
    names = ["x <b>", "w|w", "x <b> is missing"]
    frame = report.to_frame()
    assert list(frame.index) == names
    assert list(frame.columns) == ["kind", "distance", "chance", "most_different", "difference"]
    assert report.by_partition().index.tolist() == ["Bern", "Lyon"]
    assert report.by_partition()["w|w"].tolist() == report.columns[1].distances.tolist()
    assert str(report) == repr(report)
    assert str(report).startswith("2 partitions, 100 rows, 3 columns\n\ncolumn ")
    assert "| w\\|w | categorical |" in report.to_markdown()
    assert "x &lt;b&gt;" in report._repr_html_()
    assert "x <b>" not in report._repr_html_()
    content = json.loads(report.to_json())
    assert [one["column"] for one in content["columns"]] == names
    assert content["columns"][1]["distances"].keys() == {"Bern", "Lyon"}
    assert tuple(content["remarks"]) == report.remarks


def test_the_table_is_left_as_it_was() -> None:
    table = pd.DataFrame({"x": NUMBERS, "w": WORDS})
    before = table.copy(deep=True)
    skew.feature_report(table, CLINICS)
    pd.testing.assert_frame_equal(table, before)


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "infinite": ({"x": [*NUMBERS[:-1], np.inf]}, ValueError, r"got inf in column 'x', row 99; replace it"),
    "mixed": ({"x": [*NUMBERS[:-1], "a"]}, TypeError, r"values of several types \(mixed-integer\) in column 'x'"),
    "nested": ({"x": [[1, 2]] * 100}, TypeError, r"values of several types \(mixed\) in column 'x'.* drop the column"),
    "complex": ({"x": np.ones(100, complex)}, TypeError, r"complex values in column 'x'"),
    "timedelta": ({"x": np.ones(100, "timedelta64[s]")}, TypeError, r"timedelta64 values in column 'x'"),
    "same name": (
        pd.DataFrame([[1, 2]] * 100, columns=["x", "x"]),
        ValueError,
        r"distinct column names, got 'x' twice",
    ),
    "99 rows": ({"x": NUMBERS[1:]}, ValueError, r"one row for each of the 100 rows .*, got 1 columns and 99 rows"),
    "no columns": (pd.DataFrame(index=range(100)), ValueError, r"got 0 columns and 100 rows"),
    "list": (NUMBERS, TypeError, r"frame must be a table, such as a pandas DataFrame, got list"),
    "images": (np.ones((100, 8, 8)), TypeError, r"got ndarray of shape \(100, 8, 8\); pass an array with one row"),
}


@pytest.mark.parametrize(("table", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_a_bad_table_is_refused_by_name(table: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        skew.feature_report(table, CLINICS)


def test_a_bad_assignment_is_refused() -> None:
    with pytest.raises(TypeError, match=r"assignment must be an Assignment, got list; make one with Assignment.from_"):
        skew.feature_report({"x": NUMBERS}, [[0], [1]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="assignment must have rows in at least one partition, got none"):
        skew.feature_report({"x": NUMBERS}, Assignment.from_partitions([[]], num_rows=100))


def test_a_number_outside_all_partitions_may_be_infinite() -> None:
    some = Assignment.from_partitions([[0, 1], [2, 3]], num_rows=5)
    assert skew.feature_report({"x": [1.0, 2.0, 1.0, 2.0, np.inf]}, some).columns[0].distance == 0


def test_hostile_names_of_columns_stay_in_one_printable_line() -> None:
    table = {"\x1b[31mage\n": [*range(60), *range(100, 140)], "\u202eweight\t": [0] * 60 + [1] * 40}
    report = skew.feature_report(table, CLINICS)
    assert sorted(remark.split()[0].rstrip(":") for remark in report.remarks) == ["age", "weight"]
    for text in (str(report), report.to_markdown()):
        assert all(character.isprintable() or character == "\n" for character in text)
