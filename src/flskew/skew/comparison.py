"""Compare several splits side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flskew._util.tables import Formats, as_html, as_markdown, as_text
from flskew.skew._several import named_splits
from flskew.skew.report import Report, report
from flskew.skew.tally import Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """The reports of several splits, and a table of their measures.

    `flskew.skew.compare` returns one. It prints as text and displays as a table in notebooks, like a `Report`.

    Attributes:
        reports: One report per split, by name.

    Examples:
        >>> from flskew import skew
        >>> comparison = skew.compare([[[0, 0], [1, 1]], [[0, 1], [0, 1]]])
        >>> comparison.to_frame()["total_variation"].tolist()
        [0.5, 0.0]
    """

    reports: Mapping[str, Report]

    def __str__(self) -> str:
        """The table as plain text, in lines of at most 80 columns."""
        return as_text(*self._table())

    def __repr__(self) -> str:
        """Same as `str(comparison)`."""
        return str(self)

    def to_markdown(self) -> str:
        """Return the table in GitHub's Markdown."""
        return as_markdown(*self._table())

    def _repr_html_(self) -> str:
        return as_html(*self._table())

    def to_json(self) -> str:
        """Return the measures as JSON: one object per split, by name."""
        return json.dumps({name: dict(own.measures) for name, own in self.reports.items()}, ensure_ascii=False)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per split and one column per measure."""
        import pandas as pd

        measures = {name: dict(own.measures) for name, own in self.reports.items()}
        return pd.DataFrame.from_dict(measures, orient="index").rename_axis(index="split")

    def _table(self) -> tuple[pd.DataFrame, Formats]:
        frame = self.to_frame().rename_axis(index=None, columns="split")
        return frame, {str(name): "{:.3f}".format for name in frame}


def compare(splits: Mapping[str, Split] | Iterable[Split]) -> Comparison:
    """Measure several splits side by side.

    Use it when you choose between splits, or want to know what a parameter does to the skew.

    Args:
        splits: The splits by name, or a list of splits, which are named 0, 1, and so on. Each is an `Assignment`,
            counts, or anything else that `flskew.skew.tally` accepts. A DataFrame or an array is a single split, so it
            is rejected.

    Returns:
        One row of measures per split.

    Raises:
        TypeError: An entry is not a split, or `splits` is a single split.
        ValueError: There are no splits, two have the same name, or one has no rows.

    Examples:
        >>> from flskew import DirichletPartitioner, skew
        >>> labels = [row % 10 for row in range(10_000)]
        >>> splits = {
        ...     f"alpha {a}": DirichletPartitioner(10, "label", alpha=a).assign(labels)
        ...     for a in (0.1, 1, 10)
        ... }
        >>> compared = skew.compare(splits).to_frame()
        >>> compared["total_variation"].is_monotonic_decreasing
        True
    """
    named = named_splits(splits, prefix="", instead="report")
    return Comparison({name: report(split) for name, split in named.items()})
