"""Match replies to the messages of a phase: which are accepted, which nodes failed, and why."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType

from flwr.app import ArrayRecord, Message, RecordDict

from flskew._arrays.records import parameters_from_record
from flskew._arrays.update_norm import update_norm
from flskew._util.texts import one_line
from flskew._wire import CONTROL_KEY, does_not_evaluate, is_absent
from flskew.strategies._checks import BadReplyError, CheckedReply, check_finite, check_reply
from flskew.strategies._sites import UNKNOWN_SITE, Site, site_of
from flskew.strategies.history import _NO_RECORDS, Failure, Reply, Round
from flskew.typing import Parameters, Phase

__all__ = ["Judgement", "Sent", "judge"]

_SILENCE = "no reply before the timeout, or its message could not be delivered"


@dataclass(frozen=True)
class Sent:
    """The messages of one phase of a round.

    Attributes:
        server_round: 1, 2, ...
        phase: "train" or "evaluate".
        messages: One per node, in the order of the nodes; the grid sets their ids when they are pushed.
        model: The server's model; a strategy may send other arrays to its clients.
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
        sent: The messages that were sent.
        like: Arrays that a reply must resemble; empty if it needs none.
        models: The arrays that each message carried.
        counted: The accepted replies.
        failures: The dropped replies, and the nodes that sent none.
        abstained: The nodes that reply that they do not evaluate, which is not a failure.
        absent: The nodes that reply that they take no part in this round, which is not a failure either.
    """

    sent: Sent
    like: ArrayRecord
    models: Mapping[int, ArrayRecord]
    counted: Mapping[int, CheckedReply]
    failures: Mapping[int, Failure]
    abstained: frozenset[int]
    absent: frozenset[int] = frozenset()

    def screened(self, max_update_norm: float | None) -> Judgement:
        """Measure every update, and drop those that contain NaN or infinity, or whose norm is beyond the limit."""
        counted, sent = self.in_order(), self.sent_parameters()
        if sent is None:
            return self._without_infinite()
        norms = [update_norm(reply.parameters, before) for reply, before in zip(counted, sent, strict=True)]
        return self.with_norms(norms)._without_infinite().without_large(max_update_norm)

    def with_norms(self, norms: Sequence[float]) -> Judgement:
        """Record the norms of the updates, in the order of the nodes."""
        measured = zip(sorted(self.counted.items()), norms, strict=True)
        return replace(
            self, counted={place: reply._replace(update_norm=float(norm)) for (place, reply), norm in measured}
        )

    def without_large(self, max_update_norm: float | None) -> Judgement:
        """Drop the replies whose update is larger than the limit; a reply with an unknown norm is kept."""
        if max_update_norm is None:
            return self
        return self.without(
            {
                place: f"its update has norm {reply.update_norm:.9g}, above max_update_norm={max_update_norm:.9g}"
                for place, reply in self.counted.items()
                if reply.update_norm > max_update_norm
            }
        )

    def _without_infinite(self) -> Judgement:
        reasons = {}
        for place, reply in self.counted.items():
            if math.isfinite(reply.update_norm):
                continue  # a finite norm means finite numbers
            try:
                check_finite(reply.parameters, self.like, "the client has diverged, lower its learning rate")
            except BadReplyError as error:
                reasons[place] = error.reason
        return self.without(reasons)

    def without(self, reasons: Mapping[int, str]) -> Judgement:
        """Turn the replies at these positions into failures, for these reasons."""
        counted = {place: reply for place, reply in self.counted.items() if place not in reasons}
        failed = {
            place: _failure(self.node_id(place), reason, site=site_of(self.counted[place]))
            for place, reason in reasons.items()
        }
        return replace(self, counted=counted, failures={**self.failures, **failed})

    def sent_parameters(self) -> list[Parameters] | None:
        """Return the model that each accepted reply updates, in the order of the nodes; None if no message is known.

        A strategy may send each node a different model; most send all nodes the same one, which is read once.
        """
        if not self.sent.messages:
            return None
        shared, want = parameters_from_record(self.like), _kinds(self.like)
        read = {id(self.like): shared}
        found = []
        for place in sorted(self.counted):
            model = self.models[place]
            if id(model) not in read:
                read[id(model)] = parameters_from_record(model) if _kinds(model) == want else shared
            found.append(read[id(model)])
        return found

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
            absent=tuple(sorted(self.absent)),
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
        # Interned: the same few names come in every round.
        return Reply(
            node_id=self.node_id(place),
            num_examples=reply.weight,
            metrics={sys.intern(str.__str__(key)): value for key, value in reply.metrics.items()},
            seconds=seconds,
            assignment=None if reply.assignment is None else sys.intern(reply.assignment),
            records=reply.records or _NO_RECORDS,
            update_norm=reply.update_norm,
            partition_id=reply.partition_id,
            name=None if reply.name is None else sys.intern(reply.name),
        )


def judge(
    replies: Iterable[Message],
    sent: Sent,
    weighted_by_key: str,
    arrayrecord_key: str,
    sites: Mapping[int, Site] = MappingProxyType({}),
) -> Judgement:
    """Check every reply, except whether its arrays are finite, and name every node that sent none.

    An error reply for a lost node has the server's id; the node is found through the message that it replies to. A
    reply to none of the messages is dropped. A reply must resemble the arrays that its message carried or, if the
    messages are unknown, those of the first reply. `sites` are the partitions of the nodes that have replied before.
    """
    received = list(replies)
    models: dict[int, ArrayRecord] = {}
    like = None
    if sent.phase == "train":
        models = {place: _model(message, arrayrecord_key) for place, message in enumerate(sent.messages)}
        candidates = chain(models.values(), (_model(message, arrayrecord_key) for message in received))
        like = next((model for model in candidates if model), ArrayRecord())
    by_id = {m.metadata.message_id: place for place, m in enumerate(sent.messages) if m.metadata.message_id}
    by_node = {message.metadata.dst_node_id: place for place, message in enumerate(sent.messages)}
    counted: dict[int, CheckedReply] = {}
    failures: dict[int, Failure] = {}
    abstained: dict[int, int] = {}
    absent: dict[int, int] = {}
    known: set[int] = set()
    for arrival, message in enumerate(received):
        answered, sender = message.metadata.reply_to_message_id, message.metadata.src_node_id
        unknown = len(sent.messages) + arrival
        # A grid that gives its messages no ids delivers one reply of each node.
        place = by_id.get(answered, unknown) if by_id and answered else by_node.get(sender, unknown)
        if place in known:
            continue  # a message that was delivered twice
        known.add(place)
        node_id = sent.messages[place].metadata.dst_node_id if place < len(sent.messages) else sender
        if sent.phase == "evaluate" and does_not_evaluate(message):
            abstained[place] = node_id
            continue
        if is_absent(message):
            absent[place] = node_id
            continue
        try:
            if 0 < len(sent.messages) <= place and not message.has_error():
                raise BadReplyError("it replies to none of the messages of this round")
            counted[place] = check_reply(message, weighted_by_key, like, arrayrecord_key)
        except BadReplyError as error:
            failures[place] = _failure(node_id, error.reason, error.traceback, sites.get(node_id, UNKNOWN_SITE))
    for place, request in enumerate(sent.messages):
        if place not in known:
            node_id = request.metadata.dst_node_id
            failures[place] = _failure(node_id, _SILENCE, site=sites.get(node_id, UNKNOWN_SITE))
    return Judgement(
        sent,
        like or ArrayRecord(),
        models,
        counted,
        failures,
        frozenset(abstained.values()),
        frozenset(absent.values()),
    )


def _failure(node_id: int, reason: str, traceback: str = "", site: Site = UNKNOWN_SITE) -> Failure:
    """Return a failure whose texts can be printed and are shared with equal ones."""
    return Failure(node_id, sys.intern(one_line(reason)), sys.intern(traceback), *site)


def _model(message: Message, key: str) -> ArrayRecord:
    """Return the arrays of a message, those under `key` if there are several records of them."""
    content = message.content if message.has_content() else {}
    # Not `content.array_records`, which keeps the message in memory until the garbage collector runs.
    records = {
        name: record for name, record in content.items() if isinstance(record, ArrayRecord) and name != CONTROL_KEY
    }
    return records.get(key) or next(iter(records.values()), ArrayRecord())


def _kinds(arrays: ArrayRecord) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(name, array.dtype, tuple(array.shape)) for name, array in arrays.items()]
