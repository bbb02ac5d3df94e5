"""Dirichlet over classes, separately for each client, with given sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._split.labels import LabelColumn
from flskew._split.shares import as_concentration, dirichlet_weights
from flskew._split.streams import Streams
from flskew._split.water_filling import check_sizes, draw_until_full, water_fill
from flskew._util import checks
from flskew.partitioners.base import LabelPartitioner, Partitioner
from flskew.typing import Alpha, Counts

__all__ = ["InnerDirichletPartitioner"]


class InnerDirichletPartitioner(LabelPartitioner):
    """Give each partition a given number of rows, in Dirichlet-distributed shares of the classes.

    Use it when you want label skew without quantity skew, or with sizes that you know.

    For each partition, independently, the shares of the classes are one Dirichlet draw. Sizes are met exactly. An
    oversubscribed class is allocated at random, and partitions that are still short take rows from the remaining
    classes, in proportion to their shares (water-filling).

    Takes the arguments of Flower Datasets' partitioner of the same name. Unlike it and the code of Acar et al., it does
    not draw row by row, so it works with labels of any type and any alpha.

    Args:
        partition_sizes: Number of rows per partition, each >= 0. The remaining rows are `unassigned`.
        partition_by: The column with the labels in a data set; not used by `assign`.
        alpha: Concentration, > 0: one number for all classes, or one per class in sorted order. Smaller is more skewed.
            With one per class, the expected shares are proportional to them; Hsu et al. use a multiple of the class
            frequencies. The default is that of Li et al. (ICDE 2022).
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.
        num_bins: For a continuous target or dates, the number of quantile bins to use as classes; None for labels.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A number is out of range; on assigning, the sizes exceed the number of rows, or `alpha` has the
            wrong number of entries.

    References:
        T.-M. H. Hsu, H. Qi, M. Brown: "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
        Classification", 2019, https://arxiv.org/abs/1909.06335.

        D. A. E. Acar, Y. Zhao, R. Matas, M. Mattina, P. Whatmough, V. Saligrama: "Federated Learning Based on Dynamic
        Regularization", ICLR 2021, https://arxiv.org/abs/2111.04263.

    Examples:
        >>> partitioner = InnerDirichletPartitioner([50, 30, 20], alpha=0.5)
        >>> partitioner.assign([0, 1] * 60).label_counts  # rows sum to the sizes
        array([[11, 39],
               [12, 18],
               [17,  3]])
    """

    def __init__(
        self,
        partition_sizes: Sequence[int] | NDArray[np.integer[Any]],
        partition_by: str = "label",
        alpha: Alpha = 0.5,
        shuffle: bool = True,
        seed: int = 42,
        *,
        num_bins: int | None = None,
    ) -> None:
        sizes = check_sizes(partition_sizes)
        super().__init__(len(sizes), partition_by, seed, shuffle=shuffle, num_bins=num_bins)
        self.partition_sizes = sizes
        self.alpha = as_concentration(alpha, None, per="class")

    def check_num_rows(self, num_rows: int) -> None:
        """Reject sizes that exceed the rows."""
        checks.sizes_fit(self.partition_sizes, num_rows)

    # Sizes are filled class by class, so each row must count once.
    split_multi_label = Partitioner.split_multi_label

    def class_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Draw the shares of the classes for each partition, then fill the partitions."""
        num_classes, num_alphas = len(column.classes), np.size(self.alpha)
        if num_alphas not in (1, num_classes):
            raise ValueError(
                f"alpha must be one number or one per class, got {num_alphas} for {num_classes} classes; "
                f"pass {num_classes} numbers, or one for all"
            )
        # The Dirichlet draw of a partition is one Gamma variable per class, each from the stream of its class.
        weights = np.empty((self.num_partitions, num_classes))
        for code, alpha in enumerate(np.broadcast_to(self.alpha, num_classes).tolist()):
            rng = streams("shares", column.labels[code])
            weights[:, code] = dirichlet_weights(alpha, self.num_partitions, rng)
        return draw_until_full(
            self.partition_sizes,
            column.sizes,
            lambda asking, left, lacking: water_fill(weights[asking], left, lacking),
            streams("fill"),
        )
