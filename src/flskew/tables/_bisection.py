"""Quantiles from counts alone: bisection over the integers that order float64."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from flskew.tables._keys import HIGHEST, LOWEST, from_key
from flskew.tables._statistics import TableStatistics

__all__ = ["with_quantiles"]

Ranks: TypeAlias = Callable[[list[list[int]]], list[list[int]]]
"""Given increasing thresholds per column, returns how many values of all sites are at most each of them."""

# 255 thresholds divide an interval by 256: the 2^64 keys need eight queries.
_PARTS = 256


def with_quantiles(
    statistics: TableStatistics, names: Sequence[str], probabilities: Sequence[float], ranks: Ranks
) -> TableStatistics:
    """Return the statistics with quantiles of some numeric columns, by NumPy's rule "linear"."""
    wanted = [sorted({order for p in probabilities for order in _orders(p, statistics[name].count)}) for name in names]
    found = _order_statistics(wanted, ranks)
    quantiles = {}
    for name, values in zip(names, found, strict=True):
        count = statistics[name].count
        quantiles[name] = tuple((p, _interpolated(p, count, values)) for p in probabilities)
    columns = (replace(column, quantiles=quantiles.get(column.name, ())) for column in statistics.columns)
    return TableStatistics(statistics.num_rows, tuple(columns))


def _orders(probability: float, count: int) -> tuple[int, int]:
    position = probability * (count - 1)
    return math.floor(position), min(math.floor(position) + 1, count - 1)


def _interpolated(probability: float, count: int, values: dict[int, float]) -> float:
    low, high = _orders(probability, count)
    weight = probability * (count - 1) - low
    # Unlike values[low] + weight * (values[high] - values[low]), this cannot overflow.
    return values[low] if values[low] == values[high] else (1 - weight) * values[low] + weight * values[high]


def _order_statistics(wanted: Sequence[Sequence[int]], ranks: Ranks) -> list[dict[int, float]]:
    """Return the values at some positions, counted from 0, of the sorted values of each column."""
    intervals = [dict.fromkeys(orders, (LOWEST, HIGHEST)) for orders in wanted]
    while any(low < high for column in intervals for low, high in column.values()):
        thresholds = [
            sorted({key for low, high in column.values() for key in _between(low, high)}) for column in intervals
        ]
        for column, keys, counts in zip(intervals, thresholds, ranks(thresholds), strict=True):
            for order, (low, high) in column.items():
                place = bisect_left(counts, order + 1)
                new_high = keys[place] if place < len(keys) else high
                new_low = keys[place - 1] + 1 if place else low
                column[order] = max(low, new_low), max(low, new_low, min(high, new_high))
    return [{order: from_key(low) for order, (low, _) in column.items()} for column in intervals]


def _between(low: int, high: int) -> list[int]:
    """Return at most 255 thresholds that divide the keys from low to high evenly."""
    step = -(-(high - low + 1) // _PARTS)
    return list(range(low + step - 1, high, step))
