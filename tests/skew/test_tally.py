"""The types of split that are accepted, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features
from flwr_datasets.metrics import compute_counts
from flwr_datasets.partitioner import IidPartitioner as FlowersIidPartitioner
from flwr_datasets.partitioner import PathologicalPartitioner as FlowersPathologicalPartitioner

from flskew import Assignment, DirichletPartitioner, IidPartitioner, skew

LABELS = ["cat", "dog", "dog", "cat", "emu", "dog"]
# Partition 0 has rows 0, 1 and 4, partition 1 the others.
ASSIGNMENT = Assignment.from_partitions([[0, 1, 4], [2, 3, 5]], LABELS)
COUNTS = [[1, 1, 1], [1, 2, 0]]


def dataset_of(labels: list[Any], **features: Any) -> Dataset:
    return Dataset.from_dict({"label": labels}, features=Features(features) if features else None)


@pytest.mark.parametrize(
    "split",
    [
        ASSIGNMENT,
        ASSIGNMENT.to_frame(),
        [["cat", "dog", "emu"], ["dog", "cat", "dog"]],
        (np.array(["cat", "dog", "emu"]), pd.Series(["dog", "cat", "dog"])),
        [pa.array(["cat", "dog", "emu"]), pa.chunked_array([["dog"], ["cat", "dog"]])],
        skew.tally(ASSIGNMENT),
    ],
    ids=["assignment", "frame", "lists", "arrays and columns", "arrow", "tally"],
)
def test_every_type_of_split_is_counted_alike(split: skew.Split) -> None:
    counted = skew.tally(split)
    assert counted.counts.tolist() == COUNTS
    assert counted.classes == ("cat", "dog", "emu")
    assert counted.sizes.tolist() == [3, 3]


def test_classes_of_an_array_of_counts_are_numbered() -> None:
    assert skew.tally(np.array(COUNTS, dtype=np.uint8)).classes == (0, 1, 2)
    assert skew.tally(np.array(COUNTS, dtype=np.uint8)).counts.dtype == np.int64


def test_floats_without_a_fraction_are_counts() -> None:
    frame = pd.DataFrame({"cat": [1, None], "dog": [2, 3]}).fillna(0)
    assert skew.tally(frame).counts.tolist() == [[1, 2], [0, 3]]


def test_nullable_integers_of_pandas_are_counts() -> None:
    frame = pd.DataFrame({"cat": [1, 0], "dog": [2, 3]}).convert_dtypes()
    assert skew.tally(frame).counts.tolist() == [[1, 2], [0, 3]]
    frame.loc[0, "cat"] = pd.NA
    with pytest.raises(TypeError, match=r"fill empty cells of a DataFrame with .fillna\(0\)"):
        skew.tally(frame)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_subclasses_of_arrays_are_counted_like_arrays() -> None:
    for given in (np.matrix(COUNTS), np.ma.array(COUNTS)):
        assert type(skew.tally(given).counts) is np.ndarray
        assert skew.report(given).measures == skew.report(np.array(COUNTS)).measures


def test_the_largest_unsigned_integers_stay_distinct_beside_signed_ones() -> None:
    """As float64, NumPy's common type of the two, the largest two would be equal."""
    largest = np.array([2**64 - 1, 2**64 - 2], dtype=np.uint64)
    counted = skew.tally([[-1, 3, 3], largest])
    assert counted.classes == (-1, 3, 2**64 - 2, 2**64 - 1)
    assert counted.counts.tolist() == [[1, 2, 0, 0], [0, 0, 1, 1]]


def test_a_partition_may_be_empty_among_labels() -> None:
    assert skew.tally([[], [3, 5], np.array([], dtype=int)]).counts.tolist() == [[0, 0], [1, 1], [0, 0]]


def test_a_bound_partitioner_is_counted_like_its_assignment() -> None:
    partitioner = DirichletPartitioner(2, "label", 1.0, min_partition_size=1)
    partitioner.dataset = dataset_of(LABELS * 5)
    assert np.array_equal(skew.tally(partitioner).counts, partitioner.assignment.label_counts)


def test_a_bound_partitioner_of_flower_datasets_is_counted_like_its_own_metrics() -> None:
    labels = [row % 4 for row in range(60)]
    features = ClassLabel(names=["ant", "bee", "cow", "doe"])
    partitioner = FlowersPathologicalPartitioner(3, "label", num_classes_per_partition=2)
    partitioner.dataset = dataset_of(labels, label=features)
    theirs = compute_counts(partitioner, column_name="label", verbose_names=True)
    ours = skew.tally(partitioner)
    assert ours.counts.tolist() == theirs[[features.names[code] for code in ours.classes]].to_numpy().tolist()
    assert skew.total_variation(partitioner) == skew.total_variation(theirs)


def test_label_by_is_the_label_column_of_a_partitioner_without_one() -> None:
    for partitioner in (FlowersIidPartitioner(2), IidPartitioner(2)):
        partitioner.dataset = dataset_of(LABELS)
        assert skew.tally(partitioner, label_by="label").sizes.tolist() == [3, 3]
        with pytest.raises(ValueError, match="label_by must name the label column, because IidPartitioner has none"):
            skew.tally(partitioner)
        with pytest.raises(ValueError, match="label_by='lable' is not a column of the data set; it has label"):
            skew.tally(partitioner, label_by="lable")


def test_label_by_can_be_another_column_than_partition_by() -> None:
    dataset = Dataset.from_dict({"label": [0, 1] * 10, "sex": ["f"] * 10 + ["m"] * 10})
    partitioner = IidPartitioner(2, partition_by="label")
    partitioner.dataset = dataset
    assert skew.tally(partitioner, label_by="sex").classes == ("f", "m")
    assert skew.tally(partitioner).classes == (0, 1)


