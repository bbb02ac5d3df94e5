"""Which of the five kinds of non-IID a split has, and how much of each.

P. Kairouz, H. B. McMahan, B. Avent, A. Bellet, M. Bennis et al.: "Advances and Open Problems in Federated Learning",
Foundations and Trends in Machine Learning 14(1-2), 2021, section 3.1, arXiv 1912.04977.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew._util.table_report import TableReport
from flskew._util.tables import Formats
from flskew._util.words import plural
from flskew.assignment import Assignment
from flskew.skew._kind_remarks import remarks
from flskew.skew._kinds import Judged, Measuring
from flskew.skew._seen import check_assignment
from flskew.typing import Features, Labels, MultiLabels, Sizes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KindsReport", "SkewKind", "kinds"]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


_OF = {
    "covariate shift": "P(x)",
    "prior shift": "P(y)",
    "concept drift": "P(x|y)",
    "concept shift": "P(y|x)",
    "quantity skew": "rows",
}
_CELLS: Formats = {"of": str, "distance": _number, "chance": _number, "found": str}


@dataclass(frozen=True, eq=False)
class SkewKind:
    """How much of one kind of non-IID a split has.

    Attributes:
        name: "covariate shift", "prior shift", "concept drift", "concept shift" or "quantity skew".
        distance: 0 if all partitions are alike, to about 1; None if it was not measured.
        chance: Its mean in random splits.
        exceeds_chance: Whether it is larger than in almost all random splits.
        follows_from: The kind that explains it; None if it does not follow from another.
        distances: (num_partitions,) the distance of each partition; None for quantity skew.
        chances: (num_partitions,) the mean distance of each partition in random splits; None for quantity skew.

    Examples:
        >>> from flskew import Assignment, skew
        >>> split = Assignment.from_partitions([range(90), range(90, 100)])
        >>> # the Gini coefficient, (90 - 10) / (2 · 100)
        >>> skew.kinds(split).quantity_skew.distance
        0.4
    """

    name: str
    distance: float | None = None
    chance: float | None = None
    exceeds_chance: bool | None = None
    follows_from: str | None = None
    distances: NDArray[np.float64] | None = None
    chances: NDArray[np.float64] | None = None

    @property
    def verdict(self) -> str:
        """Whether the split has it: "yes", "no", "follows from ..." or "not measured"."""
        if self.exceeds_chance is None:
            return "not measured"
        if not self.exceeds_chance:
            return "no"
        return "yes" if self.follows_from is None else f"follows from {self.follows_from}"


@dataclass(frozen=True, eq=False, repr=False)
class KindsReport(TableReport):
    """Which of the five kinds of non-IID a split has, and how much of each, against chance.

    `flskew.skew.kinds` returns one. It prints as text, displays as a table in notebooks, and converts to Markdown, JSON
    and a DataFrame.

    Attributes:
        covariate_shift: Features differ: feature distribution skew.
        prior_shift: Labels differ: label distribution skew.
        concept_drift: Features of the same class differ: same label, different features.
        concept_shift: The same features have different labels.
        quantity_skew: Sizes differ: unbalancedness.
        partitions: The name of each partition, or its id if it has no name.
        sizes: (num_partitions,) rows of each partition.
        label_disagreements: (num_partitions,) the fraction of each partition's labels that differ from the truth; None
            if the truth is unknown.
        remarks: Sentences about what was found, and what could not be measured.

    Examples:
        >>> from flskew import DirichletPartitioner, skew
        >>> labels = [row % 10 for row in range(1000)]
        >>> assignment = DirichletPartitioner(4, "label", alpha=1.0).assign(labels)
        >>> print(skew.kinds(assignment, labels=labels))
        4 partitions, 1,000 rows
        <BLANKLINE>
        kind                of distance chance        found
        covariate shift   P(x)                 not measured
        prior shift       P(y)    0.265  0.065          yes
        concept drift   P(x|y)                 not measured
        concept shift   P(y|x)                 not measured
        quantity skew     rows    0.092  0.027          yes
        <BLANKLINE>
        Prior shift: 26.5% of the labels would have to change to make all partitions
          alike; 6.5% in a random split.
        Quantity skew: partitions have 206 to 311 rows.
        To measure covariate shift and concept drift, pass features.
        To measure concept shift, pass truth (the correct labels).
    """

    covariate_shift: SkewKind
    prior_shift: SkewKind
    concept_drift: SkewKind
    concept_shift: SkewKind
    quantity_skew: SkewKind
    partitions: tuple[int, ...] | tuple[str, ...]
    sizes: Sizes
    label_disagreements: NDArray[np.float64] | None
    remarks: tuple[str, ...]
    _cells: ClassVar[Formats] = _CELLS

    @property
    def kinds(self) -> tuple[SkewKind, ...]:
        """The five kinds, in the order of the paper."""
        return (self.covariate_shift, self.prior_shift, self.concept_drift, self.concept_shift, self.quantity_skew)

    @property
    def found(self) -> tuple[str, ...]:
        """The names of the kinds that the split has, except those that only follow from another."""
        return tuple(one.name for one in self.kinds if one.exceeds_chance and one.follows_from is None)

    def to_json(self) -> str:
        """Return JSON: the remarks, and one object for each kind, with the distance of each partition by name."""
        return json.dumps(
            {
                "num_partitions": len(self.sizes),
                "num_rows": int(self.sizes.sum()),
                "remarks": self.remarks,
                "kinds": [
                    {
                        "kind": one.name,
                        "distance": one.distance,
                        "chance": one.chance,
                        "exceeds_chance": one.exceeds_chance,
                        "follows_from": one.follows_from,
                        "distances": self._by_name(one.distances),
                    }
                    for one in self.kinds
                ],
                "label_disagreements": self._by_name(self.label_disagreements),
            },
            ensure_ascii=False,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per kind; NaN and None where it was not measured."""
        import pandas as pd

        cells = ("distance", "chance", "exceeds_chance", "follows_from")
        index = pd.Index([one.name for one in self.kinds], name="kind")
        frame = pd.DataFrame({name: [getattr(one, name) for one in self.kinds] for name in cells}, index, dtype=object)
        return frame.astype({"distance": float, "chance": float})

    def by_partition(self) -> pd.DataFrame:
        """Return one row per partition: its rows, its distance of each kind that was measured, and its disagreement."""
        import pandas as pd

        named = isinstance(self.partitions[0], str) if self.partitions else False
        index = pd.Index(self.partitions, name="Partition" if named else "Partition ID")
        columns = {"rows": self.sizes, **{one.name: one.distances for one in self.kinds if one.distances is not None}}
        if self.label_disagreements is not None:
            columns["label disagreement"] = self.label_disagreements
        return pd.DataFrame(columns, index=index)

    def _by_name(self, values: NDArray[np.float64] | None) -> dict[str, float] | None:
        return None if values is None else dict(zip(map(str, self.partitions), values.tolist(), strict=True))

    def _title(self) -> str:
        return f"{plural(len(self.sizes), 'partition')}, {plural(int(self.sizes.sum()), 'row')}"

    def _table(self) -> pd.DataFrame:
        # pandas prints the name of an index below the header, but the name of the columns in the header.
        frame = self.to_frame()[["distance", "chance"]].rename_axis(index=None, columns="kind")
        frame.insert(0, "of", [_OF[one.name] for one in self.kinds])
        frame["found"] = [one.verdict for one in self.kinds]
        return frame


