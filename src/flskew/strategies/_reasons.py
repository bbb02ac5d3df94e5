"""Why replies failed, one line each, for every engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from flskew._util.frames import is_own
from flskew._util.texts import cut, one_line, printable

__all__ = ["grouped", "named", "place_of", "read_reason"]

_ENGINE_START, _ENGINE_MIDDLE, _ENGINE_END = "<class '", "'>:<'", "'>"
_HINTS = {
    "fitins.": "flwr.client.NumPyClient needs an app made by flskew.client_app(client_fn): ",
    "evaluateins.": "flwr.client.NumPyClient needs an app made by flskew.client_app(client_fn): ",
    "PartitionIdError": "there are more nodes than partitions, start one node per partition: ",
}
_NO_NAMES: Mapping[int, str] = MappingProxyType({})
_FRAME = re.compile(r'^ +File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<function>.+)$', re.MULTILINE)
_LONGEST_TEXT = 16 * 1024
_MOST_NODES, _MOST_LINES = 10, 20


def read_reason(text: str) -> tuple[str, str]:
    r"""Return one line that says what went wrong, and the whole text if it is longer than a line; both are printable.

    Clients choose the text, so this takes time linear in its length and keeps only the first and last 8 KiB.

    Args:
        text: From an error reply: an exception as Flower's engines, Ray or `LocalGrid` report it, or plain text.

    Examples:
        >>> read_reason("<class 'ValueError'>:<'no data'>")
        ('ValueError: no data', '')
        >>> read_reason("ValueError: no data\nTraceback (most recent call last):")[0]
        'ValueError: no data'
    """
    plain = printable(cut(text, _LONGEST_TEXT, "\n...\n"), keep="\n").strip()
    words = _of_engine(plain) or plain
    hint = next((hint for mark, hint in _HINTS.items() if mark in words), "")
    return one_line(hint + words.partition("\n")[0].strip()), plain if "\n" in plain else ""


def _of_engine(text: str) -> str | None:
    """Return the exception in `<class 'ValueError'>:<'no data'>`, as Flower's engines send it; None for other text.

    From Ray, the second part is a traceback.
    """
    kind, middle, said = text.removeprefix(_ENGINE_START).partition(_ENGINE_MIDDLE)
    if not (text.startswith(_ENGINE_START) and middle and said.endswith(_ENGINE_END)):
        return None
    said = said.removesuffix(_ENGINE_END)
    name = kind.partition("'")[0].partition("(")[0].rpartition(".")[2]
    return _after_traceback(said.split("\n")) or f"{name}: {said.strip()}"


def _after_traceback(lines: list[str]) -> str | None:
    """Return the exception itself: the first line without indentation after the "  File" lines of a traceback."""
    in_traceback = False
    for line in lines:
        if line.startswith("  File "):
            in_traceback = True
        elif in_traceback and not line.strip():
            in_traceback = False
        elif in_traceback and not line[0].isspace():
            return line
    return None


def grouped(reasons: Iterable[tuple[int, str]], names: Mapping[int, str] = _NO_NAMES) -> list[str]:
    """Return one line for each reason, with the nodes that share it; long lists are cut and counted.

    Examples:
        >>> grouped(
        ...     [
        ...         (1000, "ValueError: no data"),
        ...         (1001, "ValueError: no data"),
        ...         (1002, "no reply"),
        ...     ]
        ... )
        ['nodes 1000, 1001: ValueError: no data', 'node 1002: no reply']
    """
    nodes_by_reason: dict[str, list[int]] = {}
    for node_id, reason in reasons:
        nodes_by_reason.setdefault(reason, []).append(node_id)
    lines = [f"{named(nodes, names)}: {one_line(reason)}" for reason, nodes in nodes_by_reason.items()]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [f"and {len(lines) - _MOST_LINES:,} other reasons"]
    return lines


def named(node_ids: Sequence[int], names: Mapping[int, str] = _NO_NAMES) -> str:
    """Return node ids as text, with the names of their partitions where these are known.

    Examples:
        >>> named([1000]), named([1000, 1001])
        ('node 1000', 'nodes 1000, 1001')
        >>> named([1000, 1001], {1001: "Bern"})
        'node 1000, Bern (node 1001)'
    """
    listed = node_ids[:_MOST_NODES]
    more = f" and {len(node_ids) - _MOST_NODES:,} more" if len(node_ids) > _MOST_NODES else ""
    if any(node_id in names for node_id in listed):
        of_each = (
            f"{names[node_id]} (node {node_id})" if node_id in names else f"node {node_id}" for node_id in listed
        )
        return ", ".join(of_each) + more
    return f"node{'s' if len(node_ids) > 1 else ''} {', '.join(map(str, listed))}{more}"


def place_of(traceback: str) -> str:
    r"""Return the last line of the user's own code in a traceback; empty if there is none.

    Examples:
        >>> place_of('Traceback:\n  File "/app/task.py", line 12, in fit\nValueError')
        '/app/task.py:12 in fit'
    """
    own = [found for found in _FRAME.finditer(traceback) if is_own(found["file"])]
    return one_line(f"{own[-1]['file']}:{own[-1]['line']} in {own[-1]['function']}") if own else ""
