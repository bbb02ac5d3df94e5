"""Why replies failed, in one line each, whatever engine reports it."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["grouped", "named", "read_reason"]

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Flower's engines send "<class 'ValueError'>:<'no data'>"; from Ray, the second part is a traceback.
_OF_AN_ENGINE = re.compile(r"<class '([\w.]+)[^']*'>:<'(.*)'>", re.DOTALL)
# The exception itself: the first line without indentation after the lines of a traceback.
_AFTER_TRACEBACK = re.compile(r"^  File .*\n(?:[ \t]+.*\n)*(\S.*)", re.MULTILINE)
_HINTS = {
    "fitins.": "flwr.client.NumPyClient needs an app made by flskew.client_app(client_fn): ",
    "evaluateins.": "flwr.client.NumPyClient needs an app made by flskew.client_app(client_fn): ",
    "PartitionIdError": "there are more nodes than partitions, start as many as there are partitions: ",
}
_LONGEST = 400
_MOST_NODES, _MOST_LINES = 10, 20


def read_reason(text: str) -> tuple[str, str]:
    r"""Return one line that says what went wrong, and everything that the engine sent where that is more.

    Args:
        text: Of an error reply: an exception as Flower's engines, Ray or `LocalGrid` put it, or plain words.

    Examples:
        >>> read_reason("<class 'ValueError'>:<'no data'>")
        ('ValueError: no data', '')
        >>> read_reason("ValueError: no data\nTraceback (most recent call last): ...")[0]
        'ValueError: no data'
    """
    plain = _COLOUR.sub("", text).strip()
    words = plain
    if engine := _OF_AN_ENGINE.fullmatch(plain):
        exception = _AFTER_TRACEBACK.search(engine[2])
        words = exception[1] if exception else f"{engine[1].rpartition('.')[2]}: {engine[2].strip()}"
    hint = next((hint for mark, hint in _HINTS.items() if mark in words), "")
    return hint + words.partition("\n")[0].strip(), plain if "\n" in plain else ""


def grouped(reasons: Iterable[tuple[int, str]]) -> list[str]:
    """Return one line for each reason, with the nodes that share it; nodes and lines beyond some are only counted.

    Examples:
        >>> grouped([(1000, "ValueError: no data"), (1001, "ValueError: no data"), (1002, "no reply")])
        ['nodes 1000, 1001: ValueError: no data', 'node 1002: no reply']
    """
    nodes_by_reason: dict[str, list[int]] = {}
    for node_id, reason in reasons:
        nodes_by_reason.setdefault(reason, []).append(node_id)
    lines = [f"{named(nodes)}: {_shortened(reason)}" for reason, nodes in nodes_by_reason.items()]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [f"and {len(lines) - _MOST_LINES} other reasons"]
    return lines


def named(node_ids: list[int]) -> str:
    """Return the nodes in words.

    Examples:
        >>> named([1000]), named([1000, 1001])
        ('node 1000', 'nodes 1000, 1001')
    """
    shown = ", ".join(map(str, node_ids[:_MOST_NODES]))
    more = f" and {len(node_ids) - _MOST_NODES} more" if len(node_ids) > _MOST_NODES else ""
    return f"node{'s' if len(node_ids) > 1 else ''} {shown}{more}"


def _shortened(reason: str) -> str:
    return reason if len(reason) <= _LONGEST else f"{reason[: _LONGEST // 2]} … {reason[-_LONGEST // 2 :]}"
