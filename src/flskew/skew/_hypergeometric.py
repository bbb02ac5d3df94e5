"""How far counts of rows drawn without replacement are from their expectation."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["deviations_of_several_labels", "expected_total_variations", "mean_share_deviations"]

_Numbers: TypeAlias = NDArray[np.float64]
"""(num_held,) integers as floats."""

# From 16 on, the first four terms of Stirling's series are exact to double precision.
_FIRST_LOG_FACTORIALS = np.array([math.lgamma(number + 1) for number in range(16)])


def mean_share_deviations(sizes: NDArray[Any], held: NDArray[Any], num_rows: int) -> NDArray[np.float64]:
    """Return E|X/n - M/N|, where X counts the rows of a group of M among n rows drawn from all N.

    Uses the closed form for the mean absolute deviation of a hypergeometric variable, which is derived like De Moivre's
    for the binomial distribution (Persi Diaconis and Sandy Zabell, Closed form summation for classical distributions:
    variations on a theme of De Moivre, Statistical Science 6(3), 1991).

    Args:
        sizes: (num_sizes,) numbers of rows drawn, n >= 1.
        held: (num_held,) rows of each group, M >= 1.
        num_rows: All rows, N.

    Returns:
        (num_sizes, num_held).

    Examples:
        >>> # X is 0 or 1, M/N = 1/2
        >>> mean_share_deviations(np.array([1]), np.array([2]), 4)
        array([[0.5]])
    """
    rows = held.astype(np.float64)
    # C(N, M) = C(N, N - M): the factorials that do not depend on n are computed once.
    constant = _log_factorial(rows) + _log_factorial(num_rows - rows) - math.lgamma(num_rows + 1)
    return np.array([_mean_deviation(size, rows, num_rows, constant) / size for size in sizes.tolist()]).reshape(
        len(sizes), len(held)
    )


def expected_total_variations(sizes: NDArray[Any], totals: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean total variation of each partition in an IID split; 0 for one without rows.

    Args:
        sizes: (num_partitions,) rows of each partition.
        totals: (num_classes,) rows of each class.
    """
    held, classes = np.unique(totals[totals > 0], return_counts=True)
    # Partitions of equal size have the same expected deviation, and so have classes.
    distinct, which = np.unique(sizes, return_inverse=True)
    expected = np.zeros(len(distinct))
    drawn = distinct > 0
    expected[drawn] = mean_share_deviations(distinct[drawn], held, int(totals.sum())) @ classes / 2
    return expected[which.reshape(-1)]


def deviations_of_several_labels(
    rows: NDArray[Any], counts: NDArray[Any], totals: NDArray[Any], joint_labels: NDArray[Any], num_rows: int
) -> NDArray[np.float64]:
    """Return E|share of a class in a partition - its share in all labels| in an IID split of rows with several labels.

    If p is the share of a class in all labels, each row contributes z = [it has the class] - p · (number of its labels)
    to the deviation of a partition. Its sum over n of N rows is nearly normal, with variance n (N - n) / (N - 1) times
    the mean of z², and its mean absolute value is sqrt(2 / pi) times the standard deviation. The number of labels in
    the partition, by which it is divided, is taken as given.

    Args:
        rows: (num_partitions,) rows of each partition.
        counts: (num_partitions, num_classes) labels of each class.
        totals: (num_classes,) rows of the data set that have each label.
        joint_labels: (num_classes,) number of labels, summed over these rows.
        num_rows: Number of rows in the data set, from which partitions are drawn.

    Returns:
        (num_partitions, num_classes); 0 for a partition without labels.
    """
    shares = totals / totals.sum()
    # Summed over all rows, z² = [it has the class] (1 - 2 p · its labels) + p² · (its labels)².
    squares = np.maximum(totals - 2 * shares * joint_labels + shares**2 * joint_labels.sum(), 0)
    drawn = rows / num_rows * ((num_rows - rows) / max(num_rows - 1, 1))
    sizes = counts.sum(axis=1)[:, None]
    return np.asarray(np.sqrt(2 / math.pi * drawn[:, None] * squares) * (sizes > 0) / np.maximum(sizes, 1))


def _mean_deviation(drawn: int, held: _Numbers, num_rows: int, constant: _Numbers) -> _Numbers:
    """Return E|X - E X|.

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
    n = np.maximum(numbers, len(_FIRST_LOG_FACTORIALS))
    series = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / (1680 * n**2)) / n**2) / n**2) / n
    small = numbers < len(_FIRST_LOG_FACTORIALS)
    result = (n + 0.5) * np.log(n) - n + 0.5 * math.log(2 * math.pi) + series
    result[small] = _FIRST_LOG_FACTORIALS[numbers[small].astype(np.intp)]
    return np.asarray(result)
