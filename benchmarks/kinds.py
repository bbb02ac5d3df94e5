"""Count how often `skew.kinds` finds a kind in random splits, which have none.

    python benchmarks/kinds.py   # needs scikit-learn; a few minutes

Rows choose their partition at random, so that sizes vary by chance, too. For concept shift, 20 % of the labels are
replaced at random, everywhere alike. Writes a JSON file to --output; docs/kinds.md has its table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from records import RESULTS, about, write
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from flskew import Assignment, skew

NUM_SPLITS = 200
NUM_PARTITIONS = (2, 5, 20)


def data_sets() -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, the features and the labels of each data set."""
    digits, cancer, wine = load_digits(), load_breast_cancer(), load_wine()
    yield "digits, 64 pixels", digits.images, digits.target
    yield "breast cancer, 30 columns", cancer.data, cancer.target
    yield "wine, 13 columns", wine.data, wine.target
    rng = np.random.default_rng(0)
    mixed = {
        "age": rng.normal(60, 12, 1000).round(),
        "cost": rng.lognormal(6, 1, 1000),
        "weight": np.where(rng.random(1000) < 0.2, np.nan, rng.normal(75, 12, 1000)),
        "laboratory": rng.choice(["north", "south", "west"], 1000),
        "rare": rng.random(1000) < 0.02,
    }
    yield "made up, 5 columns of any kind", pd.DataFrame(mixed), rng.integers(0, 3, 1000)


def main() -> None:
    """Count, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    records = []
    for name, features, labels in data_sets():
        for num_partitions in NUM_PARTITIONS:
            found = counted(features, labels, num_partitions)
            records.append({"data": name, "partitions": num_partitions, "splits": NUM_SPLITS, "found": found})
            print(records[-1], flush=True)
    write(arguments.output / "kinds.json", {"about": about("numpy", "scikit-learn"), "records": records})


def counted(features: Any, labels: Any, num_partitions: int) -> dict[str, int]:
    """Return in how many random splits each kind is found."""
    rng = np.random.default_rng(1)
    found: dict[str, int] = {}
    for _ in range(NUM_SPLITS):
        owners = rng.integers(0, num_partitions, len(labels))
        split = Assignment.from_partitions([np.flatnonzero(owners == one) for one in range(num_partitions)])
        noisy = np.where(rng.random(len(labels)) < 0.2, rng.permutation(labels), labels)
        for kind in skew.kinds(split, features, noisy, truth=labels).kinds:
            found[kind.name] = found.get(kind.name, 0) + bool(kind.exceeds_chance)
    return found


if __name__ == "__main__":
    main()
