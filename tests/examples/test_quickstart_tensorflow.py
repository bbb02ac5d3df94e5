"""The TensorFlow quickstart: Keras on a Dirichlet split, with the proximal term inside `model.fit`."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from .apps import ExampleApp

APP = ExampleApp("quickstart-tensorflow", "tfexample")
SHORT = {"num_server_rounds": 1, "local_epochs": 1, "min_available_nodes": 3}

pytestmark = pytest.mark.tensorflow


def test_together_the_clients_read_all_digits() -> None:
    accuracy = APP.run(5, num_server_rounds=3).accuracy
    assert list(accuracy) == [1, 2, 3]
    assert accuracy[3] >= 0.78


def test_every_image_is_with_one_client_however_skewed_the_split() -> None:
    for alpha in (0.1, 10.0):
        clients = [APP.client(partition_id, 5, alpha=alpha) for partition_id in range(5)]
        assert sum(len(client.y_train) + len(client.y_test) for client in clients) == 1797


def test_the_larger_mu_the_nearer_a_round_ends_to_its_start() -> None:
    start = APP.run(3, **SHORT, learning_rate=1e-12)
    distances = [APP.run(3, **SHORT, learning_rate=0.1, proximal_mu=mu).distance(start) for mu in (0.0, 1.0, 5.0)]
    assert distances[0] > 1.05 * distances[1] > 1.05**2 * distances[2] > 0


def test_two_runs_are_alike_and_another_seed_makes_another() -> None:
    first, second, other = (APP.run(3, **SHORT, seed=seed) for seed in (1, 1, 2))
    assert first.distance(second) < 1e-5
    assert first.distance(other) > 0.1


def test_a_run_neither_reads_nor_seeds_the_global_generators() -> None:
    import tensorflow as tf

    def states() -> list[Any]:
        tensorflows = tf.random.get_global_generator().state.numpy().tolist()
        return [repr(random.getstate()), repr(np.random.get_state(legacy=False)), tensorflows]  # noqa: NPY002

    APP.module("task")  # importing may do what it likes
    before = states()
    APP.run(3, **SHORT)
    assert states() == before
