"""What a client's reply says beyond Flower's own records."""

from __future__ import annotations

from flwr.app import ConfigRecord, Error, Message, RecordDict

from flskew._wire import ASSIGNMENT_KEY, DOES_NOT_EVALUATE, FLSKEW_KEY
from flskew.assignment import Assignment
from flskew.client._protocols import ClientError

__all__ = ["DoesNotEvaluateError", "add_fingerprint"]


class DoesNotEvaluateError(ClientError):
    """A client that only trains was asked to evaluate."""

    def __init__(self, client: object) -> None:
        super().__init__(
            f"{type(client).__name__} does not evaluate; give it evaluate(parameters, config), or set "
            "fraction_evaluate=0.0 on the strategy so that it is not asked"
        )

    def reply(self, message: Message) -> Message:
        """Return the reply that says so."""
        return Message(Error(DOES_NOT_EVALUATE, str(self)), reply_to=message)


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
