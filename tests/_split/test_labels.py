"""Labels of every supported type become the same codes, and errors name invalid labels."""

from __future__ import annotations

import re

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, concatenate_datasets
from hypothesis import given
from hypothesis import strategies as st

from flskew._split.labels import read_column, read_labels

NUMBERS = [3, -7, 3, 100, 0]


@pytest.mark.parametrize(
    "labels",
    [
        NUMBERS,
        tuple(NUMBERS),
        *(np.array(NUMBERS, dtype=width) for width in (np.int8, np.int16, np.int32, np.int64)),
        np.array(NUMBERS, dtype=">i4"),
        np.array(NUMBERS, dtype=object),
        np.ma.array(NUMBERS),
        memoryview(np.array(NUMBERS)),
        np.array([NUMBERS, NUMBERS]).T[:, 0],
        [np.int8(number) for number in NUMBERS],
        pd.Series(NUMBERS),
        pd.Series(NUMBERS, dtype="Int16", index=range(5, 10)),
        pd.Series(NUMBERS, dtype="category"),
        pd.Index(NUMBERS),
        pa.array(NUMBERS),
        pa.array(NUMBERS, type=pa.int8()),
        pa.chunked_array([NUMBERS[:2], [], NUMBERS[2:]]),
        pa.array(NUMBERS).dictionary_encode(),
        Dataset.from_dict({"label": NUMBERS})["label"],
        Dataset.from_dict({"label": NUMBERS[::-1]}).select([4, 3, 2, 1, 0])["label"],
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_integers_of_any_type_give_the_same_codes(labels):
    column = read_labels(labels)
    assert column.classes.tolist() == [-7, 0, 3, 100]
    assert column.classes.dtype == np.int64
    assert column.codes.tolist() == [2, 0, 2, 3, 1]
    assert column.sizes.tolist() == [1, 1, 2, 1]


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "ä", "", "b"],
        np.array(["b", "ä", "", "b"]),
        np.array(["b", "ä", "", "b"], dtype=object),
        pd.Series(["b", "ä", "", "b"]),
        pd.Series(["b", "ä", "", "b"], dtype="category"),
        pa.array(["b", "ä", "", "b"]),
        pa.array(["b", "ä", "", "b"], type=pa.large_string()),
    ],
)
def test_strings_of_any_type_give_the_same_codes(labels):
    column = read_labels(labels)
    assert column.labels == ["", "b", "ä"]
    assert column.codes.tolist() == [1, 2, 0, 1]


def test_a_nul_within_a_string_is_part_of_it():
    assert read_labels(np.array(["a\0b", "a"])).labels == ["a", "a\0b"]


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy has them from 2.0 on")
def test_numpys_strings_of_variable_width_are_strings():
    kind = np.dtypes.StringDType(na_object=None)
    assert read_labels(np.array(["b", "a\0c", "b"], dtype=kind)).labels == ["a\0c", "b"]
    with pytest.raises(ValueError, match=r"missing value .* at row 1"):
        read_labels(np.array(["b", None], dtype=kind))


def test_a_wide_range_of_big_endian_integers_is_read():
    assert read_labels(np.array([10**9, 0], dtype=">i8")).labels == [0, 10**9]


def test_texts_that_would_fill_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr("flskew._split.encoding._MOST_BYTES", 4 * 3 * 10)
    assert read_labels(["a", "b", "c" * 10]).labels == ["a", "b", "c" * 10]
    with pytest.raises(ValueError, match=r"labels contains 3 different strings of up to 11 characters.*; choose the"):
        read_labels(["a", "b", "c" * 11])


def test_bytes_are_ascii_strings():
    assert read_labels(np.array([b"no", b"yes"])).labels == ["no", "yes"]


@pytest.mark.parametrize(
    "labels", [[True, False], np.array([True, False]), pd.Series([True, False]), pa.array([True, False])]
)
def test_booleans_stay_booleans(labels):
    column = read_labels(labels)
    assert column.labels == [False, True]
    assert column.codes.tolist() == [1, 0]


@given(st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1))
def test_integers_of_any_range_are_encoded(numbers):
    width = np.int64 if max(numbers) < 2**63 else np.uint64
    if width is np.uint64:
        numbers = [abs(number) for number in numbers]
    column = read_labels(np.array(numbers, dtype=width))
    assert column.labels == sorted(set(numbers))
    assert [column.labels[code] for code in column.codes.tolist()] == numbers


def test_a_list_may_contain_integers_beyond_the_signed_range():
    assert read_labels([2**64 - 1, 0, 2**63]).labels == [0, 2**63, 2**64 - 1]
    assert read_labels(np.array([2**63, 1], dtype=object)).codes.tolist() == [1, 0]


