"""The scores of each clinic alone and of all together, with intervals over seeds, and their table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import pandas as pd
from scipy import stats

ALL = "all clinics"

Figure: TypeAlias = tuple[float, float]
"""A mean over the seeds, and half the width of its 95 % t-interval."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The scores of all runs for one target."""

    target: str
    women: pd.Series[int]
    """(num_clinics,) number of women of each clinic, with its name as the index."""

    scores: pd.DataFrame
    """One row per seed, model and test set, with the columns "seed", "model", "tested" and "score".

    A model is the name of a clinic, which trained alone, or "together" or "pooled". A test set is the name of a clinic
    whose test rows it has, or `ALL`.
    """

    def score(self, model: str, tested: str) -> Figure:
        """Return the score of a model on a test set."""
        return _figure(self._by_seed(model, tested))

    def gain(self, clinic: str, tested: str) -> Figure:
        """Return by how much training together raises a clinic's score, seed by seed."""
        return _figure(self._by_seed("together", tested) - self._by_seed(clinic, tested))

    def table(self) -> str:
        """The score of each clinic alone, and its gain, on its own patients and on those of all clinics."""
        lines = [
            _line("", "", "its own patients", "", "patients of all clinics", ""),
            _line("", "women", "alone", "gain together", "alone", "gain together"),
        ]
        for clinic, count in self.women.items():
            cells = [
                cell
                for tested in (str(clinic), ALL)
                for cell in (_shown(self.score(str(clinic), tested)), _shown(self.gain(str(clinic), tested), "+"))
            ]
            lines.append(_line(str(clinic), str(count), *cells))
        for model in ("together", "pooled"):
            lines.append(_line(model, str(self.women.sum()), "", "", _shown(self.score(model, ALL)), ""))
        return "\n".join(lines)

    def _by_seed(self, model: str, tested: str) -> pd.Series[float]:
        chosen = (self.scores["model"] == model) & (self.scores["tested"] == tested)
        return self.scores[chosen].set_index("seed")["score"]


def _figure(values: pd.Series[float]) -> Figure:
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def _shown(figure: Figure, sign: str = "") -> str:
    mean, half_width = figure
    return f"{mean:{sign}.3f} ± {half_width:.3f}"


def _line(*cells: str) -> str:
    widths = (-8, 5, 16, 16, 16, 16)
    padded = (cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
