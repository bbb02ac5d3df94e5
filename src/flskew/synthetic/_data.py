"""What every synthetic data set consists of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew.assignment import Assignment

__all__ = ["FederatedData", "joined"]


class FederatedData(NamedTuple):
    """Rows that clients hold: features, labels, and who holds which row.

    Attributes:
        features: (num_rows, num_features) float64. The rows of client 0 come first, then those of client 1, and so on.
        labels: (num_rows,) int64.
        assignment: The partition of each client; all rows are assigned. It has no classes if there are no rows at all.

    Examples:
        >>> from flskew.synthetic import fcube
        >>> features, labels, assignment = fcube().train
        >>> features[assignment[3]].shape, labels[assignment[3]].shape
        ((1000, 3), (1000,))
    """

    features: NDArray[np.float64]
    labels: NDArray[np.int64]
    assignment: Assignment


def joined(clients: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]]) -> FederatedData:
    """Return the rows of all clients, given the features and labels of each."""
    features, labels = (np.concatenate(parts) for parts in zip(*clients, strict=True))
    ends = np.cumsum([len(labels) for _, labels in clients])
    rows = np.split(np.arange(len(labels)), ends[:-1])
    # Without rows, there are no classes.
    return FederatedData(features, labels, Assignment.from_partitions(rows, labels if len(labels) else None))
