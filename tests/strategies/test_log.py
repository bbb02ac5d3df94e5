"""What a run writes to its log and its folder, and strategies that are used again after a run."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord

from flskew.strategies import Checkpoint, FedAvg

from .conftest import MakesFederation


def zeros() -> ArrayRecord:
    return ArrayRecord([np.zeros(2)])


def good(index: int, message: Message) -> dict[str, Any]:
    return {"arrays": zeros(), "metrics": MetricRecord({"num-examples": 1, "accuracy": 0.5})}


def test_the_log_has_the_rounds_and_their_metrics(federation: MakesFederation, log: pytest.LogCaptureFixture) -> None:
    FedAvg().start(federation(train=good), zeros(), num_rounds=2)
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
    )
    told = [line for line in log.messages if line.startswith("Server evaluation")]
    assert told == ["Server evaluation of round 0: {'round': 0}", "Server evaluation of round 1: {'round': 1}"]


def test_the_log_says_that_a_run_was_stopped(federation: MakesFederation, log: pytest.LogCaptureFixture) -> None:
    FedAvg().start(federation(train=good), zeros(), num_rounds=9, should_stop=lambda number, result: number == 3)
    assert "Stopped by should_stop after 3 of 9 rounds" in log.messages


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
