"""How far apart the features of the partitions are: the mean over all columns, and how variable it is by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flskew.assignment import Assignment
from flskew.skew._columns import Column, read_columns
from flskew.skew._seen import Groups
from flskew.skew._sums import Excess, column_sums, joined

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["features_apart"]

# Rows from which correlations are estimated.
_MOST_ROWS = 10_000


def features_apart(
    frame: pd.DataFrame, assignment: Assignment, groups: Groups, *, one_unit: bool
) -> tuple[Excess, list[Excess]]:
    """Return the mean distance of all columns within the groups, and the distance of each.

    Missing values add to the distance of their column, but are listed on their own: few of them would go unnoticed
    among the differences of many values.

    Columns of one unit, such as pixels, are weighted by the mean difference of two of their values: the mean is that of
    the distances in their unit, divided by that of the differences. Otherwise, a pixel that is nearly always black
    would count as much as any other.

    Args:
        frame: The columns as clients see them, with one row for each row of the data set.
        assignment: The split.
        groups: All rows as one group, or those of each class.
        one_unit: Whether all columns have the same unit.
    """
    columns, each, samples, weights = [], [], [], []
    sizes = np.sum([places.sizes for places in groups.places], axis=0)
    # Rows with several labels are in several groups, whose distances may be as good as equal.
    repeated = len(groups.order) / max(len(np.unique(groups.order)), 1)
    sampled = _evenly(len(groups.order))
    pairs = [place * len(assignment) + one.owners.astype(np.int64) for place, one in enumerate(groups.places)]
    cells = np.unique(np.concatenate(pairs)[sampled], return_inverse=True)[1].reshape(-1)
    for column in read_columns(frame, assignment.rows[groups.order]):
        known, missing, largest = column_sums(column, groups.places, in_its_unit=one_unit)
        factor = len(groups.order) / largest if largest > 0 else 0.0
        given = [part.times(factor) for part in (known, missing) if part is not None]
        parts = [part._replace(variance=part.variance * repeated) for part in given]
        each += [part.per_row(sizes) for part in parts]
        columns.append(joined(parts, len(assignment)).per_row(sizes))
        samples.append(_residuals(column, sampled, cells))
        weights.append(largest if one_unit else 1.0)
    shares = np.array(weights) / (sum(weights) or 1.0)
    deviations = shares * [column.deviation for column in columns]
    mean = Excess(
        distance=float(shares @ [column.distance for column in columns]),
        chance=float(shares @ [column.chance for column in columns]),
        deviation=float(np.sqrt(deviations @ _correlations(samples) @ deviations)),
        distances=shares @ np.array([column.distances for column in columns]),
        chances=shares @ np.array([column.chances for column in columns]),
    )
    return mean, each


def _evenly(count: int) -> NDArray[np.int64]:
    """Return evenly spaced positions, or all if there are few."""
    kept = min(count, _MOST_ROWS)
    return np.arange(kept) * count // max(kept, 1)


def _residuals(column: Column, sampled: NDArray[np.int64], cells: NDArray[np.intp]) -> NDArray[np.float64] | None:
    """Return values less the mean of their group and partition; None if they are missing, or more than two categories.

    Partitions that differ must not make columns look correlated.
    """
    if column.missing.any() or (column.kind == "categorical" and len(column.categories) > 2):
        return None
    values = column.values[sampled].astype(np.float64)
    values = values - values.mean()
    largest = np.abs(values).max(initial=0)
    # Of unit size, so that squares do not overflow.
    values /= largest or 1.0
    means = np.bincount(cells, values) / np.maximum(np.bincount(cells), 1)
    residuals: NDArray[np.float64] = values - means[cells]
    return residuals


def _correlations(samples: list[NDArray[np.float64] | None]) -> NDArray[np.float64]:
    """Return about the correlation between the distances of any two columns in a random split; 1 if it is unknown.

    Distances are like |Z|. For normal Z with correlation r, the correlation of |Z| is that of Nabeya (1951):
    (√(1 - r²) + r arcsin(r) - 1) / (π/2 - 1).
    """
    result = np.ones((len(samples), len(samples)))
    known = [place for place, sample in enumerate(samples) if sample is not None]
    if known:
        matrix = np.array([samples[place] for place in known])
        lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
        unit = matrix / np.where(lengths > 0, lengths, 1.0)[:, None]
        r = np.clip(unit @ unit.T, -1.0, 1.0)
        np.fill_diagonal(r, 1.0)
        result[np.ix_(known, known)] = (np.sqrt(1 - r**2) + r * np.arcsin(r) - 1) / (np.pi / 2 - 1)
    return result
