"""The table for the tests of the laws: every kind of partitioner, and every kind of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import hypothesis.strategies as st

from flskew import Assignment
from flskew.partitioners import (
    CrossPartitioner,
    DirichletPartitioner,
    DistributionPartitioner,
    ExponentialPartitioner,
    ExtendedDirichletPartitioner,
    IidPartitioner,
    InnerDirichletPartitioner,
    LabelExclusionPartitioner,
    LinearPartitioner,
    MixturePartitioner,
    NaturalIdPartitioner,
    PachinkoPartitioner,
    Partitioner,
    PathologicalPartitioner,
    QuantityPartitioner,
    ShardPartitioner,
    SizePartitioner,
    SquarePartitioner,
)
from flskew.typing import Label, Labels

Make = Callable[[int, list[Label], int], Partitioner]


@dataclass(frozen=True)
class Case:
    """A way to make a partitioner, given the number of partitions, the labels of the rows and a seed."""

    name: str
    make: Make
    drops: bool = False
    by_class: bool = True

    def __str__(self) -> str:
        return self.name


def _excluding(on_excluded: str, alpha: float | None) -> Make:
    def make(num_partitions: int, labels: list[Label], seed: int) -> Partitioner:
        classes = sorted(set(labels))
        # Each partition holds two thirds of the classes, so three partitions can hold them all.
        num_excluded = len(classes) // 3 if num_partitions > 2 else 0
        return LabelExclusionPartitioner.random(
            num_partitions, classes, num_excluded, on_excluded=on_excluded, alpha=alpha, seed=seed
        )

    return make


def _pathological(mode: str, num_held: int) -> Make:
    def make(num_partitions: int, labels: list[Label], seed: int) -> Partitioner:
        counts = Counter(labels)
        # A class needs a row for each of its holders, and gets num_held holders per len(counts) partitions.
        held = min(num_held, min(counts.values()), len(counts))
        most = min(counts.values()) // held * len(counts)
        if mode == "first-deterministic":  # The other classes are drawn, so all partitions may draw the same one.
            most = min(counts.values())
        return PathologicalPartitioner(min(num_partitions, most), "label", held, mode, seed=seed)

    return make


def _shares(num_classes: int, num_partitions: int) -> list[list[float]]:
    return [[1.0 + (code * partition_id) % 5 for partition_id in range(num_partitions)] for code in range(num_classes)]


def _numbers(labels: list[Label], num_partitions: int) -> list[list[int]]:
    counts = Counter(labels)
    return [[counts[label] // (num_partitions + 1)] * num_partitions for label in sorted(counts)]


CASES = [
    Case("iid", lambda n, labels, seed: IidPartitioner(n, seed=seed), by_class=False),
    Case("dirichlet", lambda n, labels, seed: DirichletPartitioner(n, alpha=0.5, min_partition_size=0, seed=seed)),
    Case(
        "dirichlet of tiny alpha with the largest minimum",
        lambda n, labels, seed: DirichletPartitioner(n, alpha=0.001, min_partition_size=len(labels) // n, seed=seed),
        by_class=False,
    ),
    Case(
        "dirichlet with an alpha for each partition, in the order of the data set",
        lambda n, labels, seed: DirichletPartitioner(
            n, alpha=[0.1 + i for i in range(n)], min_partition_size=0, shuffle=False, seed=seed
        ),
    ),
    Case(
        "dirichlet, self-balancing",
        lambda n, labels, seed: DirichletPartitioner(
            n, alpha=0.1, min_partition_size=0, self_balancing=True, seed=seed
        ),
        by_class=False,
    ),
    Case("label exclusion", _excluding("redistribute", None)),
    Case("label exclusion in Dirichlet shares", _excluding("redistribute", 0.5)),
    Case("label exclusion that drops", _excluding("drop", None), drops=True, by_class=False),
    Case("label exclusion in Dirichlet shares that drops", _excluding("drop", 1.0), drops=True),
    Case("pathological", _pathological("random", 2), drops=True, by_class=False),
    Case("pathological, deterministic", _pathological("deterministic", 3), drops=True, by_class=False),
    Case("pathological, first deterministic", _pathological("first-deterministic", 2), drops=True, by_class=False),
    Case(
        "extended dirichlet",
        lambda n, labels, seed: ExtendedDirichletPartitioner(
            n, "label", min(2, len(set(labels))), 0.1, min_rows_per_class=0, seed=seed
        ),
        drops=True,
        by_class=False,
    ),
    Case("shards", lambda n, labels, seed: ShardPartitioner(n, num_shards_per_partition=1, seed=seed), by_class=False),
    Case(
        "shards of a size",
        lambda n, labels, seed: ShardPartitioner(n, shard_size=max(len(labels) // n // 2, 1), seed=seed),
        by_class=False,
    ),
    Case(
        "shards of a size that drop",
        lambda n, labels, seed: ShardPartitioner(n, "label", 1, shard_size=max(len(labels) // n // 2, 1), seed=seed),
        drops=True,
        by_class=False,
    ),
    Case(
        "quantity in Dirichlet sizes",
        lambda n, labels, seed: QuantityPartitioner(n, alpha=0.2, min_partition_size=1, seed=seed),
        by_class=False,
    ),
    Case(
        "quantity in log-normal sizes",
        lambda n, labels, seed: QuantityPartitioner(n, sigma=3, min_partition_size=0, shuffle=False, seed=seed),
        by_class=False,
    ),
    Case(
        "quantity in power-law sizes",
        lambda n, labels, seed: QuantityPartitioner(n, exponent=0.7, min_partition_size=len(labels) // n, seed=seed),
        by_class=False,
    ),
    Case(
        "inner dirichlet",
        lambda n, labels, seed: InnerDirichletPartitioner([len(labels) // n] * n, "label", 0.1, seed=seed),
        drops=True,
        by_class=False,
    ),
    Case(
        "inner dirichlet of tiny alpha",
        lambda n, labels, seed: InnerDirichletPartitioner([1] * (n - 1) + [len(labels) - n + 1], alpha=1e-9, seed=seed),
        by_class=False,
    ),
    Case(
        "pachinko",
        lambda n, labels, seed: PachinkoPartitioner(n, {label: str(label)[:1] for label in labels}, beta=1, seed=seed),
        by_class=False,
    ),
    Case("given shares", lambda n, labels, seed: DistributionPartitioner(_shares(len(set(labels)), n), n, seed=seed)),
    Case(
        "given numbers of rows",
        lambda n, labels, seed: DistributionPartitioner(
            _numbers(labels, n), n, rescale=False, shuffle=False, seed=seed
        ),
        drops=True,
        by_class=False,
    ),
    Case("linear sizes", lambda n, labels, seed: LinearPartitioner(n, seed=seed), by_class=False),
    Case(
        "square sizes with the largest minimum",
        lambda n, labels, seed: SquarePartitioner(n, min_partition_size=len(labels) // n, seed=seed),
        by_class=False,
    ),
    Case(
        "exponential sizes, in the order of the data set",
        lambda n, labels, seed: ExponentialPartitioner(n, min_partition_size=0, shuffle=False, seed=seed),
        by_class=False,
    ),
    Case(
        "given sizes",
        lambda n, labels, seed: SizePartitioner([len(labels) // n] * n, seed=seed),
        drops=True,
        by_class=False,
    ),
    Case(
        "half IID, half Dirichlet",
        lambda n, labels, seed: MixturePartitioner(
            DirichletPartitioner(min(n, max(len(labels) // 2, 1)), alpha=0.1, min_partition_size=0, seed=seed), 0.5
        ),
        by_class=False,
    ),
    Case(
        "a tenth IID, the rest in shards that drop",
        lambda n, labels, seed: MixturePartitioner(
            ShardPartitioner(min(n, max(len(labels) // 2, 1)), "label", 1, shard_size=1, shuffle=False, seed=seed), 0.1
        ),
        drops=True,
        by_class=False,
    ),
]


def crossed(labels: list[Label], seed: int) -> CrossPartitioner:
    """Two partitions within each natural id, or one if an id has a single row; labels are not needed."""
    return CrossPartitioner(NaturalIdPartitioner("x"), IidPartitioner(min(2, *Counter(labels).values()), seed=seed))


@dataclass(frozen=True)
class Sites:
    """Splits by labels, with the rows of three sites in turn, so that the laws apply to a split of two columns."""

    partitioner: CrossPartitioner

    def assign(self, labels: Labels) -> Assignment:
        """Split the rows of each site."""
        return self.partitioner.assign([f"site {row % 3}" for row in range(len(labels))], labels)  # type: ignore[arg-type]


integers = st.integers(-(2**62), 2**62) | st.integers(-3, 3).map(lambda number: number * 7)
strings = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


@st.composite
def labels(draw: st.DrawFn, max_rows: int = 60) -> list[Label]:
    """Labels of one kind: integers with gaps or negative, strings, booleans; few classes, one, or one per row."""
    kind = draw(st.sampled_from([integers, strings, st.booleans()]))
    classes = draw(st.lists(kind, min_size=1, max_size=12, unique=True))
    if draw(st.booleans()):
        return draw(st.permutations(classes))
    return draw(st.lists(st.sampled_from(classes), min_size=1, max_size=max_rows))


@st.composite
def labels_and_partitions(draw: st.DrawFn, max_rows: int = 60) -> tuple[list[Label], int]:
    """Labels, and at most as many partitions as rows, often more than a class has rows."""
    rows = draw(labels(max_rows))
    return rows, draw(st.integers(1, min(len(rows), 20)))


seeds = st.integers(-(2**70), 2**70)