def test_codes_are_as_narrow_as_the_classes_allow():
    assert read_labels(range(256)).codes.dtype == np.uint8
    assert read_labels(range(257)).codes.dtype == np.uint16
    assert read_labels(np.arange(70_000) * 10**9).codes.dtype == np.uint32


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([1, None, 2], ValueError, r"missing value \(None, NaN or NaT\) at row 1 \(1 in total\); drop these rows"),
        (["a", "b", None, None], ValueError, r"at row 2 \(2 in total\)"),
        ([None, None], ValueError, r"at row 0 \(2 in total\)"),
        ([1.0, float("nan")], ValueError, "at row 1"),
        (np.array([np.nan, 1.0]), ValueError, "at row 0"),
        (np.array(["a", np.nan], dtype=object), ValueError, "at row 1"),
        (pd.Series([1, None], dtype="Int64"), ValueError, "at row 1"),
        (pd.Series(["a", None], dtype="category"), ValueError, "at row 1"),
        (pa.chunked_array([[1, 2], [3, None]]), ValueError, "at row 3"),
        (np.ma.array([1, 2, 3], mask=[False, True, False]), ValueError, "at row 1"),
        ([0.5, 1.0], TypeError, r"got floating-point numbers \(double\).*cast whole numbers with .astype\(int\)"),
        (np.array([1.0, 2.0], dtype=np.float32), TypeError, r"got floating-point numbers \(float\)"),
        ([[1], [2, 3]], TypeError, "got several per row"),
        ([{"label": 1}], TypeError, "got several per row"),
        (np.eye(3), TypeError, r"got an array of shape \(3, 3\); convert one-hot labels to classes with .argmax"),
        (np.ones((3, 1), int), TypeError, r"shape \(3, 1\); flatten a single column with .ravel\(\)"),
        ([1, "a"], TypeError, "all of the same type"),
        ([True, 2], TypeError, "all of the same type"),
        ([2**70], TypeError, "all of the same type and integers of 64 bits"),
        ([2**63, -1], TypeError, "all of the same type and integers of 64 bits"),
        ([2**63, 1.5], TypeError, "all of the same type"),
        ([2**63, None], ValueError, "at row 1"),
        (pd.Series([0, 1], dtype="Sparse[int]"), TypeError, r"a column of type Sparse.*e.g. labels.to_numpy\(\)"),
        (pd.cut(pd.Series([1, 2, 3]), 2), TypeError, "got .*interval.*convert it first"),
        (pd.Series(pd.to_datetime(["2020-01-01"])), TypeError, "got dates"),
        ("abc", TypeError, "a sequence with one label per row, got 'abc' of type str"),
        (7, TypeError, "got 7 of type int"),
        ({1, 2}, TypeError, "of type set"),
        ({"label": [1]}, TypeError, "of type dict"),
        (iter([1, 2]), TypeError, "of type list_iterator"),
        ([], ValueError, "at least one row"),
        (["a\0"], ValueError, "NUL"),
        (Dataset.from_dict({"label": [1]}), TypeError, r'a whole Dataset; pass one column, e.g. dataset\["label"\]'),
        (pd.DataFrame({"label": [0, 1]}), TypeError, r'got a whole DataFrame of shape \(2, 1\); .* e.g. df\["label"\]'),
        (pa.table({"label": [0, 1]}), TypeError, "must be one column, got a whole Table"),
        ([np.array([1]), np.array([2, 3])], TypeError, "got several per row"),
        (
            Dataset.from_dict({"label": [1]}).to_iterable_dataset(),
            TypeError,
            "a whole IterableDataset; pass one column",
        ),
        (DatasetDict(train=Dataset.from_dict({"label": [1]})), TypeError, "a whole DatasetDict"),
    ],
    ids=lambda value: re.sub(r" at 0x[0-9a-f]+", "", str(value)),
)
def test_invalid_labels_are_named(labels, error, message):
    with pytest.raises(error, match=message):
        read_labels(labels)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([1, None], ValueError, "column 'digit' has a missing value .* at row 1"),
        ([[1], [2]], TypeError, "column 'digit' must be .* got several per row"),
        ([0.5, 1.5], TypeError, "column 'digit' must be .* got floating-point numbers"),
    ],
)
def test_an_error_in_a_data_set_names_the_column(values, error, message):
    with pytest.raises(error, match=message):
        read_column(Dataset.from_dict({"digit": values}), "digit")


