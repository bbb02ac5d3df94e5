"""Federations whose clients send the replies that a test defines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

import pytest
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from flskew.simulation import LocalGrid

Answer: TypeAlias = Callable[[int, Message], Mapping[str, Any]]
"""From a partition id and a message to the records of the reply."""


class MakesFederation(Protocol):
    """Makes a grid of nodes that answer with a function, or each with its own reply."""

    def __call__(
        self, *replies: Mapping[str, Any], train: Answer | None = None, evaluate: Answer | None = None, nodes: int = 3
    ) -> LocalGrid: ...


@pytest.fixture
def federation() -> Iterator[MakesFederation]:
    grids = []

    def make(
        *replies: Mapping[str, Any], train: Answer | None = None, evaluate: Answer | None = None, nodes: int = 3
    ) -> LocalGrid:
        app = ClientApp()

        @app.train()
        def _(message: Message, context: Context) -> Message:
            index = int(context.node_config["partition-id"])
            records = train(index, message) if train is not None else replies[index]
            return Message(RecordDict({**records}), reply_to=message)

        @app.evaluate()
        def _(message: Message, context: Context) -> Message:
            index = int(context.node_config["partition-id"])
            good = {"metrics": MetricRecord({"num-examples": 1, "loss": 1.0})}
            return Message(RecordDict({**(evaluate(index, message) if evaluate else good)}), reply_to=message)

        grids.append(LocalGrid(app, len(replies) or nodes))
        return grids[-1]

    yield make
    for grid in grids:
        grid.close()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The messages of Flower's logger, which does not propagate them to pytest by default."""
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)
    caplog.set_level(logging.INFO, logger="flwr")  # an example in this process may have raised it
    return caplog
