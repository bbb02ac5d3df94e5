"""Dirichlet over classes, client by client, with given sizes.

T.-M. H. Hsu, H. Qi, M. Brown: "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification", 2019, arXiv 1909.06335. D. A. E. Acar, Y. Zhao, R. Matas, M. Mattina, P. Whatmough, V. Saligrama:
"Federated Learning Based on Dynamic Regularization", ICLR 2021, arXiv 2111.04263.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._split.labels import LabelColumn
from flskew._split.shares import dirichlet_weights
from flskew._split.streams import Streams
from flskew._split.water_filling import check_sizes, fill, pour
from flskew._util import checks
from flskew.partitioners.base import LabelPartitioner
from flskew.typing import Alpha, Counts

__all__ = ["InnerDirichletPartitioner"]


class InnerDirichletPartitioner(LabelPartitioner):
    """Give each partition a number of rows of your own, in Dirichlet-distributed shares of the classes.

    For each partition, independently, the shares of the classes are one Dirichlet draw. Sizes are met exactly. A class
    that more rows are asked of than it has is shared out by lot among those who ask, and what they lack they take
    from the classes that are left, in the shares they have of those.

    Takes the arguments of Flower Datasets' partitioner of this name. Unlike that one, and the code of Acar et al., it
    draws no row after row: it takes labels of any type and ends at any alpha.

    Args:
        partition_sizes: Rows of each partition, each >= 0. What they do not use is `unassigned`.
        partition_by: The column with the labels, in a data set; `assign` does not look at it.
        alpha: Concentration, > 0: one for all, or one per class in sorted order, whose ratios are then those of the
            expected shares (Hsu et al. take a multiple of the class frequencies). Smaller is more skewed.
        shuffle: Whether the rows of a partition are in random order, or in that of the data set.
        seed: Any integer.
        num_bins: For a continuous target, the number of quantile bins that become its classes; None for labels.

    Raises:
        TypeError: An argument of the wrong type, or `seed=None`.
        ValueError: A number out of range; on assigning, more rows asked for than there are, or alphas that are not
            one per class.

    Examples:
        >>> InnerDirichletPartitioner([50, 30, 20], "label", alpha=0.5).assign([0, 1] * 60).sizes
        array([50, 30, 20])
    """

    def __init__(
        self,
        partition_sizes: Sequence[int] | NDArray[np.integer[Any]],
        partition_by: str,
        alpha: Alpha,
        shuffle: bool = True,
        seed: int = 42,
        *,
        num_bins: int | None = None,
    ) -> None:
        self._partition_sizes = check_sizes(partition_sizes)
        super().__init__(len(self._partition_sizes), partition_by, seed, shuffle=shuffle, num_bins=num_bins)
        self._alpha = checks.concentration(alpha, None, per="class")

    def _check_num_rows(self, num_rows: int) -> None:
        checks.sizes_fit(self._partition_sizes, num_rows)

    def _counts(self, column: LabelColumn, streams: Streams) -> Counts:
        num_classes = len(column.classes)
        if len(self._alpha) not in (1, num_classes):
            raise ValueError(
                f"alpha must be one number or one per class, got {len(self._alpha)} for {num_classes} classes: "
                f"pass {num_classes} numbers, or one for all"
            )
        alphas = np.broadcast_to(self._alpha, num_classes)
        # A partition's Dirichlet draw is one Gamma variable for each class, and each class has a stream of its own.
        weights = np.empty((self._num_partitions, num_classes))
        for code, label in enumerate(column.labels):
            weights[:, code] = dirichlet_weights(np.full(self._num_partitions, alphas[code]), streams("shares", label))
        return fill(
            self._partition_sizes,
            column.sizes,
            lambda asking, left, lacking: pour(weights[asking], left, lacking),
            streams("fill"),
        )
