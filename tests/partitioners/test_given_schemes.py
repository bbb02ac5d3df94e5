"""Schemes that use what the user gives: a matrix of shares, natural ids, bins of a continuous target."""

from __future__ import annotations

import flwr_datasets.partitioner as flower
import numpy as np
import pytest
from datasets import Dataset

from flskew import (
    DirichletPartitioner,
    DistributionPartitioner,
    GroupedNaturalIdPartitioner,
    LabelExclusionPartitioner,
    NaturalIdPartitioner,
    PachinkoPartitioner,
    PathologicalPartitioner,
    ShardPartitioner,
)

DIGITS = np.arange(6000) % 10
USERS = ["bob", "ann", "bob", "eve", "ann", "dan", "bob"]


def test_each_partition_gets_its_given_shares():
    shares = np.random.default_rng(0).dirichlet(np.ones(7), 10)
    counts = DistributionPartitioner(shares, 7).assign(DIGITS).label_counts
    assert np.all(np.abs(counts.T - shares * 600) < 1)
    assert counts.sum() == 6000


def test_given_numbers_of_rows_are_met_and_the_rest_is_unassigned():
    numbers = np.arange(20).reshape(10, 2)
    assignment = DistributionPartitioner(numbers, 2, rescale=False).assign(DIGITS)
    assert np.array_equal(assignment.label_counts.T, numbers)
    assert len(assignment.unassigned) == 6000 - numbers.sum()


def test_preassigned_rows_come_before_the_shares():
    shares = [[1.0, 0.0]] * 10
    counts = DistributionPartitioner(shares, 2, preassigned_num_samples_per_label=5).assign(DIGITS).label_counts
    assert counts.tolist() == [[595] * 10, [5] * 10]


@pytest.mark.parametrize("rescale", [True, False])
def test_the_compact_matrix_means_the_same_as_in_flower_datasets(rescale):
    array = np.random.default_rng(1).integers(1, 30, (10, 6))
    arguments = (array, 30, 2, "label", 3, rescale)
    theirs = flower.DistributionPartitioner(*arguments)
    theirs.dataset = Dataset.from_dict({"label": DIGITS})
    expected = [np.bincount(theirs.load_partition(i)["label"][:], minlength=10) for i in range(30)]
    counts = DistributionPartitioner(*arguments).assign(DIGITS).label_counts
    assert np.array_equal(counts > 0, np.array(expected) > 0)
    if rescale:
        # Flower floors, and gives one partition the remainder, up to a row for each holder.
        assert np.median(np.abs(counts - expected)[counts > 0]) <= 1
    else:
        assert np.array_equal(counts, expected)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DistributionPartitioner([1, 2], 2), TypeError, "must be a matrix of numbers"),
        (lambda: DistributionPartitioner([["a"]], 2), TypeError, "must be a matrix of numbers"),
        (
            lambda: DistributionPartitioner([[1], [2, 3]], 2),
            TypeError,
            "matrix of numbers, got rows of several lengths",
        ),
        (lambda: DistributionPartitioner([[-1.0]], 1), ValueError, "finite and non-negative"),
        (lambda: DistributionPartitioner([[np.nan]], 1), ValueError, "finite and non-negative"),
        (
            lambda: DistributionPartitioner(np.ones((2, 10)), 2),
            ValueError,
            r"shape \(10, 2\), .* got \(2, 10\); transpose",
        ),
        (
            lambda: DistributionPartitioner(np.ones((9, 2)), 2),
            ValueError,
            r"shape \(10, 2\), .* got \(9, 2\); pass one row per class, or",
        ),
        (lambda: DistributionPartitioner(np.ones((10, 6)), 31, 2), ValueError, "31 must be a multiple of 10 classes"),
        (lambda: DistributionPartitioner(np.ones((10, 5)), 30, 2), ValueError, r"\(10, 6\), .* got \(10, 5\)"),
        (lambda: DistributionPartitioner(np.ones((10, 6)), 30, 11), ValueError, "=11 exceeds the 10 classes"),
        (lambda: DistributionPartitioner([[2.0**62] * 4] * 10, 4, rescale=False), ValueError, "rows of label 0, which"),
        (
            lambda: DistributionPartitioner([[1] * 4] * 10, 4, preassigned_num_samples_per_label=2**62),
            ValueError,
            f"=4611686018427387904 needs {2**64} rows of label 0, which has 600",
        ),
        (lambda: DistributionPartitioner([[0, 0]] * 10, 2), ValueError, "no partition a share of label 0"),
        (lambda: DistributionPartitioner([[0.5, 1]] * 10, 2, rescale=False), ValueError, "got fractions"),
        (lambda: DistributionPartitioner([[1e308] * 2] * 10, 2), ValueError, "and so must the sums of its rows"),
        (
            lambda: DistributionPartitioner([[500, 101]] * 10, 2, rescale=False),
            ValueError,
            "asks for 601 rows of label 0",
        ),
        (
            lambda: DistributionPartitioner([[1, 1]] * 10, 2, preassigned_num_samples_per_label=301),
            ValueError,
            "needs 602 rows of label 0, which has 600",
        ),
    ],
)
def test_an_invalid_matrix_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make().assign(DIGITS)


