"""What the record says about a split: the measured splits near it, and how much each strategy gained on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew.skew._record import ALONE, BASELINE, MeasuredSplit, Position
from flskew.skew._student import quantile, two_sided

__all__ = ["LEVEL", "RADIUS", "Evidence", "Gain", "Near", "evidence", "gain_of"]

# Splits that are nearer than this count, the nearest most. The record has total variations in steps of 0.2, which are
# 0.22 as label skew, so there are some near any label skew.
RADIUS = 0.3
# Confidence level of all intervals and tests.
LEVEL = 0.95
# How many of the nearest splits are shown if none is near.
_BEYOND = 3
# So that degrees of freedom that are whole numbers survive rounding.
_TINY = 1e-9


class Near(NamedTuple):
    """A measured split, and how far it is from the one to advise on."""

    distance: float
    split: MeasuredSplit


class Gain(NamedTuple):
    """How much better a method is than another, over the seeds of some splits.

    Attributes:
        mean: Weighted mean of the differences in percentage points.
        low: Lower end of its confidence interval.
        high: Upper end.
        p: Probability of a mean at least this far from 0 if there were no difference; in `Evidence`, adjusted
            for the number of methods.
        num_better: On how many of the splits the difference is positive.
    """

    mean: float
    low: float
    high: float
    p: float
    num_better: int


class Evidence(NamedTuple):
    """What the record says about a split.

    Attributes:
        near: The splits that are near, the nearest first.
        beyond: The nearest ones of the others, as far as they have the same kinds of shift.
        gains: By method, its gain over FedAvg on the near splits, of which nearer ones count more.
        alike: The methods that are better than FedAvg on the near splits, without evidence of a difference from the one
            with the largest gain, the largest gain first.
        best: The one of them with the largest gain on all splits, FedAvg if there are none, None if no split is near.
    """

    near: tuple[Near, ...]
    beyond: tuple[Near, ...]
    gains: Mapping[str, Gain]
    alike: tuple[str, ...]
    best: str | None


def evidence(
    splits: Sequence[MeasuredSplit], position: Position, radius: float = RADIUS, *, equal: bool = False
) -> Evidence:
    """Return what these splits say about a split at a position.

    Args:
        splits: All splits of the record.
        position: The split to advise on.
        radius: Splits that are nearer than this count.
        equal: Whether they count the same, instead of nearer ones more; to compare the two.
    """
    every = sorted((Near(position.distance(split.position), split) for split in splits), key=lambda one: one.distance)
    close = tuple(one for one in every if one.distance < radius)
    beyond = tuple(one for one in every[len(close) :][:_BEYOND] if isfinite(one.distance))
    if not close:
        return Evidence(close, beyond, {}, (), None)
    chosen, weights = [split for _, split in close], [1 if equal else 1 - apart / radius for apart, _ in close]
    methods = [name for name in chosen[0].gains if name != ALONE and all(name in one.gains for one in chosen)]
    gains = _adjusted({name: gain_of(chosen, name, weights=weights) for name in methods})
    alike = _alike(chosen, weights, gains)
    return Evidence(close, beyond, gains, alike, best_overall(splits, alike))


def best_overall(splits: Iterable[MeasuredSplit], methods: Sequence[str]) -> str:
    """Return the method with the largest mean gain on the splits that have all of them; FedAvg if there are none."""
    common = [split for split in splits if all(name in split.gains for name in methods)]
    means = {name: np.mean([split.gains[name].mean() for split in common]) for name in methods}
    return max(means, key=lambda name: means[name], default=BASELINE)


def gain_of(
    splits: Sequence[MeasuredSplit], method: str, over: str = BASELINE, weights: Sequence[float] | None = None
) -> Gain:
    """Return how much better a method is than another on some splits, which have equal weights by default.

    On one data set, the runs with one seed begin with the same model, and often with the same partitions, so they are
    averaged before seeds are compared. Data sets are independent of each other (Welch's t). The interval is one for the
    mean on these splits: how much the splits differ does not widen it.
    """
    shares = np.ones(len(splits)) if weights is None else np.asarray(weights)
    shares = shares / shares.sum()
    gains = [_differences(split, method, over) for split in splits]
    by_data: dict[str, NDArray[np.float64]] = {}
    for split, own, share in zip(splits, gains, shares, strict=True):
        by_data[split.data] = by_data.get(split.data, 0.0) + own * share
    mean = float(sum(sums.mean() for sums in by_data.values()))
    variances = np.array([sums.var(ddof=1) / len(sums) for sums in by_data.values()])
    num_better = sum(own.mean() > 0 for own in gains)
    error = sqrt(variances.sum())
    if not error:
        return Gain(mean, mean, mean, float(mean == 0), num_better)
    per_data = np.array([len(sums) - 1 for sums in by_data.values()])
    degrees = int(variances.sum() ** 2 / np.sum(variances**2 / per_data) + _TINY)
    half = quantile(LEVEL, degrees) * error
    return Gain(mean, mean - half, mean + half, two_sided(mean / error, degrees), num_better)


def _differences(split: MeasuredSplit, method: str, over: str) -> NDArray[np.float64]:
    return split.gains[method] - split.gains.get(over, 0.0)


def _alike(splits: Sequence[MeasuredSplit], weights: Sequence[float], gains: Mapping[str, Gain]) -> tuple[str, ...]:
    better = [name for name, gain in gains.items() if gain.mean > 0 and gain.p <= 1 - LEVEL]
    if not better:
        return ()
    first, *others = sorted(better, key=lambda name: -gains[name].mean)
    apart = _adjusted({name: gain_of(splits, first, name, weights) for name in others})
    return (first, *(name for name in others if apart[name].p > 1 - LEVEL))


def _adjusted(gains: Mapping[str, Gain]) -> dict[str, Gain]:
    """Adjust p for the number of methods.

    Sture Holm: A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6(2), 1979.
    """
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(gains, key=lambda name: gains[name].p)):
        largest = max(largest, min(1.0, (len(gains) - rank) * gains[name].p))
        adjusted[name] = largest
    return {name: gain._replace(p=adjusted[name]) for name, gain in gains.items()}
