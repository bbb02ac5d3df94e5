"""The scikit-learn quickstart: clients that hold three digits each train a model of all ten."""

from __future__ import annotations

import numpy as np
import pytest

from .apps import ExampleApp

APP = ExampleApp("quickstart-sklearn", "sklearnexample")
SHORT = {"num_server_rounds": 1}


def test_alone_a_client_recognises_only_the_digits_it_holds() -> None:
    client = APP.client(0, 10)
    start = APP.client(1, 10).model  # an untrained model
    parameters, _, _ = client.fit([start.coef_.copy(), start.intercept_.copy()], {"server-round": 1})
    _, _, metrics = client.evaluate(parameters, {})
    assert metrics["accuracy"] >= 0.8
    clients = [APP.client(partition_id, 10) for partition_id in range(10)]
    images = np.concatenate([other.x_test for other in clients])
    labels = np.concatenate([other.y_test for other in clients])
    assert client.model.score(images, labels) <= 0.4  # three of ten digits


def test_the_setting_determines_the_number_of_digits_per_client() -> None:
    for num_classes in (2, 3):
        clients = [APP.client(partition_id, 10, classes_per_client=num_classes) for partition_id in range(10)]
        assert {len(np.unique(client.y_train)) for client in clients} == {num_classes}


@pytest.mark.parametrize("num_supernodes", [4, 20])
def test_any_number_of_clients_works(num_supernodes: int) -> None:
    assert APP.run(num_supernodes, **SHORT, min_available_nodes=num_supernodes).accuracy[1] >= 0.6
