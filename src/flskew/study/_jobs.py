"""Run cells, here or in several processes, and keep each as soon as it is finished."""

from __future__ import annotations

import copy
import os
import pickle
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any, cast

import numpy as np

from flskew._util import files
from flskew._util.progress import counted
from flskew.study._running import Work, run_cell
from flskew.study.task import Task

__all__ = ["run_all"]


def run_all(missing: Iterable[tuple[Path, Work]], count: int, jobs: int | None) -> None:
    """Run cells and save each to its path.

    Args:
        missing: The path and the work of each cell; taken a few at a time.
        count: Number of cells.
        jobs: Number of processes; None takes it from joblib's configuration.

    Raises:
        ImportError: joblib is not installed.
        OSError: A cell cannot be written.
        Exception: Whatever a task raises; its note names the cell.
    """
    with counted("study", count, "cell") as step:
        for _ in map(_run, missing) if jobs == 1 else _in_processes(missing, jobs):
            step()


def _in_processes(missing: Iterable[tuple[Path, Work]], jobs: int | None) -> Iterator[object]:
    from joblib import Parallel, delayed, parallel_config  # type: ignore[import-untyped]

    # One cell at a time: joblib would send several at once if the first ones are fast.
    options: dict[str, Any] = {"batch_size": 1, "return_as": "generator_unordered"}
    calls = (delayed(_run_there)(*one, os.getpid()) for one in _packed(missing))
    if jobs is not None:
        with parallel_config("loky", inner_max_num_threads=1):
            yield from Parallel(n_jobs=jobs, **options)(calls)
        return
    try:
        parallel = Parallel(**options)
    except ValueError:  # The backend returns all results at the end, as Ray's does.
        parallel = Parallel(batch_size=1)
    yield from parallel(calls)


class _Parcel:
    """A task that is pickled once, not for each cell, and unpickled once in each process."""

    def __init__(self, task: Task) -> None:
        # Older releases of joblib contain it.
        cloudpickle = import_module("cloudpickle" if find_spec("cloudpickle") else "joblib.externals.cloudpickle")
        buffers: list[pickle.PickleBuffer] = []
        try:
            content = cloudpickle.dumps(task, protocol=5, buffer_callback=buffers.append)
        except Exception as error:
            raise TypeError(f"the task cannot be sent to other processes; use jobs=1 ({error})") from error
        self.name = files.token()
        # As arrays, because joblib maps large ones into the memory of all processes.
        self.parts = [np.frombuffer(part, np.uint8) for part in (content, *(buffer.raw() for buffer in buffers))]

    def task(self) -> Task:
        """Return the task; its large arrays are read-only."""
        if self.name not in _tasks:
            _tasks.clear()
            # Like all that joblib sends; nothing is unpickled that another program wrote.
            _tasks[self.name] = pickle.loads(self.parts[0].data, buffers=self.parts[1:])
        return _tasks[self.name]


_tasks: dict[str, Task] = {}
"""The task of the latest parcel."""


def _packed(missing: Iterable[tuple[Path, Work]]) -> Iterator[tuple[Path, Work, _Parcel]]:
    """Yield each cell without its task, and the task as a parcel."""
    parcel = None
    for path, work in missing:
        parcel = parcel or _Parcel(work.task)
        yield path, replace(work, task=cast("Task", None)), parcel


def _run(cell: tuple[Path, Work]) -> None:
    path, work = cell
    if path.exists():  # Another process that runs the same study was faster.
        return
    try:
        run_cell(work).save(path)
    except Exception as error:
        error.add_note(f"in the cell {work.split!r}, {work.method!r}, seed {work.seed}; finished cells are kept")
        raise


def _run_there(path: Path, work: Work, parcel: _Parcel, parent: int) -> None:
    """Run a cell in another process, which can only send exceptions that can be copied."""
    _end_with(parent)
    try:
        _run((path, replace(work, task=parcel.task())))
    except Exception as error:
        try:
            copy.copy(error)
        except Exception:
            text = "\n".join([f"{type(error).__name__}: {error}", *error.__notes__])
            raise RuntimeError(text) from error
        raise


@cache
def _end_with(parent: int) -> None:
    """End this process when the one that started it has ended, even by kill -9; joblib would let it wait for work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.getppid() == parent:
        Thread(target=watch, name="flskew-parent", daemon=True).start()
