"""What a run writes to its log and its folder, and strategies that are used again after a run."""

from __future__ import annotations

import io
import logging
import threading
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord

from flskew._util import progress
from flskew._util.progress import Progress
from flskew.strategies import Checkpoint, FedAvg

from .conftest import MakesFederation

move = Progress._move


def zeros() -> ArrayRecord:
    return ArrayRecord([np.zeros(2)])


def good(index: int, message: Message) -> dict[str, Any]:
    return {"arrays": zeros(), "metrics": MetricRecord({"num-examples": 1, "accuracy": 0.5})}


def test_the_log_has_the_rounds_and_their_metrics(federation: MakesFederation, log: pytest.LogCaptureFixture) -> None:
    FedAvg().start(federation(train=good), zeros(), num_rounds=2, verbose=True)
    lines = [line.strip() for line in log.messages]
    assert "Starting FedAvg strategy: rounds 1 to 2" in lines
    assert [line for line in lines if line.startswith("[ROUND")] == ["[ROUND 1/2]", "[ROUND 2/2]"]
    assert lines.count("└──> Aggregated MetricRecord: {'accuracy': 0.5}") == 2
    assert lines.count("└──> Aggregated MetricRecord: {'loss': 1.0}") == 2
    assert not [line for line in lines if "should_stop" in line]


def test_the_log_has_the_servers_evaluation(federation: MakesFederation, log: pytest.LogCaptureFixture) -> None:
    FedAvg().start(
        federation(train=good),
        zeros(),
        num_rounds=1,
        evaluate_fn=lambda number, arrays: MetricRecord({"round": number}),
        verbose=True,
    )
    told = [line for line in log.messages if line.startswith("Server evaluation")]
    assert told == ["Server evaluation of round 0: {'round': 0}", "Server evaluation of round 1: {'round': 1}"]


def test_the_log_says_that_a_run_was_stopped(federation: MakesFederation, log: pytest.LogCaptureFixture) -> None:
    strategy, stop = FedAvg(), lambda number, result: number == 3
    strategy.start(federation(train=good), zeros(), num_rounds=9, should_stop=stop, verbose=True)
    assert "Stopped by should_stop after 3 of 9 rounds" in log.messages


def lines_of(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in log.records]


def test_a_run_in_this_process_logs_warnings_only(federation: MakesFederation, log: pytest.LogCaptureFixture) -> None:
    def one_fails(index: int, message: Message) -> dict[str, Any]:
        return {"arrays": ArrayRecord([np.full(2, np.nan)])} | good(index, message) if index else {}

    FedAvg().start(federation(train=one_fails), zeros(), num_rounds=1)
    assert {level for level, _ in lines_of(log)} == {"WARNING"}


def test_a_run_on_flowers_engines_logs_each_round(federation: MakesFederation, log: pytest.LogCaptureFixture) -> None:
    grid = federation(train=good)
    grid.nodes_are_fixed = False  # as on a SuperLink
    FedAvg().start(grid, zeros(), num_rounds=1)
    assert ("INFO", "[ROUND 1/1]") in lines_of(log)
    log.clear()
    FedAvg().start(grid, zeros(), num_rounds=1, verbose=False)
    assert lines_of(log) == []


def test_verbose_must_be_a_truth_value(federation: MakesFederation) -> None:
    with pytest.raises(TypeError, match="verbose must be True or False"):
        FedAvg().start(federation(train=good), zeros(), verbose="yes")  # type: ignore[arg-type]


def test_your_own_lines_on_flowers_logger_are_shown(federation: MakesFederation, log: pytest.LogCaptureFixture) -> None:
    def evaluate(number: int, arrays: ArrayRecord) -> None:
        logging.getLogger("flwr").info("round %d, by hand", number)

    FedAvg().start(federation(train=good), zeros(), num_rounds=1, evaluate_fn=evaluate)
    assert lines_of(log) == [("INFO", "round 0, by hand"), ("INFO", "round 1, by hand")]


def test_two_runs_at_once_log_as_each_was_told(federation: MakesFederation, log: pytest.LogCaptureFixture) -> None:
    both = threading.Barrier(2)

    def run(strategy: FedAvg, verbose: bool) -> None:
        def wait(number: int, arrays: ArrayRecord) -> None:
            both.wait(10)  # both runs are inside a round

        strategy.start(federation(train=good), zeros(), num_rounds=2, evaluate_fn=wait, verbose=verbose)

    threads = [threading.Thread(target=run, args=(FedAvg(), verbose)) for verbose in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    messages = [message for _, message in lines_of(log)]
    assert [messages.count(line) for line in ("[ROUND 1/2]", "[ROUND 2/2]")] == [1, 1]


def test_a_run_leaves_the_logger_as_it_was(federation: MakesFederation) -> None:
    logger = logging.getLogger("flwr")
    before = (logger.level, list(logger.handlers), list(logger.filters))

    def fail(number: int, arrays: ArrayRecord) -> None:
        raise ValueError("the server has no test set")

    with pytest.raises(ValueError, match="no test set"):
        FedAvg().start(federation(train=good), zeros(), evaluate_fn=fail)
    assert (logger.level, list(logger.handlers), list(logger.filters)) == before
    assert progress._filter not in logger.filters  # not even from an earlier run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_bar_with_the_latest_metrics(
    federation: MakesFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    FedAvg().start(federation(train=good), zeros(), num_rounds=3)
    drawn = terminal.getvalue()
    *_, last, erased, _ = drawn.split("\r")
    assert set(erased) == {" "}
    assert "\n" not in drawn
    assert last.startswith("FedAvg, round 3/3: 100%|")
    assert last.rstrip().endswith("loss=1")
    assert "train:" not in drawn  # the grid's bar


def test_the_bar_moves_with_each_client(federation: MakesFederation, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[float] = []
    monkeypatch.setattr("flskew._util.progress._is_watched", lambda: True)
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr(Progress, "_move", lambda self, place: places.append(place) or move(self, place))
    FedAvg().start(federation(train=good, nodes=2), zeros(), num_rounds=2)
    # Each round: where it starts, two clients that train, two that evaluate, and where it ends.
    assert places == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1.25, 1.5, 1.75, 2, 2]


def test_a_warning_erases_the_bar_first(federation: MakesFederation, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    handler = logging.StreamHandler(terminal)
    handler.setLevel(logging.WARNING)
    logging.getLogger("flwr").addHandler(handler)
    try:
        FedAvg().start(federation(train=lambda index, message: good(index, message) if index else {}), zeros(), 1)
    finally:
        logging.getLogger("flwr").removeHandler(handler)
    (before,) = [text for text in terminal.getvalue().split("\n") if "Dropped" in text]
    erased, warning = before.split("\r")[-2:]
    assert set(erased) == {" "}
    assert warning.startswith("\t> Dropped node 1000")


def test_a_loaded_checkpoint_is_immutable(federation: MakesFederation, tmp_path: Path) -> None:
    FedAvg().start(federation(train=good), zeros(), num_rounds=1, checkpoint_dir=tmp_path)
    with pytest.raises(FrozenInstanceError):
        Checkpoint.load(tmp_path).server_round = 7  # type: ignore[misc]


def test_a_strategy_that_has_run_can_be_used_in_a_custom_loop(federation: MakesFederation) -> None:
    grid, strategy = federation(train=good), FedAvg()
    strategy.start(grid, zeros(), num_rounds=1)
    replies = grid.send_and_receive(strategy.configure_train(2, zeros(), ConfigRecord(), grid))
    strategy.aggregate_train(2, list(replies)[:2])
    (failure,) = strategy.history[-1].failures
    assert "no reply" in failure.reason
