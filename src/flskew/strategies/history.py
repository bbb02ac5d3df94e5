"""What happened in each round, client by client."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Failure", "MetricValue", "Phase", "Reply", "Round", "RoundError"]

MetricValue: TypeAlias = int | float | list[int] | list[float]
"""What Flower's `MetricRecord` holds."""

Phase: TypeAlias = Literal["train", "evaluate"]
"""The half of a round."""

_HEAD, _TAIL = 120, 280
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Reply:
    """A reply that counted.

    Attributes:
        node_id: Who sent it.
        num_examples: Its weight, > 0.
        metrics: All it reported, the weight included.
        seconds: From the making of the server's message to that of the reply, by the clocks of the two machines; at
            least 0, and NaN where the message is not known.
    """

    node_id: int
    num_examples: float
    metrics: Mapping[str, MetricValue]
    seconds: float


@dataclass(frozen=True)
class Failure:
    """A node whose reply did not count.

    Attributes:
        node_id: The node, or 1, the server, where the message it lost is not known.
        reason: Why, in full; of an exception, with its traceback where the engine sends one.
    """

    node_id: int
    reason: str

    def __str__(self) -> str:
        words = " ".join(_COLOUR.sub("", self.reason).partition("\nTraceback ")[0].split())
        if len(words) > _HEAD + _TAIL:  # the engines put what matters last
            words = f"{words[:_HEAD]} … {words[-_TAIL:]}"
        return f"node {self.node_id}: {words}"


@dataclass(frozen=True)
class Round:
    """The training or the evaluation of one round.

    Attributes:
        server_round: 1, 2, ...
        phase: "train" or "evaluate".
        replies: Those that counted, in the order in which the messages were sent.
        failures: Those that did not.
        seconds: How long the server waited for them and looked at them.
    """

    server_round: int
    phase: Phase
    replies: tuple[Reply, ...]
    failures: tuple[Failure, ...]
    seconds: float


class RoundError(RuntimeError):
    """A round has too few replies that count; the message lists the reason of every one that does not.

    Example:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import FedAvg, LocalGrid, client_app
        >>> class Diverges:
        ...     def fit(self, parameters, config):
        ...         return [parameters[0] * np.nan], 10, {}
        >>> grid = LocalGrid(client_app(lambda context: Diverges()), 2)
        >>> try:
        ...     FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(2)]))
        ... except RoundError as error:
        ...     error.server_round, [failure.node_id for failure in error.failures]
        (1, [1000, 1001])

    Attributes:
        server_round: The round.
        phase: "train" or "evaluate".
        failures: The nodes whose reply did not count.
    """

    def __init__(self, message: str, server_round: int, phase: Phase, failures: Sequence[Failure] = ()) -> None:
        lines = [message, *(f"  {failure}" for failure in failures)]
        super().__init__("\n".join(lines))
        self.server_round = server_round
        self.phase = phase
        self.failures = tuple(failures)
