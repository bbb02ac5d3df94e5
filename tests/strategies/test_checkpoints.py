"""A run that was stopped resumes, and ends like an uninterrupted one."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy import Result, Strategy
from tests.strategies.test_checked import EVERY_STRATEGY, over_every_strategy

from flskew._arrays.bfloat16 import bfloat16_from_float32
from flskew._arrays.records import numpy_from_array, record_from_parameters
from flskew._util import archive, files
from flskew.client import client_app
from flskew.simulation import LocalGrid
from flskew.strategies import Checked, Checkpoint, FedAvg, FedProx, History, Round, RoundError
from flskew.strategies._packing import pack, unpack

ROUNDS = 4
NODES = 7
INITIAL = record_from_parameters(
    [np.zeros((2, 3), np.float32), np.array([5, -3]), bfloat16_from_float32(np.ones(4))], ["weight", "count", "bias"]
)

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Every reply differs by node, round, model and what the node did before; the last node always fails."""
    index, server_round = int(context.node_config["partition-id"]), int(message.content["config"]["server-round"])
    state = context.state.setdefault("mine", MetricRecord({"trained": 0}))
    state["trained"] += 1
    if index == NODES - 1:
        raise OSError("no disk")
    rng = np.random.default_rng([index, server_round, state["trained"]])
    arrays = message.content["arrays"]
    weight = numpy_from_array(arrays["weight"]) * np.float32(0.5) + rng.standard_normal((2, 3), np.float32)
    count = numpy_from_array(arrays["count"]) + rng.integers(-3, 4, 2)
    reply = {
        "arrays": record_from_parameters([weight, count, numpy_from_array(arrays["bias"])], arrays),
        "metrics": MetricRecord({"num-examples": index + 1, "loss": math.nan if index == 1 else float(weight[0, 0])}),
        "extra": ConfigRecord({"name": f"node {index}", "key": b"\x00\xff"}),
    }
    return Message(RecordDict(reply), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    loss = float(numpy_from_array(message.content["arrays"]["weight"]).sum())
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1, "loss": loss})}), reply_to=message)


