"""A given matrix of class shares."""

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
from flskew.typing import Counts, Holders

__all__ = ["DistributionPartitioner"]


class DistributionPartitioner(LabelPartitioner):
    """Split every class in the proportions that you give.

    Use it when you know the shares: those of real clients, or a table in a paper's appendix.

    Takes the arguments of Flower Datasets' partitioner of the same name, and the same matrices. This one takes a matrix
    for any number of partitions, and rounds without bias.

    Args:
        distribution_array: (num_classes, num_partitions) proportions of each class, the classes in sorted order; or, in
            compact form, (num_classes, num_unique_labels_per_partition * num_partitions / num_classes) proportions for
            only the partitions that hold each class, in their order. Non-negative.
        num_partitions: Number of partitions, from 1 to the number of rows.
        num_unique_labels_per_partition: For the compact form, the number of classes per partition: partition i has the
            classes i, i + 1, … in sorted order, wrapping around after the last. None for the full form.
        partition_by: The column with the labels in a data set; not used by `assign`.
        preassigned_num_samples_per_label: Number of rows, >= 0, that a partition gets of each of its classes before the
            matrix splits the rest. Ignored unless `rescale` is true.
        rescale: If true, the matrix contains proportions, and all rows of a class are split. Otherwise it contains
            numbers of rows, which must be integers, and the remaining rows are `unassigned`.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.
        num_bins: For a continuous target or dates, the number of quantile bins to use as classes; None for labels.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A number is out of range; on assigning, the shape of the matrix does not fit the classes, a class
            has no share at all, or more rows are requested than exist.

    References:
        T. Li, A. K. Sahu, M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith: "Federated Optimization in Heterogeneous
        Networks", MLSys 2020, https://arxiv.org/abs/1812.06127, for whose power-law splits Flower Datasets designed
        the compact form.

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
        self.distribution_array = _matrix(distribution_array)
        self.num_unique_labels_per_partition = checks.optional_integer(
            "num_unique_labels_per_partition", num_unique_labels_per_partition, minimum=1
        )
        self.preassigned_num_samples_per_label = checks.integer(
            "preassigned_num_samples_per_label", preassigned_num_samples_per_label, minimum=0
        )
        self.rescale = checks.truth("rescale", rescale)

    def class_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Round the given shares, or return the given numbers of rows."""
        array, holders = self._full_array(len(column.classes))
        if not self.rescale:
            return self._given_counts(array, column)
        orphans = np.flatnonzero(array.sum(axis=1) == 0)
        if len(orphans):
            raise ValueError(
                f"distribution_array gives no partition a share of label {column.labels[orphans[0]]!r}; "
                f"add one, or pass rescale=False with numbers of rows"
            )
        # Capped at a number that exceeds every class, so that the product cannot overflow.
        preassigned = self.preassigned_num_samples_per_label
        first = min(preassigned, len(column) + 1) * holders
        rest = column.sizes - first.sum(axis=1)
        if (rest < 0).any():
            code = int(np.argmax(rest < 0))
            raise ValueError(
                f"preassigned_num_samples_per_label={preassigned} needs "
                f"{preassigned * int(holders[code].sum())} rows of label {column.labels[code]!r}, which has "
                f"{column.sizes[code]}; lower it"
            )
        with np.errstate(under="ignore"):
            shares = array / array.sum(axis=1, keepdims=True)
        offsets = np.array([streams("shares", label).random() for label in column.labels])
        return first + apportion(shares, rest, offsets)

    def _full_array(self, num_classes: int) -> tuple[NDArray[np.float64], Holders]:
        """(num_classes, num_partitions) the matrix in its full form, and which partition may hold which class."""
        given, num_held = self.distribution_array, self.num_unique_labels_per_partition
        full = (num_classes, self.num_partitions)
        if num_held is None or num_held == num_classes:
            if given.shape != full:
                remedy = "transpose it" if given.shape == full[::-1] else "pass one row per class"
                raise ValueError(
                    f"distribution_array must have the shape {full}, {num_classes} classes by {self.num_partitions} "
                    f"partitions, got {given.shape}; {remedy}, or pass num_unique_labels_per_partition"
                )
            return given, np.ones(full, dtype=np.bool_)
        if num_held > num_classes:
            raise ValueError(
                f"num_unique_labels_per_partition={num_held} exceeds the {num_classes} classes of the labels; lower it"
            )
        multiple, odd = divmod(self.num_partitions, num_classes)
        compact = (num_classes, num_held * multiple)
        if odd or given.shape != compact:
            raise ValueError(
                f"distribution_array with num_unique_labels_per_partition={num_held} must have the shape "
                f"{compact}, and num_partitions={self.num_partitions} must be a multiple of {num_classes} classes, "
                f"got {given.shape}; or pass all {full} shares without num_unique_labels_per_partition"
            )
        behind = (np.arange(num_classes)[:, None] - np.arange(self.num_partitions)) % num_classes
        holders = behind < num_held
        array = np.zeros(full)
        array[holders] = given.ravel()
        return array, holders

    def _given_counts(self, array: NDArray[np.float64], column: LabelColumn) -> Counts:
        if not np.array_equal(np.rint(array), array):
            raise ValueError(
                "distribution_array must contain integer numbers of rows if rescale=False, got fractions; "
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
            "distribution_array must be finite and non-negative, and so must the sums of its rows; "
            "use 0 for a partition without the class"
        )
    array.setflags(write=False)
    return array
