"""Whole apps in this process, and their configs."""

from __future__ import annotations

import logging
import textwrap
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flwr.client
import flwr.common
import flwr.server
import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg as FlowersFedAvg
from flwr.serverapp.strategy import Result

from flskew._flower import _read
from flskew.client import client_app
from flskew.simulation import LocalGrid, read_app_config, simulate
from flskew.strategies import FedAvg, RoundError
from flskew.typing import Parameters


class Softmax:
    """Softmax regression on the client's own rows, as in a notebook."""

    def __init__(self, context: Context) -> None:
        self.rate = float(context.run_config.get("learning-rate", 0.5))
        rng = np.random.default_rng(int(context.node_config["partition-id"]))
        self.labels = rng.integers(0, 3, 100)
        self.rows = np.eye(3)[self.labels] + rng.normal(0, 0.3, (100, 3))

    def probabilities(self, weights: Any) -> Any:
        scores = np.exp(self.rows @ weights)
        return scores / scores.sum(axis=1, keepdims=True)

    def fit(self, parameters: Any, config: Any) -> Any:
        (weights,) = parameters
        for _ in range(20):
            weights -= self.rate * self.rows.T @ (self.probabilities(weights) - np.eye(3)[self.labels]) / 100
        return [weights], 100, {}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        probabilities = self.probabilities(parameters[0])
        loss = -np.log(probabilities[np.arange(100), self.labels]).mean()
        return loss, 100, {"accuracy": (probabilities.argmax(axis=1) == self.labels).mean()}


def server_app() -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        rounds = int(context.run_config["num-server-rounds"])
        result = FedAvg().start(grid, ArrayRecord([np.zeros((3, 3))]), num_rounds=rounds)
        context.state["arrays"] = result.arrays
        context.state["metrics"] = result.evaluate_metrics_clientapp[rounds]

    return app


def test_a_notebook_gets_flowers_result_in_one_line() -> None:
    result = FedAvg().start(LocalGrid(client_app(Softmax), 3), ArrayRecord([np.zeros((3, 3))]), num_rounds=3)
    assert isinstance(result, Result)
    losses = [float(record["loss"]) for record in result.evaluate_metrics_clientapp.values()]  # type: ignore[arg-type]
    assert losses == sorted(losses, reverse=True)
    assert float(result.evaluate_metrics_clientapp[3]["accuracy"]) > 0.9  # type: ignore[arg-type]


def test_a_whole_app_leaves_its_results_in_the_servers_context() -> None:
    context = simulate(server_app(), client_app(Softmax), 3, {"num-server-rounds": 3})
    assert context.run_config == {"num-server-rounds": 3}
    assert context.state["arrays"]["0"].shape == (3, 3)
    assert float(context.state["metrics"]["accuracy"]) > 0.9


def test_the_same_app_twice_gives_the_same_model_bit_for_bit() -> None:
    first, second = (
        simulate(server_app(), client_app(Softmax), num_supernodes=3, run_config={"num-server-rounds": 2})
        for _ in range(2)
    )
    assert first.state["arrays"]["0"].data == second.state["arrays"]["0"].data


def test_the_run_config_reaches_server_and_clients() -> None:
    configs = [{"num-server-rounds": 1, "learning-rate": rate} for rate in (0.0, 0.5)]
    still, moved = (simulate(server_app(), client_app(Softmax), 2, config).state["arrays"]["0"] for config in configs)
    assert not still.numpy().any()
    assert moved.numpy().any()


def test_an_app_may_simulate_another_while_it_runs() -> None:
    outer = ServerApp()

    @outer.main()
    def main(grid: Grid, context: Context) -> None:
        inner = simulate(server_app(), client_app(Softmax), 2, {"num-server-rounds": 1})
        result = FedAvg().start(grid, inner.state["arrays"], num_rounds=1)
        context.state["arrays"] = result.arrays
        assert grid.run.run_id != inner.run_id

    before = _read()
    context = simulate(outer, client_app(Softmax), 3)
    assert context.state["arrays"]["0"].numpy().any()
    assert _read() == before


def test_an_exception_in_the_server_is_raised_unchanged_and_the_identity_is_restored() -> None:
    app, error = ServerApp(), LookupError("no such data set")

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        raise error

    before = _read()
    with pytest.raises(LookupError) as caught:
        simulate(app, client_app(Softmax), 2)
    assert caught.value is error
    assert _read() == before


def test_a_round_that_fails_is_raised_with_its_reasons() -> None:
    def client_fn(context: Context) -> Any:
        raise FileNotFoundError("/data/train.csv")

    with pytest.raises(RoundError, match=r"FileNotFoundError at test_run.py:\d+ in .*client_fn; the node's log has"):
        simulate(server_app(), client_app(client_fn), 2, {"num-server-rounds": 1})


