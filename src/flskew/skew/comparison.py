"""Several splits side by side, which is how one chooses between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flskew.skew._tables import Table, title
from flskew.skew.report import Report, report
from flskew.skew.tally import Split, several

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """The reports of several splits, and a table of their measures.

    `flskew.skew.compare` makes one; it prints, and shows in a notebook, like a `Report`.

    Attributes:
        reports: One report for each split, by its name.

    Examples:
        >>> from flskew import skew
        >>> comparison = skew.compare([[[0, 0], [1, 1]], [[0, 1], [0, 1]]])
        >>> comparison.to_frame()["total_variation"].tolist()
        [0.5, 0.0]
    """

    reports: Mapping[str, Report]

    def __str__(self) -> str:
        """As text for a terminal."""
        return self._table().text()

    def __repr__(self) -> str:
        """The same: what one sees at a prompt is what one asked for."""
        return str(self)

    def to_markdown(self) -> str:
        """Return the table in GitHub's Markdown."""
        return self._table().markdown()

    def _repr_html_(self) -> str:
        return self._table().html()

    def to_json(self) -> str:
        """Return the measures as JSON: one object per split, by its name."""
        return json.dumps({name: dict(own.measures) for name, own in self.reports.items()}, ensure_ascii=False)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per split and one column per measure."""
        import pandas as pd

        return pd.DataFrame.from_dict(
            {name: dict(own.measures) for name, own in self.reports.items()}, orient="index"
        ).rename_axis(index="split")

    def _table(self) -> Table:
        measures = list(next(iter(self.reports.values())).measures)
        rows = [[name, *(f"{own.measures[measure]:.3f}" for measure in measures)] for name, own in self.reports.items()]
        return Table(["split", *map(title, measures)], rows)


def compare(splits: Mapping[str, Split] | Iterable[Split]) -> Comparison:
    """Measure several splits side by side.

    Args:
        splits: The splits by name; or in a list, whose names are then their places. Each is an `Assignment`, counts, or
            whatever else `flskew.skew.tally` takes. A DataFrame or an array is one split and no list of them.

    Raises:
        TypeError: One of them is no split, or they are one split and no list of them.
        ValueError: There are none, two have the same name, or one holds no row.

    Examples:
        >>> from flskew import DirichletPartitioner, skew
        >>> labels = [row % 10 for row in range(10_000)]
        >>> splits = {f"alpha {a}": DirichletPartitioner(10, "label", alpha=a).assign(labels) for a in (0.1, 1, 10)}
        >>> compared = skew.compare(splits).to_frame()
        >>> compared["total_variation"].is_monotonic_decreasing
        True
    """
    named = several(splits, prefix="", instead="report")
    return Comparison({name: report(split) for name, split in named.items()})
