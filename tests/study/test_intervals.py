"""Confidence intervals of means over seeds."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import stats

from flskew.study._intervals import interval_of

VALUES = np.array([0.1, 0.2, 0.5, 0.3, 0.2])


def test_a_t_interval_is_that_of_scipy() -> None:
    mean, (low,), (high,), number = interval_of(VALUES[None], "t", 0.9)
    assert (mean, number) == (pytest.approx(0.26), 5)  # 1.3 / 5
    assert (low, high) == pytest.approx(stats.t.interval(0.9, 4, loc=0.26, scale=stats.sem(VALUES)))


def test_a_bootstrap_interval_is_that_of_scipy() -> None:
    _, (low,), (high,), _ = interval_of(VALUES[None], "bootstrap", 0.9)
    options = {"confidence_level": 0.9, "method": "percentile", "random_state": np.random.default_rng(0)}
    expected = stats.bootstrap((VALUES,), np.mean, **options).confidence_interval
    assert (low, high) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["t", "bootstrap"])
def test_intervals_are_computed_for_many_means_at_once_and_unknown_values_do_not_count(kind: str) -> None:
    values = np.array([[[*VALUES, np.nan], [np.nan, *VALUES]], [[*VALUES, 0.4], [0.0] * 6]])
    found = interval_of(values, kind, 0.95)
    alone = np.stack(interval_of(VALUES[None], kind, 0.95))[:, 0]
    assert np.stack(found)[:, 0, 0] == pytest.approx(alone)
    assert np.stack(found)[:, 0, 1] == pytest.approx(alone)
    assert found.num_known.tolist() == [[5, 5], [6, 6]]
    assert (found.low[1, 1], found.high[1, 1]) == (0, 0)  # the same with all seeds


@pytest.mark.parametrize("kind", ["t", "bootstrap"])
def test_one_value_has_a_mean_but_no_interval_and_none_has_neither(kind: str) -> None:
    mean, low, high, number = interval_of(np.array([[0.3, np.nan], [np.nan, np.nan]]), kind, 0.95)
    np.testing.assert_array_equal(mean, [0.3, np.nan])
    assert np.isnan([low, high]).all()
    assert number.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("kind", "num_seeds", "least", "most"),
    [("t", 5, 0.93, 0.97), ("bootstrap", 5, 0.82, 0.88), ("bootstrap", 10, 0.87, 0.93)],
    ids=["t with 5 seeds", "bootstrap with 5 seeds", "bootstrap with 10 seeds"],
)
def test_intervals_contain_the_true_mean_as_often_as_documented(
    kind: str, num_seeds: int, least: float, most: float
) -> None:
    _, low, high, _ = interval_of(np.random.default_rng(1).normal(size=(800, num_seeds)), kind, 0.95)
    assert least < ((low < 0) & (high > 0)).mean() < most


def test_without_scipy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(ImportError, match=r"studies need scipy, .*flskew\[study\]"):
        interval_of(VALUES[None], "t", 0.95)
    assert interval_of(VALUES[None, :1], "t", 0.95).mean == 0.1