def kinds(
    assignment: Assignment,
    features: Features | None = None,
    labels: Labels | MultiLabels | None = None,
    *,
    truth: Labels | None = None,
    max_columns: int = 64,
) -> KindsReport:
    """Measure which of the five kinds of non-IID a split has, and how much of each.

    Use it when you do not know yet in which way your clients differ.

    The kinds are those of Kairouz et al., with features x and labels y: covariate shift (P(x) differs between clients),
    prior shift (P(y)), concept drift (P(x|y): same label, different features), concept shift (P(y|x): same features,
    different label) and quantity skew (the numbers of rows).

    All distances are 0 if all clients are alike, and at most about 1; `chance` is their mean in random splits with the
    same sizes. A kind is found if its distance is larger than in almost all random splits. Some kinds follow from
    others: if classes are unevenly spread, so are their features. Then the report says "follows from prior shift",
    provided that the features within each class differ only by chance.

    - Features are compared one column at a time, as by `feature_report`, and the distance is the mean over the columns.
      The missing values of a column add to its distance. The columns of an array with more than two axes, such as the
      pixels of images, have one unit: their mean is weighted by the mean difference of two values.
    - Labels are compared by `total_variation`.
    - Within classes, the features of each class are compared like those of all rows.
    - Concept shift is the total variation between labels of rows with equal true labels or, if the truth is unknown,
      of rows with equal features that several partitions have.
    - Sizes are compared by `gini`; `chance` is its value if each row goes to a random partition.

    Clients are compared as they see the data. If the assignment has a shift, pass features and labels without it: the
    report applies the shift, and the labels that you pass count as the truth.

    Args:
        assignment: The split; rows in no partition are ignored.
        features: One entry per row of the data set: a table, as for `feature_report`, or an array of any shape.
        labels: One label per row of the data set, as the clients see them unless the assignment has a shift. If the
            assignment was made with labels, prior shift can be measured without them. If rows have several labels, each
            counts, and concept shift is not measured.
        truth: The correct label of each row.
        max_columns: Maximum number of columns to compare, at least 1. If there are more, such as pixels, some are drawn
            at random, always the same ones.

    Returns:
        The distance of each kind, its mean by chance, and whether the split has it.

    Raises:
        TypeError: An argument has the wrong type, or a column cannot be compared.
        ValueError: There is not one entry per row, a label is missing, a number is infinite, or no partition has rows.

    Examples:
        >>> import numpy as np
        >>> from flskew import IidPartitioner, skew
        >>> from flskew.shifts import Affine
        >>> ages, labels = np.arange(1000) % 80, np.arange(1000) % 2
        >>> assignment = IidPartitioner(4).assign(labels)
        >>> assignment = assignment.with_shift(Affine(offset=[0, 0, 0, 20]))
        >>> skew.kinds(assignment, {"age": ages.astype(float)}, labels).found
        ('covariate shift', 'concept drift')
    """
    max_columns = checks.integer("max_columns", max_columns, minimum=1)
    data = Measuring(check_assignment(assignment), features, labels, truth, max_columns)
    covariate, prior, concept = data.of_features(), data.of_labels(data.own), data.of_concepts
    drift = data.of_drift()
    # If the true labels and the features within them are alike, only labels that differ from the truth can explain it.
    relabelled = data.true is not None and _exceeds(concept)
    drift_follows = relabelled and not _exceeds(data.of_features(data.true))
    prior_follows = relabelled and not _exceeds(data.of_labels(data.true))
    # P(x) is the sum of P(y) P(x|y) over all y.
    covariate_follows = drift is not None and _exceeds(prior) and (drift_follows or not drift.exceeds)
    found = {
        "covariate_shift": _kind("covariate shift", covariate, "prior shift" if covariate_follows else None),
        "prior_shift": _kind("prior shift", prior, "concept shift" if prior_follows else None),
        "concept_drift": _kind("concept drift", drift, "concept shift" if drift_follows else None),
        "concept_shift": _kind("concept shift", concept),
        "quantity_skew": replace(_kind("quantity skew", data.of_sizes()), distances=None, chances=None),
    }
    partitions = tuple(range(len(assignment))) if assignment.names is None else assignment.names
    report = KindsReport(
        **found, partitions=partitions, sizes=assignment.sizes, label_disagreements=data.disagreements, remarks=()
    )
    return replace(report, remarks=tuple(remarks(report, data)))


def _exceeds(judged: Judged | None) -> bool:
    return judged is not None and judged.exceeds


def _kind(name: str, judged: Judged | None, follows_from: str | None = None) -> SkewKind:
    if judged is None:
        return SkewKind(name)
    distance, chance, _, distances, chances = judged.excess
    follows_from = follows_from if judged.exceeds else None
    return SkewKind(name, float(distance), float(chance), judged.exceeds, follows_from, distances, chances)
