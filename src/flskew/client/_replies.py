"""The parts of a client's reply that are not Flower's own records."""

from __future__ import annotations

from flwr.app import ConfigRecord, Context, Error, Message

from flskew._util.texts import LONGEST_NAME, one_line
from flskew._wire import (
    ASSIGNMENT_KEY,
    DOES_NOT_EVALUATE,
    INT64,
    PARTITION_ID_KEY,
    PARTITION_NAME_KEY,
    UNSENT_METRICS_KEY,
)
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


def flskew_record(client: object, context: Context, unsent_metrics: list[str]) -> ConfigRecord:
    """Return the record for flskew's strategies, which may be empty.

    Args:
        client: Its attribute `assignment`, if it has one, gives the fingerprint. The name of its partition is its
            attribute `name`, if that is a string, or comes from the assignment.
        context: The number of its partition is "partition-id" in the node config, if that is an integer >= 0.
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
    number = _partition_id(context)
    if number is not None:
        record[PARTITION_ID_KEY] = number
    name = _partition_name(client, assignment, number)
    if name:
        record[PARTITION_NAME_KEY] = name
    if unsent_metrics:
        record[UNSENT_METRICS_KEY] = unsent_metrics
    return record


def _partition_id(context: Context) -> int | None:
    number = context.node_config.get(PARTITION_ID_KEY)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < INT64.stop:
        return None
    return int(number)


def _partition_name(client: object, assignment: Assignment | None, number: int | None) -> str:
    """Return a name that strategies accept; empty if there is none."""
    name = getattr(client, "name", None)
    if not isinstance(name, str):  # a client may have an unrelated attribute of this name, such as a method
        names = assignment.names if assignment is not None else None
        name = names[number] if names is not None and number is not None and number < len(names) else ""
    return one_line(name, LONGEST_NAME).strip()