@pytest.mark.parametrize(
    ("server", "client", "message"),
    [
        (None, ClientApp(), "server_app must be a flwr.serverapp.ServerApp, got NoneType; the order is simulate"),
        (ClientApp(), ServerApp(), "server_app must be a flwr.serverapp.ServerApp, got ClientApp"),
        (ServerApp(), Softmax, "client_app must be a flwr.clientapp.ClientApp, got type; flskew.client_app"),
    ],
)
def test_arguments_that_are_not_apps_are_refused(server: Any, client: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        simulate(server, client, 2)


def test_a_server_app_without_a_main_function_is_refused() -> None:
    with pytest.raises(ValueError, match=r"server_app has nothing to run; decorate .* with @server_app.main\(\)"):
        simulate(ServerApp(), client_app(Softmax), 2)


def test_a_legacy_flower_app_runs_too() -> None:
    """`server_fn` on one side, `client_fn` on the other."""

    class Adds(flwr.client.NumPyClient):
        def fit(self, parameters: Any, config: Any) -> Any:
            return [parameters[0] + 1], 10, {}

        def evaluate(self, parameters: Any, config: Any) -> Any:
            seen.append(parameters[0].tolist())
            return 0.5, 10, {}

    seen: list[Any] = []
    initial = flwr.common.ndarrays_to_parameters([np.zeros(2)])

    def server_fn(context: Context) -> flwr.server.ServerAppComponents:
        return flwr.server.ServerAppComponents(
            strategy=flwr.server.strategy.FedAvg(initial_parameters=initial),
            config=flwr.server.ServerConfig(num_rounds=2),
        )

    server = flwr.server.ServerApp(server_fn=server_fn)
    simulate(server, flwr.client.ClientApp(client_fn=lambda context: Adds().to_client()), 2)
    assert seen == [[1, 1], [1, 1], [2, 2], [2, 2]]


def test_a_whole_app_runs_max_workers_clients_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=10)

    class Waits(Softmax):
        def fit(self, parameters: Any, config: Any) -> Any:
            barrier.wait()  # for two others
            return super().fit(parameters, config)

    simulate(server_app(), client_app(Waits), 3, {"num-server-rounds": 1}, max_workers=3)


@pytest.mark.parametrize("max_workers", [2, 5])
def test_the_number_of_threads_does_not_change_the_model(max_workers: int) -> None:
    def model(max_workers: int) -> bytes:
        config = {"num-server-rounds": 3}
        context = simulate(server_app(), client_app(Softmax), 7, config, max_workers=max_workers)
        return b"".join(array.data for array in context.state.array_records["arrays"].values())

    assert model(max_workers) == model(1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path": Path("/data")}, r"run_config\['path'\] must be a bool, int, float or str, .* a path with str\(\)"),
        (
            {"model": {"layers": [1, 2]}},
            r"run_config\['model.layers'\] must be a bool, int, float or str, got \[1, 2\]",
        ),
        ({1: 2}, "run_config: keys must be strings, got 1"),
        ("app", r"run_config must be a dictionary, got str; .*read_app_config\(path\)"),
    ],
)
def test_a_run_config_that_flower_could_not_send_is_refused(config: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        simulate(ServerApp(), ClientApp(), 2, config)


PYPROJECT = """
    [project]
    name = "app"
    version = "1.0.0"
    license = "Apache-2.0"

    [tool.flwr.app]
    publisher = "somebody"

    [tool.flwr.app.components]
    serverapp = "app:server"
    clientapp = "app:client"

    [tool.flwr.app.config]
    num-server-rounds = 3
    learning-rate = 0.1
    verbose = true
    model = { name = "mlp", size.hidden = 64 }
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(textwrap.dedent(PYPROJECT))
    return tmp_path


def test_the_config_of_an_app_is_read_flat_as_flower_reads_it(app: Path) -> None:
    from flwr.common.config import get_fused_config_from_dir

    overrides = {"learning-rate": 0.5, "model.name": "cnn"}
    assert read_app_config(app) == get_fused_config_from_dir(app, {})
    assert read_app_config(str(app / "pyproject.toml"), overrides) == get_fused_config_from_dir(app, overrides)
    assert read_app_config(app, {"model": {"name": "cnn"}})["model.name"] == "cnn"


def test_an_override_of_an_unknown_key_is_refused(app: Path) -> None:
    with pytest.raises(LookupError, match=r"'lr' is not in .* which has .*'learning-rate'"):
        read_app_config(app, {"lr": 0.5})


def test_a_file_without_an_app_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"pyproject.toml does not exist; pass the directory of a Flower app"):
        read_app_config(tmp_path)
    file = tmp_path / "pyproject.toml"
    file.write_text("[project]\nname = 'x'\n")
    with pytest.raises(ValueError, match=r"pyproject.toml has no \[tool.flwr.app\]"):
        read_app_config(file)
    file.write_text("[tool.flwr.app\n")
    with pytest.raises(ValueError, match=r"pyproject.toml is not TOML"):
        read_app_config(file)
    file.write_text("[tool.flwr.app]\npublisher = 'José'\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"pyproject.toml is not TOML in UTF-8"):
        read_app_config(file)
    file.write_text("[tool.flwr.app]\npublisher = 'x'\n")
    assert read_app_config(file) == {}


def test_metrics_in_the_servers_state_are_returned() -> None:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        context.state["seen"] = MetricRecord({"nodes": len(list(grid.get_node_ids()))})

    assert simulate(app, ClientApp(), 5).state["seen"]["nodes"] == 5


def logging_app() -> ServerApp:
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        logging.getLogger("flwr").info("a line of the ServerApp")
        for strategy in (FlowersFedAvg(fraction_evaluate=0.0), FedAvg(fraction_evaluate=0.0)):
            strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)

    return server_app


class Adds:
    def fit(self, parameters: Parameters, config: Mapping[str, object]) -> tuple[Parameters, int, dict[str, float]]:
        return [parameters[0] + 1], 10, {}


@pytest.mark.parametrize("verbose", [True, False], ids=["verbose", "quiet"])
def test_only_a_verbose_simulation_shows_what_flower_and_flskew_log(
    verbose: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)
    caplog.set_level(logging.INFO, logger="flwr")
    simulate(logging_app(), client_app(lambda context: Adds()), num_supernodes=2, verbose=verbose)
    messages = caplog.messages
    assert messages.count("a line of the ServerApp") == 1
    assert messages.count("[ROUND 1/1]") == (2 if verbose else 0)  # Flower's strategy and ours
    assert {record.levelname for record in caplog.records[1:]} == ({"INFO", "WARNING"} if verbose else {"WARNING"})
