"""Comparisons of methods, paired by seed and split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._util.words import one_line, plural
from flskew.study._figures import OF_CLIENTS, What, in_words, is_lower_better, reduced, values_of
from flskew.study._grid import Grid
from flskew.study._intervals import interval_of
from flskew.study._means import alone_trained_few, interval_in_words
from flskew.study._paired import holm, p_values, verdict
from flskew.study._splits import ALL_SPLITS
from flskew.study._texts import decimals_for, p_text, with_interval
from flskew.study.cell import Cell
from flskew.study.table import Table
from flskew.typing import Figures

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gains_table"]


def gains_table(results: Grid, methods: Sequence[str], over: str, what: What) -> Table:
    """Return what `Results.gains` does."""
    import pandas as pd

    by_split = [[_paired(results, split, method, over, what) for method in methods] for split in results.splits]
    if len(by_split) > 1:
        by_split.append([_over_splits(pairs) for pairs in zip(*by_split, strict=True)])
    pairs = [pair for row in by_split for pair in row]
    gains = np.stack([pair.gains for pair in pairs])
    found = interval_of(gains, results.interval, results.confidence)
    p, num_known = p_values(gains), found.num_known.astype(int)
    splits = [*results.splits, *[ALL_SPLITS] * (len(results.splits) > 1)]
    frame = pd.DataFrame(
        {"gain": found.mean, "low": found.low, "high": found.high, "seeds": num_known, "p": p, "adjusted": holm(p)},
        index=pd.MultiIndex.from_product([splits, methods], names=["split", "method"]),
    )
    frame["verdict"] = [
        verdict(gain, adjusted, results.confidence) if number else ""
        for gain, adjusted, number in zip(frame["gain"], frame["adjusted"], num_known, strict=True)
    ]
    frame["note"] = [_note(*row) for row in zip(num_known, pairs, p, strict=True)]
    most = int(num_known.max(initial=0))
    title = (
        f"Gain over {one_line(over)} in {in_words(what, results.metric)}:\nmean over {plural(most, 'seed')}"
        f"{interval_in_words(results, most)}"
    )
    remarks = tuple(_remarks(results, {*methods, over}, what, int((~np.isnan(p)).sum())))
    return Table(title, frame, _texts(results, frame, what), remarks, words=("method", "verdict"))


class _Paired(NamedTuple):
    """How much better a method is with each seed.

    Attributes:
        gains: (num_seeds,), NaN if it is unknown.
        is_run: (num_seeds,) whether both methods have been run.
        has_failed: Whether a run ended early.
    """

    gains: Figures
    is_run: NDArray[np.bool_]
    has_failed: bool

    @property
    def is_undefined(self) -> bool:
        """Whether there is no such figure on the split, however the methods do."""
        return bool(self.is_run.any() and np.isnan(self.gains).all() and not self.has_failed)


def _paired(results: Grid, split: str, method: str, over: str, what: What) -> _Paired:
    gains, is_run, has_failed = np.full(len(results.seeds), np.nan), np.zeros(len(results.seeds), bool), False
    for place, seed in enumerate(results.seeds):
        ours, theirs = (results._by_place.get((split, name, seed)) for name in (method, over))
        if ours is not None and theirs is not None:
            gains[place], is_run[place] = _gain(results, ours, theirs, what), True
            has_failed |= bool(ours.error or theirs.error)
    return _Paired(gains, is_run, has_failed)


def _over_splits(pairs: Sequence[_Paired]) -> _Paired:
    """Return the mean over splits with each seed, without those where the figure is undefined."""
    defined = [pair.gains for pair in pairs if not pair.is_undefined]
    gains = np.mean(defined, axis=0) if defined else np.full_like(pairs[0].gains, np.nan)
    return _Paired(gains, np.all([pair.is_run for pair in pairs], axis=0), any(pair.has_failed for pair in pairs))


def _gain(results: Grid, ours: Cell, theirs: Cell, what: What) -> float:
    lower = is_lower_better(what, results.lower_is_better)
    mine, other = (values_of(cell, what, results.metric, lower) for cell in (ours, theirs))
    known = ~np.isnan(mine) & ~np.isnan(other)
    difference = reduced(mine[known], what, lower) - reduced(other[known], what, lower)
    return -difference if lower else difference


def _note(num_seeds: int, pair: _Paired, p: float) -> str:
    if not num_seeds and pair.is_run.any():
        return "ended early" if pair.has_failed else "undefined"
    if not num_seeds:
        return "not run"
    if num_seeds == 1:
        return "one seed"
    return "identical" if np.isnan(p) else ""


def _texts(results: Grid, frame: pd.DataFrame, what: What) -> pd.DataFrame:
    import pandas as pd

    decimals = decimals_for(results.figures(what))
    ends = zip(frame["gain"], frame["low"], frame["high"], strict=True)
    texts = pd.DataFrame(
        {
            "method": frame.index.get_level_values("method"),
            "gain": [with_interval(*one, decimals, interval=results.interval, sign="+") for one in ends],
            "adjusted p": frame["adjusted"].map(p_text).to_numpy(),
            "verdict": [
                f"{words} ({note})" if words and note else words or note
                for words, note in zip(frame["verdict"], frame["note"], strict=True)
            ],
        },
        index=frame.index.get_level_values("split"),
    )
    return texts.rename_axis(index=None, columns="split")


def _remarks(results: Grid, compared: set[str], what: What, num_tested: int) -> Iterator[str]:
    if is_lower_better(what, results.lower_is_better):
        yield f"A gain is how much lower the {results.metric} is."
    if num_tested > 1:
        yield f"Verdicts are corrected for {num_tested} comparisons (Holm's procedure); intervals are not."
    if what in OF_CLIENTS and any(cell.error for cell in results.cells if cell.method in compared):
        yield "Runs that ended early have no figures of clients, so their seeds do not count; see `remarks`."
    if "alone" in compared:
        for _ in alone_trained_few(results, what):
            yield "Only the clients that 'alone' trained are compared."
            break
