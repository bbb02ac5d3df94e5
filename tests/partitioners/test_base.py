"""Partitioners are values, work with Flower Datasets, and refuse invalid arguments."""

from __future__ import annotations

import inspect
import tracemalloc
from fractions import Fraction

import flwr_datasets.partitioner as flower
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict
from flwr_datasets import FederatedDataset
from flwr_datasets.visualization import plot_label_distributions

import flskew.partitioners
from flskew import DirichletPartitioner, IidPartitioner, LabelExclusionPartitioner
from flskew.partitioners import LabelPartitioner, Partitioner, apportion_classes
from flskew.testing import check_partitioner

DATASET = Dataset.from_dict({"row": range(100), "label": [row % 4 for row in range(100)]})


def dirichlet(**changes) -> DirichletPartitioner:
    arguments = {"num_partitions": 5, "partition_by": "label", "alpha": 0.5, "min_partition_size": 0} | changes
    return DirichletPartitioner(**arguments)


@pytest.mark.parametrize("name", [name for name in flskew.partitioners.__all__ if hasattr(flower, name)])
def test_a_partitioner_with_the_name_of_one_of_flowers_takes_the_same_arguments(name):
    theirs = list(inspect.signature(getattr(flower, name)).parameters.items())
    ours = list(inspect.signature(getattr(flskew.partitioners, name)).parameters.items())
    if name == "Partitioner":
        return
    assert [key for key, _ in ours[: len(theirs)]] == [key for key, _ in theirs]
    for (key, our), (_, their) in zip(ours, theirs, strict=False):
        # Unlike Flower Datasets' shards, ours drop no rows by default. Arguments that it requires may be optional here.
        if their.default is not inspect.Parameter.empty and key != "keep_incomplete_shard":
            assert our.default == their.default


SHARED = [name for name in flskew.partitioners.__all__ if hasattr(flower, name)]


@pytest.mark.parametrize("name", SHARED)
def test_a_partitioner_with_the_name_of_one_of_flowers_has_the_same_public_attributes(name):
    theirs, ours = (
        {attribute for attribute in dir(getattr(library, name)) if not attribute.startswith("_")}
        for library in (flower, flskew.partitioners)
    )
    assert theirs <= ours


def test_flower_datasets_has_the_expected_partitioners():
    assert len(SHARED) == 13  # the base class and twelve schemes


BLIND = ["Iid", "Quantity", "Linear", "Square", "Exponential", "Size"]


@pytest.mark.parametrize(
    "name", [name for name in flskew.partitioners.__all__ if name.endswith("Partitioner") and "NaturalId" not in name]
)
def test_the_default_label_column_is_label_unless_the_scheme_needs_no_labels(name):
    parameter = inspect.signature(getattr(flskew.partitioners, name)).parameters.get("partition_by")
    if parameter is None:
        assert name in ("CrossPartitioner", "MixturePartitioner")  # those of the partitioners that they combine
        return
    assert parameter.default == (None if name.removesuffix("Partitioner") in BLIND else "label")


def test_a_partitioner_prints_as_its_call_without_the_defaults():
    assert repr(dirichlet(alpha=0.3)) == (
        "DirichletPartitioner(num_partitions=5, alpha=0.3, min_partition_size=0, seed=42)"
    )
    hospitals = LabelExclusionPartitioner({1: {"fox", "cat"}}, num_partitions=2)
    assert repr(hospitals) == "LabelExclusionPartitioner(excluded=((), ('cat', 'fox')), num_partitions=2, seed=42)"


def test_a_partitioner_bound_to_a_data_set_equals_an_unbound_one():
    bound = dirichlet()
    bound.dataset = DATASET
    bound.load_partition(0)
    assert bound == dirichlet() != dirichlet(alpha=0.4)
    assert len({bound, dirichlet(), dirichlet(seed=1)}) == 2
    assert repr(bound) == repr(dirichlet())


@pytest.mark.parametrize("name", list(inspect.signature(DirichletPartitioner).parameters))
def test_hyper_parameters_are_read_only_fields(name):
    partitioner = dirichlet()
    before = getattr(partitioner, name)
    with pytest.raises(AttributeError):
        setattr(partitioner, name, before)


def test_the_containers_among_the_fields_cannot_be_changed():
    mapping, sizes, shares = {"a": "b"}, [1, 2], [[1.0, 2.0]]
    pachinko = flskew.partitioners.PachinkoPartitioner(2, mapping, partition_sizes=sizes)
    given = flskew.partitioners.DistributionPartitioner(shares, 2)
    pachinko.coarse_by["a"] = "c"
    mapping["a"] = sizes[0] = shares[0][0] = 9
    assert pachinko.coarse_by == {"a": "b"}
    for array in (pachinko.partition_sizes, given.distribution_array):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert pachinko.partition_sizes.tolist() == [1, 2]
    assert given.distribution_array.tolist() == [[1.0, 2.0]]


