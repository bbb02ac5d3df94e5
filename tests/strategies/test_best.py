"""A run keeps its best model, and ends once that no longer improves.

Every round adds 1 to the model, and a test scores models 0, 1, 2, ... So the model of round r is r, a model with
another round's score would show, and the best one is the first maximum of the list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp import strategy as flower
from tests.strategies.test_checkpoints import Killed, killed_at, outcome

from flskew import BestModel, Checked, Checkpoint, FedAvg, FedProx, KeepBest, LocalGrid, RoundError, RunResult
from flskew._util import archive, files
from flskew.client import client_app
from flskew.strategies._packing import pack, unpack

NAN = math.nan
Scores = Sequence[Any]
"""The score of each model; None for no score."""

STRATEGIES: dict[str, Callable[..., FedAvg | Checked]] = {
    "FedAvg": FedAvg,
    "FedProx": FedProx,
    "Checked": lambda **options: Checked(flower.FedAvg(**options)),
}
every_strategy = pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES)


class Client:
    """Adds 1, and evaluates with the scores."""

    def __init__(self, scores: Scores, metric: str = "accuracy") -> None:
        self.scores, self.metric = scores, metric

    def fit(self, parameters: Any, config: Mapping[str, Any]) -> Any:
        return [parameters[0] + 1], 10, {}

    def evaluate(self, parameters: Any, config: Mapping[str, Any]) -> Any:
        score = self.scores[int(parameters[0][0])]
        if score is None:
            raise OSError("no test data")
        return 0.5, 10, {self.metric: score}


def on_server(scores: Scores) -> Callable[[int, ArrayRecord], MetricRecord | None]:
    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        score = scores[int(arrays["0"].numpy()[0])]
        return None if score is None else MetricRecord({"accuracy": score, "loss": 0.5})

    return evaluate


def by_server(scores: Scores, strategy: FedAvg | Checked | None = None, **options: Any) -> RunResult:
    """Run as many rounds as there are scores beyond that of the initial model."""
    strategy = strategy or FedAvg(fraction_evaluate=0.0)
    options = {"keep_best": "accuracy", "evaluate_fn": on_server(scores), **options}
    with LocalGrid(client_app(lambda context: Client([None] * 99)), 2) as grid:
        return strategy.start(grid, ArrayRecord([np.zeros(1)]), len(scores) - 1, **options)


def by_clients(scores: Scores, strategy: FedAvg | Checked | None = None, **options: Any) -> RunResult:
    """The same, but the clients evaluate, never the initial model."""
    strategy = strategy or FedAvg()
    with LocalGrid(client_app(lambda context: Client(scores)), 2) as grid:
        return strategy.start(grid, ArrayRecord([np.zeros(1)]), len(scores) - 1, **{"keep_best": "accuracy", **options})


def found(result: RunResult) -> tuple[int, float, float]:
    """Return the round, the score and the model."""
    assert result.best is not None
    return result.best.server_round, result.best.value, float(result.best.arrays["0"].numpy()[0])


CASES = {
    "in the middle": ([0.1, 0.6, 0.9, 0.7], 2),
    "in the last round": ([0.1, 0.2, 0.3, 0.4], 3),
    "in the first round": ([0.1, 0.9, 0.3, 0.4], 1),
    "a tie": ([0.1, 0.4, 0.9, 0.9], 2),
    "NaN in between": ([0.1, 0.4, NAN, 0.3], 1),
    "NaN at first": ([NAN, NAN, 0.2, 0.3], 3),
    "NaN at last": ([0.1, 0.2, 0.3, NAN], 2),
    "infinite": ([0.1, -math.inf, math.inf, 0.3], 2),
    "a missing score": ([0.1, 0.4, None, 0.3], 1),
    "integers": ([1, 4, 9, 7], 2),
}
over_cases = pytest.mark.parametrize(("scores", "expected"), CASES.values(), ids=CASES)


@every_strategy
@over_cases
def test_the_model_with_the_best_score_of_the_server_is_kept(
    make: Callable[..., FedAvg | Checked], scores: Scores, expected: int
) -> None:
    result = by_server(scores, make(fraction_evaluate=0.0))
    assert found(result) == (expected, scores[expected], expected)
    assert result.arrays["0"].numpy() == len(scores) - 1


@every_strategy
@over_cases
def test_the_model_with_the_best_score_of_the_clients_is_kept(
    make: Callable[..., FedAvg | Checked], scores: Scores, expected: int
) -> None:
    assert found(by_clients(scores, make())) == (expected, scores[expected], expected)


def test_the_initial_model_may_be_the_best() -> None:
    assert found(by_server([0.9, 0.6, 0.9])) == (0, 0.9, 0)


def test_lower_may_be_better() -> None:
    rule = KeepBest("accuracy", lower_is_better=True)
    assert found(by_server([0.5, 0.3, 0.2, 0.2, 0.4], keep_best=rule)) == (2, 0.2, 2)


def test_the_server_decides_if_it_evaluates_unless_the_rule_names_the_clients() -> None:
    clients, server = [0.0, 0.9, 0.5], [0.0, 0.1, 0.2]
    evaluate_fn = on_server(server)
    assert found(by_clients(clients, evaluate_fn=evaluate_fn)) == (2, 0.2, 2)
    for source, expected in (("server", (2, 0.2, 2)), ("clients", (1, 0.9, 1))):
        rule = KeepBest("accuracy", source=source)  # type: ignore[arg-type]
        assert found(by_clients(clients, evaluate_fn=evaluate_fn, keep_best=rule)) == expected


def test_the_score_of_the_clients_is_their_weighted_mean() -> None:
    class Weighs(Client):
        """The client of partition 1 has three times as many rows, and prefers the later model."""

        def evaluate(self, parameters: Any, config: Mapping[str, Any]) -> Any:
            return 0.5, 10 + 20 * self.scores[0], {"accuracy": self.scores[int(parameters[0][0])]}

    scores = [[0, 0.9, 0.3], [1, 0.5, 0.8]]
    with LocalGrid(client_app(lambda context: Weighs(scores[int(context.node_config["partition-id"])])), 2) as grid:
        result = FedAvg().start(grid, ArrayRecord([np.zeros(1)]), 2, keep_best="accuracy")
    # (10 * .9 + 30 * .5) / 40 = .6, and (10 * .3 + 30 * .8) / 40 = .675
    assert found(result) == (2, pytest.approx(0.675), 2)


def test_without_keep_best_there_is_no_best_model() -> None:
    result = by_server([0.1, 0.2], keep_best=None)
    assert result.best is None
    assert isinstance(result, flower.Result)
    assert "Best" not in repr(result)


def test_the_result_shows_the_best_model() -> None:
    result = by_server([0.25, 0.5, 0.3])
    assert repr(result).endswith("\nBest model:\n\tRound 1: 0.5\n")
    assert "Global Arrays" in repr(result)
    assert repr(result.best) == "BestModel(server_round=1, value=0.5)"


def test_the_strategy_and_its_log_know_the_best_model(log: pytest.LogCaptureFixture) -> None:
    strategy = FedAvg(fraction_evaluate=0.0)
    result = by_server([0.1, 0.5, 0.3], strategy, verbose=True)
    assert strategy.result is result
    assert [line for line in log.messages if "est " in line and "accuracy" in line and "eval" not in line] == [
        "\t> Best 'accuracy' so far: 0.1",
        "\t> Best 'accuracy' so far: 0.5",
        "Best model: round 1, 'accuracy' 0.5",
    ]


def test_nothing_that_gets_the_latest_model_can_change_the_best() -> None:
    def spoil(arrays: ArrayRecord) -> None:
        for array in arrays.values():
            array.data = b"spoilt"
            array.shape = (7,)
        arrays.clear()

    scores = [0.0, 0.1, 0.9, 1.0]
    seen: list[int] = []

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        metrics = MetricRecord({"accuracy": scores[server_round]})
        spoil(arrays)
        return metrics

    def should_stop(server_round: int, result: RunResult) -> bool:
        seen.append(server_round)
        if server_round == 2:
            spoil(result.arrays)
        return server_round == 2

    result = by_server([0.0] * 4, evaluate_fn=evaluate, should_stop=should_stop)
    assert found(result) == (2, 0.9, 2)
    assert seen == [1, 2]


def test_a_best_model_that_is_also_the_latest_takes_no_memory() -> None:
    result = by_server([0.1, 0.2, 0.3])
    assert result.best is not None
    assert result.best.arrays["0"].data is result.arrays["0"].data


def test_the_best_model_of_an_adaptive_strategy_is_what_it_had_made_by_then() -> None:
    def adam() -> Checked:
        return Checked(flower.FedAdam(fraction_evaluate=0.0, eta=0.3))

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({"accuracy": [0.1, 0.2, 0.9, 0.4, 0.5][server_round]})

    result = by_server([0.0] * 5, adam(), evaluate_fn=evaluate)
    shorter = by_server([0.0] * 3, adam(), evaluate_fn=evaluate)
    assert result.best is not None
    assert result.best.server_round == 2
    assert result.best.arrays["0"].data == shorter.arrays["0"].data != result.arrays["0"].data


@pytest.mark.parametrize(
    ("scores", "patience", "last_round"),
    [
        pytest.param([0.5, 0.1, 0.1, 0.1, 0.1], 1, 1, id="worse than the initial model"),
        pytest.param([0.1, 0.5, 0.4, 0.3, 0.2], 2, 3, id="two worse rounds"),
        pytest.param([0.1, 0.5, 0.4, 0.6, 0.2, 0.3, 0.9], 2, 5, id="an improvement starts over"),
        pytest.param([0.1, 0.5, 0.5, 0.5, 0.9], 2, 3, id="ties are no improvement"),
        pytest.param([0.1, 0.5, NAN, NAN, 0.9], 2, 3, id="NaN is no improvement"),
        pytest.param([0.1, 0.5, None, 0.4, None, 0.3, 0.9], 2, 5, id="rounds without a score do not count"),
        pytest.param([NAN, NAN, 0.1, 0.2], 2, 3, id="the initial model is not a round"),
        pytest.param([0.1, 0.2, 0.3, 0.4], 1, 3, id="improves to the end"),
    ],
)
def test_a_run_ends_after_rounds_without_improvement(scores: Scores, patience: int, last_round: int) -> None:
    for make in STRATEGIES.values():
        strategy = make(fraction_evaluate=0.0)
        by_server(scores, strategy, stop_after=patience)
        assert {entry.server_round for entry in strategy.history} == set(range(1, last_round + 1))


def test_a_run_of_diverged_models_ends_too_and_has_no_best_model(log: pytest.LogCaptureFixture) -> None:
    strategy = FedAvg(fraction_evaluate=0.0)
    result = by_server([NAN] * 6, strategy, stop_after=3)
    assert len(strategy.history) == 3
    assert result.best is None
    assert "No best model: 'accuracy' is NaN in every round" in log.messages


def test_should_stop_is_asked_after_every_round_and_either_ends_the_run(log: pytest.LogCaptureFixture) -> None:
    scores = [0.1, 0.5, 0.4, 0.3, 0.2, 0.1]
    for stop, expected, reason in ((9, 3, "stop_after=2"), (2, 2, "should_stop"), (3, 3, "should_stop")):
        seen = []

        def should_stop(server_round: int, result: RunResult, stop: int = stop, seen: list[Any] = seen) -> bool:
            seen.append((server_round, result.best and result.best.server_round))
            return server_round == stop

        by_server(scores, stop_after=2, should_stop=should_stop, verbose=True)
        assert seen == [(server_round, 1) for server_round in range(1, expected + 1)]
        assert f"Stopped by {reason} after {expected} of 5 rounds" in log.messages
        log.clear()


def test_a_metric_that_the_first_evaluation_lacks_is_an_error_that_names_the_others() -> None:
    wanted = (
        r"keep_best='acuracy' is not a metric of the server, whose evaluation of round 0 has \['accuracy', 'loss'\]"
    )
    with pytest.raises(LookupError, match=wanted):
        by_server([0.1, 0.2], keep_best="acuracy")
    wanted = r"'f1' is not a metric of the clients, whose evaluation of round 2 has \['accuracy', 'loss'\]; report it"
    with pytest.raises(LookupError, match=wanted):
        by_clients([None, None, 0.1, 0.2], keep_best="f1")


def test_a_later_round_without_the_metric_is_skipped_and_the_log_says_so(log: pytest.LogCaptureFixture) -> None:
    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        metrics = {0: {"accuracy": 0.1}, 1: {"loss": 0.5}, 3: {"accuracy": 0.2}}
        return MetricRecord(metrics[server_round]) if server_round in metrics else None

    assert found(by_server([0.0] * 4, evaluate_fn=evaluate)) == (3, 0.2, 3)
    assert [line for line in log.messages if "skipped" in line] == [
        "\t> Round 1 has no 'accuracy' from the server: skipped",
        "\t> Round 2 has no 'accuracy' from the server: skipped",
    ]


def test_the_log_expects_no_score_of_the_initial_model_from_clients(log: pytest.LogCaptureFixture) -> None:
    by_clients([None, 0.1, 0.2])
    assert "skipped" not in log.text


@pytest.mark.parametrize("run", [by_server, by_clients])
def test_a_run_without_any_evaluation_ends_with_an_error_and_keeps_its_model(run: Callable[..., RunResult]) -> None:
    strategy = FedAvg(fraction_evaluate=0.0 if run is by_server else 1.0)
    with pytest.raises(LookupError, match=r"keep_best='accuracy': no round has been evaluated by the (server|clients)"):
        run([None, None, None], strategy)
    assert strategy.result.arrays["0"].numpy() == 2


def test_no_rounds_need_no_evaluation() -> None:
    assert by_clients([0.1]).best is None
    assert found(by_server([0.1])) == (0, 0.1, 0)


def test_a_metric_that_is_a_list_is_refused() -> None:
    with pytest.raises(TypeError, match="keep_best='accuracy' must be one number per round, got a list of 2"):
        by_server([[0.1, 0.2], 0.1])


private = flower.DifferentialPrivacyServerSideFixedClipping(flower.FedAvg(fraction_evaluate=0.0), 0.0, 1.0, 2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"keep_best": True}, TypeError, "keep_best must be the name of a metric or a KeepBest, got True"),
        ({"keep_best": ""}, ValueError, "metric must be the name of a metric, got ''"),
        ({"keep_best": "val_loss"}, ValueError, r"would keep .* use KeepBest\('val_loss', lower_is_better=T"),
        ({"keep_best": None, "stop_after": 5}, ValueError, "stop_after=5 needs a metric that must improve; pass its"),
        ({"stop_after": 0}, ValueError, "stop_after must be at least 1, got 0"),
        ({"stop_after": 1.5}, TypeError, "stop_after must be an integer, got 1.5"),
        ({"evaluate_fn": None}, ValueError, "needs the clients' evaluation, got fraction_evaluate=0.0; raise it, or"),
        (
            {"evaluate_fn": None, "strategy": Checked(private)},
            ValueError,
            "needs the clients' evaluation, got fraction_evaluate=0.0; raise it, or",
        ),
        (
            {"evaluate_fn": None, "keep_best": KeepBest("accuracy", source="server")},
            ValueError,
            r"keep_best=KeepBest\(metric='accuracy', source='server'\) needs the server's evaluation; pass evaluate_fn",
        ),
    ],
    ids=[
        "type", "empty", "loss", "no metric", "patience of 0", "patience type", "no evaluation", "no evaluation inside",
        "no server",
    ],
)  # fmt: skip
def test_the_impossible_is_refused_before_anything_is_sent(
    options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    def unasked(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        raise AssertionError

    with pytest.raises(error, match=message):
        by_server([0.1, 0.2], **{"evaluate_fn": unasked, "checkpoint_dir": tmp_path / "folder", **options})
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("name", ["loss", "Log_Loss", "mean_squared_error", "RMSE", "mae"])
def test_the_direction_of_a_loss_has_to_be_stated(name: str) -> None:
    with pytest.raises(ValueError, match=f"keep_best='{name}' would keep the model with the highest '{name}'"):
        KeepBest(name)
    assert KeepBest(name, lower_is_better=True).lower_is_better
    assert not KeepBest(f"neg_{name}", lower_is_better=False).lower_is_better
    assert KeepBest(f"{name}_reduction").lower_is_better is None


def test_a_rule_is_a_value() -> None:
    rule = KeepBest("loss", lower_is_better=True, source="clients")
    assert repr(rule) == "KeepBest(metric='loss', lower_is_better=True, source='clients')"
    assert rule == KeepBest("loss", lower_is_better=True, source="clients") != KeepBest("loss", lower_is_better=True)
    assert len({rule, KeepBest("loss", lower_is_better=True, source="clients")}) == 1
    with pytest.raises(AttributeError):
        rule.metric = "accuracy"  # type: ignore[misc]
    with pytest.raises(TypeError, match="metric must be the name of a metric, got 3"):
        KeepBest(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="lower_is_better must be True or False, got 'yes'"):
        KeepBest("accuracy", lower_is_better="yes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="source must be one of 'server', 'clients', None, got 'client'"):
        KeepBest("accuracy", source="client")  # type: ignore[arg-type]


def test_a_failed_run_keeps_its_best_model() -> None:
    class Breaks(Client):
        """Cannot train in round 4."""

        def fit(self, parameters: Any, config: Mapping[str, Any]) -> Any:
            if config["server-round"] == 4:
                raise OSError("the disk is full")
            return super().fit(parameters, config)

    with (
        LocalGrid(client_app(lambda context: Breaks([0.0, 0.3, 0.9, 0.4])), 2) as grid,
        pytest.raises(RoundError) as error,
    ):
        FedAvg().start(grid, ArrayRecord([np.zeros(1)]), 9, keep_best="accuracy")
    assert found(error.value.result) == (2, 0.9, 2)


# Killed and resumed.

SCORES = [0.1, 0.5, 0.9, 0.2, 0.9, NAN, 0.3, 1.0]
"""With a patience of 4, the run ends after round 6, just before its highest score; round 2 is the best."""


def whole_story(result: RunResult, strategy: FedAvg | Checked) -> dict[str, object]:
    best = result.best and (result.best.server_round, result.best.value, result.best.arrays["0"].data)
    return {**outcome(result, strategy.history), "best": best}


MAKE: dict[str, Callable[[], FedAvg | Checked]] = {
    "FedAvg": FedAvg,
    "FedAdam": lambda: Checked(flower.FedAdam(eta=0.3)),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize(("name", "count"), [("rename", n) for n in range(1, 13)] + [("sync", n) for n in range(1, 13)])
def test_a_killed_run_resumes_with_its_best_model_and_its_patience(
    make: Callable[[], FedAvg | Checked], name: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({"accuracy": SCORES[server_round]})

    def run(**options: Any) -> dict[str, object]:
        strategy = make()
        result = by_server([0.0] * len(SCORES), strategy, evaluate_fn=evaluate, stop_after=4, **options)
        return whole_story(result, strategy)

    expected = run()
    assert expected["best"][:2] == (2, 0.9)  # type: ignore[index]
    with monkeypatch.context() as patched:
        killed_at(patched, files, name, count)
        with pytest.raises(Killed):
            run(checkpoint_dir=tmp_path)
    assert run(checkpoint_dir=tmp_path, resume=True) == expected
    checkpoint = Checkpoint.load(tmp_path)
    assert checkpoint.server_round == 6
    assert checkpoint.state["best"]["waited"] == 4
    best = checkpoint.result.best
    assert isinstance(best, BestModel)
    assert (best.server_round, best.value, best.arrays["0"].data) == expected["best"]


def test_a_run_killed_in_every_round_resumes_with_the_best_of_the_clients(tmp_path: Path) -> None:
    def killed(server_round: int, result: RunResult) -> bool:
        if server_round not in seen:
            seen.add(server_round)
            raise Killed
        return False

    strategy = FedAvg()
    expected = whole_story(by_clients(SCORES, strategy, stop_after=4), strategy)
    seen: set[int] = set()
    for _ in range(6):
        with pytest.raises(Killed):
            by_clients(SCORES, should_stop=killed, stop_after=4, checkpoint_dir=tmp_path, resume=True)
    resumed = FedAvg()
    result = by_clients(SCORES, resumed, should_stop=killed, stop_after=4, checkpoint_dir=tmp_path, resume=True)
    assert whole_story(result, resumed) == expected
    assert seen == {1, 2, 3, 4, 5, 6}


def test_a_run_that_stopped_continues_with_more_patience(tmp_path: Path) -> None:
    for patience in (2, 2):  # the second one sends nothing
        strategy = FedAvg(fraction_evaluate=0.0)
        by_server(SCORES, strategy, stop_after=patience, checkpoint_dir=tmp_path, resume=True)
        assert len(strategy.history) == 4
    result = by_server(SCORES, stop_after=5, checkpoint_dir=tmp_path, resume=True)
    assert found(result) == (7, 1.0, 7)


def test_a_run_without_a_best_model_can_resume_with_one_from_its_last_model_on(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    by_server([0.1, 0.9, 0.5], keep_best=None, checkpoint_dir=tmp_path)
    assert Checkpoint.load(tmp_path).result.best is None
    result = by_server([0.1, 0.9, 0.5, 0.4, 0.3], stop_after=2, checkpoint_dir=tmp_path, resume=True)
    assert found(result) == (2, 0.5, 2)
    assert f"checkpoint_dir={str(tmp_path)!r} has no best model: models before round 2 are not compared" in log.messages


@pytest.mark.parametrize(
    "keep_best",
    [
        None,
        "loss_reduction",
        KeepBest("accuracy", lower_is_better=True),
        KeepBest("accuracy", source="clients"),
    ],
    ids=["none", "metric", "direction", "source"],
)
def test_resuming_with_another_rule_is_refused_and_changes_nothing(
    keep_best: KeepBest | str | None, tmp_path: Path
) -> None:
    by_server([0.1, 0.9, 0.5], checkpoint_dir=tmp_path)
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.glob("*.npz"))
    strategy = FedAvg()
    wanted = (
        r"checkpoint_dir=.* holds the best model by KeepBest\(metric='accuracy', lower_is_better=False, "
        r"source='server'\), which keep_best=.* would lose; resume with the same keep_best and evaluate_fn, or choose"
    )
    with pytest.raises(ValueError, match=wanted):
        by_server([0.1, 0.9, 0.5, 0.4], strategy, keep_best=keep_best, checkpoint_dir=tmp_path, resume=True)
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.glob("*.npz")) == before
    assert not strategy.history
    # The folder is free again, and the same rule can be written in another way.
    rule = KeepBest("accuracy", lower_is_better=False, source="server")
    result = by_server([0.1, 0.9, 0.5, 0.4], keep_best=rule, checkpoint_dir=tmp_path, resume=True)
    assert found(result) == (1, 0.9, 1)


def test_a_best_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    by_server([0.1, 0.9], checkpoint_dir=tmp_path)
    path = tmp_path / "checkpoint-00001.npz"
    values = unpack(archive.read(path, "checkpoint", 1))
    values["result"]["best"] = BestModel(1, 0.9, ArrayRecord([np.zeros(2)]))
    archive.write(path, "checkpoint", 1, pack(values))
    with pytest.raises(ValueError, match="holds a different model from initial_arrays"):
        by_server([0.1, 0.9, 0.2], checkpoint_dir=tmp_path, resume=True)


def test_a_second_run_of_the_same_strategy_starts_without_a_best_model() -> None:
    strategy = FedAvg(fraction_evaluate=0.0)
    assert found(by_server([0.1, 0.9, 0.2], strategy)) == (1, 0.9, 1)
    assert found(by_server([0.1, 0.2, 0.3], strategy)) == (2, 0.3, 2)
