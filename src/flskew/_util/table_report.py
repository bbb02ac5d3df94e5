"""What reports of one table have in common: text, HTML and Markdown."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from flskew._util.tables import Formats, as_html, as_markdown, as_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TableReport"]


class TableReport(ABC):
    """A title, a table, and remarks."""

    remarks: tuple[str, ...]
    _cells: ClassVar[Formats]

    def __str__(self) -> str:
        """The report as plain text."""
        return "\n\n".join([self._title(), as_text(self._table(), self._cells), "\n".join(self.remarks)])

    def __repr__(self) -> str:
        """Same as `str(report)`."""
        return str(self)

    def to_markdown(self) -> str:
        """Return GitHub's Markdown, for an issue or a paper's supplement."""
        return "\n\n".join([self._title(), as_markdown(self._table(), self._cells), " ".join(self.remarks)])

    def _repr_html_(self) -> str:
        remarks = "".join(f"<li>{html.escape(remark)}</li>" for remark in self.remarks)
        return "\n".join([f"<p>{self._title()}</p>", as_html(self._table(), self._cells), f"<ul>{remarks}</ul>"])

    @abstractmethod
    def _title(self) -> str:
        """Return what was measured, in a line."""

    @abstractmethod
    def _table(self) -> pd.DataFrame:
        """Return the table, whose columns have the formats of `_cells`."""
