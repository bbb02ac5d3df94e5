"""The severity of a shift for a target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from flskew import IidPartitioner, skew
from flskew.shifts import Affine, Blur, Channels, Missing, Noise, Quantize, Ramp, Relabel, Rotate, Shift, SwapLabels

DIGITS = load_digits()
LABELS = DIGITS.target[:600]
# Continuous, because rounding whole numbers to multiples of 3 may change them less than to multiples of 2.
IMAGES = DIGITS.images[:600, 1:7, 1:7, None] + np.random.default_rng(0).random((600, 6, 6, 1))
SPLIT = IidPartitioner(4).assign(LABELS)


SHIFTS: dict[str, Shift] = {
    "noise that grows": Noise(Ramp(20.0)),
    "noise of one client": Noise([0.0, 0.0, 0.0, 20.0]),
    "noise of two clients": Noise(20.0, partitions=[0, 3]),
    "gain": Affine(gain=Ramp(3.0, first=1.0)),
    "lower gain": Affine(gain=[0.1, 1.0, 1.0, 1.0]),
    "offset": Affine(offset=[0.0, 0.0, -5.0, 5.0]),
    "gain and noise": Affine(gain=Ramp(2.0)) | Noise(Ramp(4.0)),
    "rotation": Rotate(Ramp(90.0)),
    "blur": Blur([0.0, 0.0, 0.0, 3.0]),
    "rounding": Quantize([0.0, 6.0, 0.0, 12.0]),
    "a colour cast": Channels([[1.0]] * 3 + [[0.2]]),
}


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS)
def test_features_are_further_apart_the_more_severe_the_shift_is(shift: Shift) -> None:
    distances = [skew.feature_distance(IMAGES, SPLIT.with_shift(shift.at(step / 8))) for step in range(9)]
    assert distances[0] == skew.feature_distance(IMAGES, SPLIT)
    assert (np.diff(distances) > 0).all()


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS)
def test_the_split_with_the_shift_found_has_the_target_distance(shift: Shift) -> None:
    found = skew.severity_for(0.12, shift, IMAGES, SPLIT)
    assert found.shift == shift.at(found.severity)
    assert found.measured == skew.feature_distance(IMAGES, SPLIT.with_shift(found.shift))
    assert found.measured == pytest.approx(0.12, abs=0.001)


LABEL_SHIFTS: dict[str, Shift] = {
    "wrong labels": SwapLabels(Ramp(0.4), classes=10),
    "wrong labels of one client": SwapLabels(0.4, classes=10, partitions=[1]),
    "another code": Relabel({1: 7, 2: 7, 3: 8, 4: 9, 5: 9}, partitions=[2, 3]),
}


@pytest.mark.parametrize("shift", LABEL_SHIFTS.values(), ids=LABEL_SHIFTS)
def test_more_labels_differ_from_the_truth_the_more_severe_the_shift_is(shift: Shift) -> None:
    wrong = [skew.label_disagreement(LABELS, SPLIT.with_shift(shift.at(step / 8))) for step in range(9)]
    assert wrong[0] == 0
    assert (np.diff(wrong) > 0).all()


@pytest.mark.parametrize("shift", LABEL_SHIFTS.values(), ids=LABEL_SHIFTS)
def test_the_target_of_a_shift_of_labels_is_their_disagreement_with_the_truth(shift: Shift) -> None:
    found = skew.severity_for(0.05, shift, LABELS, SPLIT)
    assert found.measured == pytest.approx(0.05, abs=1 / 600)  # one label more or less
    seen = SPLIT.with_shift(found.shift).shift_labels(LABELS)
    assert found.measured == np.mean(seen != LABELS)


def test_missing_values_are_a_shift_of_features() -> None:
    table = {"age": np.arange(600.0) % 80, "visits": np.arange(600.0) % 7}
    shift = Missing(["age"], rate=[0, 0, 0, 0.9])
    distances = [skew.feature_distance(table, SPLIT.with_shift(shift.at(step / 8))) for step in range(9)]
    assert (np.diff(distances) > 0).all()
    assert skew.severity_for(0.1, shift, table, SPLIT).measured == pytest.approx(0.1, abs=0.003)


def test_any_measure_can_be_the_target_even_one_that_falls_with_severity() -> None:
    def alike(images: Any, split: Any) -> float:
        return 1 - skew.feature_distance(images, split)

    found = skew.severity_for(0.88, Noise(Ramp(20.0)), IMAGES, SPLIT, measure=alike)
    assert found.severity == skew.severity_for(0.12, Noise(Ramp(20.0)), IMAGES, SPLIT).severity
    within = skew.severity_for(
        0.3, Noise(Ramp(20.0)), IMAGES, SPLIT, measure=lambda x, split: skew.feature_distance(x, split, LABELS)
    )
    assert skew.feature_distance(IMAGES, SPLIT.with_shift(within.shift), LABELS) == pytest.approx(0.3, abs=0.001)


def test_a_shift_that_the_split_has_is_ignored() -> None:
    shifted = SPLIT.with_shift(Noise(5.0))
    assert skew.severity_for(0.12, Noise(Ramp(20.0)), IMAGES, shifted) == skew.severity_for(
        0.12, Noise(Ramp(20.0)), IMAGES, SPLIT
    )


def test_the_ends_can_be_the_target() -> None:
    shift = Affine(offset=Ramp(4.0))
    for severity in (0.0, 1.0):
        target = skew.feature_distance(IMAGES, SPLIT.with_shift(shift.at(severity)))
        assert skew.severity_for(target, shift, IMAGES, SPLIT).severity == severity


def test_if_several_severities_have_the_distance_the_smallest_is_found() -> None:
    """Digits rotated by 180 degrees are closer to the others than those rotated by 90."""
    shift = Rotate([0.0, 0.0, 0.0, 180.0])
    target = skew.feature_distance(IMAGES, SPLIT.with_shift(shift.at(0.375)))
    assert target > skew.feature_distance(IMAGES, SPLIT.with_shift(shift))
    assert skew.severity_for(target, shift, IMAGES, SPLIT).severity <= 0.375


def test_an_unreachable_target_is_refused_with_the_possible_range() -> None:
    message = r"target=0.99 is out of reach: .* severities from 0 to 1 give 0.0\d+ to 0.\d+; choose a target in this"
    with pytest.raises(ValueError, match=message):
        skew.severity_for(0.99, Noise(Ramp(1.0)), IMAGES, SPLIT)
    with pytest.raises(ValueError, match="out of reach"):
        skew.severity_for(0.0, Noise(Ramp(1.0)), IMAGES, SPLIT)


class Nothing(Shift):
    """Changes nothing."""

    def at(self, severity: float) -> Nothing:
        return self


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target": "some"}, TypeError, "target must be a finite number, a value of the measure, got 'some'"),
        ({"target": float("nan")}, TypeError, "target must be a finite number"),
        ({"target": True}, TypeError, "target must be a finite number"),
        ({"shift": 0.1}, TypeError, "shift must be a shift, such as flskew.shifts.Noise"),
        ({"assignment": [[0]]}, TypeError, "assignment must be an Assignment, got list"),
        (
            {"measure": "distance"},
            TypeError,
            "measure must be a function such as skew.feature_distance, got 'distance'",
        ),
        ({"measure": lambda data, split: None}, TypeError, "measure must return a finite number, got None"),
        ({"shift": Noise(1.0) | Relabel({1: 7})}, TypeError, "measure must be given for a shift that changes both"),
        ({"shift": Nothing()}, TypeError, "measure must be given"),
        ({"data": IMAGES[:5]}, ValueError, "features must have one entry for each of the 600 rows"),
    ],
    ids=lambda value: None,
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"target": 0.12, "shift": Noise(Ramp(1.0)), "data": IMAGES, "assignment": SPLIT}
    with pytest.raises(error, match=message):
        skew.severity_for(**{**given, **arguments})


def test_a_notebook_shows_the_severity_and_what_it_gives() -> None:
    assert skew.SeverityEstimate(0.25, 0.1234, Noise(1.0))._repr_html_() == "<p>severity = 0.25: 0.123</p>"
