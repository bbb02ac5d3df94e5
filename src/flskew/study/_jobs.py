"""Run cells, here or in several processes, and keep each as soon as it is finished."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flskew._util.progress import counted
from flskew.study._running import Work, run_cell

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

    calls = (delayed(_run_there)(work) for work in missing)
    # One cell at a time: joblib would send several at once if the first ones are fast.
    options: dict[str, Any] = {"batch_size": 1, "return_as": "generator_unordered"}
    if jobs is not None:
        with parallel_config("loky", inner_max_num_threads=1):
            yield from Parallel(n_jobs=jobs, **options)(calls)
        return
    try:
        parallel = Parallel(**options)
    except ValueError:  # The backend returns all results at the end, as Ray's does.
        parallel = Parallel(batch_size=1)
    yield from parallel(calls)


def _run(cell: tuple[Path, Work]) -> None:
    path, work = cell
    if path.exists():  # Another process that runs the same study was faster.
        return
    try:
        run_cell(work).save(path)
    except Exception as error:
        error.add_note(f"in the cell {work.split!r}, {work.method!r}, seed {work.seed}; finished cells are kept")
        raise


def _run_there(cell: tuple[Path, Work]) -> None:
    """Run a cell in another process, which can only send exceptions that can be copied."""
    try:
        _run(cell)
    except Exception as error:
        try:
            copy.copy(error)
        except Exception:
            text = "\n".join([f"{type(error).__name__}: {error}", *error.__notes__])
            raise RuntimeError(text) from error
        raise
