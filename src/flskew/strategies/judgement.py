"""From the messages of a round and the replies to them: what counts, and who failed and why."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

from flwr.app import ArrayRecord, Message

from flskew.strategies.checks import BadReplyError, CheckedReply, check_reply
from flskew.strategies.history import Failure, Phase, Reply, Round

__all__ = ["Judgement", "Sent", "judge"]

_SILENCE = "no reply before the timeout, or its message could not be delivered"


@dataclass(frozen=True)
class Sent:
    """The messages of one half of a round.

    Attributes:
        server_round: 1, 2, ...
        phase: "train" or "evaluate".
        messages: One per node; the grid gives each its id when it is pushed.
        arrays: The model they carry.
        started: When they were made, on the monotonic clock.
    """

    server_round: int
    phase: Phase
    messages: tuple[Message, ...]
    arrays: ArrayRecord | None
    started: float


@dataclass(frozen=True)
class Judgement:
    """The replies that count, in the order of their messages, the arrays they are like, and all for the history."""

    counted: tuple[CheckedReply, ...]
    like: ArrayRecord | None
    round: Round


def judge(replies: Iterable[Message], sent: Sent, weighted_by_key: str, arrayrecord_key: str) -> Judgement:
    """Check every reply and name every node whose reply does not count, those that sent none included.

    An error that the server makes for a node it has lost comes from the server's own id; the node is found through the
    message that the error replies to. Where the messages are not known, since a subclass made its own, the arrays of
    the first reply stand for those that were sent.
    """
    received = list(replies)
    like = None
    if sent.phase == "train":
        like = sent.arrays if sent.arrays is not None else _first_arrays(received)
    by_id = {message.metadata.message_id: place for place, message in enumerate(sent.messages)}
    by_node = {message.metadata.dst_node_id: place for place, message in enumerate(sent.messages)}
    counted: dict[int, tuple[CheckedReply, Reply]] = {}
    failures: dict[int, Failure] = {}
    for arrival, message in enumerate(received):
        place = by_id.get(message.metadata.reply_to_message_id, by_node.get(message.metadata.src_node_id))
        request = sent.messages[place] if place is not None else None
        node_id = request.metadata.dst_node_id if request is not None else message.metadata.src_node_id
        order = place if place is not None else len(sent.messages) + arrival
        if order in counted or order in failures:
            continue  # a message that was delivered twice
        try:
            reply = check_reply(message, weighted_by_key, like, arrayrecord_key)
        except BadReplyError as error:
            failures[order] = Failure(node_id, str(error))
            continue
        counted[order] = reply, Reply(node_id, reply.weight, dict(reply.metrics), _seconds(request, message))
    for order, request in enumerate(sent.messages):
        if order not in counted and order not in failures:
            failures[order] = Failure(request.metadata.dst_node_id, _SILENCE)
    in_order = [counted[order] for order in sorted(counted)]
    return Judgement(
        counted=tuple(reply for reply, _ in in_order),
        like=like,
        round=Round(
            server_round=sent.server_round,
            phase=sent.phase,
            replies=tuple(reply for _, reply in in_order),
            failures=tuple(failures[order] for order in sorted(failures)),
            seconds=time.monotonic() - sent.started,
        ),
    )


def _seconds(request: Message | None, reply: Message) -> float:
    if request is None:
        return math.nan
    # Two machines' clocks may disagree by more than the time between.
    return max(0.0, reply.metadata.created_at - request.metadata.created_at)


def _first_arrays(replies: list[Message]) -> ArrayRecord | None:
    records = (record for reply in replies if reply.has_content() for record in reply.content.values())
    return next((record for record in records if isinstance(record, ArrayRecord)), None)
