"""Runs in which clients hold other rows from round to round, or take no part in some of them."""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.serverapp import strategy as flower

from flskew import (
    AbsentError,
    Assignment,
    Checked,
    Checkpoint,
    ClassAware,
    FedAvg,
    FedDyn,
    FedNova,
    FedProx,
    LocalGrid,
    LocalTerm,
    RoundError,
    Scaffold,
    Schedule,
    client_app,
    partition_id,
)

ZERO = ArrayRecord([np.zeros(1)])
VALUES = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
NAMES = ["Bern", "Lyon", "Graz"]
# Round by round: who holds which row, with one class per row and a client that is away.
ROWS = {1: [[0], [1, 2], [3]], 2: [[0, 4], [], [3]], 3: [[0, 4], [1], [2, 5]], 4: [[], [1], [2, 5]]}
SCHEDULE = Schedule(
    {
        start: Assignment.from_partitions(dict(zip(NAMES, rows, strict=True)), labels=range(6))
        for start, rows in ROWS.items()
    }
)
STRATEGIES = [FedAvg, lambda **arguments: Checked(flower.FedAvg(), **arguments)]


class Site:
    """Returns the mean of its rows; its evaluation says which rows it has."""

    assignment: Any = SCHEDULE

    def __init__(self, context: Context) -> None:
        self.number = partition_id(context)

    def fit(self, parameters: Any, config: Any) -> Any:
        rows = SCHEDULE.rows(self.number, config["server-round"])
        return [parameters[0] * 0 + VALUES[rows].mean()], len(rows), {}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        rows = SCHEDULE.rows(self.number, config["server-round"])
        return 1.0, len(rows), {"sum": VALUES[rows].sum()}


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["FedAvg", "Checked"])
def test_clients_train_on_the_rows_of_the_round_and_are_absent_without_any(strategy: Any) -> None:
    running, models = strategy(), []
    with LocalGrid(client_app(Site), 3) as grid:
        running.start(
            grid, ZERO, num_rounds=4, evaluate_fn=lambda _, arrays: models.append(float(arrays["0"].numpy()[0]))
        )
    # The mean over all rows that anybody holds in a round, whoever it is.
    held = [[row for rows in of_round for row in rows] for of_round in ROWS.values()]
    assert models == pytest.approx([0.0, *(VALUES[rows].mean() for rows in held)], rel=1e-12)
    assert [(entry.server_round, entry.phase, entry.absent) for entry in running.history] == [
        (1, "train", ()), (1, "evaluate", ()), (2, "train", (1001,)), (2, "evaluate", (1001,)),
        (3, "train", ()), (3, "evaluate", ()), (4, "train", (1000,)), (4, "evaluate", (1000,)),
    ]  # fmt: skip
    assert not any(entry.failures for entry in running.history)
    sums = running.history.clients("sum")
    assert list(sums) == NAMES
    expected = [[VALUES[rows].sum() if rows else np.nan for rows in of_round] for of_round in ROWS.values()]
    np.testing.assert_array_equal(sums, expected)
    assert {reply.assignment for entry in running.history for reply in entry.replies} == {SCHEDULE.fingerprint}


def test_a_frame_names_the_absent_clients_and_does_not_call_them_failures(tmp_path: Path) -> None:
    strategy = FedAvg()
    with LocalGrid(client_app(Site), 3) as grid:
        strategy.start(grid, ZERO, num_rounds=2, checkpoint_dir=tmp_path)
    frame = strategy.history.to_frame()
    absent = frame[frame["absent"]]
    assert absent[["server_round", "phase", "name", "partition_id", "counted", "reason"]].to_dict("records") == [
        {"server_round": 2, "phase": phase, "name": "Lyon", "partition_id": 1, "counted": False, "reason": None}
        for phase in ("train", "evaluate")
    ]
    assert repr(strategy.history[2]) == "<Round 2, train: 2 replies, 0 failures, 1 absent>"
    assert repr(strategy.history) == (
        "<History: 2 rounds, 5 of 5 train replies accepted (1 absent), 5 of 5 evaluate replies accepted (1 absent)>"
    )
    assert strategy.history.dropped() == []
    assert "absent" in strategy.history._repr_html_()
    loaded = Checkpoint.load(tmp_path).history
    pd.testing.assert_frame_equal(loaded.to_frame(), frame)


