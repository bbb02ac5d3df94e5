"""A run that fails keeps its model, and its error messages are readable."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.clientapp import ClientApp
from flwr.server.client_manager import SimpleClientManager
from flwr.server.server import Server as LegacyServer
from flwr.serverapp import strategy as flower
from hypothesis import given
from hypothesis import strategies as st

from flskew import Assignment
from flskew.client import client_app, partition_id
from flskew.simulation import LocalGrid
from flskew.strategies import Checked, FedAvg, RoundError
from flskew.strategies._reasons import grouped, read_reason

if TYPE_CHECKING:
    from tests.strategies.conftest import MakesFederation

ZERO = ArrayRecord([np.zeros(1)])
STRATEGIES = [FedAvg, lambda **arguments: Checked(flower.FedAvg(), **arguments)]


def grows(index: int, message: Message) -> dict[str, Any]:
    """Add one to the model, and from round 3 on fail."""
    if message.content["config"]["server-round"] == 3:
        raise OSError("the disk is full")
    (array,) = message.content["arrays"].to_numpy_ndarrays()
    return {"arrays": ArrayRecord([array + 1]), "metrics": MetricRecord({"num-examples": 1, "loss": 2.0})}


def fails(index: int, message: Message) -> dict[str, Any]:
    raise RuntimeError("no test rows")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_that_ends_early_keeps_its_latest_model_and_its_metrics(
    strategy: Any, federation: MakesFederation
) -> None:
    running = strategy()
    with pytest.raises(RoundError) as caught:
        running.start(
            federation(train=grows), ZERO, num_rounds=5,
            evaluate_fn=lambda server_round, arrays: MetricRecord({"sum": float(arrays["0"].numpy()[0])}),
        )  # fmt: skip
    result = caught.value.result
    np.testing.assert_array_equal(result.arrays["0"].numpy(), [2.0])
    assert result.train_metrics_clientapp == {1: {"loss": 2.0}, 2: {"loss": 2.0}}
    assert result.evaluate_metrics_clientapp == {1: {"loss": 1.0}, 2: {"loss": 1.0}}
    assert result.evaluate_metrics_serverapp == {0: {"sum": 0.0}, 1: {"sum": 1.0}, 2: {"sum": 2.0}}
    assert result is running.result


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_that_ends_in_its_first_round_keeps_the_initial_model(strategy: Any, federation: MakesFederation) -> None:
    with pytest.raises(RoundError) as caught:
        strategy().start(federation(train=fails), ZERO)
    assert caught.value.result.arrays == ZERO


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_after_an_error_in_user_code_the_strategy_still_has_the_model(
    strategy: Any, federation: MakesFederation
) -> None:
    def evaluate(server_round: int, arrays: ArrayRecord) -> None:
        arrays.clear()  # which must not affect the run
        if server_round == 2:
            raise KeyboardInterrupt

    running = strategy()
    with pytest.raises(KeyboardInterrupt):
        running.start(federation(train=grows), ZERO, evaluate_fn=evaluate)
    np.testing.assert_array_equal(running.result.arrays["0"].numpy(), [2.0])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("phase", ["train", "evaluate"])
def test_a_failed_round_inside_one_of_flowers_wrappers_still_has_the_model(
    phase: str, strategy: Any, federation: MakesFederation
) -> None:
    wrapped = flower.DifferentialPrivacyClientSideFixedClipping(strategy(min_evaluate_replies=1), 0.0, 1.0, 3)

    def answers(index: int, message: Message) -> dict[str, Any]:
        fails = (message.metadata.message_type, message.content["config"]["server-round"]) == (phase, 2)
        metrics = MetricRecord({"num-examples": -1 if fails else 1})
        return {"arrays": ArrayRecord([np.full(1, 4.0)]), "metrics": metrics}

    with pytest.raises(RoundError) as caught:
        wrapped.start(federation(train=answers, evaluate=answers), ZERO)
    assert (caught.value.server_round, caught.value.phase) == (2, phase)
    np.testing.assert_array_equal(caught.value.result.arrays["0"].numpy(), [4.0])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_evaluation_that_fails_everywhere_does_not_end_the_training(
    strategy: Any, federation: MakesFederation, log: pytest.LogCaptureFixture
) -> None:
    running = strategy()
    result = running.start(federation(train=grows, evaluate=fails), ZERO, num_rounds=2)
    np.testing.assert_array_equal(result.arrays["0"].numpy(), [2.0])
    assert result.evaluate_metrics_clientapp == {}
    assert [len(entry.failures) for entry in running.history] == [0, 3, 0, 3]
    assert "nodes 1000, 1001, 1002: RuntimeError: no test rows" in log.text


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_evaluation_with_fewer_replies_than_required_ends_the_run_with_the_rounds_model(
    strategy: Any, federation: MakesFederation
) -> None:
    with pytest.raises(RoundError, match="round 1: accepted 0 of 3 evaluate replies, needs at least 1") as caught:
        strategy(min_evaluate_replies=1).start(federation(train=grows, evaluate=fails), ZERO)
    np.testing.assert_array_equal(caught.value.result.arrays["0"].numpy(), [1.0])
    assert caught.value.phase == "evaluate"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_client_that_only_trains_is_not_a_failure_and_is_asked_to_evaluate_once(strategy: Any) -> None:
    asked = []

    class Trains:
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 1, {}

    class Evaluates(Trains):
        def evaluate(self, parameters: Any, config: Any) -> Any:
            return 2.0, 1, {}

    def client_fn(context: Any) -> Any:
        asked.append(partition_id(context))
        return Evaluates() if partition_id(context) == 2 else Trains()

    running = strategy()
    with LocalGrid(client_app(client_fn), 3) as grid:
        result = running.start(grid, ZERO, num_rounds=3)
    assert result.evaluate_metrics_clientapp == {1: {"loss": 2.0}, 2: {"loss": 2.0}, 3: {"loss": 2.0}}
    assert [(len(entry.replies), len(entry.failures)) for entry in running.history] == [(3, 0), (1, 0)] * 3
    # Three trainings each, one evaluation of the first two, three of the last.
    assert [asked.count(partition) for partition in range(3)] == [4, 4, 6]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_if_no_client_evaluates_none_is_asked_again(strategy: Any, log: pytest.LogCaptureFixture) -> None:
    class Trains:
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 1, {}

    running = strategy()
    with LocalGrid(client_app(lambda context: Trains()), 3) as grid:
        running.start(grid, ZERO, num_rounds=3)
        assert [entry.phase for entry in running.history] == ["train", "evaluate", "train", "train"]
        assert "WARNING" not in {record.levelname for record in log.records}
        with pytest.raises(RoundError, match=r"0 of 3 .*, needs at least 1 \(nodes 1000, 1001, 1002 only train\)"):
            strategy(min_evaluate_replies=1).start(grid, ZERO, num_rounds=3)


def test_clients_that_only_train_are_each_asked_to_evaluate_once_whatever_the_sample_size() -> None:
    asked = []

    class Trains:
        def __init__(self, context: Any) -> None:
            asked.append(partition_id(context))

        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 1, {}

    with LocalGrid(client_app(Trains), 4) as grid:
        FedAvg(fraction_evaluate=0.5, min_evaluate_nodes=1).start(grid, ZERO, num_rounds=5)
    # Five trainings and one evaluation each: of two nodes, then of one of the other two, then of the last.
    assert [asked.count(partition) for partition in range(4)] == [6] * 4


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_clients_get_the_configs_and_start_does_not_change_the_callers_records(
    strategy: Any, federation: MakesFederation
) -> None:
    seen: dict[str, list[object]] = {"train": [], "evaluate": []}

    def note(index: int, message: Message) -> dict[str, Any]:
        seen[message.metadata.message_type].append(dict(message.content["config"]))
        return grows(index, message)

    arrays, configs = ArrayRecord([np.zeros(1)]), [ConfigRecord({"lr": 0.5}), ConfigRecord({"batch": 8})]
    strategy().start(
        federation(train=note, evaluate=note, nodes=2), arrays, 2, train_config=configs[0], evaluate_config=configs[1],
        evaluate_fn=lambda server_round, arrays: arrays.clear(),
    )  # fmt: skip
    assert seen == {
        phase: [{**config, "server-round": server_round} for server_round in (1, 1, 2, 2)]
        for phase, config in zip(("train", "evaluate"), configs, strict=True)
    }
    assert arrays == ZERO
    assert configs == [{"lr": 0.5}, {"batch": 8}]


def test_changes_that_a_strategy_makes_to_its_config_last_from_round_to_round(federation: MakesFederation) -> None:
    seen = []

    class Decays(FedAvg):
        """Halves the learning rate, as Flower's documentation shows."""

        def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
            config["lr"] *= 0.5
            return super().configure_train(server_round, arrays, config, grid)

    def train(index: int, message: Message) -> dict[str, Any]:
        seen.append(message.content["config"]["lr"])
        return {"arrays": ZERO, "metrics": MetricRecord({"num-examples": 1})}

    Decays(fraction_evaluate=0.0).start(federation(train=train), ZERO, 2, train_config=ConfigRecord({"lr": 1.0}))
    assert seen == [0.5] * 3 + [0.25] * 3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_node_whose_replies_are_always_dropped_is_named_at_the_end_of_the_run(
    strategy: Any, log: pytest.LogCaptureFixture
) -> None:
    # Four nodes and three partitions: without a summary at the end, one dropped reply per round is easy to miss.
    assignment = Assignment.from_partitions([[0], [1], [2]])

    class Client:
        def __init__(self, context: Any) -> None:
            self.rows = assignment[partition_id(context)]

        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, len(self.rows), {}

        def evaluate(self, parameters: Any, config: Any) -> Any:
            return 0.0, len(self.rows), {}

    with LocalGrid(client_app(Client), 4) as grid:
        strategy().start(grid, ZERO, num_rounds=3)
    reason = (
        "there are more nodes than partitions, start one node per partition: "
        "PartitionIdError: partition_id is out of range: there are 3 partitions, 0 to 2 (test_failures.py:"
    )
    totals = [record.getMessage() for record in log.records if "In total" in record.getMessage()]
    assert [total.partition("(")[0] + "(test_failures.py:" for total in totals] == [
        f"In total, node 1003: 3 of 3 train replies dropped; {reason}",
        f"In total, node 1003: 3 of 3 evaluate replies dropped; {reason}",
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_dropped_replies_are_also_summed_up_when_a_run_ends_early(
    strategy: Any, federation: MakesFederation, log: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RoundError):
        strategy().start(federation(train=grows), ZERO)
    assert "In total, nodes 1000, 1001, 1002: 1 of 3 train replies dropped; OSError: the disk is full" in log.text


RAY = (
    "<class 'ray.exceptions.RayTaskError(ClientAppException)'>:<'\x1b[36mray::Actor.run()\x1b[39m (pid=1)\n"
    "           ^^^^^^\n"
    '  File "app.py", line 161, in __call__\n    return function(message, context)\n           ^^^^^^\n'
    '  File "client.py", line 12, in fit\n    raise ValueError("no data on 1")\n'
    "ValueError: no data on 1\nsecond line\n\n"
    "The above exception was the direct cause of the following exception:\n\n\x1b[36mray::Actor.run()\x1b[39m (pid=1)\n"
    '  File "actor.py", line 65, in run\n    raise ClientAppException(str(ex)) from ex\n'
    "flwr.ClientAppException: \nException ClientAppException occurred. Message: no data on 1\nsecond line'>"
)


def framed(words: str) -> str:
    return f"<class 'ValueError'>:<'{words}'>"


@pytest.mark.parametrize(
    ("text", "reason", "has_traceback"),
    [
        ("Node Unavailable", "Node Unavailable", False),
        ("<class 'ValueError'>:<'no data'>", "ValueError: no data", False),
        ("<class 'flskew.client.ClientError'>:<'no data\nat all'>", "ClientError: no data", True),
        ("ValueError: no data\nat all\nTraceback (most recent call last):\n  File x\n", "ValueError: no data", True),
        (RAY, "ValueError: no data on 1", True),
        ("\x1b[31mbroken\x1b[0m\n", "broken", False),
        ("", "", False),
    ],
)
def test_a_reason_is_one_line_whatever_engine_reports_it(text: str, reason: str, has_traceback: bool) -> None:
    line, traceback = read_reason(text)
    assert line == reason
    assert bool(traceback) is has_traceback
    assert "\x1b" not in traceback


def test_a_thousand_nodes_and_a_hundred_reasons_stay_readable() -> None:
    assert grouped((node, "no data") for node in range(1000)) == [
        "nodes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 990 more: no data"
    ]
    assert grouped((node, "no data") for node in range(10)) == ["nodes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9: no data"]
    lines = grouped((node, f"reason {node}") for node in range(100))
    assert len(lines) == 21
    assert lines[-1] == "and 80 other reasons"


def test_a_reason_that_is_too_long_keeps_both_ends() -> None:
    (line,) = grouped([(1, "first" + "x" * 10_000 + "last")])
    assert line.startswith("node 1: first")
    assert line.endswith("last")
    assert len(line) < 450


PIECES = st.sampled_from(
    ["<class '", "'>:<'", "'>", "ValueError", "(", ".", "'", "\n", "\n\n", "  File x", "  ", ": ", "no data", "x" * 500]
)
HOSTILE = st.sampled_from(
    [
        "fitins.",
        "PartitionIdError",
        "\x1b[31m",
        "\x1b[",
        "\x9b",
        "\x1b]",
        "\x07",
        "\u202e",
        "\0",
        "\ud800",
    ]
)
TEXTS = st.lists(PIECES | HOSTILE, max_size=40).map("".join)


@given(text=st.text() | TEXTS | TEXTS.map(framed))
def test_any_client_text_becomes_one_printable_line_and_a_printable_text(text: str) -> None:
    line, traceback = read_reason(text)
    assert line.isprintable()
    assert len(line) <= 400
    assert traceback.replace("\n", "").isprintable()
    assert len(traceback) <= 16 * 1024
    assert read_reason(line)[1] == ""
    (shown,) = grouped([(1000, line)])
    assert shown == f"node 1000: {line}"


@pytest.mark.parametrize(
    "text",
    [
        "<class 'KeyError'>:<'fitins.parameters'>",
        "KeyError: 'fitins.parameters' (compat.py:112 in fitins, id 1a2b3c4d in the node's log)",
        "<class 'KeyError'>:<'\x1b[1mevaluateins.parameters\x1b[0m'>",
    ],
)
def test_the_error_of_a_half_migrated_app_says_what_to_do(text: str) -> None:
    assert read_reason(text)[0].startswith(
        "flwr.client.NumPyClient needs an app made by flskew.client_app(client_fn): "
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_error_of_a_strategy_in_a_legacy_server_fn_says_where_it_belongs(strategy: Any) -> None:
    server = LegacyServer(client_manager=SimpleClientManager(), strategy=strategy())
    with pytest.raises(AttributeError, match=r"'initialize_parameters'; it belongs in a ServerApp with @app.main\(\)"):
        server.fit(num_rounds=1, timeout=None)
    with pytest.raises(AttributeError, match=r"has no attribute 'other'$"):
        getattr(strategy(), "other")  # noqa: B009


@pytest.mark.parametrize("make_app", [client_app, lambda client_fn: raising_app()])
def test_terminal_escapes_in_a_clients_error_do_not_reach_the_log(make_app: Any, log: pytest.LogCaptureFixture) -> None:
    class Fails:
        def fit(self, parameters: Any, config: Any) -> Any:
            raise ValueError("\x1b[2J\x9b2J\x1b]0;title\x07\u202egone\r")

    with LocalGrid(make_app(lambda context: Fails()), 2) as grid, pytest.raises(RoundError, match="ValueError"):
        FedAvg(fraction_evaluate=0.0).start(grid, ZERO)
    for text in (record.getMessage() for record in log.records if "ValueError" in record.getMessage()):
        assert not {"\x1b", "\x9b", "\x07", "\r", "\u202e"} & {*text}


def raising_app() -> ClientApp:
    """Return an app whose exceptions reach the engine."""
    app = ClientApp()

    @app.train()
    def _(message: Message, context: Any) -> Message:
        raise ValueError("\x1b[2J\x9b2J\x1b]0;title\x07\u202egone\r")

    return app


def work_of_reading(text: str) -> int:
    """Return how many lines of Python `read_reason` runs, which does not depend on the machine."""
    steps = 0

    def count(frame: object, event: str, argument: object) -> object:
        nonlocal steps
        steps += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        read_reason(text)
    finally:
        sys.settrace(before)
    return steps


def hostile(lines: int) -> str:
    return "<class 'RuntimeError'>:<'x\n  File x\n" + "        y\n" * lines + "'>"


def test_a_hostile_reason_is_read_in_linear_time_and_a_long_one_in_constant_time() -> None:
    few, more, many, most = (work_of_reading(hostile(lines)) for lines in (100, 200, 20_000, 1_000_000))
    assert more <= 2 * few
    assert most == many  # 200 kB and 10 MB: both are cut to 16 KiB
    assert len(read_reason(hostile(1_000_000))[1]) < 17 * 1024


def test_a_long_traceback_keeps_its_exception() -> None:
    text = "<class 'RuntimeError'>:<'ray::run()\n" + "  File x\n    y\n" * 100_000 + "OSError: no disk\n'>"
    assert read_reason(text)[0] == "OSError: no disk"
