"""Schemes in which each partition holds a fixed number of classes: pathological, extended Dirichlet, shards."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flskew import ExtendedDirichletPartitioner, PathologicalPartitioner, ShardPartitioner
from flskew._split.holders import balanced_holders

from .cases import seeds

DIGITS = np.arange(6000) % 10


@given(st.data(), st.integers(1, 30), st.integers(1, 15), st.integers(0, 2**32))
def test_all_classes_have_equally_many_holders_up_to_one(data, num_partitions, num_classes, seed):
    num_held = data.draw(st.integers(1, num_classes))
    holders = balanced_holders(num_partitions, num_classes, num_held, np.random.default_rng(seed))
    assert holders.sum(axis=0).tolist() == [num_held] * num_partitions
    assert np.ptp(holders.sum(axis=1)) <= 1
    assert num_partitions * num_held < num_classes or holders.any(axis=1).all()


def test_the_choice_of_classes_favours_no_partition_and_no_class():
    times = sum(balanced_holders(4, 6, 2, np.random.default_rng(seed)).astype(int) for seed in range(1500))
    # Two of six classes each: 500 of 1,500 times, with a standard deviation of 18.3.
    assert np.all(np.abs(times - 500) < 4 * 18.3)


@pytest.mark.parametrize("mode", ["random", "deterministic", "first-deterministic"])
@pytest.mark.parametrize("num_held", [1, 2, 3, 10])
def test_each_partition_has_rows_of_exactly_k_classes(mode, num_held):
    assignment = PathologicalPartitioner(20, "label", num_held, mode).assign(DIGITS)
    assert set((assignment.label_counts > 0).sum(axis=1)) == {num_held}
    assert len(assignment.unassigned) == 0


def test_a_class_is_split_evenly_among_its_holders():
    counts = PathologicalPartitioner(20, "label", 3).assign(DIGITS).label_counts
    # 60 choices among 10 classes: 6 holders each, 100 of 600 rows.
    assert set(counts[counts > 0].tolist()) == {100}


def test_the_deterministic_mode_assigns_classes_in_turn():
    counts = PathologicalPartitioner(12, "label", 2, "deterministic").assign(DIGITS).label_counts
    held = [np.flatnonzero(row).tolist() for row in counts]
    assert held == [sorted([i % 10, (i + 1) % 10]) for i in range(12)]


def test_the_first_deterministic_mode_fixes_one_class_and_draws_the_others():
    counts = PathologicalPartitioner(10, "label", 3, "first-deterministic").assign(DIGITS).label_counts
    assert np.all(np.diag(counts) > 0)
    other = PathologicalPartitioner(10, "label", 3, "first-deterministic", seed=1).assign(DIGITS).label_counts
    assert not np.array_equal(counts > 0, other > 0)


def test_classes_without_a_holder_are_unassigned():
    assignment = PathologicalPartitioner(3, "label", 2).assign(DIGITS)
    assert sorted(set(DIGITS[assignment.unassigned])) == np.flatnonzero(~assignment.label_counts.any(axis=0)).tolist()
    assert len(assignment.unassigned) == 4 * 600


@pytest.mark.parametrize(
    "make",
    [
        lambda held, n: PathologicalPartitioner(n, "label", held),
        lambda held, n: ExtendedDirichletPartitioner(n, "label", held, 0.5),
    ],
)
def test_too_many_classes_or_too_few_rows_are_refused(make):
    with pytest.raises(ValueError, match="num_classes_per_partition=11 exceeds the 10 classes of the labels; lower it"):
        make(11, 5).assign(DIGITS)
    with pytest.raises(ValueError, match=r"label 0 has 2 rows, but 3 partitions need 1 each; lower num_part"):
        make(2, 3).assign([0, 0, 1, 1, 1])


def test_an_impossible_minimum_per_class_is_refused_with_what_to_lower():
    with pytest.raises(ValueError, match=r"need 10{30} each; lower min_rows_per_class, num_partitions or num_cl"):
        ExtendedDirichletPartitioner(5, "label", 2, 0.5, min_rows_per_class=10**30).assign(DIGITS)


def test_every_partition_holds_every_class_equally_often_in_the_long_run():
    times = np.zeros((6, 10))
    for seed in range(1500):
        partitioner = ExtendedDirichletPartitioner(6, "label", 3, 0.5, min_rows_per_class=1, seed=seed)
        times += partitioner.assign(DIGITS[:600]).label_counts > 0
    # 3 of 10 classes: each cell 450 of 1,500 times, with a standard deviation of 17.7. By chance, one of 60 cells is
    # beyond 4.2 standard deviations once in 600 times. Sums over partitions vary far less, because they are balanced.
    assert np.all(np.abs(times - 450) < 4.2 * 17.7)
    assert np.all(np.abs(times.sum(axis=0) - 2700) < 4.2 * 1500**0.5 * 0.4)


@pytest.mark.parametrize("alpha", [0.001, 1.0, 1000.0])
def test_an_extended_dirichlet_partition_has_its_rows_of_each_of_its_classes(alpha):
    counts = ExtendedDirichletPartitioner(20, "label", 3, alpha, min_rows_per_class=5).assign(DIGITS).label_counts
    assert set((counts > 0).sum(axis=1)) == {3}
    assert counts[counts > 0].min() >= 5
    assert counts.sum() == 6000


def test_extended_dirichlet_shares_are_even_for_large_alpha_and_skewed_for_small():
    spread = [
        np.std(counts[counts > 0])
        for alpha in (0.1, 1.0, 1e6)
        for counts in [ExtendedDirichletPartitioner(20, "label", 3, alpha).assign(DIGITS).label_counts]
    ]
    assert spread[0] > spread[1] > 10 > 2 > spread[2]


@given(st.data(), seeds)
def test_shards_drop_rows_only_on_request(data, seed):
    labels = data.draw(st.lists(st.integers(0, 3), min_size=4, max_size=60))
    num_partitions = data.draw(st.integers(1, 4))
    size = data.draw(st.integers(1, len(labels) // num_partitions))
    kept = ShardPartitioner(num_partitions, "label", shard_size=size, seed=seed).assign(labels)
    assert len(kept.unassigned) == 0
    num_shards = -(-len(labels) // size)
    # The numbers of shards differ by at most one, and one shard may be incomplete.
    assert kept.sizes.max() <= -(-num_shards // num_partitions) * size
    assert kept.sizes.min() > (num_shards // num_partitions - 1) * size
    dropped = ShardPartitioner(num_partitions, "label", shard_size=size, keep_incomplete_shard=False, seed=seed)
    assert len(dropped.assign(labels).unassigned) == len(labels) % size


def test_the_published_shards():
    """60,000 images in 200 shards of 300, two for each of 100 clients."""
    labels = np.arange(60_000) % 10
    for partitioner in (ShardPartitioner(100, "label", 2), ShardPartitioner(100, "label", 2, 300)):
        assignment = partitioner.assign(labels)
        assert assignment.sizes.tolist() == [600] * 100
        # 20 shards for each class of 6,000 rows, so no shard spans a boundary.
        assert set(np.unique(assignment.label_counts)) <= {0, 300, 600}


def test_shards_refer_to_the_rows_as_given():
    labels = np.random.default_rng(0).integers(0, 5, 1000)
    assignment = ShardPartitioner(10, "label", 2).assign(labels)
    for rows, counts in zip(assignment, assignment.label_counts, strict=True):
        assert Counter(labels[rows].tolist()) == {code: count for code, count in enumerate(counts) if count}


def test_the_sizes_of_a_given_number_of_shards_differ_by_at_most_one_row():
    sizes = ShardPartitioner(7, "label", 3).assign(DIGITS).sizes
    assert sizes.sum() == 6000
    assert sizes.max() - sizes.min() <= 3


def test_the_incomplete_and_the_extra_shard_favour_no_partition():
    sizes = np.array(
        [ShardPartitioner(3, "label", shard_size=6, seed=seed).assign([0] * 40).sizes for seed in range(900)]
    )
    # 7 shards, the last of 4 rows; each partition expects 40 / 3 rows. The standard deviation of a size is below 4.
    assert np.all(np.abs(sizes.mean(axis=0) - 40 / 3) < 4 * 4 / 30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"num_shards_per_partition": 3},
            "num_shards_per_partition=3 for 5 partitions needs at least 15 rows, got 10; lower one of them",
        ),
        ({"shard_size": 3}, "shard_size=3 cuts 10 rows into 4 shards, but 5 partitions need 5; lower shard_size"),
        ({"num_shards_per_partition": 2, "shard_size": 2}, "cuts 10 rows into 5 shards, but 5 partitions need 10"),
    ],
)
def test_too_few_rows_for_the_shards_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShardPartitioner(5, "label", **arguments).assign([0] * 10)


def test_a_shard_needs_a_number_or_a_size():
    with pytest.raises(ValueError, match="num_shards_per_partition or shard_size must be given, got neither"):
        ShardPartitioner(5, "label")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: PathologicalPartitioner(5, "label", 0), ValueError, "num_classes_per_partition must be at least 1"),
        (lambda: PathologicalPartitioner(5, "label", 2, "mixed"), ValueError, "class_assignment_mode must be one of"),
        (lambda: PathologicalPartitioner(5, "label", 2, seed=None), TypeError, "seed must be an integer, got None"),
        (lambda: ExtendedDirichletPartitioner(5, "label", 2, 0), ValueError, "alpha must be a finite number > 0"),
        (
            lambda: ExtendedDirichletPartitioner(5, "label", 2, 1, -1),
            ValueError,
            "min_rows_per_class must be at least 0",
        ),
        (lambda: ShardPartitioner(5, "label", 0), ValueError, "num_shards_per_partition must be at least 1"),
        (lambda: ShardPartitioner(5, "label", shard_size=1.5), TypeError, "shard_size must be an integer"),
        (lambda: ShardPartitioner(5, "label", 1, keep_incomplete_shard=1), TypeError, "keep_incomplete_shard must be"),
    ],
)
def test_a_bad_argument_is_refused_when_the_partitioner_is_made(make, error, message):
    with pytest.raises(error, match=message):
        make()
