"""The clients of a simulated run, the network between them and the server, and the expected model."""

from __future__ import annotations

import random
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from numpy.typing import NDArray

from flskew import LocalGrid, LocalTerm, client_app, partition_id

from .plan import ACCEPTED, HUGE, Plan

if TYPE_CHECKING:
    from .world import World

SECRET = "Ada Lovelace, born 1815-12-10"
SECRET_NUMBER = 18151210
INITIAL = {"weight": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), "count": np.array([5, -3])}
# Makes a regular expression with nested repetition backtrack, and controls a terminal.
HOSTILE = "<class 'RuntimeError'>:<'x\n  File x\n" + "        y\n" * 40 + "'>\x1b]0;owned\x07\x1b[2J"


class UnprintableError(Exception):
    """Raises an exception when it is printed."""

    def __str__(self) -> str:
        raise RuntimeError(SECRET)


class Client:
    """Trains as a function of the seed, the node, the round, the model and how often it has trained before."""

    def __init__(self, world: World, context: Context) -> None:
        self._world, self._context = world, context
        self._partition_id = partition_id(context)
        self.label_counts = [2 * (self._partition_id + 1), 3 * (self._partition_id + 1)]

    def fit(self, parameters: list[NDArray[Any]], config: Mapping[str, Any]) -> Any:
        server_round = config["server-round"]
        event = self._world.plan.event("train", server_round, self._partition_id)
        self._world.step(f"client {self._partition_id} trains, {event}")
        trained = self._context.state.setdefault("trained", MetricRecord({"times": 0}))
        trained["times"] += 1  # which an error must undo
        # Only SCAFFOLD and FedDyn, whose models the laws do not predict, would be moved by this.
        term = LocalTerm.from_config(config, parameters)
        term.add_gradient(parameters, [np.full(array.shape, float(self._partition_id)) for array in parameters])
        arrays = update(self._world.plan, self._partition_id, server_round, trained["times"], parameters, event)
        if event == "raises":
            raise ValueError(f"{SECRET} has a cholesterol of {SECRET_NUMBER}")
        if event == "raises the unprintable":
            raise UnprintableError(SECRET)
        if event == "returns too little":
            return arrays[:1], SECRET_NUMBER, {}
        if event == "returns text":
            return [SECRET, *arrays[1:]], 1, {}
        metrics: dict[str, Any] = {"loss": float(abs(arrays[0][0, 0]))}
        if event == "text metric":
            metrics["notes"] = SECRET
        return arrays, 0 if event == "has no rows" else self._partition_id + 1, metrics

    def evaluate(self, parameters: list[NDArray[Any]], config: Mapping[str, Any]) -> Any:
        event = self._world.plan.event("evaluate", config["server-round"], self._partition_id)
        self._world.step(f"client {self._partition_id} evaluates, {event}")
        if event == "raises":
            raise KeyError(SECRET)
        return float(np.abs(parameters[0]).sum()), self._partition_id + 1, {"count": int(parameters[1][0])}


def update(
    plan: Plan, partition_id: int, server_round: int, times: int, parameters: Sequence[NDArray[Any]], event: str
) -> list[NDArray[Any]]:
    """Return the arrays that a client sends."""
    rng = np.random.default_rng([plan.seed, partition_id, server_round, times])
    weight, count = parameters
    weight = weight * np.float32(0.5) + rng.standard_normal(weight.shape).astype(np.float32)
    if event == "diverges":
        weight[rng.integers(2), 0] = rng.choice([np.nan, np.inf])
    if event == HUGE:
        weight[0, 0] = 1e9
    return [weight, count + rng.integers(-3, 4, count.shape)]


def app(world: World) -> ClientApp:
    """Return the app that every node runs."""

    def may_raise(message: Message, context: Context, call_next: Any) -> Message:
        server_round = int(message.content["config"]["server-round"])  # type: ignore[index, arg-type]
        if world.plan.event("train", server_round, partition_id(context)) == "raises in a mod":
            raise OSError(2, "No such file", f"/home/{SECRET}/rows.csv")
        reply: Message = call_next(message, context)
        return reply

    return client_app(lambda context: Client(world, context), train_mods=[may_raise])


