"""How far the features of the clients are apart, by any measure of two samples."""

from __future__ import annotations

from collections.abc import Callable
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
        measure: Compares two samples; by default the Kolmogorov-Smirnov statistic of SciPy's `ks_2samp`, the largest
            difference between the distribution functions, 0 to 1 in whatever unit the feature is.

    Returns:
        (num_partitions, num_features) distances; 0 for a partition that has no rows, or has them all. The mean of each
            feature, weighted by rows, is `assignment.sizes @ distances / assignment.sizes.sum()`.

    Raises:
        ImportError: SciPy is missing, and no measure is given.
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
    if measure is None:
        measure = _kolmogorov_smirnov()
    elif not callable(measure):
        raise TypeError(f"measure must be a function of two samples, such as ks_2samp's statistic, got {measure!r}")
    columns = _checked(assignment, features)
    distances = np.zeros((len(assignment), columns.shape[1]))
    held = columns[assignment.rows]
    for partition_id, (start, stop) in enumerate(zip(assignment.offsets[:-1], assignment.offsets[1:], strict=True)):
        if 0 < stop - start < len(held):
            others = np.concatenate([held[:start], held[stop:]])
            for feature in range(columns.shape[1]):
                distances[partition_id, feature] = measure(held[start:stop, feature], others[:, feature])
    return distances


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
    wrong = np.argwhere(~np.isfinite(columns))
    if len(wrong):
        row, feature = wrong[0].tolist()
        raise ValueError(f"features must be finite, got {columns[row, feature]} in row {row}, column {feature}")
    return columns


def _kolmogorov_smirnov() -> TwoSample:
    try:
        from scipy.stats import ks_2samp
    except ImportError as error:
        raise ImportError(
            "the default measure is SciPy's; install it with pip install 'flskew[skew]', or pass a measure"
        ) from error
    # The p-value is not asked for, and "asymp" is the fast way not to compute it.
    return lambda ours, others: float(ks_2samp(ours, others, method="asymp").statistic)
