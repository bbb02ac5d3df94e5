"""Comparisons of methods, paired by seed and split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flskew._util.words import one_line, plural
from flskew.study._figures import What, in_words, is_lower_better, reduced, values_of
from flskew.study._intervals import interval_of
from flskew.study._means import alone_trained_few, interval_in_words
from flskew.study._paired import holm, p_values, verdict
from flskew.study._texts import decimals_for, p_text, with_interval
from flskew.study.cell import Cell
from flskew.study.table import Table
from flskew.typing import Figures

if TYPE_CHECKING:
    import pandas as pd

    from flskew.study.results import Results

__all__ = ["gains_table"]

_ALL = "all splits"


def gains_table(results: Results, methods: Sequence[str], over: str, what: What) -> Table:
    """Return what `Results.gains` does."""
    import pandas as pd

    gains = np.stack([_gains(results, method, over, what) for method in methods], axis=1)
    splits = list(results.splits)
    if len(splits) > 1:
        gains = np.concatenate([gains, gains.mean(axis=0, keepdims=True)])
        splits.append(_ALL)
    gains = gains.reshape(-1, len(results.seeds))
    mean, low, high, num_known = interval_of(gains, results.interval, results.confidence)
    p = p_values(gains)
    adjusted = holm(p)
    number = num_known.astype(int)
    index = pd.MultiIndex.from_product([splits, methods], names=["split", "method"])
    frame = pd.DataFrame({"gain": mean, "low": low, "high": high, "seeds": number, "p": p, "adjusted": adjusted}, index)
    frame["verdict"] = [
        verdict(gain, value, results.confidence) if count else ""
        for gain, value, count in zip(mean, adjusted, number, strict=True)
    ]
    frame["note"] = [_note(*one) for one in zip(number, p, strict=True)]
    most = int(number.max(initial=0))
    title = (
        f"Gain over {one_line(over)} in {in_words(what, results.metric)}: mean over {plural(most, 'seed')}"
        f"{interval_in_words(results, most)}"
    )
    remarks = tuple(_remarks(results, {*methods, over}, what, int((~np.isnan(p)).sum())))
    return Table(title, frame, _texts(results, frame, what), remarks, words=("method", "verdict"))


def _gains(results: Results, method: str, over: str, what: What) -> Figures:
    """(num_splits, num_seeds) how much better a method is; of the same clients if it is a figure of clients."""
    gains = np.full((len(results.splits), len(results.seeds)), np.nan)
    for place, split in enumerate(results.splits):
        for column, seed in enumerate(results.seeds):
            ours, theirs = (results._by_place.get((split, name, seed)) for name in (method, over))
            if ours is not None and theirs is not None:
                gains[place, column] = _gain(results, ours, theirs, what)
    return gains


def _gain(results: Results, ours: Cell, theirs: Cell, what: What) -> float:
    lower = is_lower_better(what, results.lower_is_better)
    mine, other = (values_of(cell, what, results.metric, lower) for cell in (ours, theirs))
    known = ~np.isnan(mine) & ~np.isnan(other)
    difference = reduced(mine[known], what, lower) - reduced(other[known], what, lower)
    return -difference if lower else difference


def _note(num_seeds: int, p: float) -> str:
    if num_seeds < 2:
        return "one seed" if num_seeds else "not run"
    return "identical" if np.isnan(p) else ""


def _texts(results: Results, frame: pd.DataFrame, what: What) -> pd.DataFrame:
    import pandas as pd

    decimals = decimals_for(results.figures(what))
    ends = zip(frame["gain"], frame["low"], frame["high"], strict=True)
    texts = pd.DataFrame(
        {
            "method": frame.index.get_level_values("method"),
            "gain": [with_interval(*one, decimals, interval=results.interval, sign="+") for one in ends],
            "p": frame["p"].map(p_text).to_numpy(),
            "adjusted": frame["adjusted"].map(p_text).to_numpy(),
            "verdict": [
                f"{words} ({note})" if words and note else words or note
                for words, note in zip(frame["verdict"], frame["note"], strict=True)
            ],
        },
        index=frame.index.get_level_values("split"),
    )
    return texts.rename_axis(index=None, columns="split")


def _remarks(results: Results, compared: set[str], what: What, num_tested: int) -> Iterator[str]:
    if is_lower_better(what, results.lower_is_better):
        yield f"A gain is how much lower the {results.metric} is."
    if num_tested > 1:
        yield f"Verdicts are corrected for all {num_tested} comparisons (Holm's procedure); intervals are not."
    if "alone" in compared:
        for _ in alone_trained_few(results, what):
            yield "Only the clients that 'alone' trained are compared."
            break
