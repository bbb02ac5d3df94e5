"""Tables for notebooks."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from flskew._util.texts import one_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["table"]

# Longer tables are cut in the middle.
_MOST_ROWS = 20


def table(title: str, frame: pd.DataFrame) -> str:
    """Return a title and a table as HTML, with all texts escaped and in one line each.

    Examples:
        >>> import pandas as pd
        >>> "&lt;b&gt;Bern" in table(
        ...     "One site", pd.DataFrame({"rows": [3]}, index=["<b>Bern"])
        ... )
        True
    """
    shown = frame.rename(index=lambda name: one_line(str(name)), columns=lambda name: one_line(str(name)))
    rows = shown.to_html(max_rows=_MOST_ROWS, show_dimensions=len(frame) > _MOST_ROWS, border=0, na_rep="")
    return f"<p>{html.escape(title)}</p>\n{rows}"
