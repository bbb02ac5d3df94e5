"""Pictures of results: learning curves, gains, and what each client gets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flskew._util import checks
from flskew._util.words import plural
from flskew.plots._curves import Curves, draw_curves
from flskew.plots._forest import Differences, draw_forest
from flskew.plots._pairs import draw_pairs
from flskew.study._figures import What, completed, in_words
from flskew.study._frames import client_frame
from flskew.study._intervals import interval_of
from flskew.study._methods import BASELINES
from flskew.study._paired import NO_EVIDENCE
from flskew.typing import Figures

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flskew.study.results import Results

__all__ = ["plot_clients", "plot_curves", "plot_gains"]


def plot_curves(results: Results, split: str | None, ax: Axes | None) -> Figure:
    """Draw what `Results.plot` does."""
    splits = results.splits if split is None else (split,)
    _check_one(splits, ax)
    methods = [name for name in results.methods if name not in BASELINES]
    counts = {len(results._cells_of(split, method)) for split in splits for method in methods} - {0}
    if not counts:
        raise ValueError("there is nothing to draw: no cell of a method has been run")
    panels = [
        Curves(
            split,
            lines={method: _line(results, split, method) for method in methods},
            levels={name: float(_line(results, split, name)[1, -1]) for name in BASELINES if name in results.methods},
            ends=dict(_ends(results, split, methods)),
        )
        for split in splits
    ]
    keys = (f"mean over {_range(counts, 'seed')}", f"band: {_interval(results)}")
    return draw_curves(panels, results.metric, keys, ranking=_ranking(results, methods), ax=ax)


def plot_gains(
    results: Results, frame: pd.DataFrame, over: str, what: What, split: str | None, ax: Axes | None
) -> Figure:
    """Draw what `Results.plot_gains` does, from the frame of `Results.gains`."""
    names = tuple(frame.index.unique("split"))
    splits = names if split is None else (checks.choice("split", split, names),)
    _check_one(splits, ax)
    panels = []
    for name in splits:
        rows = frame.loc[name]
        is_evident = ~rows["verdict"].isin(["", NO_EVIDENCE]).to_numpy()
        panels.append(Differences(name, rows.index.tolist(), rows[["low", "gain", "high"]].to_numpy().T, is_evident))
    counts = set(frame.loc[list(splits), "seeds"]) - {0}
    if not counts:
        raise ValueError("there is nothing to draw: no pair of cells to compare has been run, or none has a figure")
    keys = (f"mean over {_range(counts, 'seed')}", f"line: {_interval(results)}")
    return draw_forest(panels, f"gain over {over} in {in_words(what, results.metric)}", keys, ax=ax)


def plot_clients(results: Results, split: str, method: str, over: str, ax: Axes | None) -> Figure:
    """Draw what `Results.plot_clients` does."""
    frame = client_frame(results, split, "own")
    pairs = frame[[(over, "mean"), (method, "mean")]].dropna()
    if pairs.empty:
        raise ValueError(
            f"there is nothing to draw: on {split!r}, no client has been tested under both {method!r} and {over!r}"
        )
    names = []
    for place in pairs.index:
        seed, client = place if isinstance(place, tuple) else (None, place)
        name = client if isinstance(client, str) else f"client {client}"
        names.append(name if seed is None else f"{name}, seed {seed}")
    label = f"{results.metric} on a client's own test rows"
    return draw_pairs(names, pairs.to_numpy(), (over, method), label, lower_is_better=results.lower_is_better, ax=ax)


def _check_one(splits: Collection[str], ax: Axes | None) -> None:
    if ax is not None and len(splits) > 1:
        raise ValueError(f"ax has room for one of the {len(splits)} panels; choose one with split=, or omit ax")


def _line(results: Results, split: str, method: str) -> Figures:
    """(3, num_rounds + 1) the low end of the interval, the mean and the high end in each round; NaN if not run."""
    curves = [completed(cell, results.metric) for cell in results._cells_of(split, method)]
    if not curves:
        num_rounds = max(len(cell.curves[results.metric]) for cell in results.cells) - 1
        return np.full((3, num_rounds + 1), np.nan)
    found = interval_of(np.stack(curves, axis=1), results.interval, results.confidence)
    return np.stack([found.low, found.mean, found.high])


def _ends(results: Results, split: str, methods: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield the methods with runs that ended early, and the last round of the first of these runs."""
    for method in methods:
        ended = [cell.curves[results.metric] for cell in results._cells_of(split, method) if cell.error]
        if ended:
            yield method, min(int(max(np.flatnonzero(~np.isnan(curve)), default=0)) for curve in ended)


def _ranking(results: Results, methods: Sequence[str]) -> list[str]:
    """Return the methods from best to worst in the last round, over all splits; those that were not run are last."""
    by_method = results.figures("last").swapaxes(0, 1).reshape(len(results.methods), -1)
    means = interval_of(by_method, results.interval, results.confidence).mean
    scores = {method: means[results.methods.index(method)] for method in methods}
    sign = 1 if results.lower_is_better else -1
    return sorted(methods, key=lambda method: (np.isnan(scores[method]), sign * scores[method]))


def _range(counts: Collection[int], word: str) -> str:
    few, many = min(counts), max(counts)
    return plural(many, word) if few == many else f"{few} to {plural(many, word)}"


def _interval(results: Results) -> str:
    return f"{100 * results.confidence:g} % {'bootstrap ' * (results.interval == 'bootstrap')}interval"
