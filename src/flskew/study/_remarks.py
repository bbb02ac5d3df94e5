"""Sentences on what a careful reader of results must know."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flskew._util.words import listed, plural
from flskew.study._frames import gains_over_alone, has_same_clients
from flskew.study._grid import Grid
from flskew.study._intervals import interval_of
from flskew.study._methods import BASELINES

__all__ = ["remarks_on"]

# The best round is far above the last if the loss since then is this fraction of all that training has gained.
_FAR = 0.1
_FEWEST_SEEDS = 3


def remarks_on(results: Grid) -> Iterator[str]:
    """Yield one sentence, or a few, for each thing to know."""
    yield from _incomplete(results)
    yield from _wrong_direction(results)
    yield from _better_alone(results)
    yield from _ended_early(results)
    yield from _dropped(results)
    yield from _undefined(results)
    yield from _untested(results)
    yield from _best_far_from_last(results)


def _incomplete(results: Grid) -> Iterator[str]:
    if results.missing:
        total = results.missing + len(results.cells)
        yield f"Not run yet: {results.missing:,} of {plural(total, 'cell')}. The figures are from the others."
    if len(results.seeds) < _FEWEST_SEEDS:
        number = plural(len(results.seeds), "seed")
        yield f"With {number}, a difference may well be chance; use at least three, ideally five."


def _wrong_direction(results: Grid) -> Iterator[str]:
    curves = [cell.curves[results.metric] for cell in results.cells if cell.method == "pooled"]
    worse = [curve[-1] > curve[0] if results.lower_is_better else curve[-1] < curve[0] for curve in curves]
    if worse and all(worse):
        moves, setting = ("rises", "False") if results.lower_is_better else ("falls", "True")
        yield (
            f"{results.metric} {moves} while 'pooled' trains, on every split with every seed. If that is good, use "
            f"lower_is_better={setting}."
        )


def _better_alone(results: Grid) -> Iterator[str]:
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
                counts.append(f"{number} of {total} with {method}")
        if counts:
            drawn = "" if has_same_clients(results, split) else " (drawn anew with each seed)"
            yield (
                f"On their own test rows, clients of {split!r}{drawn} do better alone than in the federation: "
                f"{listed(counts)}."
            )


def _ended_early(results: Grid) -> Iterator[str]:
    for split in results.splits:
        for method in results.methods:
            cells = results._cells_of(split, method)
            ended = [cell for cell in cells if cell.error]
            if ended:
                number = f"{len(ended)} of {plural(len(cells), 'seed')}"
                reason = f"seed {ended[0].seed}: {ended[0].error}"
                yield (
                    f"{method} on {split!r} ended early with {number} ({reason}). On the whole test set, its last "
                    "model counts; figures of clients are those of the other seeds, so they are too optimistic."
                )


def _dropped(results: Grid) -> Iterator[str]:
    counts = []
    for split in results.splits:
        for method in results.methods:
            number = int(sum(cell.num_dropped[-1] for cell in results._cells_of(split, method)))
            if number:
                counts.append(f"{number:,} of {method} on {split!r}")
    if counts:
        yield f"Replies were dropped: {listed(counts)}."


def _undefined(results: Grid) -> Iterator[str]:
    cells = [cell for cell in results.cells if not cell.error and np.isnan(cell.curves[results.metric]).any()]
    if cells:
        where = [f"{cell.method} on {cell.split!r} with seed {cell.seed}" for cell in cells]
        yield f"{results.metric} is not a number in some rounds: {listed(where)}."


def _untested(results: Grid) -> Iterator[str]:
    for split in results.splits:
        cells = [c for c in results.cells if c.split == split and c.method != "alone" and not c.error]
        numbers = {int(np.isnan(cell.own[results.metric]).sum()) for cell in cells}
        if any(numbers):
            up_to = "up to " * (len(numbers) > 1)
            yield (
                f"On {split!r}, {up_to}{max(numbers)} of {plural(cells[0].num_clients, 'client')} have no "
                f"{results.metric} on their own test rows, and do not count in 'own' and 'worst'."
            )


def _best_far_from_last(results: Grid) -> Iterator[str]:
    best, last = results.figures("best"), results.figures("last")
    far = []
    for row, split in enumerate(results.splits):
        for column, method in enumerate(results.methods):
            known = ~np.isnan(best[row, column] - last[row, column])
            if method in BASELINES or not known.any():
                continue
            start = np.mean([cell.curves[results.metric][0] for cell in results._cells_of(split, method)])
            top, end = best[row, column][known].mean(), last[row, column][known].mean()
            if abs(top - end) > _FAR * abs(top - start):
                far.append(f"{method} on {split!r} by {abs(top - end):.2g}")
    if far:
        yield (
            f"The best round is far from the last: {listed(far)}. Training is unstable or too long, and the figure of "
            "the best round is too optimistic, because it is chosen on the test set."
        )
