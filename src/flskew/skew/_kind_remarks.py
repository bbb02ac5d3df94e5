"""Sentences about the kinds of non-IID that a split has, and about those that could not be measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from flskew._util.texts import LONGEST_NAME, cut
from flskew._util.words import capital, listed, named_partitions
from flskew.skew._kinds import Measuring
from flskew.skew.features import by_difference, feature_report

if TYPE_CHECKING:
    from flskew.skew.kinds import KindsReport, SkewKind

__all__ = ["remarks"]

_NEEDS = {
    "covariate shift": ("features",),
    "prior shift": ("labels",),
    "concept drift": ("features", "labels"),
    "concept shift": ("labels", "truth"),
}
_MEANS = {"truth": "truth (the correct labels)"}


def remarks(report: KindsReport, data: Measuring) -> Iterator[str]:
    """Yield one sentence for each fact worth knowing."""
    if report.prior_shift.verdict == "yes":
        yield (
            f"Prior shift: {report.prior_shift.distance:.1%} of the labels would have to change to make all partitions "
            f"alike; {report.prior_shift.chance:.1%} in a random split."
        )
    if not data.has_labels and report.prior_shift.distance is not None and data.assignment.edges is not None:
        yield "Labels are the bins by which the split was made; if these are bins of a feature, pass labels."
    yield from _features(report, data)
    yield from _concepts(report, data)
    if report.quantity_skew.exceeds_chance:
        yield f"Quantity skew: partitions have {report.sizes.min():,} to {report.sizes.max():,} rows."
    yield from _unmeasured(report, data)
    if data.assignment.shift is not None:
        yield f"Measured as clients see the data, through {cut(repr(data.assignment.shift), LONGEST_NAME)}."
    if data.frame is not None and data.frame.shape[1] < data.num_columns:
        yield f"Features were compared in {data.frame.shape[1]:,} of {data.num_columns:,} columns."


def _features(report: KindsReport, data: Measuring) -> Iterator[str]:
    covariate, drift = report.covariate_shift, report.concept_drift
    if drift.follows_from is not None:
        yield "The concept drift follows from the concept shift: rows of the same true class differ only by chance."
    if covariate.follows_from is not None:
        yield "The covariate shift follows from the prior shift: within classes, features differ only by chance."
    if covariate.verdict == drift.verdict == "yes":
        yield f"Features differ, also within classes (covariate shift and concept drift). {_most(report, data, drift)}"
    elif drift.verdict == "yes":
        yield f"Features differ within classes, but not over all rows (concept drift). {_most(report, data, drift)}"
    elif covariate.verdict == "yes":
        yield f"Features differ (covariate shift). {_most(report, data, covariate)}"


def _most(report: KindsReport, data: Measuring, kind: SkewKind) -> str:
    """Name the column that differs most, or the partition if columns have no names."""
    most = f"{capital(_partition(report, kind))} differs most."
    if isinstance(data.features, np.ndarray) or data.frame is None:
        return most
    table = feature_report(data.frame, data.assignment)
    return table.remarks[0] if table.columns[0].exceeds_chance else most


def _concepts(report: KindsReport, data: Measuring) -> Iterator[str]:
    if report.prior_shift.follows_from is not None:
        yield "The prior shift follows from the concept shift: the true labels differ only by chance."
    if report.label_disagreements is None:
        if report.concept_shift.exceeds_chance:
            most = _partition(report, report.concept_shift)
            yield f"Concept shift: rows with equal features have different labels at some partitions, most at {most}."
        return
    wrong = float(report.label_disagreements @ report.sizes) / float(report.sizes.sum())
    if report.concept_shift.exceeds_chance:
        worst = int(np.argmax(report.label_disagreements))
        yield (
            f"Concept shift: {wrong:.1%} of the labels differ from the truth, most at "
            f"{named_partitions([report.partitions[worst]])} ({report.label_disagreements[worst]:.1%})."
        )
    elif wrong:
        yield (
            f"Label noise, but no concept shift: {wrong:.1%} of the labels differ from the truth, and partitions "
            f"differ only by chance."
        )


def _unmeasured(report: KindsReport, data: Measuring) -> Iterator[str]:
    """Say what to pass, once for all kinds that need the same."""
    given = {
        "features": data.features is not None,
        "labels": data.has_labels,
        # Without a truth, labels as they are count as the truth if there is a shift.
        "truth": data.true is not None or data.assignment.shift is not None,
    }
    kinds: dict[str, list[str]] = {}
    for kind in report.kinds:
        if kind.exceeds_chance is None:
            missing = [_MEANS.get(name, name) for name in _NEEDS[kind.name] if not given[name]]
            kinds.setdefault(" and ".join(missing), []).append(kind.name)
    if data.several is not None:
        kinds = {missing: names for missing, names in kinds.items() if "concept shift" not in names}
        yield "Concept shift is measured only if each row has one label."
    for missing_arguments, names in kinds.items():
        yield f"To measure {listed(names)}, pass {missing_arguments}."


def _partition(report: KindsReport, kind: SkewKind) -> str:
    assert kind.distances is not None
    assert kind.chances is not None
    most = by_difference(report.sizes, kind.distances, kind.chances)[0]
    return named_partitions([report.partitions[int(most)]])
