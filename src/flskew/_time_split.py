"""Train on the past and test on the future: split the rows of each partition by time."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._split.building import labels_of, with_labels
from flskew._split.labels import read_times
from flskew._split.time_cuts import later_share, selected, times_of
from flskew.assignment import Assignment
from flskew.typing import Labels, MultiLabels, Times

__all__ = ["split_by_time"]


def split_by_time(
    assignment: Assignment,
    when: Times,
    test: float | date | np.datetime64 = 0.2,
    *,
    labels: Labels | MultiLabels | None = None,
) -> tuple[Assignment, Assignment]:
    """Split each partition by time: train on its past, test on its future.

    Both splits have the partitions and names of `assignment`, so partition i is the same site in both, and rows are
    positions in the same data set. Rows of a partition at the same time are never divided between the two.

    Args:
        assignment: Who holds which row.
        when: One time per row of the data set: dates, such as a pandas or Arrow column of timestamps, or numbers, such
            as years. Times without a zone are taken as UTC.
        test: Which rows to test on. A number between 0 and 1: this share of each partition's rows, the latest ones, as
            closely as rows at the same time allow. A partition with rows at two or more times has rows in both splits;
            one with rows at a single time keeps them for training. A date or, if `when` are numbers, a number of at
            least 1: all rows at this time or later. Some partitions may then have no rows in one of the splits.
        labels: One label per row of the data set, or several as in `Partitioner.assign`; without labels, the two
            splits have no classes. For bins of a continuous target, the target itself.

    Returns:
        The training rows and the test rows. The rows of the other split are `unassigned`, as are those of `assignment`.

    Raises:
        TypeError: `assignment` is not an Assignment, `when` are neither dates nor numbers, or `test` is neither a
            number nor a date of the type of `when`.
        ValueError: A time is missing, `when` or `labels` are not one per row, `labels` are not those of `assignment`,
            or `test` is out of range.

    Examples:
        >>> from datetime import date
        >>> from flskew import Assignment, split_by_time
        >>> visits = Assignment.from_partitions({"Bern": [0, 1, 2, 3], "Lyon": [4, 5]})
        >>> years = [2021, 2024, 2022, 2023, 2020, 2022]
        >>> train, test = split_by_time(visits, years, test=0.25)
        >>> train["Bern"], test["Bern"], test["Lyon"]
        (array([0, 2, 3]), array([1]), array([5]))
        >>> train, test = split_by_time(
        ...     visits, [date(year, 7, 1) for year in years], test=date(2023, 1, 1)
        ... )
        >>> test["Bern"], test["Lyon"]
        (array([1, 3]), array([], dtype=int64))
    """
    if not isinstance(assignment, Assignment):
        raise TypeError(
            f"assignment must be an Assignment, got {type(assignment).__name__}; make one with a partitioner"
        )
    parts = assignment._parts
    times, column = times_of(parts, when), labels_of(parts, labels)
    is_test = _is_test(assignment, times, test)
    train_split, test_split = (
        Assignment._seal(with_labels(selected(parts, which), column)) for which in (~is_test, is_test)
    )
    return train_split, test_split


def _is_test(assignment: Assignment, times: NDArray[Any], test: object) -> NDArray[np.bool_]:
    """(number of assigned rows,) whether each is a test row."""
    are_dates = times.dtype.kind == "M"
    wanted = "a date" if are_dates else "a number >= 1"
    rule = f"test must be a share between 0 and 1, or the first time of the test rows, {wanted} like those in when"
    if isinstance(test, date | np.datetime64):
        if not are_dates:
            raise TypeError(f"{rule}; got {test!r}")
        since = [test] if isinstance(test, date) else np.array([test])
        return np.asarray(times[assignment.rows] >= read_times(since, "test")[0])
    if isinstance(test, bool) or not isinstance(test, int | float | np.integer | np.floating):
        raise TypeError(f"{rule}; got {test!r:.40} of type {type(test).__name__}")
    if 0 < test < 1:
        return later_share(assignment.rows, assignment.offsets, times, float(test))
    if are_dates or not test >= 1:
        raise ValueError(f"{rule}; got {test!r}")
    return np.asarray(times[assignment.rows] >= test)