def test_each_natural_id_has_a_partition_in_sorted_order():
    assignment = NaturalIdPartitioner("user").assign(USERS)
    # ann, bob, dan, eve
    assert [rows.tolist() for rows in assignment] == [[1, 4], [0, 2, 6], [5], [3]]


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (USERS, ("ann", "bob", "dan", "eve")),
        ([30, 4, 4], ("4", "30")),
        ([True, False], ("False", "True")),
        (["b", "", " ", "\n", "\u202ea"], ("''", "'\\n'", "' '", "b", "'\\u202ea'")),
        (["MN ", " KY", "New York "], ("KY", "MN", "New York")),
        (["MN ", "MN", "KY "], ("KY ", "MN", "MN ")),
        (["\n", "'\\n'"], None),
        (["a" * 300, "b"], None),
    ],
    ids=["strings", "integers", "booleans", "not printable", "padded", "padded twins", "ambiguous", "long"],
)
def test_a_partition_is_named_after_its_natural_id(ids, names):
    assignment = NaturalIdPartitioner("user").assign(ids)
    assert assignment.names == names
    for name, rows in zip(names or (), assignment, strict=False):
        assert assignment[name].tolist() == rows.tolist()


def test_groups_have_names_only_if_each_is_one_natural_id():
    assert GroupedNaturalIdPartitioner("user", 2).assign(USERS).names is None
    assert GroupedNaturalIdPartitioner("user", 1).assign(USERS).names == ("bob", "ann", "eve", "dan")


def test_a_bound_natural_split_knows_the_natural_ids_of_its_partitions():
    dataset = Dataset.from_dict({"user": USERS})
    alone, grouped, dropping = (
        NaturalIdPartitioner("user"),
        GroupedNaturalIdPartitioner("user", 2),
        GroupedNaturalIdPartitioner("user", 3, "drop-reminder"),
    )
    for partitioner in (alone, grouped, dropping):
        partitioner.dataset = dataset
    assert alone.partition_id_to_natural_id == {0: "ann", 1: "bob", 2: "dan", 3: "eve"}
    assert grouped.partition_id_to_natural_ids == {0: ["bob", "ann"], 1: ["eve", "dan"]}
    assert grouped.natural_id_to_partition_id == {"bob": 0, "ann": 0, "eve": 1, "dan": 1}
    assert dropping.partition_id_to_natural_ids == {0: ["bob", "ann", "eve"]}
    theirs = flower.GroupedNaturalIdPartitioner("user", 2)
    theirs.dataset = dataset
    theirs.load_partition(0)
    assert grouped.partition_id_to_natural_ids == theirs.partition_id_to_natural_ids


@pytest.mark.parametrize("make", [NaturalIdPartitioner, lambda name: GroupedNaturalIdPartitioner(name, 2)])
def test_an_unbound_natural_split_has_no_natural_ids_yet(make):
    partitioner = make("user")
    for name in ("num_partitions", "partition_id_to_natural_id", "natural_id_to_partition_id"):
        if hasattr(type(partitioner), name):
            with pytest.raises(AttributeError, match="is not bound to a data set yet; set its dataset"):
                getattr(partitioner, name)


