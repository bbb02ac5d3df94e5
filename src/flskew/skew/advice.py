"""Which strategy the benchmark of record supports for a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from flskew._util.table_report import TableReport
from flskew._util.tables import Formats
from flskew.skew._advising import call_of, points, remarks, verdict
from flskew.skew._evidence import Evidence, Gain, evidence, gain_of
from flskew.skew._placing import Placed, placed
from flskew.skew._record import Record, kept_record
from flskew.skew.tally import Split
from flskew.typing import Features, Labels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Advice", "advise"]

_CELLS: Formats = {
    "distance": "{:.2f}".format,
    "sampled": "{:.0%}".format,
    "total variation": "{:.2f}".format,
    "effective clients": "{:.2f}".format,
    "covariate shift": "{:.2f}".format,
    "concept shift": "{:.2f}".format,
    "gain": str,
}


@dataclass(frozen=True, eq=False, repr=False)
class Advice(TableReport):
    """Which strategy the benchmark of record supports for a split, with the evidence.

    `flskew.skew.advise` returns one. It prints as text, displays as a table in notebooks, and converts to Markdown and
    DataFrames.

    Attributes:
        strategy: The name of the method in the record; "FedAvg" if there is no evidence that another one is better on
            the near splits, and None if nothing is near.
        call: The call that makes it, with the hyper-parameters that were measured; None if nothing is near.
        gain: Its mean gain over FedAvg on the near splits, weighted by nearness, in percentage points; 0 for FedAvg,
            and None if nothing is near.
        interval: The 95% confidence interval of the gain; None for FedAvg, or if nothing is near.
        summary: The advice, and what supports it, in two lines.
        remarks: Sentences about the split, the evidence and its limits.
        version: Version of the record.

    Examples:
        >>> from flskew import skew
        >>> advice = skew.advise([[0] * 90 + [1] * 10, [1] * 100])
        >>> advice.by_method().columns.tolist()
        ['gain', 'low', 'high', 'p', 'num_better']
    """

    strategy: str | None
    call: str | None
    gain: float | None
    interval: tuple[float, float] | None
    summary: str
    remarks: tuple[str, ...]
    version: int
    _splits: Mapping[str, Sequence[object]]
    _methods: Mapping[str, Sequence[float]]
    _cells: ClassVar[Formats] = _CELLS

    def to_frame(self) -> pd.DataFrame:
        """Return the evidence: one row per near split of the record, the nearest first.

        The columns are the distance, the kind and the measures of the split, and the gain of the strategy on it, with
        the interval over the seeds. If the advice is FedAvg, the gain is that of the method that gained most. If
        nothing is near, the rows are the nearest splits, without gains.
        """
        import pandas as pd

        columns = dict(self._splits)
        return pd.DataFrame(columns, pd.Index(list(columns.pop("split")), name="split", dtype=object))

    def by_method(self) -> pd.DataFrame:
        """Return one row per method that was measured on all near splits, the largest gain first.

        The columns are its mean gain over FedAvg with the 95% confidence interval, the p-value, adjusted for the number
        of methods, and the number of near splits on which it was better. There are no rows if nothing is near.
        """
        import pandas as pd

        names = ["gain", *Gain._fields[1:]]
        return pd.DataFrame.from_dict(dict(self._methods), orient="index", columns=names).rename_axis(index="method")

    def _title(self) -> str:
        return self.summary

    def _table(self) -> pd.DataFrame:
        frame = self.to_frame()
        shifts = [shift for shift in ("covariate shift", "concept shift") if frame[shift].any()]
        sampled = ["sampled"] if (frame["sampled"] < 1).any() else []
        columns = ["distance", *sampled, "total variation", "effective clients", *shifts]
        table = frame[columns].rename_axis(index=None, columns="split")
        if frame["gain"].notna().any():
            ends = zip(frame["gain"], frame["high"], strict=True)
            table["gain"] = [f"{points(mean, '+')} ± {points(high - mean)}" for mean, high in ends]
        return table


def advise(
    split: Split,
    features: Features | None = None,
    labels: Labels | None = None,
    *,
    covariate_shift: float | None = None,
    concept_shift: float | None = None,
) -> Advice:
    """Look up which strategy the benchmark of record supports for a split like this one.

    Use it when you have a split and want to know which strategy to try first.

    The record has measured what each strategy gains over FedAvg on many splits, whose skew is measured, too. The rule:

    1. A split of the record is near if its distance is below 0.3. The distance is the sum of the differences in label
       skew, effective clients, covariate shift and concept shift, plus 0.2 for every factor of ten between the numbers
       of clients. A split with other kinds of shift is never near.
    2. The mean gain of each strategy on the near splits, weighted by nearness, is tested over the seeds, with Holm's
       correction for the number of strategies. If no strategy is significantly better than FedAvg, the advice is
       FedAvg.
    3. Otherwise, the candidates are the better strategy with the largest gain, and all better ones without evidence of
       a difference from it. The advice is the candidate with the largest mean gain over the whole record.

    Label skew is the total variation of the labels as a fraction of the largest possible with this number of classes.

    Tested on splits that were left out of the record, this advice was clearly better than always using FedAvg. There
    was no evidence of a difference from always using the strategy that gains most over the whole record. The record has
    small models on small data sets, so compare with FedAvg on your own data.

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.
        features: One entry per row of the data set, without the assignment's shift, to measure whether features differ
            between clients: a table or an array, as `flskew.skew.kinds` accepts. This needs an `Assignment` and
            `labels`.
        labels: One label per row of the data set, without the assignment's shift. This needs an `Assignment`.
        covariate_shift: If you cannot pass features: the distance that `flskew.skew.kinds` found, 0 to 1; 0 if the
            features do not differ beyond chance and beyond what follows from the labels.
        concept_shift: If you cannot pass features: the same for concept shift, the labels of rows with equal features,
            0 to 1.

    Returns:
        The advice: the strategy, the call that makes it, its gain, and the evidence.

    Raises:
        TypeError: An argument has the wrong type, or features or labels are given for counts.
        ValueError: The split has no rows; a distance is outside 0 to 1; or the assignment has a shift, but no features
            or labels to measure it.

    Examples:
        >>> from flskew import DirichletPartitioner, skew
        >>> labels = [row % 10 for row in range(6000)]
        >>> assignment = DirichletPartitioner(10, "label", alpha=0.1).assign(labels)
        >>> advice = skew.advise(assignment)
        >>> advice.strategy
        'FedDyn'
        >>> round(advice.gain, 1)  # percentage points above FedAvg
        7.3
    """
    return advice_from(kept_record(), placed(split, features, labels, covariate_shift, concept_shift))


def advice_from(record: Record, split: Placed) -> Advice:
    """Return the advice that a record gives."""
    found = evidence(record.splits, split.position)
    best, methods = found.best, sorted(found.gains, key=lambda method: -found.gains[method].mean)
    gain = None if best is None else found.gains.get(best)  # FedAvg has none
    shown = best if gain else next(iter(methods), None)
    return Advice(
        strategy=best,
        call=None if best is None else call_of(best, found),
        gain=gain.mean if gain else None if best is None else 0.0,
        interval=(gain.low, gain.high) if gain else None,
        summary=verdict(found),
        remarks=tuple(remarks(split, found, record, shown)),
        version=record.version,
        _splits=_columns(found, shown),
        _methods={method: tuple(found.gains[method]) for method in methods},
    )


def _columns(found: Evidence, method: str | None) -> dict[str, Sequence[object]]:
    """Return the columns of the evidence, with the gains of a method."""
    shown = found.near or found.beyond
    splits = [split for _, split in shown]
    none = (np.nan, np.nan, np.nan)
    gains = [gain_of([split], method)[:3] if method and found.near else none for split in splits]
    return {
        "split": [split.title for split in splits],
        "distance": [distance for distance, _ in shown],
        "kind": [split.kind for split in splits],
        "metric": [split.metric for split in splits],
        "clients": [split.position.num_clients for split in splits],
        "sampled": [split.fraction_train for split in splits],
        "total variation": [split.total_variation for split in splits],
        "effective clients": [split.position.effective_clients for split in splits],
        "covariate shift": [split.position.covariate_shift for split in splits],
        "concept shift": [split.position.concept_shift for split in splits],
        **{name: [gain[place] for gain in gains] for place, name in enumerate(("gain", "low", "high"))},
    }
