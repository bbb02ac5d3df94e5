"""Dealing draws exactly the requested counts, with any number of processors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flskew._split.allocation import apportion
from flskew._split.dealing import deal, stable_order
from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams


@st.composite
def columns_and_counts(draw: st.DrawFn):
    codes = draw(st.lists(st.integers(0, 4), min_size=1, max_size=60))
    classes, codes = np.unique(codes, return_inverse=True)
    num_partitions = draw(st.integers(1, 6))
    holders = draw(st.lists(st.integers(0, num_partitions), min_size=len(codes), max_size=len(codes)))
    counts = np.zeros((len(classes), num_partitions + 1), dtype=np.int64)
    np.add.at(counts, (codes, holders), 1)
    return LabelColumn(codes.astype(np.uint8), classes), counts[:, :-1]


@given(columns_and_counts(), st.booleans())
def test_the_deal_has_exactly_the_requested_counts(drawn, shuffle):
    column, counts = drawn
    rows, offsets, unassigned = deal(column, counts, Streams(3), shuffle=shuffle)
    assert sorted([*rows, *unassigned]) == list(range(len(column)))
    assert unassigned.tolist() == sorted(unassigned)
    for partition_id in range(counts.shape[1]):
        own = rows[offsets[partition_id] : offsets[partition_id + 1]]
        assert np.array_equal(np.bincount(column.codes[own], minlength=len(counts)), counts[:, partition_id])
        assert shuffle or own.tolist() == sorted(own)


def test_the_order_in_a_partition_mixes_the_classes():
    column = LabelColumn(np.repeat(np.arange(2, dtype=np.uint8), 50), np.arange(2))
    counts = np.array([[25, 25], [25, 25]])
    # Number of class changes between successive rows: 24 or 25 of 49 if mixed, 1 if sorted.
    rows = deal(column, counts, Streams(0), shuffle=True).rows[:50]
    assert 12 < np.count_nonzero(np.diff(column.codes[rows])) < 38


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50), st.sampled_from([np.uint8, np.uint16, np.uint32]))
def test_the_stable_order_equals_a_stable_sort(numbers, width):
    codes = np.array(numbers, dtype=np.uint32).astype(width)
    assert stable_order(codes, 2**33).tolist() == np.argsort(codes, kind="stable").tolist()


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_number_of_processors_does_not_matter(monkeypatch, shuffle):
    codes = np.random.default_rng(0).integers(0, 5, 300_000).astype(np.uint8)
    column = LabelColumn(codes, np.arange(5))
    shares = np.random.default_rng(1).dirichlet(np.ones(40), 5)
    counts = apportion(shares, column.sizes, np.full(5, 0.5))
    deals = []
    for processors in (1, 2, 5):
        monkeypatch.setattr("flskew._split.dealing.usable_processors", lambda processors=processors: processors)
        deals.append(deal(column, counts, Streams(0), shuffle=shuffle))
    assert all(np.array_equal(deals[0].rows, other.rows) for other in deals[1:])


@pytest.mark.parametrize(
    "counts", [[[2**62] * 4], [[-1, 1, 0, 0]], [[2, 2, 2, 0]], [[0.5, 0.5, 0, 0]], [[1], [1]], [1]], ids=str
)
def test_counts_that_the_rows_cannot_meet_are_refused(counts):
    column = LabelColumn(np.zeros(5, dtype=np.uint8), np.array([0]))
    with pytest.raises(ValueError, match="counts"):
        deal(column, np.array(counts), Streams(0), shuffle=True)


def test_a_failure_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr("flskew._split.dealing.usable_processors", lambda: 2)
    monkeypatch.setattr("flskew._split.dealing._shuffle", lambda rows, rng: [][0])
    column = LabelColumn(np.arange(300_000) % 3, np.arange(3))
    with pytest.raises(IndexError, match="list index out of range"):
        deal(column, np.full((3, 2), 50_000), Streams(0), shuffle=True)


@pytest.mark.parametrize("num_rows", [10_000, 10_001, 30_000])
def test_every_row_of_a_large_class_is_equally_likely_in_any_place(num_rows):
    """Chi-square over 300 seeds: the tenth in which the first, the middle and the last row end up."""
    column = LabelColumn(np.zeros(num_rows, dtype=np.uint8), np.arange(1))
    counts = np.array([[num_rows]])
    places = np.zeros((3, 10))
    for seed in range(300):
        # One class in one partition is only shuffled once.
        rows = deal(column, counts, Streams(seed), shuffle=True).rows
        for which, row in enumerate((0, num_rows // 2, num_rows - 1)):
            places[which, int(np.flatnonzero(rows == row)[0]) * 10 // num_rows] += 1
    # 30 are expected in each of 30 cells, with 27 degrees of freedom; by chance, 55.5 is exceeded once in 1,000 times.
    assert ((places - 30) ** 2 / 30).sum() < 55.5


def test_large_blocks_are_gathered_in_several_steps(monkeypatch):
    column = LabelColumn(np.tile(np.arange(7, dtype=np.uint8), 30), np.arange(7))
    counts = np.full((7, 3), 10)
    whole = deal(column, counts, Streams(0), shuffle=True)
    monkeypatch.setattr("flskew._split.dealing._BLOCK", 45)
    assert all(np.array_equal(a, b) for a, b in zip(whole, deal(column, counts, Streams(0), shuffle=True), strict=True))
