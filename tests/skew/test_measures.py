"""Each measure against an independent oracle, at its extremes, and under changes that must not affect it."""

from __future__ import annotations

import math
import tracemalloc
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, hypergeom
from sklearn.metrics import homogeneity_score

from flskew import DirichletPartitioner, IidPartitioner, skew

Counts = NDArray[np.int64]


def counts_with_rows() -> st.SearchStrategy[Counts]:
    """Counts with many zeros, sometimes with one client, one class or empty partitions."""
    shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)
    cells = st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 1000))
    return hnp.arrays(np.int64, shapes, elements=cells).filter(lambda counts: bool(counts.any()))


def shares_of(counts: Counts) -> list[list[float]]:
    """The label distribution of each partition that has rows, in plain Python."""
    rows = [[int(cell) for cell in row] for row in counts]
    return [[cell / sum(row) for cell in row] for row in rows if sum(row)]


@given(counts_with_rows())
def test_total_variation_is_its_definition(counts: Counts) -> None:
    rows = counts.tolist()
    num_rows = sum(map(sum, rows))
    overall = [sum(column) / num_rows for column in zip(*rows, strict=True)]
    expected = sum(
        sum(row) / num_rows * sum(abs(cell / sum(row) - p) for cell, p in zip(row, overall, strict=True)) / 2
        for row in rows
        if sum(row)
    )
    assert skew.total_variation(counts) == pytest.approx(expected, abs=1e-12)


@given(counts_with_rows())
def test_label_information_is_scikit_learns_homogeneity_score_with_clients_as_clusters(counts: Counts) -> None:
    clients, classes = (np.repeat(which, counts.ravel()) for which in np.indices(counts.shape).reshape(2, -1))
    # With a single class, scikit-learn's score is 1.
    expected = homogeneity_score(classes, clients) if len(set(classes.tolist())) > 1 else 0.0
    assert skew.label_information(counts) == pytest.approx(expected, abs=1e-9)


@given(counts_with_rows())
def test_missing_classes_is_the_fraction_of_empty_cells(counts: Counts) -> None:
    cells = [cell for row in counts.tolist() for cell in row]
    assert skew.missing_classes(counts) == pytest.approx(cells.count(0) / len(cells))


@given(counts_with_rows())
def test_effective_classes_is_the_mean_of_the_exponentiated_entropies(counts: Counts) -> None:
    expected = np.mean([2 ** entropy(shares, base=2) for shares in shares_of(counts)])
    assert skew.effective_classes(counts) == pytest.approx(expected)


@given(counts_with_rows())
def test_effective_clients_is_the_exponentiated_entropy_of_the_sizes(counts: Counts) -> None:
    expected = 2 ** entropy(counts.sum(axis=1), base=2) / len(counts)
    assert skew.effective_clients(counts) == pytest.approx(expected)


@given(counts_with_rows())
def test_gini_is_the_mean_difference_of_sizes_over_twice_their_mean(counts: Counts) -> None:
    sizes = [sum(row) for row in counts.tolist()]
    differences = sum(abs(a - b) for a in sizes for b in sizes)
    assert skew.gini(counts) == pytest.approx(differences / (2 * len(sizes) * sum(sizes)))


@given(counts_with_rows().filter(lambda counts: len(shares_of(counts)) == 2))
def test_jensen_shannon_of_two_clients_is_scipys(counts: Counts) -> None:
    first, second = shares_of(counts)
    expected = jensenshannon(first, second, base=2)
    assert skew.jensen_shannon(counts) == pytest.approx(0.0 if math.isnan(expected) else expected, abs=1e-6)


@given(counts_with_rows().filter(lambda counts: len(shares_of(counts)) > 1))
def test_jensen_shannon_of_several_clients_is_the_normalised_gain_in_entropy(counts: Counts) -> None:
    shares = np.array(shares_of(counts))
    gained = entropy(shares.mean(axis=0), base=2) - np.mean([entropy(own, base=2) for own in shares])
    assert skew.jensen_shannon(counts) ** 2 == pytest.approx(gained / math.log2(len(shares)), abs=1e-12)


