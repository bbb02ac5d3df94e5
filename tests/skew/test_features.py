"""How much the features of clients differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp, wasserstein_distance

from flskew import Assignment, IidPartitioner, skew

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(300, 2))
SHIFTED = Assignment.from_partitions([np.argsort(FEATURES[:, 0])[:100], np.argsort(FEATURES[:, 0])[100:]])


def test_the_default_is_the_largest_difference_between_the_distribution_functions() -> None:
    distances = skew.feature_distances(SHIFTED, FEATURES)
    for partition_id in (0, 1):
        sample, others = FEATURES[SHIFTED[partition_id]], FEATURES[SHIFTED[1 - partition_id]]
        for feature in (0, 1):
            below = [
                abs(np.mean(sample[:, feature] <= value) - np.mean(others[:, feature] <= value))
                for value in FEATURES[:, feature]
            ]
            assert distances[partition_id, feature] == pytest.approx(max(below))
    # Split by the order of feature 0, which is unrelated to feature 1.
    assert distances[0, 0] == 1
    assert distances[0, 1] < 0.2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # SciPy warns about the p-value for few rows
@given(st.data())
def test_the_default_is_scipys_statistic_even_with_equal_values(data: st.DataObject) -> None:
    values = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=2, max_size=40)))
    holders = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(values), max_size=len(values))))
    split = Assignment.from_partitions([np.flatnonzero(holders == holder) for holder in range(3)])
    for own, distance in zip(split, skew.feature_distances(split, values)[:, 0], strict=True):
        others = np.delete(values, own)
        if len(own) and len(others):
            assert distance == pytest.approx(ks_2samp(values[own], others).statistic, abs=1e-12)
        else:
            assert distance == 0


def test_an_iid_split_is_near_0() -> None:
    assert skew.feature_distances(IidPartitioner(3).assign([0] * 300), FEATURES).max() < 0.2


def test_any_measure_of_two_samples_is_accepted() -> None:
    distances = skew.feature_distances(SHIFTED, FEATURES[:, 1], measure=wasserstein_distance)
    assert distances.shape == (2, 1)
    assert distances[0, 0] == pytest.approx(wasserstein_distance(FEATURES[SHIFTED[0], 1], FEATURES[SHIFTED[1], 1]))


def test_a_partition_with_no_rows_or_all_of_them_has_distance_0() -> None:
    assert skew.feature_distances(Assignment.from_partitions([range(300), []]), FEATURES).tolist() == [[0, 0], [0, 0]]


def test_unassigned_rows_are_ignored() -> None:
    some = Assignment.from_partitions([[0, 1], [2, 3]], num_rows=5)
    assert skew.feature_distances(some, np.array([1, 2, 1, 2, 99]))[0, 0] == 0


def test_anything_else_is_refused_as_assignment_or_measure() -> None:
    with pytest.raises(
        TypeError, match=r"assignment must be an Assignment, got list; make one with Assignment.from_partitions"
    ):
        skew.feature_distances([[0], [1]], FEATURES)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"measure must be a function of two samples, .* got 'ks'"):
        skew.feature_distances(SHIFTED, FEATURES, measure="ks")  # type: ignore[arg-type]


@pytest.mark.parametrize("result", [ks_2samp([1, 2], [3, 4]), None, "far"], ids=type)
def test_a_measure_must_return_a_number(result: Any) -> None:
    with pytest.raises(TypeError, match=f"measure must return a number, got {type(result).__name__}; extract one"):
        skew.feature_distances(SHIFTED, FEATURES, measure=lambda sample, others: result)


def test_bad_features_are_refused() -> None:
    with pytest.raises(TypeError, match="features must be numbers, got an array of <U1"):
        skew.feature_distances(SHIFTED, np.array(["a"] * 300))
    with pytest.raises(ValueError, match=r"one row for each of the 300 rows .* got an array of shape \(10,\)"):
        skew.feature_distances(SHIFTED, np.zeros(10))
    with pytest.raises(ValueError, match=r"flatten images with .reshape\(len\(images\), -1\)"):
        skew.feature_distances(SHIFTED, np.zeros((300, 8, 8)))
    with pytest.raises(ValueError, match="features must be finite, got nan in row 7, column 1"):
        skew.feature_distances(SHIFTED, np.where(np.arange(600).reshape(300, 2) == 15, np.nan, FEATURES))
    with pytest.raises(ValueError, match=r"features must be finite, got masked ones; fill them with .filled\(number\)"):
        skew.feature_distances(SHIFTED, np.ma.masked_less(FEATURES, 0))
