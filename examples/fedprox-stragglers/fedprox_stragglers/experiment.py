"""The experiment: three ways to treat stragglers, three fractions of stragglers, several seeds; and its results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
from flwr.app import Context
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fedprox_stragglers import client_app, server_app
from fedprox_stragglers.task import RunConfig
from flskew import simulate

METHODS: dict[str, RunConfig] = {
    "FedAvg, stragglers dropped": {"proximal-mu": 0.0, "drop-stragglers": True},
    "FedProx, mu = 0": {"proximal-mu": 0.0, "drop-stragglers": False},
    "FedProx, mu = 2": {"proximal-mu": 2.0, "drop-stragglers": False},
}
FRACTIONS = (0.0, 0.5, 0.9)

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
class Run:
    """One run: its accuracy before the first round and after each, and the number of accepted replies per round."""

    method: str
    stragglers: float
    seed: int
    accuracy: list[float]
    counted: list[int]


@dataclass(frozen=True)
class Results:
    """All runs, with everything needed to repeat them."""

    data: str
    num_clients: int
    config: RunConfig
    versions: dict[str, str]
    runs: list[Run]

    def accuracies(self, method: str, stragglers: float) -> Accuracies:
        """Return the accuracies of the runs of one method at one fraction of stragglers."""
        return np.array([r.accuracy for r in self.runs if (r.method, r.stragglers) == (method, stragglers)])

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
        everything = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**everything, "runs": [Run(**run) for run in everything["runs"]]})


def experiment(
    config: Mapping[str, bool | float | int | str],
    num_clients: int,
    seeds: Sequence[int],
    progress: Callable[[Run], None] = lambda run: None,
) -> Results:
    """Run all methods at all fractions with all seeds, in this process.

    All runs with the same seed have the same split, sample the same clients in each round, and show them their images
    in the same order. If the fraction is the same too, the same clients stop early, after the same number of epochs.
    """
    runs = []
    for seed in seeds:  # outermost, because the split of a seed is cached until the next one
        for fraction in FRACTIONS:
            for name, method in METHODS.items():
                settings: RunConfig = {**config, **method, "stragglers": fraction, "seed": seed}
                # On busy cores, two threads for one small matrix take longer than one.
                with threadpool_limits(1, user_api="blas"):
                    context = simulate(server_app.app, client_app.app, num_clients, settings)
                accuracy, counted = (list(_by_round(context, key)) for key in ("accuracy", "counted"))
                runs.append(Run(name, fraction, seed, accuracy, [int(number) for number in counted]))
                progress(runs[-1])
    varied = {"stragglers", "seed", "data-dir", *(key for method in METHODS.values() for key in method)}
    kept = {key: value for key, value in config.items() if key not in varied}
    data = "MNIST" if config["data-dir"] else "scikit-learn's digits"
    versions = {name: version(name) for name in ("flskew", "flwr", "numpy")}
    return Results(data, num_clients, kept, versions, runs)


def _by_round(context: Context, key: str) -> Iterator[float]:
    record = context.state.metric_records[key]
    for name in sorted(record, key=lambda name: int(name.removeprefix("round-"))):
        yield round(float(cast("float", record[name])), 6)


def _cell(figures: NDArray[np.float64]) -> str:
    spread = f" ({figures.min():.3f} to {figures.max():.3f})" if len(figures) > 1 else ""
    return f"{figures.mean():.3f}{spread}"