@given(counts_with_rows().filter(lambda counts: len(shares_of(counts)) > 1))
def test_hellinger_is_the_root_of_the_mean_square_over_all_pairs(counts: Counts) -> None:
    squares = [
        sum((math.sqrt(p) - math.sqrt(q)) ** 2 for p, q in zip(ours, theirs, strict=True)) / 2
        for ours, theirs in combinations(shares_of(counts), 2)
    ]
    assert skew.hellinger(counts) ** 2 == pytest.approx(sum(squares) / len(squares), abs=1e-12)


@pytest.mark.parametrize("name", skew.MEASURES)
def test_no_measure_is_negative_zero(name: str) -> None:
    for even in ([[1, 1], [1, 1]], [[3, 3, 3]] * 5, [[7], [7]], [[0.0, 2.0], [0.0, 2.0]]):
        assert math.copysign(1, skew.MEASURES[name](np.array(even))) == 1


@pytest.mark.parametrize("name", skew.MEASURES)
@given(counts=counts_with_rows(), data=st.data())
def test_a_measure_is_the_same_for_reordered_clients_and_relabelled_classes(
    name: str, counts: Counts, data: st.DataObject
) -> None:
    measure = skew.MEASURES[name]
    clients = data.draw(st.permutations(range(len(counts))))
    classes = data.draw(st.permutations(range(counts.shape[1])))
    assert measure(counts[clients][:, classes]) == pytest.approx(measure(counts), abs=1e-7)


RANGES: dict[str, Any] = {
    "total_variation": lambda clients, classes: (0, 1),
    "label_information": lambda clients, classes: (0, 1),
    "missing_classes": lambda clients, classes: (0, 1),
    "effective_classes": lambda clients, classes: (1, classes),
    "effective_clients": lambda clients, classes: (1 / clients, 1),
    "gini": lambda clients, classes: (0, 1 - 1 / clients),
    "jensen_shannon": lambda clients, classes: (0, 1),
    "hellinger": lambda clients, classes: (0, 1),
}


@pytest.mark.parametrize("name", skew.MEASURES)
@given(counts=counts_with_rows())
def test_a_measure_is_a_number_within_its_range(name: str, counts: Counts) -> None:
    lowest, highest = RANGES[name](*counts.shape)
    value = skew.MEASURES[name](counts)
    assert type(value) is float
    assert lowest - 1e-12 <= value <= highest + 1e-12


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # In the order of MEASURES. One client: it is the whole.
        ([[3, 5]], (0, 0, 0, 2 ** entropy([3, 5], base=2), 1, 0, 0, 0)),
        # One class: clients cannot differ.
        ([[2], [2]], (0, 0, 0, 1, 1, 0, 0, 0)),
        # An empty partition has weight 0 and lacks every class; half of the clients have all rows.
        ([[2, 2], [0, 0]], (0, 0, 0.5, 2, 0.5, 0.5, 0, 0)),
        # Each client has a different class: 1/2 · (|1 - 1/2| + |0 - 1/2|) = 1/2.
        ([[4, 0], [0, 4]], (0.5, 1, 0.5, 1, 1, 0, 1, 1)),
    ],
)
def test_the_measures_at_their_extremes(counts: list[list[int]], expected: tuple[float, ...]) -> None:
    values = [measure(np.array(counts)) for measure in skew.MEASURES.values()]
    assert values == pytest.approx(expected)


def test_the_measures_are_monotonic_in_alpha() -> None:
    """Means over ten seeds, on classes of unequal size."""
    labels = np.repeat(np.arange(10), np.arange(200, 1200, 100))
    means = {name: [] for name in skew.MEASURES}  # type: dict[str, list[float]]
    for alpha in (0.01, 0.1, 1, 10, 100):
        splits = [skew.tally(DirichletPartitioner(10, "label", alpha, seed=seed).assign(labels)) for seed in range(10)]
        for name, measure in skew.MEASURES.items():
            means[name].append(float(np.mean([measure(split) for split in splits])))
    for name, values in means.items():
        steps = np.diff(values)
        falls = name not in ("effective_classes", "effective_clients")
        assert (steps <= 0).all() if falls else (steps >= 0).all(), f"{name}: {values}"


