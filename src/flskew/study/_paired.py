"""Whether paired differences are more than chance: t-tests, corrected for how many there are."""

from __future__ import annotations

import numpy as np

from flskew.study._extra import needed
from flskew.study._intervals import interval_of
from flskew.typing import Figures

__all__ = ["NO_EVIDENCE", "holm", "p_values", "verdict"]

NO_EVIDENCE = "no evidence of a difference"

# Differences that are zero, or equal, but for rounding errors.
_ZERO, _ROUNDING = 1e-12, 1e-9


def p_values(differences: Figures) -> Figures:
    """Return the p-value of each paired comparison, two-sided.

    By the paired t-test (Student, The probable error of a mean, Biometrika 6(1), 1908). Differences that are the same
    with all seeds have no standard deviation, so for them, the sign test is used instead: if chance decided, n
    differences would have the same sign with probability 2^(1 - n).

    Args:
        differences: (..., num_comparisons, num_seeds); NaN where one is unknown.

    Returns:
        (..., num_comparisons); NaN with fewer than two known differences, or if all are 0.
    """
    known = ~np.isnan(differences)
    mean, *_, count = interval_of(differences, "t", 0.5)
    deviations = np.where(known, differences - mean[..., None], 0)
    largest = np.abs(np.where(known, differences, 0)).max(axis=-1)
    is_constant = np.abs(deviations).max(axis=-1) <= _ROUNDING * largest
    p = np.full(count.shape, np.nan)
    signs = (count >= 2) & is_constant & (largest > _ZERO)
    p[signs] = 2.0 ** (1 - count[signs])
    spread = (count >= 2) & ~is_constant & (largest > _ZERO)
    if spread.any():
        number = count[spread]
        errors = np.sqrt((deviations[spread] ** 2).sum(axis=-1) / (number - 1) / number)
        p[spread] = 2 * needed("scipy.stats").t.sf(np.abs(mean[spread]) / errors, number - 1)
    return p


def holm(p: Figures) -> Figures:
    """Return p-values corrected for the number of comparisons, so that 5 % are false in none but 5 % of all tables.

    Sture Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6(2), 1979.

    Args:
        p: (..., num_comparisons); NaN for those that were not tested, which do not count.

    Returns:
        (..., num_comparisons)
    """
    order = np.argsort(p, axis=-1)  # NaN last
    remaining = (~np.isnan(p)).sum(axis=-1, keepdims=True) - np.arange(p.shape[-1])
    raised = np.maximum.accumulate(np.take_along_axis(p, order, axis=-1) * remaining, axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(raised, 1), axis=-1)
    return adjusted


def verdict(gain: float, adjusted: float, confidence: float) -> str:
    """Return a comparison in words; a positive gain is better."""
    if adjusted < 1 - confidence:  # False for NaN
        return "better" if gain > 0 else "worse"
    return NO_EVIDENCE