def test_your_own_scheme_is_a_value_too():
    class Lopsided(LabelPartitioner):
        def __init__(self, num_partitions, ratio=2.0, seed=42):
            super().__init__(num_partitions, seed=seed)
            self.ratio = ratio

        def class_counts(self, column, streams):
            weights = np.log([self.ratio] + [1] * (self.num_partitions - 1))
            return apportion_classes(column, self.num_partitions, lambda rng: weights, streams)

    assert repr(Lopsided(3, ratio=4)) == "Lopsided(num_partitions=3, ratio=4, seed=42)"
    assert Lopsided(3) == Lopsided(3, ratio=2.0) != Lopsided(3, ratio=4)
    check_partitioner(Lopsided(3), [row % 4 for row in range(80)], by_class=True)


def test_an_error_recommends_bins_only_where_there_is_an_argument_for_them():
    with pytest.raises(TypeError, match="or pass num_bins for a continuous target"):
        dirichlet().assign([0.5] * 100)
    for without in (IidPartitioner(2), flskew.partitioners.PachinkoPartitioner(2, {})):
        with pytest.raises(TypeError, match=r"or bin the values first, e\.g\. with np\.digitize"):
            without.assign([0.5] * 100)


def test_a_federated_data_set_accepts_a_partitioner(tmp_path):
    DATASET.to_parquet(tmp_path / "train.parquet")
    federated = FederatedDataset(dataset=str(tmp_path), shuffle=False, partitioners={"train": dirichlet()})
    assert federated.load_partition(3)["row"][:] == dirichlet().assign(DATASET["label"])[3].tolist()
    assert federated.partitioners["train"].num_partitions == 5


def test_the_plots_of_flower_datasets_accept_a_partitioner():
    partitioner = dirichlet()
    partitioner.dataset = DATASET.cast_column("label", ClassLabel(names=["a", "b", "c", "d"]))
    figure, _, frame = plot_label_distributions(partitioner, label_name="label")
    assert np.array_equal(frame.to_numpy(), partitioner.assignment.label_counts)
    figure.clear()


def test_loading_is_lazy_and_assigns_once(monkeypatch):
    calls = []
    original = DirichletPartitioner.split
    monkeypatch.setattr(DirichletPartitioner, "split", lambda self, *given: calls.append(1) or original(self, *given))
    partitioner = dirichlet()
    partitioner.dataset = DATASET
    assert not calls
    partitioner.load_partition(0)
    partitioner.load_partition(1)
    assert len(calls) == 1


def test_without_a_data_set_loading_is_an_error():
    with pytest.raises(AttributeError, match=r"DirichletPartitioner is not bound to a data set yet; .* or call assign"):
        dirichlet().load_partition(0)


def test_an_iid_split_needs_no_labels_and_is_the_same_with_them():
    blind, seeing = IidPartitioner(7), IidPartitioner(7, partition_by="label")
    blind.dataset = seeing.dataset = DATASET
    assert [rows.tolist() for rows in blind.assignment] == [rows.tolist() for rows in seeing.assignment]
    assert np.ptp(blind.assignment.sizes) == 1
    assert seeing.assignment.label_counts.sum() == 100


def test_the_extra_row_of_an_iid_split_favours_no_partition():
    sizes = np.array([IidPartitioner(3, seed=seed).assign([0] * 10).sizes for seed in range(900)])
    # One of three partitions has 4 of the 10 rows: each 300 times in 900, with a standard deviation of 14.
    assert np.all(np.abs((sizes == 4).sum(axis=0) - 300) < 4 * 14.2)


def test_your_own_scheme_implements_one_method():
    class FirstCome(Partitioner):
        def split(self, column, streams):
            rows = np.arange(len(column))
            return flskew.Assignment.from_partitions(np.array_split(rows, self.num_partitions), column)

    partitioner = FirstCome(4)
    partitioner.dataset = DATASET
    assert partitioner.load_partition(1)["row"][:] == list(range(25, 50))
    assert partitioner.assignment.label_counts.tolist() == [[7, 6, 6, 6], [6, 7, 6, 6], [6, 6, 7, 6], [6, 6, 6, 7]]


