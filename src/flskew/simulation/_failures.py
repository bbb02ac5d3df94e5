"""Describe the exceptions of clients, and log those of the same kind once."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

from flskew._util.texts import printable

__all__ = ["Failure", "log_failures", "log_unknown"]

_MOST_NODES = 10
_logger = logging.getLogger("flwr")


class Failure(NamedTuple):
    """An exception of a client, without its traceback, which would keep the client's model alive."""

    node_id: int
    reason: str
    kind: Hashable

    @classmethod
    def of(cls, node_id: int, error: BaseException) -> Failure:
        """Describe an exception by its type, text and traceback; the last two run its own code, which may fail."""
        name = type(error).__name__
        text = _or_else(lambda: f"{name}: {error}", f"{name}: <text unavailable")
        trace = _or_else(lambda: "".join(traceback.format_exception(error)), "<Traceback unavailable")
        places = tuple((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
        return cls(node_id, printable(f"{text}\n{trace}", keep="\n"), (type(error), places))


def log_failures(failures: Iterable[Failure], logged: set[Hashable]) -> None:
    """Log each kind of failure once: the same type of exception, raised in the same place.

    Args:
        failures: Those of one call of `push_messages`.
        logged: The kinds that earlier calls have logged, which are only logged at level DEBUG; new ones are added.
    """
    alike: dict[Hashable, list[Failure]] = {}
    for failure in sorted(failures, key=lambda failure: failure.node_id):
        alike.setdefault(failure.kind, []).append(failure)
    for kind, (first, *others) in alike.items():
        level = logging.DEBUG if kind in logged else logging.ERROR
        logged.add(kind)
        if others:
            nodes = _listed([first.node_id, *(other.node_id for other in others)])
            _logger.log(
                level,
                "%d clients failed in the same way, on nodes %s. The client of node %d raised %s",
                len(others) + 1,
                nodes,
                first.node_id,
                first.reason,
            )
        else:
            _logger.log(level, "The client of node %d raised %s", first.node_id, first.reason)


def log_unknown(node_ids: list[int]) -> None:
    """Log that the messages to these nodes are lost."""
    if len(node_ids) == 1:
        _logger.error("Node %d does not exist; its message is lost", *node_ids)
    elif node_ids:
        _logger.error("Nodes %s do not exist; their %d messages are lost", _listed(node_ids), len(node_ids))


def _listed(node_ids: list[int]) -> str:
    shown = ", ".join(map(str, node_ids[:_MOST_NODES]))
    more = len(node_ids) - _MOST_NODES
    return f"{shown} and {more} more" if more > 0 else shown


def _or_else(make: Callable[[], str], problem: str) -> str:
    try:
        return make()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"{problem}: {type(error).__name__} was raised>"
