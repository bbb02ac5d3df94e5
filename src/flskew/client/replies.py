"""What a reply says beyond Flower's own records: the words that clients and strategies share.

- That a client does not evaluate. Flower's strategies ask every client, and average what comes without an error, so
  the one answer that all of them pass over is an error. It has a code of its own, so a strategy that knows it can tell
  it from a failure and need not ask again.
- Which assignment a client used: in a ConfigRecord "flskew", under "assignment", the fingerprint.
- How much of its local work a client has done: in the record "metrics", under "local-epochs".
"""

from __future__ import annotations

from flwr.app import ConfigRecord, Error, Message, RecordDict

from flskew.assignment import Assignment
from flskew.client.protocols import ClientError

__all__ = [
    "ASSIGNMENT_KEY",
    "FLSKEW_KEY",
    "LOCAL_EPOCHS_KEY",
    "METRICS_KEY",
    "DoesNotEvaluateError",
    "add_fingerprint",
    "does_not_evaluate",
]

METRICS_KEY = "metrics"
"""The name of a reply's MetricRecord."""

FLSKEW_KEY = "flskew"
"""The name of a reply's ConfigRecord with what strategies of this package want to know."""

ASSIGNMENT_KEY = "assignment"
"""Where that record has the fingerprint of the assignment that the client used."""

LOCAL_EPOCHS_KEY = "local-epochs"
"""Where the config says how many passes over its rows a client shall make, and its metrics how many it made."""

# Flower counts its codes up from 0; far above them it has none.
_DOES_NOT_EVALUATE = 70_001


class DoesNotEvaluateError(ClientError):
    """A client that only trains was asked to evaluate."""

    def __init__(self, client: object) -> None:
        super().__init__(
            f"{type(client).__name__} does not evaluate; give it evaluate(parameters, config), or set "
            "fraction_evaluate=0.0 on the strategy so that it is not asked"
        )

    def reply(self, message: Message) -> Message:
        """Return the reply that says so."""
        return Message(Error(_DOES_NOT_EVALUATE, str(self)), reply_to=message)


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
    return reply.has_error() and reply.error.code == _DOES_NOT_EVALUATE


def add_fingerprint(reply: RecordDict, client: object) -> None:
    """Add the fingerprint of the client's assignment, if it has an attribute of that name.

    Raises:
        ClientError: The attribute is something else.
    """
    assignment = getattr(client, "assignment", None)
    if assignment is None:
        return
    if not isinstance(assignment, Assignment):
        raise ClientError(
            f"{type(client).__name__}.assignment must be a flskew.Assignment, got {type(assignment).__name__}; "
            "set it to partitioner.assignment, or give what you keep there another name"
        )
    reply[FLSKEW_KEY] = ConfigRecord({ASSIGNMENT_KEY: assignment.fingerprint})
