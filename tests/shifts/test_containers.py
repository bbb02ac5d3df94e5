"""Features, labels and rows of every kind that can be shifted, and the refusal of others."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal, assert_series_equal

from flskew import Assignment
from flskew.shifts import Affine, Noise

SPLIT = Assignment.from_partitions([[4, 0], [2, 1, 5]], num_rows=6)
PLUS = Affine(offset=[1.0, 2.0])
VIEW = SPLIT.with_shift(PLUS).view(1)


@pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        "float64",
        "Int8",
        "Int64",
        "UInt16",
        "Float32",
        "Float64",
        "int64[pyarrow]",
        "float[pyarrow]",
        "Sparse[float]",
    ],
)
def test_pandas_dtypes_are_kept_and_missing_values_stay_missing(dtype: str):
    column = pd.Series([1, None, 3, 4, 5, 6], dtype=dtype)
    shifted = SPLIT.with_shift(Affine(offset=[1.0, 2.0], columns=["age"]))
    seen = shifted.shift_features(pd.DataFrame({"age": column}))["age"]
    # Partition 0 holds rows 0 and 4 and adds 1, partition 1 holds rows 1, 2 and 5 and adds 2; row 3 is unassigned.
    assert_series_equal(seen, pd.Series([2, None, 5, 4, 6, 8], dtype=dtype, name="age"))


@pytest.mark.parametrize(
    "index",
    [list("uvwxyz"), [0, 0, 0, 1, 1, 1], pd.MultiIndex.from_product([[0, 1, 2], [0, 1]])],
    ids=["texts", "repeated", "levels"],
)
def test_a_table_keeps_its_index_and_the_columns_that_do_not_change(index):
    table = pd.DataFrame(
        {
            "day": pd.date_range("2020-01-01", periods=6, tz="UTC"),
            "age": np.arange(6.0),
            "sex": pd.Categorical(list("mfmfmf")),
            "note": list("abcdef"),
            "smokes": pd.array([True, None] * 3, dtype="boolean"),
        }
    )
    table.index = pd.Index(index)
    before = table.copy()
    seen = SPLIT.with_shift(PLUS).shift_features(table)
    assert_frame_equal(seen, before.assign(age=[1.0, 3.0, 4.0, 3.0, 5.0, 7.0]))
    assert_frame_equal(table, before)


def test_names_of_columns_can_be_numbers_and_tuples():
    table = pd.DataFrame(np.zeros((3, 2)), columns=[7, 3])
    assert_array_equal(Affine(offset=1, columns=[3]).view(0, 1).features(table, range(3)), [[0, 1]] * 3)
    table.columns = pd.MultiIndex.from_tuples([("blood", "sugar"), ("blood", "iron")])
    seen = VIEW.features(table)
    assert seen.columns.equals(table.columns)
    assert_array_equal(seen, np.full((3, 2), 2.0))


def test_columns_with_one_name_are_refused_only_if_they_change():
    table = pd.DataFrame([[1.0, "a", "b"]] * 3, columns=["age", "note", "note"])
    assert VIEW.features(table)["age"].tolist() == [3.0] * 3
    table.columns = ["age", "age", "note"]
    with pytest.raises(ValueError, match="Affine: 'age' is the name of several columns of the features"):
        Affine(2.0, columns=["age"]).view(0, 1).features(table, range(3))


def test_a_series_is_seen_like_the_column_of_a_table():
    table = pd.DataFrame({"age": np.arange(3.0), "visits": np.arange(3)})
    view = SPLIT.with_shift(Noise(1.0, columns=["age"])).view(1)
    assert_series_equal(view.features(table["age"]), view.features(table)["age"])
    assert_series_equal(VIEW.features(pd.Series([1, 2, 3])), pd.Series([3, 4, 5]))
    with pytest.raises(ValueError, match="'age' is not a column of the features; they have 'visits'"):
        view.features(table["visits"])


def test_a_mapping_may_contain_lists_series_and_images():
    images = np.zeros((6, 2, 2))
    features = {
        "age": [1.0, 2, 3, 4, 5, 6],
        "pulse": pd.Series(np.zeros(6), dtype="Float32"),
        "scan": images,
        "id": range(6),
    }
    seen = SPLIT.with_shift(PLUS).shift_features(features)
    assert list(seen) == list(features)
    assert_array_equal(seen["age"], [2, 4, 5, 4, 6, 8])
    assert_series_equal(seen["pulse"], pd.Series([1, 2, 2, 0, 1, 2], dtype="Float32"))
    assert_array_equal(seen["scan"][:, 0, 0], [1, 2, 2, 0, 1, 2])
    assert_array_equal(seen["id"], range(6))
    assert not images.any()


def test_nothing_is_copied_for_a_client_that_sees_the_data_as_they_are():
    table = pd.DataFrame({"age": np.arange(6.0)})
    for features in (np.zeros((6, 2)), np.zeros(6, dtype=np.uint8), table, {"age": [1.0] * 6}, table["age"]):
        for shift in (PLUS.at(0), Noise(1.0, partitions=[]), Affine(partitions=[]) | Noise(0.0)):
            assert SPLIT.with_shift(shift).shift_features(features) is features
            assert shift.view(0, 2).features(features, range(6)) is features


def test_a_memory_map_is_read_and_not_changed(tmp_path):
    path = tmp_path / "features.npy"
    np.save(path, np.zeros((6, 2)))
    seen = SPLIT.with_shift(PLUS).shift_features(np.load(path, mmap_mode="r"))
    assert type(seen) is np.ndarray
    assert seen[:, 0].tolist() == [1, 2, 2, 0, 1, 2]
    assert not np.load(path).any()


def test_a_wide_table_keeps_its_columns_index_dtypes_and_attributes():
    names = [f"gene {number}" for number in range(300)]
    table = pd.DataFrame(np.ones((3, 300)), index=[7, 7, 8], columns=pd.Index(names, name="genes"))
    table["site"] = pd.Categorical(["Bern", "Lyon", "Bern"])
    table.attrs["unit"] = "TPM"
    seen = Affine(2.0).view(0, 1).features(table, range(3))
    expected = table.copy()
    expected[names] = 2.0
    pd.testing.assert_frame_equal(seen, expected)
    assert seen.columns.name == "genes"
    assert seen.attrs == table.attrs
    assert (table[names] == 1.0).all(axis=None)


def test_many_partitions_have_labels():
    split = Assignment.from_partitions([[row] for row in range(200)]).with_shift(Affine(offset=1.0))
    assert split.shift_labels(list(range(200))).tolist() == list(range(200))


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (
            [1.0, 2.0, 3.0],
            TypeError,
            "features must be a NumPy array with one entry per row, a DataFrame, or",
        ),
        (np.array(1.0), TypeError, "features must have one entry per row, got a single value"),
        (np.ma.masked_array([1.0, 2, 3], [0, 1, 0]), TypeError, "features must not be a masked array"),
        ({"age": np.ma.masked_array([1.0, 2, 3])}, TypeError, "column 'age' must not be a masked array"),
        ({"age": 1.0}, TypeError, "column 'age' must have one entry per row, got a single value"),
        ({"age": [1.0], "sex": ["m", "f"]}, ValueError, r"columns of features must have the same length, got \[1, 2\]"),
        ({}, ValueError, "features must have at least one column, got none"),
        (np.array(list("abc")), TypeError, "Affine changes numbers, but features contain <U1"),
        (np.array([1, 2, 3], dtype=object), TypeError, "Affine changes numbers, but features contain object"),
        (np.array([True, False, True]), TypeError, "Affine changes numbers, but features contain bool"),
        (np.zeros(3, dtype=[("age", "f8")]), TypeError, r"Affine changes numbers, but features contain \[\('age'"),
    ],
)
def test_features_that_cannot_be_shifted_are_refused(features, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        VIEW.features(features)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[1], [2, 3], []], "got lists of different lengths; for several labels per row, pass a 0/1 matrix"),
        (3, "labels must have one entry per row, got a single value"),
        ("abc", "labels must have one entry per row, got a single value"),
        (np.ma.masked_array([1, 2, 3], [0, 1, 0]), "labels must not be a masked array"),
    ],
)
def test_labels_that_cannot_be_shifted_are_refused(labels, message: str):
    for see in (VIEW.labels, SPLIT.with_shift(PLUS).shift_labels):
        with pytest.raises(TypeError, match=message):
            see(labels)


@pytest.mark.parametrize(
    "rows",
    [range(9, 3, -2), [9, 7, 5], (9, 7, 5), iter([9, 7, 5]), np.array([9, 7, 5], dtype=np.uint8), pd.Series([9, 7, 5])],
    ids=lambda rows: type(rows).__name__,
)
def test_rows_may_come_in_any_container(rows):
    view = Noise(1.0).view(0, 1)
    assert_array_equal(view.features(np.zeros(3), rows), view.features(np.zeros(3), [9, 7, 5]))


def test_row_numbers_may_be_as_large_as_int64():
    view = Noise(1.0).view(0, 1)
    seen = view.features(np.zeros((3, 100)), [2**63 - 1, 2**63 - 2, 0])
    assert len({*seen[:, 0], *seen[:, 1]}) == 6
    assert_array_equal(view.features(np.zeros((1, 100)), np.array([2**63 - 1], dtype=np.uint64))[0], seen[0])


@pytest.mark.parametrize(
    ("rows", "error", "got"),
    [
        (3, TypeError, "got int"),
        ("3", TypeError, "got str"),
        ({1, 2, 3}, TypeError, "got set"),
        ({1: 2, 2: 3, 3: 4}, TypeError, "got dict"),
        (np.ma.masked_array([1, 2, 3], [0, 1, 0]), TypeError, "got MaskedArray"),
        ([True, False, True], TypeError, r"got bool of shape \(3,\)"),
        ([1, None, 2], TypeError, r"got object of shape \(3,\)"),
        ([datetime.date(2020, 1, 1)] * 3, TypeError, r"got object of shape \(3,\)"),
        ([[1], [2], [3]], TypeError, r"got int64 of shape \(3, 1\)"),
        ([2**63] * 3, ValueError, "got 9223372036854775808"),
        ([1, 2, 2**64], TypeError, "got object"),
        ([1, 2, -1], ValueError, "got -1"),
    ],
)
def test_other_rows_are_refused(rows, error: type[Exception], got: str):
    with pytest.raises(error, match=f"rows must be a list of row numbers, which are integers from 0 to .*{got}"):
        VIEW.features(np.zeros(3), rows)


@pytest.mark.parametrize("kind", [dict, pd.DataFrame])
def test_a_table_without_floating_point_numbers_needs_the_names_of_columns(kind: type):
    table = kind({"age": np.arange(3), "sex": np.array(["m", "f", "m"], dtype=object)})
    with pytest.raises(ValueError, match=r"unless you name others with columns=\[...\], but features have none"):
        Noise(5.0).view(0, 1).features(table, range(3))
    assert Noise(5.0, partitions=[]).view(0, 1).features(table, range(3)) is table
    assert list(Noise(5.0, columns=["age"]).view(0, 1).features(table, range(3))["age"]) != [0, 1, 2]


def test_a_long_shift_is_cut_where_it_is_shown():
    split = Assignment.from_partitions([[row] for row in range(500)]).with_shift(Noise([0.1] * 500))
    assert len(repr(split)) < 400
    assert len(repr(split.view(0))) < 300
