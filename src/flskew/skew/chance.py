"""What chance alone does: the total variation of an IID split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flskew.skew.tally import Split, tally

__all__ = ["iid_total_variation"]


def iid_total_variation(split: Split) -> float:
    """Return the total variation that an IID split of the same sizes and classes has on average.

    Small partitions differ by chance: 1,000 clients of ten rows each, of ten classes, are .35 apart without any skew.
    What a split has above that is skew.

    By De Moivre's formula for the mean absolute deviation of a binomial variable (Persi Diaconis and Sandy Zabell,
    Closed form summation for classical distributions: variations on a theme of De Moivre, Statistical Science 6(3),
    1991), made smaller as drawing without replacement makes the variance smaller.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.

    Returns:
        0 to 1.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> round(skew.iid_total_variation(np.ones((1000, 10), dtype=int)), 2)
        0.35
    """
    summary = tally(split).summary
    num_rows = int(summary.totals.sum())
    shares = summary.totals[summary.totals > 0] / num_rows
    total = 0.0
    # Clients of one size differ by chance alike.
    for size, clients in zip(*np.unique(summary.sizes, return_counts=True), strict=True):
        undrawn = np.sqrt((num_rows - size) / max(num_rows - 1, 1))
        total += clients * undrawn * _mean_deviation(size, shares).sum() / 2
    return float(total / num_rows)


def _mean_deviation(number: int, probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return E|X - np| of binomial X: 2 (m + 1) C(n, m + 1) p^(m + 1) (1 - p)^(n - m), m being the floor of np."""
    more = np.minimum(np.floor(number * probability) + 1, number)
    # No class, or the only one: X is certain. The logarithm of what is left of it must not be asked for.
    certain = (probability == 1) | (number == 0)
    rest = np.where(certain, 1.0, 1 - probability)
    ways = _log_factorial(np.array(float(number))) - _log_factorial(more) - _log_factorial(number - more)
    logarithm = ways + more * np.log(probability) + (number - more + 1) * np.log(rest)
    return np.where(certain, 0.0, 2 * more * np.exp(logarithm))


def _log_factorial(number: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(n!) by Stirling's series, to less than a thousandth."""
    n = np.maximum(number, 1.0)
    series = n * np.log(n) - n + np.log(2 * np.pi * n) / 2 + 1 / (12 * n) - 1 / (360 * n**3)
    return np.where(number < 2, 0.0, series)
