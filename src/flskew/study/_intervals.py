"""Confidence intervals of a mean over seeds."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from flskew.study._extra import needed
from flskew.typing import Figures

__all__ = ["Interval", "interval_of"]

_NUM_RESAMPLES = 9_999


class Interval(NamedTuple):
    """Means and their confidence intervals, any number at once.

    Attributes:
        mean: (..., num_means) mean over the seeds; NaN without a known value.
        low: (..., num_means) lower ends of the intervals; NaN with fewer than two known values.
        high: (..., num_means) upper ends.
        num_known: (..., num_means) number of known values.
    """

    mean: Figures
    low: Figures
    high: Figures
    num_known: Figures


def interval_of(values: Figures, kind: Literal["t", "bootstrap"], confidence: float) -> Interval:
    """Return the means of the last axis, the seeds, and their confidence intervals.

    Args:
        values: (..., num_means, num_seeds); NaN where a value is unknown.
        kind: "t" for Student's t, or "bootstrap" for percentiles of the means of 9,999 resamples, drawn by a generator
            with a fixed seed.
        confidence: Between 0 and 1.

    Raises:
        ImportError: "t" needs SciPy, which is not installed.
    """
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    mean = np.divide(np.where(known, values, 0).sum(axis=-1), count, where=count > 0, out=np.full(count.shape, np.nan))
    low, high = np.full((2, *count.shape), np.nan)
    if kind == "bootstrap":
        for place in zip(*np.nonzero(count >= 2), strict=True):
            low[place], high[place] = _percentiles(values[place][known[place]], confidence)
        return Interval(mean, low, high, count.astype(float))
    squares = np.where(known, values - mean[..., None], 0) ** 2
    enough = count >= 2
    if enough.any():
        number = count[enough]
        errors = np.sqrt(squares[enough].sum(axis=-1) / (number - 1) / number)
        half = errors * needed("scipy.stats").t.ppf((1 + confidence) / 2, number - 1)
        low[enough], high[enough] = mean[enough] - half, mean[enough] + half
    return Interval(mean, low, high, count.astype(float))


def _percentiles(values: Figures, confidence: float) -> Figures:
    """(2,) the same numbers as `scipy.stats.bootstrap` with method="percentile" and this generator."""
    places = np.random.default_rng(0).integers(0, len(values), (_NUM_RESAMPLES, len(values)))
    ends: Figures = np.quantile(values[places].mean(axis=-1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return ends
