"""The mean of each method on each split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flskew._util.words import plural
from flskew.study._figures import OF_CLIENTS, What, best_of, in_words, is_lower_better
from flskew.study._grid import Grid
from flskew.study._intervals import Interval, interval_of
from flskew.study._methods import BASELINES
from flskew.study._texts import decimals_for, with_interval
from flskew.study.table import Table

__all__ = ["alone_trained_few", "interval_in_words", "means_table"]


def means_table(results: Grid, what: What) -> Table:
    """Return what `Results.table` does."""
    import pandas as pd

    figures = results.figures(what)
    found = interval_of(figures, results.interval, results.confidence)
    best = _best(results, found, what)
    index = pd.MultiIndex.from_product([results.splits, results.methods], names=["split", "method"])
    frame = pd.DataFrame(
        {
            "mean": found.mean.ravel(),
            "low": found.low.ravel(),
            "high": found.high.ravel(),
            "seeds": found.num_known.ravel().astype(int),
        },
        index=index,
    )
    decimals, most = decimals_for(figures), int(found.num_known.max(initial=0))

    def text(split: int, method: int) -> str:
        mean, low, high, number = (float(values[split, method]) for values in found)
        mark = "* " if best[split, method] else ""
        seeds = f" ({plural(int(number), 'seed')})" if 0 < number < most else ""
        return f"{mark}{with_interval(mean, low, high, decimals, interval=results.interval)}{seeds}"

    columns = {name: [text(row, one) for one in range(len(results.methods))] for row, name in enumerate(results.splits)}
    texts = pd.DataFrame(columns, index=list(results.methods)).rename_axis(columns="method")
    title = f"{in_words(what, results.metric)}:\nmean over {plural(most, 'seed')}"
    remarks = [*alone_trained_few(results, what)]
    if best.any():
        word = "lowest" if is_lower_better(what, results.lower_is_better) else "highest"
        marked = f"`*` marks the {word} mean of a method on each split; `gains` says which differences are more than "
        remarks = [f"{marked}chance.", *remarks]
    return Table(f"{title}{interval_in_words(results, most)}", frame, texts, tuple(remarks))


def interval_in_words(results: Grid, num_seeds: int) -> str:
    """Return what the interval is, for a title; nothing if there is none."""
    if num_seeds < 2:
        return ""
    percent = f"{100 * results.confidence:g} %"
    return f" ± half of the {percent} interval" if results.interval == "t" else f" [{percent} bootstrap interval]"


def alone_trained_few(results: Grid, what: What) -> Iterator[str]:
    """Say that the figures of "alone" are of fewer clients than those of the methods."""
    if what not in OF_CLIENTS:
        return
    cells = [cell for cell in results.cells if cell.method == "alone"]
    few = {cell.split: cell for cell in cells if len(cell.trained) < cell.num_clients}
    for split, cell in few.items():
        yield (
            f"'alone' trained {len(cell.trained)} of the {cell.num_clients} clients of {split!r}, and its figures are "
            "those of these clients; gains(over='alone') compares all methods on them."
        )


def _best(results: Grid, found: Interval, what: What) -> NDArray[np.bool_]:
    """(num_splits, num_methods) the best mean of the methods with all seeds, if there are several methods."""
    is_method = np.array([name not in BASELINES for name in results.methods])
    best = np.zeros(found.mean.shape, bool)
    for split, mean in enumerate(found.mean):
        number = found.num_known[split]
        compared = is_method & (number > 0) & (number == number[is_method].max(initial=0))
        if compared.sum() > 1:
            best[split] = compared & (mean == best_of(mean[compared], is_lower_better(what, results.lower_is_better)))
    return best
