"""The figures of a cell: of its curve on the whole test set, and of its clients."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np

from flskew._util import checks
from flskew.study.cell import Cell
from flskew.typing import Figures

__all__ = ["OF_CLIENTS", "What", "best_of", "checked", "completed", "in_words", "is_lower_better", "reduced"]
__all__ += ["values_of"]

What: TypeAlias = Literal["last", "best", "area", "own", "worst", "unseen"]
"""A figure of a run.

- "last": the metric on the whole test set after the last round.
- "best": the metric on the whole test set after the best round.
- "area": the mean of the metric on the whole test set over all rounds, which is the area under its curve divided by the
  number of rounds.
- "own": the mean over the clients of the metric on each client's own test rows after the last round, all clients with
  the same weight.
- "worst": the metric of the worst client on its own test rows after the last round.
- "unseen": the mean over the clients of the recall of the classes that a client never had, after the last round.

If a run ended early, the first three take its last model for the rounds that are missing. The other three do not
include this run.
"""

_WORDS: dict[What, str] = {
    "last": "on the whole test set after the last round",
    "best": "on the whole test set in the best round",
    "area": "on the whole test set, averaged over the rounds",
    "own": "on the clients' own test rows, on average",
    "worst": "of the worst client on its own test rows",
    "unseen": "recall of the classes that a client never had, on average",
}
OF_CLIENTS: tuple[What, ...] = ("own", "worst", "unseen")
"""The figures that are reduced from one value per client."""


def checked(what: What) -> What:
    """Return the name of a figure.

    Raises:
        ValueError: There is no such figure.
    """
    return checks.choice("what", what, get_args(What))


def in_words(what: What, metric: str) -> str:
    """Return what a figure says.

    Examples:
        >>> in_words("last", "accuracy")
        'accuracy on the whole test set after the last round'
    """
    return _WORDS[what] if what == "unseen" else f"{metric} {_WORDS[what]}"


def is_lower_better(what: What, lower_is_better: bool) -> bool:
    """Return whether lower is better, which never holds for recall."""
    return lower_is_better and what != "unseen"


def completed(cell: Cell, metric: str) -> Figures:
    """(num_rounds + 1,) the curve; after a run that ended early, that of a run that kept its last model.

    Without it, a method that breaks down with some seeds would be judged by the others only.
    """
    curve = cell.curves[metric]
    known = np.flatnonzero(~np.isnan(curve))
    if not cell.error or not len(known):
        return curve
    return np.concatenate([curve[: known[-1] + 1], np.full(len(curve) - known[-1] - 1, curve[known[-1]])])


def values_of(cell: Cell, what: What, metric: str, lower_is_better: bool) -> Figures:
    """(1,) a figure of the whole test set, or (num_clients,) values of the clients; NaN where there are none."""
    if what == "unseen":
        return cell.unseen()
    if what in OF_CLIENTS:
        return cell.own[metric]
    curve = completed(cell, metric)
    if what == "last":
        return curve[-1:]
    rounds = curve[1:]
    if what == "area":
        return np.array([rounds.mean()])
    known = rounds[~np.isnan(rounds)]
    return np.array([best_of(known, lower_is_better) if len(known) else np.nan])


def reduced(values: Figures, what: What, lower_is_better: bool) -> float:
    """Return the figure of these values, of those that are known; NaN if none is."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.nan
    return best_of(known, not lower_is_better) if what == "worst" else float(known.mean())


def best_of(values: Figures, lower_is_better: bool) -> float:
    """Return the best of at least one value."""
    return float(values.min() if lower_is_better else values.max())