def test_an_unbound_partitioner_says_how_to_bind_it() -> None:
    with pytest.raises(ValueError, match="DirichletPartitioner is not bound to a data set; set its dataset"):
        skew.total_variation(DirichletPartitioner(2, "label", 1.0))


def test_the_index_of_a_data_frame_names_the_partitions() -> None:
    frame = pd.DataFrame(COUNTS, index=["Bern", "Geneva"])
    counted = skew.tally(frame, class_names=["ant", "bee", "cow"])
    assert counted.names == counted.partitions == ("Bern", "Geneva")
    assert skew.tally(frame.loc[["Geneva"]]).names == ("Geneva",)
    assert skew.tally(pd.DataFrame(COUNTS).iloc[[1]]).names == ("1",)  # its id in the whole frame


def test_partitions_of_a_numbered_data_frame_have_ids_instead_of_names() -> None:
    counted = skew.tally(ASSIGNMENT.to_frame())
    assert counted.names is None
    assert list(counted.partitions) == [0, 1]


@pytest.mark.parametrize(
    "rows", [[[0, 5, 7], [1, 2]], [[1, 2, 0]], [np.array([4, 1]), [], pd.Series([0, 3])], list(ASSIGNMENT)], ids=str
)
def test_lists_of_row_numbers_are_not_mistaken_for_labels(rows: Any) -> None:
    with pytest.raises(ValueError, match=r"no integer occurs twice .* use Assignment.from_partitions\(rows, labels\)"):
        skew.total_variation(rows)


@pytest.mark.parametrize("labels", [[[0], [1]], [[0, 5, 7], [5]], [["a", "b"], ["c"]], [[True, False]]], ids=str)
def test_other_lists_are_labels(labels: Any) -> None:
    assert skew.tally(labels).counts.sum() == sum(map(len, labels))


def test_class_names_replace_the_labels() -> None:
    named = skew.tally(np.array(COUNTS), class_names=["Katze", "Hund", "Emu"])
    assert named.classes == ("Katze", "Hund", "Emu")
    assert skew.report(named).tally.classes == named.classes
    with pytest.raises(
        ValueError, match=r"class_names must be 3 names, one per class, got 2; the classes are 0, 1 and 2"
    ):
        skew.tally(np.array(COUNTS), class_names=["Katze", "Hund"])
    for wrong in ("abc", {0: "Katze", 1: "Hund", 2: "Emu"}, {"Katze", "Hund", "Emu"}, 3):
        with pytest.raises(TypeError, match="class_names must be a list with one name per class, got"):
            skew.tally(np.array(COUNTS), class_names=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("split", "error", "message"),
    [
        (7, TypeError, "split must be an Assignment, an array or DataFrame of counts, a list with the labels of each"),
        ("abc", TypeError, "got str"),
        ([1, 2], TypeError, r"split\[0\] must be the labels of partition 0, got 1; pass counts as a NumPy array"),
        (["ab", "cd"], TypeError, r"split\[0\] must be the labels of partition 0, got 'ab'"),
        ([["a"], [1]], TypeError, "labels must have one type in all partitions"),
        ([["a"], ["b", None]], ValueError, r"split\[1\] has a missing value \(None, NaN or NaT\) at row 1"),
        (
            np.array([1, 2]),
            TypeError,
            r"counts must be integers in an array of partitions .* shape \(2,\)",
        ),
        ([np.array(3)], TypeError, r"split\[0\] must be the labels of partition 0, got array\(3\)"),
        (np.array([[1.0, np.inf]]), ValueError, r"counts must sum to less than 2\*\*62, got inf rows"),
        (np.ma.array([[1, 2]], mask=[[False, True]]), TypeError, r"masked ones of an array with .filled\(0\)"),
        (np.array([[0.5, 0.5]]), TypeError, "shares are not enough, because measures weight partitions by their rows"),
        (pd.DataFrame([[1, None], [2, 3]]), TypeError, r"fill empty cells of a DataFrame with .fillna\(0\)"),
        (np.full((2, 2), 2**61), ValueError, r"counts must sum to less than 2\*\*62, got 9.22e\+18 rows in total"),
        (np.array([[2**64 - 1]], dtype=np.uint64), ValueError, r"counts must sum to less than 2\*\*62"),
        (np.array([[1, 2], [3, -4]]), ValueError, "counts must be >= 0, got -4 for partition 1 and class 1"),
        (pd.DataFrame({"cat": [1, -4]}, index=["Bern", "Lyon"]), ValueError, "got -4 for Lyon and class cat"),
        (np.zeros((3, 2), int), ValueError, "split must contain at least one row, got none in 3 partitions"),
        (np.zeros((0, 2), int), ValueError, "split must contain at least one row"),
        ([], ValueError, "split must contain at least one row"),
        ([[], []], ValueError, "split must contain at least one row, got none in 2 partitions"),
        (Assignment.from_partitions([[0], [1]]), ValueError, "this assignment was made without labels"),
    ],
)
def test_anything_else_is_refused_as_a_split(split: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        skew.tally(split)


def test_label_by_is_refused_unless_the_split_is_a_partitioner() -> None:
    with pytest.raises(ValueError, match=r"label_by='label' names a column .* of type Assignment; remove label_by"):
        skew.tally(ASSIGNMENT, label_by="label")


def test_counts_are_a_read_only_copy() -> None:
    given = np.array(COUNTS)
    counted = skew.tally(given)
    given[0, 0] = 100
    assert counted.counts[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        counted.counts[0, 0] = 5
