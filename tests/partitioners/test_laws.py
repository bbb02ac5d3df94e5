"""The seven laws of partitioners, each over every partitioner of the table."""

from __future__ import annotations

import subprocess
from collections import Counter

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, reject, settings

from flskew import Assignment
from flskew.partitioners import Partitioner
from flskew.typing import Label

from .cases import CASES, Case, labels_and_partitions, seeds

# Every law is drawn for each of two dozen cases, so a few draws for each make a thousand for the engine they share.
few = settings(max_examples=40)
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def assign(partitioner: Partitioner, labels: object) -> Assignment:
    """Assign, unless an exclusion leaves a partition with nothing, which is an error of its own."""
    try:
        return partitioner.assign(labels)
    except ValueError as error:
        if "left with no rows" not in str(error):
            raise
        reject()


@every_case
@few
@given(drawn=labels_and_partitions(), seed=seeds)
def test_every_row_is_in_exactly_one_place(case: Case, drawn: tuple[list[Label], int], seed: int):
    labels, num_partitions = drawn
    partitioner = case.make(num_partitions, labels, seed)
    assignment = assign(partitioner, labels)

    assert len(assignment) == partitioner.num_partitions
    everything = [row for rows in assignment for row in rows.tolist()] + assignment.unassigned.tolist()
    assert sorted(everything) == list(range(len(labels)))
    assert case.drops or len(assignment.unassigned) == 0


@every_case
@few
@given(drawn=labels_and_partitions(), seed=seeds)
def test_the_counts_are_those_of_the_rows(case: Case, drawn: tuple[list[Label], int], seed: int):
    labels, num_partitions = drawn
    assignment = assign(case.make(num_partitions, labels, seed), labels)

    assert assignment.classes.tolist() == sorted(set(labels))
    assert assignment.sizes.tolist() == [len(rows) for rows in assignment]
    for rows, counts in zip(assignment, assignment.label_counts, strict=True):
        found = Counter(labels[row] for row in rows)
        assert counts.tolist() == [found[label] for label in assignment.classes.tolist()]


@every_case
@few
@given(drawn=labels_and_partitions(), seed=seeds)
def test_the_same_arguments_and_labels_give_the_same_assignment(case: Case, drawn: tuple[list[Label], int], seed: int):
    labels, num_partitions = drawn
    partitioner = case.make(num_partitions, labels, seed)
    first = assign(partitioner, labels)
    with pytest.raises(ValueError, match="row 0"):
        partitioner.assign([None] * len(labels))

    assert assign(partitioner, labels) == first
    assert assign(case.make(num_partitions, labels, seed), labels).fingerprint == first.fingerprint


@every_case
@few
@given(drawn=labels_and_partitions(), seed=seeds)
def test_a_data_set_is_split_like_its_labels_alone(case: Case, drawn: tuple[list[Label], int], seed: int):
    labels, num_partitions = drawn
    expected = assign(case.make(num_partitions, labels, seed), labels)
    partitioner = case.make(num_partitions, labels, seed)
    partitioner.dataset = Dataset.from_dict({"row": range(len(labels)), "label": labels})

    loaded = [partitioner.load_partition(i)["row"][:] for i in range(partitioner.num_partitions)]
    assert loaded == [rows.tolist() for rows in expected]


@every_case
@few
@given(drawn=labels_and_partitions(), seed=seeds)
def test_what_the_user_gave_is_not_changed(case: Case, drawn: tuple[list[Label], int], seed: int):
    labels, num_partitions = drawn
    as_list, as_array = list(labels), np.array(labels)
    as_array.setflags(write=False)
    partitioner = case.make(num_partitions, labels, seed)

    assert assign(partitioner, as_list) == assign(partitioner, as_array)
    assert as_list == labels


@pytest.mark.parametrize("case", [case for case in CASES if case.by_class], ids=str)
@few
@given(drawn=labels_and_partitions(), seed=seeds)
def test_the_counts_of_a_class_depend_on_no_other_class_and_on_no_order(
    case: Case, drawn: tuple[list[Label], int], seed: int
):
    labels, num_partitions = drawn
    partitioner = case.make(num_partitions, labels, seed)
    forward = assign(partitioner, labels)

    backward = assign(partitioner, labels[::-1])
    assert np.array_equal(backward.label_counts, forward.label_counts)
    if "exclusion" in case.name or "given" in case.name:
        return  # These name classes, so the classes must all be there.
    some = sorted(set(labels))[::2]
    fewer = [label for label in labels if label in some]
    if len(fewer) >= num_partitions:
        alone = partitioner.assign(fewer)
        places = [forward.classes.tolist().index(label) for label in some]
        assert np.array_equal(alone.label_counts, forward.label_counts[:, places])