def evaluate_fn(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    return MetricRecord({"weight": float(numpy_from_array(arrays["weight"]).sum()), "round": server_round})


def fed_avg() -> FedAvg:
    return FedAvg(fraction_train=0.6, fraction_evaluate=0.5, seed=3)


def run(strategy: FedAvg | Checked, folder: Path | None, rounds: int = ROUNDS, **options: Any) -> Result:
    with LocalGrid(app, NODES) as grid:
        return strategy.start(grid, INITIAL, rounds, evaluate_fn=evaluate_fn, checkpoint_dir=folder, **options)


def outcome(result: Result, history: History) -> dict[str, object]:
    """Everything about a run except its times."""
    return {
        "arrays": [(name, array.dtype, array.shape, array.data) for name, array in result.arrays.items()],
        "metrics": repr(vars(result) | {"arrays": None}),
        "history": repr([without_times(entry) for entry in history]),
    }


def without_times(entry: Round) -> Round:
    return replace(entry, seconds=0.0, replies=tuple(replace(reply, seconds=0.0) for reply in entry.replies))


class Killed(BaseException):
    """Passes through every `except Exception`."""


def killed_at(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, count: int) -> None:
    """Kill the run at call number `count` of a function, counted from 1."""
    calls = iter(range(1, count))
    original = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(calls, None) is None:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize(
    ("owner", "name", "count"),
    [
        *((FedAvg, "aggregate_train", count) for count in range(1, ROUNDS + 1)),
        *((FedAvg, "aggregate_evaluate", count) for count in range(1, ROUNDS + 1)),
        *((files, "sync", count) for count in range(1, 2 * ROUNDS + 1)),
        *((files, "rename", count) for count in range(1, 2 * ROUNDS + 1)),
        *((files, "sync_folder", count) for count in range(1, 2 * ROUNDS + 1)),
        *((files, "remove", count) for count in range(1, ROUNDS - 1)),
    ],
)
def test_a_run_killed_at_any_point_resumes_with_the_result_of_an_uninterrupted_one(
    owner: object, name: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fed_avg()
    expected = outcome(run(whole, None), whole.history)
    with monkeypatch.context() as patched:
        killed_at(patched, owner, name, count)
        with pytest.raises(Killed):
            run(fed_avg(), tmp_path)
    strategy = fed_avg()
    assert outcome(run(strategy, tmp_path, resume=True), strategy.history) == expected
    checkpoint = Checkpoint.load(tmp_path)
    assert outcome(checkpoint.result, checkpoint.history) == expected
    assert checkpoint.server_round == ROUNDS


def test_a_killed_simulation_process_resumes(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import os, signal, sys
        from flwr.app import Context
        from flwr.serverapp import Grid, ServerApp
        from flskew import simulate
        from tests.strategies import test_checkpoints as here

        folder, last, resume = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "resume"
        server = ServerApp()
        evaluated = []

        def evaluate(server_round, arrays):
            if server_round == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return here.evaluate_fn(server_round, arrays)

        @server.main()
        def main(grid: Grid, context: Context) -> None:
            strategy = here.fed_avg()
            context.state["arrays"] = strategy.start(
                grid, here.INITIAL, here.ROUNDS, evaluate_fn=evaluate, checkpoint_dir=folder, resume=resume
            ).arrays

        simulate(server, here.app, here.NODES)
    """)
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("this system has no SIGKILL")
    for last, resume, ends in ((1, "", -9), (3, "resume", -9), (99, "resume", 0)):
        command = [sys.executable, "-c", program, str(tmp_path), str(last), resume]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True)
        assert done.returncode == ends, done.stderr
    whole = fed_avg()
    expected = outcome(run(whole, None), whole.history)
    checkpoint = Checkpoint.load(tmp_path)
    assert outcome(checkpoint.result, checkpoint.history) == expected


@over_every_strategy
def test_every_strategy_of_flower_resumes_with_its_momenta(make: Callable[[], Strategy], tmp_path: Path) -> None:
    whole = Checked(make())
    expected = run_plain(whole)
    run_plain(Checked(make()), rounds=2, checkpoint_dir=tmp_path)
    strategy = Checked(make())
    assert run_plain(strategy, checkpoint_dir=tmp_path, resume=True) == expected


plain = ClientApp()


@plain.train()
def train_plain(message: Message, context: Context) -> Message:
    index, server_round = int(context.node_config["partition-id"]), int(message.content["config"]["server-round"])
    step = np.random.default_rng([index, server_round]).standard_normal(3)
    arrays = ArrayRecord({"w": Array(message.content["arrays"]["w"].numpy() + step)})
    metrics = MetricRecord(
        {"num-examples": index + 1, "loss": float(abs(step[0])), "norm_bit": (index + server_round) % 2}
    )
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def run_plain(strategy: Checked, rounds: int = ROUNDS, **options: Any) -> bytes:
    inner: Any = strategy.strategy
    (inner.strategy if hasattr(inner, "strategy") else inner).fraction_evaluate = 0.0
    with LocalGrid(plain, NODES) as grid:
        # Flower's strategies draw the order of their nodes from Python's global generator, but replies are averaged in
        # the order of the nodes.
        result = strategy.start(grid, ArrayRecord({"w": Array(np.zeros(3))}), rounds, **options)
    return result.arrays["w"].data


def test_fedprox_resumes_and_may_have_another_mu(tmp_path: Path) -> None:
    run(FedProx(proximal_mu=0.1), tmp_path, rounds=2)
    strategy = FedProx(proximal_mu=0.7)
    run(strategy, tmp_path, resume=True)
    assert strategy.proximal_mu == 0.7


def test_an_adaptive_mu_resumes_from_its_last_value(tmp_path: Path) -> None:
    gets_worse = ClientApp()

    @gets_worse.train()
    def _(message: Message, context: Context) -> Message:
        reply = train_plain(message, context)
        reply.content["metrics"]["loss"] = float(message.content["config"]["server-round"])
        return reply

    def start(rounds: int, **options: Any) -> dict[int, float]:
        strategy = FedProx(fraction_evaluate=0.0, adaptive_mu="train")
        with LocalGrid(gets_worse, NODES) as grid:
            strategy.start(grid, ArrayRecord({"w": Array(np.zeros(3))}), rounds, **options)
        return strategy.mu_by_round

    start(3, checkpoint_dir=tmp_path)
    assert start(5, checkpoint_dir=tmp_path, resume=True) == start(5) == {1: 0.0, 2: 0.0, 3: 0.1, 4: 0.2, 5: 0.3}


class Breaks(BaseException):
    """Ends a run."""


@pytest.mark.parametrize("last", range(1, 12))
def test_the_strategy_object_that_was_stopped_resumes_like_a_new_one(last: int, tmp_path: Path) -> None:
    losses = [5.0, 4.0, 4.5, 4.4, 4.3, 4.2, 4.1, 4.0, 3.9, 3.8, 4.0]
    rises_and_falls = ClientApp()

    class Remembers(FedProx):
        """Flower's own strategies keep their momenta like this: nothing at first, then an array."""

        def __init__(self) -> None:
            super().__init__(fraction_evaluate=0.0, adaptive_mu="train")
            self.momentum: np.ndarray[Any, Any] | None = None
            self.best = math.inf

        def aggregate_train(self, server_round: int, replies: Any) -> tuple[ArrayRecord | None, MetricRecord | None]:
            arrays, metrics = super().aggregate_train(server_round, replies)
            self.momentum = np.ones(1) if self.momentum is None else self.momentum * 0.9 + server_round
            self.best = min(self.best, losses[server_round - 1])
            if server_round == last:
                raise Breaks
            return arrays, metrics

        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), "momentum": self.momentum, "best": self.best}

        def load_state_dict(self, state: Mapping[str, Any]) -> None:
            super().load_state_dict(state)
            self.momentum, self.best = state["momentum"], state["best"]

        def outcome(self) -> tuple[object, ...]:
            momentum = None if self.momentum is None else self.momentum.tolist()
            return self.mu_by_round, self._mu, momentum, self.best, self.result.arrays["w"].data

    @rises_and_falls.train()
    def _(message: Message, context: Context) -> Message:
        reply = train_plain(message, context)
        reply.content["metrics"]["loss"] = losses[message.content["config"]["server-round"] - 1]
        return reply

    def start(strategy: Remembers, **options: Any) -> tuple[object, ...]:
        with LocalGrid(rises_and_falls, NODES) as grid:
            strategy.start(grid, ArrayRecord({"w": Array(np.zeros(3))}), len(losses), **options)
        return strategy.outcome()

    strategy = Remembers()
    with pytest.raises(Breaks):
        start(strategy, checkpoint_dir=tmp_path)
    last = 0
    assert start(strategy, checkpoint_dir=tmp_path, resume=True) == start(Remembers())


def test_a_second_run_without_resume_keeps_what_the_strategy_remembers() -> None:
    class CountsRounds(FedAvg):
        """As in Flower, what a strategy remembers lasts beyond a run."""

        rounds = 0

        def aggregate_train(self, server_round: int, replies: Any) -> tuple[ArrayRecord | None, MetricRecord | None]:
            self.rounds = self.rounds + 1
            return super().aggregate_train(server_round, replies)

    strategy = CountsRounds(fraction_evaluate=0.0)
    strategy.rounds = 10
    for _ in range(2):
        run(strategy, None, rounds=2)
    assert strategy.rounds == 14


def test_a_setting_changed_after_a_run_stays_changed(tmp_path: Path) -> None:
    strategy = FedProx(proximal_mu=0.1)
    run(strategy, tmp_path, rounds=2)
    strategy.proximal_mu = 0.7
    run(strategy, tmp_path, resume=True)
    assert strategy.proximal_mu == 0.7


class KeepsBest(FedAvg):
    """Remembers the best loss so far and some history; `rates`, `table` and `mask` are settings."""

    def __init__(self, rates: list[float], **options: Any) -> None:
        super().__init__(fraction_evaluate=0.0, **options)
        self.rates, self.table, self.mask = rates, {"rate": rates[0]}, np.array(rates)
        self.best = math.inf
        self.seen: list[int] = []
        self.momentum: dict[str, np.ndarray[Any, Any]] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "seen": self.seen, "momentum": self.momentum}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.seen, self.momentum = state["best"], state["seen"], state["momentum"]

    def aggregate_train(self, server_round: int, replies: Any) -> tuple[ArrayRecord | None, MetricRecord | None]:
        self.best = min(self.best, 1 / server_round)
        self.seen.append(server_round)
        self.momentum["w"] = self.momentum.get("w", np.zeros(2)) * 0.9 + server_round
        return super().aggregate_train(server_round, replies)


