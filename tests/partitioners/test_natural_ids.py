"""The same natural id is the same partition, in whatever order ids come and whichever are absent."""

from __future__ import annotations

from importlib.metadata import version

import flwr_datasets.partitioner as flower
import hypothesis.strategies as st
import numpy as np
import pytest
from datasets import Dataset
from flwr_datasets import FederatedDataset
from hypothesis import given

from flskew import Assignment, GroupedNaturalIdPartitioner, NaturalIdPartitioner
from flskew.typing import Label

from .cases import integers, strings

SITES = ["Lyon", "Bern", "Rome", "Bern", "Oslo"]
TRAIN = NaturalIdPartitioner("site").assign(SITES)


def rows_of(assignment: Assignment) -> list[list[int]]:
    return [rows.tolist() for rows in assignment]


@st.composite
def two_columns(draw: st.DrawFn) -> tuple[list[Label], list[Label]]:
    """The natural ids of a training set, and some of them in another order."""
    ids = draw(st.sampled_from([integers, strings, st.booleans()]).flatmap(lambda kind: st.lists(kind, min_size=1)))
    return ids, draw(st.lists(st.sampled_from(ids), min_size=1))


@given(columns=two_columns())
def test_each_id_is_the_same_partition_in_a_split_like_another(columns: tuple[list[Label], list[Label]]):
    train_ids, test_ids = columns
    for partitioner in (NaturalIdPartitioner("x"), GroupedNaturalIdPartitioner("x", 3, "allow-bigger")):
        if len(set(train_ids)) < 3 and isinstance(partitioner, GroupedNaturalIdPartitioner):
            continue
        train = partitioner.assign(train_ids)
        test = partitioner.assign(test_ids, like=train)
        partition_of = {train_ids[row]: partition_id for partition_id, rows in enumerate(train) for row in rows}
        assert len(test) == len(train)
        assert test.names == train.names
        # Plain Python: the rows of each partition in increasing order.
        for partition_id, rows in enumerate(test):
            expected = [row for row, one in enumerate(test_ids) if partition_of[one] == partition_id]
            assert rows.tolist() == expected


def test_the_order_of_rows_does_not_number_the_partitions():
    assert NaturalIdPartitioner("site").assign(["Lyon", "Bern"]).names == ("Bern", "Lyon")
    assert NaturalIdPartitioner("site").assign(["Bern", "Lyon"]).names == ("Bern", "Lyon")


def test_a_listed_id_without_rows_has_an_empty_partition():
    pinned = NaturalIdPartitioner("site", natural_ids=["Rome", "Bern", "Lyon"])
    assignment = pinned.assign(["Lyon", "Rome", "Lyon"], labels=[0, 1, 1])
    assert rows_of(assignment) == [[1], [], [0, 2]]
    assert assignment.names == ("Rome", "Bern", "Lyon")
    assert assignment.label_counts.tolist() == [[0, 1], [0, 0], [1, 1]]
    # Known before a data set is bound.
    assert pinned.num_partitions == 3
    assert pinned.partition_id_to_natural_id == {0: "Rome", 1: "Bern", 2: "Lyon"}
    pinned.dataset = Dataset.from_dict({"site": ["Lyon"]})
    assert pinned.partition_id_to_natural_id == {0: "Rome", 1: "Bern", 2: "Lyon"}
    assert pinned.load_partition(1).num_rows == 0


def test_listed_ids_fill_the_groups_in_their_order():
    grouped = GroupedNaturalIdPartitioner("site", 2, natural_ids=["Rome", "Bern", "Lyon", "Oslo", "Kyiv"])
    assert rows_of(grouped.assign(SITES)) == [[1, 2, 3], [0, 4], []]
    assert grouped.num_partitions == 3
    grouped.dataset = Dataset.from_dict({"site": ["Lyon"]})
    assert grouped.partition_id_to_natural_ids == {0: ["Rome", "Bern"], 1: ["Lyon", "Oslo"], 2: ["Kyiv"]}


