"""A map-style data set, such as PyTorch's, as one client sees it. It works without PyTorch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from flskew.shifts._frameworks import as_numpy
from flskew.shifts._rows import row_numbers
from flskew.shifts.view import View
from flskew.typing import Features, MapDataset, Rows

__all__ = ["ShiftedDataset"]


class ShiftedDataset:
    """The rows of one client in a map-style data set, as this client sees them.

    Give it to a PyTorch `DataLoader`, with any batch size, shuffled or not, and with any number of workers: an image
    looks the same whenever it is loaded.

    Entry j is row `rows[j]` of the data set. Of a tuple or list, the first item is shifted as features and the second
    as a label; others stay as they are. The data set's own transforms come before the shift.

    Args:
        dataset: The data set of all clients: `dataset[row]` is a tuple or list (x, y, ...), or x alone. x is a tensor,
            an array, a number, or an image of PIL, which becomes an array.
        view: What the client sees, from `Assignment.view`.
        rows: The rows to take; None for those of the client's partition.
        transform: Called with each x after the shift, for example to normalise images.

    Raises:
        AttributeError: The view was made without an assignment, and `rows` is None.
        TypeError: `view` is not a view, or rows are not integers; or, when an entry is loaded, x is not numeric.
        ValueError: The data set lacks some rows.

    Examples:
        >>> import numpy as np
        >>> from flskew import Assignment
        >>> from flskew.shifts import Rotate, ShiftedDataset
        >>> data = [(np.array([[1, 2], [3, 4]]), 0), (np.array([[5, 6], [7, 8]]), 1)]
        >>> assignment = Assignment.from_partitions([[0], [1]])
        >>> assignment = assignment.with_shift(Rotate([0, 180]))
        >>> client = ShiftedDataset(data, assignment.view(1))
        >>> x, y = client[0]
        >>> x
        array([[8, 7],
               [6, 5]])
    """

    def __init__(
        self,
        dataset: MapDataset,
        view: View,
        rows: Iterable[int] | None = None,
        *,
        transform: Callable[[Features], Features] | None = None,
    ) -> None:
        if not isinstance(view, View):
            raise TypeError(f"view must be the view of one client, assignment.view(i), got {type(view).__name__}")
        self._dataset, self._view, self._transform = dataset, view, transform
        links = () if view.shift is None else view.shift._links()
        self._changes_features = any(link._changes("features") for link in links)
        self._changes_labels = any(link._changes("labels") for link in links)
        self._rows = view.rows if rows is None else row_numbers(rows)
        most = self._rows.max(initial=-1)
        if most >= len(dataset):
            raise ValueError(
                f"rows go up to {most}, but the data set has only {len(dataset)}; pass the data set of all clients, "
                f"not one client's part"
            )

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        """Return one entry."""
        return self.__getitems__([operator.index(index)])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return several entries; a `DataLoader` calls this once per batch."""
        if not len(indices):
            return []
        rows = self._rows[np.asarray(indices, dtype=np.int64)]
        load = getattr(self._dataset, "__getitems__", None)
        loaded = load(rows.tolist()) if load else [self._dataset[row] for row in rows.tolist()]
        is_x_alone = not isinstance(loaded[0], tuple | list)
        columns = [tuple(loaded)] if is_x_alone else list(zip(*loaded, strict=True))
        if self._changes_features:
            columns[0] = _seen(columns[0], rows, self._view.features)
        if self._changes_labels and len(columns) > 1:
            columns[1] = _seen(columns[1], rows, self._view.labels)
        if self._transform is not None:
            columns[0] = tuple(map(self._transform, columns[0]))
        return list(columns[0]) if is_x_alone else list(zip(*columns, strict=True))


def _seen(values: tuple[Any, ...], rows: Rows, look: Callable[[Any, Rows], Any]) -> tuple[Any, ...]:
    """Return values of any kind as a client sees them, all at once if their shapes and dtypes are equal."""
    arrays, backs = zip(*map(as_numpy, values), strict=True)
    arrays = tuple(map(np.asarray, arrays))
    if any(array.dtype == object for array in arrays):
        raise TypeError(
            f"entries must be tuples (x, y, ...) of a numeric x and a label, but one contains a "
            f"{type(values[0]).__name__}; pass a data set with a transform that makes such tuples"
        )
    if len({(array.shape, array.dtype) for array in arrays}) > 1:
        return tuple(_seen((value,), rows[[place]], look)[0] for place, value in enumerate(values))
    seen = look(np.stack(arrays), rows)
    return tuple(
        new.item() if type(value) in (bool, int, float, str) else back(new)
        for value, back, new in zip(values, backs, seen, strict=True)
    )
