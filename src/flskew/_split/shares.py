"""Dirichlet shares for any concentration, however small or large."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew.typing import Alpha, Weights

__all__ = ["Concentration", "as_concentration", "as_numbers", "dirichlet_weights"]

Concentration: TypeAlias = float | tuple[float, ...]
"""A checked alpha, as stored in a field: one number for all, or one for each."""


def dirichlet_weights(alpha: Alpha, num_partitions: int, rng: np.random.Generator) -> Weights:
    """Draw the logarithms of independent Gamma(alpha) variables; normalised, they are Dirichlet shares.

    A Gamma(a) variable is a Gamma(a + 1) variable times U^(1/a) (Marsaglia and Tsang, "A simple method for generating
    gamma variables", ACM TOMS 26(3), 2000). Below alpha = 0.01, the variables underflow to 0 and their shares become 0
    / 0, whereas their logarithms stay finite. Any normalised subset is again a Dirichlet draw, which schemes that
    exclude partitions need.

    Args:
        alpha: Concentration, > 0: one number, or (num_partitions,) numbers, which take three times as long.
        num_partitions: Number of partitions.
        rng: Draws two numbers per partition.

    Returns:
        (num_partitions,) logarithms of unnormalised shares.

    Examples:
        >>> import numpy as np
        >>> from flskew.partitioners import dirichlet_weights, normalise
        >>> weights = dirichlet_weights(0.3, 4, np.random.default_rng(0))
        >>> normalise(weights[None]).sum(axis=1)
        array([1.])
    """
    exponential = rng.standard_exponential(num_partitions)
    with np.errstate(under="ignore"):
        # Below 1e-300 the quotient would overflow; from 1e-5 down, one partition has everything anyway.
        if isinstance(alpha, float):
            return np.log(rng.standard_gamma(alpha + 1, num_partitions)) - exponential / max(alpha, 1e-300)
        alphas = np.asarray(alpha, dtype=np.float64)
        return np.log(rng.standard_gamma(alphas + 1, num_partitions)) - exponential / np.maximum(alphas, 1e-300)


def as_concentration(alpha: Alpha, count: int | None, *, per: str = "partition") -> Concentration:
    """Return a checked concentration: one float for all, or `count` floats; any number of floats if `count` is None."""
    checked = checks.concentration(alpha, count, per=per)
    return float(checked[0]) if np.ndim(alpha) == 0 else tuple(checked.tolist())


def as_numbers(alpha: Concentration) -> float | NDArray[np.float64]:
    """Return a concentration in the form that `dirichlet_weights` uses without converting it for every class."""
    return alpha if isinstance(alpha, float) else np.array(alpha)
