"""One round, whatever the algorithm: send, check, drop, combine, record."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from flskew.strategies._judgement import Judgement, judge
from flskew.strategies._record import RunRecord
from flskew.strategies.best import RunResult
from flskew.strategies.history import History
from flskew.typing import Phase

__all__ = ["RoundStrategy"]

_logger = logging.getLogger("flwr")


class RoundStrategy(Strategy):
    """A strategy that checks and records each phase of a round, in any loop that calls it.

    A subclass implements `_messages`, `_combine` and `_combine_metrics`.
    """

    weighted_by_key: str
    arrayrecord_key: str
    min_replies: int
    min_evaluate_replies: int
    max_update_norm: float | None

    def __init__(self) -> None:
        self._record = RunRecord()
        self._is_running = False

    @property
    def result(self) -> RunResult:
        """The latest model, the metrics and the best model of the last `start`, so far."""
        return self._record.result

    @property
    def history(self) -> History:
        """The rounds since the last `start`: training and, unless disabled, evaluation."""
        return self._record.history

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages of a round's training.

        Raises:
            TimeoutError: Too few nodes connected.
        """
        return self._noted("train", server_round, self._messages("train", server_round, arrays, config, grid), arrays)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages of a round's evaluation.

        Raises:
            TimeoutError: Too few nodes connected.
        """
        messages = self._messages("evaluate", server_round, arrays, config, grid)
        return self._noted("evaluate", server_round, messages, arrays)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the new model and the metrics; None for both if no reply was accepted and none is needed.

        Raises:
            RoundError: Too few replies were accepted, or clients use different splits.
        """
        judgement = self._judge("train", server_round, replies)
        if judgement is None:
            return self._nothing_trained(server_round)
        judgement, made = self._screen(judgement)
        self._record.close(judgement, self.min_replies)
        if not judgement.counted:
            _logger.warning("\t> Round %d has no accepted train reply: the model is unchanged", server_round)
            return None, None
        return self._combine(judgement, made)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return the metrics of the accepted replies; None if there are none.

        Raises:
            RoundError: Too few replies were accepted, or clients use different splits.
        """
        judgement = self._judge("evaluate", server_round, replies)
        if judgement is not None:
            self._record.close(judgement, self.min_evaluate_replies)
            if judgement.counted:
                return self._combine_metrics(judgement)
        return self._nothing_evaluated(server_round)

    @abstractmethod
    def _messages(
        self, phase: Phase, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages to send."""

    def _screen(self, judgement: Judgement) -> tuple[Judgement, ArrayRecord | None]:
        """Drop replies with NaN, infinity or a large update; also return the new model if this has computed it."""
        return judgement.screened(self.max_update_norm), None

    @abstractmethod
    def _combine(
        self, judgement: Judgement, made: ArrayRecord | None
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the new model and the metrics of at least one accepted reply."""

    @abstractmethod
    def _combine_metrics(self, judgement: Judgement) -> MetricRecord | None:
        """Return the metrics of at least one accepted evaluation."""

    def _nothing_trained(self, server_round: int) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the model and the metrics of a round in which no node is asked to train."""
        return None, None

    def _nothing_evaluated(self, server_round: int) -> MetricRecord | None:
        """Return the metrics of a round without an accepted evaluation."""
        return None

    def _noted(
        self, phase: Phase, server_round: int, messages: Iterable[Message], arrays: ArrayRecord
    ) -> list[Message]:
        """Remember messages that one of Flower's own loops will send; `start` does this itself."""
        sent = list(messages)
        if not self._is_running:
            self._record.expect(phase, server_round, self._checked_count(phase, sent), arrays)
        return sent

    def _checked_count(self, phase: Phase, messages: Iterable[Message]) -> list[Message]:
        name = "min_replies" if phase == "train" else "min_evaluate_replies"
        needed, sent = getattr(self, name), list(messages)
        if 0 < len(sent) < needed:
            raise ValueError(f"{name}={needed}, but only {len(sent)} nodes {phase}; lower it, or sample more nodes")
        return sent

    def _judge(self, phase: Phase, server_round: int, replies: Iterable[Message]) -> Judgement | None:
        received, sent = list(replies), self._record.take_sent(phase, server_round)
        if not sent.messages and not received:
            return None
        return judge(received, sent, self.weighted_by_key, self.arrayrecord_key, self._record.sites)
