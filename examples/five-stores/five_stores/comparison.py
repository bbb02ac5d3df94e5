"""The scores of each store alone and of all together, with intervals over seeds, and their table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import pandas as pd
from scipy import stats

ALL = "all stores"

Figure: TypeAlias = tuple[float, float]
"""A mean over the seeds, and half the width of its 95 % t-interval."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The areas under the ROC curve of all runs."""

    stores: pd.DataFrame
    """One row per store, with its name as the index: "purchases", and "share", the fraction of Minute Maid."""

    scores: pd.DataFrame
    """One row per seed, model and test set, with the columns "seed", "model", "tested" and "auc".

    A model is the name of a store, which trained alone, or "together" or "pooled". A test set is the name of a store
    whose test rows it has, or `ALL`.
    """

    def auc(self, model: str, tested: str) -> Figure:
        """Return the AUC of a model on a test set."""
        return _figure(self._by_seed(model, tested))

    def gain(self, store: str, tested: str) -> Figure:
        """Return by how much training together raises a store's AUC, seed by seed."""
        return _figure(self._by_seed("together", tested) - self._by_seed(store, tested))

    def table(self) -> str:
        """The AUC of each store alone, and its gain, on its own customers and on those of all stores."""
        lines = [
            _line("", "", "Minute", "its own customers", "", "customers of all stores", ""),
            _line("", "purchases", "Maid", "alone", "gain together", "alone", "gain together"),
        ]
        for name, purchases, share in self.stores.itertuples():
            cells = [
                cell
                for tested in (name, ALL)
                for cell in (_shown(self.auc(name, tested)), _shown(self.gain(name, tested), "+"))
            ]
            lines.append(_line(name, str(purchases), f"{share:.0%}", *cells))
        for model in ("together", "pooled"):
            total = str(self.stores["purchases"].sum())
            lines.append(_line(model, total, "", "", "", _shown(self.auc(model, ALL)), ""))
        return "\n".join(lines)

    def _by_seed(self, model: str, tested: str) -> pd.Series[float]:
        chosen = (self.scores["model"] == model) & (self.scores["tested"] == tested)
        return self.scores[chosen].set_index("seed")["auc"]


def _figure(values: pd.Series[float]) -> Figure:
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def _shown(figure: Figure, sign: str = "") -> str:
    mean, half_width = figure
    return f"{mean:{sign}.3f} ± {half_width:.3f}"


def _line(*cells: str) -> str:
    widths = (-8, 9, 6, 17, 16, 23, 16)
    padded = (cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
