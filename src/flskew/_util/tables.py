"""Data frames as text for a terminal and as Markdown; pandas is imported when the first one is printed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, TypeAlias

from flskew._util.layout import Column, side_by_side
from flskew._util.words import one_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Formats", "as_html", "as_markdown", "as_text"]

Formats: TypeAlias = Mapping[str, Callable[..., str]]
"""The function that formats the cells of each column."""

# Longer tables are cut in the middle; data frames and JSON contain all rows.
_MOST_ROWS = 20


def as_text(frame: pd.DataFrame, formats: Formats, left: Collection[str] = ()) -> str:
    """Return aligned columns; the first one and those of `left` contain words and are aligned on the left.

    Written by hand because pandas' releases differ in the spaces between columns.
    """
    shortened = len(frame) > _MOST_ROWS
    half = _MOST_ROWS // 2
    kept = [*range(half), *range(len(frame) - half, len(frame))] if shortened else range(len(frame))
    names = [one_line(frame.index[row]) for row in kept]
    columns = [[formats[str(name)](frame[name].iloc[row]) for row in kept] for name in frame]
    if shortened:
        for cells in (names, *columns):
            cells.insert(half, "...")
    others = [Column(one_line(name), cells, name in left) for name, cells in zip(frame, columns, strict=True)]
    text = side_by_side([Column(one_line(frame.columns.name), names, has_words=True), *others])
    return f"{text}\n\n[{len(frame)} rows x {len(columns)} columns]" if shortened else text


def as_html(frame: pd.DataFrame, formats: Formats) -> str:
    """Return an HTML table with all names escaped."""
    shortened = len(frame) > _MOST_ROWS
    return frame.rename(index=one_line).to_html(
        formatters=dict(formats), max_rows=_MOST_ROWS, show_dimensions=shortened, border=0
    )


def as_markdown(frame: pd.DataFrame, formats: Formats, left: Collection[str] = ()) -> str:
    """Return a table in GitHub's Markdown.

    Written by hand because pandas' `to_markdown` needs the package tabulate, which nothing else here uses.
    """
    head = frame.head(_MOST_ROWS)
    columns = [[formats[str(name)](cell) for cell in column] for name, column in head.items()]
    rule = [":--" if name in left else "--:" for name in head]
    lines = [[frame.columns.name, *head], [":--", *rule], *zip(head.index, *columns, strict=True)]
    cells = [[one_line(cell).replace("|", "\\|") for cell in line] for line in lines]
    left_out = [f"\n… and {len(frame) - len(head):,} more"] * (len(frame) > len(head))
    return "\n".join([*(f"| {' | '.join(line)} |" for line in cells), *left_out])
