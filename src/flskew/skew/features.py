"""Measure how much the features of clients differ (covariate shift), with any distance between two samples."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew.assignment import Assignment

__all__ = ["TwoSample", "feature_distances"]

TwoSample: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], float]
"""A distance between two samples of one feature, such as `scipy.stats.wasserstein_distance`."""


def feature_distances(
    assignment: Assignment, features: NDArray[Any], measure: TwoSample | None = None
) -> NDArray[np.float64]:
    """Return the distance between each partition's features and those of all other partitions.

    Measures covariate shift. Features are compared one at a time, so differences that only show in several features
    together go unnoticed.

    Args:
        assignment: The split.
        features: (num_rows,) or (num_rows, num_features) finite numbers, in the order of the data set.
        measure: Compares two samples; by default the Kolmogorov-Smirnov statistic, the largest difference between the
            distribution functions, which is from 0 to 1 whatever the unit. Other measures, such as SciPy's
            `wasserstein_distance`, are called with all rows for each partition, which takes longer.

    Returns:
        (num_partitions, num_features) distances; 0 for a partition with no rows or with all of them. The mean of each
            feature, weighted by rows, is `assignment.sizes @ distances / assignment.sizes.sum()`.

    Raises:
        TypeError: The features are not numbers, or another argument has the wrong type.
        ValueError: The number of feature rows is not the number of rows of the data set, or a feature is not finite.

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
            f"make one with Assignment.from_partitions(rows_of_each)"
        )
    if measure is not None and not callable(measure):
        raise TypeError(f"measure must be a function of two samples, such as ks_2samp's statistic, got {measure!r}")
    held = _checked(assignment, features)[assignment.rows]
    distances = np.zeros((len(assignment), held.shape[1]))
    for feature, values in enumerate(held.T):
        rising = np.sort(values)
        for partition_id, (start, stop) in enumerate(pairwise(assignment.offsets.tolist())):
            if 0 < stop - start < len(values):
                sample = values[start:stop]
                if measure is None:
                    distances[partition_id, feature] = _kolmogorov_smirnov(np.sort(sample), rising)
                else:
                    others = np.concatenate([values[:start], values[stop:]])
                    distances[partition_id, feature] = _number(measure(sample, others))
    return distances


def _number(distance: object) -> NDArray[Any]:
    number = np.asarray(distance)
    if number.ndim or number.dtype.kind not in "iufb":
        raise TypeError(
            f"measure must return a number, got {type(distance).__name__}; "
            f"extract one, e.g. lambda sample, others: ks_2samp(sample, others).statistic"
        )
    return number


def _checked(assignment: Assignment, features: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(features)
    if array.dtype.kind not in "iufb":
        raise TypeError(f"features must be numbers, got an array of {array.dtype}; pass a NumPy array of numbers")
    if array.ndim not in (1, 2) or len(array) != assignment.num_rows:
        raise ValueError(
            f"features must have one row for each of the {assignment.num_rows} rows of the data set, and one column "
            f"per feature, got an array of shape {array.shape}; flatten images with .reshape(len(images), -1)"
        )
    columns = array.reshape(len(array), -1)
    if np.ma.is_masked(features):
        raise ValueError("features must be finite, got masked ones; fill them with .filled(number)")
    wrong = np.argwhere(~np.isfinite(columns))
    if len(wrong):
        row, feature = wrong[0].tolist()
        raise ValueError(f"features must be finite, got {columns[row, feature]} in row {row}, column {feature}")
    return columns


def _kolmogorov_smirnov(sample: NDArray[Any], pooled: NDArray[Any]) -> float:
    """Return the largest difference between the distribution functions of a sample and the other pooled values.

    Both arrays are sorted, and `pooled` contains the sample. Between two values of the sample, only the other
    distribution function rises, so the largest difference is at a value of the sample or just before it.
    """
    size, total = len(sample), len(pooled)
    largest = 0
    for side in ("left", "right"):
        # In integers: a / size - (b - a) / (total - size) = (a total - b size) / (size (total - size)).
        below, below_pooled = (np.searchsorted(values, sample, side) for values in (sample, pooled))
        largest = max(largest, int(np.abs(below * total - below_pooled * size).max()))
    return largest / (size * (total - size))
