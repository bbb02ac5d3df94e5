"""Gaussian noise on features, with a standard deviation for each client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from flskew._util import checks
from flskew.shifts._strengths import Strength, as_strength, checked_severity, scaled, strength_at
from flskew.shifts._viewer import Viewer
from flskew.shifts.base import FeatureShift
from flskew.typing import Rows

__all__ = ["Noise"]


class Noise(FeatureShift):
    """Add Gaussian noise.

    Use it when sensors differ in quality, or to compare with the feature skew of NIID-Bench: `Noise(Ramp(0.1))`.

    Args:
        sigma: Standard deviation of the noise, >= 0, in the unit of the features: one number for all partitions, one
            per partition, or a `Ramp`. `Ramp(0.1)` is that of NIID-Bench's code, for images with values from 0 to 1.
            For integers from 0 to 255, pass `Ramp(25.5)`, because noise of 0.1 would be rounded to 0.
        columns: The columns of a table to change; None for all columns of floating-point numbers.
        partitions: The partitions that see the noise; None for all.
        seed: Any integer; it determines every random draw.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: sigma is negative or not finite; on use, a list has another length than there are partitions, or a
            column does not exist.

    References:
        Q. Li, Y. Diao, Q. Chen, B. He: "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022,
        https://arxiv.org/abs/2102.02079, where it is "noise-based feature imbalance". In the paper, client i of N
        adds noise with a variance of sigma · i / N. In its published code, sigma · i / (N - 1) is the standard
        deviation, and i starts at 0.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import Noise, Ramp
        >>> images = np.zeros((100, 28, 28), dtype=np.float32)
        >>> noisy = Noise(Ramp(0.1))
        >>> seen = [noisy.view(i, 11).features(images, range(100)) for i in (0, 5, 10)]
        >>> [round(float(images.std()), 3) for images in seen]
        [0.0, 0.05, 0.1]
    """

    def __init__(
        self,
        sigma: Strength,
        *,
        columns: Iterable[str | int] | None = None,
        partitions: Iterable[int] | None = None,
        seed: int = 42,
    ) -> None:
        super().__init__(columns=columns, partitions=partitions)
        self.sigma = as_strength("sigma", sigma, "a finite number >= 0", lambda number: number >= 0)
        self.seed = checks.seed(seed)

    def change(self, values: NDArray[Any], rows: Rows, viewer: Viewer, column: str) -> NDArray[Any]:
        """Add the noise of each row."""
        sigma = strength_at("sigma", self.sigma, viewer)
        if sigma == 0:
            return values
        noise = viewer.streams(self.seed, f"noise:{column}").normal(rows, values.shape[1:], values.dtype.type)
        noise *= values.dtype.type(sigma)
        noise += values
        return noise

    def at(self, severity: float) -> Noise:
        """Return noise with a smaller standard deviation: sigma times severity."""
        sigma = scaled(self.sigma, checked_severity(severity))
        return Noise(sigma, columns=self.columns, partitions=self.partitions, seed=self.seed)
