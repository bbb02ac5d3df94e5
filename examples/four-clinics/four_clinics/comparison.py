"""The study: every clinic alone, all together, and all patients in one place, for several seeds; and its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flskew import FedAvg, LocalGrid, NaturalIdPartitioner, tables
from flskew.study import Cell, Method, Results, Study
from flskew.tables.sklearn import TablePreparation
from flskew.typing import Config, Parameters, Rows, RunConfig, Sizes
from four_clinics import client_app
from four_clinics.data import Targets, load_patients, split
from four_clinics.task import Features, evaluate, initial_parameters, train


@dataclass
class Clinic:
    """A client with the patients of one clinic, or of all; the last two arrays of its model standardise the columns."""

    features: Features
    targets: Targets
    is_number: NDArray[np.bool_]
    config: RunConfig

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train the model on these patients."""
        *weights, mean, scale = parameters
        if "shares-statistics" not in config:  # such as a clinic alone, which only knows its own
            numbers = self.features[:, self.is_number]
            mean[self.is_number], scale[self.is_number] = np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0)
            scale[scale < 1e-9] = 1  # a constant column
        features = standardised(self.features, mean, scale)
        return [*train(weights, features, self.targets, self.config, config["seed"]), mean, scale], len(features), {}


def standardised(features: Features, mean: Features, scale: Features) -> Features:
    """Return the features with mean 0 and variance 1; missing ones are the mean."""
    return np.nan_to_num((features - mean) / scale)


class Patients:
    """The task with one seed, which determines the test rows, and so the statistics that prepare the columns."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        patients, assignment = load_patients(str(config["target"]))
        preparation = TablePreparation(tables.collect(LocalGrid(client_app.app, len(assignment), config)))
        names = preparation.get_feature_names_out()
        self.is_number = np.isin(names, patients.columns.columns)
        features = preparation.transform(patients.columns)
        features[:, self.is_number] += np.where(patients.columns[names[self.is_number]].isna(), np.nan, 0)
        parts = [split(clinic, str(config["target"]), int(config["seed"])) for clinic in range(len(assignment))]
        rows, test_rows = (np.concatenate(each) for each in zip(*parts, strict=True))
        self.features, self.test_features = features[rows], features[test_rows]
        self.labels, self.test_labels = patients.targets[rows], patients.targets[test_rows]
        sizes, test_sizes = (list(map(len, each)) for each in zip(*parts, strict=True))
        names = np.array(assignment.names)
        self.train = NaturalIdPartitioner("clinic").assign(names.repeat(sizes))
        self.test = NaturalIdPartitioner("clinic").assign(names.repeat(test_sizes), like=self.train)

    def initial(self, seed: int) -> Parameters:
        """Return weights of zero, whatever the seed, for columns that are standardised by the statistics of all."""
        num_features = len(self.is_number)
        return [*initial_parameters(num_features, self.config), np.zeros(num_features), np.ones(num_features)]

    def client(self, rows: Rows) -> Clinic:
        """Return a client with these patients."""
        return Clinic(self.features[rows], self.labels[rows], self.is_number, self.config)

    def evaluate(self, parameters: Parameters, rows: Rows) -> dict[str, float]:
        """Return the loss and the score on these test patients."""
        *weights, mean, scale = parameters
        features = standardised(self.test_features[rows], mean, scale)
        return evaluate(weights, features, self.test_labels[rows], self.config)


def run(config: RunConfig, seeds: Sequence[int], folder: Path) -> Results:
    """Run the study for one target, keeping its runs in a folder."""
    cells: list[Cell] = []
    for seed in seeds:
        task = Patients({**config, "seed": seed})
        methods = {"together": Method(FedAvg(), {"shares-statistics": True})}
        splits, num_rounds = {"clinics": (task.train, task.test)}, int(config["num-server-rounds"])
        cells += Study(task, splits, methods, [seed], num_rounds, metric="score").run(folder).cells
    return Results(cells, ["clinics"], ["alone", "pooled", "together"], seeds, metric="score")


def table(results: Results, women: Sizes) -> str:
    """The score of each clinic alone, and its gain, on its own patients and on those of all clinics.

    Args:
        results: Those of one target.
        women: (num_clinics,) number of women of each clinic.
    """
    lines = [
        f"{'':13}  {'its own patients':>23}  {'patients of all clinics':>31}",
        _line("", "women", "alone", "gain together", "alone", "gain together"),
    ]
    own, everywhere = results.clients("clinics"), results.clients("clinics", "last")
    for place, clinic in enumerate(own.index):
        cells = []
        for found in (own.iloc[place], everywhere.iloc[place]):
            gain = found["together"]
            cells += [f"{found['alone', 'mean']:.3f}", shown(gain["gain"], gain["high"], "+")]
        lines.append(_line(clinic, str(women[place]), *cells))
    means = results.table().frame.loc["clinics"]
    for method in ("together", "pooled"):
        figures = shown(means["mean"][method], means["high"][method])
        lines.append(_line(method, str(women.sum()), "", "", figures, ""))
    return "\n".join(lines)


def shown(mean: float, high: float, sign: str = "") -> str:
    """A mean over the seeds, and half of its interval."""
    return f"{mean:{sign}.3f} ± {high - mean:.3f}"


def _line(*cells: str) -> str:
    widths = (-8, 5, 7, 14, 15, 14)
    padded = (cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
