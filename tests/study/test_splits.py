"""Who trains and who is tested on which rows, for each kind of split."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import flwr_datasets.partitioner
import numpy as np
import pytest
from datasets import Dataset

from flskew import (
    Assignment,
    CrossPartitioner,
    DirichletPartitioner,
    IidPartitioner,
    MixturePartitioner,
    NaturalIdPartitioner,
    Schedule,
)
from flskew.shifts import Affine
from flskew.study._seeds import client_seed, reseeded
from flskew.study._splits import pair_for, read_splits

LABELS, TEST_LABELS = np.arange(60) % 3, np.arange(30) % 3
TASK: Any = SimpleNamespace(labels=LABELS, test_labels=TEST_LABELS)
HALVES = Assignment.from_partitions({"Bern": range(30), "Rome": range(30, 60)}, LABELS)


def test_a_partitioner_is_drawn_anew_for_each_seed() -> None:
    split = DirichletPartitioner(3, alpha=0.5, seed=7)
    pairs = [pair_for("d", split, TASK, seed) for seed in (0, 1, 0)]
    assert pairs[0].train == pairs[2].train == DirichletPartitioner(3, alpha=0.5, seed=0).assign(LABELS)
    assert pairs[0].train != pairs[1].train
    assert pairs[1].test == pairs[1].train.match(TEST_LABELS, seed=1)
    assert split.seed == 7


def test_the_partitioners_within_one_are_drawn_anew_too() -> None:
    mixture = reseeded(MixturePartitioner(DirichletPartitioner(3, alpha=0.5), iid_fraction=0.1), 5)
    assert mixture == MixturePartitioner(DirichletPartitioner(3, alpha=0.5, seed=5), iid_fraction=0.1)
    assert mixture.seed == 5
    cross = reseeded(CrossPartitioner(NaturalIdPartitioner("site"), IidPartitioner(2)), 5)
    assert cross == CrossPartitioner(NaturalIdPartitioner("site"), IidPartitioner(2, seed=5))


def test_an_assignment_is_the_same_for_all_seeds_and_its_names_stay() -> None:
    pairs = [pair_for("halves", HALVES, TASK, seed) for seed in (0, 1)]
    assert pairs[0].train is pairs[1].train is HALVES
    assert pairs[0].test.names == ("Bern", "Rome")
    assert pairs[0].test.label_counts.tolist() == [[5, 5, 5], [5, 5, 5]]


def test_a_pair_is_taken_as_it_is() -> None:
    partitioner = NaturalIdPartitioner("site")
    train = partitioner.assign(["Rome", "Bern", "Lyon"] * 20, LABELS)
    test = partitioner.assign(["Rome", "Bern"] * 15, TEST_LABELS, like=train)
    pair = pair_for("sites", (train, test), TASK, 0)
    assert (pair.train, pair.test) == (train, test)
    assert pair.test.sizes.tolist() == [15, 0, 15]


def test_a_function_of_the_seed_may_return_any_of_these() -> None:
    def split(seed: int) -> Any:
        return [DirichletPartitioner(3, alpha=0.5), HALVES, (HALVES, HALVES.match(TEST_LABELS))][seed]

    assert pair_for("f", split, TASK, 0).train == DirichletPartitioner(3, alpha=0.5, seed=0).assign(LABELS)
    assert pair_for("f", split, TASK, 1).train is HALVES
    assert pair_for("f", split, TASK, 2).test == HALVES.match(TEST_LABELS)
    with pytest.raises(TypeError, match=r"splits\['f'\], seed 0: it must be a partitioner.*got list"):
        pair_for("f", lambda seed: [1], TASK, 0)  # type: ignore[arg-type, return-value]


def test_test_rows_are_seen_through_the_shift_of_the_training_rows_or_their_own() -> None:
    here, there = Affine(offset=[0.0, 10.0]), Affine(offset=[1.0, 2.0])
    train, test = HALVES.with_shift(here), HALVES.match(TEST_LABELS)
    numbers = np.zeros(30)

    def seen(pair: tuple[Assignment, Assignment]) -> list[float]:
        view = pair_for("p", pair, TASK, 0).test_view(1)
        return [] if view is None else sorted(set(view.features(numbers[view.rows]).tolist()))

    assert seen((train, test)) == [10.0]
    assert seen((train, test.with_shift(there))) == [2.0]
    assert seen((HALVES, test.with_shift(there))) == [2.0]
    assert seen((HALVES, test)) == []
    assert pair_for("p", HALVES, TASK, 0).view(1) is None


REFUSED: dict[str, tuple[Any, str]] = {
    "schedule": (Schedule({1: HALVES}), r"a Schedule.*schedule\.stages\[1\]"),
    "natural ids": (NaturalIdPartitioner("site"), r"NaturalIdPartitioner splits by natural ids.*like=train"),
    "cross": (CrossPartitioner(NaturalIdPartitioner("s"), IidPartitioner(2)), "CrossPartitioner splits by natural ids"),
    "table": (Dataset.from_dict({"site": [1]}), r"Dataset splits by natural ids.*like=train"),
    "Flower's": (flwr_datasets.partitioner.IidPartitioner(2), r"Assignment\.from_partitioner"),
    "class": (DirichletPartitioner, "it must be a partitioner.*got ABCMeta"),
    "triple": ((HALVES, HALVES, HALVES), "got a tuple of 3"),
    "rows": ([[1, 2], [3]], "got list"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_a_split_is_refused_by_name_with_a_remedy(kind: str) -> None:
    split, message = REFUSED[kind]
    with pytest.raises(TypeError, match=rf"splits\['mine'\]: .*{message}"):
        read_splits({"mine": split})


UNFIT: dict[str, tuple[Callable[[], Any], str]] = {
    "too many rows": (lambda: Assignment.from_partitions([range(70)], np.zeros(70, int)), "assigns 70 training rows"),
    "without labels": (lambda: Assignment.from_partitions([range(60)]), "made without labels.*as a tuple"),
    "other clients": (
        lambda: (HALVES, Assignment.from_partitions([range(30)])),
        "among other clients, 1, than.*'Bern'",
    ),
    "more clients than rows": (lambda: DirichletPartitioner(100, alpha=1), "num_partitions=100 exceeds"),
    "no rows": (
        lambda: Assignment.from_partitions([[], []], LABELS),
        "no client has a training row",
    ),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_split_that_does_not_fit_the_rows_is_an_error_that_names_it(kind: str) -> None:
    make, message = UNFIT[kind]
    with pytest.raises(ValueError, match=rf"splits\['mine'\], seed 3: .*{message}"):
        pair_for("mine", make(), TASK, 3)


def test_the_seed_of_a_client_depends_on_study_round_and_partition() -> None:
    found = {
        client_seed(seed, server_round, partition)
        for seed in range(3)
        for server_round in range(1, 11)
        for partition in range(-1, 9)
    }
    assert len(found) == 3 * 10 * 10
    assert all(0 <= one < 2**31 for one in found)