def test_ids_that_a_training_set_drops_are_dropped_from_a_test_set_too():
    grouped = GroupedNaturalIdPartitioner("site", 3, "drop-reminder")
    train = grouped.assign(SITES)  # Lyon, Bern and Rome; Oslo is left over
    test = grouped.assign(["Oslo", "Rome", "Lyon"], like=train)
    assert rows_of(test) == [[1, 2]]
    assert test.unassigned.tolist() == [0]


@pytest.mark.parametrize("ids", [["Bern", "Kyiv", "Oslo", "Kyiv"], np.array(["Bern", "Kyiv", "Oslo", "Kyiv"])])
def test_an_unknown_id_is_named_or_dropped_on_request(ids):
    names = ["Bern", "Lyon", "Oslo", "Rome"]
    assert rows_of(NaturalIdPartitioner("site", on_unknown="drop").assign(ids, like=TRAIN)) == [[0], [], [2], []]
    dropping = NaturalIdPartitioner("site", natural_ids=names, on_unknown="drop").assign(ids)
    assert rows_of(dropping) == [[0], [], [2], []]
    assert dropping.unassigned.tolist() == [1, 3]
    for known, make in (
        ("like has only 'Bern', 'Lyon', 'Oslo', 'Rome'", lambda: NaturalIdPartitioner("x").assign(ids, like=TRAIN)),
        ("the partitioner's natural_ids has only", lambda: NaturalIdPartitioner("x", natural_ids=names).assign(ids)),
    ):
        with pytest.raises(ValueError, match=rf"natural_ids contains 'Kyiv' at row 1 \(1 unknown .*{known}.*'drop'"):
            make()


def test_an_unknown_id_in_a_data_set_is_named_with_its_column():
    pinned = NaturalIdPartitioner("site", natural_ids=[3, 1])
    pinned.dataset = Dataset.from_dict({"site": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"column 'site' contains 2 at row 1 \(1 unknown ids in total\)"):
        pinned.load_partition(0)


@pytest.mark.parametrize("suffix", ["saved", "matched", "named"])
def test_any_split_with_natural_ids_or_names_can_be_the_model(suffix, tmp_path):
    if suffix == "saved":
        TRAIN.save(tmp_path / "split")
        like = Assignment.load(tmp_path / "split")
    elif suffix == "matched":
        like = NaturalIdPartitioner("site").assign(SITES, [0] * 5).match([0] * 9)
    else:
        like = Assignment.from_partitions({"Bern": [0], "Lyon": [], "Oslo": [3], "Rome": [1]})
    assert rows_of(NaturalIdPartitioner("site").assign(["Rome", "Bern"], like=like)) == [[1], [], [], [0]]


def test_a_matched_split_keeps_natural_ids_that_are_no_strings():
    matched = NaturalIdPartitioner("x").assign([30, 4, 4], labels=[0, 0, 0]).match([0] * 5)
    assert rows_of(NaturalIdPartitioner("x").assign([30], like=matched)) == [[], [0]]


def test_integers_are_looked_up_exactly():
    """As float64, the common type of int64 and uint64 in NumPy, these ids would be equal."""
    largest = [2**64 - 1, 2**64 - 2, 5]
    train = NaturalIdPartitioner("x").assign(largest)
    assert rows_of(NaturalIdPartitioner("x").assign([5, 5], like=train)) == [[0, 1], [], []]
    assert rows_of(NaturalIdPartitioner("x").assign([2**64 - 1], like=train)) == [[], [], [0]]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: NaturalIdPartitioner("x", natural_ids=["a", "b", "a"]), ValueError, "got 'a' more than once; list"),
        (lambda: NaturalIdPartitioner("x", natural_ids="ab"), TypeError, "a list of ids, .* got 'ab' of type str"),
        (lambda: NaturalIdPartitioner("x", natural_ids={"a", "b"}), TypeError, "of type set"),
        (lambda: NaturalIdPartitioner("x", natural_ids=[]), ValueError, "natural_ids must contain at least one"),
        (lambda: NaturalIdPartitioner("x", natural_ids=["a", 1]), TypeError, "natural_ids must be integers, strings"),
        (lambda: NaturalIdPartitioner("x", on_unknown="skip"), ValueError, "on_unknown must be one of 'error', 'drop'"),
        (lambda: NaturalIdPartitioner("x", num_bins=0), ValueError, "num_bins must be at least 1"),
        (lambda: NaturalIdPartitioner("x").assign([1, 2], like=TRAIN), TypeError, "strings, as in like, got integers"),
        (
            lambda: NaturalIdPartitioner("x", natural_ids=[0, 1]).assign([True]),
            TypeError,
            "be integers, as in the partitioner's natural_ids, got booleans",
        ),
        (
            lambda: NaturalIdPartitioner("x", natural_ids=["a"]).assign(["a"], like=TRAIN),
            ValueError,
            "already number the partitions; omit like",
        ),
        (
            lambda: NaturalIdPartitioner("x").assign(["a"], like=Assignment.from_partitions([[0]])),
            ValueError,
            "like has neither natural ids nor names; make it with",
        ),
        (lambda: NaturalIdPartitioner("x").assign(["a"], like=["a"]), TypeError, "must be an Assignment, .* got list"),
    ],
    ids=[
        "twice", "string", "set", "empty", "mixed", "on_unknown", "num_bins", "type", "booleans", "both", "no ids",
        "no assignment",
    ],
)  # fmt: skip
def test_what_cannot_number_the_partitions_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.fixture
def folder(tmp_path) -> str:
    """A data set whose test split lacks a hospital, and has the others in another order."""
    train = [f"site {row * row % 13}" for row in range(60)]
    test = [one for one in train[::-1] if one != "site 0"][:30]
    for name, ids in (("train", train), ("test", test)):
        Dataset.from_dict({"site": ids, "row": range(len(ids))}).to_parquet(tmp_path / f"{name}.parquet")
    return str(tmp_path)


