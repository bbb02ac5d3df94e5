"""A whole data set, each row as the client that holds it sees it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flskew.shifts._columns import as_column, label_array, num_entries, taken
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

    def see(arrays: Features) -> Features:
        _check_count(num_entries(arrays), num_rows, "features")
        return _together(arrays, _seen(shift, arrays, rows, offsets, View.features))

    return through_numpy(features, see)


def shifted_labels(shift: Shift | None, labels: Labels, rows: Rows, offsets: Offsets, num_rows: int) -> NDArray[Any]:
    """Return (num_rows,) labels in which each is as its holder sees it; see `shifted_features`."""

    def see(labels: Labels) -> NDArray[Any]:
        values = label_array(labels)
        _check_count(len(values), num_rows, "labels")
        whole: NDArray[Any] = _together(values, _seen(shift, values, rows, offsets, View.labels))
        return whole

    seen: NDArray[Any] = through_numpy(labels, see)
    return seen


def _seen(
    shift: Shift | None, data: Features, rows: Rows, offsets: Offsets, see: Callable[[View, Features], Features]
) -> Iterator[tuple[Rows, Features]]:
    """Yield batches of rows that clients do not see as they are, and what they see."""
    if shift is None:
        return
    for partition_id, (start, stop) in enumerate(pairwise(offsets.tolist())):
        viewer = Viewer(partition_id, len(offsets) - 1)
        for some in _batches(rows[start:stop], data):
            held = taken(data, some)
            seen = see(View(shift, viewer, some), held)
            if seen is not held:
                yield some, seen


def _batches(rows: Rows, data: Features) -> list[Rows]:
    """Split rows into batches of neighbours, which share random numbers."""
    size = math.prod(data.shape[1:]) if isinstance(data, np.ndarray) else 1
    return np.array_split(np.sort(rows), max(1, len(rows) * size // _BATCH))


def _together(data: Features, parts: Iterable[tuple[Rows, Features]]) -> Features:
    """Return the data with some rows replaced; the same object if none is."""
    if isinstance(data, np.ndarray):
        whole = data
        for rows, seen in parts:
            whole = np.array(data) if whole is data else whole
            # Strings may have become longer.
            whole = whole.astype(np.promote_types(whole.dtype, seen.dtype), copy=False)
            whole[rows] = seen
        return whole
    parts = list(parts)
    if not parts:
        return data
    if isinstance(data, Mapping):
        return {
            name: _together(as_column(column), [(rows, seen[name]) for rows, seen in parts])
            for name, column in data.items()
        }
    return _joined(data, parts)


def _joined(frame: Features, parts: Sequence[tuple[Rows, Features]]) -> Features:
    """Return a DataFrame or Series; putting rows into one would lose dtypes, or be slow."""
    import pandas as pd

    rows = np.concatenate([rows for rows, _ in parts])
    others = np.delete(np.arange(len(frame)), rows)
    joined = pd.concat([*(seen for _, seen in parts), frame.iloc[others]])
    return joined.iloc[np.argsort(np.concatenate([rows, others]))]


def _check_count(count: int, num_rows: int, name: str) -> None:
    if count != num_rows:
        raise ValueError(
            f"{name} must have one entry for each of the {num_rows} rows of the data set, got {count}; for some rows, "
            f"use view(partition_id)"
        )
