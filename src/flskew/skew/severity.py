"""The severity of a shift that makes clients differ as much as you want."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from flskew.assignment import Assignment
from flskew.shifts import Shift
from flskew.skew._seen import changes_features, changes_labels, check_assignment
from flskew.skew.seen_distances import feature_distance, label_disagreement
from flskew.typing import Features

__all__ = ["SeverityEstimate", "ShiftMeasure", "severity_for"]

ShiftMeasure: TypeAlias = Callable[[Features, Assignment], float]
"""A function from features or labels as they are, and a split with a shift, to a number: `feature_distance`,
`label_disagreement` or your own."""

# Severities are multiples of 1 / 1000, first tried at these steps.
_STEPS, _STRIDE = 1000, 125


class SeverityEstimate(NamedTuple):
    """The severity for a target, and the value of the measure that it actually gives.

    Attributes:
        severity: A multiple of 0.001 from 0 to 1.
        measured: The measure of the split with this shift.
        shift: The shift at this severity.

    Examples:
        >>> from flskew import skew
        >>> from flskew.shifts import Noise
        >>> skew.SeverityEstimate(severity=0.5, measured=0.104, shift=Noise(0.1)).shift
        Noise(sigma=0.1, seed=42)
    """

    severity: float
    measured: float
    shift: Shift

    def _repr_html_(self) -> str:
        return f"<p>severity = {self.severity:g}: {self.measured:.3f}</p>"


def severity_for(
    target: float,
    shift: Shift,
    data: Features,
    assignment: Assignment,
    *,
    measure: ShiftMeasure | None = None,
) -> SeverityEstimate:
    """Find the severity of a shift that makes clients differ by a target.

    Use it when you know how much clients should differ, but not how strong the shift must be.

    "Noise with sigma 0.1" says little about how much clients differ: that depends on the features and on the split.
    This function finds the smallest severity of a shift, from 0 (no shift) to 1 (the shift as it is), for which the
    measure is the target, by bisection. A shift that is the same for all partitions does not make them differ, so give
    it one strength per partition, a `Ramp`, or `partitions`.

    Args:
        target: The desired value of the measure.
        shift: The shift at severity 1; it should be stronger than what you look for.
        data: Features of the whole data set, before any shift; for a shift of labels, the labels.
        assignment: The split; a shift that it has is ignored.
        measure: `flskew.skew.feature_distance` for a shift of features, `flskew.skew.label_disagreement` for one of
            labels; or any function of the data and the split with the shift.

    Returns:
        The severity, the shift at this severity, and the value of the measure.

    Raises:
        TypeError: An argument has the wrong type, or `measure` is not given although the shift changes both features
            and labels.
        ValueError: No severity gives the target; the message states the range that is possible.

    Examples:
        >>> import numpy as np
        >>> from flskew import IidPartitioner, skew
        >>> from flskew.shifts import Affine, Ramp
        >>> ages = np.arange(1000.0) % 80
        >>> assignment = IidPartitioner(5).assign(np.zeros(1000, dtype=int))
        >>> found = skew.severity_for(0.2, Affine(offset=Ramp(100)), ages, assignment)
        >>> abs(found.measured - 0.2) < 0.001
        True
        >>> assignment = assignment.with_shift(found.shift)
    """
    if isinstance(target, bool) or not isinstance(target, numbers.Real) or not math.isfinite(target):
        raise TypeError(f"target must be a finite number, a value of the measure, got {target!r:.40}")
    if not isinstance(shift, Shift):
        raise TypeError(f"shift must be a shift, such as flskew.shifts.Noise(0.1), got {type(shift).__name__}")
    check_assignment(assignment)
    measured_by = _default_measure(shift) if measure is None else measure
    if not callable(measured_by):
        raise TypeError(f"measure must be a function such as skew.feature_distance, got {measure!r:.40}")

    def measured(step: int) -> SeverityEstimate:
        severity = step / _STEPS
        weaker = shift.at(severity)
        value = measured_by(data, assignment.with_shift(weaker))
        if isinstance(value, bool) or not isinstance(value, numbers.Real | np.number) or not math.isfinite(value):
            raise TypeError(f"measure must return a finite number, got {value!r:.40}")
        return SeverityEstimate(severity, float(value), weaker)

    reached = [measured(0)]
    for step in range(_STRIDE, _STEPS + 1, _STRIDE):
        reached.append(measured(step))
        low, high = reached[-2:]
        if min(low.measured, high.measured) <= target <= max(low.measured, high.measured):
            break
    else:
        values = [found.measured for found in reached]
        raise ValueError(
            f"target={target!r} is out of reach: with this shift and split, severities from 0 to 1 give "
            f"{min(values):.3f} to {max(values):.3f}; choose a target in this range, or a shift that differs more "
            f"between partitions"
        )
    rises, ends = high.measured > low.measured, (low, high)
    first, last = step - _STRIDE, step
    while last - first > 1:
        middle = measured((first + last) // 2)
        if (middle.measured > target) == rises:
            last, high = (first + last) // 2, middle
        else:
            first, low = (first + last) // 2, middle
    return min(ends[0], low, high, ends[1], key=lambda found: abs(found.measured - target))


def _default_measure(shift: Shift) -> ShiftMeasure:
    if changes_features(shift) and not changes_labels(shift):
        return feature_distance
    if changes_labels(shift) and not changes_features(shift):
        return label_disagreement
    raise TypeError("measure must be given for a shift that changes both features and labels, or neither")
