"""The scikit-learn quickstart: clients that know three digits each train a model of all ten."""

from __future__ import annotations

import random

import numpy as np
import pytest

from .apps import ExampleApp

APP = ExampleApp("quickstart-sklearn", "sklearnexample")
SHORT = {"num_server_rounds": 1}


def test_together_they_read_digits_that_each_has_never_seen() -> None:
    accuracy = APP.run(10).accuracy
    assert list(accuracy) == [1, 2, 3, 4, 5]
    assert accuracy[5] >= 0.85


def test_alone_a_client_reads_only_the_digits_it_has() -> None:
    client = APP.client(0, 10)
    start = APP.client(1, 10).model  # a model that has learned nothing
    parameters, _, _ = client.fit([start.coef_.copy(), start.intercept_.copy()], {"server-round": 1})
    _, _, metrics = client.evaluate(parameters, {})
    assert metrics["accuracy"] >= 0.8
    everybody = [APP.client(partition_id, 10) for partition_id in range(10)]
    images = np.concatenate([other.x_test for other in everybody])
    labels = np.concatenate([other.y_test for other in everybody])
    assert client.model.score(images, labels) <= 0.4  # three of ten digits


def test_a_client_has_as_many_digits_as_the_setting_says() -> None:
    for num_classes in (2, 3):
        clients = [APP.client(partition_id, 10, classes_per_client=num_classes) for partition_id in range(10)]
        assert {len(np.unique(client.y_train)) for client in clients} == {num_classes}


def test_every_image_is_with_one_client() -> None:
    clients = [APP.client(partition_id, 10) for partition_id in range(10)]
    assert sum(len(client.y_train) + len(client.y_test) for client in clients) == 1797


def test_the_larger_mu_the_nearer_a_round_ends_to_its_start() -> None:
    nothing, little, much = (APP.run(10, **SHORT, proximal_mu=mu) for mu in (0.0, 1.0, 10.0))
    lengths = [sum(float(np.square(array).sum()) for array in run.parameters) for run in (nothing, little, much)]
    assert lengths[0] > lengths[1] > lengths[2] > 0  # it starts at zero


def test_two_runs_are_alike_and_another_seed_makes_another() -> None:
    first, second, other = (APP.run(10, **SHORT, seed=seed) for seed in (1, 1, 2))
    assert first.distance(second) == 0
    assert first.distance(other) > 0


def test_a_run_neither_reads_nor_seeds_the_global_generators() -> None:
    def states() -> list[str]:
        return [repr(random.getstate()), repr(np.random.get_state(legacy=False))]  # noqa: NPY002

    before = states()
    APP.run(10, **SHORT)
    assert states() == before


@pytest.mark.parametrize("num_supernodes", [4, 20])
def test_any_number_of_clients_will_do(num_supernodes: int) -> None:
    assert APP.run(num_supernodes, **SHORT, min_available_nodes=num_supernodes).accuracy[1] >= 0.6
