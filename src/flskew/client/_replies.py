"""The parts of a client's reply that are not Flower's own records."""

from __future__ import annotations

from collections.abc import Mapping

from flwr.app import ConfigRecord, Context, Error, Message

from flskew._flower import new_config
from flskew._util.texts import LONGEST_NAME, one_line
from flskew._wire import (
    ABSENT,
    ASSIGNMENT_KEY,
    DOES_NOT_EVALUATE,
    INT64,
    PARTITION_ID_KEY,
    PARTITION_NAME_KEY,
    SERVER_ROUND_KEY,
    UNSENT_METRICS_KEY,
)
from flskew.assignment import Assignment
from flskew.client._protocols import AbsentError, ClientError
from flskew.schedule import Schedule

__all__ = ["DoesNotEvaluateError", "absent_reply", "assignment_of", "check_presence", "flskew_record"]


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


def absent_reply(absence: AbsentError, message: Message) -> Message:
    """Return the reply of a client that takes no part in a round."""
    return Message(Error(ABSENT, one_line(str(absence))), reply_to=message)


def check_presence(client: object, context: Context, config: Mapping[str, object]) -> None:
    """Check whether the client has rows in this round, if its `assignment` is a `Schedule`.

    Raises:
        AbsentError: It has none.
        ClientError: The config has no round, or the node has no partition of the schedule.
    """
    assignment = assignment_of(client, config.get(SERVER_ROUND_KEY))
    if assignment is None or not isinstance(getattr(client, "assignment", None), Schedule):
        return
    number = _partition_id(context)
    if number is None or number >= len(assignment):
        raise ClientError(
            f"{PARTITION_ID_KEY} in this node's config is not a partition of {type(client).__name__}.assignment, a "
            f"schedule of {len(assignment)} partitions"
        )
    if not assignment.sizes[number]:
        raise AbsentError(f"the schedule gives partition {number} no rows in round {config[SERVER_ROUND_KEY]}")


def assignment_of(client: object, server_round: object) -> Assignment | None:
    """Return the client's assignment in a round; None if it has none.

    Raises:
        ClientError: It has a `Schedule`, but the round is unknown.
    """
    assignment = getattr(client, "assignment", None)
    if not isinstance(assignment, Schedule):
        return assignment if isinstance(assignment, Assignment) else None
    if isinstance(server_round, bool) or not isinstance(server_round, int) or server_round < 0:
        raise ClientError(
            f"{type(client).__name__}.assignment is a schedule, so the config must contain the round, an integer >= 0; "
            f"send it as {SERVER_ROUND_KEY!r}, as Flower's strategies do"
        )
    return assignment.assignment(server_round)


def flskew_record(client: object, context: Context, unsent_metrics: list[str]) -> ConfigRecord:
    """Return the record for flskew's strategies, which may be empty.

    Args:
        client: Its attribute `assignment`, if it has one, gives the fingerprint. The name of its partition is its
            attribute `name`, if that is a string, or comes from the assignment.
        context: The number of its partition is "partition-id" in the node config, if that is an integer >= 0.
        unsent_metrics: Names of metrics that were left out of the reply.

    Raises:
        ClientError: `assignment` is neither an `Assignment` nor a `Schedule`.
    """
    record: dict[str, str | int | list[str]] = {}
    assignment = getattr(client, "assignment", None)
    if assignment is not None:
        if not isinstance(assignment, Assignment | Schedule):
            raise ClientError(
                f"{type(client).__name__}.assignment must be a flskew.Assignment or a flskew.Schedule, got "
                f"{type(assignment).__name__}; set it to partitioner.assignment, or rename your own attribute"
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
    return new_config(record)


def _partition_id(context: Context) -> int | None:
    number = context.node_config.get(PARTITION_ID_KEY)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < INT64.stop:
        return None
    return int(number)


def _partition_name(client: object, assignment: Assignment | Schedule | None, number: int | None) -> str:
    """Return a name that strategies accept; empty if there is none."""
    name = getattr(client, "name", None)
    if not isinstance(name, str):  # a client may have an unrelated attribute of this name, such as a method
        names = assignment.names if assignment is not None else None
        name = names[number] if names is not None and number is not None and number < len(names) else ""
    return one_line(name, LONGEST_NAME).strip() if name else ""
