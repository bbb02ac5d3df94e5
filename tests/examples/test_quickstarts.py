"""Tests of all quickstarts, whatever the framework."""

from __future__ import annotations

import random
import re
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from .apps import ExampleApp, Outcome


@dataclass(frozen=True)
class Case:
    """A quickstart, with a short run and the accuracy of a longer one."""

    app: ExampleApp
    num_clients: int
    short: dict[str, Any]
    mus: tuple[float, float, float]
    num_rounds: int
    accuracy: float
    strategies: dict[str, str]


# What each setting makes, as repr prints it.
STRATEGIES = {
    "fedavg": "FedAvg(seed=42)",
    "fedprox": "FedProx(proximal_mu=0.01, seed=42)",
    "feddyn": "FedDyn(alpha=0.01, seed=42)",
    "scaffold": "Scaffold(seed=42)",
    "fednova": "FedNova(seed=42)",
}
WITH_CLASS_AWARE = {**STRATEGIES, "class-aware": "FedAvg(seed=42, averaging=ClassAware())"}
WITH_MOMENTUM = {**WITH_CLASS_AWARE, "fednova": "FedNova(momentum=0.9, seed=42)"}

ONE_EPOCH = {"num_server_rounds": 1, "local_epochs": 1}
PYTORCH = Case(
    ExampleApp("quickstart-pytorch", "pytorchexample"), 3, ONE_EPOCH, (0.0, 0.3, 1.0), 5, 0.94, WITH_MOMENTUM
)
# With a learning rate times mu close to 1, training would be unstable.
SLOW = {**ONE_EPOCH, "learning_rate": 0.1}
TENSORFLOW = Case(ExampleApp("quickstart-tensorflow", "tfexample"), 5, SLOW, (0.0, 1.0, 5.0), 3, 0.78, WITH_CLASS_AWARE)
JAX = Case(ExampleApp("quickstart-jax", "jaxexample"), 5, SLOW, (0.0, 1.0, 5.0), 3, 0.78, WITH_CLASS_AWARE)
SKLEARN = Case(ExampleApp("quickstart-sklearn", "sklearnexample"), 10, ONE_EPOCH, (0.0, 1.0, 10.0), 5, 0.85, STRATEGIES)

CASES = [
    pytest.param(PYTORCH, marks=pytest.mark.torch, id="pytorch"),
    pytest.param(TENSORFLOW, marks=pytest.mark.tensorflow, id="tensorflow"),
    pytest.param(JAX, marks=pytest.mark.jax, id="jax"),
    pytest.param(SKLEARN, id="sklearn"),
]

every_quickstart = pytest.mark.parametrize("case", CASES)
every_strategy = pytest.mark.parametrize(
    ("case", "strategy"),
    [
        pytest.param(*param.values, strategy, marks=param.marks, id=f"{param.id}-{strategy}")
        for param in CASES
        for strategy in param.values[0].strategies
    ],
)


@every_quickstart
def test_together_the_clients_recognise_all_digits(case: Case) -> None:
    accuracy = case.app.run(case.num_clients, num_server_rounds=case.num_rounds).accuracy
    assert max(accuracy) == case.num_rounds
    assert accuracy[case.num_rounds] >= case.accuracy


@cache
def two_rounds(app: ExampleApp, num_clients: int, strategy: str) -> Outcome:
    return app.run(num_clients, num_server_rounds=2, local_epochs=1, strategy=strategy)


@every_strategy
def test_the_same_client_trains_under_every_strategy(case: Case, strategy: str) -> None:
    run, plain = (two_rounds(case.app, case.num_clients, name) for name in (strategy, "fedavg"))
    assert run.accuracy[2] >= 0.4  # a tenth by chance
    assert (run.distance(plain) > 1e-4) == (strategy != "fedavg")


@every_strategy
def test_a_setting_names_the_strategy(case: Case, strategy: str) -> None:
    named_strategy = case.app.module("server_app").named_strategy
    assert repr(named_strategy(case.app.config(strategy=strategy))()) == case.strategies[strategy]


@pytest.mark.long
@every_strategy
def test_the_table_in_the_readme_has_the_figures_of_the_settings(case: Case, strategy: str) -> None:
    readme = (case.app.folder / "README.md").read_text("utf-8")
    (row,) = re.findall(rf'^\| `"{strategy}"` \|(.*)\|$', readme, re.MULTILINE)
    first, _, last = (float(figure.strip(" %")) / 100 for figure in row.split("|")[:3])
    runs = [case.app.run(case.num_clients, strategy=strategy, seed=seed).accuracy for seed in (42, 1)]
    # The table has the means over more seeds.
    assert np.mean([run[1] for run in runs]) == pytest.approx(first, abs=0.08)
    assert np.mean([run[5] for run in runs]) == pytest.approx(last, abs=0.02)


@every_quickstart
def test_an_unknown_strategy_is_an_error_that_lists_the_names(case: Case) -> None:
    message = f"strategy must be one of {list(case.strategies)}, got 'fedsgd'"
    with pytest.raises(ValueError, match=re.escape(message)):
        case.app.run(case.num_clients, **case.short, strategy="fedsgd")


@pytest.mark.long
@every_quickstart
def test_a_larger_mu_keeps_a_round_closer_to_its_start(case: Case) -> None:
    start = case.app.run(case.num_clients, **{**case.short, "learning_rate": 1e-12})
    runs = [case.app.run(case.num_clients, **case.short, strategy="fedprox", proximal_mu=mu) for mu in case.mus]
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
