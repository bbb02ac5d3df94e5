"""The classes of the test set: who has seen them, and which test rows are theirs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew.assignment import Assignment
from flskew.study.task import Task
from flskew.typing import LabelCounts, Rows

__all__ = ["Classes", "classes_of"]


class Classes(NamedTuple):
    """The classes of a test set.

    Attributes:
        labels: (num_classes,) distinct labels, sorted.
        counts: (num_clients, num_classes) training rows of each class in each client.
        test_rows: The test rows of each class.
    """

    labels: NDArray[Any]
    counts: LabelCounts
    test_rows: list[Rows]


def classes_of(task: Task, train: Assignment) -> Classes:
    """Return the classes of a test set; none if rows have several labels, or numbers that are not classes."""
    labels, tested = np.asarray(task.labels), np.asarray(task.test_labels)
    if labels.ndim != 1 or tested.ndim != 1 or tested.dtype.kind not in "biuSU":
        return Classes(np.array([], np.int64), np.zeros((len(train), 0), np.int64), [])
    classes, codes = np.unique(tested, return_inverse=True)
    places = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    is_known = classes[places] == labels
    counts = [np.bincount(places[rows][is_known[rows]], minlength=len(classes)) for rows in train]
    return Classes(classes, np.stack(counts), [np.flatnonzero(codes == code) for code in range(len(classes))])
