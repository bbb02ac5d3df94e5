"""A given matrix of class shares.

The compact form of the matrix is that of Flower Datasets' partitioner of this name, made for the power-law splits of
T. Li, A. K. Sahu, M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith: "Federated Optimization in Heterogeneous Networks",
MLSys 2020, arXiv 1812.06127.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import apportion
from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.partitioners.base import LabelPartitioner
from flskew.typing import Counts

__all__ = ["DistributionPartitioner"]


class DistributionPartitioner(LabelPartitioner):
    """Split every class in shares that you give.

    Takes the arguments of Flower Datasets' partitioner of this name, and the same matrices. Unlike that one, it takes
    a matrix for any number of partitions, and rounds without bias.

    Args:
        distribution_array: (num_classes, num_partitions) what each partition gets of each class, the classes in sorted
            order; or (num_classes, num_unique_labels_per_partition * num_partitions / num_classes), the parts of those
            partitions alone that hold a class, in their order. Non-negative.
        num_partitions: At least 1, at most the number of rows.
        num_unique_labels_per_partition: For the second form, the classes of each partition: partition i has the classes
            i, i + 1, … in sorted order, beginning anew after the last. None for the first form.
        partition_by: The column with the labels, in a data set; `assign` does not look at it.
        preassigned_num_samples_per_label: Rows of each of its classes that a partition gets before the matrix says how
            to split the rest, >= 0. Without effect unless `rescale`.
        rescale: Whether the matrix gives proportions, in which every row of a class is handed out; or else numbers of
            rows, whole ones, of which the rest is `unassigned`.
        shuffle: Whether the rows of a partition are in random order, or in that of the data set.
        seed: Any integer.
        num_bins: For a continuous target, the number of quantile bins that become its classes; None for labels.

    Raises:
        TypeError: An argument of the wrong type, or `seed=None`.
        ValueError: A number out of range; on assigning, a matrix of another shape than the classes need, a class
            that nobody is to get, or more rows asked for than there are.

    Examples:
        >>> shares = [[0.5, 0.5, 0.0], [0.0, 0.1, 0.9]]
        >>> DistributionPartitioner(shares, 3).assign([0, 1] * 50).label_counts
        array([[25,  0],
               [25,  5],
               [ 0, 45]])
    """

    def __init__(
        self,
        distribution_array: Sequence[Sequence[float]] | NDArray[np.floating[Any]] | NDArray[np.integer[Any]],
        num_partitions: int,
        num_unique_labels_per_partition: int | None = None,
        partition_by: str = "label",
        preassigned_num_samples_per_label: int = 0,
        rescale: bool = True,
        shuffle: bool = True,
        seed: int = 42,
        *,
        num_bins: int | None = None,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle, num_bins=num_bins)
        self._array = _matrix(distribution_array)
        self._num_held = checks.optional_integer(
            "num_unique_labels_per_partition", num_unique_labels_per_partition, minimum=1
        )
        self._preassigned = checks.integer(
            "preassigned_num_samples_per_label", preassigned_num_samples_per_label, minimum=0
        )
        self._rescale = checks.truth("rescale", rescale)

    def _counts(self, column: LabelColumn, streams: Streams) -> Counts:
        array, holders = self._full_array(len(column.classes))
        if not self._rescale:
            return self._given_counts(array, column)
        nobody = np.flatnonzero(array.sum(axis=1) == 0)
        if len(nobody):
            raise ValueError(
                f"distribution_array gives nobody a share of label {column.labels[nobody[0]]!r}; "
                f"give one, or pass rescale=False with numbers of rows"
            )
        # A number beyond all classes says the same as a larger one, and cannot overflow.
        first = min(self._preassigned, len(column) + 1) * holders
        rest = column.sizes - first.sum(axis=1)
        if (rest < 0).any():
            code = int(np.argmax(rest < 0))
            raise ValueError(
                f"preassigned_num_samples_per_label={self._preassigned} needs "
                f"{self._preassigned * int(holders[code].sum())} rows of label {column.labels[code]!r}, which has "
                f"{column.sizes[code]}; lower it"
            )
        shares = array / array.sum(axis=1, keepdims=True)
        offsets = np.array([streams("shares", label).random() for label in column.labels])
        return first + apportion(shares, rest, offsets)

    def _full_array(self, num_classes: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(num_classes, num_partitions) the matrix in its first form, and who may hold what."""
        full = (num_classes, self._num_partitions)
        if self._num_held is None or self._num_held == num_classes:
            if self._array.shape != full:
                remedy = "transpose it" if self._array.shape == full[::-1] else "give each class a row"
                raise ValueError(
                    f"distribution_array must have the shape {full} of {num_classes} classes by {self._num_partitions} "
                    f"partitions, got {self._array.shape}; {remedy}, or pass num_unique_labels_per_partition"
                )
            return self._array, np.ones(full, dtype=np.bool_)
        if self._num_held > num_classes:
            raise ValueError(
                f"num_unique_labels_per_partition={self._num_held} is more than the {num_classes} classes there are"
            )
        multiple, odd = divmod(self._num_partitions, num_classes)
        compact = (num_classes, self._num_held * multiple)
        if odd or self._array.shape != compact:
            raise ValueError(
                f"distribution_array with num_unique_labels_per_partition={self._num_held} must have the shape "
                f"{compact}, and num_partitions={self._num_partitions} be a multiple of {num_classes} classes, "
                f"got {self._array.shape}; or pass all {full} shares without num_unique_labels_per_partition"
            )
        behind = (np.arange(num_classes)[:, None] - np.arange(self._num_partitions)) % num_classes
        holders = behind < self._num_held
        array = np.zeros(full)
        array[holders] = self._array.ravel()
        return array, holders

    def _given_counts(self, array: NDArray[np.float64], column: LabelColumn) -> Counts:
        if not np.array_equal(np.rint(array), array):
            raise ValueError(
                "distribution_array must hold whole numbers of rows with rescale=False, got fractions; "
                "round them, or pass rescale=True for proportions"
            )
        over = np.flatnonzero(array.sum(axis=1) > column.sizes)
        if len(over):
            code = int(over[0])
            raise ValueError(
                f"distribution_array asks for {array[code].sum():.15g} rows of label {column.labels[code]!r}, which "
                f"has {column.sizes[code]}; lower them, or pass rescale=True for proportions"
            )
        return array.astype(np.int64)


def _matrix(value: object) -> NDArray[np.float64]:
    try:
        array = np.array(value)
    except ValueError:
        raise TypeError("distribution_array must be a matrix of numbers, got rows of several lengths") from None
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise TypeError(
            f"distribution_array must be a matrix of numbers, classes by partitions, got an array of "
            f"{array.dtype} of shape {array.shape}"
        )
    array = array.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(array.sum(axis=1)).all()
    if not (finite and (array >= 0).all()):
        raise ValueError(
            "distribution_array must be finite and non-negative, and so must its sums; "
            "set shares that nobody is to get to 0"
        )
    return array
