"""Rotated images: cameras and scanners that are mounted differently."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew.shifts._strengths import Checked, Ramp, Strength, as_strength, checked_severity, finite, scaled, strength_at
from flskew.shifts._viewer import Viewer
from flskew.shifts.images import ImageShift
from flskew.typing import Layout, Rows

__all__ = ["Rotate"]

_STEP = 2.0**-20
"""Positions are multiples of this fraction of a pixel, so that rounding errors of sine and cosine do not matter."""


class Rotate(ImageShift):
    """Rotate images counterclockwise about their centre.

    Use it when cameras or scanners are mounted differently.

    The size is kept. Pixels are interpolated bilinearly; multiples of 90 degrees are exact for square images, like
    `numpy.rot90`.

    Args:
        angles: Degrees: one number for all partitions, one per partition, or a `Ramp`.
        fill: The value outside the image, in the unit of the features.
        layout: The axes of the array: "NHW", "NHWC" or "NCHW"; None infers it, as `ImageShift` describes.
        partitions: The partitions that see rotated images; None for all.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An angle or `fill` is not finite, or there is no such layout; on use, the array does not have the
            axes of the layout, or a list has another length than there are partitions.

    References:
        A. Ghosh, J. Chung, D. Yin, K. Ramchandran: "An Efficient Framework for Clustered Federated Learning", NeurIPS
        2020, https://arxiv.org/abs/2006.04088, where clients see MNIST rotated by 0, 90, 180 or 270 degrees.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import Rotate
        >>> view = Rotate([0, 90]).view(1, num_partitions=2)
        >>> view.features(np.array([[[1, 2], [3, 4]]]), rows=[0])
        array([[[2, 4],
                [1, 3]]])
    """

    def __init__(
        self,
        angles: Strength,
        *,
        fill: float = 0.0,
        layout: Layout | None = None,
        partitions: Iterable[int] | None = None,
    ) -> None:
        super().__init__(layout=layout, partitions=partitions)
        self.angles = as_strength("angles", angles, "a finite number of degrees", lambda number: True)
        self.fill = finite("fill", fill)

    def change_images(self, images: NDArray[Any], rows: Rows, viewer: Viewer) -> NDArray[Any]:
        """Rotate."""
        angle = strength_at("angles", self.angles, viewer) % 360
        count, channels, height, width = images.shape
        if angle == 0:
            return images
        if angle % (90 if height == width else 180) == 0:
            return np.rot90(images, int(angle) // 90, axes=(2, 3)).copy()
        flat = images.reshape(count, channels, height * width)
        (first, *others), outside = _corners(height, width, angle, images.dtype)
        seen = flat.take(first[0], axis=2)
        seen *= first[1]
        for pixels, weights in others:
            corner = flat.take(pixels, axis=2)
            corner *= weights
            seen += corner
        if self.fill != 0:
            seen += images.dtype.type(self.fill) * outside
        return seen.reshape(images.shape)

    def at(self, severity: float) -> Rotate:
        """Return a rotation by a smaller angle: severity times the angle, the short way round.

        A rotation by 270 degrees is one by -90 degrees, so at half the severity, it is by -45 degrees. The ends of a
        `Ramp` are scaled as they are. Images change more the greater the severity, provided that `fill` is their
        background.
        """
        severity = checked_severity(severity)
        angles = self.angles if severity == 1 else scaled(_short_way(self.angles), severity)
        return Rotate(angles, fill=self.fill, layout=self.layout, partitions=self.partitions)


def _short_way(angles: Checked) -> Checked:
    """Return the equivalent angles from -180 to 180 degrees."""
    if isinstance(angles, Ramp):
        return angles
    if isinstance(angles, tuple):
        return tuple(math.remainder(angle, 360) for angle in angles)
    return math.remainder(angles, 360)


@lru_cache(maxsize=4)  # 50 MB each for images of 1,024 x 1,024
def _corners(
    height: int, width: int, angle: float, dtype: np.dtype[Any]
) -> tuple[list[tuple[NDArray[np.intp], NDArray[Any]]], NDArray[Any]]:
    """Return the four neighbours of where each pixel comes from, with their weights, and the weight of the outside."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    right = np.arange(width) - (width - 1) / 2
    down = (np.arange(height) - (height - 1) / 2)[:, None]
    y = np.rint((sin * right + cos * down + (height - 1) / 2) / _STEP) * _STEP
    x = np.rint((cos * right - sin * down + (width - 1) / 2) / _STEP) * _STEP
    corners, total = [], np.zeros((height, width))
    for top in (np.floor(y), np.floor(y) + 1):
        for left in (np.floor(x), np.floor(x) + 1):
            is_inside = (top >= 0) & (top < height) & (left >= 0) & (left < width)
            weights = np.where(is_inside, (1 - abs(y - top)) * (1 - abs(x - left)), 0)
            pixels = np.clip(top, 0, height - 1) * width + np.clip(left, 0, width - 1)
            corners.append((pixels.ravel().astype(np.intp), weights.ravel().astype(dtype)))
            total += weights
    return corners, (1 - total).ravel().astype(dtype)
