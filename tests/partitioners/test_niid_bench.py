"""With the right arguments, our splits have the same distribution as those of NIID-Bench.

Q. Li, Y. Diao, Q. Chen, B. He: "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022,
arXiv 2102.02079. The two procedures below follow its section on label distribution skew and its published code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from flskew import DirichletPartitioner, PathologicalPartitioner, skew
from flskew.partitioners import LabelPartitioner, Streams, read_labels

CLIENTS = 10
LABELS = np.arange(60_000) % 10
PER_CLASS = np.bincount(LABELS)
COLUMN = read_labels(LABELS)
DRAWS = 400


def distribution_based(rng: np.random.Generator, alpha: float) -> NDArray[np.int64]:
    """Draw each class's shares; a client with an even share of the rows gets no more; redraw below ten rows."""
    while True:
        counts = np.zeros((CLIENTS, len(PER_CLASS)), dtype=np.int64)
        for label, total in enumerate(PER_CLASS):
            shares = rng.dirichlet(np.full(CLIENTS, alpha)) * (counts.sum(axis=1) < len(LABELS) / CLIENTS)
            cuts = (np.cumsum(shares / shares.sum()) * total).astype(int)[:-1]
            counts[:, label] = np.diff(cuts, prepend=0, append=total)
        if counts.sum(axis=1).min() >= 10:
            return counts


def quantity_based(rng: np.random.Generator, k: int) -> NDArray[np.int64]:
    """Give client i class i and k - 1 others at random; split each class evenly among its clients."""
    held = np.zeros((CLIENTS, len(PER_CLASS)), dtype=bool)
    for client in range(CLIENTS):
        others = np.delete(np.arange(len(PER_CLASS)), client)
        held[client, [client, *rng.choice(others, k - 1, replace=False)]] = True
    counts = np.zeros_like(held, dtype=np.int64)
    for label, total in enumerate(PER_CLASS):
        clients = np.flatnonzero(held[:, label])
        counts[clients, label] = [len(part) for part in np.array_split(np.arange(total), len(clients))]
    return counts


def p_values(
    make: Callable[[int], LabelPartitioner], theirs: Callable[[np.random.Generator], NDArray[np.int64]]
) -> list[float]:
    """Test with two-sample Kolmogorov-Smirnov whether label skew, quantity skew and the size of a client agree."""
    rng = np.random.default_rng(0)
    ours = [make(seed).class_counts(COLUMN, Streams(seed)).T for seed in range(DRAWS)]
    peers = [theirs(rng) for _ in range(DRAWS)]
    measures = (skew.total_variation, skew.gini, lambda counts: counts[3].sum())
    return [
        scipy.stats.ks_2samp(*([measure(split) for split in splits] for splits in (ours, peers)), method="asymp").pvalue
        for measure in measures
    ]


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_distribution_based_label_imbalance_is_dirichlet_with_self_balancing(alpha: float):
    def make(seed: int, *, self_balancing: bool = True) -> DirichletPartitioner:
        return DirichletPartitioner(CLIENTS, "label", alpha, self_balancing=self_balancing, seed=seed)

    def theirs(rng: np.random.Generator) -> NDArray[np.int64]:
        return distribution_based(rng, alpha)

    assert min(p_values(make, theirs)) > 0.001
    assert min(p_values(lambda seed: make(seed, self_balancing=False), theirs)) < 1e-6


@pytest.mark.parametrize("k", [2, 3])
def test_quantity_based_label_imbalance_is_pathological_in_the_first_deterministic_mode(k: int):
    def make(seed: int, *, mode: str = "first-deterministic") -> PathologicalPartitioner:
        return PathologicalPartitioner(CLIENTS, "label", k, mode, seed=seed)  # type: ignore[arg-type]

    def theirs(rng: np.random.Generator) -> NDArray[np.int64]:
        return quantity_based(rng, k)

    assert min(p_values(make, theirs)) > 0.001
    assert min(p_values(lambda seed: make(seed, mode="random"), theirs)) < 1e-6
