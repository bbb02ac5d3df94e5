"""Features and labels as the clients see them, and the rows of each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.labels import LabelColumn, read_labels
from flskew._split.multi_label import MultiLabelColumn
from flskew._split.streams import Streams
from flskew._util.texts import listed
from flskew.assignment import Assignment
from flskew.shifts import Shift
from flskew.skew._columns import read_table
from flskew.skew._distances import Places
from flskew.typing import Features, Label, Labels, MultiLabels

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Coded",
    "Groups",
    "changes_features",
    "changes_labels",
    "check_assignment",
    "check_count",
    "columns_seen",
    "grouped",
    "grouped_by_several",
    "labels_seen",
    "most_frequent_labels",
    "owners_of",
    "plain_features",
    "read_codes",
]

# Draws the columns to compare if there are many.
_SEED = 42


class Groups(NamedTuple):
    """Rows in groups, such as classes; within each group, the rows of one partition after the other.

    Attributes:
        order: The rows of all groups, as positions in `assignment.rows`.
        places: Where the partitions have their rows in each group.
    """

    order: NDArray[np.intp]
    places: list[Places]


class Coded(NamedTuple):
    """Labels of `assignment.rows` as numbers, and the label of each number."""

    codes: NDArray[np.int64]
    classes: tuple[Label, ...]


def check_assignment(assignment: object) -> Assignment:
    """Return a split with rows.

    Raises:
        TypeError: It is not an Assignment.
        ValueError: No partition has rows.
    """
    if not isinstance(assignment, Assignment):
        raise TypeError(
            f"assignment must be an Assignment, got {type(assignment).__name__}; "
            f"make one with Assignment.from_partitions(rows_of_each)"
        )
    if not len(assignment.rows):
        raise ValueError("assignment must have rows in at least one partition, got none; split the data set first")
    return assignment


def changes_labels(shift: Shift | None) -> bool:
    """Return whether a shift may change labels."""
    return shift is not None and any(link._changes("labels") for link in shift._links())


def changes_features(shift: Shift) -> bool:
    """Return whether a shift may change features."""
    return any(link._changes("features") for link in shift._links())


def plain_features(features: Features) -> pd.DataFrame | NDArray[Any]:
    """Return a table as a DataFrame, and anything else as an array."""
    import pandas as pd

    if isinstance(features, Mapping):
        return pd.DataFrame(dict(features), copy=False)
    if hasattr(features, "to_pandas"):
        features = features.to_pandas()
    return features if isinstance(features, pd.DataFrame) else np.asarray(features)


def columns_seen(
    features: pd.DataFrame | NDArray[Any], assignment: Assignment, max_columns: int
) -> tuple[pd.DataFrame, int]:
    """Return the columns to compare as clients see them, and how many columns there are."""
    import pandas as pd

    if assignment.shift is not None:
        features = assignment.shift_features(features)
    if isinstance(features, np.ndarray) and features.ndim > 1:
        flat = features.reshape(len(features), -1)
        chosen = _chosen(flat.shape[1], max_columns)
        frame = pd.DataFrame(flat[:, chosen], columns=[f"feature {number}" for number in chosen.tolist()])
        return read_table(frame, assignment.num_rows), flat.shape[1]
    frame = read_table(features, assignment.num_rows)
    return frame.iloc[:, _chosen(frame.shape[1], max_columns)], frame.shape[1]


def _chosen(count: int, most: int) -> NDArray[np.intp]:
    """Return which of many columns are compared: always the same ones."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.argsort(Streams(_SEED)("columns").random(count), kind="stable")[:most])


def labels_seen(labels: Labels | MultiLabels, assignment: Assignment) -> Labels | MultiLabels:
    """Return labels as clients see them; the same object if no shift changes labels."""
    return assignment.shift_labels(cast("Labels", labels)) if changes_labels(assignment.shift) else labels