def test_labels_beside_natural_ids_may_be_bins_of_a_continuous_target():
    ages = [20, 30, 40, 50, 60, 70, 80]
    with pytest.raises(TypeError, match="or pass num_bins for a continuous target"):
        NaturalIdPartitioner("user").assign(USERS, [age / 2 for age in ages])
    binned = NaturalIdPartitioner("user", label_by="age", num_bins=2)
    # 20 to 40 are below the median and 50 to 80 above; the users are ann, bob, dan and eve.
    assert binned.assign(USERS, ages).label_counts.tolist() == [[1, 1], [2, 1], [0, 1], [0, 1]]
    binned.dataset = Dataset.from_dict({"user": USERS, "age": ages})
    assert binned.assignment == binned.assign(USERS, ages)
    grouped = GroupedNaturalIdPartitioner("user", 2, label_by="age", num_bins=2)
    assert grouped.assign(USERS, ages).label_counts.tolist() == [[3, 2], [0, 2]]


def test_a_split_like_another_has_its_bins():
    binned = NaturalIdPartitioner("user", num_bins=2)
    train = binned.assign(USERS, [20, 30, 40, 50, 60, 70, 80])
    test = binned.assign(["eve", "ann"], [49.9, 50], like=train)
    assert np.array_equal(test.edges, train.edges)
    assert test.label_counts.tolist() == [[0, 1], [0, 0], [0, 0], [1, 0]]


@pytest.mark.parametrize(
    ("mode", "group_size", "sort", "expected"),
    [
        ("allow-smaller", 3, False, [[0, 1, 2, 3, 4, 6], [5]]),
        ("allow-bigger", 3, False, [[0, 1, 2, 3, 4, 5, 6]]),
        ("drop-reminder", 3, False, [[0, 1, 2, 3, 4, 6]]),
        ("strict", 2, False, [[0, 1, 2, 4, 6], [3, 5]]),
        ("strict", 2, True, [[0, 1, 2, 4, 6], [3, 5]]),
        ("allow-smaller", 3, True, [[0, 1, 2, 4, 5, 6], [3]]),
        ("allow-smaller", 9, False, [[0, 1, 2, 3, 4, 5, 6]]),
        ("allow-smaller", 10**30, False, [[0, 1, 2, 3, 4, 5, 6]]),
    ],
)
def test_several_natural_ids_share_a_partition(mode, group_size, sort, expected):
    partitioner = GroupedNaturalIdPartitioner("user", group_size, mode, sort)
    assignment = partitioner.assign(USERS)
    assert [rows.tolist() for rows in assignment] == expected
    assert sorted(assignment.unassigned.tolist()) == sorted(set(range(7)) - {row for rows in expected for row in rows})
    theirs = flower.GroupedNaturalIdPartitioner("user", group_size, mode, sort)
    theirs.dataset = Dataset.from_dict({"user": USERS, "row": range(7)})
    if not (group_size >= 9 and mode == "allow-smaller"):  # Flower Datasets 0.6.1 makes two partitions from one group.
        assert [sorted(theirs.load_partition(i)["row"][:]) for i in range(len(expected))] == expected


def test_remaining_natural_ids_join_the_first_partitions():
    users = [row * 3 % 8 for row in range(16)]
    assignment = GroupedNaturalIdPartitioner("user", 3, "allow-bigger").assign(users)
    # Eight users make two groups of three and leave two, one more for each group. Their order is 0, 3, 6, 1, ...
    assert [sorted({users[row] for row in rows}) for rows in assignment] == [[0, 1, 3, 6], [2, 4, 5, 7]]
    # Five users make two groups of two and leave one.
    assert GroupedNaturalIdPartitioner("user", 2, "allow-bigger").assign(range(5)).sizes.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("partitioner", "message"),
    [
        (NaturalIdPartitioner("nope"), "partition_by='nope' is not a column"),
        (NaturalIdPartitioner("user", label_by="nope"), "label_by='nope' is not a column"),
        (PachinkoPartitioner(1, "nope", "user"), "coarse_by='nope' is not a column"),
    ],
)
def test_a_missing_column_is_named_with_its_argument(partitioner, message):
    partitioner.dataset = Dataset.from_dict({"user": USERS})
    with pytest.raises(ValueError, match=message):
        _ = partitioner.assignment


