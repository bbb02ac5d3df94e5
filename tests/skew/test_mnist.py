"""Published values of the measures on MNIST's training labels, and alphas for target skews."""

from __future__ import annotations

import gzip
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from flskew import (
    Assignment,
    DirichletPartitioner,
    IidPartitioner,
    LabelExclusionPartitioner,
    PathologicalPartitioner,
    QuantityPartitioner,
    skew,
)

pytestmark = pytest.mark.mnist

HOSPITALS = ({1, 3, 7}, {2, 5, 8}, {4, 6, 9})
SEEDS = range(20)


class Assigns(Protocol):
    def assign(self, labels: NDArray[np.uint8], /) -> Assignment: ...


@pytest.fixture(scope="module")
def labels(mnist_dir: Path) -> NDArray[np.uint8]:
    """The 60,000 training labels, after the eight bytes of the file's header."""
    (path,) = mnist_dir.glob("train-labels-idx1-ubyte*")
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return np.frombuffer(content, np.uint8, offset=8)


# Total variation, label information, missing classes, effective classes and effective clients of one draw each.
PUBLISHED: dict[str, tuple[Callable[[int], Assigns], tuple[str, str, str, str, str]]] = {
    "IID": (
        lambda seed: IidPartitioner(10, partition_by="label", seed=seed),
        (".011", ".000", "0", "9.98", "1.00"),
    ),
    "Dirichlet 0.5": (
        lambda seed: DirichletPartitioner(10, "label", 0.5, seed=seed),
        (".404", ".218", "0", "6.00", ".83"),
    ),
    "Dirichlet 0.1": (
        lambda seed: DirichletPartitioner(10, "label", 0.1, seed=seed),
        (".692", ".581", ".28", "2.63", ".92"),
    ),
    "2 classes a client": (
        lambda seed: PathologicalPartitioner(10, "label", 2, class_assignment_mode="first-deterministic", seed=seed),
        (".799", ".733", ".80", "1.88", ".96"),
    ),
    "quantity Dirichlet 0.5": (
        lambda seed: QuantityPartitioner(10, "label", alpha=0.5, min_partition_size=1, seed=seed),
        (".010", ".000", ".06", "9.19", ".53"),
    ),
}


def measured(assignment: Assignment) -> list[float]:
    return [skew.MEASURES[name](assignment) for name in list(skew.MEASURES)[:5]]


@pytest.mark.parametrize("scheme", PUBLISHED)
def test_a_published_draw_is_likely_with_our_partitioner(scheme: str, labels: NDArray[np.uint8]) -> None:
    """Within four standard deviations and the rounding error of the mean over twenty seeds."""
    make, published = PUBLISHED[scheme]
    draws = np.array([measured(make(seed).assign(labels)) for seed in SEEDS])
    for value, mean, deviation in zip(published, draws.mean(axis=0), draws.std(axis=0, ddof=1), strict=True):
        decimals = len(value.partition(".")[2])
        assert abs(float(value) - mean) <= 4 * deviation + 0.5 * 10**-decimals


def test_three_hospitals_have_the_published_measures(labels: NDArray[np.uint8]) -> None:
    """The published rows are dropped from random thirds, so the third digit may differ by one."""
    drops = [LabelExclusionPartitioner(HOSPITALS, on_excluded="drop", seed=seed).assign(labels) for seed in SEEDS]
    total_variation, *others = np.mean([measured(drop) for drop in drops], axis=0)
    assert total_variation == pytest.approx(0.288, abs=0.0015)
    assert [f"{value:.{digits}f}" for value, digits in zip(others, (3, 2, 2, 2), strict=True)] == [
        "0.152",
        "0.30",
        "6.99",
        "1.00",
    ]


def test_one_class_per_client_has_the_published_measures(labels: NDArray[np.uint8]) -> None:
    """Independent of the seed: partition i has class i."""
    split = PathologicalPartitioner(10, "label", 1, class_assignment_mode="deterministic").assign(labels)
    digits = (3, 2, 2, 2, 2)
    assert [f"{value:.{places}f}" for value, places in zip(measured(split), digits, strict=True)] == [
        "0.900",
        "1.00",
        "0.90",
        "1.00",
        "1.00",
    ]


@pytest.mark.parametrize("num_partitions", [10, 100])
@pytest.mark.parametrize("target", [0.1, 0.3, 0.5, 0.7])
def test_alpha_for_meets_its_target_with_seeds_that_it_did_not_use(
    target: float, num_partitions: int, labels: NDArray[np.uint8]
) -> None:
    found = skew.alpha_for(target, labels, num_partitions)
    splits = (DirichletPartitioner(num_partitions, "label", found.alpha, seed=seed).assign(labels) for seed in SEEDS)
    assert np.mean([skew.total_variation(split) for split in splits]) == pytest.approx(target, abs=0.02)


def test_the_table_on_the_page_is_printed_by_the_benchmark(mnist_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parents[2]
    monkeypatch.syspath_prepend(root / "benchmarks")
    benchmark = runpy.run_path(str(root / "benchmarks" / "skew.py"))
    lines = benchmark["markdown"](benchmark["mnist_table"](mnist_dir)).splitlines()
    page = (root / "docs" / "skew.md").read_text("utf-8").splitlines()
    assert [line for line in lines[2:] if line not in page] == []  # without the head of the table
