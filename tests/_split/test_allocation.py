"""Rounding is unbiased, and meeting a minimum moves the fewest rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flskew._split.allocation import apportion, even_sizes, meet_minimum, normalise
from flskew._split.streams import Streams


@st.composite
def shares_and_totals(draw: st.DrawFn):
    num_classes, num_partitions = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    weights = draw(
        st.lists(
            st.lists(
                st.sampled_from([0.0, 1e-12, 0.1, 1.0, 7.0]), min_size=num_partitions, max_size=num_partitions
            ).filter(any),
            min_size=num_classes,
            max_size=num_classes,
        )
    )
    shares = np.array(weights) / np.sum(weights, axis=1, keepdims=True)
    totals = draw(st.lists(st.integers(0, 10**9), min_size=num_classes, max_size=num_classes))
    offsets = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=num_classes, max_size=num_classes))
    return shares, np.array(totals), np.array(offsets)


@given(shares_and_totals())
def test_each_count_is_the_floor_or_the_ceiling_of_its_expectation(drawn):
    shares, totals, offsets = drawn
    counts = apportion(shares, totals, offsets)
    assert np.array_equal(counts.sum(axis=1), totals)
    # A sum of shares is exact to 1e-15 of a total of 1e9 rows.
    assert np.all(np.abs(counts - shares * totals[:, None]) < 1 + 1e-5)
    assert np.all(counts >= 0)
    assert np.all(counts[shares == 0] == 0)


def test_the_expectation_of_each_count_is_exact():
    shares = np.array([[0.05, 0.3, 0.15, 0.5]])
    # With evenly spaced offsets, the mean of the counts is their expectation: 7 rows times the shares.
    offsets = (np.arange(1000) + 0.5) / 1000
    counts = apportion(np.repeat(shares, 1000, axis=0), np.full(1000, 7), offsets)
    assert counts.mean(axis=0) == pytest.approx((7 * shares)[0], abs=0.002)


def test_an_offset_just_below_one_does_not_add_a_row():
    counts = apportion(np.array([[0.5, 0.5, 0.0]]), np.array([10**9]), np.array([np.nextafter(1, 0)]))
    assert counts.sum() == 10**9
    assert counts[0, 2] == 0


@pytest.mark.parametrize("shares", [[0.5, 0.6], [-0.5, 1.5], [np.nan, 1.0], [np.inf, 0.0], [0.0, 0.0]])
def test_invalid_shares_are_refused(shares):
    with pytest.raises(ValueError, match="finite, non-negative and sum to 1"):
        apportion(np.array([shares]), np.array([10]), np.array([0.5]))


def test_weights_that_differ_by_more_than_the_range_of_floats_are_normalised():
    shares = normalise(np.array([[-1e300, -1e299, -np.inf], [900.0, 900.0, 900.0]]))
    assert shares.tolist() == [[0, 1, 0], pytest.approx([1 / 3] * 3)]


def test_only_the_holders_have_shares():
    shares = normalise(np.zeros((1, 3)), among=np.array([[True, False, True]]))
    assert shares.tolist() == [[0.5, 0, 0.5]]


counts_arrays = st.integers(1, 8).flatmap(
    lambda num_partitions: st.lists(
        st.lists(st.integers(0, 30), min_size=num_partitions, max_size=num_partitions), min_size=1, max_size=5
    )
)


@given(counts_arrays, st.integers(0, 2**32))
def test_meeting_a_minimum_moves_exactly_the_missing_rows(drawn, seed):
    counts = np.array(drawn)
    before = counts.copy()
    minimum = counts.sum() // counts.shape[1]
    moved = meet_minimum(counts, int(minimum), np.random.default_rng(seed))

    sizes = before.sum(axis=0)
    assert np.array_equal(counts, before)
    assert np.array_equal(moved.sum(axis=1), before.sum(axis=1))
    assert np.all(moved >= 0)
    assert moved.sum(axis=0).min() >= minimum
    # The missing rows are the fewest possible. Each moved row is counted where it came from.
    assert np.maximum(sizes - moved.sum(axis=0), 0).sum() == np.maximum(minimum - sizes, 0).sum()
    # No partition receives rows beyond the minimum, or both gives and receives.
    assert np.all((moved.sum(axis=0) <= sizes) | (moved.sum(axis=0) == minimum))
    receives, gives = (moved > before).any(axis=0), (moved < before).any(axis=0)
    assert not np.any(receives & gives)


def test_rows_are_taken_from_the_largest_partitions_down_to_a_common_level():
    counts = np.array([[10, 7, 3, 0, 0]])
    # Four rows are missing. The largest gives 3 and then equals the next; which of the two gives the last is random.
    sizes = [meet_minimum(counts, 2, np.random.default_rng(seed))[0].tolist() for seed in range(50)]
    assert {tuple(size) for size in sizes} == {(7, 6, 3, 2, 2), (6, 7, 3, 2, 2)}


def test_no_row_is_moved_twice():
    counts = np.zeros((30, 3), np.int64)
    counts[:, 0] = 1  # thirty classes with one row each
    moved = meet_minimum(counts, 10, np.random.default_rng(0))
    assert moved.sum(axis=0).tolist() == [10, 10, 10]
    assert moved.sum(axis=1).tolist() == [1] * 30
    assert moved.min() == 0


def test_classes_are_moved_in_proportion_to_their_rows():
    counts = np.array([[300, 0], [100, 0]])
    taken = [meet_minimum(counts, 40, np.random.default_rng(seed))[:, 1] for seed in range(200)]
    # A quarter of the 40 rows has the second class. Hypergeometric standard deviation: 2.6; that of the mean: 0.19.
    assert abs(np.mean(taken, axis=0)[1] - 10) < 0.8


@given(st.integers(0, 10**12), st.integers(1, 2000), st.integers(0, 2**32))
def test_an_even_split_is_even_to_the_row(total, num_parts, seed):
    counts = even_sizes(total, num_parts, np.random.default_rng(seed))
    assert counts.sum() == total
    assert set(counts.tolist()) <= {total // num_parts, -(-total // num_parts)}


@pytest.mark.parametrize("seed", [207, 53628])
def test_a_million_even_parts_are_even(seed):
    # With these seeds, the first draw is close to 0, where summing shares in floats went wrong.
    assert np.all(even_sizes(10**6, 10**6, Streams(seed)("sizes")) == 1)
