"""Clients over several rounds: what they receive, keep and send."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import flwr.serverapp.strategy as flower
import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp.mod import LocalDpMod, arrays_size_mod, message_size_mod
from numpy.typing import NDArray

from flskew import Assignment, IidPartitioner, LocalGrid, client_app, partition
from flskew._wire import does_not_evaluate

Arrays = list[NDArray[Any]]
NODES = [1000, 1001, 1002]


class Adds:
    """Adds one to every parameter, and counts as ten rows."""

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
        return [array + array.dtype.type(1) for array in parameters], 10, {}

    def evaluate(self, parameters: Arrays, config: dict[str, Any]) -> Any:
        return float(parameters[0].sum()), 10, {}


def ask(grid: LocalGrid, kind: str = "train", **config: Any) -> list[RecordDict]:
    """Send all nodes the same records, as strategies do, and return their replies."""
    content = RecordDict({"arrays": ArrayRecord([np.zeros(2)]), "config": ConfigRecord(config)})
    replies = list(grid.send_and_receive([Message(content, node, kind) for node in grid.get_node_ids()]))
    for reply in replies:
        assert not reply.has_error(), reply.error.reason
    return [reply.content for reply in replies]


def test_each_node_keeps_its_own_state_across_rounds_and_phases() -> None:
    class Remembers(Adds):
        def __init__(self, context: Context) -> None:
            self.context = context

        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            memory = self.context.state.setdefault("memory", MetricRecord({"sum": 0}))
            memory["sum"] += 10 ** self.context.node_config["partition-id"]
            return parameters, 1, {"sum": memory["sum"]}

        def evaluate(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            return 0.0, 1, {"sum": self.context.state["memory"]["sum"]}

    with LocalGrid(client_app(Remembers), 3) as grid:
        seen = [[reply["metrics"]["sum"] for reply in ask(grid)] for _ in range(3)]
        seen += [[reply["metrics"]["sum"] for reply in ask(grid, "evaluate")]]
    assert seen == [[1, 10, 100], [2, 20, 200], [3, 30, 300], [3, 30, 300]]


def test_a_model_kept_in_the_state_is_unchanged_in_the_next_round() -> None:
    class KeepsHead(Adds):
        def __init__(self, context: Context) -> None:
            self.state = context.state

        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            kept = self.state.get("head")
            head = np.zeros(2, np.float32) if kept is None else kept.to_numpy_ndarrays()[0]
            self.state["head"] = ArrayRecord([head + np.float32(0.5)])
            return parameters, 1, {"head": head.tolist()}

    with LocalGrid(client_app(KeepsHead), 1) as grid:
        heads = [ask(grid)[0]["metrics"]["head"] for _ in range(3)]
    assert heads == [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]


def test_the_configs_of_the_run_the_node_and_the_round_reach_the_client() -> None:
    class Tells(Adds):
        def __init__(self, context: Context) -> None:
            self.number, self.count = partition(context)
            self.rate = context.run_config["learning-rate"]

        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            return parameters, 1, {"seen": [self.number, self.count, self.rate, config["server-round"]]}

    with LocalGrid(client_app(Tells), 3, {"learning-rate": 0.1}) as grid:
        seen = [reply["metrics"]["seen"] for reply in ask(grid, **{"server-round": 7})]
    assert seen == [[0, 3, 0.1, 7], [1, 3, 0.1, 7], [2, 3, 0.1, 7]]


def test_changes_that_a_client_makes_to_its_input_affect_no_other_client() -> None:
    class Vandal(Adds):
        def __init__(self, context: Context) -> None:
            self.context = context

        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            seen = [float(parameters[0].sum()), len(config["layers"]), len(config), len(self.context.run_config)]
            parameters[0][...] = np.nan
            config["layers"].append(1)
            config["new"] = 1
            self.context.run_config["new"] = 1
            return parameters, 1, {"seen": seen}

    with LocalGrid(client_app(Vandal), 3, {"learning-rate": 0.1}) as grid:
        layers = [1, 2]
        first, second = ([reply["metrics"]["seen"] for reply in ask(grid, layers=layers)] for _ in range(2))
    assert first == [[0.0, 2, 1, 1]] * 3
    assert second == [[0.0, 2, 1, 2]] * 3  # Each node keeps its own context and run config.
    assert layers == [1, 2]


def test_two_clients_of_one_message_share_nothing_even_without_a_grid() -> None:
    """As when another engine passes the same message to each client."""

    def fit(parameters: Arrays, config: dict[str, Any]) -> Any:
        seen = [float(parameters[0].sum()), len(config["layers"])]
        parameters[0] += 1
        config["layers"].append(1)
        return parameters, 1, {"seen": seen}

    class Client:
        pass

    client = Client()
    client.fit = fit  # type: ignore[attr-defined]
    app = client_app(lambda context: client)  # type: ignore[arg-type, return-value]
    context = Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})
    with LocalGrid(app, 1):
        message = Message(
            RecordDict({"arrays": ArrayRecord([np.zeros(2)]), "config": ConfigRecord({"layers": [1, 2]})}),
            1000,
            "train",
        )
        seen = [app(message, context).content["metrics"]["seen"] for _ in range(2)]
    assert seen == [[0.0, 2.0]] * 2


@pytest.mark.parametrize("mod", [arrays_size_mod, message_size_mod, LocalDpMod(1e9, 1.0, 1e9, 0.1)])
def test_flowers_mods_work_around_the_client(mod: Any) -> None:
    with LocalGrid(client_app(lambda context: Adds(), mods=[mod]), 2) as grid:
        for reply in ask(grid):
            np.testing.assert_allclose(reply["arrays"].to_numpy_ndarrays()[0], [1.0, 1.0], atol=1e-3)


def test_flowers_mods_see_clients_that_do_not_evaluate() -> None:
    class OnlyFits:
        fit = Adds.fit

    with LocalGrid(client_app(lambda context: OnlyFits(), mods=[message_size_mod, arrays_size_mod]), 1) as grid:
        (reply,) = grid.send_and_receive([Message(RecordDict({"arrays": ArrayRecord()}), 1000, "evaluate")])
    assert does_not_evaluate(reply)


class OnlyFits(NumPyClient):
    """A NumPyClient that inherits its evaluate, which returns zeros."""

    def fit(self, parameters: Any, config: Any) -> Any:
        return [parameters[0] + 1], 10, {}


FLOWERS: dict[str, Callable[[], flower.Strategy]] = {
    "FedAvg": flower.FedAvg,
    "FedProx": lambda: flower.FedProx(proximal_mu=0.0),
    "FedMedian": flower.FedMedian,
    "FedTrimmedAvg": flower.FedTrimmedAvg,
    "FedAvgM": flower.FedAvgM,
    "FedAdam": flower.FedAdam,
    "Krum": flower.Krum,
}


@pytest.mark.parametrize("name", FLOWERS)
def test_flowers_strategies_ignore_clients_that_do_not_evaluate(name: str, caplog: Any) -> None:
    with LocalGrid(client_app(lambda context: OnlyFits()), 3) as grid, caplog.at_level(logging.INFO, "flwr"):
        result = FLOWERS[name]().start(grid, ArrayRecord([np.zeros(2)]), num_rounds=2)
    assert list(result.train_metrics_clientapp) == [1, 2]
    assert not any(result.evaluate_metrics_clientapp.values())
    assert np.isfinite(result.arrays.to_numpy_ndarrays()[0]).all()
    assert "set fraction_evaluate=0.0 on the strategy so that it is not asked" in caplog.text
    assert "Traceback" not in caplog.text


class Split(Adds):
    """A client with an assignment."""

    def __init__(self, assignment: object) -> None:
        self.assignment = assignment


ASSIGNMENT = IidPartitioner(3).assign(range(30))


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_client_with_an_assignment_sends_its_fingerprint(kind: str) -> None:
    with LocalGrid(client_app(lambda context: Split(ASSIGNMENT)), 3) as grid:
        for number, reply in enumerate(ask(grid, kind)):
            assert dict(reply["flskew"]) == {"assignment": ASSIGNMENT.fingerprint, "partition-id": number}
            assert isinstance(reply["flskew"], ConfigRecord)


@pytest.mark.parametrize("kind", ["train", "evaluate"])
@pytest.mark.parametrize("client", [Adds(), Split(None)], ids=["no attribute", "None"])
def test_a_client_without_an_assignment_sends_no_fingerprint(client: Any, kind: str) -> None:
    with LocalGrid(client_app(lambda context: client), 1) as grid:
        assert list(ask(grid, kind)[0]["flskew"]) == ["partition-id"]


NAMED = Assignment.from_partitions({"Bern": [0], "Lyon": [1]})


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_the_name_of_a_partition_is_that_of_the_assignment(kind: str) -> None:
    with LocalGrid(client_app(lambda context: Split(NAMED)), 3) as grid:
        names = [reply["flskew"].get("partition-name") for reply in ask(grid, kind)]
    assert names == ["Bern", "Lyon", None]


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        pytest.param("Ward 7", "Ward 7", id="a text"),
        pytest.param(" \x1b[31mWard\n7 ", "Ward 7", id="a text that cannot be printed"),
        pytest.param("", None, id="an empty text, which hides the name"),
        pytest.param(7, "Bern", id="a number, which is unrelated"),
        pytest.param(lambda: "x", "Bern", id="a method, which is unrelated"),
    ],
)
def test_an_attribute_name_replaces_the_name_of_the_assignment_if_it_is_text(name: object, sent: str | None) -> None:
    client = Split(NAMED)
    client.name = name  # type: ignore[attr-defined]
    with LocalGrid(client_app(lambda context: client), 1) as grid:
        assert ask(grid, "train")[0]["flskew"].get("partition-name") == sent


@pytest.mark.parametrize("number", ["0", -1, 2.0, True, 2**63, None])
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_partition_id_that_is_not_a_number_of_a_partition_is_not_sent(number: Any, kind: str) -> None:
    config = {} if number is None else {"partition-id": number}
    context = Context(run_id=1, node_id=2, node_config=config, state=RecordDict(), run_config={})
    app = client_app(lambda context: Split(NAMED))
    with LocalGrid(app, 1):  # Flower needs its identity to make messages
        message = Message(RecordDict({"arrays": ArrayRecord([np.zeros(2)]), "config": ConfigRecord()}), 2, kind)
        reply = app(message, context)
    assert dict(reply.content["flskew"]) == {"assignment": NAMED.fingerprint}


@pytest.mark.parametrize("assignment", [IidPartitioner(3), ASSIGNMENT[0], ASSIGNMENT.fingerprint, Assignment])
def test_an_attribute_assignment_of_another_type_is_an_error(assignment: object) -> None:
    app = client_app(lambda context: Split(assignment))
    with LocalGrid(app, 1) as grid:
        message = Message(RecordDict({"arrays": ArrayRecord([np.zeros(2)])}), 1000, "train")
        (reply,) = grid.send_and_receive([message])
    assert reply.error.reason.startswith(
        "ClientError: Split.assignment must be a flskew.Assignment or a flskew.Schedule, got "
    )


@pytest.mark.parametrize("name", FLOWERS)
def test_flowers_strategies_ignore_the_fingerprint(name: str) -> None:
    results = []
    for client in (Adds(), Split(ASSIGNMENT)):
        with LocalGrid(client_app(lambda context, client=client: client), 3) as grid:  # type: ignore[misc]
            result = FLOWERS[name]().start(grid, ArrayRecord([np.zeros(2)]), num_rounds=2)
        results.append((result.arrays.to_numpy_ndarrays()[0].tolist(), dict(result.evaluate_metrics_clientapp)))
    assert results[0] == results[1]


class TellsEach(flower.FedAvg):
    """Sends every node its own number of local epochs."""

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Any:
        for message in super().configure_train(server_round, arrays, config, grid):
            node = message.metadata.dst_node_id
            settings = ConfigRecord({**message.content["config"], "local-epochs": PLAN[server_round][node]})
            yield Message(RecordDict({"arrays": arrays, "config": settings}), node, "train")


PLAN = {1: dict(zip(NODES, (1, 2, 4), strict=True)), 2: dict(zip(NODES, (4, 1, 1), strict=True))}


def test_a_client_that_does_fewer_epochs_reports_them_and_is_weighted_by_its_rows() -> None:
    class Works:
        """Adds one in each epoch, and stops after three."""

        def __init__(self, context: Context) -> None:
            self.rows = 10 * (1 + partition(context)[0])

        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            done = min(config["local-epochs"], 3)
            for _ in range(done):
                parameters[0] += 1
            return parameters, self.rows, {"local-epochs": done}

    with LocalGrid(client_app(Works), 3) as grid:
        result = TellsEach(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(1)]), num_rounds=2)
    # Round 1: (10*1 + 20*2 + 30*3) / 60 = 7/3; round 2: (10*3 + 20*1 + 30*1) / 60 = 4/3.
    reported = [result.train_metrics_clientapp[number]["local-epochs"] for number in (1, 2)]
    np.testing.assert_allclose(reported, [7 / 3, 4 / 3])
    np.testing.assert_allclose(result.arrays.to_numpy_ndarrays()[0], [7 / 3 + 4 / 3])


@pytest.mark.parametrize("done", [0, 2, 1.5, np.float32(0.25)])
def test_work_is_reported_in_whole_or_fractional_epochs(done: Any) -> None:
    class Works:
        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            return parameters, 1, {"local-epochs": done}

    with LocalGrid(client_app(lambda context: Works()), 1) as grid:
        assert ask(grid)[0]["metrics"]["local-epochs"] == done
