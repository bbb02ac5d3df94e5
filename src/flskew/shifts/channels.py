"""A colour cast: cameras, stains and lights that differ in colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew.shifts._strengths import as_strength, checked_severity, scaled_gain
from flskew.shifts._viewer import Viewer
from flskew.shifts.images import ImageShift
from flskew.typing import Layout, Rows

__all__ = ["Channels"]


class Channels(ImageShift):
    """Multiply each channel of images by a gain.

    Use it when cameras, lights or the stains of a laboratory differ in colour.

    Args:
        gains: One number >= 0 per channel, such as `[1.0, 0.9, 0.7]` for a warm light; or one such list per partition.
        layout: The axes of the array: "NHW", "NHWC" or "NCHW"; None infers it, as `ImageShift` describes.
        partitions: The partitions that see the colour cast; None for all.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A gain is negative or not finite, lists have different lengths, or there is no such layout; on use,
            the array does not have the axes of the layout, or the number of gains is not that of the channels.

    References:
        D. Tellez et al.: "Quantifying the Effects of Data Augmentation and Stain Color Normalization in Convolutional
        Neural Networks for Computational Pathology", Medical Image Analysis 58, 2019,
        https://arxiv.org/abs/1902.06543, about laboratories whose stains differ in colour.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import Channels
        >>> lights = Channels([[1.0, 1.0, 1.0], [1.0, 0.9, 0.7]])
        >>> photos = np.full((50, 32, 32, 3), 200, dtype=np.uint8)
        >>> seen = lights.view(1, num_partitions=2).features(photos, rows=range(50))
        >>> seen[0, 0, 0].tolist()
        [200, 180, 140]
    """

    def __init__(
        self,
        gains: Iterable[float | Iterable[float]],
        *,
        layout: Layout | None = None,
        partitions: Iterable[int] | None = None,
    ) -> None:
        super().__init__(layout=layout, partitions=partitions)
        self.gains = _checked(gains)

    def change_images(self, images: NDArray[Any], rows: Rows, viewer: Viewer) -> NDArray[Any]:
        """Multiply."""
        gains = self._gains_at(viewer)
        if len(gains) != images.shape[1]:
            raise ValueError(
                f"gains must have one number for each of {images.shape[1]} channels, got {len(gains)}; if the channels "
                f"are on another axis, pass layout='NHWC' or layout='NCHW'"
            )
        if all(gain == 1 for gain in gains):
            return images
        seen: NDArray[Any] = images * np.array(gains, dtype=images.dtype)[:, None, None]
        return seen

    def at(self, severity: float) -> Channels:
        """Return gains between 1 and those of this shift: 1 + severity · (gain - 1)."""
        severity = checked_severity(severity)
        gains: Any = self.gains
        if isinstance(gains[0], tuple):
            gains = [scaled_gain(each, severity) for each in gains]
        else:
            gains = scaled_gain(gains, severity)
        return Channels(gains, layout=self.layout, partitions=self.partitions)

    def _check_fits(self, num_partitions: int) -> None:
        super()._check_fits(num_partitions)
        self._gains_at(Viewer(0, num_partitions))

    def _gains_at(self, viewer: Viewer) -> tuple[float, ...]:
        if not isinstance(self.gains[0], tuple):
            return self.gains
        if len(self.gains) != viewer.num_partitions:
            raise ValueError(
                f"gains must have one list for each of {viewer.num_partitions} partitions, got {len(self.gains)}"
            )
        return self.gains[viewer.partition_id]


def _checked(gains: object) -> tuple[float, ...] | tuple[tuple[float, ...], ...]:
    entries = list(gains) if isinstance(gains, Iterable) and not isinstance(gains, str | bytes) else []
    if not entries:
        raise TypeError(
            f"gains must be a list with one number per channel, or one such list per partition, got {gains!r:.40}"
        )
    if not any(isinstance(entry, Iterable) for entry in entries):
        return _one_per_channel("gains", entries)
    return tuple(_one_per_channel(f"gains[{place}]", entry) for place, entry in enumerate(entries))


def _one_per_channel(name: str, gains: Any) -> tuple[float, ...]:
    checked = as_strength(name, gains, "a finite number >= 0", lambda number: number >= 0)
    if not isinstance(checked, tuple):
        raise TypeError(f"{name} must be a list with one number per channel, got {gains!r:.40}")
    return tuple(checked)
