"""Where a split is on the scales of the record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flskew._util import checks
from flskew.assignment import Assignment
from flskew.skew._record import Position
from flskew.skew._seen import changes_features, changes_labels
from flskew.skew.chance import iid_total_variation
from flskew.skew.kinds import kinds
from flskew.skew.measures import effective_clients, total_variation
from flskew.skew.tally import Split, Tally, tally
from flskew.typing import Features, Labels

__all__ = ["Placed", "placed"]

# As in the remarks of a report.
_LIKE_CHANCE = 1.5


class Placed(NamedTuple):
    """A split, as far as it was measured.

    Attributes:
        position: Where it is on the scales of the record.
        total_variation: Of its labels.
        num_classes: Number of classes that have rows.
        looks_iid: Whether its labels are spread as in a random split.
        has_features: Whether it is known how much the features differ.
        unit: What was counted: "row" or "label".
    """

    position: Position
    total_variation: float
    num_classes: int
    looks_iid: bool
    has_features: bool
    unit: str


def placed(
    split: Split,
    features: Features | None,
    labels: Labels | None,
    covariate_shift: float | None,
    concept_shift: float | None,
) -> Placed:
    """Measure a split; the arguments are those of `flskew.skew.advise`."""
    given = _fraction("covariate_shift", covariate_shift), _fraction("concept_shift", concept_shift)
    if features is not None and covariate_shift is not None:
        raise ValueError("covariate_shift is measured from features; pass one of the two")
    if labels is not None and concept_shift is not None:
        raise ValueError("concept_shift is measured from labels; pass one of the two")
    if isinstance(split, Assignment):
        _check_shift(split, features is None and covariate_shift is None, labels is None and concept_shift is None)
        counted = _counted(split, labels)
        covariate, concept = _shifts(split, features, labels, given)
    elif features is not None or labels is not None:
        raise TypeError(
            f"features and labels need an Assignment, which says who has which row, got {type(split).__name__}; for "
            f"counts, pass covariate_shift and concept_shift"
        )
    else:
        counted = tally(split)
        covariate, concept = given
    num_classes = int(np.count_nonzero(counted.counts.sum(axis=0)))
    distance = total_variation(counted)
    # What clients with one class each have, if all classes are equally frequent.
    largest = 1 - 1 / num_classes
    label_skew = distance / largest if largest else 0.0
    position = Position(label_skew, effective_clients(counted), covariate or 0.0, concept or 0.0, len(counted.counts))
    looks_iid = distance <= _LIKE_CHANCE * iid_total_variation(counted)
    return Placed(position, distance, num_classes, looks_iid, covariate is not None, counted.unit)


def _shifts(
    assignment: Assignment,
    features: Features | None,
    labels: Labels | None,
    given: tuple[float | None, float | None],
) -> tuple[float | None, float | None]:
    """Return the covariate shift and the concept shift, measured as far as the data are there."""
    if labels is None:
        if features is not None:
            raise ValueError(
                "features need labels, because features also differ where labels do; pass the labels of all rows, too"
            )
        return given
    report = kinds(assignment, features, labels)
    # What follows from label skew was measured as label skew, and what random splits have is no shift.
    covariate, concept = (
        one.distance if one.verdict == "yes" else 0.0 for one in (report.covariate_shift, report.concept_shift)
    )
    return (given[0] if features is None else covariate), concept


def _fraction(name: str, value: float | None) -> float | None:
    rule = f"{name} must be a distance from 0 to 1, as measured by skew.kinds"
    return None if value is None else checks.within(rule, value, most=1)


def _check_shift(assignment: Assignment, lacks_features: bool, lacks_labels: bool) -> None:
    shift = assignment.shift
    if shift is None:
        return
    if lacks_features and changes_features(shift):
        raise ValueError(
            "the assignment has a shift of the features, which must be measured: pass the features and labels of the "
            "whole data set as they are, or covariate_shift, if you know the distance"
        )
    if lacks_labels and changes_labels(shift):
        raise ValueError(
            "the assignment has a shift of the labels, which must be measured: pass the labels of the whole data set "
            "as they are, or concept_shift, if you know the distance"
        )


def _counted(assignment: Assignment, labels: Labels | None) -> Tally:
    """Count the labels as they are, without a shift."""
    if assignment.has_labels:
        return tally(assignment)
    if labels is None:
        raise ValueError("the assignment was made without labels; pass the labels of all rows of the data set")
    return tally(Assignment.from_partitions(list(assignment), labels))
