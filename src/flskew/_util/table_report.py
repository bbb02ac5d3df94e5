"""What reports of one table have in common: text, HTML and Markdown."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from flskew._util.lines import sentences, wrapped
from flskew._util.tables import Formats, as_html, as_markdown, as_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TableReport"]


class TableReport(ABC):
    """A title, a table, and remarks."""

    remarks: tuple[str, ...]

    def __str__(self) -> str:
        """The report as plain text, in lines of at most 80 columns."""
        table = as_text(self._table(), self._cells, self._left)
        return _paragraphs(wrapped(self._title()), table, sentences(self.remarks))

    def __repr__(self) -> str:
        """Same as `str(report)`."""
        return str(self)

    def to_markdown(self) -> str:
        """Return GitHub's Markdown, for an issue or a paper's supplement."""
        return _paragraphs(self._title(), as_markdown(self._table(), self._cells, self._left), " ".join(self.remarks))

    def _repr_html_(self) -> str:
        remarks = "".join(f"<li>{html.escape(remark)}</li>" for remark in self.remarks)
        lines = [f"<p>{html.escape(self._title())}</p>", as_html(self._table(), self._cells)]
        return "\n".join([*lines, f"<ul>{remarks}</ul>"] if remarks else lines)

    @abstractmethod
    def _title(self) -> str:
        """Return what was measured, in one or more lines."""

    @abstractmethod
    def _table(self) -> pd.DataFrame:
        """Return the table."""

    @property
    @abstractmethod
    def _cells(self) -> Formats:
        """The formats of the table's columns."""

    @property
    def _left(self) -> tuple[str, ...]:
        """The columns that are aligned on the left."""
        return ()


def _paragraphs(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text)
