"""Figures and intervals as text."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from flskew.typing import Figures

__all__ = ["bytes_text", "decimals_for", "p_text", "with_interval"]


def decimals_for(values: Figures) -> int:
    """Return how many decimals show three digits or more of all values but the smallest.

    Examples:
        >>> import numpy as np
        >>> [
        ...     decimals_for(np.array(values))
        ...     for values in ([0.91, 0.002], [12.5, np.nan], [0.02])
        ... ]
        [3, 2, 4]
    """
    known = np.abs(values[np.isfinite(values)])
    largest = known.max(initial=0)
    exponent = math.floor(math.log10(largest)) if largest > 0 else 0
    return max(0, 3 - exponent) if exponent >= 0 else 2 - exponent


def with_interval(
    mean: float,
    low: float,
    high: float,
    decimals: int,
    *,
    interval: Literal["t", "bootstrap"] = "t",
    sign: Literal["-", "+"] = "-",
) -> str:
    """Return a mean with its interval, which is symmetric for "t".

    Examples:
        >>> with_interval(0.913, 0.901, 0.925, 3)
        '0.913 ± 0.012'
        >>> with_interval(0.013, 0.011, 0.019, 3, interval="bootstrap", sign="+")
        '+0.013 [+0.011, +0.019]'
    """
    if math.isnan(mean):
        return "-"
    text = f"{mean:{sign}.{decimals}f}"
    if math.isnan(low):
        return text
    if interval == "t":
        return f"{text} ± {(high - low) / 2:.{decimals}f}"
    return f"{text} [{low:{sign}.{decimals}f}, {high:{sign}.{decimals}f}]"


def p_text(p: float) -> str:
    """Return a p-value with three decimals.

    Examples:
        >>> p_text(0.0312), p_text(0.00001)
        ('0.031', '<0.001')
    """
    if math.isnan(p):
        return "-"
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def bytes_text(number: float) -> str:
    """Return a number of bytes in a unit that suits it.

    Examples:
        >>> bytes_text(1_234_567), bytes_text(950)
        ('1.2 MB', '950 bytes')
    """
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return "-" if math.isnan(number) else f"{number:.0f} bytes"
