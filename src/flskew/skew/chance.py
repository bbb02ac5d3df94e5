"""What chance alone does: the total variation of an IID split."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew.skew.tally import Split, tally

__all__ = ["iid_total_variation"]

Numbers: TypeAlias = NDArray[np.float64]
"""One whole number for each class, or one alone."""


def iid_total_variation(split: Split) -> float:
    """Return the total variation that an IID split of the same sizes and classes has on average.

    Small partitions differ by chance: 1,000 clients of ten rows each, of ten classes, are .35 apart without any skew.
    What a split has above that is skew.

    To four digits, by the closed form for the mean absolute deviation of a hypergeometric variable, which is found as
    De Moivre's for the binomial one is (Persi Diaconis and Sandy Zabell, Closed form summation for classical
    distributions: variations on a theme of De Moivre, Statistical Science 6(3), 1991).

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
    held = summary.totals[summary.totals > 0].astype(np.float64)
    total = 0.0
    # Clients of one size differ by chance alike.
    for size, clients in zip(*np.unique(summary.sizes, return_counts=True), strict=True):
        total += clients * _mean_deviation(int(size), held, num_rows).sum() / 2
    return float(total / num_rows)


def _mean_deviation(drawn: int, held: Numbers, num_rows: int) -> Numbers:
    """Return E|X - E X|, X being how many of the M rows `held` by a class are among n rows `drawn` of all N.

    It is 2 g(m), m being the first whole number above E X = nM / N, and g(x) = x (N - M - n + x) P(X = x) / N: since
    g(x + 1) - g(x) = (E X - x) P(X = x), the sum of the deviations above E X is one term.
    """
    above = np.floor(drawn * (held / num_rows)) + 1
    # Where no more than E X can be drawn, X is certain.
    certain = above > np.minimum(drawn, held)
    above = np.where(certain, 0.0, above)
    others = np.where(certain, 0.0, num_rows - held - drawn + above)
    logarithm = (
        _log_ways(held, above)
        + _log_ways(num_rows - held, np.where(certain, 0.0, drawn - above))
        - _log_ways(np.array(float(num_rows)), np.array(float(drawn)))
    )
    return 2 * above * others * np.exp(np.where(certain, 0.0, logarithm)) / num_rows


def _log_ways(number: Numbers, taken: Numbers) -> Numbers:
    """Return log C(number, taken)."""
    return _log_factorial(number) - _log_factorial(taken) - _log_factorial(number - taken)


def _log_factorial(number: Numbers) -> Numbers:
    """Return log(n!) by Stirling's series, to less than a thousandth."""
    n = np.maximum(number, 1.0)
    series = n * np.log(n) - n + np.log(2 * np.pi * n) / 2 + 1 / (12 * n) - 1 / (360 * n**3)
    return np.where(number < 2, 0.0, series)
