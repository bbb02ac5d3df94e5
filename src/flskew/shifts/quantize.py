"""Coarser values: sensors with fewer bits, and measurements that were rounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew.shifts._strengths import Strength, as_strength, checked_severity, scaled, strength_at
from flskew.shifts._viewer import Viewer
from flskew.shifts.base import FeatureShift
from flskew.typing import Rows

__all__ = ["Quantize"]


class Quantize(FeatureShift):
    """Round features to multiples of a step.

    Use it when some clients have sensors with fewer bits, or round what they measure.

    An error of up to half a step is added to each value. For n levels from 0 to `most`, the step is `most / (n - 1)`.

    Args:
        step: The step >= 0, in the unit of the features: one number for all partitions, one per partition, or a `Ramp`;
            0 leaves the features as they are.
        columns: The columns of a table to change; None for all columns of floating-point numbers.
        partitions: The partitions that see rounded values; None for all.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: The step is negative or not finite; on use, a list has another length than there are partitions, or
            a column does not exist.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import Quantize
        >>> half_degrees = Quantize(0.5, columns=["temperature"], partitions=[1])
        >>> view = half_degrees.view(1, num_partitions=2)
        >>> view.features({"temperature": np.array([36.6, 37.9])}, rows=[0, 1])
        {'temperature': array([36.5, 38. ])}
        >>> four_levels = Quantize(255 / 3)
        >>> pixels = np.array([[20, 50, 200, 240]], dtype=np.uint8)
        >>> four_levels.view(0, 1).features(pixels, rows=[0])
        array([[  0,  85, 170, 255]], dtype=uint8)
    """

    def __init__(
        self,
        step: Strength,
        *,
        columns: Iterable[str | int] | None = None,
        partitions: Iterable[int] | None = None,
    ) -> None:
        super().__init__(columns=columns, partitions=partitions)
        self.step = as_strength("step", step, "a finite number >= 0", lambda number: number >= 0)

    def change(self, values: NDArray[Any], rows: Rows, viewer: Viewer, column: str) -> NDArray[Any]:
        """Round."""
        step = values.dtype.type(strength_at("step", self.step, viewer))
        if step == 0:
            return values
        with np.errstate(over="ignore"):
            seen: NDArray[Any] = values / step
            np.rint(seen, out=seen)
            seen *= step
        # So many steps that they cannot be counted: rounding changes nothing.
        np.copyto(seen, values, where=np.isinf(seen))
        return seen

    def at(self, severity: float) -> Quantize:
        """Return smaller steps: step times severity."""
        step = scaled(self.step, checked_severity(severity))
        return Quantize(step, columns=self.columns, partitions=self.partitions)
