"""Natural ids first, then any scheme within each of them."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset
from flwr_datasets import FederatedDataset
from hypothesis import given
from hypothesis import strategies as st

from flskew import (
    Assignment,
    CrossPartitioner,
    DirichletPartitioner,
    GroupedNaturalIdPartitioner,
    IidPartitioner,
    LabelExclusionPartitioner,
    MixturePartitioner,
    NaturalIdPartitioner,
    PathologicalPartitioner,
    SizePartitioner,
    split_by_time,
)

SITES = np.array(["Rome", "Bern", "Lyon"])[np.arange(900) ** 2 % 7 % 3]
LABELS = np.arange(900) % 4
DIRICHLET = DirichletPartitioner(2, alpha=0.5)
CROSS = CrossPartitioner(NaturalIdPartitioner("site"), DIRICHLET)
TRAIN = CROSS.assign(SITES, LABELS)


def rows_of(assignment: Assignment) -> list[list[int]]:
    return [rows.tolist() for rows in assignment]


def test_each_natural_id_has_its_own_partitions_which_hold_all_its_rows():
    assert TRAIN.names == ("Bern/0", "Bern/1", "Lyon/0", "Lyon/1", "Rome/0", "Rome/1")
    for place, site in enumerate(["Bern", "Lyon", "Rome"]):
        held = np.concatenate([TRAIN[2 * place], TRAIN[2 * place + 1]])
        assert sorted(held) == np.flatnonzero(site == SITES).tolist()
    assert TRAIN.label_counts.sum(axis=0).tolist() == [225] * 4


@pytest.mark.parametrize(
    "inner",
    [
        DIRICHLET,
        PathologicalPartitioner(2, num_classes_per_partition=2),
        LabelExclusionPartitioner([{0}, {1}], on_excluded="drop"),
        MixturePartitioner(DIRICHLET, 0.5),
        SizePartitioner([30, 5]),
    ],
    ids=lambda inner: type(inner).__name__,
)
def test_what_happens_within_an_id_does_not_depend_on_the_others(inner):
    cross = CrossPartitioner(NaturalIdPartitioner("site"), inner)
    full = cross.assign(SITES, LABELS)
    bern = np.flatnonzero(SITES == "Bern")
    alone = cross.assign(SITES[bern], LABELS[bern])
    # The other ids renamed, so that they sort elsewhere, and their rows in another order, in front.
    others = np.flatnonzero(SITES != "Bern")[::-1]
    moved = np.concatenate([others, bern])
    renamed = np.char.add(np.where(SITES == "Bern", "", "A "), SITES)
    elsewhere = cross.assign(renamed[moved], LABELS[moved])
    for name in ("Bern/0", "Bern/1"):
        assert bern[alone[name]].tolist() == full[name].tolist() == moved[elsewhere[name]].tolist()


def test_two_ids_with_the_same_labels_are_split_differently_and_so_are_two_seeds():
    cross = CrossPartitioner(NaturalIdPartitioner("site"), DirichletPartitioner(3, alpha=0.3, min_partition_size=0))
    assignment = cross.assign(["Bern"] * 400 + ["Rome"] * 400, np.arange(800) % 4)
    assert assignment.label_counts[:3].tolist() != assignment.label_counts[3:].tolist()
    other = CrossPartitioner(NaturalIdPartitioner("site"), DirichletPartitioner(3, "label", 0.3, 0, seed=1))
    assert (
        other.assign(["Bern"] * 400, np.arange(400) % 4).label_counts.tolist() != assignment.label_counts[:3].tolist()
    )


def test_a_group_of_ids_is_split_as_one_whatever_the_order_of_the_ids():
    cross = CrossPartitioner(GroupedNaturalIdPartitioner("user", 2), IidPartitioner(3))
    assignment = cross.assign(["ann", "bob", "eve", "dan"] * 10)
    assert assignment.names is None
    assert len(assignment) == 6
    # Rows 0, 1, 4, 5, ... are ann's and bob's.
    assert sorted(np.concatenate([assignment[i] for i in range(3)])) == [row for row in range(40) if row % 4 < 2]
    swapped = cross.assign(["bob", "ann", "eve", "dan"] * 10)
    assert rows_of(swapped) == rows_of(assignment)


def test_one_partition_per_id_keeps_the_name_of_the_id():
    assignment = CrossPartitioner(NaturalIdPartitioner("site"), IidPartitioner(1)).assign(SITES)
    natural = NaturalIdPartitioner("site").assign(SITES)
    assert assignment.names == natural.names == ("Bern", "Lyon", "Rome")
    assert [sorted(rows) for rows in assignment] == rows_of(natural)
    assert NaturalIdPartitioner("site").assign(["Rome"], like=assignment).sizes.tolist() == [0, 0, 1]


def test_names_that_would_be_too_long_are_left_out():
    cross = CrossPartitioner(NaturalIdPartitioner("site"), IidPartitioner(2))
    assert cross.assign(["x" * 198] * 2).names == ("x" * 198 + "/0", "x" * 198 + "/1")
    assert cross.assign(["x" * 199] * 2).names is None


def test_labels_are_optional_if_the_inner_scheme_ignores_them():
    cross = CrossPartitioner(NaturalIdPartitioner("site"), IidPartitioner(2))
    without, with_labels = cross.assign(SITES), cross.assign(SITES, LABELS)
    assert not without.has_labels
    assert rows_of(without) == rows_of(with_labels)
    assert with_labels.label_counts.sum() == 900
    with pytest.raises(ValueError, match="labels must be given, because inner, a DirichletPartitioner, splits by them"):
        CROSS.assign(SITES)


def test_rows_that_the_inner_scheme_or_the_outer_one_drops_are_unassigned():
    grouped = GroupedNaturalIdPartitioner("site", 2, "drop-reminder", sort_unique_ids=True)
    assignment = CrossPartitioner(grouped, SizePartitioner([20, 5])).assign(SITES, LABELS)
    assert assignment.sizes.tolist() == [20, 5]
    assert sorted([*assignment.rows, *assignment.unassigned]) == list(range(900))
    assert set(SITES[assignment.rows]) == {"Bern", "Lyon"}


# In a test set like TRAIN, each id's rows go to its partitions.


def test_the_rows_of_a_test_set_go_to_the_partitions_of_their_id_with_its_shares_of_every_class():
    test_sites, test_labels = SITES[::-1][:300], LABELS[::-1][:300]
    test = CROSS.assign(test_sites, test_labels, like=TRAIN)
    assert test.names == TRAIN.names
    for place, site in enumerate(["Bern", "Lyon", "Rome"]):
        of_site = test_sites == site
        assert sorted(np.concatenate([test[2 * place], test[2 * place + 1]])) == np.flatnonzero(of_site).tolist()
        held = TRAIN.label_counts[2 * place : 2 * place + 2]
        shares = held / held.sum(axis=0)
        expected = shares * [np.sum(of_site & (test_labels == label)) for label in range(4)]
        assert np.all(np.abs(test.label_counts[2 * place : 2 * place + 2] - expected) < 1)


def test_a_test_set_is_rounded_without_bias():
    cross = CrossPartitioner(NaturalIdPartitioner("site"), LabelExclusionPartitioner([{9}, ()], seed=0))
    train = cross.assign(["Bern"] * 90, [0] * 10 + [1] * 50 + [9] * 30)
    assert train.label_counts.tolist() == [[5, 25, 0], [5, 25, 30]]
    counts = []
    for seed in range(400):
        again = CrossPartitioner(NaturalIdPartitioner("site"), LabelExclusionPartitioner([{9}, ()], seed=seed))
        counts.append(again.assign(["Bern"] * 3, [0, 9, 9], like=train).label_counts)
    # Half of the one row of class 0 is in either partition, and all rows of class 9 in the second.
    assert np.mean(counts, axis=0)[0, 0] == pytest.approx(0.5, abs=4 * 0.5 / 20)
    assert {tuple(count[1][-1:]) for count in counts} == {(2,)}


def test_a_class_that_an_id_lacks_is_split_by_its_sizes():
    cross = CrossPartitioner(NaturalIdPartitioner("site"), SizePartitioner([30, 10], partition_by="label"))
    train = cross.assign(["Bern"] * 40 + ["Lyon"] * 40, [0] * 40 + [1] * 40)
    test = cross.assign(["Bern"] * 8, [1] * 8, like=train)
    assert test.sizes.tolist() == [6, 2, 0, 0]


def test_an_id_without_rows_is_split_evenly_in_a_test_set():
    outer = NaturalIdPartitioner("site", natural_ids=["Bern", "Oslo"])
    train = CrossPartitioner(outer, IidPartitioner(2)).assign(["Bern"] * 8, [0] * 8)
    assert train.names == ("Bern/0", "Bern/1", "Oslo/0", "Oslo/1")
    assert train.sizes.tolist() == [4, 4, 0, 0]
    test = CrossPartitioner(outer, IidPartitioner(2)).assign(["Oslo"] * 6, [0] * 6, like=train)
    assert test.sizes.tolist() == [0, 0, 3, 3]


@pytest.mark.parametrize("model", ["saved", "matched", "past"])
def test_any_split_that_it_has_made_can_be_the_model(model, tmp_path):
    if model == "saved":
        TRAIN.save(tmp_path / "split.npz")
        like = Assignment.load(tmp_path / "split.npz")
        assert like == TRAIN
    elif model == "matched":
        like = TRAIN.match(LABELS)
    else:
        like = split_by_time(TRAIN, np.arange(900), test=0.2, labels=LABELS)[0]
    test = CROSS.assign(["Rome"] * 40, LABELS[:40], like=like)
    assert test.sizes[:4].tolist() == [0] * 4
    assert test.sizes.sum() == 40
    assert test.names == TRAIN.names


def test_an_unknown_id_or_class_is_named():
    with pytest.raises(
        ValueError, match=r"natural_ids contains 'Oslo' at row 1 .* like has only 'Bern', 'Lyon', 'Rome'"
    ):
        CROSS.assign(["Rome", "Oslo"], [0, 0], like=TRAIN)
    dropping = CrossPartitioner(NaturalIdPartitioner("site", on_unknown="drop"), DIRICHLET)
    assert dropping.assign(["Rome", "Oslo"], [0, 0], like=TRAIN).unassigned.tolist() == [1]
    with pytest.raises(ValueError, match="labels contain 7, which is not a class of like; it has 0, 1, 2, 3"):
        CROSS.assign(["Rome"], [7], like=TRAIN)


def test_a_split_with_other_partitions_cannot_be_the_model():
    natural = NaturalIdPartitioner("site").assign(SITES, LABELS)
    of_three = CrossPartitioner(NaturalIdPartitioner("site"), DirichletPartitioner(3)).assign(SITES, LABELS)
    wards = Assignment.from_partitions({"Bern/0": [0], "Bern/1": [1]}, labels=[0, 0])
    of_four_ids = NaturalIdPartitioner("site").assign(["Bern", "Lyon", "Oslo", "Rome"], [0, 0, 1, 1])
    for like in (natural, of_three, wards, of_four_ids):
        with pytest.raises(ValueError, match="like must have 2 partitions for each natural id or group of ids"):
            CROSS.assign(["Rome"], [0], like=like)
    with pytest.raises(ValueError, match="like has several partitions for a natural id; pass it to the CrossPart"):
        NaturalIdPartitioner("site").assign(["Rome"], like=TRAIN)
    with pytest.raises(TypeError, match="like must be an Assignment"):
        CROSS.assign(["Rome"], [0], like=[[0]])


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.integers(1, 3))
def test_a_model_is_recognised_whatever_the_ids(ids, num_each):
    """Including groups whose left-over ids are dropped."""
    outer = GroupedNaturalIdPartitioner("x", min(2, len(set(ids))), "drop-reminder")
    cross = CrossPartitioner(outer, SizePartitioner([0] * num_each))
    train = cross.assign(ids)
    test = cross.assign(ids[::-1], like=train)
    assert len(test) == len(train)
    holds = {one for group in [outer.assign(ids)] for one in np.array(ids)[group.rows].tolist()}
    assert sorted(np.array(ids[::-1])[test.rows].tolist()) == sorted(one for one in ids if one in holds)


def test_bins_of_a_test_set_are_those_of_the_training_set():
    ages = np.random.default_rng(1).normal(50, 20, 900)
    cross = CrossPartitioner(NaturalIdPartitioner("site"), PathologicalPartitioner(3, "age", 1, num_bins=3))
    train = cross.assign(SITES, ages)
    test = cross.assign(SITES[:300], ages[:300] + 5, like=train)
    assert np.array_equal(test.edges, train.edges)
    binned = np.digitize(ages[:300] + 5, train.edges)
    assert all(len(set(binned[rows])) <= 1 for rows in test)


# With data sets.


def test_a_federated_data_set_accepts_it(tmp_path):
    Dataset.from_dict({"site": SITES, "label": LABELS}).to_parquet(tmp_path / "train.parquet")
    cross = CrossPartitioner(NaturalIdPartitioner("site"), DIRICHLET)
    federated = FederatedDataset(dataset=str(tmp_path), shuffle=False, partitioners={"train": cross})
    loaded = [federated.load_partition(i) for i in range(6)]
    assert [set(part["site"]) for part in loaded] == [{"Bern"}, {"Bern"}, {"Lyon"}, {"Lyon"}, {"Rome"}, {"Rome"}]
    assert cross.assignment == TRAIN
    assert cross.num_partitions == 6
    assert cross == CROSS


def test_a_blind_scheme_takes_the_labels_of_the_outer_partitioner():
    dataset = Dataset.from_dict({"site": SITES, "label": LABELS, "age": LABELS / 3})
    named = CrossPartitioner(NaturalIdPartitioner("site", label_by="label"), IidPartitioner(2))
    named.dataset = dataset
    assert named.assignment == named.assign(SITES, LABELS)
    binned = CrossPartitioner(NaturalIdPartitioner("site", label_by="age", num_bins=2), IidPartitioner(2))
    binned.dataset = dataset
    assert binned.assignment.label_counts.sum(axis=0).tolist() == [450, 450]
    silent = CrossPartitioner(NaturalIdPartitioner("site"), IidPartitioner(2))
    silent.dataset = dataset
    assert not silent.assignment.has_labels


def test_a_missing_column_is_named_with_the_argument_that_names_it():
    for cross, message in (
        (CrossPartitioner(NaturalIdPartitioner("ward"), DIRICHLET), "partition_by='ward' is not a column"),
        (CrossPartitioner(NaturalIdPartitioner("site"), DirichletPartitioner(2, "y")), "partition_by='y' is not a col"),
        (CrossPartitioner(NaturalIdPartitioner("site", label_by="y"), IidPartitioner(2)), "label_by='y' is not a col"),
    ):
        cross.dataset = Dataset.from_dict({"site": SITES, "label": LABELS})
        with pytest.raises(ValueError, match=message):
            cross.load_partition(0)


def test_the_number_of_partitions_is_known_if_the_ids_are_listed():
    assert CrossPartitioner(NaturalIdPartitioner("x", natural_ids=["a", "b", "c"]), DIRICHLET).num_partitions == 6
    with pytest.raises(AttributeError, match="not bound to a data set"):
        _ = CrossPartitioner(NaturalIdPartitioner("x"), DIRICHLET).num_partitions


def test_it_is_a_value():
    assert repr(CROSS) == (
        "CrossPartitioner(outer=NaturalIdPartitioner(partition_by='site'), "
        "inner=DirichletPartitioner(num_partitions=2, seed=42))"
    )
    same = CrossPartitioner(NaturalIdPartitioner("site"), DirichletPartitioner(2))
    assert same == CROSS
    assert hash(same) == hash(CROSS)
    assert CrossPartitioner(NaturalIdPartitioner("ward"), DirichletPartitioner(2)) != CROSS
    assert CrossPartitioner(NaturalIdPartitioner("site"), DirichletPartitioner(2, seed=1)) != CROSS
    with pytest.raises(AttributeError, match="inner of CrossPartitioner is read-only"):
        CROSS.inner = DIRICHLET


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: CrossPartitioner(IidPartitioner(2), DIRICHLET), TypeError, "outer must be a NaturalId.*got IidPart"),
        (lambda: CrossPartitioner(NaturalIdPartitioner("x"), 3), TypeError, "inner must be a partitioner .* got int"),
        (lambda: CrossPartitioner(NaturalIdPartitioner("x"), CROSS.outer), TypeError, "not one by natural ids, got N"),
        (
            lambda: CrossPartitioner(NaturalIdPartitioner("x", label_by="y"), DIRICHLET),
            ValueError,
            "label_by='y' of outer and partition_by='label' of inner must be the same column; omit label_by",
        ),
        (
            lambda: CrossPartitioner(NaturalIdPartitioner("x", num_bins=3), DIRICHLET),
            ValueError,
            "num_bins=3 of outer must be None; pass num_bins to inner",
        ),
        (
            lambda: CROSS.assign(["Bern"] * 25 + ["Oslo"] * 19 + ["Rome"], [0] * 45),
            ValueError,
            r"cannot split natural id 'Oslo' with 19 rows: min_partition_size=10 for 2 .* \(2 of 3 have too few",
        ),
        (
            lambda: CrossPartitioner(NaturalIdPartitioner("x"), LabelExclusionPartitioner([{1}, ()])).assign(
                ["Bern"] * 9 + ["Oslo"] * 9, [0, 1, 2] * 3 + [0, 2, 2] * 3
            ),
            ValueError,
            r"inner cannot split natural id 'Oslo': excluded\[0\] contains 1, which is not a label",
        ),
        (
            lambda: CrossPartitioner(GroupedNaturalIdPartitioner("x", 3), IidPartitioner(7)).assign([*"bac"] * 2),
            ValueError,
            "inner cannot split natural ids 'b', 'a', 'c' with 6 rows: num_partitions=7 exceeds",
        ),
        (lambda: CROSS.assign(SITES, LABELS[1:]), ValueError, "labels must be one per row, got 899 for 900"),
        (lambda: CROSS.assign(["Bern", None], [0, 0]), ValueError, "natural_ids has a missing value"),
    ],
    ids=["outer", "inner", "inner ids", "label_by", "num_bins", "rows", "class", "group", "labels", "missing"],
)  # fmt: skip
def test_what_cannot_be_crossed_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
