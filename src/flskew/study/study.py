"""A grid of splits, methods and seeds, whose results are kept as they are computed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from flwr.serverapp.strategy import Strategy

from flskew._util import checks, files
from flskew._util.texts import listed
from flskew._util.values import Value
from flskew.study._checking import check_task, check_use, check_views
from flskew.study._jobs import run_all
from flskew.study._keys import TaskKey, code_key, key_of
from flskew.study._methods import BASELINES, check_num_clients, classes_in, num_sampled, read_methods
from flskew.study._running import Work, run_cell
from flskew.study._seeds import POOLED
from flskew.study._splits import Pair, Split, pair_for, read_splits
from flskew.study.cell import Cell
from flskew.study.method import Method
from flskew.study.results import Results
from flskew.study.task import Task

__all__ = ["Study"]


class Study(Value):
    """Who gains, from which method, and how sure that is: every method on every split with every seed.

    Two baselines always run. "alone" trains every client by itself, and "pooled" trains one client that holds all
    rows. Both start from the same parameters as the methods, and call `fit` as often as the average client does under
    the method that samples the most clients.

    A cell of the study is one method on one split with one seed. It depends on the task, the rows that each client
    holds, the method, the seed, the number of rounds, and the versions of Python and of the packages that the task
    uses. If you change anything else, finished cells remain valid. Each cell is written to its own file as soon as it
    is finished.

    A change of the task is noticed in its attributes and its code: its class, and all your functions, classes and
    global variables that the class uses, in any module. So a cell runs again if you change a row or a line of code, but
    not if you move code or change comments and docstrings. Installed packages count by version only. Not noticed are a
    package of yours that is reinstalled under the same version, files that the task reads, environment variables, and
    code that it finds by name, such as with `getattr`. The contents of a `functools.cached_property` or a
    `functools.lru_cache` do not count. Using a task must not change any other attribute.

    Two things end a study at once: an exception in the task, even in one client, and a file that cannot be written. If
    a client diverges, its replies are dropped and counted. The study continues, and so does the cell if other clients
    remain.

    Cells compute on one thread, as far as BLAS, OpenMP and PyTorch are concerned. TensorFlow and JAX read their number
    of threads when they start.

    Args:
        task: Data, model, training and score; see `Task`.
        splits: Maps names to splits. A partitioner draws a new split for each seed, and an `Assignment` is the same
            split for all seeds. A tuple of two assignments splits the training and the test rows. A function of the
            seed may return any of these. Clients are also tested on their own test rows: those of the second
            assignment, or those that `Assignment.match` gives them.
        methods: Maps names to strategies of this package, to Flower's in `Checked`, or to `Method`s.
        seeds: Integers >= 0, all different. A seed determines the split, the initial parameters, the sampled clients,
            and what clients draw, so methods are compared seed by seed.
        num_rounds: Number of rounds of each run, >= 1.
        metric: The metric to compare, among those that `task.evaluate` returns.
        lower_is_better: Whether a lower value of it is better, as with a loss.
        most_alone: Maximum number of clients that "alone" trains, >= 1; if there are more, this many are drawn at
            random.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A number is out of range, a seed occurs twice, a name is reserved, or there is nothing to run.

    Examples:
        >>> import numpy as np, tempfile
        >>> from flskew import DirichletPartitioner, FedAvg
        >>> from flskew.study import Study
        >>> class Site:
        ...     def __init__(self, labels):
        ...         self.labels = labels
        ...
        ...     def fit(self, parameters, config):
        ...         votes = np.bincount(self.labels, minlength=2)
        ...         return [parameters[0] + votes], len(self.labels), {}
        >>> class Majority:
        ...     "Knows the larger of two classes."
        ...
        ...     labels = np.repeat([0, 1], [40, 60])
        ...     test_labels = np.repeat([0, 1], [4, 6])
        ...
        ...     def initial(self, seed):
        ...         return [np.zeros(2)]
        ...
        ...     def client(self, rows):
        ...         return Site(self.labels[rows])
        ...
        ...     def evaluate(self, parameters, rows):
        ...         right = self.test_labels[rows] == parameters[0].argmax()
        ...         return {"accuracy": right.mean()}
        >>> splits = {"dirichlet": DirichletPartitioner(3, alpha=0.5)}
        >>> study = Study(
        ...     Majority(), splits, {"FedAvg": FedAvg()}, seeds=range(3), num_rounds=2
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     results = study.run(folder)
        >>> len(results.cells)  # FedAvg, alone and pooled, with three seeds
        9
    """

    def __init__(
        self,
        task: Task,
        splits: Mapping[str, Split],
        methods: Mapping[str, Strategy | Method],
        seeds: Iterable[int] = range(5),
        num_rounds: int = 10,
        *,
        metric: str = "accuracy",
        lower_is_better: bool = False,
        most_alone: int = 10,
    ) -> None:
        check_task(task)
        self.task = task
        self.splits = read_splits(splits)
        self.methods = read_methods(methods)
        if isinstance(seeds, str) or not isinstance(seeds, Iterable):
            raise TypeError(f"seeds must be several integers, e.g. range(5), got {seeds!r:.80}")
        self.seeds = tuple(checks.integer("seeds", seed, minimum=0) for seed in seeds)
        if len(set(self.seeds)) < len(self.seeds) or not self.seeds:
            raise ValueError(f"seeds must be different integers, at least one, got {list(self.seeds)}")
        self.num_rounds = checks.integer("num_rounds", num_rounds, minimum=1)
        if not isinstance(metric, str):
            raise TypeError(f"metric must be the name of a metric, got {metric!r:.80}")
        self.metric = metric
        self.lower_is_better = checks.truth("lower_is_better", lower_is_better)
        self.most_alone = checks.integer("most_alone", most_alone, minimum=1)

    def run(self, folder: str | os.PathLike[str], *, jobs: int | None = 1) -> Results:
        """Run every cell that is not in `folder` yet, and return the results of all.

        A second call resumes where the first one stopped, even if it was interrupted. Several processes may run the
        same study in the same folder, and the files of several machines can be copied into one.

        Args:
            folder: Folder for the finished cells; created if it does not exist.
            jobs: Number of cells that run at the same time, each in a process and on one thread, by joblib. None takes
                it from joblib's `parallel_config`, which can also run them elsewhere. On a Ray cluster: call
                `ray.util.joblib.register_ray()`, then run the study in `with parallel_config(backend="ray"):`. All
                machines must see the folder under the same path, and the progress bar moves at the end only.

        Raises:
            ImportError: joblib is not installed.
            OSError: The folder or a cell cannot be written, for example because the disk is full.
            TypeError: The task lacks an attribute, returns something of another type, or cannot be sent to a process.
            ValueError: A file is damaged, or `metric` is missing. The task does not fit a split, changes when it is
                used, or returns different initial parameters for the same seed. A method needs more clients than a
                split has.
            Exception: Whatever the task raises; its note names the cell. Finished cells are kept. A client that
                diverges raises nothing: the `error` of its cell says so.
        """
        checks.optional_integer("jobs", jobs, minimum=1)
        target = Path(folder).absolute()
        files.make_folder(target)
        plan = self._plan()
        found = _load(plan.cells, [target])
        missing = {name: cell for name, cell in plan.cells.items() if name not in found}
        if missing:
            files.check_writable(target)
            split, _, seed = next(iter(missing.values()))[0]
            check_use(self.task, plan.key, self._pair(split, seed), seed, self.metric)
            works = ((target / name, work) for name, work in self._works(missing, plan.key))
            run_all(works, len(missing), jobs)
            found |= _load(missing, [target])
        return self._results(plan, found)

    def results(self, *folders: str | os.PathLike[str]) -> Results:
        """Return the results in these folders so far, without running anything.

        Raises:
            TypeError: No folder is given.
            FileNotFoundError: A folder does not exist.
            ValueError: A file is damaged; delete it to run its cell again.
        """
        if not folders:
            raise TypeError('results needs at least one folder, e.g. study.results("runs/digits")')
        plan = self._plan()
        return self._results(plan, _load(plan.cells, [Path(folder) for folder in folders]))

    def cell(self, split: str, method: str, seed: int) -> Cell:
        """Run one cell, even if it was run before, and return it; nothing is written.

        Use it to check a kept cell. On the same processor and with the same versions, the figures are equal bit for
        bit; `Cell.equals` tells.

        Args:
            split: Name of a split.
            method: Name of a method, "alone" or "pooled".
            seed: One of the seeds.

        Raises:
            KeyError: The study has no such cell.
            Exception: Whatever the task raises.
        """
        names = (*BASELINES, *self.methods)
        if split not in self.splits or method not in names or seed not in self.seeds:
            raise KeyError(
                f"the study has no cell {split!r}, {method!r}, seed {seed}; splits are {listed(self.splits)}, methods "
                f"{listed(names)}, seeds {listed(self.seeds)}"
            )
        return run_cell(self._work(split, method, seed, self._pair(split, seed), key_of(self.task)))

    def _plan(self) -> _Plan:
        """Return all cells; the rows of one split and seed at a time are in memory."""
        key = key_of(self.task)
        methods = {name: [repr(one), code_key(*classes_in(one.strategy))] for name, one in self.methods.items()}
        cells: dict[str, list[tuple[str, str, int]]] = {}
        for split in self.splits:
            for seed in self.seeds:
                pair = self._pair(split, seed)
                rows = [
                    *pair.fingerprints,
                    *(code_key(*map(type, one._links())) for one in pair.shifts if one is not None),
                ]
                for name in (*BASELINES, *self.methods):
                    work = self._work(split, name, seed, pair, key)
                    parts = [
                        key.digest, {**key.versions}, rows, methods.get(name, name), seed, work.num_rounds,
                        work.trained.tolist(),
                    ]  # fmt: skip
                    digest = blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16)
                    # Two names of the same method or split share a cell.
                    cells.setdefault(f"{digest.hexdigest()}.npz", []).append((split, name, seed))
        return _Plan(key, cells)

    def _works(self, cells: Mapping[str, Sequence[tuple[str, str, int]]], key: TaskKey) -> Iterator[tuple[str, Work]]:
        """Yield the work of each of these cells; those of one split and seed follow each other."""
        places = ((name, *same[0]) for name, same in cells.items())
        for (split, seed), some in groupby(places, key=lambda place: (place[1], place[3])):
            pair = self._pair(split, seed)
            for name, _, method, _ in some:
                yield name, self._work(split, method, seed, pair, key)

    def _pair(self, split: str, seed: int) -> Pair:
        pair = pair_for(split, self.splits[split], self.task, seed)
        check_views(self.task, split, pair)
        check_num_clients(self.methods, split, len(pair.train))
        return pair

    def _work(self, split: str, name: str, seed: int, pair: Pair, key: TaskKey) -> Work:
        method, count = self.methods.get(name), len(pair.train)
        trained, rounds = np.array([POOLED]), self.num_rounds
        if method is None:
            # As often as a client trains on average under the method that asks most of them.
            most = max(num_sampled(one.strategy, count) for one in self.methods.values())
            rounds = max(1, math.ceil(self.num_rounds * most / count))
        if name == "alone":
            trained = np.flatnonzero(pair.train.sizes)
            if len(trained) > self.most_alone:
                trained = np.sort(np.random.default_rng(seed).choice(trained, self.most_alone, replace=False))
        return Work(split, name, seed, self.task, pair, method, rounds, trained, key.versions)

    def _results(self, plan: _Plan, found: Mapping[str, Cell]) -> Results:
        # Names are not part of the key: the study may call the split or the method otherwise now.
        cells = [
            replace(found[name], split=split, method=method)
            for name, same in plan.cells.items()
            for split, method, _ in same
            if name in found
        ]
        return Results(
            cells,
            self.splits,
            [*BASELINES, *self.methods],
            self.seeds,
            metric=self.metric,
            lower_is_better=self.lower_is_better,
        )


class _Plan(NamedTuple):
    """All cells of a study by file name: split, method and seed, several if names stand for the same."""

    key: TaskKey
    cells: Mapping[str, Sequence[tuple[str, str, int]]]


def _load(names: Iterable[str], folders: Sequence[Path]) -> dict[str, Cell]:
    """Return the cells that are in a folder, by file name; the first folder that has it counts."""
    there = [(folder, {*files.names(folder)}) for folder in folders]
    found = {}
    for name in names:
        path = next((folder / name for folder, some in there if name in some), None)
        if path is not None:
            found[name] = Cell.load(path)
    return found
