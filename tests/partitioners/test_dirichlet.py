"""Dirichlet shares are Dirichlet, minimums are met, and no partition is favoured."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from flskew import DirichletPartitioner
from flskew.partitioners import Streams, dirichlet_weights, normalise, read_labels

from .cases import labels_and_partitions, seeds


def sizes(labels, alpha: float, seed: int) -> np.ndarray:
    """The sizes of ten partitions, without drawing rows."""
    partitioner = DirichletPartitioner(10, alpha=alpha, min_partition_size=0, seed=seed)
    return partitioner.class_counts(read_labels(labels), Streams(seed)).sum(axis=0)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 5.0])
def test_a_share_has_its_marginal_beta_distribution(alpha: float):
    rng = np.random.default_rng(1)
    weights = np.array([dirichlet_weights(alpha, 10, rng) for _ in range(2000)])
    shares = normalise(weights)
    for partition_id in (0, 4, 9):
        marginal = scipy.stats.beta(alpha, 9 * alpha)
        assert scipy.stats.kstest(shares[:, partition_id], marginal.cdf).pvalue > 0.001


@pytest.mark.parametrize("alpha", [0.5, 5.0])  # For smaller alpha, many shares are less than one of a million rows.
def test_the_share_of_a_large_class_has_the_same_distribution(alpha: float):
    counts = [sizes(np.zeros(1_000_000, dtype=np.int8), alpha, seed) for seed in range(60)]
    marginal = scipy.stats.beta(alpha, 9 * alpha)
    assert scipy.stats.kstest(np.array(counts)[:, 3] / 1e6, marginal.cdf).pvalue > 0.001


def test_expected_sizes_are_proportional_to_the_alphas_of_the_partitions():
    labels = np.zeros(4000, dtype=np.int8)
    sizes = [
        DirichletPartitioner(2, "label", [1.0, 3.0], min_partition_size=0, seed=seed).assign(labels).sizes
        for seed in range(400)
    ]
    # Dirichlet(1, 3): a mean share of 1/4 with variance (1/4)(3/4)/5, so 400 draws have a standard error of .0097.
    assert abs(np.mean(sizes, axis=0)[0] / 4000 - 0.25) < 0.04


@pytest.mark.parametrize("alpha", [1e-310, 1e-300, 1e-12, 0.001, 1e12, 1e300])
def test_no_alpha_is_too_small_or_too_large(alpha: float):
    shares = normalise(dirichlet_weights(alpha, 5, np.random.default_rng(0))[None])
    assert shares.sum() == pytest.approx(1)
    assert shares.max() == pytest.approx(1 if alpha < 1 else 0.2)


def test_over_many_seeds_every_partition_has_the_mean_size():
    column = read_labels(np.repeat(np.arange(100), 10))
    drawn = np.array([sizes(column, 100, seed) for seed in range(2000)])
    assert np.all(np.abs(drawn.mean(axis=0) - 100) < 1)
    # The means of 2,000 sizes are normal around 100, so the sum of their squared deviations, in standard errors, is
    # chi-square, with 9 degrees of freedom because sizes sum to 1,000.
    standard_error = drawn.std(axis=0) / np.sqrt(2000)
    statistic = (((drawn.mean(axis=0) - 100) / standard_error) ** 2).sum() * 9 / 10
    assert scipy.stats.chi2.sf(statistic, 9) > 0.001


@given(drawn=labels_and_partitions(), seed=seeds, alpha=st.floats(1e-3, 1e3), balancing=st.booleans())
def test_the_minimum_is_always_met(drawn, seed: int, alpha: float, balancing: bool):
    labels, num_partitions = drawn
    minimum = len(labels) // num_partitions
    partitioner = DirichletPartitioner(num_partitions, "label", alpha, minimum, balancing, seed=seed)
    assert partitioner.assign(labels).sizes.min() >= minimum


@pytest.mark.parametrize(("num_partitions", "alpha", "minimum"), [(100, 0.01, 10), (1000, 0.001, 1)])
def test_it_ends_even_if_redrawing_never_would(num_partitions: int, alpha: float, minimum: int):
    labels = np.arange(60_000) % 10
    sizes = DirichletPartitioner(num_partitions, "label", alpha, minimum).assign(labels).sizes
    assert sizes.min() == minimum
    assert sizes.sum() == 60_000


def test_without_a_shortage_the_minimum_changes_nothing():
    labels = np.arange(6000) % 10
    low, none = (DirichletPartitioner(10, "label", 10, minimum).assign(labels) for minimum in (10, 0))
    assert low == none


def test_a_self_balancing_split_stops_filling_partitions_that_are_full():
    labels = np.arange(6000) % 10
    partitioner = DirichletPartitioner(10, "label", 0.1, 0, self_balancing=True)
    assignment = partitioner.assign(labels)
    free = DirichletPartitioner(10, "label", 0.1, 0).assign(labels)
    # A partition exceeds an even share, 600 rows, by at most one class, which is another 600 rows.
    assert assignment.sizes.max() <= 1200 < free.sizes.max()
    assert np.array_equal(partitioner.assign(labels[::-1]).label_counts, assignment.label_counts)


@given(drawn=labels_and_partitions(), seed=seeds)
def test_a_self_balancing_split_never_divides_by_zero(drawn, seed: int):
    labels, num_partitions = drawn
    DirichletPartitioner(num_partitions, "label", 1e-9, 0, self_balancing=True, seed=seed).assign(labels)


def test_shuffle_only_affects_the_order_within_a_partition():
    labels = np.arange(600) % 3
    shuffled, ordered = (
        DirichletPartitioner(4, "label", 1.0, shuffle=shuffle).assign(labels) for shuffle in (True, False)
    )
    for mixed, rising in zip(shuffled, ordered, strict=True):
        assert sorted(mixed.tolist()) == rising.tolist()
        assert mixed.tolist() != rising.tolist()
