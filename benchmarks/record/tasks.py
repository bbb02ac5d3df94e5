"""The tasks of the record: three sets of images, and two tables of real sites."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import NoReturn, cast

import numpy as np
import pandas as pd
from flwr.app import RecordDict
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from flskew import Assignment, ClientError, LocalGrid, client_app, tables
from flskew.tables.sklearn import TablePreparation
from flskew.typing import Config, Parameters, Rows
from record.perceptron import Perceptron, Recipe, Table

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path[:0] = [str(EXAMPLES / name) for name in ("three-hospitals", "five-stores", "four-clinics")]

# Debian's package dataset-fashion-mnist.
FASHION_MNIST = "/usr/share/datasets/fashion-mnist"
# Which rows are in a task; it never changes, whatever the seed of a study.
DRAW = 0


@cache
def digits() -> Perceptron:
    """The 1,797 images of 8 x 8 pixels in scikit-learn, 360 of them for testing."""
    bunch = load_digits()
    order = np.random.default_rng(DRAW).permutation(len(bunch.target))
    table = Table((bunch.images / 16).astype(np.float32)[order], bunch.target.astype(np.int64)[order])
    train, test = (Table(table.features[rows], table.classes[rows]) for rows in (slice(360, None), slice(360)))
    recipe = Recipe(hidden=32, batch_size=16, learning_rate=0.1, local_epochs=2)
    return Perceptron("digits", train, test, recipe)


@cache
def mnist() -> Perceptron:
    """4,000 training and 2,000 test images of MNIST, from the four files in the folder FLSKEW_MNIST."""
    return _images("MNIST", os.environ.get("FLSKEW_MNIST", ""))


@cache
def fashion() -> Perceptron:
    """4,000 training and 2,000 test images of Fashion-MNIST, from the folder FLSKEW_FASHION_MNIST."""
    return _images("Fashion-MNIST", os.environ.get("FLSKEW_FASHION_MNIST", FASHION_MNIST))


def _images(name: str, folder: str) -> Perceptron:
    from three_hospitals.mnist import load

    pixels, labels, test_pixels, test_labels = load(folder)
    rng = np.random.default_rng(DRAW)
    rows, test_rows = rng.permutation(len(labels))[:4000], rng.permutation(len(test_labels))[:2000]
    train, test = (
        Table(images[chosen].reshape(-1, 28, 28).astype(np.float32) / np.float32(255), classes[chosen])
        for images, classes, chosen in ((pixels, labels, rows), (test_pixels, test_labels, test_rows))
    )
    return Perceptron(name, train, test, Recipe(hidden=32, batch_size=32, learning_rate=0.05, local_epochs=2))


@cache
def stores() -> Perceptron:
    """Which of two orange juices a customer of one of five stores buys; the split of the example for seed 0."""
    from five_stores.task import load_purchases, split

    purchases, assignment = load_purchases()
    parts = {name: split(number, DRAW) for number, name in enumerate(_names(assignment))}
    recipe = Recipe(hidden=0, batch_size=16, learning_rate=0.05, local_epochs=1)
    return _of_sites("five stores", purchases.columns, purchases.labels, parts, recipe)


@cache
def clinics() -> Perceptron:
    """Whether the pregnancy of a patient of one of four clinics ends before week 37; the split for seed 0."""
    from four_clinics.data import load_patients, split

    target = "preterm-birth"
    patients, assignment = load_patients(target)
    parts = {name: split(number, target, DRAW) for number, name in enumerate(_names(assignment))}
    recipe = Recipe(hidden=0, batch_size=16, learning_rate=0.02, local_epochs=1)
    return _of_sites("four clinics", patients.columns, patients.targets == 1, parts, recipe)


TASKS: Mapping[str, Callable[[], Perceptron]] = {
    "digits": digits, "MNIST": mnist, "Fashion-MNIST": fashion, "five stores": stores, "four clinics": clinics,
}  # fmt: skip


def _names(assignment: Assignment) -> tuple[str, ...]:
    return cast("tuple[str, ...]", assignment.names)


class _Sites:
    """Answers for all sites at once; from their separate answers, `tables.collect` would compute the same."""

    def __init__(self, columns: pd.DataFrame) -> None:
        self.columns = columns

    def fit(self, parameters: Parameters, config: Config) -> NoReturn:
        raise ClientError("the sites are only queried")

    def query(self, content: RecordDict) -> RecordDict:
        return tables.answer(self.columns, content)


def _of_sites(
    name: str, columns: pd.DataFrame, labels: NDArray[np.bool_], parts: dict[str, tuple[Rows, Rows]], recipe: Recipe
) -> Perceptron:
    """Return the task of sites, whose columns are standardised with the statistics of the training rows of all."""
    train_rows, test_rows = (np.concatenate([pair[place] for pair in parts.values()]) for place in (0, 1))
    with LocalGrid(client_app(lambda context: _Sites(columns.iloc[train_rows])), 1) as grid:
        prepared = TablePreparation(tables.collect(grid))
    train, test = (
        Table(prepared.transform(columns.iloc[rows]).astype(np.float32), labels[rows].astype(np.int64))
        for rows in (train_rows, test_rows)
    )
    sites = {site: (len(rows), len(held_out)) for site, (rows, held_out) in parts.items()}
    return Perceptron(name, train, test, recipe, sites)
