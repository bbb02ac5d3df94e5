"""Run one cell: a federation on a `LocalGrid`; "alone" and "pooled" are federations of one client."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord
from flwr.clientapp.typing import ClientAppCallable

from flskew._util.progress import silence
from flskew._util.texts import one_line
from flskew.assignment import Assignment
from flskew.client import AbsentError, SupportsFit, client_app, partition_id
from flskew.client._replies import DoesNotEvaluateError
from flskew.shifts import View
from flskew.simulation import LocalGrid
from flskew.strategies import FedAvg, RoundError
from flskew.study._classes import classes_of
from flskew.study._extra import needed
from flskew.study._methods import copied_for
from flskew.study._pooled_view import PooledView
from flskew.study._scoring import own_scores, recall, scores
from flskew.study._seeds import POOLED, client_seed
from flskew.study._splits import Pair, num_rows
from flskew.study.cell import Cell
from flskew.study.method import Method
from flskew.study.task import Task
from flskew.typing import Config, Figures, NumExamples, Parameters, ReturnedParameters, Rows

__all__ = ["Work", "one_thread", "run_cell"]


@dataclass(frozen=True)
class Work:
    """One cell to run.

    Attributes:
        split: Name of the split.
        method: Name of the method, "alone" or "pooled".
        seed: The seed of the study.
        task: The task.
        pair: Who trains and who is tested on which rows.
        what: The method; None for a baseline.
        num_rounds: Number of rounds.
        trained: The clients that "alone" trains; -1 for the one model of the others.
        versions: What it runs on, by package.
    """

    split: str
    method: str
    seed: int
    task: Task
    pair: Pair
    what: Method | None
    num_rounds: int
    trained: Rows
    versions: Mapping[str, str]


@dataclass(frozen=True)
class _Model:
    """A trained model, None if its run ended early, and the figures of each round."""

    parameters: Parameters | None
    curves: Mapping[str, Figures]
    num_bytes: Figures
    num_dropped: Figures
    error: str


def run_cell(work: Work) -> Cell:
    """Train, evaluate, and return the figures.

    Raises:
        Exception: Whatever the task raises.
    """
    started = time.monotonic()
    with one_thread(work.versions), silence():
        models = [_train(work, int(client)) for client in work.trained]
        classes = classes_of(work.task, work.pair.train)
        trained = [model.parameters for model in models]
        names = list(models[0].curves)
        own = own_scores(work.task, work.pair, work.trained, trained, names)
        recalls = np.stack([recall(work.task, parameters, classes, names) for parameters in trained])
    return Cell(
        split=work.split,
        method=work.method,
        seed=work.seed,
        curves={name: np.mean([model.curves[name] for model in models], axis=0) for name in names},
        last={name: np.array([model.curves[name][-1] for model in models]) for name in names},
        own=own,
        recall=recalls,
        trained=work.trained,
        classes=classes.labels,
        label_counts=classes.counts,
        num_bytes=models[0].num_bytes if work.what else np.full(work.num_rounds + 1, np.nan),
        num_dropped=np.sum([model.num_dropped for model in models], axis=0),
        error=next((model.error for model in models if model.error), ""),
        seconds=time.monotonic() - started,
        fingerprints=work.pair.fingerprints,
        versions=work.versions,
        names=work.pair.train.names or (),
    )


@contextmanager
def one_thread(versions: Mapping[str, str]) -> Iterator[None]:
    """Compute on one thread within the block.

    Mini-batches are too small for threads, cells run at the same time, and the last bits of a product depend on the
    number of threads.

    Raises:
        ImportError: threadpoolctl is not installed.
    """
    threadpool_limits = needed("threadpoolctl").threadpool_limits
    if "torch" not in versions:
        with threadpool_limits(1):
            yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


class _Client:
    """The task's client, with its seed in the config and its partition in the replies."""

    def __init__(self, client: SupportsFit, seed: int, number: int, assignment: Assignment | None) -> None:
        self._client, self._seed, self._number = client, seed, number
        if assignment is not None:
            self.assignment = assignment

    def fit(
        self, parameters: Parameters, config: Config
    ) -> tuple[ReturnedParameters, NumExamples, Mapping[str, object]]:
        config = {**config, "seed": client_seed(self._seed, config["server-round"], self._number)}
        return self._client.fit(parameters, config)


