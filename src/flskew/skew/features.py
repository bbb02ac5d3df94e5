"""How far the features of the clients are apart, by any measure of two samples."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew.assignment import Assignment

__all__ = ["TwoSample", "feature_distances"]

TwoSample: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], float]
"""A measure of how far two samples of one feature are apart, such as `scipy.stats.wasserstein_distance`."""


def feature_distances(
    assignment: Assignment, features: NDArray[Any], measure: TwoSample | None = None
) -> NDArray[np.float64]:
    """Return how far each partition's features are from those of all other partitions.

    Each feature is looked at by itself, so what only shows in several together is not seen.

    Args:
        assignment: The split.
        features: (num_rows,) or (num_rows, num_features) finite numbers, in the order of the data set.
        measure: Compares two samples; by default the Kolmogorov-Smirnov statistic, the largest difference between the
            distribution functions, 0 to 1 in whatever unit the feature is. Another one, such as SciPy's
            `wasserstein_distance`, is given all rows once for each partition, which takes longer.

    Returns:
        (num_partitions, num_features) distances; 0 for a partition that has no rows, or has them all. The mean of each
            feature, weighted by rows, is `assignment.sizes @ distances / assignment.sizes.sum()`.

    Raises:
        TypeError: The features are no numbers, or another argument is of the wrong type.
        ValueError: There are other than one row of features per row of the data set, or one is not finite.

    Examples:
        >>> import numpy as np
        >>> from flskew import Assignment, skew
        >>> halves = Assignment.from_partitions([[0, 1], [2, 3]])
        >>> skew.feature_distances(halves, np.array([[1.0, 5.0], [2.0, 6.0], [8.0, 5.0], [9.0, 6.0]]))
        array([[1., 0.],
               [1., 0.]])
    """
    if not isinstance(assignment, Assignment):
        raise TypeError(
            f"assignment must be an Assignment, got {type(assignment).__name__}; "
            f"Assignment.from_partitions(rows_of_each) makes one"
        )
    if measure is not None and not callable(measure):
        raise TypeError(f"measure must be a function of two samples, such as ks_2samp's statistic, got {measure!r}")
    held = _checked(assignment, features)[assignment.rows]
    distances = np.zeros((len(assignment), held.shape[1]))
    for feature, values in enumerate(held.T):
        rising = np.sort(values)
        for partition_id, (start, stop) in enumerate(pairwise(assignment.offsets.tolist())):
            if 0 < stop - start < len(values):
                ours = values[start:stop]
                if measure is None:
                    distances[partition_id, feature] = _kolmogorov_smirnov(np.sort(ours), rising)
                else:
                    others = np.concatenate([values[:start], values[stop:]])
                    distances[partition_id, feature] = _number(measure(ours, others))
    return distances


def _number(distance: object) -> NDArray[Any]:
    number = np.asarray(distance)
    if number.ndim or number.dtype.kind not in "iufb":
        raise TypeError(
            f"measure must return a number, got {type(distance).__name__}; "
            f"take it out, e.g. lambda ours, others: ks_2samp(ours, others).statistic"
        )
    return number


def _checked(assignment: Assignment, features: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(features)
    if array.dtype.kind not in "iufb":
        raise TypeError(f"features must be numbers, got an array of {array.dtype}; pass a NumPy array of them")
    if array.ndim not in (1, 2) or len(array) != assignment.num_rows:
        raise ValueError(
            f"features must have one row for each of the {assignment.num_rows} rows of the data set, and one column "
            f"per feature, got an array of shape {array.shape}; images become rows with .reshape(len(images), -1)"
        )
    columns = array.reshape(len(array), -1)
    if np.ma.is_masked(features):
        raise ValueError("features must be finite, got masked ones; fill them with .filled(number)")
    wrong = np.argwhere(~np.isfinite(columns))
    if len(wrong):
        row, feature = wrong[0].tolist()
        raise ValueError(f"features must be finite, got {columns[row, feature]} in row {row}, column {feature}")
    return columns


def _kolmogorov_smirnov(ours: NDArray[Any], everybodys: NDArray[Any]) -> float:
    """Return the largest difference between the distribution functions of our values and of those that are not ours.

    Both are sorted, ours among everybody's. Between two of ours only the others' function rises, so the difference is
    largest at one of ours, or just before it.
    """
    own, total = len(ours), len(everybodys)
    largest = 0
    for side in ("left", "right"):
        # In whole numbers: a / own - (b - a) / (total - own) = (a total - b own) / (own (total - own)).
        mine, all_of_them = (np.searchsorted(among, ours, side) for among in (ours, everybodys))
        largest = max(largest, int(np.abs(mine * total - all_of_them * own).max()))
    return largest / (own * (total - own))
