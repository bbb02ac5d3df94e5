"""A report on one split: its measures, its partitions, and remarks."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flskew._util.lines import sentences
from flskew._util.tables import Formats, as_html, as_markdown, as_text
from flskew._util.words import one_line, plural
from flskew.assignment import Assignment
from flskew.skew._remarks import remarks, targets_missed
from flskew.skew.chance import iid_total_variation
from flskew.skew.measures import MEASURES
from flskew.skew.tally import Split, Tally, tally

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Report", "report"]

_CELLS: Formats = {
    "rows": "{:,}".format,
    "labels": "{:,}".format,
    "classes": str,
    "effective_classes": "{:.2f}".format,
    "total_variation": "{:.3f}".format,
    "most_frequent": lambda name: "" if name is None else one_line(name),
    "largest_share": "{:.0%}".format,
}
_ENDS: Formats = {"value": "{:.3f}".format, "no skew": "{:.3g}".format, "full skew": "{:.3g}".format}


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """How skewed a split is: all measures, a table of its partitions, and remarks about what is unusual.

    `flskew.skew.report` returns one. It prints as text, displays as tables in notebooks, and converts to Markdown, JSON
    and a DataFrame.

    Attributes:
        tally: The counts that were measured.
        measures: The value of each of `flskew.skew.MEASURES`, by name.
        iid_total_variation: The mean total variation of IID splits with the same sizes.
        remarks: One sentence for each unusual property.

    Examples:
        >>> from flskew import skew
        >>> print(skew.report([[0] * 30 + [1] * 10, [1] * 20]))
        2 partitions, 60 rows, 2 classes
        <BLANKLINE>
        measure           value no skew full skew
        total_variation   0.333       0     0.444
        label_information 0.459       0         1
        missing_classes   0.250       0       0.5
        effective_classes 1.377       2         1
        effective_clients 0.945       1       0.5
        gini              0.167       0       0.5
        jensen_shannon    0.741       0         1
        hellinger         0.707       0         1
        <BLANKLINE>
                               effective_    total_
        partition rows classes    classes variation most_frequent largest_share
        0           40       2       1.75     0.250             0           75%
        1           20       1       1.00     0.500             1          100%
        <BLANKLINE>
        Partition 1 is missing class 0.
        Random splits with these sizes have a total variation of 0.048 on average.
    """

    tally: Tally
    measures: Mapping[str, float]
    iid_total_variation: float
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        """The report as plain text, in lines of at most 80 columns."""
        tables = as_text(self._measures(), _ENDS), as_text(self._partitions(), _CELLS)
        return "\n\n".join([self._title(), *tables, sentences(self.remarks)])

    def __repr__(self) -> str:
        """Same as `str(report)`."""
        return str(self)

    def to_markdown(self) -> str:
        """Return GitHub's Markdown, for an issue or a paper's supplement."""
        tables = as_markdown(self._measures(), _ENDS), as_markdown(self._partitions(), _CELLS)
        return "\n\n".join([self._title(), *tables, " ".join(self.remarks)])

    def _repr_html_(self) -> str:
        tables = as_html(self._measures(), _ENDS), as_html(self._partitions(), _CELLS)
        items = (f"<li>{html.escape(remark)}</li>" for remark in self.remarks)
        return "\n".join([f"<p>{self._title()}</p>", *tables, "<ul>", *items, "</ul>"])

    def to_json(self) -> str:
        """Return JSON: the measures, the remarks, and one object for every partition."""
        return json.dumps(
            {
                "num_partitions": len(self.tally.sizes),
                f"num_{self.tally.unit}s": int(self.tally.sizes.sum()),
                "classes": self.tally.classes,
                "measures": dict(self.measures),
                "iid_total_variation": self.iid_total_variation,
                "remarks": self.remarks,
                "partitions": self.to_frame().reset_index(names="partition").to_dict(orient="records"),
            },
            ensure_ascii=False,
            default=str,  # Classes may be any column names of a DataFrame, such as dates or intervals.
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per partition: its size, its classes, and its distance from the overall distribution.

        The size is the number of rows, or of labels if rows may have several.
        """
        import pandas as pd

        summary = self.tally._summary
        most = self.tally.counts.argmax(axis=1)
        largest = self.tally.counts.max(axis=1)
        filled = summary.sizes > 0
        index = pd.Index(self.tally.partitions, name="Partition ID" if self.tally.names is None else "Partition")
        return pd.DataFrame(
            {
                f"{self.tally.unit}s": summary.sizes,
                "classes": summary.held,
                "effective_classes": np.where(filled, np.exp2(summary.entropy), 0.0),
                "total_variation": summary.distance,
                # With dtype object, because pandas would convert integers beside None to floats.
                "most_frequent": pd.Series(
                    [self.tally.classes[code] if some else None for code, some in zip(most, filled, strict=True)],
                    index=index,
                    dtype=object,
                ),
                "largest_share": largest / np.maximum(summary.sizes, 1),
            },
            index=index,
        )

    def _title(self) -> str:
        unit, counts = self.tally.unit, self.tally.counts
        counted = {"partition": len(counts), unit: int(counts.sum()), "class": len(self.tally.classes)}
        return ", ".join(map(plural, counted.values(), counted))

    def _measures(self) -> pd.DataFrame:
        """Each measure with its values for no skew and for full skew."""
        import pandas as pd

        summary = self.tally._summary
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
        rows = {name: (value, *ends.get(name, (0, 1))) for name, value in self.measures.items()}
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(_ENDS))
        return frame.rename_axis(columns="measure")

    def _partitions(self) -> pd.DataFrame:
        # pandas prints the name of an index below the header, but the name of the columns in the header.
        return self.to_frame().rename_axis(index=None, columns="partition")


def report(split: Split) -> Report:
    """Measure a split and describe what is unusual about it.

    Use it when you want to know how skewed a split is, in its labels and sizes.

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts; call `tally` first to name
            the classes.

    Returns:
        All measures, one row per partition, and one sentence for each unusual property.

    Raises:
        TypeError: `split` is not a split.
        ValueError: The split has no rows or no labels.

    Examples:
        >>> from flskew import LabelExclusionPartitioner, skew
        >>> hospitals = LabelExclusionPartitioner([{1, 3, 7}, {2, 5, 8}, {4, 6, 9}])
        >>> assignment = hospitals.assign([row % 10 for row in range(600)])
        >>> for remark in skew.report(assignment).remarks:
        ...     print(remark)
        Partition 0 is missing classes 1, 3 and 7.
        Partition 1 is missing classes 2, 5 and 8.
        Partition 2 is missing classes 4, 6 and 9.
        Random splits with these sizes have a total variation of 0.069 on average.
    """
    counted = tally(split)
    measures = {name: measure(counted) for name, measure in MEASURES.items()}
    against = getattr(split, "assignment", split)
    missed = targets_missed(against) if isinstance(against, Assignment) else ()
    return Report(counted, measures, iid_total_variation(counted), (*remarks(counted), *missed))
