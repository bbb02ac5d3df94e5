"""Refuse cells that do not belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flskew._util.texts import listed

if TYPE_CHECKING:
    from flskew.study.results import Results

__all__ = ["check_cells"]


def check_cells(results: Results) -> None:
    """Refuse cells of another study, of a study that lacks the metric, or of different splits with one name.

    Raises:
        ValueError: See `Results`.
    """
    fingerprints: dict[tuple[str, int], tuple[str, str]] = {}
    for cell in results.cells:
        if cell.split not in results.splits or cell.method not in results.methods or cell.seed not in results.seeds:
            raise ValueError(
                f"{cell!r} belongs to another study: splits are {listed(results.splits)}, methods "
                f"{listed(results.methods)}, seeds {listed(results.seeds)}"
            )
        if results.metric not in cell.curves:
            raise ValueError(
                f"metric={results.metric!r} was not measured; task.evaluate returned {listed(cell.curves)}"
            )
        drawn = fingerprints.setdefault((cell.split, cell.seed), cell.fingerprints)
        if drawn != cell.fingerprints:
            raise ValueError(f"{cell!r} has other rows in its clients than other cells of this split and seed")
    if len(results._by_place) < len(results.cells):
        raise ValueError("cells must be different, got two of the same split, method and seed; remove one")
