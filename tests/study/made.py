"""Cells with given figures, as if they had been run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from flskew.study import Cell, Results

__all__ = ["made_cell", "results_of"]


def made_cell(split: str, method: str, seed: int, curve: Sequence[float], **given: Any) -> Cell:
    """Return a cell with this curve of accuracy; everything else can be given, too."""
    own = np.asarray(given.pop("own", [curve[-1]] * 2), float)
    fields: dict[str, Any] = {
        "curves": {"accuracy": np.array(curve, float), "loss": 1 - np.array(curve, float)},
        "last": {"accuracy": np.array(curve[-1:], float), "loss": 1 - np.array(curve[-1:], float)},
        "own": {"accuracy": own, "loss": 1 - own},
        "recall": np.array([[1.0, 0.5]]),
        "trained": np.array([-1]),
        "classes": np.array([0, 1]),
        "label_counts": np.tile([30, 10], (len(own), 1)),
        "num_bytes": 1000.0 * np.arange(len(curve)),
        "num_dropped": np.zeros(len(curve)),
        "error": "",
        "seconds": 0.5,
        "fingerprints": ("train", "test"),
        "versions": {"flskew": "0"},
    }
    return Cell(split=split, method=method, seed=seed, **{**fields, **given})


def results_of(
    figures: Any,
    *,
    splits: Iterable[str] = ("iid",),
    methods: Iterable[str] = ("FedAvg", "FedDyn"),
    curve: Callable[[float], Sequence[float]] = lambda last: [0.0, last],
    **settings: Any,
) -> Results:
    """Return results whose last accuracies are `figures` (num_splits, num_methods, num_seeds); NaN if not run."""
    figures = np.asarray(figures, float)
    splits, methods, seeds = list(splits), list(methods), range(figures.shape[-1])
    cells = [
        made_cell(split, method, seed, curve(figures[row, column, seed]))
        for row, split in enumerate(splits)
        for column, method in enumerate(methods)
        for seed in seeds
        if not np.isnan(figures[row, column, seed])
    ]
    return Results(cells, splits, methods, seeds, **settings)
