"""The base class of shifts of images, ours and yours."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew.shifts._viewer import Viewer
from flskew.shifts.base import FeatureShift
from flskew.typing import Features, Layout, Rows

__all__ = ["ImageShift"]

_CHANNELS = (1, 3, 4)
"""Numbers of channels from which a layout can be inferred: grey, colours, and colours with transparency."""


class ImageShift(FeatureShift):
    """A shift of images, in an array of any layout.

    To write your own, subclass it and implement `change_images` and `at`. As for every `FeatureShift`, `change_images`
    gets floats, and integers are rounded and clipped to the range of their dtype.

    Args:
        layout: The axes of the array: "NHW", "NHWC" or "NCHW", where N is the images, H their height, W their width and
            C their channels. None infers it: three axes are NHW; of four, C is the second or the last, whichever has
            length 1, 3 or 4.
        partitions: The partitions that see the shift; None for all.

    Raises:
        TypeError: `partitions` is not a list of integers.
        ValueError: There is no such layout.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import ImageShift
        >>> class Darker(ImageShift):
        ...     def __init__(self, amount, *, layout=None, partitions=None):
        ...         super().__init__(layout=layout, partitions=partitions)
        ...         self.amount = amount
        ...
        ...     def change_images(self, images, rows, viewer):
        ...         depth = np.linspace(0, 1, images.shape[2])[:, None]
        ...         return images * (1 - self.amount * depth)
        ...
        ...     def at(self, severity):
        ...         return Darker(
        ...             severity * self.amount,
        ...             layout=self.layout,
        ...             partitions=self.partitions,
        ...         )
        >>> view = Darker(0.5).view(0, num_partitions=1)
        >>> seen = view.features(np.ones((100, 3, 32, 32)), rows=range(100))
        >>> seen[0, 0, [0, 31], 0]
        array([1. , 0.5])
    """

    layout: Layout | None

    def __init__(self, *, layout: Layout | None = None, partitions: Iterable[int] | None = None) -> None:
        super().__init__(partitions=partitions)
        self.layout = None if layout is None else checks.choice("layout", layout, get_args(Layout))

    @abstractmethod
    def change_images(self, images: NDArray[Any], rows: Rows, viewer: Viewer) -> NDArray[Any]:
        """Return what the client sees.

        Args:
            images: (num_rows, channels, height, width) float32 or float64, in this order whatever the layout; grey
                images have one channel. Not to be changed.
            rows: (num_rows,) int64, the number of each image in the data set.
            viewer: The client, and the source of random numbers.

        Returns:
            Images of the same shape; the same object if nothing changes.
        """

    def change(self, values: NDArray[Any], rows: Rows, viewer: Viewer, column: str) -> NDArray[Any]:
        """Call `change_images`, and restore the layout."""
        layout = self._layout_of(values.shape)
        images = _to_nchw(values, layout)
        seen = self.change_images(images, rows, viewer)
        if seen is images:
            return values
        if seen.shape != images.shape:
            name = type(self).__name__
            raise ValueError(f"{name} must return images of shape {images.shape}, got {seen.shape}")
        return _from_nchw(seen, layout)

    def _see_features(self, features: Features, rows: Rows, viewer: Viewer) -> Features:
        if not isinstance(features, np.ndarray):
            raise TypeError(
                f"{type(self).__name__} changes images, but features are a {type(features).__name__}; pass the array "
                f"of the images"
            )
        return super()._see_features(features, rows, viewer)

    def _layout_of(self, shape: tuple[int, ...]) -> Layout:
        name = type(self).__name__
        if len(shape) == 2:
            side = math.isqrt(shape[1])
            example = f"({side}, {side})" if side**2 == shape[1] else "(height, width)"
            raise ValueError(
                f"{name} changes images, but features have shape {shape}; reshape each row to {example} first"
            )
        if self.layout is not None:
            if len(shape) != len(self.layout):
                raise ValueError(f"layout={self.layout!r} needs {len(self.layout)} axes, got features of shape {shape}")
            return self.layout
        if len(shape) == 3:
            return "NHW"
        if len(shape) != 4:
            raise ValueError(f"{name} changes images, which have 3 or 4 axes, but features have shape {shape}")
        is_first, is_last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
        if is_first == is_last:
            raise ValueError(
                f"{name} cannot tell which axis of features of shape {shape} has the channels; pass layout='NHWC' or "
                f"layout='NCHW'"
            )
        return "NCHW" if is_first else "NHWC"


def _to_nchw(images: NDArray[Any], layout: Layout) -> NDArray[Any]:
    if layout == "NHW":
        return images[:, None]
    return images if layout == "NCHW" else images.transpose(0, 3, 1, 2)


def _from_nchw(images: NDArray[Any], layout: Layout) -> NDArray[Any]:
    if layout == "NHW":
        return images[:, 0]
    return images if layout == "NCHW" else images.transpose(0, 2, 3, 1)
