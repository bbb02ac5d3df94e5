"""The total variation of an IID split, which is due to chance alone."""

from __future__ import annotations

from flskew.skew._hypergeometric import expected_total_variations
from flskew.skew.tally import Split, tally

__all__ = ["iid_total_variation"]


def iid_total_variation(split: Split) -> float:
    """Return the mean total variation of IID splits with the same partition sizes and classes.

    Small partitions differ by chance: with 1,000 clients of ten rows each and ten classes, the total variation of an
    IID split averages 0.35. Only the excess over this value is skew.

    It uses the closed form for the mean absolute deviation of a hypergeometric variable, which is derived like De
    Moivre's for the binomial distribution (Persi Diaconis and Sandy Zabell, Closed form summation for classical
    distributions: variations on a theme of De Moivre, Statistical Science 6(3), 1991).

    If rows have several labels, the labels of a row stay together, and the value is a normal approximation. Counts do
    not say which labels belong to one row. For them, the labels are drawn one by one, and the value can be off by a
    fifth.

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
    counted = tally(split)
    summary = counted._summary
    expected = counted.chance
    if expected is None:
        expected = expected_total_variations(summary.sizes, summary.totals)
    return float(summary.sizes @ expected / summary.sizes.sum())
