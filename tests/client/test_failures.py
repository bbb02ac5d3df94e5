"""Error replies of clients, the node's log, and the state of a client that failed."""

from __future__ import annotations

import copy
import json
import logging
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode

from flskew import ClientError, FedAvg, LocalGrid, client_app

NODES = [1000, 1001, 1002]


class Client:
    """Fails as the config says."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def fit(self, parameters: Any, config: Any) -> Any:
        if config["way"] == "value":
            raise ValueError(f"label {self.context.node_id} is unknown")
        if config["way"] == "library":
            json.loads(str(self.context.node_id))["key"]
            json.loads("{")
        if config["way"] == "told":
            raise ClientError("no rows\nyet")
        if config["way"] == "recursion":
            self.fit(parameters, config)
        if config["way"] == "generated":
            exec("raise ValueError")
        return parameters[:0], 1, {}


def request(way: str, node: int = 1000, kind: str = "train") -> Message:
    content = {"arrays": ArrayRecord([np.zeros(2)]), "config": ConfigRecord({"way": way})}
    return Message(RecordDict(content), node, kind)


def reasons(app: Any, way: str) -> list[str]:
    with LocalGrid(app, 3) as grid:
        replies = list(grid.send_and_receive([request(way, node) for node in NODES]))
    assert {reply.error.code for reply in replies} == {ErrorCode.CLIENT_APP_RAISED_EXCEPTION}
    return [reply.error.reason for reply in replies]


@pytest.mark.parametrize(
    ("way", "pattern"),
    [
        ("value", r"ValueError at test_failures.py:\d+ in Client.fit; the node's log has its message under id \w{8}"),
        ("library", r"TypeError at test_failures.py:\d+ in Client.fit; the node's log has its message under id \w{8}"),
        ("recursion", r"RecursionError at test_failures.py:\d+ in Client.fit; the node's log .* under id \w{8}"),
        ("generated", r"ValueError at test_failures.py:\d+ in Client.fit; the node's log .* under id \w{8}"),
        ("told", r"ClientError: no rows yet \(test_failures.py:\d+ in Client.fit, id \w{8} in the node's log\)"),
        ("count", r"ClientError: fit received 1 arrays and returned 0; .* \(id \w{8} in the node's log\)"),
    ],
)
def test_every_node_gives_the_same_reason_with_type_place_and_id(way: str, pattern: str) -> None:
    (reason,) = set(reasons(client_app(Client), way) + reasons(client_app(Client), way))
    assert re.fullmatch(pattern, reason), reason


def test_different_failures_have_different_ids() -> None:
    ids = [re.findall(r"id (\w{8})", reasons(client_app(Client), way)[0])[0] for way in ("value", "told", "count")]
    assert len(set(ids)) == 3


def test_the_log_has_the_traceback_once_under_the_id_of_the_reason(log: pytest.LogCaptureFixture) -> None:
    log.set_level(logging.ERROR, "flwr")
    reason, *_ = reasons(client_app(Client), "value")
    (message,) = log.messages
    assert reason[-8:] in message
    assert message.startswith("The client of node 1000 failed, id ")
    assert "ValueError: label 1000 is unknown" in message
    assert 'raise ValueError(f"label {self.context.node_id} is unknown")' in message
    log.clear()
    log.set_level(logging.DEBUG, "flwr")
    reasons(client_app(Client), "value")
    assert [record.levelname for record in log.records if "failed, id" in record.message] == ["ERROR", "DEBUG", "DEBUG"]


class Copies(ClientApp):
    """Runs a copy of an app for each message, as Ray does."""

    def __init__(self, app: ClientApp) -> None:
        super().__init__()
        self.app = app

    def __call__(self, message: Message, context: Context) -> Message:
        return copy.deepcopy(self.app)(message, context)


@pytest.mark.parametrize("way", ["value", "told"])
def test_a_run_logs_a_traceback_once_even_if_the_engine_copies_the_app_for_each_message(
    way: str, log: pytest.LogCaptureFixture
) -> None:
    log.set_level(logging.ERROR, "flwr")
    strategy = FedAvg(min_replies=0, fraction_evaluate=0.0)
    with LocalGrid(Copies(client_app(Client)), 3) as grid:
        for _ in range(2):
            log.clear()
            strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=3, train_config=ConfigRecord({"way": way}))
            # The second run too, on the same grid: its log may be all that a notebook still shows.
            (message,) = log.messages
            assert message.startswith("The client of node 1000 failed, id ")


def test_the_log_says_how_to_send_a_failure_to_the_server(log: pytest.LogCaptureFixture) -> None:
    private, full = (client_app(Client, errors=errors) for errors in ("private", "full"))
    reasons(private, "value")
    assert 'errors="full"' in log.messages[0].partition("\n")[0]
    log.clear()
    reasons(full, "value")
    assert 'errors="full"' not in log.messages[0].partition("\n")[0]


def test_full_errors_have_message_and_traceback_without_control_characters() -> None:
    class Coloured:
        def fit(self, parameters: Any, config: Any) -> Any:
            raise OSError("\x1b[31mthe disk is full" + " " * 100_000)

    (reason, *_) = reasons(client_app(lambda context: Coloured(), errors="full"), "")
    lines = reason.split("\n")
    assert lines[0].startswith("OSError:  [31mthe disk is full")
    assert lines[1] == "Traceback (most recent call last):"
    assert any("in fit" in line for line in lines)
    assert all(line.isprintable() for line in lines)
    assert len(reason) <= 16 * 1024 + 3


def test_errors_are_private_or_full() -> None:
    with pytest.raises(ValueError, match="errors must be 'private' or 'full', got 'none'"):
        client_app(Client, errors="none")  # type: ignore[arg-type]


class Forgetful(Client):
    """Changes its state in every way, and fails on request."""

    def fit(self, parameters: Any, config: Any) -> Any:
        state = self.context.state
        count = state.setdefault("count", MetricRecord({"calls": 0}))
        count["calls"] += 1
        state.setdefault("list", ConfigRecord({"list": []}))["list"].append(1)
        kept = state.setdefault("arrays", ArrayRecord([np.zeros(2)]))
        kept["0"] = ArrayRecord([kept["0"].numpy() + 1])["0"]
        state[f"call {len(state)}"] = MetricRecord({})
        if config["way"] == "fail":
            self.context.state = RecordDict()
            raise ValueError
        return parameters, 1, {"calls": count["calls"]}


def test_a_failed_client_leaves_its_state_unchanged_on_any_engine() -> None:
    # Without a grid: Flower's engines keep the context, changed or not.
    app = client_app(Forgetful)
    context = Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})

    def contents() -> Any:
        records = {key: repr(dict(record)) for key, record in context.state.items()}
        return records, [array.tolist() for array in context.state["arrays"].to_numpy_ndarrays()]

    with LocalGrid(app, 1):
        assert not app(request("", 1000), context).has_error()
        before = contents()
        for kind in ("train", "evaluate"):
            assert app(request("fail", 1000, kind), context).has_error()
            assert contents() == before
        assert app(request("", 1000), context).content["metrics"]["calls"] == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_is_not_a_failure(error: type[BaseException]) -> None:
    def client_fn(context: Context) -> Any:
        raise error

    app = client_app(client_fn)
    context = Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})
    with LocalGrid(app, 1), pytest.raises(error):
        app(request(""), context)


def test_a_mod_that_returns_nothing_is_an_error() -> None:
    def mod(message: Message, context: Context, call_next: Callable[..., Message]) -> None:
        call_next(message, context)

    class Good:
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 1, {}

    (reason, *_) = reasons(client_app(lambda context: Good(), mods=[mod]), "")  # type: ignore[list-item]
    assert reason.startswith("ClientError: a mod returned NoneType; end it with `return reply`, a Message")


ON_RAY = """
import json
import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation
from flskew import FedAvg, RoundError, client_app, simulate

def client_fn(context):
    context.state.clear()
    raise FileNotFoundError(f"/data/{context.node_id}.csv")

app = ServerApp()

@app.main()
def main(grid, context):
    try:
        FedAvg().start(grid, ArrayRecord([np.zeros(2)]), num_rounds=1)
    except RoundError as error:
        print(json.dumps([failure.reason for failure in error.failures]), flush=True)

simulate(app, client_app(client_fn), 2)
run_simulation(app, client_app(client_fn), 2, backend_config={"client_resources": {"num_cpus": 1}})
"""


@pytest.mark.ray
def test_on_ray_the_reason_is_the_same_as_in_one_process(tmp_path: Path, python: str) -> None:
    script = tmp_path / "app.py"
    script.write_text(ON_RAY)
    done = subprocess.run([python, script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    in_process, on_ray = (json.loads(line) for line in done.stdout.splitlines() if line.startswith('["'))
    assert on_ray == in_process
    assert len(set(on_ray)) == 1
    assert re.fullmatch(r"FileNotFoundError at app.py:11 in client_fn; the node's log has .* id \w{8}", on_ray[0])
