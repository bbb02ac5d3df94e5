"""Flower's own loop over the rounds, with the result at hand as it grows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeAlias

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from flskew import _checks
from flskew.strategies import arguments
from flskew.strategies.errors import RoundError
from flskew.strategies.ledger import Ledger

__all__ = ["ServerEvaluation", "run_rounds"]

ServerEvaluation: TypeAlias = Callable[[int, ArrayRecord], MetricRecord | None]
"""Evaluates the model of a round at the server."""

_logger = logging.getLogger("flwr")


def run_rounds(
    strategy: Strategy,
    result: Result,
    ledger: Ledger,
    grid: Grid,
    initial_arrays: ArrayRecord,
    num_rounds: int,
    timeout: float,
    train_config: ConfigRecord | None,
    evaluate_config: ConfigRecord | None,
    evaluate_fn: ServerEvaluation | None,
) -> None:
    """Run all rounds and put what they yield into `result` at once: whatever ends the run, the latest model is there.

    The records given are copied, so what a strategy does to them the caller does not see.
    """
    arrays = arguments.initial(initial_arrays)
    rounds = _checks.integer("num_rounds", num_rounds, minimum=0)
    seconds = arguments.seconds("timeout", timeout)
    result.arrays = _copy(arrays)
    ledger.open()
    # Flower's loop writes the name of the class into the log.
    keeping = type(type(strategy).__name__, (_Keeping,), {})(strategy, ledger, result)
    configs = [ConfigRecord({**(config or {})}) for config in (train_config, evaluate_config)]
    evaluation = None if evaluate_fn is None else _kept_evaluation(evaluate_fn, result)
    try:
        keeping.start(grid, _copy(arrays), rounds, seconds, *configs, evaluation)
    except RoundError as error:
        error.result = result
        raise
    finally:
        for line in ledger.history.dropped():
            _logger.warning("In all, %s", line)


class _Keeping(Strategy):
    """Hands everything on to a strategy, and keeps what it returns.

    The messages too, since those of a subclass that makes its own are not in the ledger yet.
    """

    def __init__(self, strategy: Strategy, ledger: Ledger, result: Result) -> None:
        self._strategy = strategy
        self._ledger = ledger
        self._result = result

    def summary(self) -> None:
        self._strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        messages = self._strategy.configure_train(server_round, arrays, config, grid)
        return self._ledger.note_sent("train", server_round, messages, arrays)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        arrays, metrics = self._strategy.aggregate_train(server_round, replies)
        if arrays is not None:
            self._result.arrays = _copy(arrays)
        if metrics is not None:
            self._result.train_metrics_clientapp[server_round] = metrics
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        messages = self._strategy.configure_evaluate(server_round, arrays, config, grid)
        return self._ledger.note_sent("evaluate", server_round, messages, arrays)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        metrics = self._strategy.aggregate_evaluate(server_round, replies)
        if metrics is not None:
            self._result.evaluate_metrics_clientapp[server_round] = metrics
        return metrics


def _kept_evaluation(evaluate_fn: ServerEvaluation, result: Result) -> ServerEvaluation:
    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        # A copy, since reading a record may empty it.
        metrics = evaluate_fn(server_round, _copy(arrays))
        if metrics is not None:
            result.evaluate_metrics_serverapp[server_round] = metrics
        return metrics

    return evaluate


def _copy(arrays: ArrayRecord) -> ArrayRecord:
    """Return a record of its own with the same arrays, whose bytes cannot be changed."""
    return ArrayRecord(dict(arrays))
