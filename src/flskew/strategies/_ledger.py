"""What a strategy sent, what came back, and what is kept of it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import ArrayRecord, Message
from flwr.serverapp.strategy import Result

from flskew._util import checks
from flskew.strategies._errors import RoundError
from flskew.strategies._judgement import Judgement, Sent, judge
from flskew.strategies._reasons import grouped, named
from flskew.strategies._state import StrategyState
from flskew.strategies.history import History, Phase, Round

__all__ = ["Ledger", "round_error"]

_logger = logging.getLogger("flwr")


class Ledger:
    """The books of one run: its messages, its history and the split that its clients use.

    Args:
        weighted_by_key: The name of the weight in a reply's metrics.
        arrayrecord_key: The name of the arrays in a message.
        min_replies: So many training replies must count, >= 0.
        min_evaluate_replies: So many replies of an evaluation must count, >= 0.

    Raises:
        TypeError: One of the numbers is not an integer.
        ValueError: One of the numbers is too small.
    """

    def __init__(self, weighted_by_key: str, arrayrecord_key: str, min_replies: int, min_evaluate_replies: int) -> None:
        self._weighted_by_key = weighted_by_key
        self._arrayrecord_key = arrayrecord_key
        self._needed: dict[Phase, int] = {
            "train": checks.integer("min_replies", min_replies, minimum=0),
            "evaluate": checks.integer("min_evaluate_replies", min_evaluate_replies, minimum=0),
        }
        self.state: StrategyState | None = None
        self.open()

    def summary(self) -> None:
        """Log how many replies are needed."""
        _logger.info("\t├──> Replies needed: train (%d) | evaluate (%d)", *self._needed.values())

    def open(self) -> None:
        """Begin a run."""
        self.history = History()
        self.result = Result()
        self._sent: dict[Phase, Sent] = {}
        self._splits: dict[str, dict[int, None]] = {}
        self._only_train: set[int] = set()

    def remembered(self) -> dict[str, object]:
        """Return what it knows beyond its history, as plain values."""
        return {"splits": {split: list(nodes) for split, nodes in self._splits.items()}, "only_train": self._only_train}

    def remember(self, history: History, remembered: Mapping[str, Any]) -> None:
        """Go on with the history of an earlier run and with what it had `remembered`."""
        self.history.extend(history)
        self._splits = {split: dict.fromkeys(nodes) for split, nodes in remembered["splits"].items()}
        self._only_train = set(remembered["only_train"])

    def evaluates(self, node_id: int) -> bool:
        """Return whether a node may be asked to evaluate: it has not said that it only trains."""
        return node_id not in self._only_train

    def note_sent(
        self, phase: Phase, server_round: int, messages: Iterable[Message], model: ArrayRecord
    ) -> list[Message]:
        """Remember the messages of half a round, and return them.

        Raises:
            ValueError: There are fewer than the replies that are needed.
        """
        sent, needed = list(messages), self._needed[phase]
        if 0 < len(sent) < needed:
            raise ValueError(
                f"{'min_replies' if phase == 'train' else 'min_evaluate_replies'}={needed}, but only {len(sent)} nodes "
                f"are asked to {phase}; lower it, or ask more nodes"
            )
        # Flower's strategies shuffle their nodes: what is made of the replies must not hang on that.
        in_order = sorted(sent, key=lambda message: message.metadata.dst_node_id)
        self._sent[phase] = Sent(server_round, phase, tuple(in_order), model, time.monotonic())
        return sent

    def judge(self, phase: Phase, server_round: int, replies: Iterable[Message]) -> Judgement | None:
        """Return which replies count as long as nobody has looked for NaN; None if nobody was asked."""
        received = list(replies)
        sent = self._sent.pop(phase, None)
        if sent is None or sent.server_round != server_round:
            sent = Sent(server_round, phase, (), ArrayRecord(), time.monotonic())
        if not sent.messages and not received:
            return None
        return judge(received, sent, self._weighted_by_key, self._arrayrecord_key)

    def close(self, judgement: Judgement) -> None:
        """Enter half a round into the history.

        Raises:
            RoundError: Fewer replies count than are needed, or clients use different splits.
        """
        entry = judgement.round()
        self.history.append(entry)
        _log(entry)
        self._refuse_mixed_splits(judgement, entry)
        if judgement.abstained:
            self._only_train |= judgement.abstained
            _logger.info("\t> Only training, and not asked to evaluate again: %s", named(sorted(judgement.abstained)))
        needed = self._needed[entry.phase]
        counted = len(entry.replies)
        asked = counted + len(entry.failures) + len(judgement.abstained)
        if counted < needed:
            others = f" ({named(sorted(judgement.abstained))} only train)" if judgement.abstained else ""
            message = f"{counted} of {asked} {entry.phase} replies count, at least {needed} must{others}:"
            raise round_error(judgement, message)

    def _refuse_mixed_splits(self, judgement: Judgement, entry: Round) -> None:
        for reply in entry.replies:
            if reply.assignment is not None:
                self._splits.setdefault(reply.assignment, {})[reply.node_id] = None
        if len(self._splits) > 1:
            splits = "; ".join(f"{split[:12]} by {named(list(nodes))}" for split, nodes in self._splits.items())
            raise round_error(
                judgement,
                f"the clients use {len(self._splits)} different splits, {splits}; give all of them the same "
                "partitioner, seed and data set, since a row may now be with several of them",
            )


def round_error(judgement: Judgement, message: str) -> RoundError:
    """Return the error of a round whose replies make no model; its result is the model that was sent."""
    sent = judgement.sent
    failures = [judgement.failures[place] for place in sorted(judgement.failures)]
    result = Result(arrays=sent.model)
    return RoundError(f"round {sent.server_round}: {message}", sent.server_round, sent.phase, failures, result)


def _log(entry: Round) -> None:
    _logger.info(
        "aggregate_%s: Received %d results and %d failures in %.1f s",
        entry.phase,
        len(entry.replies),
        len(entry.failures),
        entry.seconds,
    )
    for line in grouped((failure.node_id, failure.reason) for failure in entry.failures):
        _logger.warning("\t> Dropped %s", line)
    not_finite: dict[str, list[int]] = {}
    for reply in entry.replies:
        for key, value in reply.metrics.items():
            if not all(map(math.isfinite, value if isinstance(value, list) else [value])):
                not_finite.setdefault(key, []).append(reply.node_id)
    for key, nodes in not_finite.items():
        _logger.warning("\t> Metric %r of %s is NaN or infinite, and so is its mean", key, named(nodes))