class _Watch:
    """A mod that adds up the bytes of the records of each round, received and sent, and keeps the first exception."""

    def __init__(self, num_rounds: int) -> None:
        self.num_bytes = np.zeros(num_rounds + 1)
        self._mistake: BaseException | None = None

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        try:
            reply = call_next(message, context)
        except (AbsentError, DoesNotEvaluateError, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._mistake = self._mistake or error
            raise
        server_round = cast("int", message.content["config"]["server-round"])
        for records in (message.content, reply.content if reply.has_content() else {}):
            self.num_bytes[server_round] += sum(map(_num_bytes, records.values()))
        return reply

    def check(self) -> None:
        """Raise what a client has raised: a mistake in the task, while one that diverged is a result."""
        if self._mistake is not None:
            raise self._mistake


def _num_bytes(record: ArrayRecord | MetricRecord | ConfigRecord) -> int:
    """Return the size of a record; Flower looks at the first entry of every list, and fails if there is none."""
    entries: dict[str, Any] = {name: value for name, value in record.items() if value != []}
    counted = record if len(entries) == len(record) else type(record)(entries)
    num_bytes: int = counted.count_bytes()
    return num_bytes


def _train(work: Work, number: int) -> _Model:
    """Train one model: of all clients, of all rows pooled, or of one client alone."""
    task, train, rounds = work.task, work.pair.train, work.num_rounds
    is_federation = work.what is not None

    def client_fn(context: Context) -> _Client:
        mine = partition_id(context) if is_federation else number
        if mine == POOLED:
            rows: Rows = np.sort(train.rows)
            view: View | None = None if train.shift is None else PooledView(train, rows)
        else:
            # Those of an assignment are read-only, about which PyTorch warns; and a client may shuffle its own.
            rows, view = train[mine].copy(), work.pair.view(mine)
        if not len(rows):
            raise AbsentError("it has no rows")
        client = task.client(rows) if view is None else task.client(rows, view)  # type: ignore[call-arg]
        return _Client(client, work.seed, mine, train if is_federation else None)

    watch, everything, names = _Watch(rounds), np.arange(num_rows(task.test_labels)), list[str]()

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        watch.check()
        metrics = scores(task, arrays.to_numpy_ndarrays(), everything, None, names or None)
        names[:] = metrics
        return MetricRecord({**metrics})

    method = work.what or Method(FedAvg(min_train_nodes=1, min_available_nodes=1))
    strategy = copied_for(method, work.seed)
    app = client_app(client_fn, errors="full", mods=[watch])
    error = ""
    with LocalGrid(app, len(train) if is_federation else 1) as grid:
        try:
            result = strategy.start(
                grid,
                ArrayRecord(list(task.initial(work.seed))),
                num_rounds=rounds,
                train_config=method._record(),
                evaluate_fn=evaluate,
                verbose=False,
            )
        except RoundError as failure:
            watch.check()
            result, error = failure.result, one_line(f"round {failure.server_round}: {failure}")
    dropped = np.zeros(rounds + 1)
    for entry in strategy.history:
        dropped[entry.server_round] += len(entry.failures)
    return _Model(
        parameters=None if error else result.arrays.to_numpy_ndarrays(),
        curves=_curves(result.evaluate_metrics_serverapp, rounds),
        num_bytes=np.cumsum(watch.num_bytes),
        num_dropped=np.cumsum(dropped),
        error=error,
    )


def _curves(by_round: Mapping[int, MetricRecord], num_rounds: int) -> dict[str, Figures]:
    curves = {name: np.full(num_rounds + 1, np.nan) for name in by_round[0]}
    for server_round, metrics in by_round.items():
        for name, value in metrics.items():
            curves[name][server_round] = value
    return curves
