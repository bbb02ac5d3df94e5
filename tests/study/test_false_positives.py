"""How often a study of methods that do not differ calls one better or worse, and how often a difference is found."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from tests.study.made import results_of

from flskew.study import Results
from flskew.study._paired import NO_EVIDENCE, holm, p_values, verdict

NUM_STUDIES = 2_000
Studies = NDArray[np.float64]


def identical_methods(num_seeds: int = 5, num_splits: int = 3, num_methods: int = 4, seed: int = 1) -> Studies:
    """(num_studies, num_splits, num_methods, num_seeds) figures; lucky seeds are lucky for all methods."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(size=(NUM_STUDIES, num_splits, 1, num_seeds))
    return 0.8 + 0.03 * luck + 0.01 * rng.normal(size=(NUM_STUDIES, num_splits, num_methods, num_seeds))


def adjusted_p_values(figures: Studies) -> Studies:
    """(num_studies, num_comparisons) of all methods with the first, on each split and on all."""
    gains = figures[:, :, 1:] - figures[:, :, :1]
    gains = np.concatenate([gains, gains.mean(axis=1, keepdims=True)], axis=1)
    return holm(p_values(gains.reshape(len(figures), -1, figures.shape[-1])))


def test_the_simulation_computes_what_gains_computes() -> None:
    figures = identical_methods()
    adjusted = adjusted_p_values(figures[:3])
    for study, expected in zip(figures, adjusted, strict=False):
        results = results_of(study, splits="ABC", methods=["FedAvg", "X", "Y", "Z"])
        assert results.gains().frame["adjusted"].to_numpy() == pytest.approx(expected)


def test_in_at_most_5_percent_of_the_tables_of_identical_methods_one_is_called_better_or_worse() -> None:
    number = int((adjusted_p_values(identical_methods()) < 0.05).any(axis=1).sum())
    most = stats.binom.ppf(0.975, NUM_STUDIES, 0.05)
    assert number <= most  # 119
    assert number > 40  # Holm's correction is not as conservative as to find nothing


def test_without_a_correction_it_would_be_several_times_as_many() -> None:
    """The simulation can tell whether the correction works."""
    figures = identical_methods()
    p = p_values((figures[:, :, 1:] - figures[:, :, :1]).reshape(NUM_STUDIES, -1, 5))
    assert (p < 0.05).any(axis=1).mean() > 0.2


@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_one_comparison_of_identical_methods_is_wrong_in_5_percent_of_the_studies(num_seeds: int) -> None:
    figures = identical_methods(num_seeds, num_splits=1, num_methods=2)
    number = int((p_values(figures[:, :, 1] - figures[:, :, 0]) < 0.05).sum())
    assert stats.binom.ppf(0.025, NUM_STUDIES, 0.05) <= number <= stats.binom.ppf(0.975, NUM_STUDIES, 0.05)


def test_unpaired_comparisons_would_miss_what_paired_ones_find() -> None:
    """The luck that methods share is three times the noise."""
    figures = identical_methods(num_splits=1, num_methods=2)
    better = figures[:, 0, 1] + 0.03
    paired = (p_values((better - figures[:, 0, 0])[:, None]) < 0.05).mean()
    unpaired = (stats.ttest_ind(better, figures[:, 0, 0], axis=1).pvalue < 0.05).mean()
    assert paired > 0.85
    assert unpaired < 0.4


# In percent: alone, and as one of twelve comparisons. The docstring of `Results.gains` quotes some of them.
POWER = [
    (3, 1, 18, 2),
    (3, 2, 47, 5),
    (5, 1, 40, 7),
    (5, 2, 91, 34),
    (10, 1, 80, 34),
    (10, 2, 100, 97),
]


@pytest.mark.parametrize(("num_seeds", "size", "single", "of_twelve"), POWER)
def test_a_difference_of_some_standard_deviations_is_found_as_often_as_documented(
    num_seeds: int, size: int, single: int, of_twelve: int
) -> None:
    gains = np.random.default_rng(2).normal(size=(NUM_STUDIES, 12, num_seeds))
    gains[:, 0] += size
    p = p_values(gains)
    # The noncentral t distribution says how often exactly.
    limit, shift = stats.t.ppf(0.975, num_seeds - 1), size * np.sqrt(num_seeds)
    exact = stats.nct.sf(limit, num_seeds - 1, shift) + stats.nct.cdf(-limit, num_seeds - 1, shift)
    assert round(100 * exact) == single
    assert 100 * (p[:, 0] < 0.05).mean() == pytest.approx(single, abs=3)
    assert 100 * (holm(p)[:, 0] < 0.05).mean() == pytest.approx(of_twelve, abs=3)


def test_the_documentation_quotes_the_power() -> None:
    power = {(num_seeds, size): (single, of_twelve) for num_seeds, size, single, of_twelve in POWER}
    text = " ".join(str(Results.gains.__doc__).split())
    for num_seeds, word in ((5, "five"), (10, "ten")):
        (one, one_of), (two, two_of) = power[num_seeds, 1], power[num_seeds, 2]
        quoted = f"with {word} seeds, {one} % and {two} %, or {one_of} % and {two_of} % as one of twelve comparisons"
        assert quoted in text


def test_p_values_are_those_of_scipys_paired_t_test() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(size=(2, 4, 6))
    ours[1, 2] = np.nan  # a seed that has not been run
    expected = stats.ttest_rel(ours, theirs, axis=1, nan_policy="omit").pvalue
    assert p_values(ours - theirs) == pytest.approx(expected)


def test_holms_correction_by_hand() -> None:
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 raised to the one before, 0.5 * 1.
    p = np.array([0.03, 0.01, np.nan, 0.5, 0.02])
    np.testing.assert_allclose(holm(p), [0.06, 0.04, np.nan, 0.5, 0.06])
    np.testing.assert_allclose(holm(np.array([[0.9, 0.8], [0.04, np.nan]])), [[1, 1], [0.04, np.nan]])


def test_identical_methods_are_not_tested() -> None:
    assert np.isnan(p_values(np.zeros((1, 5)))).all()
    assert verdict(0.0, np.nan, 0.95) == NO_EVIDENCE == "no evidence of a difference"


@pytest.mark.parametrize(("num_seeds", "p"), [(2, 0.5), (5, 0.0625), (8, 0.0078125)])
def test_differences_without_spread_are_compared_by_their_signs(num_seeds: int, p: float) -> None:
    """A t-test would be certain after two seeds, which happens easily with accuracies of few test rows."""
    # As in 0.8 - 0.7 and 0.9 - 0.8, which differ in the last bit.
    gains = np.linspace(0.7, 0.9, num_seeds) - np.linspace(0.6, 0.8, num_seeds)
    assert p_values(gains[None]) == pytest.approx([p])  # 2 * 0.5^n