def test_the_training_and_the_test_set_of_a_federated_data_set_agree_on_every_id(folder):
    def load(**partitioners) -> FederatedDataset:
        return FederatedDataset(dataset=folder, partitioners=partitioners)

    theirs = load(train=flower.NaturalIdPartitioner("site"))
    theirs.load_partition(0)  # only then are the ids numbered
    flowers = theirs.partitioners["train"].partition_id_to_natural_id

    alone = load(train=NaturalIdPartitioner("site"))
    sites = [alone.load_partition(i)["site"][0] for i in range(len(flowers))]
    assert alone.partitioners["train"].partition_id_to_natural_id == dict(enumerate(sites))
    assert sites == sorted(flowers.values())
    # Since 0.6, flwr-datasets numbers natural ids in sorted order, too; before, by first appearance.
    if [int(part) for part in version("flwr-datasets").split(".")[:2]] >= [0, 6]:
        assert dict(enumerate(sites)) == flowers
    ours = load(
        train=NaturalIdPartitioner("site", natural_ids=[*flowers.values()]),
        test=NaturalIdPartitioner("site", natural_ids=[*flowers.values()]),
    )
    for split in ("train", "test"):
        loaded = [ours.load_partition(i, split) for i in flowers]
        assert ours.partitioners[split].partition_id_to_natural_id == flowers
        assert all(set(part["site"][:]) <= {flowers[i]} for i, part in enumerate(loaded))
        assert sum(part.num_rows for part in loaded) == ours.load_split(split).num_rows
    for i in flowers:
        assert ours.load_partition(i, "train")["row"][:] == theirs.load_partition(i, "train")["row"][:]
    assert any(ours.load_partition(i, "test").num_rows == 0 for i in flowers)


def test_natural_ids_of_a_wrapped_partitioner_of_flower_datasets_name_its_partitions():
    dataset = Dataset.from_dict({"site": SITES})
    theirs = flower.NaturalIdPartitioner("site")
    wrapped = Assignment.from_partitioner(theirs, dataset)
    assert sorted(wrapped.names or ()) == ["Bern", "Lyon", "Oslo", "Rome"]
    assert wrapped["Bern"].tolist() == [1, 3]
    ours = NaturalIdPartitioner("site").assign(["Bern", "Rome"], like=wrapped)
    assert ours["Rome"].tolist() == [1]
    floats = Assignment.from_partitioner(flower.NaturalIdPartitioner("x"), Dataset.from_dict({"x": [0.5, 1.5]}))
    assert floats.names is None
