"""A table of results that prints as text and displays in notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flskew._util.table_report import TableReport
from flskew._util.tables import Formats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table"]


@dataclass(frozen=True, eq=False, repr=False)
class Table(TableReport):
    """Figures and their uncertainty, as numbers and as text.

    The methods of `Results` return it. It prints as text, displays as a table in notebooks, and `to_markdown` returns
    it for an issue or a paper's supplement.

    Attributes:
        title: What the table shows.
        frame: The numbers.
        texts: What is printed.
        remarks: What you should know before you draw conclusions.
        words: The columns of `texts` that are words, not figures.

    Examples:
        >>> import pandas as pd
        >>> from flskew.study import Table
        >>> frame = pd.DataFrame(
        ...     {"mean": [0.913], "low": [0.901], "high": [0.925]}, index=["FedAvg"]
        ... )
        >>> texts = pd.DataFrame(
        ...     {"iid": ["0.913 ± 0.012"]}, index=["FedAvg"]
        ... ).rename_axis(columns="method")
        >>> Table("accuracy", frame, texts, ())
        accuracy
        <BLANKLINE>
        method           iid
        FedAvg 0.913 ± 0.012
    """

    title: str
    frame: pd.DataFrame
    texts: pd.DataFrame
    remarks: tuple[str, ...]
    words: tuple[str, ...] = ()

    def _title(self) -> str:
        return self.title

    def _table(self) -> pd.DataFrame:
        return self.texts

    @property
    def _cells(self) -> Formats:
        return {str(name): str for name in self.texts}

    @property
    def _left(self) -> tuple[str, ...]:
        return self.words
