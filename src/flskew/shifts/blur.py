"""Blurred images: optics and scanners of different sharpness."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew.shifts._strengths import Strength, as_strength, checked_severity, scaled, strength_at
from flskew.shifts._viewer import Viewer
from flskew.shifts.images import ImageShift
from flskew.typing import Layout, Rows

__all__ = ["Blur"]

_MOST = 1000
"""The largest sigma, in pixels; images that large are blurred to their mean."""


class Blur(ImageShift):
    """Blur images with a Gaussian filter.

    Use it when cameras or scanners differ in sharpness.

    As in `scipy.ndimage.gaussian_filter`, the filter is cut off at four standard deviations, and images are continued
    by reflection, so an image of one colour does not change.

    Args:
        sigma: Standard deviation of the filter in pixels, from 0 to 1000: one number for all partitions, one per
            partition, or a `Ramp`.
        layout: The axes of the array: "NHW", "NHWC" or "NCHW"; None infers it, as `ImageShift` describes.
        partitions: The partitions that see blurred images; None for all.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: sigma is not between 0 and 1000, or there is no such layout; on use, the array does not have the
            axes of the layout, or a list has another length than there are partitions.

    References:
        D. Hendrycks, T. Dietterich: "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
        ICLR 2019, https://arxiv.org/abs/1903.12261, which has several kinds of blur among its corruptions.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import Blur
        >>> image = np.zeros((1, 5, 5))
        >>> image[0, 2, 2] = 1
        >>> Blur(0.5).view(0, num_partitions=1).features(image, rows=[0])[0, 2].round(3)
        array([0.   , 0.084, 0.619, 0.084, 0.   ])
    """

    def __init__(
        self, sigma: Strength, *, layout: Layout | None = None, partitions: Iterable[int] | None = None
    ) -> None:
        super().__init__(layout=layout, partitions=partitions)
        self.sigma = as_strength("sigma", sigma, "a number from 0 to 1000", lambda number: 0 <= number <= _MOST)

    def change_images(self, images: NDArray[Any], rows: Rows, viewer: Viewer) -> NDArray[Any]:
        """Filter along columns, then along rows."""
        sigma = strength_at("sigma", self.sigma, viewer)
        if sigma == 0 or not images.size:
            return images
        return _filtered(_filtered(images, sigma, axis=2), sigma, axis=3)

    def at(self, severity: float) -> Blur:
        """Return a blur with a smaller standard deviation: sigma times severity."""
        sigma = scaled(self.sigma, checked_severity(severity))
        return Blur(sigma, layout=self.layout, partitions=self.partitions)


def _filtered(images: NDArray[Any], sigma: float, axis: int) -> NDArray[Any]:
    size = images.shape[axis]
    weights, continued = _filter(sigma, size)
    reach = len(weights) - 1
    padded = images.take(continued, axis=axis)

    def moved(pixels: int) -> NDArray[Any]:
        return padded[(slice(None),) * axis + (slice(reach + pixels, reach + pixels + size),)]

    scalar = images.dtype.type
    seen: NDArray[Any] = moved(0) * scalar(weights[0])
    both = np.empty_like(seen)
    for pixels in range(1, reach + 1):
        np.add(moved(-pixels), moved(pixels), out=both)
        both *= scalar(weights[pixels])
        seen += both
    return seen


@lru_cache(maxsize=16)
def _filter(sigma: float, size: int) -> tuple[list[float], NDArray[np.intp]]:
    """Return the weights of pixels at distances 0, 1, ..., and the pixels of a line that is continued by reflection."""
    reach = int(4 * sigma + 0.5)
    distances = np.arange(-reach, reach + 1)
    gaussian = np.exp(-0.5 * (distances / sigma) ** 2)
    # Reflected twice, a line repeats itself after 2 * size pixels, so longer distances can be added to shorter ones.
    shorter = abs((distances + size) % (2 * size) - size)
    middle, *others = np.bincount(shorter, gaussian / gaussian.sum()).tolist()
    weights = [middle, *(weight / 2 for weight in others)]
    line = np.r_[np.arange(size), np.arange(size)[::-1]]
    return weights, line[np.arange(1 - len(weights), size + len(weights) - 1) % (2 * size)]
