"""The view of the client that holds all rows: each row as its own client sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from flskew.assignment import Assignment
from flskew.shifts import View
from flskew.shifts._columns import label_array, taken
from flskew.shifts._viewer import Viewer
from flskew.typing import Features, Labels, Rows

__all__ = ["PooledView"]


class PooledView(View):
    """What the pooled client sees; only arrays and tables, by row numbers, because rows have different views."""

    def __init__(self, assignment: Assignment, rows: Rows) -> None:
        super().__init__(assignment.shift, Viewer(0, 1), rows)
        self._assignment = assignment

    def features(self, features: Features, rows: Iterable[int] | None = None) -> Features:
        """Return features, each row as the client that holds it sees it."""
        numbers, places = self._places(rows)
        return taken(self._assignment.shift_features(taken(features, places)), numbers)

    def labels(self, labels: Labels, rows: Iterable[int] | None = None) -> NDArray[Any]:
        """Return labels, each row as the client that holds it sees it."""
        numbers, places = self._places(rows)
        return self._assignment.shift_labels(label_array(labels)[places])[numbers]

    def dataset(self, *arguments: object, **options: object) -> NoReturn:
        """Refuse: a data set has one view."""
        raise TypeError("the pooled client sees each row as its own client does; use view.features and view.labels")

    def _places(self, rows: Iterable[int] | None) -> tuple[Rows, Rows]:
        """Return row numbers, and for each row of the data set a place among them, any for rows that are not."""
        numbers = self.rows if rows is None else np.fromiter(rows, np.int64)
        places = np.zeros(self._assignment.num_rows, np.int64)
        places[numbers] = np.arange(len(numbers))
        return numbers, places
