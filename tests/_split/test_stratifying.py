"""Rows with several labels are dealt so that every partition gets close to its share of each class."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flskew._split import refining, stratifying
from flskew._split.allocation import apportion
from flskew._split.levelling import level
from flskew._split.multi_label import MultiLabelColumn
from flskew._split.multi_reading import read_multi_labels
from flskew._split.stratifying import proportional, raise_to_minimum, stratify
from flskew._split.streams import Streams


def correlated(num_rows: int, num_classes: int, seed: int = 0) -> NDArray[np.int64]:
    """A 0/1 matrix of four kinds of rows, each with its own frequent labels; some rows have none."""
    rng = np.random.default_rng(seed)
    frequencies = 0.6 * rng.random((4, num_classes)) ** 2
    return (rng.random((num_rows, num_classes)) < frequencies[rng.integers(4, size=num_rows)]).astype(np.int64)


def targets_of(column: MultiLabelColumn, num_partitions: int, alpha: float, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(num_partitions, alpha), len(column.classes))
    return apportion(shares, column.sizes, rng.random(len(column.classes)))


def deviations(column: MultiLabelColumn, holder: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    counts = np.zeros_like(targets)
    np.add.at(counts, (column.indices, holder[column.rows]), 1)
    return np.abs(counts - targets) / column.sizes[:, None]


def by_hand(column: MultiLabelColumn, targets: NDArray[np.int64], sizes: NDArray[np.int64], seed: int):
    """The paper's algorithm, row by row: rarest label first, greatest demand, then the emptiest partition."""
    rng = np.random.default_rng(seed)
    demand, room = targets.tolist(), sizes.tolist()
    rows = [set(column.indices[start:stop].tolist()) for start, stop in pairwise(column.indptr)]
    open_rows = dict(enumerate(rows))
    holder = np.full(len(rows), -1)
    while open_rows:
        left = [sum(code in row for row in open_rows.values()) for code in range(len(demand))]
        held = [code for code in range(len(demand)) if left[code]]
        code = min(held, key=lambda one: (left[one], rng.random())) if held else None
        turn = [row for row, labels in open_rows.items() if code is None or code in labels]
        for row in rng.permutation(turn).tolist():
            wants = room if code is None else demand[code]
            best = max(range(len(room)), key=lambda one: (wants[one], room[one], rng.random()))
            holder[row] = best
            room[best] -= 1
            for one in open_rows.pop(row):
                demand[one][best] -= 1
    return holder


@pytest.mark.parametrize("num_rows", [40, 150])
@pytest.mark.parametrize("alpha", [0.3, 1.0, 100.0])
def test_it_is_no_worse_than_the_papers_algorithm_row_by_row(num_rows: int, alpha: float):
    """Means over 20 sets. Over 100 sets, ours is 20 to 27 % lower at alpha 0.3, and half or less from 1 on."""
    ours, theirs = [], []
    for seed in range(20):
        column = read_multi_labels(correlated(num_rows, 6, seed))
        targets = targets_of(column, 4, alpha, seed)
        sizes = proportional(targets.sum(axis=0), len(column), np.random.default_rng(seed))
        ours.append(deviations(column, stratify(column, targets, sizes, Streams(seed)), targets).mean())
        theirs.append(deviations(column, by_hand(column, targets, sizes, seed), targets).mean())
    assert np.mean(ours) <= 0.9 * np.mean(theirs)


def test_targets_that_can_be_met_are_met():
    # Two partitions of 30 rows with a, b and both: the row sets are the same, so even targets are feasible.
    column = read_multi_labels([["a"], ["b"], ["a", "b"]] * 20)
    targets = np.array([[20, 20], [20, 20]])
    holder = stratify(column, targets, np.array([30, 30]), Streams(1))
    assert deviations(column, holder, targets).max() == 0
    assert np.bincount(holder).tolist() == [30, 30]


def test_one_label_per_row_meets_any_targets():
    column = read_multi_labels([[row % 5] for row in range(200)])
    targets = targets_of(column, 7, 0.1, 3)
    assert deviations(column, stratify(column, targets, targets.sum(axis=0), Streams(3)), targets).max() == 0


def test_a_shortage_is_spread_evenly():
    """Demands of 9, 5 and 1 for ten rows are lowered to a common level of 2 : 9 - 2 + 5 - 2 = 10."""
    takes = level(np.array([9, 5, 1]), np.full(3, 10), np.zeros(3, int), 10, np.random.default_rng(0))
    assert takes.tolist() == [7, 3, 0]