def test_counts_of_many_blocks_are_measured_like_few() -> None:
    """More cells than fit into one block, and some partitions are empty."""
    counts = np.random.default_rng(0).poisson(0.5, (3000, 130)) * (np.arange(3000) % 7 > 0)[:, None]
    rows = np.arange(3000)
    # Repeating every partition three times changes neither weighted nor unweighted means.
    assert skew.total_variation(counts[np.tile(rows, 3)]) == pytest.approx(skew.total_variation(counts))
    assert skew.effective_classes(counts[np.tile(rows, 3)]) == pytest.approx(skew.effective_classes(counts))
    filled = counts[counts.any(axis=1)]
    shares = filled / filled.sum(axis=1, keepdims=True)
    gained = entropy(shares.mean(axis=0), base=2) - entropy(shares, base=2, axis=1).mean()
    assert skew.jensen_shannon(counts) ** 2 == pytest.approx(gained / math.log2(len(shares)))
    overlap = np.sqrt(shares) @ np.sqrt(shares).T
    pairs = overlap[np.triu_indices(len(shares), 1)]
    assert skew.hellinger(counts) ** 2 == pytest.approx(1 - pairs.mean())


def test_counts_too_large_for_a_table_are_measured_like_small_ones() -> None:
    """Measures do not change if all counts are multiplied by a million."""
    few = np.array([[3, 1, 0, 2], [0, 5, 5, 1], [0, 0, 0, 0], [7, 0, 0, 1]])
    for measure in skew.MEASURES.values():
        assert measure(few * 1_000_000) == pytest.approx(measure(few), abs=1e-7)


def test_measuring_takes_less_memory_than_the_counts_do() -> None:
    """An array of clients by clients would be a hundred times as large as the counts here."""
    counts = np.random.default_rng(0).poisson(1.0, (20_000, 200))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        split = skew.Tally(counts, tuple(range(200)))
        for measure in skew.MEASURES.values():
            measure(split)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < counts.nbytes


@pytest.mark.long
@given(counts_with_rows())
def test_iid_total_variation_is_the_mean_over_all_splits_into_the_same_sizes(counts: Counts) -> None:
    """By SciPy's probabilities of drawing each number of rows of a class."""
    num_rows, totals = int(counts.sum()), counts.sum(axis=0)
    expected = 0.0
    for size in map(int, counts.sum(axis=1)):
        drawn = np.arange(size + 1)
        for total in map(int, totals):
            deviation = hypergeom(num_rows, total, size).pmf(drawn) @ np.abs(drawn - size * total / num_rows)
            expected += float(deviation) / num_rows / 2
    assert skew.iid_total_variation(counts) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("num_partitions", "weights"),
    [(10, [1] * 10), (1000, [1] * 10), (100, [1] * 100), (500, [0.9, 0.08, 0.02])],
)
def test_iid_total_variation_is_that_of_iid_splits(num_partitions: int, weights: list[float]) -> None:
    """Even if a client can expect less than one row of a class; within five per cent."""
    shares = np.array(weights) / sum(weights)
    labels = np.repeat(np.arange(len(shares)), np.round(shares * 10_000).astype(int))
    splits = [IidPartitioner(num_partitions, partition_by="label", seed=seed).assign(labels) for seed in range(20)]
    measured = np.mean([skew.total_variation(split) for split in splits])
    assert skew.iid_total_variation(splits[0]) == pytest.approx(measured, rel=0.05)


def test_iid_total_variation_of_one_client_is_0() -> None:
    assert skew.iid_total_variation(np.array([[4, 4]])) == 0
