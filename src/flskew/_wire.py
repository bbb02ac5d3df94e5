"""What clients and strategies agree on beyond Flower's own records.

- Whether a client evaluates. Flower's strategies ask every client and average what comes back without an error, so
  the only answer that they all ignore is an error. It has its own code, so a strategy that knows the code can tell it
  from a failure and need not ask again.
- Which split a client uses: a ConfigRecord "flskew" has the assignment's fingerprint under "assignment".
- How much local work a client has done: "local-epochs" in the record "metrics".
"""

from __future__ import annotations

from flwr.app import Message

__all__ = [
    "ASSIGNMENT_KEY",
    "DOES_NOT_EVALUATE",
    "FLSKEW_KEY",
    "INT64",
    "LOCAL_EPOCHS_KEY",
    "LOSS_KEY",
    "METRICS_KEY",
    "NUM_EXAMPLES_KEY",
    "does_not_evaluate",
]

NUM_EXAMPLES_KEY = "num-examples"
"""Key of a reply's weight among its metrics."""

LOSS_KEY = "loss"
"""Key of the loss among the metrics of an evaluation."""

INT64 = range(-(2**63), 2**63)
"""Integers that a `MetricRecord` can send."""

METRICS_KEY = "metrics"
"""The name of a reply's MetricRecord."""

FLSKEW_KEY = "flskew"
"""The name of a reply's ConfigRecord with what strategies of this package want to know."""

ASSIGNMENT_KEY = "assignment"
"""Where that record has the fingerprint of the assignment that the client used."""

LOCAL_EPOCHS_KEY = "local-epochs"
"""Where the config says how many passes over its rows a client shall make, and its metrics how many it made."""

DOES_NOT_EVALUATE = 70_001
"""Error code of a client that only trains. Flower counts its own codes up from 0 and has none this high."""


def does_not_evaluate(reply: Message) -> bool:
    """Return whether a reply says that its client only trains: no failure, and no use in asking again.

    Examples:
        >>> from flwr.app import Error, Message, RecordDict
        >>> from flskew import LocalGrid, client_app
        >>> class OnlyFits:
        ...     def fit(self, parameters, config):
        ...         return parameters, 10, {}
        >>> with LocalGrid(client_app(lambda context: OnlyFits()), 1) as grid:
        ...     replies = grid.send_and_receive([Message(RecordDict(), 1000, "evaluate")])
        >>> [does_not_evaluate(reply) for reply in replies]
        [True]
    """
    return reply.has_error() and reply.error.code == DOES_NOT_EVALUATE
