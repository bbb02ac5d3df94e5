"""Rows of excluded classes go to other partitions, or are dropped on request."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flskew import LabelExclusionPartitioner

from .cases import seeds

DIGITS = np.arange(6000) % 10
HOSPITALS = [{1, 3, 7}, {2, 5, 8}, {4, 6, 9}]


@pytest.mark.parametrize("on_excluded", ["redistribute", "drop"])
@pytest.mark.parametrize("alpha", [None, 0.5, [1, 2, 3]])
def test_a_partition_never_holds_what_it_excludes(on_excluded, alpha):
    assignment = LabelExclusionPartitioner(HOSPITALS, on_excluded=on_excluded, alpha=alpha).assign(DIGITS)
    for labels, rows in zip(HOSPITALS, assignment, strict=True):
        assert labels.isdisjoint(DIGITS[rows].tolist())


def test_redistributed_rows_are_split_evenly_among_the_partitions_that_may_hold_them():
    counts = LabelExclusionPartitioner(HOSPITALS).assign(DIGITS).label_counts
    for digit in range(10):
        holders = [i for i, labels in enumerate(HOSPITALS) if digit not in labels]
        # 600 rows of each digit: 200 for each of three holders, 300 for each of two.
        assert counts[:, digit].tolist() == [600 // len(holders) if i in holders else 0 for i in range(3)]


def test_rows_that_an_even_split_gives_to_the_wrong_partition_are_dropped():
    assignment = LabelExclusionPartitioner(HOSPITALS, on_excluded="drop").assign(DIGITS)
    # Every partition got 2,000 of 6,000 rows and must drop three tenths of them; a random split varies a little.
    assert np.all(np.abs(assignment.sizes - 1400) < 60)
    assert len(assignment.unassigned) + assignment.sizes.sum() == 6000
    assert 0 not in DIGITS[assignment.unassigned]


def test_a_mapping_names_only_the_partitions_that_exclude_something():
    by_mapping = LabelExclusionPartitioner({2: [0]}, num_partitions=4)
    assert by_mapping.excluded == ((), (), (0,), ())
    assert by_mapping.assign(DIGITS) == LabelExclusionPartitioner([(), (), [0], ()]).assign(DIGITS)


def test_labels_may_be_numpy_scalars_and_strings():
    assert LabelExclusionPartitioner([np.array([1, 3]), []]).excluded == ((1, 3), ())
    assignment = LabelExclusionPartitioner([{"cat"}, {"dog"}]).assign(["cat", "dog", "dog", "cat"])
    assert assignment.label_counts.tolist() == [[0, 2], [2, 0]]


@given(st.data(), st.integers(1, 12), st.integers(1, 12), seeds)
def test_random_sets_have_the_requested_size_and_leave_every_class_a_holder(data, num_partitions, num_classes, seed):
    most = num_classes - -(-num_classes // num_partitions)
    num_excluded = data.draw(st.integers(0, most))
    partitioner = LabelExclusionPartitioner.random(num_partitions, range(num_classes), num_excluded, seed=seed)
    assert [len(labels) for labels in partitioner.excluded] == [num_excluded] * num_partitions
    assert not set.intersection(*map(set, partitioner.excluded))


def test_random_sets_depend_on_the_seed_and_not_on_the_order():
    def draw(labels, seed):
        return LabelExclusionPartitioner.random(5, labels, 3, seed=seed).excluded

    assert draw(range(10), 1) == draw(reversed_labels := list(range(9, -1, -1)), 1)
    assert draw(reversed_labels, 1) != draw(reversed_labels, 2)


def test_random_sets_favour_no_partition_and_no_class():
    times = np.zeros((4, 8))
    for seed in range(1000):
        for partition_id, labels in enumerate(LabelExclusionPartitioner.random(4, range(8), 5, seed=seed).excluded):
            times[partition_id, list(labels)] += 1
    # 5 of 8 each: 625 of 1,000 times, with a standard deviation of 15.3.
    assert np.all(np.abs(times - 625) < 4 * 15.3)


@pytest.mark.parametrize(
    ("excluded", "message"),
    [
        ([{1}, {11}], r"excluded\[1\] contains 11, which is not a label of this data; its labels are 0, 1, 2"),
        ([{1, 2}, {2, 3}], "label 2 is excluded from every partition"),
        ([set(range(10)), set()], r"partition 0 would be empty \(it excludes 0, 1, 2"),
    ],
)
@pytest.mark.parametrize("on_excluded", ["redistribute", "drop"])
def test_an_exclusion_that_the_labels_do_not_allow_is_named(excluded, message, on_excluded):
    with pytest.raises(ValueError, match=message):
        LabelExclusionPartitioner(excluded, on_excluded=on_excluded).assign(DIGITS)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"excluded": "137"}, TypeError, "one collection of labels per partition"),
        ({"excluded": ["13", "2"]}, TypeError, r"excluded\[0\] must be a collection of labels, got '13'"),
        ({"excluded": [1, 2]}, TypeError, r"excluded\[0\] must be a collection of labels, got 1"),
        ({"excluded": [[0.5]]}, TypeError, "integers, strings or booleans, got 0.5"),
        ({"excluded": {frozenset({1}), frozenset({2})}}, TypeError, "got a set, which is unordered; pass a list"),
        ({"excluded": []}, ValueError, "got none"),
        ({"excluded": {0: [1]}}, TypeError, "num_partitions must be given"),
        ({"excluded": {5: [1]}, "num_partitions": 3}, ValueError, "contains partition 5, but there are 3"),
        ({"excluded": {-1: [1]}, "num_partitions": 3}, ValueError, "at least 0, got -1"),
        ({"excluded": [[1], [2]], "num_partitions": 3}, ValueError, "2 collections, but num_partitions=3"),
        ({"excluded": [[1], [2]], "on_excluded": "lose"}, ValueError, "'redistribute', 'drop', got 'lose'"),
        ({"excluded": [[1], [2]], "alpha": 0}, ValueError, "alpha must be a finite number > 0"),
        ({"excluded": [[1], [2]], "seed": None}, TypeError, "seed must be an integer, got None"),
        ({"excluded": [[1], [2]], "partition_by": 3}, TypeError, "partition_by must be the name of a column"),
    ],
)
def test_a_bad_argument_is_refused_when_the_partitioner_is_made(arguments, error, message):
    with pytest.raises(error, match=message):
        LabelExclusionPartitioner(**arguments)


def test_a_number_of_labels_instead_of_the_labels_is_refused():
    with pytest.raises(TypeError, match=r"must be all distinct labels, got the number 10; pass range\(10\)"):
        LabelExclusionPartitioner.random(3, 10, 2)


@pytest.mark.parametrize(
    ("num_partitions", "labels", "num_excluded", "message"),
    [
        (3, range(10), 7, "num_excluded=7 of 10 labels leaves 3 partitions unable to hold every class"),
        (3, [1, 1, 2], 1, "labels must be distinct, got 2 different among 3"),
        (3, [], 0, "unable to hold every class"),
        (0, range(10), 1, "num_partitions must be at least 1, got 0"),
        (3, range(10), -1, "num_excluded must be at least 0, got -1"),
    ],
)
def test_impossible_random_sets_are_refused(num_partitions, labels, num_excluded, message):
    with pytest.raises(ValueError, match=message):
        LabelExclusionPartitioner.random(num_partitions, labels, num_excluded)
