"""Several labels per row are read from every type that has them, and what cannot be read is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from datasets import ClassLabel, Dataset, Features, Sequence
from hypothesis import given
from hypothesis import strategies as st

from flskew._split.labels import read_labels
from flskew._split.multi_label import MultiLabelColumn
from flskew._split.multi_reading import read_any_column, read_any_labels, read_multi_labels

ROWS = [["rain", "fog"], [], ["rain"], ["snow", "fog", "rain"]]
MATRIX = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
NAMES = ["fog", "rain", "snow"]


def rows_of(column: MultiLabelColumn) -> list[list[object]]:
    bounds = zip(column.indptr[:-1], column.indptr[1:], strict=True)
    return [[column.labels[code] for code in column.indices[start:stop]] for start, stop in bounds]


CONTAINERS = {
    "lists": ROWS,
    "tuples": [tuple(row) for row in ROWS],
    "sets": [set(row) for row in ROWS],
    "frozen sets": [frozenset(row) for row in ROWS],
    "arrays": [np.array(row, dtype=str) for row in ROWS],
    "a tuple of lists": tuple(ROWS),
    "a pandas column": pd.Series(ROWS),
    "a pandas column of Arrow lists": pd.Series(ROWS, dtype=pd.ArrowDtype(pa.list_(pa.string()))),
    "Arrow lists": pa.array(ROWS),
    "large Arrow lists": pa.array(ROWS, type=pa.large_list(pa.large_string())),
    "a slice of Arrow lists": pa.array([["x"], *ROWS])[1:],
    "Arrow lists in chunks": pa.chunked_array([ROWS[:1], ROWS[1:]]),
    "a column of a data set": Dataset.from_dict({"label": ROWS})["label"],
    "a column of selected rows": Dataset.from_dict({"label": [["x"], *ROWS[::-1]]}).select([4, 3, 2, 1])["label"],
    "a frame": pd.DataFrame(MATRIX, columns=NAMES),
    "a frame of booleans in another order": pd.DataFrame(MATRIX == 1, columns=NAMES)[["snow", "fog", "rain"]],
    "a frame of nullable integers": pd.DataFrame(MATRIX, columns=NAMES).astype("Int64"),
    "a frame with an empty class": pd.DataFrame(MATRIX, columns=NAMES).assign(hail=0),
}
MATRICES = {
    "integers": MATRIX,
    "booleans": MATRIX.astype(bool),
    "bytes": MATRIX.astype(np.uint8),
    "floats": MATRIX.astype(np.float32),
    "in column order": np.asfortranarray(MATRIX),
    "masked, with no value masked": np.ma.array(MATRIX),
    "a frame": pd.DataFrame(MATRIX),
    "sparse": scipy.sparse.csr_matrix(MATRIX),
    "a sparse array of booleans": scipy.sparse.coo_array(MATRIX.astype(bool)),
    "lists of integers": [np.flatnonzero(row).tolist() for row in MATRIX],
}


@pytest.mark.parametrize("labels", CONTAINERS.values(), ids=CONTAINERS)
def test_the_container_of_the_labels_does_not_matter(labels):
    column = read_any_labels(labels)
    assert isinstance(column, MultiLabelColumn)
    assert rows_of(column) == [sorted(row) for row in ROWS]
    assert (len(column), column.labels, column.sizes.tolist()) == (4, NAMES, [2, 3, 1])


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_the_classes_of_a_matrix_are_the_numbers_of_its_columns(matrix):
    assert rows_of(read_multi_labels(matrix)) == [[0, 1], [], [1], [0, 1, 2]]


def test_lists_of_a_fixed_size_are_lists_of_labels():
    pairs = pa.FixedSizeListArray.from_arrays(pa.array([1, 0, 2, 1]), 2)
    assert rows_of(read_multi_labels(pairs)) == [[0, 1], [1, 2]]


def test_a_class_without_rows_is_left_out():
    assert read_multi_labels(np.array([[0, 1, 0, 1], [0, 0, 0, 1]])).labels == [1, 3]


@given(st.lists(st.sets(st.integers(-(2**62), 2**62) | st.integers(0, 5)), min_size=1).filter(any))
def test_integers_of_any_range_are_read(rows):
    assert rows_of(read_multi_labels(rows)) == [sorted(row) for row in rows]


def test_integers_beyond_the_signed_range_and_booleans_are_read():
    assert rows_of(read_multi_labels([[2**64 - 1, 0], []])) == [[0, 2**64 - 1], []]
    assert rows_of(read_multi_labels([[True, False], [False]])) == [[False, True], [False]]


SINGLE = {
    "integers": [0, 1, 1],
    "strings": ["fog", "rain"],
    "an array of objects": np.array(["fog", "rain"], dtype=object),
    "a pandas column": pd.Series(["fog", "rain"]),
    "categories": pd.Series(["fog", "rain"], dtype="category"),
    "Arrow": pa.array(["fog", "rain"]),
    "a column of a data set": Dataset.from_dict({"label": [1, 0]})["label"],
    "a column that was read": read_labels([1, 2]),
}


@pytest.mark.parametrize("labels", SINGLE.values(), ids=SINGLE)
def test_one_label_per_row_stays_one_label_per_row(labels):
    column = read_any_labels(labels)
    assert not isinstance(column, MultiLabelColumn)
    assert column.codes.tolist() == read_labels(labels).codes.tolist()
    with pytest.raises(TypeError, match=r"labels must be a 0/1 matrix .* or a list of labels for each row, got"):
        read_multi_labels(labels)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.array([[1, 2], [0, 1]]), ValueError, r"shape \(2, 2\) with 2 at row 0, column 1; choose one column"),
        (np.array([[1, 0], [0.3, 1]]), ValueError, "with 0.3 at row 1, column 0; .* e.g. probabilities with > 0.5"),
        (np.array([[1, np.nan]]), ValueError, "with nan at row 0, column 1"),
        (np.zeros((3, 2)), ValueError, "at least one label, but all 3 rows are 0"),
        (np.zeros((0, 2)), ValueError, "at least one row, got none"),
        (np.array([["a", "b"]]), TypeError, "and type <U1; choose one column, or make it 0/1"),
        (np.ones((3, 1), int), TypeError, r"shape \(3, 1\); flatten a single column with .ravel\(\)"),
        (np.ma.array([[1, 0], [1, 1]], mask=[[0, 0], [0, 1]]), ValueError, "a masked value at row 1"),
        (scipy.sparse.csr_matrix([[2, 0]]), ValueError, "only 0 and 1"),
        (scipy.sparse.csr_matrix([[1], [0]]), TypeError, r"at least two classes, got the shape \(2, 1\)"),
        (pd.DataFrame({"a": [0], "b": [2]}), ValueError, "with 2 at row 0, column 'b'"),
        (pd.DataFrame({"a": [0], "b": ["x"]}), TypeError, r'a DataFrame of shape \(1, 2\).* df\["label"\]'),
        (pd.DataFrame({"a": [0, 1]}), TypeError, r'a whole DataFrame of shape \(2, 1\); .* e.g. df\["label"\]'),
        (pd.DataFrame([[0, 1]], columns=["a", "a"]), ValueError, "several columns called 'a'"),
        ([["a"], None], ValueError, r"a missing value \(None\) at row 1 .* an empty list for a row without labels"),
        ([["a"], ["b", None]], ValueError, "in the list of row 1; remove it"),
        ([[], [1.5, float("nan")]], ValueError, "in the list of row 1; remove it"),
        ([[], [1.5]], TypeError, "got floating-point numbers"),
        ([[1, 1]], ValueError, r"has 1 more than once at row 0; pass 0/1 indicators as a matrix"),
        ([[0], [3, 2, 3]], ValueError, "has 3 more than once at row 1"),
        ([["a"], "bc"], TypeError, "a list of labels for each row, got 'bc' at row 1"),
        ([["a"], [1]], TypeError, "all of the same type"),
        ([[["a"]]], TypeError, "several per row"),
        ([[], []], ValueError, "at least one label, but all 2 rows have empty lists"),
        (pa.array([], type=pa.list_(pa.int64())), ValueError, "at least one row, got none"),
    ],
    ids=lambda value: value.strip() if isinstance(value, str) else "",
)
def test_invalid_labels_are_named(labels, error, message):
    with pytest.raises(error, match=message):
        read_any_labels(labels)


def test_a_column_of_lists_is_read_in_the_order_of_the_data_set():
    dataset = Dataset.from_dict({"label": [[1, 0], [2], [], [0]]}).select([3, 2, 0])
    column = read_any_column(dataset, "label")
    assert isinstance(column, MultiLabelColumn)
    assert rows_of(column) == [[0], [], [0, 1]]


def test_minus_one_is_a_missing_label_in_a_column_of_class_labels():
    features = Features(label=Sequence(ClassLabel(names=["no", "yes"])))
    dataset = Dataset.from_dict({"label": [[1], [0, -1]]}, features=features)
    with pytest.raises(ValueError, match=r"column 'label' has a missing label \(-1 .*\) at row 1"):
        read_any_column(dataset, "label")


def test_several_labels_cannot_be_binned():
    with pytest.raises(TypeError, match="one number or date per row"):
        read_any_labels(MATRIX, num_bins=2)
    with pytest.raises(TypeError, match="column 'label' must have one number or date per row"):
        read_any_column(Dataset.from_dict({"label": ROWS}), "label", num_bins=2)
