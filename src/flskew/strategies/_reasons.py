"""Why replies failed, one line each, for every engine."""

from __future__ import annotations

from collections.abc import Iterable

from flskew._util.texts import cut, one_line, printable

__all__ = ["grouped", "named", "read_reason"]

_ENGINE_START, _ENGINE_MIDDLE, _ENGINE_END = "<class '", "'>:<'", "'>"
_HINTS = {
    "fitins.": "flwr.client.NumPyClient needs an app made by flskew.client_app(client_fn): ",
    "evaluateins.": "flwr.client.NumPyClient needs an app made by flskew.client_app(client_fn): ",
    "PartitionIdError": "there are more nodes than partitions, start one node per partition: ",
}
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
        >>> read_reason("ValueError: no data\nTraceback (most recent call last): ...")[0]
        'ValueError: no data'
    """
    plain = printable(cut(text, _LONGEST_TEXT, "\n...\n"), keep="\n").strip()
    words = _of_engine(plain) or plain
    hint = next((hint for mark, hint in _HINTS.items() if mark in words), "")
    return one_line(hint + words.partition("\n")[0].strip()), plain if "\n" in plain else ""


def _of_engine(text: str) -> str | None:
    """Return the exception in "<class 'ValueError'>:<'no data'>", as Flower's engines send it; None for other text.

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


def grouped(reasons: Iterable[tuple[int, str]]) -> list[str]:
    """Return one line for each reason, with the nodes that share it; long lists are cut and counted.

    Examples:
        >>> grouped([(1000, "ValueError: no data"), (1001, "ValueError: no data"), (1002, "no reply")])
        ['nodes 1000, 1001: ValueError: no data', 'node 1002: no reply']
    """
    nodes_by_reason: dict[str, list[int]] = {}
    for node_id, reason in reasons:
        nodes_by_reason.setdefault(reason, []).append(node_id)
    lines = [f"{named(nodes)}: {one_line(reason)}" for reason, nodes in nodes_by_reason.items()]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [f"and {len(lines) - _MOST_LINES:,} other reasons"]
    return lines


def named(node_ids: list[int]) -> str:
    """Return node ids as text.

    Examples:
        >>> named([1000]), named([1000, 1001])
        ('node 1000', 'nodes 1000, 1001')
    """
    shown = ", ".join(map(str, node_ids[:_MOST_NODES]))
    more = f" and {len(node_ids) - _MOST_NODES:,} more" if len(node_ids) > _MOST_NODES else ""
    return f"node{'s' if len(node_ids) > 1 else ''} {shown}{more}"