@given(
    cells=st.lists(st.tuples(st.integers(-30, 30), st.integers(0, 9), st.integers(-9, 9)), min_size=1, max_size=8),
    number=st.integers(0, 72),
    seed=st.integers(0, 99),
)
def test_rows_go_one_by_one_to_the_greatest_demand(cells: list[tuple[int, int, int]], number: int, seed: int):
    demand, most, room = (np.array(column) for column in zip(*cells, strict=True))
    number = min(number, int(most.sum()))
    takes = level(demand, most, room, number, np.random.default_rng(seed))
    assert takes.sum() == number
    assert ((takes >= 0) & (takes <= most)).all()
    wants, rooms, left = demand.tolist(), room.tolist(), most.tolist()
    for _ in range(number):
        best = max(np.flatnonzero(left).tolist(), key=lambda one: (wants[one], rooms[one]))
        for numbers in (wants, rooms, left):
            numbers[best] -= 1
    # Partitions that are equal in both are interchangeable.
    assert sorted(zip(demand - takes, room - takes, strict=True)) == sorted(zip(wants, rooms, strict=True))


def test_rows_without_labels_even_out_the_sizes():
    # All labels go to partition 0, so its 10 labelled rows leave 20 rows without labels for partition 1.
    column = read_multi_labels([["a"]] * 10 + [[]] * 30)
    holder = stratify(column, np.array([[10, 0]]), np.array([20, 20]), Streams(0))
    assert holder[:10].tolist() == [0] * 10
    assert np.bincount(holder).tolist() == [20, 20]


def test_sizes_are_proportional_and_unbiased():
    drawn = np.array([proportional(np.array([1, 2, 4]), 10, np.random.default_rng(seed)) for seed in range(700)])
    assert (drawn.sum(axis=1) == 10).all()
    expected = np.array([10, 20, 40]) / 7
    assert (np.abs(drawn - expected) < 1).all()
    assert np.abs(drawn.mean(axis=0) - expected).max() < 0.06  # three standard errors


def test_no_row_goes_where_one_of_its_labels_is_banned():
    column = read_multi_labels(correlated(2000, 6))
    may_hold = np.ones((6, 10), dtype=bool)
    may_hold[np.arange(6), np.arange(6)] = may_hold[np.arange(6), np.arange(6) + 3] = False
    targets = targets_of(column, 10, 1.0, 0)
    holder = stratify(column, targets, np.full(10, 200), Streams(0), may_hold=may_hold)
    assert (holder >= 0).all()
    assert may_hold[column.indices, holder[column.rows]].all()


def test_a_row_that_is_banned_everywhere_goes_to_none_or_if_not_strict_to_any():
    column = read_multi_labels([["a", "b"], ["a"], ["b"]])
    may_hold = np.array([[False, True], [True, False]])
    arguments = column, np.array([[1, 1], [1, 1]]), np.array([2, 1]), Streams(0)
    assert stratify(*arguments, may_hold=may_hold).tolist() == [-1, 1, 0]
    assert stratify(*arguments, may_hold=may_hold, strict=False)[1:].tolist() == [1, 0]
    assert stratify(*arguments, may_hold=may_hold, strict=False)[0] in (0, 1)


def test_dealing_sets_of_labels_again_lowers_the_largest_and_the_mean_deviation(monkeypatch: pytest.MonkeyPatch):
    column = read_multi_labels(correlated(3000, 12))
    targets = targets_of(column, 8, 1.0, 1)
    sizes = proportional(targets.sum(axis=0), 3000, np.random.default_rng(1))
    found = {}
    for rounds in (0, 2):
        monkeypatch.setattr(refining, "_ROUNDS", rounds)
        found[rounds] = deviations(column, stratify(column, targets, sizes, Streams(1)), targets)
    assert found[2].max() < 0.6 * found[0].max()
    assert found[2].mean() < found[0].mean()


def test_large_sets_are_dealt_in_fewer_groups_but_still_completely(monkeypatch: pytest.MonkeyPatch):
    column = read_multi_labels(correlated(3000, 12))
    targets = targets_of(column, 8, 1.0, 1)
    sizes = proportional(targets.sum(axis=0), 3000, np.random.default_rng(1))
    monkeypatch.setattr(stratifying, "_MOST_GROUPS", 30)
    monkeypatch.setattr(refining, "_MOST_SETS", 5)
    holder = stratify(column, targets, sizes, Streams(1))
    assert ((holder >= 0) & (holder < 8)).all()
    assert deviations(column, holder, targets).mean() < 0.06  # 0.04; 0.008 with the usual limits


def test_the_minimum_moves_the_fewest_rows():
    holder = np.repeat([0, 1, 2, 3], [10, 6, 1, 3])  # the last partition stands for unassigned rows
    raised = raise_to_minimum(holder, 3, 4, np.random.default_rng(0))
    assert np.bincount(raised).tolist() == [7, 6, 4, 3]
    assert np.count_nonzero(raised != holder) == 3
    assert raise_to_minimum(raised, 3, 4, np.random.default_rng(0)) is raised