def test_the_log_names_the_absent_clients_without_a_warning(log: pytest.LogCaptureFixture) -> None:
    with LocalGrid(client_app(Site), 3) as grid:
        FedAvg().start(grid, ZERO, num_rounds=2, verbose=True)
    assert "\t> Absent in this round: Lyon (node 1001)" in log.messages
    assert "WARNING" not in {record.levelname for record in log.records}


ON_RAY = """
import sys

from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation
from tests.strategies.test_drift import ZERO, Site

from flskew import FedAvg, client_app

server = ServerApp()


@server.main()
def main(grid, context):
    strategy = FedAvg(min_available_nodes=3)
    strategy.start(grid, ZERO, num_rounds=4)
    strategy.history.to_frame().to_pickle(sys.argv[1])


run_simulation(server, client_app(Site), 3, backend_config={"client_resources": {"num_cpus": 1}})
"""


@pytest.mark.ray
def test_rows_and_absences_are_the_same_on_ray(repository: Path, python: str, tmp_path: Path) -> None:
    file = tmp_path / "frame"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository / "src"), str(repository)])}
    subprocess.run([python, "-c", ON_RAY, file], check=True, cwd=repository, env=environment, capture_output=True)
    strategy = FedAvg()
    with LocalGrid(client_app(Site), 3) as grid:
        strategy.start(grid, ZERO, num_rounds=4)
    columns = ["server_round", "phase", "partition_id", "name", "counted", "absent", "num_examples", "metrics.sum"]
    here, there = (
        frame[columns].sort_values(columns[:3]).reset_index(drop=True)
        for frame in (strategy.history.to_frame(), pd.read_pickle(file))
    )
    assert here["absent"].sum() == 4
    pd.testing.assert_frame_equal(here, there)


# Rounds in which few or no clients take part


class Absent:
    def fit(self, parameters: Any, config: Any) -> Any:
        raise AbsentError("closed on Sundays")

    def evaluate(self, parameters: Any, config: Any) -> Any:
        raise AbsentError("closed on Sundays")


class Adds(Absent):
    def fit(self, parameters: Any, config: Any) -> Any:
        return [parameters[0] + 1], 10, {}


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["FedAvg", "Checked"])
def test_a_round_in_which_all_are_absent_is_an_error_that_says_so(strategy: Any) -> None:
    running = strategy()
    with (
        LocalGrid(client_app(lambda context: Absent()), 2) as grid,
        pytest.raises(
            RoundError, match=r"1: accepted 0 of 2 train .* at least 1 \(absent: nodes 1000, 1001\)"
        ) as caught,
    ):
        running.start(grid, ZERO)
    assert caught.value.failures == ()
    assert running.history[0].absent == (1000, 1001)


def test_without_a_minimum_the_model_waits_until_somebody_is_back() -> None:
    strategy = FedAvg(min_replies=0)
    with LocalGrid(client_app(lambda context: Absent()), 2) as grid:
        result = strategy.start(grid, ZERO, num_rounds=2)
    assert result.arrays["0"].numpy().tolist() == [0.0]
    assert [entry.absent for entry in strategy.history] == [(1000, 1001)] * 4


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["FedAvg", "Checked"])
def test_an_evaluation_from_which_all_are_absent_ends_nothing_unless_replies_are_needed(strategy: Any) -> None:
    with LocalGrid(client_app(lambda context: Adds()), 2) as grid:
        result = strategy().start(grid, ZERO, num_rounds=3)
        assert result.arrays["0"].numpy().tolist() == [3.0]
        assert result.evaluate_metrics_clientapp == {}
        with pytest.raises(RoundError, match="accepted 0 of 2 evaluate replies"):
            strategy(min_evaluate_replies=1).start(grid, ZERO, num_rounds=3)


