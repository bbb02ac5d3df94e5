"""Run the benchmark of record, whatever of it is missing; stop it at any time, and start it again to continue.

    python benchmarks/record/run.py                 # about an hour on one core
    python benchmarks/record/run.py --jobs 4        # in four processes
    python benchmarks/record/run.py --share 0/2     # every second split, for one of two machines
    python benchmarks/record/run.py --report        # run nothing; write the results of what is finished

MNIST is read from the folder FLSKEW_MNIST, and Fashion-MNIST from FLSKEW_FASHION_MNIST, by default the folder of
Debian's package dataset-fashion-mnist. Without them, --only digits "five stores" "four clinics" runs the rest.

The main methods run first, on all splits with all seeds. Finished cells are kept in --folder, one file each; copy those
of several machines into one folder to merge them. The report goes to benchmarks/record/results, from which `make pages`
writes docs/record.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import records

from flskew.study import Cell, Study
from record.compact import write_compact
from record.methods import METHODS
from record.perceptron import Perceptron
from record.splits import FRACTION, SEEDS, TUNING_SEED, VERSION, Split, splits, splits_of_many
from record.tasks import TASKS

FOLDER = Path(__file__).resolve().parent / "cells"
RESULTS = Path(__file__).resolve().parent / "results"
# The last rounds over which a hyper-parameter is judged.
LAST = 3


@dataclass(frozen=True)
class Setting:
    """A task and how long it trains.

    Attributes:
        task: A key of `TASKS`.
        num_rounds: Number of rounds.
        tuning_splits: The splits on which hyper-parameters are chosen.
        metric: The metric to compare.
        has_many: Whether the splits are those among a hundred clients, a tenth of which train in a round.
    """

    task: str
    num_rounds: int
    tuning_splits: tuple[str, ...]
    metric: str = "accuracy"
    has_many: bool = False

    @property
    def fraction(self) -> float:
        """The fraction of the clients that train in a round."""
        return FRACTION if self.has_many else 1.0

    @property
    def methods(self) -> list[str]:
        """The names of the methods that run."""
        return [name for name, entry in METHODS.items() if entry.samples or not self.has_many]

    def splits(self, task: Perceptron) -> dict[str, Split]:
        """Return the splits by name."""
        return splits_of_many(task) if self.has_many else splits(task)


IMAGE_TUNING = ("labels 0.75, Dirichlet", "sizes 0.7")
MANY_TUNING = ("100 clients, labels 0.6, Dirichlet", "100 clients, labels 0.8, 2 classes")
SETTINGS: Mapping[str, Setting] = {
    "digits": Setting("digits", 20, IMAGE_TUNING),
    "five stores": Setting("five stores", 20, ("sites",)),
    "four clinics": Setting("four clinics", 20, ("sites",), "auc"),
    "MNIST": Setting("MNIST", 15, IMAGE_TUNING),
    "MNIST, 100 clients": Setting("MNIST", 40, MANY_TUNING, has_many=True),
    "Fashion-MNIST": Setting("Fashion-MNIST", 15, IMAGE_TUNING),
}


class Record:
    """The studies of a setting.

    Args:
        setting: The setting.
        folder: Where finished cells are kept.
    """

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.setting, self.folder = setting, folder
        self.task = TASKS[setting.task]()
        self.splits = setting.splits(self.task)
        self._tuned: dict[str, dict[float, float]] = {}

    def study(self, methods: Mapping[str, tuple[str, float]], splits: Iterable[str], seeds: Collection[int]) -> Study:
        """Return a study of methods, given by their entries and the values of their hyper-parameters."""
        return Study(
            self.task,
            {name: self.splits[name].draw for name in splits},
            {title: METHODS[name].make(value, self.setting.fraction) for title, (name, value) in methods.items()},
            seeds,
            self.setting.num_rounds,
            metric=self.setting.metric,
        )

    def tuning(self, names: Iterable[str], splits: Collection[str]) -> Study | None:
        """Return the study that chooses hyper-parameters; None if there are none to choose."""
        grids = {
            f"{name}, {value}": (name, value)
            for name in names
            if len(METHODS[name].grid) > 1
            for value in METHODS[name].grid
        }
        return self.study(grids, splits, [TUNING_SEED]) if grids and splits else None

    def scores(self, name: str) -> dict[float, float]:
        """Return, by value, the the mean metric over the last rounds of the tuning splits; empty until all have run."""
        if len(METHODS[name].grid) == 1:
            return {}
        if name not in self._tuned:
            study = self.tuning([name], self.setting.tuning_splits)
            assert study is not None
            cells = study.results(self.folder).cells
            found = {
                value: [_late(cell, self.setting.metric) for cell in cells if cell.method == f"{name}, {value}"]
                for value in METHODS[name].grid
            }
            if any(len(late) < len(self.setting.tuning_splits) for late in found.values()):
                return {}
            self._tuned[name] = {value: mean(late) for value, late in found.items()}
        return self._tuned[name]

    def chosen(self, names: Iterable[str]) -> dict[str, tuple[str, float]]:
        """Return the methods whose hyper-parameter is known, with the best value of the grid."""
        found = {}
        for name in names:
            grid = METHODS[name].grid
            if len(grid) == 1:
                found[name] = (name, grid[0])
            elif scores := self.scores(name):
                found[name] = (name, max(scores, key=lambda value: scores[value]))
        return found

    def run(self, names: Iterable[str], share: int, shares: int, jobs: int) -> None:
        """Tune and run these methods on a share of the splits."""
        tuning = self.tuning(names, list(self.setting.tuning_splits)[share::shares])
        if tuning is not None:
            tuning.run(self.folder, jobs=jobs)
        # What another share is still tuning is left to the next call.
        chosen, mine = self.chosen(names), list(self.splits)[share::shares]
        if chosen and mine:
            self.study(chosen, mine, SEEDS).run(self.folder, jobs=jobs)

    def report(self, name: str) -> dict[str, Any]:
        """Return the content of the results file: cells by split, method and seed."""
        setting, chosen = self.setting, self.chosen(self.setting.methods)
        cells: dict[str, dict[str, dict[str, Any]]] = {}
        for cell in self.study(chosen, self.splits, SEEDS).results(self.folder).cells:
            cells.setdefault(cell.split, {}).setdefault(cell.method, {})[str(cell.seed)] = kept(cell, setting.metric)
        return {
            "version": VERSION,
            "name": name,
            "about": about(),
            "setting": {
                "task": setting.task,
                "num_rows": [len(self.task.train), len(self.task.test)],
                **vars(self.task.recipe),
                "num_rounds": setting.num_rounds,
                "fraction_train": setting.fraction,
                "metric": setting.metric,
                "tuning_seed": TUNING_SEED,
                "tuning_splits": setting.tuning_splits,
                "tuning_rounds": LAST,
            },
            "methods": {
                title: {
                    "call": repr(METHODS[title].make(value, setting.fraction)),
                    "parameter": METHODS[title].parameter,
                    "chosen": value,
                    "scores": {str(one): round(score, 4) for one, score in self.scores(title).items()},
                }
                for title, (_, value) in chosen.items()
            },
            "cells": cells,
        }


def about() -> dict[str, str | None]:
    """Return the date, the machine, the versions and the kernels of NumPy's BLAS: what figures depend on."""
    kernels = {str(library["architecture"]) for library in threadpool_info() if "architecture" in library}
    return {**records.about("flwr", "numpy", "scikit-learn"), "blas": ", ".join(sorted(kernels))}


