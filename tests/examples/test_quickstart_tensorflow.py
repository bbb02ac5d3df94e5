"""The TensorFlow quickstart: all clients in a process share one Keras model."""

from __future__ import annotations

import numpy as np
import pytest

from .apps import ExampleApp

APP = ExampleApp("quickstart-tensorflow", "tfexample")
SHORT = {"num_server_rounds": 1, "local_epochs": 1, "min_available_nodes": 3}

pytestmark = pytest.mark.tensorflow


def test_a_client_is_not_affected_by_the_clients_before_it() -> None:
    one, other = (APP.client(partition_id, 3, **SHORT) for partition_id in (0, 1))
    start = [array.copy() for array in one.model.get_weights()]
    first, _, _ = one.fit(start, {"server-round": 1, "proximal-mu": 0.5})
    other.fit(start, {"server-round": 1, "proximal-mu": 0.1})
    again, _, _ = one.fit(start, {"server-round": 1, "proximal-mu": 0.5})
    for array, expected in zip(again, first, strict=True):
        np.testing.assert_allclose(array, expected, atol=1e-5)


def test_the_reported_loss_does_not_contain_the_proximal_term() -> None:
    client = APP.client(0, 3, **SHORT, learning_rate=1e-12)
    start = [array.copy() for array in client.model.get_weights()]
    _, _, metrics = client.fit(start, {"server-round": 1, "proximal-mu": 10.0})
    expected = client.model.evaluate(client.x_train, client.y_train, verbose=0)[0]
    assert metrics["train-loss"] == pytest.approx(expected, rel=1e-4)