def test_a_client_that_is_absent_is_asked_again_and_one_that_only_trains_is_not() -> None:
    asked: dict[str, list[int]] = defaultdict(list)

    class OnlyTrains:
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 10, {}

    def client_fn(context: Context) -> Any:
        return Absent() if partition_id(context) else OnlyTrains()

    def note(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        asked[message.metadata.message_type].append(partition_id(context))
        return call_next(message, context)

    with LocalGrid(client_app(client_fn, mods=[note]), 2) as grid:
        FedAvg().start(grid, ZERO, num_rounds=3)
    assert asked == {"train": [0, 1] * 3, "evaluate": [0, 1, 1, 1]}


def test_a_client_can_be_absent_before_it_is_made_and_its_state_is_restored() -> None:
    def client_fn(context: Context) -> Any:
        context.state["seen"] = MetricRecord({"changed": 1})
        if partition_id(context):
            raise AbsentError("no rows yet")
        return Adds()

    strategy = FedAvg(fraction_evaluate=0.0)
    with LocalGrid(client_app(client_fn), 2) as grid:
        strategy.start(grid, ZERO, num_rounds=1)
        assert list(grid.node_states()) == [1000]
    assert strategy.history[0].absent == (1001,)


def test_what_the_client_says_is_sent_in_one_line() -> None:
    class Closed(Absent):
        def fit(self, parameters: Any, config: Any) -> Any:
            raise AbsentError("closed\non Sundays")

    app = client_app(lambda context: Closed())
    with LocalGrid(app, 1) as grid:
        (reply,) = grid.send_and_receive(
            [Message(RecordDict({"arrays": ZERO, "config": ConfigRecord()}), 1000, "train")]
        )
    assert (reply.error.code, reply.error.reason) == (70_002, "closed on Sundays")


def test_flowers_own_strategy_averages_those_that_are_there() -> None:
    with LocalGrid(client_app(Site), 3) as grid:
        result = flower.FedAvg().start(grid, ZERO, num_rounds=2)
    assert result.arrays.to_numpy_ndarrays()[0] == pytest.approx(VALUES[[0, 4, 3]].mean())


# Strategies that keep state on their clients


class Fails(Exception):
    pass


class Disagrees:
    """Loss a/2 · (w - b)²; one client is absent from rounds 2 and 3, or fails in them."""

    error: type[Exception] = AbsentError

    def __init__(self, context: Context) -> None:
        self.number = partition_id(context)
        self.a, self.b = [(1.0, 4.0), (3.0, 0.0), (2.0, 9.0)][self.number]

    def fit(self, parameters: Any, config: Any) -> Any:
        term = LocalTerm.from_config(config, parameters)
        for _ in range(5):
            gradients = [self.a * (parameters[0] - self.b)]
            term.add_gradient(parameters, gradients)
            parameters[0] -= 0.1 * gradients[0]
        if self.number == 1 and config["server-round"] in (2, 3):
            raise self.error("away")
        return parameters, 10 * (self.number + 1), {}


class DisagreesOrFails(Disagrees):
    error = Fails


@pytest.mark.parametrize("strategy", [FedProx, FedNova, FedDyn, Scaffold])
def test_an_absent_client_changes_nothing_on_either_side(strategy: type[FedAvg]) -> None:
    models = []
    for client in (Disagrees, DisagreesOrFails):
        running = strategy(fraction_evaluate=0.0)
        with LocalGrid(client_app(client), 3) as grid:
            result = running.start(grid, ZERO, num_rounds=6)
        models.append(result.arrays["0"].numpy().tolist())
        assert [len(entry.replies) for entry in running.history] == [3, 2, 2, 3, 3, 3]
    # What a dropped reply does to the state is tested elsewhere, against the papers.
    assert models[0] == models[1]


@pytest.mark.parametrize("strategy", [FedDyn(alpha=1.0), Scaffold()], ids=["FedDyn", "Scaffold"])
def test_clients_that_come_back_find_their_state_so_that_the_run_still_finds_the_optimum(strategy: FedAvg) -> None:
    with LocalGrid(client_app(Disagrees), 3) as grid:
        result = strategy.start(grid, ZERO, num_rounds=50)
    # The optimum for all rows: (10·1·4 + 20·3·0 + 30·2·9) / (10·1 + 20·3 + 30·2) = 580 / 130.
    assert result.arrays["0"].numpy() == pytest.approx(580 / 130, abs=1e-3)


# Resumed runs, splits, labels


class Learns(Site):
    """Remembers all rows it has trained on, in its state and in the model."""

    seen: list[tuple[int, int, list[int]]]

    def fit(self, parameters: Any, config: Any) -> Any:
        rows = SCHEDULE.rows(self.number, config["server-round"])
        self.seen.append((config["server-round"], self.number, rows.tolist()))
        return [0.5 * parameters[0] + VALUES[rows].mean()], len(rows), {}


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_resumed_run_goes_on_with_the_stage_of_its_round(done: int, tmp_path: Path) -> None:
    ends = []
    for rounds in ([4], [done, 4]):
        seen: list[tuple[int, int, list[int]]] = []
        app = client_app(type("Client", (Learns,), {"seen": seen}))
        for num_rounds in rounds:
            strategy = FedAvg()  # a new one, as in another process
            with LocalGrid(app, 3) as grid:
                result = strategy.start(grid, ZERO, num_rounds, checkpoint_dir=tmp_path / str(len(rounds)), resume=True)
        ends.append((result.arrays["0"].numpy().tolist(), seen, [entry.absent for entry in strategy.history]))
    assert ends[0] == ends[1]
    assert [rows for _, number, rows in ends[0][1] if number == 2] == [[3], [3], [2, 5], [2, 5]]


def test_another_schedule_is_found_out_even_in_a_round_in_which_both_agree(tmp_path: Path) -> None:
    other = Schedule({**SCHEDULE.stages, 9: SCHEDULE.assignment(1)})

    def client_fn(context: Context) -> Any:
        site = Site(context)
        site.assignment = other if site.number == 2 else SCHEDULE
        return site

    with (
        LocalGrid(client_app(client_fn), 3) as grid,
        pytest.raises(RoundError, match=r"round 1: .* 2 different splits"),
    ):
        FedAvg().start(grid, ZERO)
    with LocalGrid(client_app(Site), 3) as grid:
        FedAvg().start(grid, ZERO, num_rounds=1, checkpoint_dir=tmp_path)

    class Changed(Site):
        assignment = other

    with LocalGrid(client_app(Changed), 3) as grid, pytest.raises(RoundError, match=r"round 2: .* 2 different splits"):
        FedAvg().start(grid, ZERO, num_rounds=2, checkpoint_dir=tmp_path, resume=True)


def test_assignments_that_change_without_a_schedule_are_an_error_that_names_it() -> None:
    class Changes(Site):
        def fit(self, parameters: Any, config: Any) -> Any:
            self.assignment = SCHEDULE.assignment(config["server-round"])
            return parameters, 10, {}

    with (
        LocalGrid(client_app(Changes), 3) as grid,
        pytest.raises(RoundError, match=r"give all of them the same flskew\.Schedule, since rows change from round to"),
    ):
        FedAvg(fraction_evaluate=0.0).start(grid, ZERO)


def label_counts_sent(strategy: FedAvg, grid_app: Any = Site) -> list[list[int]]:
    """Return the counts that Graz sends, round by round."""
    sent = []

    def wire(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        reply = call_next(message, context)
        if partition_id(context) == 2:
            sent.append(list(reply.content["flskew-labels"]["counts"]))  # type: ignore[index]
        return reply

    class Wide(grid_app):  # type: ignore[misc]
        def fit(self, parameters: Any, config: Any) -> Any:
            config.clear()  # whatever a client does with its config
            return parameters, 4, {}

    with LocalGrid(client_app(Wide, mods=[wire]), 3) as grid:
        strategy.start(grid, ArrayRecord([np.zeros((6, 2)), np.zeros(6)]), num_rounds=4)
    return sent


def test_label_counts_are_those_of_the_round() -> None:
    counts = label_counts_sent(FedAvg(fraction_evaluate=0.0, averaging=ClassAware()))
    assert counts == [[0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 1], [0, 0, 1, 0, 0, 1]]


def test_noisy_label_counts_are_sent_once_since_every_new_draw_would_tell_more() -> None:
    counts = label_counts_sent(FedAvg(fraction_evaluate=0.0, averaging=ClassAware(count_noise=100.0)))
    assert len(counts) == 4
    assert all(later == counts[0] for later in counts)


@pytest.mark.parametrize("kind", ["train", "evaluate"])
@pytest.mark.parametrize(
    ("config", "nodes", "message"),
    [
        pytest.param({}, 3, "Site.assignment is a schedule, so the config must contain the round", id="no round"),
        pytest.param({"server-round": 1.0}, 3, "Site.assignment is a schedule, so the config", id="a float"),
        pytest.param({"server-round": -1}, 3, "Site.assignment is a schedule, so the config", id="a negative round"),
        pytest.param(
            {"server-round": 1}, 4, "partition-id in this node's config is not a partition", id="no partition"
        ),
    ],
)
def test_without_a_round_or_a_partition_the_client_says_what_is_missing(
    kind: str, config: dict[str, Any], nodes: int, message: str
) -> None:
    with LocalGrid(client_app(Site), nodes) as grid:
        asked = Message(RecordDict({"arrays": ZERO, "config": ConfigRecord(config)}), 1000 + nodes - 1, kind)
        (reply,) = grid.send_and_receive([asked])
    assert reply.error.reason.startswith(f"ClientError: {message}")