def test_a_natural_split_knows_its_labels_and_can_be_matched():
    labels = [0, 1, 1, 0, 1, 0, 1]
    partitioner = NaturalIdPartitioner("user", label_by="label")
    partitioner.dataset = Dataset.from_dict({"user": USERS, "label": labels})
    assert partitioner.num_partitions == 4
    assert partitioner.load_partition(0)["user"][:] == ["ann", "ann"]
    assert partitioner.assignment == NaturalIdPartitioner("user").assign(USERS, labels)
    assert partitioner.assignment.label_counts.tolist() == [[0, 2], [1, 2], [1, 0], [1, 0]]
    assert partitioner.assignment.match([1] * 8).sizes.tolist() == [4, 4, 0, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupedNaturalIdPartitioner("user", 3, "strict").assign(USERS), "leaves 1 of 4 natural ids over"),
        (
            lambda: GroupedNaturalIdPartitioner("user", 5, "allow-bigger").assign(USERS),
            "number of natural ids, 4",
        ),
        (lambda: GroupedNaturalIdPartitioner("user", 0), "group_size must be at least 1"),
        (lambda: GroupedNaturalIdPartitioner("user", 2, "loose"), "mode must be one of 'allow-smaller'"),
        (lambda: NaturalIdPartitioner("user").assign(["ann", None]), "natural_ids has a missing value .* at row 1"),
        (lambda: NaturalIdPartitioner("user").assign(USERS, [0, 1]), "got 2 for 7 natural ids"),
    ],
)
def test_natural_ids_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: DirichletPartitioner(5, "target", 0.5, num_bins=4),
        lambda: PathologicalPartitioner(4, "target", 2, num_bins=4),
        lambda: ShardPartitioner(4, "target", 2, num_bins=4),
        lambda: LabelExclusionPartitioner([{0}, {3}], "target", num_bins=4),
    ],
)
def test_a_continuous_target_is_binned_by_its_quantiles(make):
    target = np.random.default_rng(0).normal(size=1000)
    by_bins = make().assign(target)
    # The same bins by hand: a quarter of the rows each, by rank.
    ranks = np.argsort(np.argsort(target))
    assert by_bins.classes.tolist() == [0, 1, 2, 3]
    assert np.array_equal(by_bins.label_counts.sum(axis=0), [250] * 4)
    for rows, counts in zip(by_bins, by_bins.label_counts, strict=True):
        assert np.array_equal(np.bincount(ranks[rows] // 250, minlength=4), counts)
    partitioner = make()
    partitioner.dataset = Dataset.from_dict({"target": target})
    assert partitioner.assignment == by_bins


def test_another_set_is_matched_by_the_same_bins(tmp_path):
    target = np.linspace(0, 1, 100)
    assignment = LabelExclusionPartitioner([{0}, {3}], num_bins=4).assign(target)
    # The edges are .2525, .5051, .7576. The first partition excludes the lowest quarter, the second the highest.
    assert assignment.match([0.1, 0.2, 0.9, 0.95]).label_counts.tolist() == [[0, 2], [2, 0]]
    assignment.save(tmp_path / "split")
    assert assignment.load(tmp_path / "split").match([0.1, 0.2]).sizes.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("target", "sizes"),
    [([1, 1, 1, 1], [4]), ([1, 1, 1, 2], [3, 1]), ([0] * 60 + [7, 7], [60, 2]), ([1.5, 2.5], [1, 1])],
)
def test_equal_values_share_a_bin(target, sizes):
    assignment = DirichletPartitioner(1, "target", 1, 0, num_bins=4).assign(target)
    assert assignment.label_counts.tolist() == [sizes]
    assert assignment.classes.tolist() == list(range(len(sizes)))


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([0.5, float("nan")], ValueError, "at row 1"),
        (["a", "b"], TypeError, "must be numbers or dates, got string; omit num_bins"),
        ([True, False], TypeError, "must be numbers or dates, got bool"),
        (np.array([True, False]), TypeError, "must be numbers or dates, got bool"),
        ([0.5, None], ValueError, "at row 1"),
    ],
)
def test_a_target_that_cannot_be_binned_is_named(target, error, message):
    with pytest.raises(error, match=message):
        DirichletPartitioner(1, "target", 1, 0, num_bins=2).assign(target)


def test_the_number_of_bins_is_checked():
    with pytest.raises(ValueError, match="num_bins must be at least 1, got 0"):
        DirichletPartitioner(1, "target", 1, num_bins=0)
