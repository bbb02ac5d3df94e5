"""Rounds and bytes until a target is reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from flskew._util import checks
from flskew._util.words import plural
from flskew.study._grid import Grid
from flskew.study._methods import BASELINES
from flskew.study._texts import bytes_text
from flskew.study.table import Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["targets_table"]


def targets_table(results: Grid, value: float) -> Table:
    """Return what `Results.to_target` does."""
    import pandas as pd

    target = checks.finite("value", value, "e.g. 0.9")
    methods = [name for name in results.methods if name not in BASELINES]
    rows = [_row(results, split, method, target) for split in results.splits for method in methods]
    index = pd.MultiIndex.from_product([results.splits, methods], names=["split", "method"])
    frame = pd.DataFrame(rows, index, columns=["reached", "seeds", "rounds", "bytes"])
    frame = frame.astype({"reached": int, "seeds": int})
    relation = "at most" if results.lower_is_better else "at least"
    return Table(
        f"Rounds and bytes until {results.metric} on the whole test set is {relation} {target:g}",
        frame,
        _texts(frame),
        tuple(_remarks(results, frame, target)),
        words=("method",),
    )


def _row(results: Grid, split: str, method: str, target: float) -> tuple[float, ...]:
    cells = results._cells_of(split, method)
    rounds, sent = [], []
    for cell in cells:
        curve = cell.curves[results.metric]
        hits = np.flatnonzero(curve <= target if results.lower_is_better else curve >= target)
        if len(hits):
            rounds.append(hits[0])
            sent.append(cell.num_bytes[hits[0]])
    if not rounds:
        return 0, len(cells), np.nan, np.nan
    return len(rounds), len(cells), float(np.mean(rounds)), float(np.mean(sent))


def _texts(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    texts = pd.DataFrame(
        {
            "method": frame.index.get_level_values("method"),
            "rounds": frame["rounds"].map(lambda mean: "-" if np.isnan(mean) else f"{mean:.1f}").to_numpy(),
            "bytes": frame["bytes"].map(bytes_text).to_numpy(),
            "reached by": [
                f"{reached} of {plural(seeds, 'seed')}"
                for reached, seeds in zip(frame["reached"], frame["seeds"], strict=True)
            ],
        },
        index=frame.index.get_level_values("split"),
    )
    return texts.rename_axis(index=None, columns="split")


def _remarks(results: Grid, frame: pd.DataFrame, target: float) -> Iterator[str]:
    some = (frame["reached"] > 0) & (frame["reached"] < frame["seeds"])
    if some.any():
        yield "Means are over the seeds that reached the target, so where some did not, they are too optimistic."
    for split in results.splits:
        own = frame.loc[split]
        if own["seeds"].any() and not own["reached"].any():
            yield f"No method reached {target:g} on {split!r} with any seed."