@pytest.mark.parametrize("stopped", [1, 2, 3])
def test_a_subclass_resumes_with_what_its_state_dict_returns(stopped: int, tmp_path: Path) -> None:
    whole = KeepsBest([0.1])
    run(whole, None, rounds=4)
    run(KeepsBest([0.1]), tmp_path, rounds=stopped)
    strategy = KeepsBest([0.1])
    run(strategy, tmp_path, rounds=4, resume=True)
    assert repr(strategy.state_dict()) == repr(whole.state_dict())
    assert (strategy.seen, strategy.best) == ([1, 2, 3, 4], 0.25)


def test_settings_of_any_type_come_from_the_strategy_that_resumes(tmp_path: Path) -> None:
    run(KeepsBest([0.1, 0.2], seed=3), tmp_path, rounds=2)
    strategy = KeepsBest([0.7], seed=4, weighted_by_key="num-examples", min_replies=2)
    run(strategy, tmp_path, rounds=3, resume=True)
    assert (strategy.rates, strategy.table, strategy.mask.tolist()) == ([0.7], {"rate": 0.7}, [0.7])
    assert (strategy.seed, strategy.min_replies) == (4, 2)
    assert strategy.seen == [1, 2, 3]


def test_a_start_without_resume_does_not_reset_what_the_strategy_remembers(tmp_path: Path) -> None:
    strategy = KeepsBest([0.1])
    for folder in ("first", "second"):
        run(strategy, tmp_path / folder, rounds=2)
    assert strategy.seen == [1, 2, 1, 2]


