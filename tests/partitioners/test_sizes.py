"""Sizes that you give or that grow with the partition id, as in Flower Datasets."""

from __future__ import annotations

import flwr_datasets.partitioner as flower
import numpy as np
import pytest
import scipy.stats
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

import flskew
from flskew import ExponentialPartitioner, LinearPartitioner, SizePartitioner, SquarePartitioner

GROWING = pytest.mark.parametrize("name", ["LinearPartitioner", "SquarePartitioner", "ExponentialPartitioner"])
LAWS = {"LinearPartitioner": lambda i: i, "SquarePartitioner": lambda i: i * i, "ExponentialPartitioner": np.exp}


@GROWING
@given(num_partitions=st.integers(1, 8), num_rows=st.integers(5_000, 20_000), seed=st.integers(0, 99))
def test_sizes_are_those_of_flower_datasets_to_within_one_row(name, num_partitions, num_rows, seed):
    theirs = getattr(flower, name)(num_partitions)
    theirs.dataset = Dataset.from_dict({"x": np.zeros(num_rows, np.int8)})
    expected = [theirs.load_partition(i).num_rows for i in range(num_partitions)]
    sizes = getattr(flskew, name)(num_partitions, seed=seed).assign(np.zeros(num_rows, np.int8)).sizes
    # Theirs are rounded down, except for the last, which also gets what is left: less than a row from each other one.
    assert np.all((sizes[:-1] - expected[:-1] == 0) | (sizes[:-1] - expected[:-1] == 1))
    assert sizes.sum() == num_rows
    assert abs(int(sizes[-1]) - expected[-1]) < max(num_partitions, 2)


@GROWING
def test_rounding_is_unbiased(name):
    """Over 1,000 seeds, the mean of each size is its expectation: a standard error is at most .5 / 1000**.5 = .016."""
    units = np.array([LAWS[name](i) for i in range(1, 5)])
    sizes = [getattr(flskew, name)(4, min_partition_size=0, seed=seed).assign([0] * 53).sizes for seed in range(1000)]
    assert np.mean(sizes, axis=0) == pytest.approx(53 * units / units.sum(), abs=4 * 0.016)


@GROWING
def test_the_rows_of_each_partition_are_drawn_regardless_of_their_labels(name):
    counts = getattr(flskew, name)(4, partition_by="label").assign(np.arange(6000) % 10).label_counts
    expected = np.outer(counts.sum(axis=1), np.full(10, 0.1))
    assert scipy.stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), 27) > 0.001


def test_a_minimum_is_met_where_flower_datasets_refuses_the_split():
    # e^1 / (e^1 + ... + e^20) is about 1e-9, so the first partitions of 1,000 rows would be empty.
    theirs = flower.ExponentialPartitioner(20)
    theirs.dataset = Dataset.from_dict({"x": [0] * 1000})
    with pytest.raises(ValueError, match="not greater than 0"):
        theirs.load_partition(0)
    assert ExponentialPartitioner(20).assign([0] * 1000).sizes.min() == 1
    sizes = ExponentialPartitioner(20, min_partition_size=30).assign([0] * 1000).sizes
    assert sizes.min() == 30
    assert sizes.sum() == 1000


def test_sizes_are_finite_for_thousands_of_partitions():
    sizes = ExponentialPartitioner(1500, min_partition_size=0).assign(np.zeros(10_000, np.int8)).sizes
    # The last has a share of (e - 1) / e = .63212, the one before it .63212 / e = .23254.
    assert sizes[-2:].tolist() == pytest.approx([2325, 6321], abs=1)
    # 1² + ... + 3000² = 3000 * 3001 * 6001 / 6 = 9,004,500,500
    sizes = SquarePartitioner(3000, min_partition_size=0).assign(np.zeros(9_004_501, np.int8)).sizes
    assert sizes[-1] == pytest.approx(9000, abs=1)


def test_given_sizes_are_exact_and_the_other_rows_unassigned():
    assignment = SizePartitioner([3, 0, 10], seed=5).assign(range(20))
    assert assignment.sizes.tolist() == [3, 0, 10]
    assert len(assignment.unassigned) == 7
    assert sorted([*assignment.rows, *assignment.unassigned]) == list(range(20))
    in_order = SizePartitioner([3, 10], shuffle=False).assign(range(20))
    assert all(rows.tolist() == sorted(rows) for rows in in_order)


@pytest.mark.parametrize("partitioner", [LinearPartitioner(3), SizePartitioner([1, 2, 3])], ids=repr)
def test_a_bound_partitioner_has_the_attributes_of_flowers(partitioner):
    partitioner.dataset = Dataset.from_dict({"x": range(60)})
    rows = {i: partitioner.load_partition(i)["x"][:] for i in range(3)}
    assert partitioner.partition_id_to_indices == rows
    assert partitioner.partition_id_to_size == {i: len(held) for i, held in rows.items()}
    assert not partitioner.assignment.has_labels


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LinearPartitioner(0), ValueError, "num_partitions must be at least 1, got 0"),
        (lambda: LinearPartitioner(5).assign([0] * 4), ValueError, "num_partitions=5 exceeds the number of rows, 4"),
        (
            lambda: SquarePartitioner(5, min_partition_size=9).assign([0] * 44),
            ValueError,
            "min_partition_size=9 for 5 partitions needs 45 rows, got 44",
        ),
        (lambda: LinearPartitioner(5, seed=None), TypeError, "seed must be an integer"),
        (lambda: SizePartitioner([]), TypeError, "partition_sizes must be one integer per partition"),
        (lambda: SizePartitioner([3, -1]), ValueError, r"partition_sizes\[1\] must be at least 0"),
        (lambda: SizePartitioner([3, 9]).assign([0] * 11), ValueError, "sum to 12, but there are only 11 rows"),
    ],
    ids=["none", "too many", "minimum", "seed", "empty", "negative", "too large"],
)
def test_what_cannot_be_split_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
