"""The table for the tests of the laws with several labels per row: the schemes that accept them, and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import hypothesis.strategies as st

from flskew.partitioners import (
    DirichletPartitioner,
    DistributionPartitioner,
    IidPartitioner,
    LabelExclusionPartitioner,
    Partitioner,
    QuantityPartitioner,
)
from flskew.typing import Label

Rows = list[list[Label]]
"""The labels of each row."""


@dataclass(frozen=True)
class Case:
    """A way to make a partitioner, given the number of partitions, the labels of each row and a seed."""

    name: str
    make: Callable[[int, Rows, int], Partitioner]
    drops: bool = False

    def __str__(self) -> str:
        return self.name


def totals(rows: Rows) -> Counter[Label]:
    """Return the number of rows with each label."""
    return Counter(label for row in rows for label in row)


def _excluding(on_excluded: str, alpha: float | None) -> Callable[[int, Rows, int], Partitioner]:
    def make(num_partitions: int, rows: Rows, seed: int) -> Partitioner:
        classes = sorted(totals(rows))
        num_excluded = len(classes) // 4 if num_partitions > 2 else 0
        return LabelExclusionPartitioner.random(
            num_partitions, classes, num_excluded, on_excluded=on_excluded, alpha=alpha, seed=seed
        )

    return make


def _shares(rows: Rows, num_partitions: int) -> list[list[float]]:
    return [[1.0 + code * place % 5 for place in range(num_partitions)] for code in range(len(totals(rows)))]


def _numbers(rows: Rows, num_partitions: int) -> list[list[int]]:
    return [[count // (num_partitions + 1)] * num_partitions for _, count in sorted(totals(rows).items())]


CASES = [
    Case("iid", lambda n, rows, seed: IidPartitioner(n, seed=seed)),
    Case("quantity", lambda n, rows, seed: QuantityPartitioner(n, alpha=0.5, min_partition_size=0, seed=seed)),
    Case("dirichlet", lambda n, rows, seed: DirichletPartitioner(n, alpha=0.5, min_partition_size=0, seed=seed)),
    Case(
        "dirichlet of tiny alpha with the largest minimum",
        lambda n, rows, seed: DirichletPartitioner(n, alpha=0.001, min_partition_size=len(rows) // n, seed=seed),
    ),
    Case(
        "dirichlet, self-balancing, in the order of the data set",
        lambda n, rows, seed: DirichletPartitioner(
            n, alpha=0.5, min_partition_size=0, self_balancing=True, shuffle=False, seed=seed
        ),
    ),
    Case("label exclusion", _excluding("redistribute", None)),
    Case("label exclusion in Dirichlet shares", _excluding("redistribute", 0.5)),
    Case("label exclusion that drops", _excluding("drop", None), drops=True),
    Case("label exclusion in Dirichlet shares that drops", _excluding("drop", 1.0), drops=True),
    Case("given shares", lambda n, rows, seed: DistributionPartitioner(_shares(rows, n), n, seed=seed)),
    Case(
        "given numbers",
        lambda n, rows, seed: DistributionPartitioner(_numbers(rows, n), n, rescale=False, seed=seed),
        drops=True,
    ),
]


@st.composite
def rows_and_partitions(draw: st.DrawFn, max_rows: int = 20) -> tuple[Rows, int]:
    """Any number of labels per row, at least one in all, and at most as many partitions as rows."""
    kind = draw(st.sampled_from([st.integers(-9, 9).map(lambda one: one * 7), st.text("abé", max_size=3)]))
    classes = draw(st.lists(kind, min_size=1, max_size=6, unique=True))
    row = st.lists(st.sampled_from(classes), max_size=4, unique=True)
    rows = draw(st.lists(row, min_size=1, max_size=max_rows).filter(any))
    return rows, draw(st.integers(1, min(len(rows), 8)))