def test_state_that_cannot_be_saved_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    class Draws(FedAvg):
        def state_dict(self) -> dict[str, Any]:
            return {"generator": np.random.default_rng(0)}

        def configure_train(self, *arguments: Any) -> Any:
            raise AssertionError

    with pytest.raises(TypeError, match="checkpoints cannot save a Generator; return plain values, arrays and records"):
        run(Draws(), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


class Counts(flower.FedAvg):
    """A strategy that Flower does not have."""

    def __init__(self) -> None:
        super().__init__(fraction_evaluate=0.0)
        self.rounds = 0

    def aggregate_train(self, server_round: int, replies: Any) -> tuple[ArrayRecord | None, MetricRecord | None]:
        self.rounds += server_round
        return super().aggregate_train(server_round, replies)


class CountsAndTells(Counts):
    """Can save and restore what it remembers."""

    def state_dict(self) -> dict[str, Any]:
        return {"rounds": self.rounds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rounds = state["rounds"]


def test_checkpoints_of_an_unknown_strategy_are_refused_with_an_error_that_names_it(tmp_path: Path) -> None:
    wanted = r"cannot tell what Counts remembers from round to round; give it the methods state_dict\(\) and load"
    with pytest.raises(TypeError, match=wanted):
        run_plain(Checked(Counts()), checkpoint_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
    run_plain(Checked(Counts()))


def test_an_unknown_strategy_inside_a_wrapper_is_refused_too(tmp_path: Path) -> None:
    private = flower.DifferentialPrivacyServerSideFixedClipping(Counts(), 0.0, 1.0, NODES)
    with pytest.raises(TypeError, match="cannot tell what Counts remembers"):
        run_plain(Checked(private), checkpoint_dir=tmp_path)


def test_your_own_strategy_inside_checked_resumes_with_its_state_dict(tmp_path: Path) -> None:
    run_plain(Checked(CountsAndTells()), rounds=2, checkpoint_dir=tmp_path)
    inner = CountsAndTells()
    run_plain(Checked(inner), rounds=3, checkpoint_dir=tmp_path, resume=True)
    assert inner.rounds == 6


def test_a_strategy_with_a_privacy_accountant_is_refused(tmp_path: Path) -> None:
    private = flower.DifferentialPrivacyServerSideFixedClipping(flower.FedAvg(), 0.0, 1.0, NODES)
    private.accountant = object()  # type: ignore[assignment]
    with pytest.raises(TypeError, match="cannot save the privacy accountant of DifferentialPrivacyServerSideFixed"):
        run_plain(Checked(private), checkpoint_dir=tmp_path)


def test_the_state_of_every_strategy_of_flower_is_in_the_table() -> None:
    for make in EVERY_STRATEGY.values():
        Checked(make()).state_dict()


def test_the_contents_of_a_version_1_file_are_fixed(tmp_path: Path) -> None:
    """A change here needs a new version of the files, and code that still reads this one."""
    strategy = Checked(flower.DifferentialPrivacyServerSideAdaptiveClipping(flower.FedAvgM(), 0.0, NODES))
    run_plain(strategy, rounds=1, checkpoint_dir=tmp_path)
    state = Checkpoint.load(tmp_path).state
    assert set(state) == {"run", "kinds", "strategy", "record", "best", "nodes"}
    assert state["kinds"] == ["Checked", "DifferentialPrivacyServerSideAdaptiveClipping", "FedAvgM"]
    outer, inner = state["strategy"]["strategies"]
    assert (set(outer), set(inner)) == ({"clipping_norm"}, {"current_arrays", "momentum_vector"})
    assert state["record"] == {"splits": {}, "only_train": set()}


def stops_after(last: int, seen: list[int]) -> Callable[[int, Result], bool]:
    def should_stop(server_round: int, result: Result) -> bool:
        seen.append(server_round)
        assert list(result.train_metrics_clientapp) == list(range(1, server_round + 1))
        return server_round >= last

    return should_stop


@pytest.mark.parametrize("make", [fed_avg, lambda: Checked(flower.FedAvg())], ids=["FedAvg", "Checked"])
def test_should_stop_ends_the_run_after_the_round_and_its_evaluation(make: Callable[[], FedAvg | Checked]) -> None:
    seen: list[int] = []
    strategy = make()
    result = run(strategy, None, should_stop=stops_after(2, seen))
    assert seen == [1, 2]
    assert {entry.server_round for entry in strategy.history} == {1, 2}
    assert list(result.evaluate_metrics_serverapp) == [0, 1, 2]


def test_a_run_that_was_stopped_has_a_checkpoint_and_resumes_like_an_uninterrupted_one(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, should_stop=stops_after(2, []))
    assert Checkpoint.load(tmp_path).server_round == 2
    whole, resumed = fed_avg(), fed_avg()
    expected = outcome(run(whole, None), whole.history)
    assert outcome(run(resumed, tmp_path, resume=True), resumed.history) == expected


def test_a_run_killed_between_the_checkpoint_and_the_stop_still_stops_there(tmp_path: Path) -> None:
    def killed(server_round: int, result: Result) -> bool:
        if server_round == 2:
            raise Killed
        return False

    with pytest.raises(Killed):
        run(fed_avg(), tmp_path, should_stop=killed)
    seen: list[int] = []
    strategy = fed_avg()
    run(strategy, tmp_path, should_stop=stops_after(2, seen), resume=True)
    assert seen == [2]
    assert {entry.server_round for entry in strategy.history} == {1, 2}


@pytest.mark.parametrize("returned", [(0.5, {}), 0.5, {"loss": 0.5}])
def test_an_evaluate_fn_that_does_not_return_a_metric_record_is_refused_immediately(returned: Any) -> None:
    calls: list[int] = []

    def evaluate(server_round: int, arrays: ArrayRecord) -> Any:
        calls.append(server_round)
        return returned

    with (
        LocalGrid(app, NODES) as grid,
        pytest.raises(TypeError, match="evaluate_fn must return a MetricRecord or N"),
    ):
        fed_avg().start(grid, INITIAL, evaluate_fn=evaluate)
    assert calls == [0]


def test_resuming_a_finished_run_sends_no_messages_and_does_not_call_the_strategy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fed_avg()
    expected = outcome(run(first, tmp_path), first.history)

    def unasked(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError

    for name in ("configure_train", "aggregate_train", "configure_evaluate", "aggregate_evaluate"):
        monkeypatch.setattr(FedAvg, name, unasked)
    strategy = fed_avg()
    with LocalGrid(app, NODES) as grid:
        result = strategy.start(grid, INITIAL, ROUNDS, evaluate_fn=unasked, checkpoint_dir=tmp_path, resume=True)
    assert outcome(result, strategy.history) == expected
    assert strategy.result is result


def test_a_run_without_evaluation_resumes_with_more_rounds(tmp_path: Path) -> None:
    def run_here(rounds: int, **options: Any) -> FedAvg:
        strategy = FedAvg(fraction_evaluate=0.0)
        with LocalGrid(app, NODES) as grid:
            strategy.start(grid, INITIAL, rounds, **options)
        return strategy

    run_here(2, checkpoint_dir=tmp_path)
    longer = run_here(5, checkpoint_dir=tmp_path, resume=True)
    whole = run_here(5)
    assert outcome(longer.result, longer.history) == outcome(whole.result, whole.history)


def test_a_failed_run_resumes_once_the_clients_are_fixed(tmp_path: Path) -> None:
    broken = True
    sometimes = ClientApp()

    @sometimes.train()
    def _(message: Message, context: Context) -> Message:
        if broken and message.content["config"]["server-round"] == 3:
            raise OSError("no disk")
        return train_plain(message, context)

    strategy = FedAvg(fraction_evaluate=0.0)
    initial = ArrayRecord({"w": Array(np.zeros(3))})
    with LocalGrid(sometimes, NODES) as grid:
        with pytest.raises(RoundError):
            strategy.start(grid, initial, ROUNDS, checkpoint_dir=tmp_path)
        broken = False
        resumed = strategy.start(grid, initial, ROUNDS, checkpoint_dir=tmp_path, resume=True)
        assert [entry.server_round for entry in strategy.history] == [1, 2, 3, 4]
        assert not any(entry.failures for entry in strategy.history)
        assert resumed.arrays["w"].data == strategy.start(grid, initial, ROUNDS).arrays["w"].data


def test_a_resumed_run_remembers_the_clients_split(tmp_path: Path) -> None:
    split = "first"
    tells = ClientApp()

    @tells.train()
    def _(message: Message, context: Context) -> Message:
        reply = train_plain(message, context)
        reply.content["flskew"] = ConfigRecord({"assignment": split})
        return reply

    def start(num_rounds: int, resume: bool) -> None:
        with LocalGrid(tells, NODES) as grid:
            FedAvg(fraction_evaluate=0.0).start(
                grid, ArrayRecord({"w": Array(np.zeros(3))}), num_rounds, checkpoint_dir=tmp_path, resume=resume
            )

    start(2, resume=False)
    split = "second"
    with pytest.raises(RoundError, match=r"2 different splits, first by .*; second by"):
        start(3, resume=True)


def test_clients_that_only_train_are_not_asked_to_evaluate_again(tmp_path: Path) -> None:
    class OnlyTrains:
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 10, {}

    only_trains = client_app(lambda context: OnlyTrains())
    for rounds in (1, 2):
        with LocalGrid(only_trains, NODES) as grid:
            strategy = FedAvg()
            strategy.start(grid, ArrayRecord([np.zeros(3)]), rounds, checkpoint_dir=tmp_path, resume=True)
    assert [(entry.server_round, entry.phase) for entry in strategy.history] == [
        (1, "train"),
        (1, "evaluate"),
        (2, "train"),
    ]


def test_an_earlier_run_is_not_overwritten(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=1)
    with pytest.raises(FileExistsError, match=r"holds an earlier run; pass resume=True .* or choose another folder"):
        run(fed_avg(), tmp_path, rounds=2)
    assert Checkpoint.load(tmp_path).server_round == 1


def test_an_empty_folder_starts_a_new_run_and_the_log_says_so(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "runs" / "first"
    run(fed_avg(), folder, rounds=1, resume=True)
    # Otherwise a misspelt folder goes unnoticed.
    assert f"Nothing to resume: checkpoint_dir={str(folder)!r} has no complete round yet" in log.messages
    assert Checkpoint.load(folder).server_round == 1
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "checkpoint-00001.npz", "history-00001.npz"]


def test_resume_without_a_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="resume=True needs the folder of the earlier run; pass it as checkpoint_dir"):
        run(fed_avg(), None, resume=True)


def test_fewer_rounds_than_already_saved_are_refused(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=2)
    with pytest.raises(ValueError, match="already has 2 rounds; num_rounds=1 must be at least 2"):
        run(fed_avg(), tmp_path, rounds=1, resume=True)


def test_another_model_is_refused(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=1)
    with (
        LocalGrid(app, NODES) as grid,
        pytest.raises(ValueError, match=r"a different model from initial_arrays: .*'weight'"),
    ):
        fed_avg().start(grid, ArrayRecord([np.zeros(2)]), checkpoint_dir=tmp_path, resume=True)


def test_another_strategy_is_refused(tmp_path: Path) -> None:
    clipping = flower.DifferentialPrivacyServerSideAdaptiveClipping(
        flower.FedAdam(), noise_multiplier=0.0, num_sampled_clients=NODES
    )
    run_plain(Checked(clipping), rounds=1, checkpoint_dir=tmp_path)
    wanted = "holds a run of FedAdam inside Differential.* inside Checked, not of FedAvg inside Checked; resume with"
    with pytest.raises(ValueError, match=wanted):
        run_plain(Checked(flower.FedAvg()), checkpoint_dir=tmp_path, resume=True)


def test_another_number_of_nodes_is_refused(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=1)
    with (
        LocalGrid(app, 3) as grid,
        pytest.raises(ValueError, match=r"has the state of node 100., which does not exist; resume"),
    ):
        fed_avg().start(grid, INITIAL, checkpoint_dir=tmp_path, resume=True)


def test_a_folder_without_a_checkpoint_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Checkpoint.load(tmp_path)


def test_a_path_that_is_not_the_folder_of_a_run_is_refused_by_name(tmp_path: Path) -> None:
    run(fed_avg(), tmp_path, rounds=1)
    with pytest.raises(NotADirectoryError, match=r"checkpoint_dir='.*npz' is a file; pass the folder of the run"):
        Checkpoint.load(tmp_path / "checkpoint-00001.npz")
    number: Any = 3
    for use in (Checkpoint.load, lambda folder: run(fed_avg(), folder)):
        with pytest.raises(TypeError, match="checkpoint_dir must be the path of a folder, got int"):
            use(number)
    assert repr(Checkpoint.load(tmp_path)) == "Checkpoint(server_round=1, lost_rounds=())"


def test_another_mu_is_sent_after_an_adaptive_one(tmp_path: Path) -> None:
    options: dict[str, Any] = {"checkpoint_dir": tmp_path, "resume": True}
    with LocalGrid(plain, NODES) as grid:
        initial = ArrayRecord({"w": Array(np.zeros(3))})
        FedProx(fraction_evaluate=0.0, adaptive_mu="train").start(grid, initial, 2, **options)
        strategy = FedProx(fraction_evaluate=0.0, proximal_mu=5.0)
        strategy.start(grid, initial, 3, **options)
    assert strategy.mu_by_round[3] == 5.0


def test_nodes_without_a_saved_state_resume_without_one(tmp_path: Path) -> None:
    def start(grid: LocalGrid, stop: int) -> bytes:
        def stops(server_round: int, arrays: ArrayRecord) -> None:
            if server_round == stop:
                raise Breaks

        strategy = FedAvg(fraction_train=0.3, fraction_evaluate=0.0)
        result = strategy.start(grid, INITIAL, 3, evaluate_fn=stops, checkpoint_dir=tmp_path / grid.name, resume=True)
        return result.arrays["weight"].data

    class Named(LocalGrid):
        name = "whole"

    with Named(app, NODES) as grid:
        whole = start(grid, stop=99)
    with Named(app, NODES) as grid:
        grid.name = "stopped"
        with pytest.raises(Breaks):
            start(grid, stop=2)
        assert start(grid, stop=99) == whole


def private(name: str, noise: float, **options: Any) -> Checked:
    make: Any = getattr(flower, f"DifferentialPrivacy{name}Clipping")
    fixed = {"clipping_norm": 1.0} if "Fixed" in name else {}
    return Checked(make(flower.FedAvg(), noise, num_sampled_clients=NODES, **fixed, **options))


NOISY = {
    "server-side fixed": lambda: private("ServerSideFixed", 0.3),
    "client-side fixed": lambda: private("ClientSideFixed", 0.3),
    "server-side adaptive": lambda: private("ServerSideAdaptive", 0.3),
    "client-side adaptive": lambda: private("ClientSideAdaptive", 0.3),
    "noise on the count alone": lambda: private("ServerSideAdaptive", 0.0, clipped_count_stddev=0.1),
}


@pytest.mark.parametrize("make", NOISY.values(), ids=NOISY)
def test_a_strategy_that_adds_noise_writes_checkpoints_but_is_not_resumed(
    make: Callable[[], Checked], tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    model = run_plain(make(), rounds=2, checkpoint_dir=tmp_path, resume=True)  # nothing to resume yet
    name = type(make().strategy).__name__
    assert f"This run can be loaded but not resumed: {name} adds random noise" in log.text
    wanted = f"checkpoint_dir=.* cannot be resumed by {name}: it draws its noise from NumPy's global generator"
    with pytest.raises(ValueError, match=wanted):
        run_plain(make(), rounds=3, checkpoint_dir=tmp_path, resume=True)
    assert Checkpoint.load(tmp_path).result.arrays["w"].data == model


def test_privacy_settings_are_those_of_the_strategy_that_resumes(tmp_path: Path) -> None:
    run_plain(private("ServerSideFixed", 0.0), rounds=1, checkpoint_dir=tmp_path / "fixed")
    fixed: Any = private("ServerSideFixed", 0.0).strategy
    fixed.clipping_norm, fixed.num_sampled_clients = 0.25, NODES - 1
    run_plain(Checked(fixed), rounds=2, checkpoint_dir=tmp_path / "fixed", resume=True)
    assert (fixed.noise_multiplier, fixed.clipping_norm, fixed.num_sampled_clients) == (0.0, 0.25, NODES - 1)
    run_plain(private("ServerSideAdaptive", 0.0), rounds=1, checkpoint_dir=tmp_path / "adaptive")
    adaptive: Any = private("ServerSideAdaptive", 0.0, target_clipped_quantile=1.0, clip_norm_lr=0.1).strategy
    run_plain(Checked(adaptive), rounds=2, checkpoint_dir=tmp_path / "adaptive", resume=True)
    assert (adaptive.target_clipped_quantile, adaptive.clip_norm_lr, adaptive.clipped_count_stddev) == (1.0, 0.1, 0.0)


def test_a_checkpoint_with_privacy_settings_in_it_does_not_apply_them(tmp_path: Path) -> None:
    run_plain(private("ServerSideFixed", 0.0), rounds=1, checkpoint_dir=tmp_path)
    path = tmp_path / "checkpoint-00001.npz"
    values = unpack(archive.read(path, "checkpoint", 1))
    values["state"]["strategy"]["strategies"][0].update(clipping_norm=1e9, num_sampled_clients=1, noise_multiplier=-1.0)
    archive.write(path, "checkpoint", 1, pack(values))
    strategy: Any = private("ServerSideFixed", 0.0)
    run_plain(strategy, rounds=2, checkpoint_dir=tmp_path, resume=True)
    inner = strategy.strategy
    assert (inner.clipping_norm, inner.num_sampled_clients, inner.noise_multiplier) == (1.0, NODES, 0.0)


def test_a_run_without_noise_cannot_be_resumed_with_noise(tmp_path: Path) -> None:
    run_plain(private("ServerSideFixed", 0.0), rounds=1, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="cannot be resumed by DifferentialPrivacyServerSideFixedClipping"):
        run_plain(private("ServerSideFixed", 0.5), rounds=2, checkpoint_dir=tmp_path, resume=True)


def test_an_adaptive_norm_resumes_from_the_saved_round_and_ignores_a_new_initial_value(tmp_path: Path) -> None:
    def norm(rounds: int, initial: float, **options: Any) -> float:
        strategy = private("ClientSideAdaptive", 0.0, initial_clipping_norm=initial)
        run_plain(strategy, rounds=rounds, **options)
        return float(strategy.strategy.clipping_norm)  # type: ignore[attr-defined]

    norm(2, 0.1, checkpoint_dir=tmp_path)
    assert norm(3, 5.0, checkpoint_dir=tmp_path, resume=True) == norm(3, 0.1) != norm(3, 5.0)


def test_a_refused_start_changes_nothing(tmp_path: Path) -> None:
    strategy = fed_avg()
    before = outcome(run(strategy, tmp_path, rounds=2), strategy.history)
    with pytest.raises(FileExistsError):
        run(strategy, tmp_path, rounds=3)
    with LocalGrid(app, 3) as grid, pytest.raises(ValueError, match="has the state of node"):
        strategy.start(grid, INITIAL, checkpoint_dir=tmp_path, resume=True)
    assert outcome(strategy.result, strategy.history) == before


def test_an_invalid_folder_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"checkpoint_dir='.*file' is not a folder; pass"):
        run(fed_avg(), tmp_path / "file")
    with LocalGrid(app, NODES) as grid:
        with pytest.raises(ValueError, match="checkpoint_dir='' must name a folder; None writes no checkpoints"):
            fed_avg().start(grid, INITIAL, checkpoint_dir="")
        with pytest.raises(TypeError, match="resume must be"):
            fed_avg().start(grid, INITIAL, checkpoint_dir=tmp_path, resume="no")  # type: ignore[arg-type]


def test_unusual_evaluate_fn_and_metric_types_are_saved(tmp_path: Path) -> None:
    class Evaluations(list[int]):
        """Falsy while it is empty."""

        def __call__(self, server_round: int, arrays: ArrayRecord) -> MetricRecord:
            return Metrics({"round": server_round})

    class Metrics(MetricRecord):
        """A subclass of MetricRecord."""

    with LocalGrid(app, NODES) as grid:
        fed_avg().start(grid, INITIAL, 1, evaluate_fn=Evaluations(), checkpoint_dir=tmp_path)
    assert Checkpoint.load(tmp_path).result.evaluate_metrics_serverapp == {0: {"round": 0}, 1: {"round": 1}}


def test_a_grid_without_node_states_can_resume(tmp_path: Path) -> None:
    class Elsewhere(Grid):
        """A grid other than LocalGrid."""

        def __init__(self, grid: LocalGrid) -> None:
            self.grid = grid

        def set_run(self, run_id: int) -> None: ...

        @property
        def run(self) -> Any:
            return self.grid.run

        def create_message(self, *args: Any, **kwargs: Any) -> Message:
            return self.grid.create_message(*args, **kwargs)

        def get_node_ids(self) -> Iterator[int]:  # type: ignore[override]
            return iter(self.grid.get_node_ids())

        def push_messages(self, messages: Any) -> Any:
            return self.grid.push_messages(messages)

        def pull_messages(self, message_ids: Any) -> Any:
            return self.grid.pull_messages(message_ids)

        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> Any:
            return self.grid.send_and_receive(messages, timeout=timeout)

    for rounds in (1, 2):
        with LocalGrid(plain, NODES) as grid:
            strategy = FedAvg(fraction_evaluate=0.0)
            strategy.start(
                Elsewhere(grid), ArrayRecord({"w": Array(np.zeros(3))}), rounds, checkpoint_dir=tmp_path, resume=True
            )
    assert [entry.server_round for entry in strategy.history] == [1, 2]
