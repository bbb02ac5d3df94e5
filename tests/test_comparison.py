"""Flower behaves as docs/comparison.md says.

These tests check Flower instead of flskew. If one fails after an update of Flower, the page is out of date.
"""

from __future__ import annotations

import random

import flwr_datasets.partitioner as datasets_partitioner
import numpy as np
import pytest
from datasets import Dataset
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import strategy as flower
from numpy.typing import NDArray

from flskew import LocalGrid

Partitions = list[list[int]]

ONES = np.ones(3)
TEN_CLASSES = np.arange(6000) % 10

# Flower Datasets warns before each redraw.
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]


def train(replies: list[NDArray[np.float64]], weights: list[float], start: NDArray[np.float64]) -> list[np.ndarray]:
    """Run one round of Flower's FedAvg with three clients; a client without a reply raises."""
    app = ClientApp()

    @app.train()
    def reply(message: Message, context: object) -> Message:
        number = int(context.node_config["partition-id"])  # type: ignore[attr-defined]
        metrics = MetricRecord({"num-examples": weights[number]})
        return Message(RecordDict({"arrays": ArrayRecord([replies[number]]), "metrics": metrics}), reply_to=message)

    strategy = flower.FedAvg(fraction_evaluate=0.0)
    return strategy.start(LocalGrid(app, 3), ArrayRecord([start]), num_rounds=1).arrays.to_numpy_ndarrays()


def test_one_nan_corrupts_the_model() -> None:
    assert np.isnan(train([ONES, ONES, np.nan * ONES], [10, 10, 10], ONES)).all()


def test_mismatched_shapes_broadcast_unless_the_wrong_one_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "sample", lambda nodes, count: sorted(nodes)[:count])  # how Flower orders the nodes
    (model,) = train([ONES, ONES, np.array([4.0])], [10, 10, 10], ONES)
    np.testing.assert_allclose(model, [2, 2, 2])  # (1 + 1 + 4) / 3
    with pytest.raises(ValueError, match="broadcast"):
        train([np.array([4.0]), ONES, ONES], [10, 10, 10], ONES)


def test_negative_and_nan_weights_are_counted() -> None:
    (model,) = train([ONES, ONES, 5 * ONES], [10, 10, -10], ONES)
    np.testing.assert_allclose(model, -3 * ONES)  # (10 + 10 - 50) / 10
    assert np.isnan(train([ONES, ONES, ONES], [10.0, 10.0, np.nan], ONES)).all()


def test_integers_come_back_as_floats() -> None:
    (model,) = train([np.full(3, 7)] * 3, [10, 10, 10], np.full(3, 0))
    assert model.tolist() == [6.999999999999999] * 3


def test_zero_weights_end_the_run() -> None:
    with pytest.raises(ZeroDivisionError):
        train([ONES] * 3, [0, 0, 0], ONES)


def test_a_run_in_which_every_client_fails_ends_with_an_empty_model() -> None:
    assert train([], [], ONES) == []


def test_the_documented_proximal_term_has_no_square_and_no_parameters_after_the_first_step() -> None:
    assert "(local_weights - global_weights).norm(2)\n" in str(flower.FedProx.__doc__)
    assert "global_params = copy.deepcopy(net).parameters()\n" in str(flower.FedProx.__doc__)


def load(name: str, labels: NDArray[np.generic], *arguments: object, **settings: object) -> Partitions:
    """The labels of each partition that Flower Datasets makes."""
    partitioner = getattr(datasets_partitioner, name)(*arguments, **settings)
    partitioner.dataset = Dataset.from_dict({"label": labels})
    return [list(partitioner.load_partition(number)["label"]) for number in range(partitioner.num_partitions)]


def test_a_dirichlet_split_is_redrawn_ten_times_and_then_fails() -> None:
    with pytest.raises(ValueError, match=r"max number of attempts \(10\)"):
        load("DirichletPartitioner", TEN_CLASSES, 100, "label", 0.05)


@pytest.mark.parametrize("labels", [TEN_CLASSES + 1, TEN_CLASSES.astype(str)], ids=["from 1", "words"])
def test_client_by_client_only_works_for_labels_from_0(labels: NDArray[np.generic]) -> None:
    assert len(load("DirichletPartitioner", labels, 10, "label", 0.5)) == 10
    with pytest.raises(ValueError, match="robabilities contain NaN"):
        load("InnerDirichletPartitioner", labels, [600] * 10, "label", 0.5)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"num_shards_per_partition": 3}, 987),
        ({"num_shards_per_partition": 3, "keep_incomplete_shard": True}, 953),
        ({"shard_size": 47}, 987),
        ({"shard_size": 47, "keep_incomplete_shard": True}, 1000),
    ],
)
def test_rows_that_do_not_fill_a_shard_are_only_kept_if_just_the_size_is_given(
    settings: dict[str, int], kept: int
) -> None:
    assert sum(map(len, load("ShardPartitioner", TEN_CLASSES[:1000], 7, "label", **settings))) == kept


def test_some_classes_have_no_holder() -> None:
    """Two of ten classes for each of ten clients with six seeds, then for each of five clients with three seeds."""
    ten = [load("PathologicalPartitioner", TEN_CLASSES, 10, "label", 2, seed=seed) for seed in range(6)]
    assert sorted(len(set().union(*partitions)) for partitions in ten) == [9, 9, 9, 9, 9, 10]
    five = [load("PathologicalPartitioner", TEN_CLASSES, 5, "label", 2, seed=seed) for seed in range(3)]
    assert [sum(map(len, partitions)) for partitions in five] == [4200] * 3


def test_zeros_in_a_table_of_shares_do_not_exclude_a_class() -> None:
    shares = np.array([[float((client - label) % 10 >= 3) for client in range(10)] for label in range(10)])
    labels = np.arange(6011) % 10
    partitions = load("DistributionPartitioner", labels, shares, 10, 10, "label", 0, seed=1)
    counts = np.array([np.bincount(own, minlength=10) for own in partitions])
    assert counts.sum() == len(labels)
    assert counts[shares.T == 0].sum() > 0
    with pytest.raises(ValueError, match="not divisible by the number of unique labels"):
        load("DistributionPartitioner", labels, shares[:, :3], 3, 10, "label", 0)


def test_a_row_without_a_label_is_dropped() -> None:
    labels = np.append(np.arange(100.0) % 2, np.nan)
    assert sum(map(len, load("DirichletPartitioner", labels, 2, "label", 10.0))) == 100


def test_train_and_test_splits_with_the_same_seed_drift_apart_for_7_of_20_seeds() -> None:
    apart = []
    for seed in range(20):
        train_and_test = [
            np.array([np.bincount(own, minlength=10) / len(own) for own in partitions])
            for labels in (TEN_CLASSES, TEN_CLASSES[:1000])
            for partitions in [load("DirichletPartitioner", labels, 20, "label", 0.3, seed=seed)]
        ]
        apart.append(float(np.abs(np.subtract(*train_and_test)).sum(axis=1).mean() / 2))
    drifted, others = [one for one in apart if one > 0.2], [one for one in apart if one <= 0.2]
    assert (len(drifted), f"{min(drifted):.2f}", f"{max(drifted):.2f}") == (7, "0.61", "0.75")
    assert (f"{min(others):.2f}", f"{max(others):.2f}") == ("0.03", "0.05")
