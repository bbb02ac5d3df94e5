"""Tests of all quickstarts, whatever the framework."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from .apps import ExampleApp


@dataclass(frozen=True)
class Case:
    """A quickstart, with a short run and the accuracy of a longer one."""

    app: ExampleApp
    num_clients: int
    short: dict[str, Any]
    mus: tuple[float, float, float]
    num_rounds: int
    accuracy: float


ONE_EPOCH = {"num_server_rounds": 1, "local_epochs": 1}
PYTORCH = Case(ExampleApp("quickstart-pytorch", "pytorchexample"), 3, ONE_EPOCH, (0.0, 0.3, 1.0), 5, 0.94)
# With a learning rate times mu close to 1, training would be unstable.
SLOW = {**ONE_EPOCH, "learning_rate": 0.1}
TENSORFLOW = Case(ExampleApp("quickstart-tensorflow", "tfexample"), 5, SLOW, (0.0, 1.0, 5.0), 3, 0.78)
JAX = Case(ExampleApp("quickstart-jax", "jaxexample"), 5, SLOW, (0.0, 1.0, 5.0), 3, 0.78)
SKLEARN = Case(ExampleApp("quickstart-sklearn", "sklearnexample"), 10, ONE_EPOCH, (0.0, 1.0, 10.0), 5, 0.85)

CASES = [
    pytest.param(PYTORCH, marks=pytest.mark.torch, id="pytorch"),
    pytest.param(TENSORFLOW, marks=pytest.mark.tensorflow, id="tensorflow"),
    pytest.param(JAX, marks=pytest.mark.jax, id="jax"),
    pytest.param(SKLEARN, id="sklearn"),
]

every_quickstart = pytest.mark.parametrize("case", CASES)


@every_quickstart
def test_together_the_clients_recognise_all_digits(case: Case) -> None:
    accuracy = case.app.run(case.num_clients, num_server_rounds=case.num_rounds).accuracy
    assert max(accuracy) == case.num_rounds
    assert accuracy[case.num_rounds] >= case.accuracy


@pytest.mark.long
@every_quickstart
def test_a_larger_mu_keeps_a_round_closer_to_its_start(case: Case) -> None:
    start = case.app.run(case.num_clients, **{**case.short, "learning_rate": 1e-12})
    runs = [case.app.run(case.num_clients, **case.short, proximal_mu=mu) for mu in case.mus]
    distances = [run.distance(start) for run in runs]
    assert distances[0] > 1.05 * distances[1] > 1.05**2 * distances[2] > 0


@every_quickstart
def test_runs_are_reproducible_and_depend_on_the_seed(case: Case) -> None:
    first, second, other = (case.app.run(case.num_clients, **case.short, seed=seed) for seed in (1, 1, 2))
    assert first.distance(second) < 1e-5
    assert first.distance(other) > 0.01


@every_quickstart
def test_a_run_neither_reads_nor_seeds_the_global_generators(case: Case) -> None:
    def states() -> list[Any]:
        states = [random.getstate(), repr(np.random.get_state(legacy=False))]  # noqa: NPY002
        if "torch" in sys.modules:
            states.append(sys.modules["torch"].get_rng_state().tolist())
        if "tensorflow" in sys.modules:
            states.append(sys.modules["tensorflow"].random.get_global_generator().state.numpy().tolist())
        return states

    case.app.module("task")  # imported first, because a framework may draw from them on import
    before = states()
    case.app.run(case.num_clients, **case.short)
    assert states() == before


@pytest.mark.parametrize("case", CASES[1:])  # the first one drops images that their hospital must not hold
def test_every_image_is_held_by_one_client(case: Case) -> None:
    clients = [case.app.client(partition_id, case.num_clients) for partition_id in range(case.num_clients)]
    assert sum(len(client.y_train) + len(client.y_test) for client in clients) == 1797