class Network(LocalGrid):
    """Loses, repeats, changes and reorders replies as planned, and records the traffic for the laws."""

    def __init__(self, world: World) -> None:
        super().__init__(app(world), world.plan.num_nodes, max_workers=world.plan.workers)
        self._world = world
        self._replies: list[list[weakref.ref[RecordDict]]] = []
        self.asked: dict[tuple[str, int], list[int]] = {}
        self.replied: list[str] = []
        self.outlived: list[str] = []

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Deliver messages, and return the replies that the network delivers."""
        sent = list(messages)
        self._world.step("send")
        self._look_for_survivors()
        if not sent:
            return []
        phase = sent[0].metadata.message_type
        server_round = int(sent[0].content["config"]["server-round"])  # type: ignore[index, arg-type]
        self.asked[phase, server_round] = sorted(message.metadata.dst_node_id - 1000 for message in sent)
        replies: list[Message] = []
        for reply in super().send_and_receive(sent, timeout=timeout):
            self.replied.extend(_texts(reply))
            event = self._world.plan.event(phase, server_round, reply.metadata.src_node_id - 1000)
            replies.extend(_after(event, reply, phase))
        random.Random(f"{self._world.plan.seed} {phase} {server_round}").shuffle(replies)
        self._replies.append([weakref.ref(reply.content) for reply in replies if reply.has_content()])
        return replies

    def _look_for_survivors(self) -> None:
        """Note the replies that are still alive after the next phase, with garbage collection off."""
        for phase in self._replies[:-1]:
            self.outlived.extend("a reply" for content in phase if content() is not None)
        del self._replies[:-1]


def _after(event: str, reply: Message, phase: str) -> list[Message]:
    """Return what the network delivers for a reply."""
    if event == "lost":
        return []
    if event == "twice":
        return [reply, reply]
    if phase == "evaluate" or not reply.has_content():
        return [reply]
    if event == "hostile error":
        error = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, HOSTILE)
        lost = Message(error, reply_to=_request(reply))
        return [lost]
    records = dict(reply.content.items())
    arrays = records["arrays"]
    assert isinstance(arrays, ArrayRecord)
    weight = arrays["weight"]
    if event == "cut":
        arrays["weight"] = Array(weight.dtype, weight.shape, weight.stype, weight.data[:-3])
    if event == "claims another dtype":
        arrays["weight"] = Array("float64", weight.shape, weight.stype, weight.data)
    if event == "negative weight":
        metrics = records["metrics"]
        assert isinstance(metrics, MetricRecord)
        metrics["num-examples"] = -1
    return [reply]


def _request(reply: Message) -> Message:
    """Return a message to which an error can reply as the node did."""
    request = Message(RecordDict(), reply.metadata.src_node_id, reply.metadata.message_type)
    request.metadata.__dict__["_message_id"] = reply.metadata.reply_to_message_id
    return request


def _texts(reply: Message) -> list[str]:
    """Return every text in a reply."""
    if reply.has_error():
        return [str(reply.error.reason)]
    texts = []
    for key, record in reply.content.items():
        texts.append(key)
        for name, value in record.items():
            texts.append(name)
            if isinstance(record, ConfigRecord):
                texts.append(str(value))
    return texts


def expected_model(plan: Plan, asked: Mapping[tuple[str, int], list[int]]) -> tuple[list[NDArray[Any]], int | None]:
    """Return the weighted means of the accepted replies, and the round with too few of them, if there is one."""
    model = list(INITIAL.values())
    times = dict.fromkeys(range(plan.num_nodes), 0)
    for server_round in range(1, plan.num_rounds + 1):
        arrays, weights = [], []
        for client in asked.get(("train", server_round), []):
            event = plan.event("train", server_round, client)
            made = update(plan, client, server_round, times[client] + 1, model, event)
            if not event.startswith(("raises", "returns")):
                times[client] += 1
            if event in ACCEPTED or (event == HUGE and plan.strategy != "FedAvg with a limit"):
                arrays.append(made)
                weights.append(client + 1)
        if len(arrays) < plan.needed:
            return model, server_round
        if arrays:
            means = [np.average([made[index] for made in arrays], axis=0, weights=weights) for index in (0, 1)]
            model = [means[0].astype(np.float32), np.floor(means[1] + 0.5).astype(np.int64)]
    return model, None
