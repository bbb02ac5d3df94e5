"""Sentences on what a careful reader of results must know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from flskew._util.words import listed, plural
from flskew.study._frames import gains_over_alone, has_same_clients
from flskew.study._intervals import interval_of
from flskew.study._methods import BASELINES

if TYPE_CHECKING:
    from flskew.study.results import Results

__all__ = ["remarks_on"]

# The best round is far above the last if the loss since then is this fraction of all that training has gained.
_FAR = 0.1
_FEWEST_SEEDS = 3


def remarks_on(results: Results) -> Iterator[str]:
    """Yield one sentence, or a few, for each thing to know."""
    yield from _incomplete(results)
    yield from _better_alone(results)
    yield from _ended_early(results)
    yield from _dropped(results)
    yield from _undefined(results)
    yield from _best_far_from_last(results)


def _incomplete(results: Results) -> Iterator[str]:
    if results.missing:
        total = results.missing + len(results.cells)
        yield f"{plural(results.missing, 'cell')} of {total:,} have not been run; figures are of the others."
    if len(results.seeds) < _FEWEST_SEEDS:
        yield (
            f"{plural(len(results.seeds), 'seed')}: a difference may well be chance; use at least {_FEWEST_SEEDS}, "
            "better five."
        )


def _better_alone(results: Results) -> Iterator[str]:
    for split in results.splits:
        counts = []
        for method in results.methods:
            if method in BASELINES:
                continue
            gains = gains_over_alone(results, split, method)
            if has_same_clients(results, split):
                gains = interval_of(gains.T, "t", results.confidence).mean
            number, total = int((gains < 0).sum()), int((~np.isnan(gains)).sum())
            if number:
                counts.append(f"{number} of {total} than with {method}")
        if counts:
            drawn = "" if has_same_clients(results, split) else ", those of all seeds counted"
            yield f"On their own test rows, some clients of {split!r} do better alone: {listed(counts)}{drawn}."


def _ended_early(results: Results) -> Iterator[str]:
    for split in results.splits:
        for method in results.methods:
            cells = results._cells_of(split, method)
            ended = [cell for cell in cells if cell.error]
            if ended:
                number = f"{len(ended)} of {plural(len(cells), 'seed')}"
                reason = f"seed {ended[0].seed}: {ended[0].error}"
                yield f"{method} on {split!r} ended early with {number}, so its last model counts ({reason})."


def _dropped(results: Results) -> Iterator[str]:
    counts = []
    for split in results.splits:
        for method in results.methods:
            number = int(sum(cell.num_dropped[-1] for cell in results._cells_of(split, method)))
            if number:
                counts.append(f"{number:,} of {method} on {split!r}")
    if counts:
        yield f"Replies were dropped: {listed(counts)}."


def _undefined(results: Results) -> Iterator[str]:
    cells = [cell for cell in results.cells if not cell.error and np.isnan(cell.curves[results.metric]).any()]
    if cells:
        where = [f"{cell.method} on {cell.split!r} with seed {cell.seed}" for cell in cells]
        yield f"{results.metric} is not a number in some rounds: {listed(where)}."


def _best_far_from_last(results: Results) -> Iterator[str]:
    best, last = results.figures("best"), results.figures("last")
    far = []
    for row, split in enumerate(results.splits):
        for column, method in enumerate(results.methods):
            start = np.array([cell.curves[results.metric][0] for cell in results._cells_of(split, method)])
            lost = np.abs(best[row, column] - last[row, column])
            lost = lost[~np.isnan(lost)]
            gained = np.abs(best[row, column][~np.isnan(best[row, column])].mean() - start.mean()) if len(start) else 0
            if method not in BASELINES and len(lost) and lost.mean() > _FAR * gained:
                far.append(f"{method} on {split!r} by {lost.mean():.2g}")
    if far:
        yield (
            f"The best round is far from the last: {listed(far)}. Training is unstable or too long, and the figure of "
            "the best round is too optimistic, because it is chosen on the test set."
        )