def _late(cell: Cell, metric: str) -> float:
    """Return the mean of the last rounds; 0 for rounds after a run that ended early."""
    return float(np.nan_to_num(cell.curves[metric][-LAST:]).mean())


def kept(cell: Cell, metric: str) -> dict[str, Any]:
    """Return what the record keeps of a cell; NaN is None.

    The metric is that on the whole test set before the first round and after each, with six digits; that on each
    client's own test rows after the last round; and the recall of each class. The loss is complete, to compare runs bit
    for bit. For "alone", curve, recall and loss are means over the clients' models.
    """
    return {
        "curve": _rounded(cell.curves[metric], 6),
        "own": _rounded(cell.own[metric], 4),
        "recall": _rounded(cell.recall.mean(axis=0), 4),
        "loss": _rounded(cell.curves["loss"][-1:], 17)[0],
        "bytes": None if np.isnan(cell.num_bytes[-1]) else int(cell.num_bytes[-1]),
        **({"dropped": int(cell.num_dropped[-1])} if cell.num_dropped[-1] > 0 else {}),
        **({"error": cell.error} if cell.error else {}),
    }


def _rounded(values: Iterable[float], digits: int) -> list[float | None]:
    return [round(float(value), digits) if np.isfinite(value) else None for value in values]


def file_name(setting: str) -> str:
    """Return the name of a setting's results file, without its ending: "MNIST, 100 clients" is in mnist-100-clients."""
    return setting.lower().replace(",", "").replace(" ", "-")


def main() -> None:
    """Run what is missing, then write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="number of processes; %(default)s")
    parser.add_argument("--share", default="0/1", help="which of how many shares of the splits; %(default)s")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="SETTING")
    parser.add_argument("--report", action="store_true", help="run nothing; write the results so far")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="finished cells; %(default)s")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results; %(default)s")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    share, shares = map(int, arguments.share.split("/"))
    settings = {name: Record(SETTINGS[name], arguments.folder) for name in arguments.only}
    for is_main in (True, False):
        for name, record in settings.items():
            if not arguments.report:
                methods = [one for one in record.setting.methods if METHODS[one].is_main == is_main]
                print(f"{name}: {', '.join(methods)}", flush=True)
                record.run(methods, share, shares, arguments.jobs)
    for name, record in settings.items():
        write_compact(
            arguments.output / f"{name.lower().replace(', ', '-').replace(' ', '-')}.json", record.report(name)
        )


if __name__ == "__main__":
    main()
