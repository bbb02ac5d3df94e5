"""What makes one partition different in a column, in a few words: "mean 25.9 against 28.1"."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flskew._util.words import one_line
from flskew.skew._columns import Column

__all__ = ["difference"]

# Nanoseconds.
_DAY = 86_400e9
# With more digits than this, numbers are written in scientific notation.
_MOST_DIGITS = 15
# Characters of a category.
_LONGEST = 24


def difference(column: Column, own: slice, transport: float) -> str:
    """Return how the values of one partition differ from all values of its column.

    Names the mean of numbers and dates, or the middle half if the means explain less than half of the distance; for
    categories, the one whose share differs most.

    Args:
        column: The column.
        own: The values of the partition.
        transport: The Wasserstein distance between them and all values, in the unit of the column.
    """
    if column.categories:
        return _of_shares(column, own)
    sample, pooled = column.values[own], column.values
    means = _mean(sample), _mean(pooled)
    # The difference of the means is at most the Wasserstein distance.
    if abs(means[0] / 2 - means[1] / 2) >= transport / 4:
        return "mean {} against {}".format(*_shown(column, *means))
    words = _shown(column, *_quartiles(sample), *_quartiles(pooled))
    return "middle half {} to {} against {} to {}".format(*words)


def _mean(values: NDArray[np.float64]) -> float:
    with np.errstate(under="ignore"):
        return float((values / len(values)).sum())  # the sum of large values would overflow


def _quartiles(values: NDArray[np.float64]) -> list[float]:
    # Values, not numbers between them, because the difference of large values would overflow.
    ranks = [(len(values) - 1) // 4, 3 * (len(values) - 1) // 4]
    quartiles: list[float] = np.partition(values, ranks)[ranks].tolist()
    return quartiles


def _of_shares(column: Column, own: slice) -> str:
    own_shares, shares = (
        np.bincount(codes, minlength=len(column.categories)) / len(codes)
        for codes in (column.values[own], column.values)
    )
    if column.kind == "missing":
        return _percents(float(own_shares[1]), float(shares[1]))
    # Two categories always differ equally; of those that do, name one that is overrepresented.
    gaps = np.round(own_shares - shares, 9)
    most = int(np.lexsort([gaps, np.abs(gaps)])[-1])
    category = one_line(column.categories[most])
    if len(category) > _LONGEST:
        category = f"{category[: _LONGEST - 1].rstrip()}…"
    return _percents(float(own_shares[most]), float(shares[most]), f" {category}")


def _percents(own: float, pooled: float, of: str = "") -> str:
    digits = 0 if abs(own - pooled) >= 0.02 else 1
    return f"{own:.{digits}%}{of} against {pooled:.{digits}%}"


def _shown(column: Column, *numbers: float) -> list[str]:
    """Return numbers with as many digits as it takes to tell them apart."""
    spread = float(np.ptp(np.array(numbers) / 4)) * 4 if max(map(abs, numbers)) < 1e300 else math.inf
    if column.kind == "date":
        import pandas as pd

        form = "%Y-%m-%d" if spread >= _DAY else "%Y-%m-%d %H:%M"
        return [pd.Timestamp(int(number), unit="ns", tz=column.zone).strftime(form) for number in numbers]
    largest = max(map(abs, numbers))
    digits = 0 if spread in (0, math.inf) else 1 - math.floor(math.log10(spread))
    if not 1e-4 < largest < 10.0**_MOST_DIGITS or digits > 6:
        return [f"{number:.4g}" for number in numbers]
    return [f"{number:,.{max(digits, 0)}f}" for number in numbers]
