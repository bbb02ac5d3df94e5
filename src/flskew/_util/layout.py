"""Columns of text side by side, in lines that fit a terminal and the site."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flskew._util.lines import LINE, columns_of

__all__ = ["Column", "side_by_side"]

# A header or a cell may be broken after each of these.
_PIECE = re.compile(r"[^ _]*[ _]|[^ _]+")


@dataclass(frozen=True)
class Column:
    """A header and the cells below it: words, which are aligned on the left and may be broken, or figures."""

    head: str
    cells: Sequence[str]
    has_words: bool = False

    @property
    def width(self) -> int:
        """Columns of the terminal that it takes unbroken."""
        return max(map(columns_of, (self.head, *self.cells)))

    def least(self, *, breaks_words: bool) -> int:
        """Return the width that it needs if its header is broken, and on request its words."""
        breaks_cells = breaks_words and self.has_words
        broken, whole = ((self.head, *self.cells), ()) if breaks_cells else ((self.head,), self.cells)
        pieces = [piece.rstrip(" ") for text in broken for piece in _PIECE.findall(text)]
        return max(map(columns_of, (*pieces, *whole)), default=0)


def side_by_side(columns: Sequence[Column]) -> str:
    """Return aligned columns in lines of at most 80 columns, unless one or two are wider by themselves.

    If they do not fit, the widest headers are broken into several lines, then the widest words. If that is not enough,
    there are several tables, one below the other, each with the first column.
    """
    widths = [column.width for column in columns]
    fits = _total([column.least(breaks_words=True) for column in columns]) <= LINE
    for breaks_words in (False, True) if fits else ():
        least = [column.least(breaks_words=breaks_words) for column in columns]
        while _total(widths) > LINE and widths != least:
            widest = max(range(len(columns)), key=lambda place: (widths[place] > least[place], widths[place]))
            widths[widest] -= 1
        if _total(widths) <= LINE:
            return _lines(columns, widths)
    first, *others = columns
    tables = [[first]]
    for column in others:
        if len(tables[-1]) > 1 and _total([one.width for one in (*tables[-1], column)]) > LINE:
            tables.append([first])
        tables[-1].append(column)
    return "\n\n".join(_lines(table, [column.width for column in table]) for table in tables)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(widths) - 1


def _lines(columns: Sequence[Column], widths: Sequence[int]) -> str:
    """Return a table; headers stand at the bottom of their lines, cells at the top."""
    texts = [
        [_broken(text, width) for text in (column.head, *column.cells)]
        for column, width in zip(columns, widths, strict=True)
    ]
    widths = [max(columns_of(line) for lines in cells for line in lines) for cells in texts]
    table = []
    for number, row in enumerate(zip(*texts, strict=True)):
        height = max(map(len, row))
        for place in range(height):
            cells = []
            for column, width, lines in zip(columns, widths, row, strict=True):
                at = place - (height - len(lines) if number == 0 else 0)
                line = lines[at] if 0 <= at < len(lines) else ""
                space = " " * (width - columns_of(line))
                cells.append(f"{line}{space}" if column.has_words else f"{space}{line}")
            table.append(" ".join(cells).rstrip())
    return "\n".join(table)


def _broken(text: str, width: int) -> list[str]:
    lines = [""]
    for piece in _PIECE.findall(text):
        if lines[-1] and columns_of(f"{lines[-1]}{piece}".rstrip(" ")) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip(" ") for line in lines]
