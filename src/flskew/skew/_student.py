"""Student's t distribution for whole degrees of freedom, so that intervals need no SciPy.

M. Abramowitz, I. A. Stegun (editors): Handbook of Mathematical Functions, National Bureau of Standards, 1964, equations
26.7.3 and 26.7.4.
"""

from __future__ import annotations

import math

__all__ = ["quantile", "two_sided"]


def two_sided(t: float, degrees: int) -> float:
    """Return the probability that |T| is larger than |t|, for at least one degree of freedom.

    Examples:
        >>> round(two_sided(2.776, 4), 3)
        0.05
    """
    angle = math.atan(abs(t) / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    # The first term is 1 (even) or cos θ (odd), and each next one has two more factors cos θ.
    odd = degrees % 2
    term = cosine if odd else 1.0
    terms = [term] if degrees > 1 else []
    for step in range(2 + odd, degrees - 1, 2):
        term *= cosine**2 * (step - 1) / step
        terms.append(term)
    inside = sine * math.fsum(terms)
    return max(0.0, 1 - (2 / math.pi * (angle + inside) if odd else inside))


def quantile(level: float, degrees: int) -> float:
    """Return the t for which |T| is at most t with this probability, from 0 to below 1.

    Examples:
        >>> round(quantile(0.95, 4), 3)
        2.776
    """
    low, high = 0.0, 1.0
    while two_sided(high, degrees) > 1 - level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if two_sided(middle, degrees) > 1 - level:
            low = middle
        else:
            high = middle
    return high
