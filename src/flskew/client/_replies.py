"""The parts of a client's reply that are not Flower's own records."""

from __future__ import annotations

from flwr.app import ConfigRecord, Error, Message

from flskew._wire import ASSIGNMENT_KEY, DOES_NOT_EVALUATE, UNSENT_METRICS_KEY
from flskew.assignment import Assignment
from flskew.client._protocols import ClientError

__all__ = ["DoesNotEvaluateError", "flskew_record"]


class DoesNotEvaluateError(ClientError):
    """A client that only trains was asked to evaluate."""

    def __init__(self, client: object) -> None:
        super().__init__(
            f"{type(client).__name__} does not evaluate; give it evaluate(parameters, config), or set "
            "fraction_evaluate=0.0 on the strategy so that it is not asked"
        )

    def reply(self, message: Message) -> Message:
        """Return the error reply to a message."""
        return Message(Error(DOES_NOT_EVALUATE, str(self)), reply_to=message)


def flskew_record(client: object, unsent_metrics: list[str]) -> ConfigRecord:
    """Return the record for flskew's strategies, which may be empty.

    Args:
        client: Its attribute `assignment`, if it has one, gives the fingerprint.
        unsent_metrics: Names of metrics that were left out of the reply.

    Raises:
        ClientError: `assignment` is not an `Assignment`.
    """
    record = ConfigRecord()
    assignment = getattr(client, "assignment", None)
    if assignment is not None:
        if not isinstance(assignment, Assignment):
            raise ClientError(
                f"{type(client).__name__}.assignment must be a flskew.Assignment, got {type(assignment).__name__}; "
                "set it to partitioner.assignment, or rename your own attribute"
            )
        record[ASSIGNMENT_KEY] = assignment.fingerprint
    if unsent_metrics:
        record[UNSENT_METRICS_KEY] = unsent_metrics
    return record
