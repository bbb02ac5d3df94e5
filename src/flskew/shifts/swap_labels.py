"""Wrong labels, at some clients more than at others: symmetric label noise.

Unlike in FedCorr (J. Xu, Z. Chen, T. Q. S. Quek, K. F. E. Chong, CVPR 2022, arXiv 2204.04677) and FedNoRo (N. Wu,
L. Yu, X. Jiang, K.-T. Cheng, Z. Yan, IJCAI 2023, arXiv 2305.05230), a new label always differs from the old one. Those
draw it from all K classes, so a noise level g there is a fraction g · (K - 1) / K here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew.shifts._classes import PlainClasses, checked_classes, place_of_each, with_classes
from flskew.shifts._strengths import Strength, as_fraction, checked_severity, scaled, strength_at
from flskew.shifts._viewer import Viewer
from flskew.shifts.base import LabelShift
from flskew.typing import Label, Rows

__all__ = ["SwapLabels"]


_MOST = 2**32
"""The largest number of classes. Random numbers have 53 bits, so with far more classes, some could never be drawn."""


class SwapLabels(LabelShift):
    """Replace labels by wrong ones at random: symmetric label noise.

    Use it when some clients label less carefully than others.

    Each label is replaced with probability `fraction`, by one of the other classes, which are equally likely.

    Args:
        fraction: The probability, 0 to 1: one number for all partitions, one per partition, or a `Ramp`. In FedCorr and
            FedNoRo, a new label may equal the old one. For their noise level g with K classes, pass g · (K - 1) / K.
        classes: All classes, at least two: integers, strings or booleans; or their number, if they are 0, 1, 2, ...
        partitions: The partitions with wrong labels; None for all.
        seed: Any integer; it determines every random draw.

    Raises:
        TypeError: Classes are not integers, strings or booleans, or not all of the same type.
        ValueError: There are fewer than two classes, or a fraction is not in 0 to 1.

    References:
        S. Liang, J. Huang, J. Hong, D. Zeng, J. Zhou, Z. Xu: "FedNoisy: Federated Noisy Label Learning Benchmark",
        2023, https://arxiv.org/abs/2306.11650, where noise with another rate at each client is "localized".

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import SwapLabels
        >>> view = SwapLabels([0.0, 0.4], classes=10).view(1, num_partitions=2)
        >>> seen = view.labels(np.full(10_000, 3), range(10_000))
        >>> round(float((seen != 3).mean()), 2)
        0.4
    """

    def __init__(
        self,
        fraction: Strength,
        classes: int | Iterable[Label],
        *,
        partitions: Iterable[int] | None = None,
        seed: int = 42,
    ) -> None:
        super().__init__(partitions=partitions)
        self.fraction = as_fraction("fraction", fraction)
        self.classes: int | PlainClasses
        if isinstance(classes, str | bytes) or not isinstance(classes, Iterable):
            self.classes = checks.integer("classes", classes, minimum=2, maximum=_MOST)
        else:
            distinct: Any = tuple(sorted(set(checked_classes("classes", classes))))
            if len(distinct) < 2:
                raise ValueError(f"classes must contain at least two classes, got {distinct!r:.40}")
            self.classes = distinct
        self.seed = checks.seed(seed)

    def relabel(self, labels: NDArray[Any], rows: Rows, viewer: Viewer) -> NDArray[Any]:
        """Replace some labels.

        Raises:
            ValueError: A label is not one of the classes.
        """
        fraction = strength_at("fraction", self.fraction, viewer)
        if fraction == 0:
            return labels
        classes = range(self.classes) if isinstance(self.classes, int) else self.classes
        places = place_of_each(labels, classes, "SwapLabels")
        if places.min(initial=0) < 0:
            raise ValueError("SwapLabels: a label is not one of the classes; pass all classes with classes=")
        drawn = viewer.streams(self.seed, "swap-labels").uniform(rows, (2,))
        chosen = drawn[:, 0] < fraction
        # How many classes further, in a circle.
        steps = 1 + (drawn[chosen, 1] * (len(classes) - 1)).astype(np.int64)
        return with_classes(labels, chosen, (places[chosen] + steps) % len(classes), classes, "SwapLabels")

    def at(self, severity: float) -> SwapLabels:
        """Return fewer wrong labels: fraction times severity."""
        fraction = scaled(self.fraction, checked_severity(severity))
        return SwapLabels(fraction, self.classes, partitions=self.partitions, seed=self.seed)
