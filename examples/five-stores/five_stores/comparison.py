"""The study: every store alone, all together, and all purchases in one place, for several seeds; and its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from five_stores import client_app
from five_stores.task import Features, Labels, evaluate, initial_parameters, load_purchases, split, train
from flskew import FedAvg, LocalGrid, NaturalIdPartitioner, tables
from flskew.study import Cell, Method, Results, Study
from flskew.tables.sklearn import TablePreparation
from flskew.typing import Config, Parameters, Rows, RunConfig


@dataclass
class Store:
    """A client with the purchases of one store, or of all; the last two arrays of its model standardise the columns."""

    features: Features
    labels: Labels
    config: RunConfig

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train the model on these purchases."""
        *weights, mean, scale = parameters
        if "shares-statistics" not in config:  # such as a store alone, which only knows its own
            mean, scale = self.features.mean(axis=0), self.features.std(axis=0)
            scale[scale < 1e-9] = 1  # a constant column
        weights = train(weights, (self.features - mean) / scale, self.labels, self.config, config["seed"])
        return [*weights, mean, scale], len(self.labels), {}


class Purchases:
    """The task with one seed, which determines the test rows, and so the statistics that prepare the columns."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        purchases, assignment = load_purchases()
        statistics = tables.collect(LocalGrid(client_app.app, len(assignment), config))
        parts = [split(store, int(config["seed"])) for store in range(len(assignment))]
        rows, test_rows = (np.concatenate(each) for each in zip(*parts, strict=True))
        columns = TablePreparation(statistics).transform(purchases.columns)
        self.features, self.test_features = columns[rows], columns[test_rows]
        self.labels, self.test_labels = purchases.labels[rows], purchases.labels[test_rows]
        sizes, test_sizes = (list(map(len, each)) for each in zip(*parts, strict=True))
        names = np.array(assignment.names)
        self.train = NaturalIdPartitioner("store").assign(names.repeat(sizes))
        self.test = NaturalIdPartitioner("store").assign(names.repeat(test_sizes), like=self.train)

    def initial(self, seed: int) -> Parameters:
        """Return weights of zero, whatever the seed, for columns that are standardised by the statistics of all."""
        num_features = self.features.shape[1]
        return [*initial_parameters(self.config), np.zeros(num_features), np.ones(num_features)]

    def client(self, rows: Rows) -> Store:
        """Return a client with these purchases."""
        return Store(self.features[rows], self.labels[rows], self.config)

    def evaluate(self, parameters: Parameters, rows: Rows) -> dict[str, float]:
        """Return the loss and the AUC on these test purchases."""
        *weights, mean, scale = parameters
        return evaluate(weights, (self.test_features[rows] - mean) / scale, self.test_labels[rows])


def run(config: RunConfig, seeds: Sequence[int], folder: Path) -> Results:
    """Run the study, keeping its runs in a folder."""
    cells: list[Cell] = []
    for seed in seeds:
        task = Purchases({**config, "seed": seed})
        methods = {"together": Method(FedAvg(), {"shares-statistics": True})}
        splits, num_rounds = {"stores": (task.train, task.test)}, int(config["num-server-rounds"])
        cells += Study(task, splits, methods, [seed], num_rounds, metric="auc").run(folder).cells
    return Results(cells, ["stores"], ["alone", "pooled", "together"], seeds, metric="auc")


def table(results: Results) -> str:
    """The AUC of each store alone, and its gain, on its own customers and on those of all stores."""
    purchases, assignment = load_purchases()
    lines = [
        f"{'':16}  Minute  {'its own customers':>22}  {'customers of all stores':>24}",
        _line("", "purchases", "Maid", "alone", "gain together", "alone", "gain together"),
    ]
    own, everywhere = results.clients("stores"), results.clients("stores", "last")
    for place, rows in enumerate(assignment):
        cells = []
        for found in (own.iloc[place], everywhere.iloc[place]):
            gain = found["together"]
            cells += [f"{found['alone', 'mean']:.3f}", shown(gain["gain"], gain["high"], "+")]
        lines.append(_line(own.index[place], str(len(rows)), f"{purchases.labels[rows].mean():.0%}", *cells))
    means = results.table().frame.loc["stores"]
    for method in ("together", "pooled"):
        figures = shown(means["mean"][method], means["high"][method])
        lines.append(f"{method + ', on the customers of all stores':41} {figures}")
    return "\n".join(lines)


def shown(mean: float, high: float, sign: str = "") -> str:
    """A mean over the seeds, and half of its interval."""
    return f"{mean:{sign}.3f} ± {high - mean:.3f}"


def _line(*cells: str) -> str:
    widths = (-7, 9, 6, 6, 14, 8, 14)
    padded = (cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
