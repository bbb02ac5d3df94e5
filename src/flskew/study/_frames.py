"""Results as data frames: of cells, of clients and of classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from flskew.study._figures import What
from flskew.study._grid import Grid
from flskew.study._intervals import interval_of
from flskew.study.cell import Cell
from flskew.typing import Figures, Rows

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["cell_frame", "client_frame", "gains_over_alone", "has_same_clients", "of_clients", "recall_frame"]


def cell_frame(results: Grid) -> pd.DataFrame:
    """Return what `Results.to_frame` does."""
    import pandas as pd

    columns: dict[str, list[object]] = {
        "split": [cell.split for cell in results.cells],
        "method": [cell.method for cell in results.cells],
        "seed": [cell.seed for cell in results.cells],
    }
    for what in get_args(What):
        figures = results.figures(what)
        columns[what] = [figures[results._place(cell)] for cell in results.cells]
    columns["rounds"] = [len(cell.num_bytes) - 1 for cell in results.cells]
    columns["bytes"] = [cell.num_bytes[-1] for cell in results.cells]
    columns["dropped"] = [int(cell.num_dropped[-1]) for cell in results.cells]
    columns["seconds"] = [cell.seconds for cell in results.cells]
    columns["error"] = [cell.error for cell in results.cells]
    columns["fingerprint"] = [cell.fingerprints[0] for cell in results.cells]
    return pd.DataFrame(columns)


def client_frame(results: Grid, split: str, what: Literal["own", "last"]) -> pd.DataFrame:
    """Return what `Results.clients` does."""
    import pandas as pd

    is_drawn = not has_same_clients(results, split)
    columns: dict[tuple[str, str], Figures] = {}
    for method in results.methods:
        values = of_clients(results, split, method, what)
        gains = gains_over_alone(results, split, method, what)
        if is_drawn:
            columns[method, "mean"] = values.ravel()
            if method != "alone":
                columns[method, "gain"] = gains.ravel()
            continue
        columns[method, "mean"] = interval_of(values.T, results.interval, results.confidence).mean
        if method != "alone":
            mean, low, high, _ = interval_of(gains.T, results.interval, results.confidence)
            columns[method, "gain"], columns[method, "low"], columns[method, "high"] = mean, low, high
    names = _names([cell for cell in results.cells if cell.split == split])
    index = pd.Index(names, name="client")
    if is_drawn:
        index = pd.MultiIndex.from_product([results.seeds, names], names=["seed", "client"])
    return pd.DataFrame(columns, index=index)


def recall_frame(results: Grid, split: str) -> pd.DataFrame:
    """Return what `Results.recall` does."""
    import pandas as pd

    found = {}
    for method in results.methods:
        cells = results._cells_of(split, method)
        if cells:
            found[method] = np.mean([cell.recall.mean(axis=0) for cell in cells], axis=0)
    classes = next((cell.classes for cell in results.cells if cell.split == split), np.array([]))
    frame = pd.DataFrame.from_dict(found, orient="index", columns=pd.Index(classes.tolist(), name="class"))
    return frame.reindex(list(results.methods)).rename_axis(index="method")


def of_clients(results: Grid, split: str, method: str, what: Literal["own", "last"] = "own") -> Figures:
    """(num_seeds, num_clients) the metric of each client's model on its own test rows, or on all of them."""
    number = max((cell.num_clients for cell in results.cells if cell.split == split), default=0)
    found = np.full((len(results.seeds), number), np.nan)
    for cell in results._cells_of(split, method):
        places: slice | Rows = slice(cell.num_clients)
        if what == "last" and method == "alone":
            places = cell.trained
        found[results.seeds.index(cell.seed), places] = getattr(cell, what)[results.metric]
    return found


def gains_over_alone(results: Grid, split: str, method: str, what: Literal["own", "last"] = "own") -> Figures:
    """(num_seeds, num_clients) how much better a method is for each client than training alone."""
    difference = of_clients(results, split, method, what) - of_clients(results, split, "alone", what)
    return -difference if results.lower_is_better else difference


def has_same_clients(results: Grid, split: str) -> bool:
    """Whether client 3 of one seed is like client 3 of another: the same site, or as many rows of the same classes."""
    cells = [cell for cell in results.cells if cell.split == split]
    if len({cell.fingerprints[0] for cell in cells}) < 2:
        return True
    if len({cell.names for cell in cells}) == 1 and cells[0].names:
        return True
    counts = [cell.label_counts for cell in cells]
    if len({one.shape for one in counts}) > 1 or not counts[0].size:
        return False
    # Equal shares are rounded up with one seed and down with another.
    return bool(np.ptp(counts, axis=0).max() <= 1 and np.ptp(np.sign(counts), axis=0).max() == 0)


def _names(cells: Iterable[Cell]) -> list[str] | list[int]:
    longest = max(cells, key=lambda cell: cell.num_clients, default=None)
    if longest is None:
        return []
    return list(longest.names) or list(range(longest.num_clients))
