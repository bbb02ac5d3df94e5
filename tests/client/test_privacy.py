"""The messages of a client: parameters and scalars, never its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from flskew import FedProx, IidPartitioner, LocalGrid, LocalTerm, client_app, partition_id

NUM_ROWS, NUM_FEATURES, NUM_NODES = 60, 4, 3
MODEL = {"weight": np.zeros(NUM_FEATURES, np.float32), "bias": np.zeros((), np.float32)}
# Values that no calculation here yields: large, distinct, and exact in all dtypes.
FEATURES = np.arange(1, NUM_ROWS * NUM_FEATURES + 1, dtype=np.float32).reshape(NUM_ROWS, -1) * 1021 + 2**20
ASSIGNMENT = IidPartitioner(NUM_NODES).assign(range(NUM_ROWS))
SCALES = np.float32(2.0**-30)


class Client:
    """Has rows, keeps some of them in its state, and an assignment."""

    assignment = ASSIGNMENT

    def __init__(self, context: Context) -> None:
        self.features = FEATURES[ASSIGNMENT[partition_id(context)]]
        context.state["rows"] = ArrayRecord([self.features])

    def fit(self, parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        term = LocalTerm.from_config(config, parameters)
        weight, bias = parameters
        weight += self.features.mean(axis=0) * SCALES
        term.step(parameters, 0.1)
        return [weight, bias], len(self.features), {"loss": 0.5, "by-epoch": [0.75, 0.5]}

    def evaluate(self, parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        return 0.5, len(self.features), {"accuracy": np.float32(0.25)}


class Careless(Client):
    """Returns its rows in wrong places."""

    def fit(self, parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        rows = self.features
        wrong = [
            ([rows, parameters[1]], 1, {}),
            (rows, 1, {}),
            (parameters, rows, {}),
            (parameters, 1, rows),
            (parameters, 1, {"rows": rows}),
            (parameters, 1, {"rows": rows.tolist()}),
            (parameters, 1, {"rows": {"first": rows[0].tolist()}}),
            rows,
            rows.tolist(),
        ]
        return wrong[config["server-round"] - 1]

    def evaluate(self, parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        return self.features[0], 1, {}


class Listening(LocalGrid):
    """Keeps all messages between the server and the nodes."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        sent = list(messages)
        received = super().send_and_receive(sent, timeout=timeout)
        self.heard = [*getattr(self, "heard", []), *sent, *received]
        return received


def numbers(message: Message) -> Iterator[float]:
    """Every number in a message, in any record."""
    for record in message.content.values():
        for value in record.values():
            if isinstance(record, ArrayRecord):
                yield from value.numpy().ravel().tolist()  # type: ignore[union-attr]
            elif not isinstance(value, str):
                yield from value if isinstance(value, list) else [value]  # type: ignore[misc]


def test_every_message_of_a_run_contains_only_parameters_and_scalars() -> None:
    record = ArrayRecord([*MODEL.values()])
    with Listening(client_app(Client), NUM_NODES) as grid:
        FedProx(proximal_mu=0.1).start(grid, record, num_rounds=2)
    assert len(grid.heard) == 2 * 2 * 2 * NUM_NODES
    rows = {float(value) for value in FEATURES.ravel()}
    for message in grid.heard:
        for kept in message.content.values():
            assert isinstance(kept, ArrayRecord | ConfigRecord | MetricRecord)
            if isinstance(kept, ArrayRecord):
                like = [(name, array.dtype, tuple(array.shape)) for name, array in kept.items()]
                assert like == [("0", "float32", (NUM_FEATURES,)), ("1", "float32", ())]
            if isinstance(kept, MetricRecord):
                assert set(kept) <= {"num-examples", "loss", "by-epoch", "accuracy"}
        configs = {key: dict(value) for key, value in message.content.items() if isinstance(value, ConfigRecord)}
        if message.metadata.reply_to_message_id:
            number = message.metadata.src_node_id - 1000
            term = configs.pop("flskew-term", {})
            assert set(term) <= {"arrays", "local-steps", "state-round"}
            assert configs == {"flskew": {"assignment": ASSIGNMENT.fingerprint, "partition-id": number}}
        else:
            assert set(configs) == {"config"}
            assert set(configs["config"]) <= {"server-round", "proximal-mu"}
        assert rows.isdisjoint(numbers(message))


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_rows_in_wrong_places_are_neither_sent_nor_quoted(kind: str) -> None:
    texts = {format(value, spec) for value in FEATURES.ravel().tolist() for spec in ("", ".0f", ".8e", ".6e", ".7g")}
    rows = {float(value) for value in FEATURES.ravel()}
    app = client_app(Careless)
    with LocalGrid(app, 1) as grid:
        for server_round in range(1, 10):
            content = RecordDict(
                {"arrays": ArrayRecord([*MODEL.values()]), "config": ConfigRecord({"server-round": server_round})}
            )
            (reply,) = grid.send_and_receive([Message(content, 1000, kind)])
            said = reply.error.reason if reply.has_error() else str(dict(reply.content["flskew"]))
            words = set(said.replace(",", " ").replace("[", " ").replace("]", " ").split())
            assert words.isdisjoint(texts), said
            assert reply.has_error() or rows.isdisjoint(numbers(reply))