def check_count(name: str, count: int, assignment: Assignment) -> None:
    """Refuse labels of another number of rows."""
    if count != assignment.num_rows:
        raise ValueError(
            f"{name} must have one label for each of the {assignment.num_rows:,} rows of the data set, got {count:,}"
        )


def read_codes(assignment: Assignment, **columns: Labels | LabelColumn | None) -> dict[str, Coded]:
    """Number the labels of several columns alike; columns that are None are left out.

    Raises:
        TypeError: A column does not contain labels, or two columns have labels of different types.
        ValueError: A label is missing, or a column does not have one label per row of the data set.
    """
    numbers: dict[tuple[type, Label], int] = {}
    codes: dict[str, NDArray[np.int64]] = {}
    for name, labels in columns.items():
        if labels is None:
            continue
        column = read_labels(labels, name=name)
        check_count(name, len(column), assignment)
        lookup = [numbers.setdefault((type(label), label), len(numbers)) for label in column.labels]
        codes[name] = np.array(lookup, dtype=np.int64)[column.codes][assignment.rows]
    types = sorted({kind.__name__ for kind, _ in numbers})
    if len(types) > 1:
        # Otherwise, no label would equal the truth.
        raise TypeError(f"{listed(codes, show=str)} must be of one type, got {listed(types, show=str)}; convert one")
    classes = tuple(label for _, label in numbers)
    return {name: Coded(own, classes) for name, own in codes.items()}


def owners_of(assignment: Assignment) -> NDArray[np.intp]:
    """Return the partition of each row of `assignment.rows`."""
    return np.repeat(np.arange(len(assignment)), assignment.sizes)


def grouped(assignment: Assignment, codes: NDArray[np.int64] | None = None) -> Groups:
    """Return all rows as one group, or one group for each code >= 0.

    Args:
        assignment: The split.
        codes: The group of each row of `assignment.rows`; negative for none.
    """
    if codes is None:
        return Groups(np.arange(len(assignment.rows)), [Places(assignment.sizes)])
    order = np.argsort(codes, kind="stable")
    order = order[np.count_nonzero(codes < 0) :]
    stops = np.flatnonzero(np.diff(codes[order])) + 1
    owners = np.split(owners_of(assignment)[order], stops)
    return Groups(order, [Places(np.bincount(group, minlength=len(assignment))) for group in owners])


def grouped_by_several(assignment: Assignment, column: MultiLabelColumn) -> Groups:
    """Return one group for each class, with all rows that have this label, beside others or not."""
    entries, lengths = column.gathered(assignment.rows)
    positions = np.repeat(np.arange(len(assignment.rows)), lengths)
    order = np.argsort(column.indices[entries], kind="stable")
    stops = np.cumsum(np.bincount(column.indices[entries], minlength=1))[:-1]
    owners = np.split(owners_of(assignment)[positions[order]], stops)
    places = [Places(np.bincount(group, minlength=len(assignment))) for group in owners if len(group)]
    return Groups(positions[order], places)


def most_frequent_labels(contents: NDArray[np.int64], labels: Coded, assignment: Assignment) -> NDArray[np.int64]:
    """Return the most frequent label among rows with equal features; -1 where only one partition has such rows.

    Of equally frequent labels, it is the first, which favours no partition.

    Args:
        contents: Numbers that are equal where features are, for each row of `assignment.rows`.
        labels: Labels of the same rows.
        assignment: The split.
    """
    held = np.unique(np.stack([contents, owners_of(assignment)]), axis=1)[0]
    holders = np.bincount(held, minlength=contents.max() + 1)
    pairs, counts = np.unique(contents * len(labels.classes) + labels.codes, return_counts=True)
    content, label = np.divmod(pairs, len(labels.classes))
    # For each content, the last of its pairs by count; of equal counts, the one with the smallest label.
    best = np.lexsort([-label, counts, content])
    frequent = np.zeros(len(holders), dtype=np.int64)
    frequent[content[best]] = label[best]
    return np.where(holders[contents] > 1, frequent[contents], -1)
