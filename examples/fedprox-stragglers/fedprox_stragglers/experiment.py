"""The experiment: three ways to treat stragglers, three fractions of stragglers, several seeds; and its results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from fedprox_stragglers import server_app
from fedprox_stragglers.client_app import FlowerClient
from fedprox_stragglers.task import Parameters, RunConfig, assign, evaluate, initial_parameters, load_dataset
from flskew.study import Method, Study
from flskew.typing import Rows

METHODS: dict[str, RunConfig] = {
    "FedAvg, stragglers dropped": {"proximal-mu": 0.0, "drop-stragglers": True},
    "FedProx, mu = 0": {"proximal-mu": 0.0, "drop-stragglers": False},
    "FedProx, mu = 2": {"proximal-mu": 2.0, "drop-stragglers": False},
}
FRACTIONS = (0.0, 0.5, 0.9)
ARMS = {f"{method}, {fraction:.0%} stragglers": (method, fraction) for fraction in FRACTIONS for method in METHODS}

PUBLISHED: dict[str, tuple[float, float, float]] = {
    "FedAvg, stragglers dropped": (0.83, 0.72, 0.64),
    "FedProx, mu = 0": (0.78, 0.77, 0.80),
    "FedProx, mu = 2": (0.85, 0.85, 0.85),
}
"""Accuracies of Flower's reproduction of the paper on MNIST, read off its plots."""

LAST = 10
"""Number of final rounds to average over, because the accuracy varies a lot from round to round."""

Accuracies: TypeAlias = NDArray[np.float64]
"""(num_seeds, 1 + num_rounds) accuracy on the test set, before the first round and after each."""


@dataclass(frozen=True)
class Results:
    """All runs, with everything needed to repeat them."""

    data: str
    num_clients: int
    config: RunConfig
    versions: dict[str, str]
    runs: list[dict[str, Any]]
    """By run, "method", "stragglers", "seed", and "accuracy" before the first round and after each, with the number of
    replies that counted in each round, "counted"."""

    def accuracies(self, method: str, stragglers: float) -> Accuracies:
        """Return the accuracies of the runs of one method at one fraction of stragglers."""
        runs = [run for run in self.runs if (run["method"], run["stragglers"]) == (method, stragglers)]
        return np.array([run["accuracy"] for run in runs])

    def figures(self, method: str, stragglers: float) -> NDArray[np.float64]:
        """(num_seeds,) the mean accuracy of the last ten rounds."""
        return cast("NDArray[np.float64]", self.accuracies(method, stragglers)[:, -LAST:].mean(axis=1))

    def table(self) -> str:
        """Return a Markdown table of the figures, mean and range over the seeds, and for MNIST the published ones."""
        head = ("", *(f"{fraction:.0%} stragglers" for fraction in FRACTIONS))
        rows = [head, tuple("---" for _ in head)]
        for method in METHODS:
            rows.append((method, *(_cell(self.figures(method, fraction)) for fraction in FRACTIONS)))
            if self.data == "MNIST":
                rows.append(("(published)", *(f"{figure:.2f}" for figure in PUBLISHED[method])))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows
        )

    def save(self, path: Path) -> None:
        """Write everything as JSON, with one line per run."""
        everything = asdict(self)
        runs = ",\n  ".join(json.dumps(run) for run in everything.pop("runs"))
        head = json.dumps(everything, indent=1).removesuffix("\n}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{head},\n "runs": [\n  {runs}\n ]\n}}\n', encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read a file written by `save`."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


class Digits:
    """The task: logistic regression, trained by clients that may be stragglers."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.images, self.test_images, self.labels, self.test_labels = load_dataset(str(config["data-dir"]))

    def initial(self, seed: int) -> Parameters:
        """Return zeros, whatever the seed."""
        return initial_parameters(self.images.shape[1])

    def client(self, rows: Rows) -> FlowerClient:
        """Return a client with these images."""
        return FlowerClient(self.images[rows], self.labels[rows], self.config)

    def evaluate(self, parameters: Parameters, rows: Rows) -> dict[str, float]:
        """Return the loss and the accuracy on these test images."""
        return evaluate(parameters, self.test_images[rows], self.test_labels[rows])


def study(config: RunConfig, seeds: Sequence[int]) -> Study:
    """Return the study of all methods, at all fractions, with all seeds.

    With the same seed, all runs have the same split, sample the same clients in each round, and show them their images
    in the same order. If the fraction is the same too, the same clients stop early, after the same number of epochs.
    """
    split = partial(assign, str(config["data-dir"]), int(config["min-available-nodes"]), int(config["rows-per-digit"]))
    methods = {}
    for name, (method, fraction) in ARMS.items():
        told = {"local-epochs": int(config["local-epochs"]), "stragglers": fraction}
        methods[name] = Method(server_app.strategy({**config, **METHODS[method]}), told)
    return Study(Digits(config), {"two digits": split}, methods, seeds, int(config["num-server-rounds"]))


def experiment(config: RunConfig, seeds: Sequence[int], folder: Path) -> Results:
    """Run the study, keeping its runs in a folder, and return what is published of it."""
    cells = [cell for cell in study(config, seeds).run(folder).cells if cell.method in ARMS]
    num_clients = int(config["min-available-nodes"])
    sampled = round(float(config["fraction-train"]) * num_clients)
    runs = []
    for cell in cells:
        method, fraction = ARMS[cell.method]
        accuracy = cell.curves["accuracy"].round(6).tolist()
        counted = (sampled - np.diff(cell.num_dropped)).astype(int).tolist()
        run = {"method": method, "stragglers": fraction, "seed": cell.seed, "accuracy": accuracy, "counted": counted}
        runs.append(run)
    varied = {"stragglers", "seed", "data-dir", *(key for method in METHODS.values() for key in method)}
    kept = {key: value for key, value in config.items() if key not in varied}
    data = "MNIST" if config["data-dir"] else "scikit-learn's digits"
    return Results(data, num_clients, kept, dict(cells[0].versions), runs)


def _cell(figures: NDArray[np.float64]) -> str:
    spread = f" ({figures.min():.3f} to {figures.max():.3f})" if len(figures) > 1 else ""
    return f"{figures.mean():.3f}{spread}"
