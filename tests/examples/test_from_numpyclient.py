"""An old NumPyClient app: changing one line lets its client work with current strategies, with the same result."""

from __future__ import annotations

import difflib
import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from flwr.common import parameters_to_ndarrays
from flwr.server import ServerApp
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg

from flskew import RoundError, simulate

from .apps import ExampleApp, Flwr

APP = ExampleApp("from-numpyclient", "numpyclientexample")


def before(name: str) -> ModuleType:
    return importlib.import_module(f"before.{name}")


def difference() -> list[str]:
    """The lines that differ between the old and the new client."""
    then, now = ((APP.folder / folder / "client_app.py").read_text("utf-8") for folder in ("before", APP.package))
    lines = difflib.unified_diff(then.splitlines(), now.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def test_exactly_one_line_of_the_client_changes() -> None:
    assert difference() == ["-from flwr.clientapp import ClientApp", "+from flskew import client_app as ClientApp"]


def test_the_readme_shows_that_line() -> None:
    readme = (APP.folder / "README.md").read_text("utf-8")
    assert "\n".join(difference()) in readme


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_moved_app_learns_the_same_model_as_before() -> None:
    trained = []

    def server_fn(context):
        components = before("server_app").server_fn(context)
        aggregate = components.strategy.aggregate_fit

        def aggregate_fit(*arguments):
            parameters, metrics = aggregate(*arguments)
            trained.append(parameters_to_ndarrays(parameters))
            return parameters, metrics

        components.strategy.aggregate_fit = aggregate_fit
        return components

    simulate(ServerApp(server_fn=server_fn), before("client_app").app, 5, APP.config())
    assert len(trained) == APP.config()["num-server-rounds"]
    for then, now in zip(trained[-1], APP.run(5).parameters, strict=True):
        np.testing.assert_allclose(now, then, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_without_that_line_the_client_fails_with_a_current_strategy() -> None:
    with pytest.raises(RoundError, match="fitins"):
        simulate(APP.module("server_app").app, before("client_app").app, 5, APP.config())


def test_the_moved_client_also_works_with_a_strategy_of_flower(monkeypatch: pytest.MonkeyPatch) -> None:
    flskews = APP.run(5)
    monkeypatch.setattr(APP.module("server_app"), "FedAvg", FlowerFedAvg)
    assert APP.run(5).distance(flskews) < 1e-12


def test_the_model_recognises_nine_of_ten_images_after_three_rounds() -> None:
    accuracy = APP.run(5).accuracy
    assert list(accuracy) == [1, 2, 3]
    assert accuracy[3] >= 0.9


@pytest.mark.ray
def test_flwr_run_completes_with_the_same_model_as_simulate(flwr: Flwr, tmp_path: Path) -> None:
    app = shutil.copytree(APP.folder, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    model = tmp_path / "model.npz"
    started = flwr(
        *("run", app, "--stream", "--federation-config", "num-supernodes=5 client-resources-num-cpus=1"),
        *("--run-config", f'model-file="{model}"'),
    )
    runs = json.loads(flwr("ls", "--format", "json").stdout)["runs"]
    assert [one["status"] for one in runs] == ["finished:completed"], started.stdout + started.stderr
    with np.load(model) as there:
        for name, here in zip(there.files, APP.run(5).parameters, strict=True):
            # On Ray, replies arrive in any order, and are added in that order.
            np.testing.assert_allclose(there[name], here, rtol=1e-9, atol=1e-12)
