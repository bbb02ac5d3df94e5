"""The splits of the record: kinds of skew at severities on one scale, from 0 (all clients alike) to about 1.

The severity is the distance of the kind in `flskew.skew.kinds`: total variation of the labels, Gini coefficient of the
sizes, distance of the features, and the fraction of labels that differ from the truth. The number in a split's name is
the one aimed for, and splits.json has those measured.

    python benchmarks/record/splits.py   # measure all splits and write splits.json, in a new version only
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from flskew import (
    Assignment,
    DirichletPartitioner,
    IidPartitioner,
    InnerDirichletPartitioner,
    LabelExclusionPartitioner,
    PathologicalPartitioner,
    QuantityPartitioner,
    skew,
)
from flskew.shifts import Affine, Noise, Ramp, Relabel, Rotate, Shift, SwapLabels
from flskew.typing import Labels

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import records

from record.compact import write_compact
from record.perceptron import Perceptron
from record.tasks import TASKS

FROZEN = Path(__file__).resolve().parent / "splits.json"
VERSION = 1
SEEDS = (1, 2, 3, 4, 5)
TUNING_SEED = 100
CLIENTS, MANY_CLIENTS = 10, 100
# In each setting with many clients, a tenth of them train in a round.
FRACTION = 0.1

Pair: TypeAlias = tuple[Assignment, Assignment]
Draw: TypeAlias = Callable[[int], Assignment | Pair]


@dataclass(frozen=True)
class Split:
    """A split of the record.

    Attributes:
        kind: Of skew.
        draw: Makes the split of a seed.
        score: "global" if methods are compared on the whole test set, or "own" if on what each client sees of its own
            test rows: where clients see the data differently, the whole test set as it is belongs to no one.
    """

    kind: str
    draw: Draw
    score: str = "global"


# What gives classes in equal shares these total variations, for ten clients and for a hundred: skew.alpha_for.
ALPHAS = {0.2: 3.0, 0.4: 0.593, 0.6: 0.156, 0.75: 0.0325}
ALPHAS_OF_MANY = {0.4: 0.718, 0.6: 0.209}
# The digits have splits of all severities, the larger data sets these.
DIRICHLET = {"MNIST": (0.4, 0.6, 0.75), "Fashion-MNIST": (0.4, 0.75)}
# Dirichlet sizes whose Gini coefficients are about these, in the mean.
ALPHAS_OF_SIZES = {0.3: 2.6, 0.5: 0.8, 0.7: 0.2}

# What gives an IID split these feature distances: skew.severity_for.
ROTATIONS = {
    "digits": {0.2: 21.0, 0.3: 42.0, 0.4: 74.0},
    "MNIST": {0.2: 65.5},
    "Fashion-MNIST": {0.2: 124.0},
}
NOISES = {"digits": {0.2: 0.4, 0.3: 1.0}, "MNIST": {0.3: 0.82}, "Fashion-MNIST": {0.2: 0.6}}
# How far towards the negative of the image.
CONTRASTS = {"digits": {0.2: 0.137, 0.4: 0.312}, "MNIST": {0.4: 0.213}, "Fashion-MNIST": {0.2: 0.187}}
# The fraction of wrong labels at the last of ten clients.
FRACTIONS = {0.1: 0.2, 0.2: 0.5}


def splits(task: Perceptron) -> dict[str, Split]:
    """Return the splits of a task by name."""
    if task.sites:
        return {"sites": Split("real sites", partial(of_sites, task), "own")}
    labels, is_small = task.labels, task.name == "digits"

    def drawn(kind: str, make: Callable[[int], Any]) -> Split:
        return Split(kind, lambda seed: make(seed).assign(labels))

    def shifted(kind: str, shift: Callable[[int], Shift], score: str = "own") -> Split:
        return Split(kind, lambda seed: _iid(seed).assign(labels).with_shift(shift(seed)), score)

    found = {"IID": drawn("none", _iid)}
    for target, alpha in ALPHAS.items():
        if is_small or target in DIRICHLET[task.name]:
            found[f"labels {target}, Dirichlet"] = drawn("label skew", partial(_dirichlet, CLIENTS, alpha))
    for classes in (8, 6, 4, 2):
        if is_small or classes == 2:
            found[f"labels {(10 - classes) / 10}, {classes} classes"] = drawn(
                "label skew", partial(_classes, CLIENTS, classes)
            )
    for excluded in (2, 4, 6):
        if is_small or (excluded == 4 and task.name == "MNIST"):
            found[f"labels {excluded / 10}, {excluded} classes excluded"] = drawn(
                "label skew", partial(_excluded, excluded)
            )
    for target, alpha in ALPHAS_OF_SIZES.items():
        if is_small or target == 0.7:
            found[f"sizes {target}"] = drawn("quantity skew", partial(_sizes, alpha))
    if task.name != "Fashion-MNIST":
        found["labels 0.4 and sizes 0.5"] = Split("label and quantity skew", partial(_labels_and_sizes, labels))
    for target, degrees in ROTATIONS[task.name].items():
        found[f"features {target}, rotation"] = shifted("covariate shift", lambda seed, end=degrees: Rotate(Ramp(end)))
    for target, sigma in NOISES[task.name].items():
        found[f"features {target}, noise"] = shifted(
            "covariate shift", lambda seed, end=sigma: Noise(Ramp(end), seed=seed)
        )
    for target, strength in CONTRASTS[task.name].items():
        found[f"features {target}, contrast"] = shifted(
            "covariate shift", lambda seed, end=strength: Affine(Ramp(1 - 2 * end, 1.0), Ramp(end))
        )
    for target, fraction in FRACTIONS.items():
        if is_small or target == 0.2:
            # There is nothing to learn in label noise, so methods are compared on the true labels.
            found[f"concepts {target}, label noise"] = shifted(
                "concept shift", lambda seed, end=fraction: SwapLabels(Ramp(end), 10, seed=seed), "global"
            )
    if task.name != "Fashion-MNIST":
        # Three of ten clients have another coding system: 0 and 1 trade places, 2 and 3, and so on.
        codes = Relabel({digit: digit ^ 1 for digit in range(10)}, partitions=[0, 1, 2])
        found["concepts 0.4, other codes"] = shifted("concept shift", lambda seed: codes)
    return found


def splits_of_many(task: Perceptron) -> dict[str, Split]:
    """Return the splits among a hundred clients by name."""
    labels = task.labels
    schemes = {
        f"100 clients, labels {target}, Dirichlet": partial(_dirichlet, MANY_CLIENTS, alpha)
        for target, alpha in ALPHAS_OF_MANY.items()
    }
    schemes["100 clients, labels 0.8, 2 classes"] = partial(_classes, MANY_CLIENTS, 2)
    return {
        name: Split("label skew, 100 clients", lambda seed, make=make: make(seed).assign(labels))
        for name, make in schemes.items()
    }


def _iid(seed: int) -> IidPartitioner:
    return IidPartitioner(CLIENTS, partition_by="label", seed=seed)


def _dirichlet(clients: int, alpha: float, seed: int) -> DirichletPartitioner:
    return DirichletPartitioner(clients, "label", alpha, seed=seed)


def _classes(clients: int, classes: int, seed: int) -> PathologicalPartitioner:
    return PathologicalPartitioner(clients, "label", classes, seed=seed)


def _excluded(excluded: int, seed: int) -> LabelExclusionPartitioner:
    return LabelExclusionPartitioner.random(CLIENTS, range(10), excluded, seed=seed)


def _sizes(alpha: float, seed: int) -> QuantityPartitioner:
    return QuantityPartitioner(CLIENTS, "label", alpha=alpha, seed=seed)


def _labels_and_sizes(labels: Labels, seed: int) -> Assignment:
    sizes = _sizes(ALPHAS_OF_SIZES[0.5], seed).assign(labels).sizes
    return InnerDirichletPartitioner(sizes, alpha=0.4, seed=seed).assign(labels)


def of_sites(task: Perceptron, seed: int) -> Pair:
    """Return the training and the test rows of the sites; with each seed, a site trains on another 80 % of its rows."""
    rng = np.random.default_rng(seed)
    train, test, start, test_start = {}, {}, 0, 0
    for site, (size, test_size) in task.sites.items():
        train[site] = start + rng.permutation(size)[: round(0.8 * size)]
        test[site] = np.arange(test_start, test_start + test_size)
        start, test_start = start + size, test_start + test_size
    return Assignment.from_partitions(train, task.labels), Assignment.from_partitions(test, task.test_labels)


def measured(task: Perceptron, split: Split) -> dict[str, Any]:
    """Return the fingerprints of a split for each seed, and its distances, rounded to three digits."""
    drawn = [split.draw(seed) for seed in SEEDS]
    train = [one[0] if isinstance(one, tuple) else one for one in drawn]
    reports = [skew.kinds(one, task.train.features, task.labels).to_frame()["distance"] for one in train]
    return {
        "kind": split.kind,
        "score": split.score,
        "clients": len(train[0]),
        "fingerprints": [one.fingerprint for one in train],
        "severity": {
            name: [round(float(report[name]), 3) for report in reports]
            for name in ("prior shift", "quantity skew", "covariate shift", "concept shift")
            if not reports[0].isna()[name]
        },
        "effective_clients": [round(skew.effective_clients(one), 3) for one in train],
        "missing_classes": [round(skew.missing_classes(one), 3) for one in train],
    }


def all_splits(task: Perceptron) -> dict[str, Split]:
    """Return the splits of a task, those among many clients included."""
    return splits(task) | (splits_of_many(task) if task.name == "MNIST" else {})


def freeze() -> dict[str, Any]:
    """Return the content of splits.json."""
    tasks = {name: make() for name, make in TASKS.items()}
    return {
        "version": VERSION,
        "about": records.about("flwr", "numpy", "scikit-learn"),
        "seeds": SEEDS,
        "tasks": {
            name: {
                "data": task.digest,
                "splits": {title: measured(task, split) for title, split in all_splits(task).items()},
            }
            for name, task in tasks.items()
        },
    }


if __name__ == "__main__":
    write_compact(FROZEN, freeze())