@pytest.mark.skipif(not hasattr(datasets, "Column"), reason="datasets 4 made columns lazy")
@pytest.mark.parametrize(
    ("pick", "message"),
    [
        (lambda dataset: dataset["meta"]["label"], r"a column within a column; pass its values, .*\[:\]"),
        (
            lambda dataset: dataset.to_iterable_dataset()["label"],
            "a stream .* load the data set without streaming=True",
        ),
    ],
)
def test_a_lazy_column_without_a_table_is_refused_with_a_remedy(pick, message):
    dataset = Dataset.from_dict({"label": [1, 2], "meta": [{"label": 1}, {"label": 2}]})
    with pytest.raises(TypeError, match=message):
        read_labels(pick(dataset))


@pytest.mark.parametrize(("rows", "first"), [(None, 2), ([1, 0, 3, 2], 2), ([2, 1] * 2, 0)])
def test_minus_one_is_a_missing_label_in_a_class_label_column(rows, first):
    dataset = Dataset.from_dict({"label": [0, 1, -1, -1]}, features=Features(label=ClassLabel(names=["no", "yes"])))
    chosen = dataset if rows is None else dataset.select(rows)
    with pytest.raises(ValueError, match=rf"missing label \(-1 in a ClassLabel column\) at row {first} \(2 in total\)"):
        read_column(chosen, "label")
    assert read_column(dataset.select([1, 0, 1]), "label").labels == [0, 1]
    assert read_column(Dataset.from_dict({"label": [0, -1]}), "label").labels == [-1, 0]


def test_labels_are_read_as_stored_regardless_of_a_transform():
    dataset = Dataset.from_dict({"label": [0, 1, 2]}).with_transform(lambda rows: {"label": [7 for _ in rows["label"]]})
    assert dataset[0] == {"label": 7}
    assert read_column(dataset, "label").labels == [0, 1, 2]


@pytest.mark.parametrize("chunks", [1, 7])
@pytest.mark.parametrize("selected", [False, True])
def test_many_rows_are_read_block_by_block(chunks, selected):
    values = np.random.default_rng(0).integers(-5, 400, 150_000)
    pieces = [Dataset.from_dict({"label": part}) for part in np.array_split(values, chunks)]
    dataset = concatenate_datasets(pieces)
    if selected:
        rows = np.random.default_rng(1).permutation(len(values))[:140_000]
        dataset, values = dataset.select(rows), values[rows]
    column = read_column(dataset, "label")
    assert np.array_equal(column.classes[column.codes], values)
    assert np.array_equal(column.sizes, np.unique(values, return_counts=True)[1])


def test_a_missing_column_is_named_with_the_existing_ones():
    with pytest.raises(ValueError, match="partition_by='lable' is not a column of the data set; it has image, label"):
        read_column(Dataset.from_dict({"image": [1], "label": [1]}), "lable")


def test_a_column_is_read_through_selections_formats_and_features():
    features = Features(label=ClassLabel(names=["no", "yes"]), other=Value("string"))
    dataset = Dataset.from_dict({"label": [0, 1, 1, 0], "other": ["a"] * 4}, features=features)
    chosen = dataset.with_format("numpy").select([3, 1])
    assert read_column(chosen, "label").labels == [0, 1]
    assert read_column(chosen, "label").codes.tolist() == [0, 1]


@pytest.mark.parametrize("size", [3, 900])
@pytest.mark.parametrize("values", [lambda row: row % 7 - 3, lambda row: f"class {row % 7}", lambda row: row % 2 == 0])
def test_a_selection_is_read_like_its_values(size, values):
    dataset = Dataset.from_dict({"label": [values(row) for row in range(1000)]})
    rows = np.random.default_rng(0).permutation(1000)[:size]
    chosen = dataset.select(rows)
    expected = read_labels([values(int(row)) for row in rows])
    for column in (read_column(chosen, "label"), read_labels(chosen["label"])):
        assert column.labels == expected.labels
        assert column.codes.tolist() == expected.codes.tolist()


def test_a_class_outside_the_selection_is_not_among_the_classes():
    dataset = Dataset.from_dict({"label": [5, 6, 7, 8] * 10}).filter(lambda row: row["label"] != 6)
    column = read_column(dataset.select(range(28, -1, -1)), "label")
    assert column.labels == [5, 7, 8]
    assert set(column.codes.tolist()) == {0, 1, 2}


def test_classes_are_int64_if_the_selected_ones_fit():
    values = np.array([3, 2**63 + 1, 5, 7], dtype=np.uint64)
    chosen = Dataset.from_dict({"label": values}).select([3, 0, 2])
    assert read_column(chosen, "label").classes.dtype == read_labels([3, 5, 7]).classes.dtype == np.int64


def test_a_missing_label_only_matters_if_it_is_selected():
    dataset = Dataset.from_dict({"label": [1, None, 2, 3]})
    assert read_column(dataset.select([3, 0, 2]), "label").labels == [1, 2, 3]
    with pytest.raises(ValueError, match="at row 2"):
        read_column(dataset.select([3, 0, 1]), "label")
