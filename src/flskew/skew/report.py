"""All there is to say about one split, as a value that prints itself."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flskew.skew._remarks import remarks
from flskew.skew._tables import Table, plural, title
from flskew.skew.chance import iid_total_variation
from flskew.skew.measures import MEASURES
from flskew.skew.tally import Split, Tally, tally

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Report", "report"]


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """How skewed one split is: every measure, a table of its partitions, and what is unusual in plain words.

    `flskew.skew.report` makes one. It prints as text (`print(report)`), shows as tables in a notebook, and can be had
    as Markdown, as JSON and as a DataFrame.

    Attributes:
        tally: The counts it is about.
        measures: Each of `flskew.skew.MEASURES` under its name.
        iid_total_variation: The total variation that an IID split of the same sizes has by chance.
        remarks: One sentence for each unusual thing.

    Examples:
        >>> from flskew import skew
        >>> print(skew.report([[0] * 30 + [1] * 10, [1] * 20]))
        2 partitions, 60 rows, 2 classes
        <BLANKLINE>
        measure            value  no skew  full skew
        total variation    0.333        0      0.444
        label information  0.459        0          1
        missing classes    0.250        0        0.5
        effective classes  1.377        2          1
        effective clients  0.945        1        0.5
        Gini               0.167        0        0.5
        Jensen-Shannon     0.741        0          1
        Hellinger          0.707        0          1
        <BLANKLINE>
        partition  rows  classes  effective classes  total variation  most frequent
                0    40        2               1.75            0.250  0 (75%)
                1    20        1               1.00            0.500  1 (100%)
        <BLANKLINE>
        Partition 1 holds no 0.
        An IID split of these sizes would have a total variation of 0.048 by chance.
    """

    tally: Tally
    measures: Mapping[str, float]
    iid_total_variation: float
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        """As text for a terminal."""
        return "\n\n".join([self._title(), self._measures().text(), self._partitions().text(), "\n".join(self.remarks)])

    def __repr__(self) -> str:
        """The same: what one sees at a prompt is what one asked for."""
        return str(self)

    def to_markdown(self) -> str:
        """Return it in GitHub's Markdown, to paste into an issue or a paper's supplement."""
        return "\n\n".join(
            [self._title(), self._measures().markdown(), self._partitions().markdown(), " ".join(self.remarks)]
        )

    def _repr_html_(self) -> str:
        title, said = html.escape(self._title()), html.escape(" ".join(self.remarks))
        return f"<p>{title}</p>\n{self._measures().html()}\n{self._partitions().html()}\n<p>{said}</p>"

    def to_json(self) -> str:
        """Return it as JSON: measures, remarks, and one object per partition, of which none is left out."""
        return json.dumps(
            {
                "num_partitions": len(self.tally.sizes),
                "num_rows": int(self.tally.sizes.sum()),
                "classes": self.tally.classes,
                "measures": dict(self.measures),
                "iid_total_variation": self.iid_total_variation,
                "remarks": self.remarks,
                "partitions": self.to_frame().reset_index(names="partition").to_dict(orient="records"),
            },
            ensure_ascii=False,
            default=str,  # Classes may be whatever names the columns of a DataFrame, dates or intervals.
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per partition: its size, what it holds, and how far it is from the whole."""
        import pandas as pd

        summary = self.tally.summary
        most = self.tally.counts.argmax(axis=1)
        largest = self.tally.counts.max(axis=1)
        filled = summary.sizes > 0
        return pd.DataFrame(
            {
                "rows": summary.sizes,
                "classes": summary.held,
                "effective_classes": np.where(filled, np.exp2(summary.entropy), 0.0),
                "total_variation": summary.distance,
                # Of the type object, for beside None pandas would make fractions of whole numbers.
                "most_frequent": pd.Series(
                    [self.tally.classes[code] if some else None for code, some in zip(most, filled, strict=True)],
                    dtype=object,
                ),
                "largest_share": largest / np.maximum(summary.sizes, 1),
            },
            index=pd.RangeIndex(len(summary.sizes), name="Partition ID"),
        )

    def _title(self) -> str:
        counted = {"partition": len(self.tally.sizes), "row": self.tally.sizes.sum(), "class": len(self.tally.classes)}
        return ", ".join(map(plural, counted.values(), counted))

    def _measures(self) -> Table:
        """Each measure between what it is without skew and what at full skew."""
        summary = self.tally.summary
        shares = summary.totals[summary.totals > 0] / summary.totals.sum()
        weights = summary.sizes / summary.sizes.sum()
        clients, classes = self.tally.counts.shape
        ends = {
            "total_variation": (0, 1 - weights @ weights),
            "missing_classes": (0, 1 - 1 / classes),
            "effective_classes": (np.exp2(-(shares @ np.log2(shares))), 1),
            "effective_clients": (1, 1 / clients),
            "gini": (0, 1 - 1 / clients),
        }
        rows = [
            (title(name), f"{value:.3f}", *(f"{end:.3g}" for end in ends.get(name, (0, 1))))
            for name, value in self.measures.items()
        ]
        return Table(("measure", "value", "no skew", "full skew"), rows)

    def _partitions(self) -> Table:
        header = ("partition", "rows", "classes", "effective classes", "total variation", "most frequent")
        rows = [
            (
                str(partition_id),
                f"{row.rows:,}",
                str(row.classes),
                f"{row.effective_classes:.2f}",
                f"{row.total_variation:.3f}",
                "" if row.rows == 0 else f"{row.most_frequent} ({row.largest_share:.0%})",
            )
            for partition_id, row in enumerate(self.to_frame().itertuples(index=False))
        ]
        return Table.shortened(header, rows, words={5})


def report(split: Split) -> Report:
    """Measure a split and say what is unusual about it.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes; call that first to name the classes.

    Raises:
        TypeError: `split` is nothing of the kind.
        ValueError: It holds no row, or knows no labels.

    Examples:
        >>> from flskew import LabelExclusionPartitioner, skew
        >>> hospitals = LabelExclusionPartitioner([{1, 3, 7}, {2, 5, 8}, {4, 6, 9}])
        >>> for remark in skew.report(hospitals.assign([row % 10 for row in range(600)])).remarks:
        ...     print(remark)
        Partition 0 holds no 1, 3 or 7.
        Partition 1 holds no 2, 5 or 8.
        Partition 2 holds no 4, 6 or 9.
        An IID split of these sizes would have a total variation of 0.069 by chance.
    """
    counted = tally(split)
    measures = {name: measure(counted) for name, measure in MEASURES.items()}
    return Report(counted, measures, iid_total_variation(counted), remarks(counted))
