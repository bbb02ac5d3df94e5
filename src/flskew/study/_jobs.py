"""Run cells, here or in several processes, and keep each as soon as it is finished."""

from __future__ import annotations

import copy
import copyreg
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from pickle import PicklingError
from threading import Thread
from typing import Any

from flskew._util import files
from flskew._util.progress import counted
from flskew.study._extra import needed
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
        for _ in _one_by_one(missing) if jobs == 1 else _in_processes(missing, jobs):
            step()


def _one_by_one(missing: Iterable[tuple[Path, Work]]) -> Iterator[object]:
    for cell in missing:
        _run(cell)  # `map` would end at a StopIteration from a task, as if all cells were finished.
        yield None


def _in_processes(missing: Iterable[tuple[Path, Work]], jobs: int | None) -> Iterator[object]:
    joblib = needed("joblib")
    delayed, parallel = joblib.delayed, joblib.Parallel
    if sys.version_info < (3, 12):
        copyreg.pickle(cached_property, _parts_of_cached)
    # One cell at a time: joblib would send several at once if the first ones are fast.
    options: dict[str, Any] = {"batch_size": 1, "return_as": "generator_unordered"}
    name = files.token()
    calls = (delayed(_run_there)(path, work, name, os.getpid()) for path, work in missing)
    try:
        if jobs is not None:
            with joblib.parallel_config("loky", inner_max_num_threads=1):
                yield from parallel(n_jobs=jobs, **options)(calls)
            return
        try:
            run = parallel(**options)
        except ValueError:  # The backend returns all results at the end, as Ray's does.
            run = parallel(batch_size=1)
        yield from run(calls)
    except (AttributeError, PicklingError, TypeError) as error:
        if "pickle" not in str(error) or hasattr(error, "__notes__"):  # of a split, or of a cell
            raise
        # The cause that joblib gives is a traceback in quotation marks.
        *_, cause = str(error.__cause__ or error).strip('"\n').splitlines()
        raise TypeError(f"the task cannot be sent to other processes; use jobs=1 ({cause})") from error


def _parts_of_cached(
    attribute: cached_property[Any],
) -> tuple[Callable[..., cached_property[Any]], tuple[Any, ...], dict[str, Any]]:
    """Return how to make a cached property of a class in a script or notebook; its lock cannot be sent."""
    state = {name: value for name, value in vars(attribute).items() if name not in ("func", "lock")}
    return cached_property, (attribute.func,), state


_tasks: dict[str, Task] = {}
"""The task of the latest study in this process, so that what it has loaded lazily is loaded once, not for each cell."""


def _run(cell: tuple[Path, Work]) -> None:
    path, work = cell
    if path.exists():  # Another process that runs the same study was faster.
        return
    try:
        run_cell(work).save(path)
    except Exception as error:
        error.add_note(f"in the cell {work.split!r}, {work.method!r}, seed {work.seed}; finished cells are kept")
        raise


def _run_there(path: Path, work: Work, name: str, parent: int) -> None:
    """Run a cell in another process, which can only send exceptions that can be copied.

    Args:
        path: Where to save it.
        work: What to run.
        name: Identifies the call of `run_all`, and so the task.
        parent: The process that sent it.
    """
    _end_with(parent)
    if name not in _tasks:
        _tasks.clear()
        _tasks[name] = work.task
    try:
        _run((path, replace(work, task=_tasks[name])))
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
