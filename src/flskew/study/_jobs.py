"""Run cells, here or in several processes, and keep each as soon as it is finished."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flskew._util.progress import counted
from flskew.study._running import Work, run_cell

__all__ = ["run_all"]


def run_all(missing: Sequence[tuple[Path, Work]], jobs: int | None) -> None:
    """Run cells and save each to its path.

    Args:
        missing: The path and the work of each cell.
        jobs: Number of processes; None takes it from joblib's configuration.

    Raises:
        ImportError: joblib is not installed.
        Exception: Whatever a task raises; its note names the cell.
    """
    with counted("study", len(missing), "cell") as step:
        if jobs == 1:
            for path, work in missing:
                _run(path, work)
                step()
            return
        from joblib import Parallel, delayed  # type: ignore[import-untyped]

        for _ in Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(_run)(*one) for one in missing):
            step()


def _run(path: Path, work: Work) -> None:
    try:
        run_cell(work).save(path)
    except Exception as error:
        error.add_note(f"in the cell {work.split!r}, {work.method!r}, seed {work.seed}")
        raise
