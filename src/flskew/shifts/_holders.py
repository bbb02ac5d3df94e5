"""A whole data set, each row as the client that holds it sees it."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flskew.shifts._columns import num_entries, taken
from flskew.shifts._frameworks import through_numpy
from flskew.shifts._viewer import Viewer
from flskew.shifts.view import View
from flskew.typing import Features, Labels, Offsets, Rows

if TYPE_CHECKING:
    from flskew.shifts.base import Shift

__all__ = ["shifted_features", "shifted_labels"]

_BATCH = 2**22
"""Numbers in a batch of rows, approximately."""


def shifted_features(shift: Shift | None, features: Features, rows: Rows, offsets: Offsets, num_rows: int) -> Features:
    """Return features in which each row is as its holder sees it.

    Args:
        shift: What clients see differently; None for nothing.
        features: One entry per row of the data set.
        rows: The rows of all partitions, one partition after the other.
        offsets: (num_partitions + 1,) where each partition begins in `rows`.
        num_rows: Number of rows in the data set.

    Raises:
        ValueError: There is not one entry per row.
    """

    def see(features: Features) -> Features:
        _check_count(num_entries(features), num_rows, "features")
        whole = features
        for view in _views(shift, rows, offsets):
            for some in _batches(view.rows, features):
                before = taken(features, some)
                seen = view.features(before, some)
                if seen is not before:
                    whole = _copied(features) if whole is features else whole
                    _put(whole, some, seen)
        return whole

    return through_numpy(features, see)


def shifted_labels(shift: Shift | None, labels: Labels, rows: Rows, offsets: Offsets, num_rows: int) -> NDArray[Any]:
    """Return (num_rows,) labels in which each is as its holder sees it; see `shifted_features`."""

    def see(labels: Labels) -> NDArray[Any]:
        values = np.asarray(labels)
        _check_count(len(values), num_rows, "labels")
        views = list(_views(shift, rows, offsets))
        before = [values[view.rows] for view in views]
        seen = [view.labels(some) for view, some in zip(views, before, strict=True)]
        if all(map(operator.is_, before, seen)):
            return values
        # A new label may be longer than every other.
        whole = values.astype(np.result_type(values, *seen))
        for view, some in zip(views, seen, strict=True):
            whole[view.rows] = some
        return whole

    seen: NDArray[Any] = through_numpy(labels, see)
    return seen


def _views(shift: Shift | None, rows: Rows, offsets: Offsets) -> Iterator[View]:
    if shift is None:
        return
    for partition_id, (start, stop) in enumerate(pairwise(offsets.tolist())):
        yield View(shift, Viewer(partition_id, len(offsets) - 1), rows[start:stop])


def _batches(rows: Rows, features: Features) -> list[Rows]:
    """Split rows into batches of neighbours, which share random numbers."""
    size = math.prod(features.shape[1:]) if isinstance(features, np.ndarray) else 1
    return np.array_split(np.sort(rows), max(1, len(rows) * size // _BATCH))


def _copied(features: Features) -> Features:
    if isinstance(features, Mapping):
        return {name: np.array(column) for name, column in features.items()}
    return features.copy()


def _put(whole: Features, rows: Rows, seen: Features) -> None:
    if isinstance(whole, np.ndarray):
        whole[rows] = seen
        return
    for position, name in enumerate(whole):
        if isinstance(whole, dict):
            whole[name][rows] = seen[name]
        else:
            whole.iloc[rows, position] = np.asarray(seen.iloc[:, position])


def _check_count(count: int, num_rows: int, name: str) -> None:
    if count != num_rows:
        raise ValueError(
            f"{name} must have one entry for each of the {num_rows} rows of the data set, got {count}; for some rows, "
            f"use view(partition_id)"
        )
