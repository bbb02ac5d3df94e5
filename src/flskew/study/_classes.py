"""The classes of the test set: who has seen them, and which test rows are theirs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._split.labels import read_labels
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
    try:
        labels, tested = read_labels(task.labels), read_labels(task.test_labels)
    except (TypeError, ValueError):
        return Classes(np.array([], np.int64), np.zeros((len(train), 0), np.int64), [])
    number = len(tested.classes)
    places_of = {label: place for place, label in enumerate(tested.labels)}
    # Classes that no test row has are counted in another column, which is dropped.
    places = np.array([places_of.get(label, number) for label in labels.labels])[labels.codes]
    counts = [np.bincount(places[rows], minlength=number + 1)[:number] for rows in train]
    return Classes(tested.classes, np.stack(counts), [np.flatnonzero(tested.codes == code) for code in range(number)])
