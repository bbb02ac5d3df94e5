"""Every partitioner in the table obeys the laws of the conformance kit, and two that the kit cannot check."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import assume, given

import flskew.partitioners
from flskew import DirichletPartitioner, LabelExclusionPartitioner
from flskew.partitioners import CrossPartitioner, GroupedNaturalIdPartitioner, NaturalIdPartitioner, Partitioner
from flskew.testing import check_partitioner
from flskew.typing import Label

from .cases import CASES, Case, Sites, crossed, labels_and_partitions, seeds

every_case = pytest.mark.parametrize("case", CASES, ids=str)


def made(case: Case, drawn: tuple[list[Label], int], seed: int) -> Partitioner:
    """Make the partitioner of a case, unless an exclusion leaves a partition empty, which is an error."""
    labels, num_partitions = drawn
    partitioner = case.make(num_partitions, labels, seed)
    if isinstance(partitioner, LabelExclusionPartitioner):
        try:
            partitioner.assign(labels)
        except ValueError as error:
            assume("would be empty" not in str(error))
            raise
    return partitioner


@every_case
@given(drawn=labels_and_partitions(), seed=seeds)
def test_it_obeys_the_laws(case: Case, drawn: tuple[list[Label], int], seed: int):
    partitioner = made(case, drawn, seed)
    check_partitioner(partitioner, drawn[0], drops_rows=case.drops)
    assert len(partitioner.assign(drawn[0])) == partitioner.num_partitions


@pytest.mark.parametrize("case", [case for case in CASES if case.by_class], ids=str)
def test_the_counts_of_a_class_are_independent_of_the_others(case: Case):
    for seed in range(10):
        labels = [row % 4 for row in range(800)]
        check_partitioner(case.make(4, labels, seed), labels, drops_rows=case.drops, by_class=True)


@pytest.mark.parametrize("partitioner", [NaturalIdPartitioner("x"), GroupedNaturalIdPartitioner("x", 2)], ids=repr)
@given(drawn=labels_and_partitions())
def test_natural_splits_obey_the_laws(partitioner: NaturalIdPartitioner, drawn: tuple[list[Label], int]):
    check_partitioner(partitioner, drawn[0])


@given(drawn=labels_and_partitions(), seed=seeds)
def test_crossed_splits_obey_the_laws(drawn: tuple[list[Label], int], seed: int):
    partitioner = crossed(drawn[0], seed)
    check_partitioner(partitioner, drawn[0])
    pasted = eval(repr(partitioner), vars(flskew.partitioners).copy())
    assert pasted == partitioner
    assert hash(pasted) == hash(partitioner)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_scheme_obeys_the_laws_within_natural_ids(case: Case):
    labels = [row * row % 4 for row in range(120)]
    inner = case.make(2, labels[::3], 7)
    check_partitioner(Sites(CrossPartitioner(NaturalIdPartitioner("site"), inner)), labels, drops_rows=case.drops)


@every_case
@given(drawn=labels_and_partitions(), seed=seeds)
def test_it_prints_as_the_call_that_makes_it(case: Case, drawn: tuple[list[Label], int], seed: int):
    labels, num_partitions = drawn
    partitioner = case.make(num_partitions, labels, seed)
    pasted = eval(repr(partitioner), vars(flskew.partitioners).copy())
    assert pasted == partitioner
    assert hash(pasted) == hash(partitioner)
    assert partitioner != case.make(num_partitions, labels, seed + 1)


@every_case
@given(drawn=labels_and_partitions(), seed=seeds)
def test_a_matched_split_has_the_same_shares_of_every_class(case: Case, drawn: tuple[list[Label], int], seed: int):
    labels = drawn[0]
    assignment = made(case, drawn, seed).assign(labels)
    others = labels[::3] * 2

    matched = assignment.match(others, seed=seed)
    totals = Counter(labels)
    for code, label in enumerate(matched.classes.tolist()):
        held = assignment.label_counts[:, assignment.classes.tolist().index(label)]
        expected = held / totals[label] * others.count(label)
        assert np.all(np.abs(matched.label_counts[:, code] - expected) < 1 + 1e-9)


@every_case
def test_every_row_of_a_class_is_equally_likely_in_any_partition(case: Case):
    """Law 4, by chi-square over 400 seeds: the first row of a class and the last."""
    labels = [0, 1, 2] * 10
    assert labels[0] == labels[27]
    held = np.zeros((2, 3))
    for seed in range(400):
        try:
            assignment = case.make(3, labels, seed).assign(labels)
        except ValueError:
            continue  # An exclusion leaves a partition empty.
        for place, row in enumerate((0, 27)):
            for partition_id, rows in enumerate(assignment):
                held[place, partition_id] += row in rows
    expected = held.sum(axis=0) / 2
    # With 3 degrees of freedom, 16.3 is exceeded by chance once in 1,000 times.
    assert ((held - expected) ** 2 / np.maximum(expected, 1)).sum() < 16.3


@every_case
def test_time_grows_no_faster_than_rows(case: Case):
    """Law 3, measured in calls of Python functions, which would reveal a rejection loop."""
    few, many = [row % 5 for row in range(500)], [row % 5 for row in range(8_000)]
    assert calls(case, many) <= 2 * calls(case, few)


def calls(case: Case, labels: list[Label]) -> int:
    """Number of function calls in one assignment."""
    partitioner, column = case.make(5, labels, 2), np.array(labels)
    partitioner.assign(column)  # The first call imports modules.
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        partitioner.assign(column)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    "partitioner",
    [DirichletPartitioner(9, alpha=0.3, min_partition_size=0), LabelExclusionPartitioner([{1}, {2}, ()] * 3, alpha=1)],
    ids=lambda partitioner: type(partitioner).__name__,
)
def test_splits_of_two_data_sets_with_the_same_arguments_have_the_same_shares(partitioner: Partitioner):
    train, test = np.arange(100_000) % 5, np.arange(2_000) % 5
    trained, tested = partitioner.assign(train), partitioner.assign(test)
    # With 20,000 and 400 rows per class, both counts are within one row of share times rows.
    assert np.all(np.abs(tested.label_counts - trained.label_counts / 50) < 1 + 1 / 50)


def test_two_splits_match_even_if_one_lacks_a_class():
    partitioner = DirichletPartitioner(9, alpha=0.3, min_partition_size=0)
    train, test = np.arange(100_000) % 5, np.arange(2_000) % 4
    trained, tested = partitioner.assign(train), partitioner.assign(test)
    assert np.all(np.abs(tested.label_counts - trained.label_counts[:, :4] / 40) < 1 + 1 / 40)


@every_case
def test_the_container_of_the_labels_does_not_matter(case: Case):
    labels = [row * row % 7 for row in range(80)]
    partitioner = case.make(3, labels, 1)
    expected = partitioner.assign(labels).fingerprint
    for other in (
        *(np.array(labels, dtype=width) for width in (np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64)),
        pd.Series(labels),
        pd.Series(labels, dtype="category"),
        pa.array(labels),
        pa.chunked_array([labels[:30], labels[30:]]),
        Dataset.from_dict({"label": labels})["label"],
    ):
        assert partitioner.assign(other).fingerprint == expected
