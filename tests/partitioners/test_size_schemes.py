"""Schemes with given or skewed sizes: quantity, inner Dirichlet, Pachinko."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from flskew import InnerDirichletPartitioner, PachinkoPartitioner, QuantityPartitioner
from flskew._split.water_filling import draw_until_full, water_fill

DIGITS = np.arange(6000) % 10


def test_sizes_sum_to_the_rows_and_meet_the_minimum():
    for arguments in ({"alpha": 0.01}, {"sigma": 5}, {"exponent": 0.1}):
        sizes = QuantityPartitioner(50, min_partition_size=20, **arguments).assign(DIGITS).sizes
        assert sizes.sum() == 6000
        assert sizes.min() >= 20


@pytest.mark.parametrize("arguments", [{"sigma": 1.7e308}, {"exponent": 5e-324}], ids=str)
def test_at_the_extreme_one_partition_has_all_rows(arguments):
    sizes = [QuantityPartitioner(9, min_partition_size=0, seed=s, **arguments).assign(DIGITS).sizes for s in range(20)]
    assert {tuple(sorted(one)) for one in sizes} == {(*[0] * 8, 6000)}


def test_quantity_skew_leaves_the_label_distribution_unchanged():
    counts = QuantityPartitioner(4, alpha=1.0).assign(DIGITS).label_counts
    expected = np.outer(counts.sum(axis=1), np.full(10, 0.1))
    assert scipy.stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), 27) > 0.001


def test_sizes_have_the_requested_distribution():
    def sizes(**arguments):
        draws = [
            QuantityPartitioner(10, min_partition_size=0, shuffle=False, seed=seed, **arguments)
            .assign(np.zeros(100_000, np.int8)).sizes
            for seed in range(200)
        ]  # fmt: skip
        return np.array(draws)

    assert scipy.stats.kstest(sizes(alpha=0.5)[:, 2] / 1e5, scipy.stats.beta(0.5, 4.5).cdf).pvalue > 0.001
    # The differences of logarithms of two log-normal sizes are normal, with twice the variance.
    logs = np.log(sizes(sigma=0.5))
    assert scipy.stats.kstest((logs[:, 0] - logs[:, 7]) / (0.5 * 2**0.5), "norm").pvalue > 0.001
    # For power-law sizes, they are the difference of two exponentials, a Laplace variable.
    logs = np.log(sizes(exponent=2.0))
    assert scipy.stats.kstest((logs[:, 0] - logs[:, 7]) * 2.0, "laplace").pvalue > 0.001


def test_quantity_needs_no_labels():
    partitioner = QuantityPartitioner(5, alpha=1.0)
    partitioner.dataset = Dataset.from_dict({"x": range(100)})
    assert partitioner.assignment.sizes.tolist() == QuantityPartitioner(5, alpha=1.0).assign([0] * 100).sizes.tolist()
    seeing = QuantityPartitioner(5, "x", alpha=1.0)
    seeing.dataset = partitioner.dataset
    assert seeing.assignment.label_counts.shape == (5, 100)


def test_inner_dirichlet_sizes_are_exact_and_classes_not_exceeded():
    sizes = [1000, 0, 17, 2500]
    assignment = InnerDirichletPartitioner(sizes, "label", 0.1).assign(DIGITS)
    assert assignment.sizes.tolist() == sizes
    assert assignment.label_counts.sum(axis=0).max() <= 600
    assert len(assignment.unassigned) == 6000 - sum(sizes)


@pytest.mark.parametrize("alpha", [1e-300, 1e-9, 0.01, 1e9])
def test_inner_dirichlet_ends_even_if_every_row_is_used(alpha):
    assert InnerDirichletPartitioner([600] * 10, "label", alpha).assign(DIGITS).sizes.tolist() == [600] * 10
    assert InnerDirichletPartitioner([30] * 10, "label", alpha).assign(range(300)).sizes.tolist() == [30] * 10


@pytest.mark.parametrize("alpha", [0.05, 0.5, 5.0])
def test_shares_of_a_partition_have_the_beta_marginal(alpha):
    # Only a few of many rows are used, so no class runs out and each share equals the draw, up to a row in 10,000.
    labels = np.arange(1_000_000, dtype=np.int32) % 5
    counts = InnerDirichletPartitioner([10_000] * 12, "label", alpha, seed=3).assign(labels).label_counts
    more = [
        InnerDirichletPartitioner([10_000] * 12, "label", alpha, seed=s).assign(labels).label_counts for s in range(9)
    ]
    shares = np.vstack([counts, *more])[:, 3] / 10_000
    marginal = scipy.stats.beta(alpha, 4 * alpha)
    # For small alpha, many shares are below one row, so rounding determines them; compare the others.
    visible = shares[shares > 2e-4]
    below = marginal.cdf(2e-4)
    assert scipy.stats.kstest(visible, lambda x: (marginal.cdf(x) - below) / (1 - below)).pvalue > 0.001


def test_an_alpha_per_class_gives_the_expected_shares():
    labels = np.arange(100_000) % 2
    counts = [
        InnerDirichletPartitioner([100] * 50, "label", [1.0, 3.0], seed=seed).assign(labels).label_counts
        for seed in range(10)
    ]
    # Dirichlet(1, 3): a mean of 1/4 with variance (3/16)/5, so 500 draws have a standard error of .0087.
    assert abs(np.concatenate(counts)[:, 0].mean() / 100 - 0.25) < 0.035


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: InnerDirichletPartitioner([], "label", 1), TypeError, "one integer per partition"),
        (lambda: InnerDirichletPartitioner([1.5], "label", 1), TypeError, r"partition_sizes\[0\] must be an integer"),
        (lambda: InnerDirichletPartitioner([[1], [2, 3]], "label", 1), TypeError, r"sizes\[0\] must be an integer"),
        (
            lambda: InnerDirichletPartitioner([1, 2**70], "label", 1),
            ValueError,
            r"sizes\[1\] must be at most 1152.*, got 1180",
        ),
        (lambda: InnerDirichletPartitioner([2**59] * 32, "label", 1).assign(DIGITS), ValueError, f"sum to {2**64}"),
        (lambda: QuantityPartitioner(3, sigma=10**400), ValueError, "sigma must be a finite number > 0, got 1000"),
        (lambda: QuantityPartitioner(3, alpha=10**400), ValueError, "alpha must be a finite number > 0, .* got inf"),
        (
            lambda: InnerDirichletPartitioner([3, -1], "label", 1),
            ValueError,
            r"partition_sizes\[1\] must be at least 0",
        ),
        (lambda: InnerDirichletPartitioner([3], "label", [1, 0]), ValueError, "got 0.0 for class 1"),
        (
            lambda: InnerDirichletPartitioner([7000], "label", 1).assign(DIGITS),
            ValueError,
            "sum to 7000, but there are only",
        ),
        (lambda: InnerDirichletPartitioner([5], "label", [1, 1]).assign(DIGITS), ValueError, "got 2 for 10 classes"),
        (lambda: InnerDirichletPartitioner([5], "label", []), ValueError, r"got an array of shape \(0,\)"),
        (lambda: QuantityPartitioner(3), TypeError, "exactly one of alpha, sigma and exponent must be given, got none"),
        (lambda: QuantityPartitioner(3, alpha=1, sigma=1), TypeError, "got alpha and sigma"),
        (lambda: QuantityPartitioner(3, sigma=0), ValueError, "sigma must be a finite number > 0, got 0"),
        (lambda: QuantityPartitioner(3, exponent="1"), TypeError, "exponent must be a finite number > 0, got '1'"),
        (lambda: QuantityPartitioner(3, alpha=-1), ValueError, "alpha must be a finite number > 0"),
        (lambda: QuantityPartitioner(700, alpha=1).assign(DIGITS), ValueError, "needs 7000 rows, got 6000"),
        (lambda: PachinkoPartitioner(3, 7), TypeError, "coarse_by must be the name of a column"),
        (lambda: PachinkoPartitioner(3, "kind", alpha=0), ValueError, "alpha must be a finite number > 0"),
        (lambda: PachinkoPartitioner(3, "kind", beta=None), TypeError, "beta must be a finite number > 0"),
        (
            lambda: PachinkoPartitioner(3, "kind", partition_sizes=[1]),
            ValueError,
            "each of 3 partitions, got 1",
        ),
        (lambda: PachinkoPartitioner(3, "kind").assign(DIGITS), ValueError, "coarse_by='kind' names a column"),
        (lambda: PachinkoPartitioner(3, {0: 0}).assign(DIGITS), ValueError, "no coarse label for 1"),
        (lambda: PachinkoPartitioner(1, {}, partition_sizes=[9999]).assign(DIGITS), ValueError, "sum to 9999"),
    ],
)
def test_an_invalid_argument_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_pachinko_keeps_to_coarse_classes_when_alpha_is_small():
    coarse = {digit: digit // 5 for digit in range(10)}
    counts = PachinkoPartitioner(20, coarse, alpha=1e-9, beta=1e12, partition_sizes=[50] * 20).assign(DIGITS)
    for row in counts.label_counts:
        held = np.flatnonzero(row)
        assert {digit // 5 for digit in held} in ({0}, {1})
        # Beta is very large, so 50 rows of five classes contain ten of each.
        assert row[held].tolist() == [10] * 5


def test_pachinko_first_replaces_a_used_up_fine_class_by_its_siblings():
    # There are ten rows of "a" and many of its sibling "b". Once "a" is used up, demand for the topic is met with "b".
    labels = ["a"] * 10 + ["b"] * 500 + ["car"] * 500
    kinds = {"a": "animal", "b": "animal", "car": "vehicle"}
    counts = PachinkoPartitioner(5, kinds, alpha=1e-9, beta=1e6, partition_sizes=[60] * 5).assign(labels)
    for a, b, car in counts.label_counts:
        assert (a + b, car) in ((60, 0), (0, 60))


def test_pachinko_accepts_coarse_labels_of_any_integer_type():
    plain, wide = (PachinkoPartitioner(5, {d: kind(d // 5) for d in range(10)}) for kind in (int, np.int64))
    assert plain.assign(DIGITS) == wide.assign(DIGITS)


def test_pachinko_reads_the_coarse_labels_from_a_column():
    dataset = Dataset.from_dict({"fine": DIGITS, "coarse": [f"half {digit // 5}" for digit in DIGITS]})
    by_column = PachinkoPartitioner(5, "coarse", "fine")
    by_column.dataset = dataset
    by_mapping = PachinkoPartitioner(5, {digit: f"half {digit // 5}" for digit in range(10)})
    assert by_column.assignment == by_mapping.assign(DIGITS)


def test_pachinko_forgets_the_coarse_labels_of_a_data_set():
    partitioner = PachinkoPartitioner(5, "coarse", "fine")
    partitioner.dataset = Dataset.from_dict({"fine": DIGITS, "coarse": DIGITS // 5})
    partitioner.load_partition(0)
    # The coarse labels of a data set do not apply to other labels.
    with pytest.raises(ValueError, match="coarse_by='coarse' names a column, but assign is given only labels"):
        partitioner.assign(DIGITS)


def test_a_fine_label_with_two_coarse_ones_is_named():
    partitioner = PachinkoPartitioner(1, "coarse", "fine")
    partitioner.dataset = Dataset.from_dict({"fine": ["cat", "cat", "dog"], "coarse": ["animal", "pet", "animal"]})
    with pytest.raises(ValueError, match="'cat' occurs with 'animal' and 'pet'"):
        _ = partitioner.assignment


@given(
    st.lists(st.lists(st.floats(-700, 700), min_size=3, max_size=3), min_size=1, max_size=4),
    st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(any),
    st.floats(0, 1),
)
def test_water_filling_hands_out_every_amount_and_exceeds_no_capacity(weights, capacity, level):
    weights, capacity = np.array(weights), np.array(capacity)
    amounts = np.full(len(weights), level * capacity.sum())
    filled = water_fill(weights, capacity, amounts)
    assert filled.sum(axis=1) == pytest.approx(amounts, rel=1e-9, abs=1e-9)
    assert np.all(filled <= capacity)
    for row, weight in zip(filled, weights, strict=True):
        # Classes that are not full have shares in proportion to their weights.
        partly = (row < capacity * (1 - 1e-9)) & (row > 1e-200)
        logs = np.log(row[partly]) - weight[partly]
        assert np.ptp(logs) < 1e-6 if len(logs) else True


def test_water_filling_is_the_limit_of_drawing_rows_one_by_one():
    # Shares .6, .3, .1 of 10 are 6, 3, 1. If the first only has room for 4, the other 2 are split 3 to 1: 4, 4.5, 1.5.
    weights = np.log([[0.6, 0.3, 0.1]])
    assert water_fill(weights, np.array([9, 9, 9]), np.array([10])).tolist() == [pytest.approx([6, 3, 1])]
    assert water_fill(weights, np.array([4, 9, 9]), np.array([10])).tolist() == [pytest.approx([4, 4.5, 1.5])]


def test_an_oversubscribed_class_is_allocated_at_random():
    weights = np.zeros((2, 2))
    weights[:, 1] = -1e6

    def demand(asking, left, lacking):
        return water_fill(weights[asking], left, lacking)

    sizes, totals = np.array([10, 30]), np.array([20, 20])
    granted = [draw_until_full(sizes, totals, demand, np.random.default_rng(seed))[0, 0] for seed in range(300)]
    # Partitions request 10 and 20 rows of class 0, so the first gets a third of its 20 on average (hypergeometric).
    assert abs(np.mean(granted) - 20 / 3) < 0.5