@every_case
@few
@given(drawn=labels_and_partitions(), seed=seeds)
def test_a_matched_split_has_the_same_shares_of_every_class(case: Case, drawn: tuple[list[Label], int], seed: int):
    labels, num_partitions = drawn
    assignment = assign(case.make(num_partitions, labels, seed), labels)
    others = labels[::3] * 2

    matched = assignment.match(others, seed=seed)
    totals = Counter(labels)
    for code, label in enumerate(matched.classes.tolist()):
        held = assignment.label_counts[:, assignment.classes.tolist().index(label)]
        expected = held / totals[label] * others.count(label)
        assert np.all(np.abs(matched.label_counts[:, code] - expected) < 1 + 1e-9)


@every_case
def test_the_rows_of_a_class_go_anywhere_alike(case: Case):
    """Chi-square over 400 seeds: the first row of a class goes to each partition as often as the last."""
    labels = [0, 1, 2] * 10
    assert labels[0] == labels[27]
    held = np.zeros((2, 3))
    for seed in range(400):
        try:
            assignment = case.make(3, labels, seed).assign(labels)
        except ValueError:
            continue  # An exclusion that leaves a partition with nothing.
        for place, row in enumerate((0, 27)):
            for partition_id, rows in enumerate(assignment):
                held[place, partition_id] += row in rows
    expected = held.sum(axis=0) / 2
    # Two cells per partition, 3 degrees of freedom; 16.3 is exceeded by chance once in a thousand times.
    assert ((held - expected) ** 2 / np.maximum(expected, 1)).sum() < 16.3


PROGRAM = """
import numpy as np
from flskew.partitioners import *
labels = [row * row % 11 for row in range(500)]
for partitioner in (
    IidPartitioner(7),
    DirichletPartitioner(7, "label", 0.3),
    DirichletPartitioner(7, "label", 0.3, self_balancing=True, shuffle=False),
    LabelExclusionPartitioner([{1, 3}, {4, 5}, {9}]),
    LabelExclusionPartitioner([{1, 3}, {4, 5}, {9}], on_excluded="drop"),
    PathologicalPartitioner(6, "label", 2),
    ExtendedDirichletPartitioner(6, "label", 2, 0.3),
    ShardPartitioner(6, "label", 2),
    QuantityPartitioner(6, alpha=0.5),
    QuantityPartitioner(6, sigma=2.0),
    QuantityPartitioner(6, exponent=1.5),
    InnerDirichletPartitioner([60, 70, 80], "label", 0.3),
    PachinkoPartitioner(6, "label", {label: label % 2 for label in range(11)}),
    DistributionPartitioner([[1, 2, 3]] * 6, 3),
):
    print(type(partitioner).__name__, partitioner.assign(labels).fingerprint)
"""


def test_another_process_makes_the_same_assignments(python: str):
    def run() -> str:
        return subprocess.run([python, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout

    first = run()
    assert run() == first
    # Pinned: other values mean that everybody's splits change, which is a decision and an entry in the changelog.
    assert first.splitlines() == GOLDEN


GOLDEN = [
    "IidPartitioner 2fecc057091b50ff6bd34760b9d53652",
    "DirichletPartitioner ddbb44df9e9f1cfe6093cf40fa3a6155",
    "DirichletPartitioner 8153d2d00fa53aec5a2b50c1e72a9fbf",
    "LabelExclusionPartitioner cfb5ec223bc003e3a31ae64d3a6e4651",
    "LabelExclusionPartitioner 8d81b26eb708b807742fee4f66aa33b6",
    "PathologicalPartitioner 94f39666695a4817ea6bc9b1833493fd",
    "ExtendedDirichletPartitioner 749d2dba06e88f551c34c1178637d593",
    "ShardPartitioner a574a907942d58ff8bbae890a9526cd8",
    "QuantityPartitioner 00aa5f6f65110291c01e14b9b97705c8",
    "QuantityPartitioner 810240ddd90307833a6ca3b8e0f9a8ba",
    "QuantityPartitioner f7a70c678e4a55a18a9d609aa1d498bd",
    "InnerDirichletPartitioner bd9bd234a5838963bb32f446d8814b30",
    "PachinkoPartitioner 1f8906a49d5e0e2252eb6657804cf0ca",
    "DistributionPartitioner b3348e311ef286877818b555ffdd629a",
]
