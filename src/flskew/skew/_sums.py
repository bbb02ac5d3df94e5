"""Distances of the partitions, added up over classes and columns, and what they would be by chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from flskew.assignment import Assignment
from flskew.skew._columns import Column
from flskew.skew._distances import Distances, Places, total_variations, wasserstein_distances
from flskew.skew._hypergeometric import deviations_of_several_labels, mean_share_deviations
from flskew.skew._summary import PerPartition, summarise
from flskew.typing import LabelCounts, Sizes

__all__ = ["Excess", "Sums", "column_sums", "deviation", "joined", "label_sums", "sums_of_counts"]
__all__ += ["sums_of_several_labels"]

# Var |Z| / (E |Z|)^2 of a normal variable with mean 0.
_VARIANCE_OF_ABSOLUTE = np.pi / 2 - 1


class Excess(NamedTuple):
    """A mean distance and its mean and standard deviation in random splits; and the distance of each partition."""

    distance: float
    chance: float
    deviation: float
    distances: PerPartition
    chances: PerPartition

    def exceeds(self, deviations: float) -> bool:
        """Return whether the distance is this many standard deviations above chance."""
        # Rounding errors are no difference.
        return self.distance > self.chance + deviations * self.deviation + 1e-9


class Sums(NamedTuple):
    """The distance of each partition times the rows it stands for, which can be added up.

    Attributes:
        measured: (num_partitions,) distances times rows.
        by_chance: Their means in random splits.
        variance: About the variance of their sum in random splits.
    """

    measured: PerPartition
    by_chance: PerPartition
    variance: float

    def times(self, factor: float) -> Sums:
        """Multiply distances by a factor >= 0."""
        return Sums(self.measured * factor, self.by_chance * factor, self.variance * factor**2)

    def per_row(self, sizes: Sizes) -> Excess:
        """Divide by the rows of each partition, and the sums by those of all."""
        rows, all_rows = np.maximum(sizes, 1), max(int(sizes.sum()), 1)
        distance, chance = float(self.measured.sum()) / all_rows, float(self.by_chance.sum()) / all_rows
        deviation = float(np.sqrt(self.variance)) / all_rows
        return Excess(distance, chance, deviation, self.measured / rows, self.by_chance / rows)


def joined(parts: Iterable[Sums], num_partitions: int) -> Sums:
    """Add up independent sums."""
    measured, by_chance = np.zeros((2, num_partitions))
    variance = 0.0
    for part in parts:
        measured += part.measured
        by_chance += part.by_chance
        variance += part.variance
    return Sums(measured, by_chance, variance)


def deviation(parts: NDArray[np.float64]) -> float:
    """Return about the standard deviation of a sum of distances by chance, whose means are given.

    Each distance is like |Z| for a normal Z with mean 0. The differences cancel in the sum over all partitions, so K of
    them are as variable as K - 1 independent ones.
    """
    count = int(np.count_nonzero(parts))
    return float(np.sqrt(_VARIANCE_OF_ABSOLUTE * count / max(count - 1, 1) * (parts @ parts)))


def sums_of_counts(counts: LabelCounts) -> Sums:
    """Return the total variation between the labels of each partition and all labels, times rows.

    Args:
        counts: (num_partitions, num_classes), at least one above 0.
    """
    summary = summarise(counts)
    return _of_categories(summary.distance, summary.sizes, summary.totals)


def sums_of_several_labels(assignment: Assignment) -> Sums:
    """Return the total variation between the labels of each partition and all labels, times its labels.

    Args:
        assignment: A split of rows with several labels, at least one of which is assigned.
    """
    counts, joint = assignment.label_counts, cast("Sizes", assignment._parts.joint_labels)
    totals, summary = assignment._class_totals, summarise(counts)
    each = deviations_of_several_labels(assignment.sizes, counts, totals, joint, assignment.num_rows)
    sizes, count = summary.sizes, max(int(np.count_nonzero(summary.sizes)), 1)
    # Labels of a row stay together, so about as many differences vary together as a row has labels.
    variance = float(sizes**2 @ (each**2).sum(axis=1)) / 4 * float(joint.sum() / totals.sum())
    by_chance = sizes * each.sum(axis=1) / 2
    return Sums(sizes * summary.distance, by_chance, _VARIANCE_OF_ABSOLUTE * count / max(count - 1, 1) * variance)


def label_sums(codes: NDArray[Any], num_categories: int, places: Places) -> Sums:
    """Return the total variation between the categories of each partition and all, times rows.

    Args:
        codes: (num_rows,) categories, one partition after the other.
        num_categories: Number of categories.
        places: Where the partitions have their values.
    """
    measured = total_variations(codes, num_categories, places).measured
    return _of_categories(measured, places.sizes, np.bincount(codes, minlength=num_categories))


class ColumnSums(NamedTuple):
    """The distances of a column within each group of rows, times rows.

    Attributes:
        known: Those of the values that are not missing.
        missing: Those of whether values are missing, as "yes" and "no" of all rows; None if none is.
        largest: What the sum is if all distances are 1.
    """

    known: Sums
    missing: Sums | None
    largest: float


def column_sums(column: Column, groups: Sequence[Places], *, in_its_unit: bool) -> ColumnSums:
    """Return the distances of a column within each group of rows, times rows.

    Args:
        column: Its values, one group after the other, and within a group one partition after the other.
        groups: Where the partitions have their rows in each group.
        in_its_unit: Whether distances are in the unit of the column, rather than relative to the mean difference of two
            values of the group.
    """
    num_partitions = len(groups[0].sizes)
    present = np.concatenate([[0], np.cumsum(~column.missing)])
    of_known, of_missing, start, largest = [], [], 0, 0.0
    for places in groups:
        stop = start + places.num_rows
        values, missing = column.values[present[start] : present[stop]], column.missing[start:stop]
        start = stop
        known = places
        if missing.any():
            lost = np.bincount(places.owners, missing, num_partitions).astype(np.int64)
            known = Places(places.sizes - lost)
        unit = 1.0
        if column.kind == "categorical":
            of_known.append(label_sums(values, len(column.categories), known))
        else:
            distances = wasserstein_distances(values.astype(np.float64), known)
            unit = distances.unit if in_its_unit else 1.0
            of_known.append(_of_distances(distances, known.sizes, unit))
        if missing.any():
            of_missing.append(label_sums(missing.astype(np.int64), 2, places).times(unit))
        largest += places.num_rows * unit
    missing_sums = joined(of_missing, num_partitions) if of_missing else None
    return ColumnSums(joined(of_known, num_partitions), missing_sums, largest)


def _of_distances(distances: Distances, sizes: Sizes, unit: float) -> Sums:
    by_chance = sizes * distances.by_chance * unit
    return Sums(sizes * distances.measured * unit, by_chance, deviation(by_chance) ** 2)


def _of_categories(measured: PerPartition, sizes: Sizes, totals: Sizes) -> Sums:
    """Add what total variations are by chance.

    Each difference between two shares is like |Z|. As the differences of a partition add up to 0, and those of a class
    do too, they are less variable than if they were independent.
    """
    filled = np.flatnonzero(sizes)
    held, classes = np.unique(totals[totals > 0], return_counts=True)
    distinct, which = np.unique(sizes[filled], return_inverse=True)
    each = mean_share_deviations(distinct, held, int(sizes.sum()))
    first, second = each @ classes, each**2 @ classes
    # With n equal differences, this is n / (n - 1).
    fewer = np.divide(first**2, first**2 - second, out=np.ones(len(first)), where=second > 0)
    by_chance = np.zeros(len(sizes))
    by_chance[filled] = sizes[filled] * first[which.reshape(-1)] / 2
    variance = float(sizes[filled] ** 2 @ (second * fewer)[which.reshape(-1)]) / 4
    count = len(filled)
    return Sums(sizes * measured, by_chance, _VARIANCE_OF_ABSOLUTE * count / max(count - 1, 1) * variance)
