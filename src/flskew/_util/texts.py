"""Text from elsewhere, made safe to print: no terminal escapes, nothing invisible, a bounded length.

Terminals obey escape sequences in a log, and bidirectional overrides and zero-width characters mislead its readers.
Everything here takes time linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from itertools import islice
from typing import TypeVar

__all__ = ["LONGEST_LINE", "LONGEST_NAME", "cut", "is_name", "listed", "one_line", "printable"]

T = TypeVar("T")

LONGEST_LINE = 400
"""Maximum length of a line, such as the reason of a failure."""

LONGEST_NAME = 200
"""Maximum length of a name, such as a metric's."""

_MOST_NAMES = 10
# Each part excludes what the next one starts with, so that no character is tried twice.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # control sequences, such as colours
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"  # titles, links and the like
    r"|\x1b[ -/]*[0-~]?"
)
# Letters and marks without a shape, beyond what `str.isprintable` finds: fillers, joiners and variation selectors.
_SHAPELESS = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def printable(text: str, keep: str = "") -> str:
    r"""Return a text without escape sequences, control or invisible characters; other whitespace becomes spaces.

    Args:
        text: Anything.
        keep: Control characters to keep, such as "\n".

    Examples:
        >>> printable("\x1b[31mred\x1b[0m\tand \u202eback")
        'red and back'
    """
    if text.isascii() and text.isprintable():
        return text
    plain = _SHAPELESS.sub("", _ESCAPES.sub("", text))
    return "".join(char if char.isprintable() or char in keep else " " if char.isspace() else "" for char in plain)


def one_line(text: str, longest: int = LONGEST_LINE) -> str:
    """Return a text as one printable line of at most `longest` characters, keeping both ends."""
    return cut(printable(cut(text, 4 * longest)), longest)


def cut(text: str, longest: int, mark: str = " … ") -> str:
    """Return at most `longest` characters: the start and the end of a text, with a mark between them.

    Examples:
        >>> cut("abcdefghij", 7, "...")
        'ab...ij'
    """
    if len(text) <= longest:
        return text
    kept = longest - len(mark)
    return f"{text[: kept - kept // 2]}{mark}{text[len(text) - kept // 2 :]}"


def is_name(text: object) -> bool:
    """Return whether a text is a valid name: not empty, printable, at most `LONGEST_NAME` characters."""
    return isinstance(text, str) and 0 < len(text) <= LONGEST_NAME and printable(text) == text


def listed(items: Collection[T], most: int = _MOST_NAMES, show: Callable[[T], str] = repr) -> str:
    """Return the first items as text, and how many more there are.

    Examples:
        >>> listed(["loss", "accuracy"])
        "'loss', 'accuracy'"
        >>> listed(range(10_000), most=2)
        '0, 1 and 9,998 more'
    """
    shown = ", ".join(cut(show(item), LONGEST_NAME) for item in islice(items, most))
    return f"{shown} and {len(items) - most:,} more" if len(items) > most else shown
