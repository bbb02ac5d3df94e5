"""The protocol of a client: any object with `fit` and, optionally, `evaluate` and `query`; it needs no base class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from flwr.app import RecordDict

from flskew.typing import Config, NumExamples, Parameters, ReturnedParameters

__all__ = [
    "MISSING_CLASSES",
    "AbsentError",
    "ClientError",
    "SupportsEvaluate",
    "SupportsFit",
    "SupportsQuery",
]

MISSING_CLASSES = (
    "scikit-learn's fit drops classes that the client's rows lack; use "
    "model.fit(*flskew.client.sklearn.complete_classes(model, rows, labels)), or partial_fit with every class"
)
"""The cause and the remedy, for errors."""


class ClientError(ValueError):
    """A client, or a value that it returned, does not follow the protocol; the message says what to do instead.

    Raise it yourself to tell the server something: `client_app` sends its message, while the messages of other
    exceptions remain in the node's log.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import FedAvg, LocalGrid, RoundError, client_app
        >>> class Forgetful:
        ...     def fit(self, parameters, config):
        ...         return [], 10, {}
        >>> grid = LocalGrid(client_app(lambda context: Forgetful()), 2)
        >>> try:
        ...     FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(2)]))
        ... except RoundError as error:
        ...     print(str(error.failures[0]).partition(";")[0])
        node 1000: ClientError: fit received 1 arrays and returned 0
    """


class AbsentError(ClientError):
    """The client takes no part in this round, for example because it has no rows now.

    Raise it in `client_fn`, `fit` or `evaluate`. The strategies of this package list the client as absent from the
    round, which does not count as a failure, and may ask it again in the next one. Flower's strategies ignore it. The
    message of the error is sent to the server. If the client's `assignment` is a `Schedule`, `client_app` raises it for
    you.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import AbsentError, FedAvg, LocalGrid, client_app, partition_id
        >>> class Site:
        ...     def __init__(self, context):
        ...         self.number = partition_id(context)
        ...
        ...     def fit(self, parameters, config):
        ...         if self.number == 1 and config["server-round"] == 2:
        ...             raise AbsentError("no new rows")
        ...         return parameters, 10, {}
        >>> strategy = FedAvg(fraction_evaluate=0.0)
        >>> _ = strategy.start(
        ...     LocalGrid(client_app(Site), 3), ArrayRecord([np.zeros(2)]), num_rounds=3
        ... )
        >>> [
        ...     (entry.server_round, entry.absent, entry.failures)
        ...     for entry in strategy.history
        ... ]
        [(1, (), ()), (2, (1001,), ()), (3, (), ())]
    """


@runtime_checkable
class SupportsFit(Protocol):
    """A client that trains, such as any subclass of `flwr.client.NumPyClient`."""

    def fit(
        self, parameters: Parameters, config: Config
    ) -> tuple[ReturnedParameters, NumExamples, Mapping[str, object]]:
        """Train from `parameters`, which the client may change; return new ones, the number of rows, and metrics."""
        ...


@runtime_checkable
class SupportsEvaluate(Protocol):
    """A client that evaluates."""

    def evaluate(self, parameters: Parameters, config: Config) -> tuple[float, NumExamples, Mapping[str, object]]:
        """Evaluate `parameters` on the client's rows; return the loss, the number of rows, and metrics."""
        ...


@runtime_checkable
class SupportsQuery(Protocol):
    """A client that also answers query messages, such as those of `tables.collect`."""

    def query(self, content: RecordDict) -> RecordDict:
        """Return the answer to a message of Flower's type "query", given its content."""
        ...
