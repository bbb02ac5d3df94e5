"""A fraction of the rows IID, the rest by any scheme."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from flskew import (
    Assignment,
    DirichletPartitioner,
    IidPartitioner,
    InnerDirichletPartitioner,
    LabelExclusionPartitioner,
    MixturePartitioner,
    NaturalIdPartitioner,
    PathologicalPartitioner,
    QuantityPartitioner,
    skew,
)
from flskew.partitioners import Partitioner

DIGITS = np.arange(6000) % 10
TWO_CLASSES = PathologicalPartitioner(10, num_classes_per_partition=2, seed=3)

SCHEMES = [
    TWO_CLASSES,
    DirichletPartitioner(7, alpha=0.2, shuffle=False),
    QuantityPartitioner(5, alpha=1.0, seed=9),
    LabelExclusionPartitioner([{1}, {2}, ()], on_excluded="drop"),
    InnerDirichletPartitioner([500, 0, 100]),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: type(scheme).__name__)
def test_without_iid_rows_it_is_the_scheme_itself(scheme):
    assert MixturePartitioner(scheme, 0).assign(DIGITS) == scheme.assign(DIGITS)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: type(scheme).__name__)
def test_with_only_iid_rows_it_is_an_iid_split(scheme):
    iid = IidPartitioner(scheme.num_partitions, seed=scheme.seed)
    assert MixturePartitioner(scheme, 1).assign(DIGITS) == iid.assign(DIGITS)


class FirstPartition(Partitioner):
    """Gives all rows to partition 0, and notes how many of each class it got."""

    def split(self, column, streams):
        self.got = dict(zip(column.labels, column.sizes.tolist(), strict=True))
        return Assignment.from_partitions([range(len(column)), *[[]] * (self.num_partitions - 1)], column)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 999)
)
def test_the_iid_rows_of_each_class_and_of_all_are_the_fraction_rounded(sizes, fraction, seed):
    scheme = FirstPartition(1, seed=seed)
    scheme.got = {}  # as it stays if all rows are IID
    MixturePartitioner(scheme, fraction).assign(np.repeat(np.arange(len(sizes)), sizes))
    num_iid = np.array([size - scheme.got.get(label, 0) for label, size in enumerate(sizes)])
    for found, expected in ((num_iid, fraction * np.array(sizes)), (num_iid.sum(), fraction * sum(sizes))):
        assert np.all(np.abs(found - expected) < 1 + 1e-9)


def test_each_row_is_as_likely_to_be_iid_as_the_fraction_says():
    labels = np.repeat([0, 1], [11, 29])
    is_iid, counts = np.zeros(40), []
    for seed in range(1000):
        scheme = FirstPartition(2, seed=seed)
        assignment = MixturePartitioner(scheme, 0.3).assign(labels)
        is_iid[assignment[1]] += 1
        counts.append([11 - scheme.got[0], 29 - scheme.got[1]])
    # Partition 1 has half of the IID rows: 0.15 of all. A standard error is (.15 * .85 / 1000)**.5 = .011.
    assert is_iid / 1000 == pytest.approx(np.full(40, 0.15), abs=4 * 0.011)
    # 30 % of 11 and of 29; the mean of 1,000 numbers that are one of two integers has a standard error below .016.
    assert np.mean(counts, axis=0) == pytest.approx([3.3, 8.7], abs=4 * 0.016)
    assert scipy.stats.chisquare(is_iid[:11]).pvalue > 0.001


def test_the_other_rows_are_split_by_the_scheme():
    mixed = MixturePartitioner(TWO_CLASSES, 0.3).assign(DIGITS)
    # 30 % of 600 rows per class are 180, 18 for each of ten partitions; two holders share the other 420.
    large = mixed.label_counts > 150
    assert np.array_equal(large, TWO_CLASSES.assign(DIGITS).label_counts > 0)
    assert mixed.label_counts[large] == pytest.approx(210 + 18, abs=20)
    assert mixed.label_counts[~large] == pytest.approx(18, abs=18)
    assert mixed.label_counts.sum(axis=0).tolist() == [600] * 10


def test_skew_falls_in_proportion_to_the_iid_fraction():
    """Total variation is linear in the mixture, apart from the chance variation of the IID rows."""
    full = skew.total_variation(TWO_CLASSES.assign(DIGITS))
    for fraction in (0.25, 0.5, 0.75):
        found = skew.total_variation(MixturePartitioner(TWO_CLASSES, fraction).assign(DIGITS))
        assert found == pytest.approx((1 - fraction) * full, abs=0.03)


def test_the_rows_of_a_partition_are_in_random_order_unless_the_scheme_says_otherwise():
    mixed = MixturePartitioner(DirichletPartitioner(3, alpha=100.0), 0.5).assign(DIGITS)
    for rows in mixed:
        # Neither the rows nor the two sources come one after the other.
        assert abs(scipy.stats.spearmanr(rows, np.arange(len(rows))).statistic) < 0.1
    ordered = MixturePartitioner(DirichletPartitioner(3, alpha=100.0, shuffle=False), 0.5).assign(DIGITS)
    assert all(np.array_equal(rows, np.sort(rows)) for rows in ordered)


def test_iid_and_other_rows_are_mixed_within_a_partition():
    # In partition 0, rows of class 0 come from the scheme and from the IID rows, those of class 1 only from the latter.
    labels = np.repeat([0, 1], [5000, 5000])
    exclusion = LabelExclusionPartitioner([{1}, {0}])
    rows = MixturePartitioner(exclusion, 0.5).assign(labels)[0]
    early, late = labels[rows[: len(rows) // 2]], labels[rows[len(rows) // 2 :]]
    # A quarter of its 5,000 rows; the difference of two halves has a standard error of (.19 / 1250 / 2)**.5 = .009.
    assert abs(early.mean() - 0.25) < 0.04
    assert abs(early.mean() - late.mean()) < 0.05


def test_it_splits_a_bound_data_set_and_bins():
    ages = np.random.default_rng(0).normal(50, 20, 1000)
    mixture = MixturePartitioner(PathologicalPartitioner(4, "age", 1, num_bins=4), 0.5)
    mixture.dataset = Dataset.from_dict({"age": ages})
    assert mixture.assignment == mixture.assign(ages)
    assert len(mixture.assignment.edges) == 3
    assert mixture.num_partitions == 4
    assert mixture.load_partition(0).num_rows == mixture.assignment.sizes[0]


def test_it_is_a_value():
    mixture = MixturePartitioner(DirichletPartitioner(3, seed=7), 0.25)
    assert repr(mixture) == (
        "MixturePartitioner(partitioner=DirichletPartitioner(num_partitions=3, seed=7), iid_fraction=0.25)"
    )
    assert (mixture.seed, mixture.partition_by, mixture.num_partitions) == (7, "label", 3)
    assert mixture == MixturePartitioner(DirichletPartitioner(3, seed=7), np.float64(0.25))
    assert mixture != MixturePartitioner(DirichletPartitioner(3, seed=8), 0.25)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: MixturePartitioner(TWO_CLASSES, 1.5),
            ValueError,
            "iid_fraction must be a number from 0 to 1, got 1.5",
        ),
        (lambda: MixturePartitioner(TWO_CLASSES, "1"), TypeError, "iid_fraction must be a number from 0 to 1, got '1'"),
        (
            lambda: MixturePartitioner(NaturalIdPartitioner("x"), 0.5),
            TypeError,
            "and not one by natural ids, got NaturalIdPartitioner",
        ),
        (
            lambda: MixturePartitioner(InnerDirichletPartitioner([900]), 0.5).assign([0] * 1000),
            ValueError,
            "iid_fraction=0.5 leaves 500 of 1000 rows, which the partitioner cannot split: partition_sizes sum to 900",
        ),
        (
            lambda: MixturePartitioner(PathologicalPartitioner(9), 0.5).assign(DIGITS // 10 * 0),
            ValueError,
            "leaves 3000 of 6000 rows, which the partitioner cannot split: num_classes_per_partition=2 exceeds the 1",
        ),
        (
            lambda: MixturePartitioner(TWO_CLASSES, 0.5).assign([0] * 9),
            ValueError,
            "num_partitions=10 exceeds the number of rows, 9",
        ),
    ],
    ids=["fraction", "text", "natural ids", "sizes", "classes", "rows"],
)
def test_what_cannot_be_mixed_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
