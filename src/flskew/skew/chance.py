"""The total variation of an IID split, which is due to chance alone."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew.skew.tally import Split, tally

__all__ = ["iid_total_variation"]

_Numbers: TypeAlias = NDArray[np.float64]
"""(num_sizes,) integers as floats, one for each distinct size of a class."""


def iid_total_variation(split: Split) -> float:
    """Return the mean total variation of IID splits with the same partition sizes and classes.

    Small partitions differ by chance: with 1,000 clients of ten rows each and ten classes, the total variation of an
    IID split averages 0.35. Only the excess over this value is skew.

    Uses the closed form for the mean absolute deviation of a hypergeometric variable, which is derived like De Moivre's
    for the binomial distribution (Persi Diaconis and Sandy Zabell, Closed form summation for classical distributions:
    variations on a theme of De Moivre, Statistical Science 6(3), 1991).

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.

    Returns:
        0 to 1.

    Examples:
        >>> import numpy as np
        >>> from flskew import skew
        >>> round(skew.iid_total_variation(np.ones((1000, 10), dtype=int)), 2)
        0.35
    """
    summary = tally(split)._summary
    num_rows = int(summary.totals.sum())
    held, classes = np.unique(summary.totals[summary.totals > 0].astype(np.float64), return_counts=True)
    # C(N, M) = C(N, N - M): the factorials that do not depend on the size of a partition are computed once.
    constant = _log_factorial(held) + _log_factorial(num_rows - held) - math.lgamma(num_rows + 1)
    total = 0.0
    # Partitions of equal size have the same expected deviation, and so have classes.
    for size, partitions in zip(*np.unique(summary.sizes, return_counts=True), strict=True):
        total += partitions * (_mean_deviation(int(size), held, num_rows, constant) @ classes) / 2
    return float(total / num_rows)


def _mean_deviation(drawn: int, held: _Numbers, num_rows: int, constant: _Numbers) -> _Numbers:
    """Return E|X - E X|, where X counts the rows of a class with M rows `held` among n rows `drawn` from all N.

    It is 2 g(m), where m is the first integer above E X = nM / N, and g(x) = x (N - M - n + x) P(X = x) / N: since
    g(x + 1) - g(x) = (E X - x) P(X = x), the sum of the deviations above E X telescopes to one term.
    """
    above = np.floor(drawn * (held / num_rows)) + 1
    deviation = np.zeros(len(held))
    # Elsewhere at most E X rows can be drawn, so X is constant.
    varies = above <= np.minimum(drawn, held)
    held, above, constant = held[varies], above[varies], constant[varies]
    others = num_rows - held - drawn + above
    # P(X = m) = C(M, m) C(N - M, n - m) / C(N, n)
    logarithm = (
        constant
        + math.lgamma(drawn + 1)
        + math.lgamma(num_rows - drawn + 1)
        - sum(map(_log_factorial, (above, held - above, drawn - above, others)))
    )
    deviation[varies] = 2 * above * others * np.exp(logarithm) / num_rows
    return deviation


def _log_factorial(numbers: _Numbers) -> _Numbers:
    """Return log(n!)."""
    return np.fromiter(map(math.lgamma, (numbers + 1).tolist()), np.float64, len(numbers))
