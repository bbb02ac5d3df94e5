"""The JAX quickstart: flax on a Dirichlet split, with the local term in a compiled step."""

from __future__ import annotations

import pytest

from .apps import ExampleApp

APP = ExampleApp("quickstart-jax", "jaxexample")
SHORT = {"num_server_rounds": 1, "local_epochs": 1, "min_available_nodes": 3}

pytestmark = pytest.mark.jax


def test_a_step_is_compiled_once_for_all_clients_and_rounds() -> None:
    step = APP.module("task").train_step
    step.clear_cache()
    APP.run(5, num_server_rounds=2, local_epochs=1)
    assert step._cache_size() == 1