@pytest.mark.parametrize("partition_id", [5, -1, 2.0, "1", None])
@pytest.mark.parametrize("error", [KeyError, IndexError])
def test_a_partition_id_out_of_range_is_both_errors(partition_id, error):
    partitioner = dirichlet()
    partitioner.dataset = DATASET
    with pytest.raises(error, match="0 to 4"):
        partitioner.load_partition(partition_id)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"alpha": 0}, ValueError, r"alpha must be a finite number > 0, .* got 0.0; smaller is more skewed"),
        ({"alpha": -0.5}, ValueError, "got -0.5"),
        ({"alpha": float("nan")}, ValueError, "got nan"),
        ({"alpha": float("inf")}, ValueError, "got inf"),
        ({"alpha": [1, 2]}, ValueError, r"got an array of shape \(2,\); pass 5 numbers, or one"),
        ({"alpha": []}, ValueError, r"got an array of shape \(0,\)"),
        ({"alpha": [1, 2, 0, 4, 5]}, ValueError, "got 0.0 for partition 2"),
        ({"alpha": np.ones((5, 1))}, ValueError, r"shape \(5, 1\)"),
        ({"alpha": "0.5"}, TypeError, "got '0.5' of type str"),
        ({"alpha": None}, TypeError, "got None"),
        ({"alpha": True}, TypeError, "got True"),
        ({"alpha": [[1], [2, 3]]}, TypeError, "alpha must be"),
        ({"num_partitions": 0}, ValueError, "num_partitions must be at least 1, got 0"),
        ({"num_partitions": 10**30}, ValueError, r"num_partitions must be at most 1152921504606846975, got 10{30}"),
        ({"num_partitions": 2.0}, TypeError, "num_partitions must be an integer, got 2.0"),
        ({"num_partitions": True}, TypeError, "num_partitions must be an integer, got True"),
        ({"min_partition_size": -1}, ValueError, "min_partition_size must be at least 0, got -1"),
        ({"min_partition_size": 1.5}, TypeError, "min_partition_size must be an integer"),
        ({"partition_by": None}, TypeError, "partition_by must be the name of a column, got None"),
        ({"partition_by": ""}, TypeError, "partition_by must be the name of a column"),
        ({"partition_by": 0.3}, TypeError, "got 0.3; pass the arguments after it by name, e.g. seed=42"),
        ({"self_balancing": "yes"}, TypeError, "self_balancing must be True or False, got 'yes'"),
        ({"shuffle": 1}, TypeError, "shuffle must be True or False, got 1"),
        (
            {"seed": None},
            TypeError,
            "seed must be an integer, got None: each client process would draw a different split",
        ),
        ({"seed": 1.5}, TypeError, "seed must be an integer, got 1.5"),
    ],
)
def test_a_bad_argument_is_refused_when_the_partitioner_is_made(changes, error, message):
    with pytest.raises(error, match=message):
        dirichlet(**changes)


@pytest.mark.parametrize("alpha", [1, np.float32(1), np.int64(1), Fraction(1), np.ones(5), [1] * 5, np.array(1.0)])
def test_alpha_may_be_any_real_number_or_one_per_partition(alpha):
    assert dirichlet(alpha=alpha).assign(DATASET["label"]) == dirichlet(alpha=1.0).assign(DATASET["label"])


def test_the_array_of_alphas_is_copied():
    alpha = np.ones(5)
    partitioner = dirichlet(alpha=alpha)
    alpha[:] = 100
    assert partitioner.assign(DATASET["label"]) == dirichlet(alpha=1.0).assign(DATASET["label"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_partitions": 101}, "num_partitions=101 exceeds the number of rows, 100; lower num_partitions"),
        (
            {"min_partition_size": 50},
            "min_partition_size=50 for 5 partitions needs 250 rows, got 100; lower min_partition_size or num_part",
        ),
        ({"partition_by": "lable"}, "partition_by='lable' is not a column of the data set; it has row, label"),
    ],
)
def test_an_impossible_split_of_the_data_set_is_refused_before_any_work(changes, message):
    partitioner = dirichlet(**changes)
    partitioner.dataset = DATASET
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            partitioner.load_partition(0)


@pytest.mark.parametrize(
    "make",
    [
        lambda count: dirichlet(num_partitions=count, min_partition_size=0),
        lambda count: LabelExclusionPartitioner({0: {1}}, num_partitions=count, alpha=0.5),
    ],
)
def test_more_partitions_than_rows_take_no_memory_before_they_are_refused(make):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="num_partitions=1000000000 exceeds the number of rows, 100"):
            make(10**9).assign(DATASET["label"])
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (DatasetDict(train=DATASET, test=DATASET), r"a DatasetDict of 'train', 'test'; .* e.g. dataset\['train'\]"),
        (DatasetDict(), r"dataset\['train'\]"),
        ({"label": [0, 1]}, r"a datasets.Dataset, got dict; make one with Dataset.from_dict or Dataset.from_pandas"),
        (DATASET.to_iterable_dataset(), r"got a stream \(IterableDataset\).*load it without streaming=True"),
    ],
)
def test_anything_but_a_data_set_is_refused_with_what_to_pass(dataset, message):
    with pytest.raises(TypeError, match=message):
        dirichlet().dataset = dataset


def test_a_data_set_is_bound_once():
    partitioner = dirichlet()
    partitioner.dataset = DATASET
    with pytest.raises(ValueError, match="only once"):
        partitioner.dataset = DATASET
