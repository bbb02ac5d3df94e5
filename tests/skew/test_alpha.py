"""The alpha for a target skew."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytest

from flskew import DirichletPartitioner, skew
from flskew.skew import Measure

LABELS = np.repeat(np.arange(10), 600)


def fresh_mean(measure: Measure, alpha: float, num_partitions: int, labels: Any = LABELS) -> float:
    """The mean over splits with seeds that the search did not use."""
    splits = (DirichletPartitioner(num_partitions, "label", alpha, seed=seed).assign(labels) for seed in range(40))
    return float(np.mean([measure(split) for split in splits]))


@pytest.mark.parametrize("target", [0.1, 0.3, 0.5, 0.7])
def test_splits_with_other_seeds_have_the_target_total_variation(target: float) -> None:
    found = skew.alpha_for(target, LABELS, 10)
    assert found.mean == pytest.approx(target, abs=0.005)
    assert fresh_mean(skew.total_variation, found.alpha, 10) == pytest.approx(target, abs=0.02)


def test_mean_and_spread_are_those_of_the_draws_with_the_alpha_found() -> None:
    values: list[float] = []

    def noted(split: skew.Split) -> float:
        values.append(skew.total_variation(split))
        return values[-1]

    found = skew.alpha_for(0.5, LABELS, 10, measure=noted, num_draws=4)
    assert found.mean == pytest.approx(statistics.mean(values[-4:]))
    assert found.spread == pytest.approx(statistics.stdev(values[-4:]))


def test_any_measure_can_be_the_target_even_one_that_rises_with_alpha() -> None:
    found = skew.alpha_for(4, LABELS, 10, measure=skew.effective_classes)
    assert fresh_mean(skew.effective_classes, found.alpha, 10) == pytest.approx(4, abs=0.2)
    by_hand = skew.alpha_for(0.4, LABELS, 10, measure=lambda split: 2 * skew.total_variation(split))
    assert by_hand.alpha == pytest.approx(skew.alpha_for(0.2, LABELS, 10).alpha, rel=0.01)


def test_the_same_arguments_give_the_same_alpha() -> None:
    first = skew.alpha_for(0.4, LABELS, 10, num_draws=5, seed=1)
    assert skew.alpha_for(0.4, LABELS.tolist(), 10, num_draws=5, seed=1) == first
    assert skew.alpha_for(0.4, LABELS, 10, num_draws=5, seed=2) != first


def test_alpha_has_three_significant_digits() -> None:
    found = skew.alpha_for(0.4, LABELS, 10, num_draws=5)
    assert found.alpha == float(f"{found.alpha:.3g}")


def test_an_unreachable_target_is_refused_with_the_possible_range() -> None:
    with pytest.raises(ValueError, match=r"target=0.001 is out of reach: .* 100 partitions, alpha 0.001 gives 0.\d+"):
        skew.alpha_for(0.001, LABELS, 100, num_draws=2)
    with pytest.raises(ValueError, match=r"target=0.99 is out of reach: .* alpha 10000 gives 0.0\d+; choose a"):
        skew.alpha_for(0.99, LABELS, 10, num_draws=2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target": "some"}, TypeError, "target must be a finite number, a value of the measure, got 'some'"),
        ({"target": float("nan")}, TypeError, "target must be a finite number"),
        ({"target": 10**400}, TypeError, "target must be a finite number, a value of the measure, got 1000"),
        ({"target": np.complex128(1)}, TypeError, "target must be a finite number"),
        ({"measure": "total_variation"}, TypeError, "measure must be a function of a split"),
        ({"measure": lambda split: None}, TypeError, r"measure\(split\) must be a finite number, .* got None"),
        ({"measure": lambda split: np.nan}, TypeError, r"measure\(split\) must be a finite number, .* got nan"),
        ({"num_draws": 1}, ValueError, "num_draws must be at least 2, got 1"),
        ({"seed": None}, TypeError, "seed must be an integer, got None: each call would find a different alpha"),
        ({"num_partitions": 0}, ValueError, "num_partitions must be at least 1, got 0"),
        ({"num_partitions": 601}, ValueError, "min_partition_size=10 for 601 partitions needs 6010 rows, got 6000"),
        ({"labels": []}, ValueError, "labels must contain at least one row"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        skew.alpha_for(**{"target": 0.4, "labels": LABELS, "num_partitions": 10, **arguments})


def test_a_notebook_shows_an_estimate_in_one_line() -> None:
    estimate = skew.AlphaEstimate(alpha=0.5, mean=0.4041, spread=0.031)
    assert estimate._repr_html_() == "<p>alpha = 0.5: 0.404 ± 0.031</p>"
