"""Random shares, drawn so that no concentration is too small or too large for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["dirichlet_weights"]


def dirichlet_weights(alpha: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the logarithms of independent Gamma(alpha) variables; normalised, they are Dirichlet shares.

    A Gamma(a) variable is a Gamma(a + 1) variable times U^(1/a) (Marsaglia and Tsang, "A simple method for generating
    gamma variables", ACM TOMS 26(3), 2000). In logarithms that never underflows, while the variables themselves do
    from alpha = 0.01 down, until all shares are 0 / 0. And any subset of them, normalised, is a Dirichlet draw again,
    which is what schemes with forbidden or full partitions need.

    Args:
        alpha: (num_partitions,) concentrations, > 0.
        rng: Draws two numbers for each partition.

    Returns:
        (num_partitions,) logarithms, unnormalised.
    """
    exponential = rng.standard_exponential(len(alpha))
    # Below 1e-300 the quotient would overflow; one partition has everything from 1e-5 on.
    return np.log(rng.standard_gamma(alpha + 1)) - exponential / np.maximum(alpha, 1e-300)
