"""Text in lines of at most 80 columns, in a terminal and on the site."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable

__all__ = ["LINE", "columns_of", "sentences", "wrapped"]

LINE = 80
"""Columns of a line. Not those of the terminal, so that the same report is the same text everywhere."""

# In prose, a number and its percent sign stay on one line.
_PERCENT = re.compile(r"(?<=\d) (?=%\B)")
# Neither is printable, so neither occurs in a text for people.
_SECOND, _SPACE = "\0", "\1"


def columns_of(text: str) -> int:
    """Return how many columns a text takes in a terminal.

    Wide characters, such as Chinese ones, take two; accents and other marks on the letter before them take none.
    """
    if text.isascii():
        return len(text)
    return sum(not unicodedata.category(letter).startswith("M") for letter in text) + sum(map(_is_wide, text))


def wrapped(text: str, indent: str = "") -> str:
    """Return a text with lines of at most 80 columns, broken at spaces; a longer word is never cut.

    Args:
        text: One paragraph per line.
        indent: The start of each line that continues a paragraph.

    Examples:
        >>> prose = "Prior shift: 11.0% of the labels would have to change to make all "
        >>> prose += "partitions alike."
        >>> print(wrapped(prose, indent="  "))
        Prior shift: 11.0% of the labels would have to change to make all partitions
          alike.
    """
    marked = _PERCENT.sub(_SPACE, "".join(letter + _SECOND * _is_wide(letter) for letter in text))
    lines = [
        textwrap.fill(line, LINE, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        for line in marked.split("\n")
    ]
    return "\n".join(lines).replace(_SECOND, "").replace(_SPACE, " ")


def sentences(remarks: Iterable[str]) -> str:
    """Return each remark on a line, or on several, of which all but the first are indented."""
    return "\n".join(wrapped(remark, indent="  ") for remark in remarks)


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"
