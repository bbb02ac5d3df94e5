"""Gain and offset: scanners, sensors and laboratories that are calibrated differently."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from flskew.shifts._strengths import Strength, as_strength, checked_severity, scaled, scaled_gain, strength_at
from flskew.shifts._viewer import Viewer
from flskew.shifts.base import FeatureShift
from flskew.typing import Rows

__all__ = ["Affine"]


class Affine(FeatureShift):
    """Multiply features by a gain and add an offset.

    Use it when scanners, sensors or laboratories are calibrated differently, or use other units. For images, the
    gain is the contrast and the offset the brightness.

    Args:
        gain: Any finite number: one for all partitions, one per partition, or a `Ramp`.
        offset: Any finite number, in the unit of the features: one for all partitions, one per partition, or a `Ramp`.
        columns: The columns of a table to change; None for all columns of floating-point numbers.
        partitions: The partitions that see the change; None for all.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A gain or an offset is not finite; on use, a list has another length than there are partitions, or a
            column does not exist.

    References:
        D. Hendrycks, T. Dietterich: "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
        ICLR 2019, https://arxiv.org/abs/1903.12261, which has brightness and contrast among its corruptions.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import Affine
        >>> fahrenheit = Affine(
        ...     gain=1.8, offset=32, columns=["temperature"], partitions=[1]
        ... )
        >>> view = fahrenheit.view(1, num_partitions=2)
        >>> view.features({"temperature": np.array([36.5, 40.0])}, rows=[0, 1])
        {'temperature': array([ 97.7, 104. ])}
    """

    def __init__(
        self,
        gain: Strength = 1.0,
        offset: Strength = 0.0,
        *,
        columns: Iterable[str | int] | None = None,
        partitions: Iterable[int] | None = None,
    ) -> None:
        super().__init__(columns=columns, partitions=partitions)
        self.gain = as_strength("gain", gain, "a finite number", lambda number: True)
        self.offset = as_strength("offset", offset, "a finite number", lambda number: True)

    def change(self, values: NDArray[Any], rows: Rows, viewer: Viewer, column: str) -> NDArray[Any]:
        """Multiply and add."""
        gain, offset = strength_at("gain", self.gain, viewer), strength_at("offset", self.offset, viewer)
        if (gain, offset) == (1.0, 0.0):
            return values
        scalar = values.dtype.type
        seen: NDArray[Any] = values * scalar(gain)
        seen += scalar(offset)
        return seen

    def at(self, severity: float) -> Affine:
        """Return the values between what is given (0) and what this shift makes of it (1)."""
        severity = checked_severity(severity)
        gain = scaled_gain(self.gain, severity)
        return Affine(gain, scaled(self.offset, severity), columns=self.columns, partitions=self.partitions)
