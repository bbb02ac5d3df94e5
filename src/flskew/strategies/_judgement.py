"""Match replies to the messages of a phase: which are accepted, which nodes failed, and why."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from flwr.app import ArrayRecord, Message, RecordDict

from flskew._wire import does_not_evaluate
from flskew.strategies._checks import BadReplyError, CheckedReply, check_finite, check_reply
from flskew.strategies.history import Failure, Reply, Round
from flskew.typing import Phase

__all__ = ["Judgement", "Sent", "judge"]

_SILENCE = "no reply before the timeout, or its message could not be delivered"


@dataclass(frozen=True)
class Sent:
    """The messages of one phase of a round.

    Attributes:
        server_round: 1, 2, ...
        phase: "train" or "evaluate".
        messages: One per node, in the order of the nodes; the grid sets their ids when they are pushed.
        model: The server's model; a strategy may send its clients something else.
        started: When the messages were made, on the monotonic clock.
    """

    server_round: int
    phase: Phase
    messages: tuple[Message, ...]
    model: ArrayRecord
    started: float


@dataclass(frozen=True)
class Judgement:
    """Accepted replies and failures, by the positions of their messages.

    Attributes:
        sent: What was sent.
        like: Arrays that a reply must resemble; empty if it needs none.
        counted: The accepted replies.
        failures: The dropped replies, and the nodes that sent none.
        abstained: The nodes that reply that they do not evaluate, which is not a failure.
    """

    sent: Sent
    like: ArrayRecord
    counted: Mapping[int, CheckedReply]
    failures: Mapping[int, Failure]
    abstained: frozenset[int]

    def without_infinite(self) -> Judgement:
        """Drop the replies whose arrays contain NaN or infinity."""
        reasons = {}
        for place, reply in self.counted.items():
            try:
                check_finite(reply.parameters, self.like, "the client has diverged, lower its learning rate")
            except BadReplyError as error:
                reasons[place] = error.reason
        return self.without(reasons)

    def without(self, reasons: Mapping[int, str]) -> Judgement:
        """Turn the replies at these positions into failures, for these reasons."""
        counted = {place: reply for place, reply in self.counted.items() if place not in reasons}
        failed = {place: Failure(self.node_id(place), reason) for place, reason in reasons.items()}
        return replace(self, counted=counted, failures={**self.failures, **failed})

    def in_order(self) -> list[CheckedReply]:
        """Return the accepted replies in the order of their nodes."""
        return [self.counted[place] for place in sorted(self.counted)]

    def contents(self) -> list[RecordDict]:
        """Return the contents of the accepted replies in the same order."""
        return [reply.message.content for reply in self.in_order()]

    def round(self) -> Round:
        """Return the history entry."""
        return Round(
            server_round=self.sent.server_round,
            phase=self.sent.phase,
            replies=tuple(self._reply(place) for place in sorted(self.counted)),
            failures=tuple(self.failures[place] for place in sorted(self.failures)),
            seconds=time.monotonic() - self.sent.started,
        )

    def node_id(self, place: int) -> int:
        """Return the node of an accepted reply."""
        if place < len(self.sent.messages):
            return self.sent.messages[place].metadata.dst_node_id
        return self.counted[place].message.metadata.src_node_id

    def _reply(self, place: int) -> Reply:
        reply = self.counted[place]
        seconds = math.nan
        if place < len(self.sent.messages):
            # The clocks of two machines may differ by more than this time.
            asked_at = self.sent.messages[place].metadata.created_at
            seconds = max(0.0, reply.message.metadata.created_at - asked_at)
        return Reply(self.node_id(place), reply.weight, dict(reply.metrics), seconds, reply.assignment, reply.records)


def judge(replies: Iterable[Message], sent: Sent, weighted_by_key: str, arrayrecord_key: str) -> Judgement:
    """Check every reply, except whether its arrays are finite, and name every node that sent none.

    An error reply for a lost node has the server's id; the node is found through the message that it replies to. A
    reply must resemble the arrays that its message carried; if the messages are unknown, the
    first reply sets the standard.
    """
    received = list(replies)
    like = _first_model([*sent.messages, *received], arrayrecord_key) if sent.phase == "train" else None
    by_id = {m.metadata.message_id: place for place, m in enumerate(sent.messages) if m.metadata.message_id}
    by_node = {message.metadata.dst_node_id: place for place, message in enumerate(sent.messages)}
    counted: dict[int, CheckedReply] = {}
    failures: dict[int, Failure] = {}
    abstained: dict[int, int] = {}
    for arrival, message in enumerate(received):
        answered, sender = message.metadata.reply_to_message_id, message.metadata.src_node_id
        place = by_id.get(answered, by_node.get(sender, len(sent.messages) + arrival))
        if place in counted or place in failures or place in abstained:
            continue  # a message that was delivered twice
        node_id = sent.messages[place].metadata.dst_node_id if place < len(sent.messages) else sender
        if sent.phase == "evaluate" and does_not_evaluate(message):
            abstained[place] = node_id
            continue
        try:
            counted[place] = check_reply(message, weighted_by_key, like, arrayrecord_key)
        except BadReplyError as error:
            failures[place] = Failure(node_id, error.reason, error.traceback)
    for place, request in enumerate(sent.messages):
        if place not in counted and place not in failures and place not in abstained:
            failures[place] = Failure(request.metadata.dst_node_id, _SILENCE)
    return Judgement(sent, like or ArrayRecord(), counted, failures, frozenset(abstained.values()))


def _first_model(messages: Iterable[Message], key: str) -> ArrayRecord:
    for message in messages:
        records = message.content.array_records if message.has_content() else {}
        if records:
            return records.get(key) or next(iter(records.values()))
    return ArrayRecord()
