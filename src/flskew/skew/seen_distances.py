"""How far apart clients are in what they see: their features, and their labels of the same features."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew.assignment import Assignment
from flskew.skew._kinds import Judged, Measuring
from flskew.skew._seen import check_assignment
from flskew.typing import Features, Labels, MultiLabels

__all__ = ["feature_distance", "label_disagreement"]


def feature_distance(
    features: Features, assignment: Assignment, labels: Labels | MultiLabels | None = None, *, max_columns: int = 64
) -> float:
    """Return how much the features that clients see differ between them, as the mean over all columns.

    This is the distance of covariate shift in the report of `flskew.skew.kinds` or, with labels, that of concept drift:
    the distance within each class, weighted by rows. If the assignment has a shift, pass features and labels without
    it.

    Args:
        features: One entry per row of the data set: a table, as for `flskew.skew.feature_report`, or an array of any
            shape.
        assignment: The split.
        labels: One label per row of the data set, or several, to compare only rows of the same class; None for all
            rows.
        max_columns: Maximum number of columns to compare, at least 1.

    Returns:
        0 if all clients have the same distribution, to about 1. Small clients differ by chance; `flskew.skew.kinds`
            says by how much.

    Raises:
        TypeError: An argument has the wrong type, or a column cannot be compared.
        ValueError: There is not one entry per row, a label is missing, a number is infinite, or no partition has rows.

    Examples:
        >>> import numpy as np
        >>> from flskew import Assignment, skew
        >>> from flskew.shifts import Affine
        >>> halves = Assignment.from_partitions([range(0, 100, 2), range(1, 100, 2)])
        >>> ages = np.arange(100.0)
        >>> older = halves.with_shift(Affine(offset=[0, 50]))
        >>> [round(skew.feature_distance(ages, split), 2) for split in (halves, older)]
        [0.02, 0.58]
    """
    max_columns = checks.integer("max_columns", max_columns, minimum=1)
    data = Measuring(check_assignment(assignment), features, labels, None, max_columns)
    judged = data.of_features() if labels is None else data.of_drift()
    return float(cast("Judged", judged).excess.distance)


def label_disagreement(labels: Labels, assignment: Assignment, *, truth: Labels | None = None) -> float:
    """Return the fraction of labels, as the clients see them, that differ from the truth: sum_k w_k · d_k.

    d_k is that fraction for client k, and w_k its share of all rows. `flskew.skew.kinds` returns all d_k, and whether
    they differ more than by chance. If they do, it is a concept shift; otherwise, it is label noise that all clients
    share.

    Args:
        labels: One label per row of the data set. If the assignment has a shift, pass labels without it.
        assignment: The split; rows in no partition are ignored.
        truth: The correct label of each row. You can omit it if the assignment has a shift: `labels` then count as the
            truth.

    Returns:
        0 (all labels are correct) to 1 (none is).

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: There is not one label per row, one is missing, the truth is unknown, or no partition has rows.

    Examples:
        >>> from flskew import Assignment, skew
        >>> clinics = Assignment.from_partitions({"Bern": [0, 1], "Lyon": [2, 3]})
        >>> skew.label_disagreement(
        ...     ["flu", "cold", "flu", "flu"],
        ...     clinics,
        ...     truth=["flu", "cold", "flu", "cold"],
        ... )
        0.25
    """
    if truth is None and check_assignment(assignment).shift is None:
        raise ValueError("truth must be given if the assignment has no shift; pass the correct label of each row")
    data = Measuring(check_assignment(assignment), None, labels, truth, max_columns=1)
    wrong = cast("NDArray[np.float64]", data.disagreements) @ assignment.sizes
    return float(wrong / assignment.sizes.sum())
