"""Flower's own loop over the rounds, with the result at hand as it grows."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import TypeAlias

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from flskew._util import checks
from flskew.strategies import _arguments
from flskew.strategies._errors import RoundError
from flskew.strategies._ledger import Ledger
from flskew.strategies._state import StrategyState
from flskew.strategies.checkpoints import RunOnDisk

__all__ = ["ServerEvaluation", "run_rounds"]

ServerEvaluation: TypeAlias = Callable[[int, ArrayRecord], MetricRecord | None]
"""Evaluates the model of a round at the server."""

_logger = logging.getLogger("flwr")


def run_rounds(
    strategy: Strategy,
    ledger: Ledger,
    grid: Grid,
    initial_arrays: ArrayRecord,
    num_rounds: int,
    timeout: float,
    train_config: ConfigRecord | None,
    evaluate_config: ConfigRecord | None,
    evaluate_fn: ServerEvaluation | None,
    checkpoint_dir: str | os.PathLike[str] | None,
    resume: bool,
) -> Result:
    """Run all rounds and put what they yield into the ledger's result at once, so that it is there however they end.

    The records given are copied, so what a strategy does to them the caller does not see. A call that is refused
    changes nothing.
    """
    arrays = _arguments.initial(initial_arrays)
    rounds = checks.integer("num_rounds", num_rounds, minimum=0)
    seconds = _arguments.seconds("timeout", timeout)
    if checks.truth("resume", resume) and checkpoint_dir is None:
        raise ValueError("resume=True needs the folder to go on from; name it as checkpoint_dir")
    disk = None if checkpoint_dir is None else RunOnDisk(checkpoint_dir, grid)
    checkpoint = disk.latest(strategy, arrays, rounds, resume) if disk else None
    if resume and ledger.state is not None:
        ledger.state.rewind()  # the run that is to go on may have been one of this very object
    ledger.open()
    state = ledger.state = StrategyState(strategy)
    result = ledger.result
    result.arrays = _copy(arrays)
    if disk and checkpoint:
        disk.go_on(checkpoint, ledger, state)
    done = checkpoint.server_round if checkpoint else 0
    # Flower's loop writes the name of the class into the log.
    keeping = type(type(strategy).__name__, (_Keeping,), {})(strategy, ledger, state, evaluate_fn, disk, done)
    configs = [ConfigRecord({**(config or {})}) for config in (train_config, evaluate_config)]
    try:
        keeping.start(grid, _copy(arrays), rounds, seconds, *configs, None if evaluate_fn is None else keeping.evaluate)
    except RoundError as error:
        error.result = result
        raise
    finally:
        state.end()
        for line in ledger.history.dropped():
            _logger.warning("In all, %s", line)
    return result


class _Keeping(Strategy):
    """Hands everything on to a strategy, and keeps what it returns, in memory and on disk.

    The messages too, since those of a subclass that makes its own are not in the ledger yet. Of the rounds that an
    earlier run has done nothing is handed on: nobody is asked, and what it kept is returned.
    """

    def __init__(
        self,
        strategy: Strategy,
        ledger: Ledger,
        state: StrategyState,
        evaluate_fn: ServerEvaluation | None,
        disk: RunOnDisk | None,
        done: int,
    ) -> None:
        self._strategy = strategy
        self._ledger = ledger
        self._state = state
        self._result = ledger.result
        self._evaluate_fn = evaluate_fn
        self._disk = disk
        self._done = done

    def summary(self) -> None:
        self._strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        if server_round <= self._done:
            return []
        messages = self._strategy.configure_train(server_round, arrays, config, grid)
        return self._ledger.note_sent("train", server_round, messages, arrays)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        if server_round <= self._done:
            return _copy(self._result.arrays), self._result.train_metrics_clientapp.get(server_round)
        arrays, metrics = self._strategy.aggregate_train(server_round, replies)
        if arrays is not None:
            self._result.arrays = _copy(arrays)
        if metrics is not None:
            self._result.train_metrics_clientapp[server_round] = metrics
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        if server_round <= self._done:
            return []
        messages = self._strategy.configure_evaluate(server_round, arrays, config, grid)
        return self._ledger.note_sent("evaluate", server_round, messages, arrays)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        if server_round <= self._done:
            return self._result.evaluate_metrics_clientapp.get(server_round)
        metrics = self._strategy.aggregate_evaluate(server_round, replies)
        if metrics is not None:
            self._result.evaluate_metrics_clientapp[server_round] = metrics
        if self._evaluate_fn is None:
            self._save(server_round)
        return metrics

    def evaluate(self, server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        """Evaluate at the server, which is the last thing that Flower's loop does in a round."""
        if self._evaluate_fn is None or (self._done and server_round <= self._done):
            return self._result.evaluate_metrics_serverapp.get(server_round)
        # A copy, since reading a record may empty it.
        metrics = self._evaluate_fn(server_round, _copy(arrays))
        if metrics is not None:
            self._result.evaluate_metrics_serverapp[server_round] = metrics
        if server_round:
            self._save(server_round)
        return metrics

    def _save(self, server_round: int) -> None:
        if self._disk is not None:
            self._disk.save(server_round, self._ledger, self._state)


def _copy(arrays: ArrayRecord) -> ArrayRecord:
    """Return a record of its own with the same arrays, whose bytes cannot be changed."""
    return ArrayRecord(dict(arrays))
