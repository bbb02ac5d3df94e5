"""A small table as text for a terminal, as Markdown and as HTML."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Table", "listed", "plural", "title"]

# Rows shown of a long table; the data frame and the JSON have them all.
_MOST_ROWS = 20


@dataclass(frozen=True)
class Table:
    """Words and numbers in rows, all of them text already.

    Attributes:
        header: One title per column.
        rows: One cell per column each.
        words: The columns to align to the left, by position; numbers go to the right.
        left_out: How many more rows there would have been.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: frozenset[int] = frozenset({0})
    left_out: int = 0

    @classmethod
    def shortened(cls, header: Sequence[str], rows: Sequence[Sequence[str]], words: Iterable[int]) -> Table:
        """Return a table of the first rows."""
        return cls(header, rows[:_MOST_ROWS], frozenset(words), max(len(rows) - _MOST_ROWS, 0))

    def text(self) -> str:
        """Return lines in which the columns stand below each other."""
        lines = self._lines()
        widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
        padded = ("  ".join(map(self._pad, range(len(widths)), line, widths)).rstrip() for line in lines)
        return "\n".join([*padded, *self._note()])

    def markdown(self) -> str:
        """Return a table in GitHub's Markdown."""
        rule = [":--" if column in self.words else "--:" for column in range(len(self.header))]
        header, *rows = self._lines()
        lines = [[cell.replace("|", "\\|") for cell in line] for line in (header, rule, *rows)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join([table, *self._note()])

    def html(self) -> str:
        """Return a table in HTML; whatever the cells hold shows as it is."""
        lines = [self._html_line("th", self.header), *(self._html_line("td", row) for row in self.rows)]
        notes = (f"<p>{html.escape(note)}</p>" for note in self._note())
        return "\n".join(["<table>", *lines, "</table>", *notes])

    def _lines(self) -> list[list[str]]:
        """Return header and rows, each cell in one line: a class may be called by a text of several."""
        return [[" ".join(cell.split()) for cell in line] for line in (self.header, *self.rows)]

    def _pad(self, column: int, cell: str, width: int) -> str:
        blank = " " * (width - _width(cell))
        return cell + blank if column in self.words else blank + cell

    def _html_line(self, tag: str, cells: Sequence[str]) -> str:
        sides = ("left" if column in self.words else "right" for column in range(len(cells)))
        marked = (
            f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )
        return f"<tr>{''.join(marked)}</tr>"

    def _note(self) -> list[str]:
        return [f"… and {self.left_out:,} more"] if self.left_out else []


def title(measure: str) -> str:
    """Return what a measure is called in a table."""
    return {"gini": "Gini", "hellinger": "Hellinger", "jensen_shannon": "Jensen-Shannon"}.get(
        measure, measure.replace("_", " ")
    )


def plural(count: int, word: str) -> str:
    """Return a number of things.

    Examples:
        >>> plural(1, "row"), plural(2000, "class")
        ('1 row', '2,000 classes')
    """
    ending = "" if count == 1 else "es" if word.endswith("s") else "s"
    return f"{count:,} {word}{ending}"


def listed(names: Sequence[object], most: int = 6, last: str = "and") -> str:
    """Return names as in a sentence: "1, 3 and 7", and of many the first few.

    Examples:
        >>> listed([1, 3, 7])
        '1, 3 and 7'
        >>> listed(range(100), most=3)
        '0, 1, 2 and 97 more'
    """
    words = [" ".join(str(name).split()) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(words)} and {len(names) - most} more"
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese and its like take two a letter, accents none."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text
    )
