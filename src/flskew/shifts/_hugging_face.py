"""A Hugging Face data set, each row as one client sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._util.texts import listed
from flskew.typing import Features, Rows

if TYPE_CHECKING:
    import datasets

    from flskew.shifts.view import View

__all__ = ["SeenColumns", "mapped", "transformed"]

Batch: TypeAlias = dict[str, Sequence[Any]]

_ROW = "flskew.row"
"""The column with the number of each row, if rows are shifted when they are read."""

_MODES = ("L", "RGB", "I", "F", "I;16")
"""Modes of PIL whose numbers are brightness. In others, some are opacity, hues or places in a palette."""


class SeenColumns:
    """Changes batches of rows; `datasets` pickles it to know whether it has mapped a data set before.

    Args:
        view: What the client sees.
        partition: The data set, for the types of its columns.
        feature_by: The column that is an array of features; None for a table of all columns except the labels.
        label_by: The column of labels.

    Raises:
        ValueError: A column does not exist, or features are images and `feature_by` is None.
    """

    def __init__(self, view: View, partition: datasets.Dataset, feature_by: str | None, label_by: str | None) -> None:
        links = () if view.shift is None else [link for link in view.shift._links() if link._is_seen_by(view._viewer)]
        types = partition.features
        self._view = view
        self._label_by = label_by if any(link._changes("labels") for link in links) else None
        changes_features = any(link._changes("features") for link in links)
        self._feature_by = feature_by if changes_features else None
        self._table = [name for name in types if name != label_by] if changes_features and feature_by is None else []
        self._dtypes = {}
        for name in [self._label_by, self._feature_by, *self._table]:
            if name is None:
                continue
            if name not in types:
                raise ValueError(
                    f"{name!r} is not a column of the data set, which has {listed(partition.column_names)}"
                )
            self._dtypes[name] = _dtype(types[name])
            if name in self._table and self._dtypes[name] is None:
                raise ValueError(f"feature_by must name the column of features, because {name!r} contains images")

    def __bool__(self) -> bool:
        """Whether anything can change."""
        return bool(self._dtypes)

    def __call__(self, batch: Mapping[str, Sequence[Any]], rows: Rows) -> Batch:
        """Return the columns that may have changed."""
        seen: Batch = {}
        if self._label_by is not None and self._label_by in batch:
            labels = _array(batch[self._label_by], self._dtypes[self._label_by])
            seen[self._label_by] = _items(self._view.labels(labels, rows))
        if self._feature_by is not None and self._feature_by in batch:
            seen[self._feature_by] = self._seen_features(batch[self._feature_by], rows)
        table = {name: _array(batch[name], self._dtypes[name]) for name in self._table if name in batch}
        if table:
            shifted = self._view.features(table, rows)
            seen |= {name: _items(shifted[name]) for name in table if shifted[name] is not table[name]}
        return seen

    def _seen_features(self, values: Sequence[Any], rows: Rows) -> Sequence[Any]:
        dtype = self._dtypes[str(self._feature_by)]
        arrays = list(map(_pixels, values)) if dtype is None else [np.asarray(value, dtype) for value in values]
        if len({(array.shape, array.dtype) for array in arrays}) > 1:
            # A row does not depend on the others in its batch.
            return [self._seen_features([value], rows[[place]])[0] for place, value in enumerate(values)]
        if not arrays:
            return values
        stacked = np.stack(arrays)
        seen = self._view.features(stacked, rows)
        if seen is stacked:
            return values
        if dtype is None:
            from PIL import Image

            return [Image.fromarray(array) for array in seen]
        return _items(seen)


def mapped(seen: SeenColumns, partition: datasets.Dataset, rows: Rows) -> datasets.Dataset:
    """Return a data set that contains what is seen, with the same columns, types and format."""
    if not seen:
        return partition
    shifted: datasets.Dataset = partition.with_format(None).map(
        partial(_by_position, seen, rows), batched=True, with_indices=True, features=partition.features
    )
    given = partition.format
    if given["type"] is None and given["columns"] == partition.column_names:
        return shifted
    columns = None if given["columns"] == partition.column_names else given["columns"]
    shifted.set_format(given["type"], columns, given["output_all_columns"], **given["format_kwargs"])
    return shifted


def transformed(
    seen: SeenColumns, partition: datasets.Dataset, rows: Rows, transform: Callable[[Batch], Batch] | None
) -> datasets.Dataset:
    """Return the data set with the number of each row in a column, and a transform that uses it.

    Raises:
        TypeError: The data set has a format.
    """
    if partition.format["type"] is not None:
        raise TypeError(
            f"a data set has either a format or a transform, but this one has the format {partition.format['type']!r}; "
            f"use lazy=False, or with_format(None) and transform=..."
        )
    if _ROW in partition.column_names:
        raise ValueError("the data set is already seen by a client; pass the data set as it is")
    numbered: datasets.Dataset = partition.add_column(_ROW, rows)
    numbered.set_transform(partial(_by_column, seen, transform))
    return numbered


def _by_position(seen: SeenColumns, rows: Rows, batch: Mapping[str, Sequence[Any]], positions: list[int]) -> Batch:
    return seen(batch, rows[positions])


def _by_column(
    seen: SeenColumns, transform: Callable[[Batch], Batch] | None, batch: Mapping[str, Sequence[Any]]
) -> Batch:
    if _ROW not in batch:
        raise ValueError(
            f"the column {_ROW!r} with the number of each row is missing; keep it, and read rows or batches, such as "
            f"dataset[:100], and not single columns"
        )
    others = {name: values for name, values in batch.items() if name != _ROW}
    shifted = others | seen(others, np.asarray(batch[_ROW], dtype=np.int64))
    return shifted if transform is None else transform(shifted)


def _dtype(kind: Any) -> np.dtype[Any] | None:
    """Return NumPy's dtype for a type of `datasets`; None for images."""
    if type(kind).__name__ == "Image":
        return None
    inner = kind[0] if isinstance(kind, list) else getattr(kind, "feature", kind)
    if inner is not kind:
        return _dtype(inner)
    name = str(getattr(kind, "dtype", "object"))
    return np.dtype(name if name.startswith(("bool", "int", "uint", "float")) else object)


def _array(values: Sequence[Any], dtype: np.dtype[Any] | None) -> NDArray[Any]:
    """Return a column as an array; of objects, if it has missing values or lists of different lengths."""
    try:
        return np.array(values, dtype)
    except (TypeError, ValueError):
        array = np.empty(len(values), dtype=object)
        array[:] = list(values)
        return array


def _items(array: Features) -> Sequence[Any]:
    """Return one item per row: a Python object, or an array if there are several numbers per row."""
    items: Sequence[Any] = array.tolist() if array.ndim == 1 else list(array)
    return items


def _pixels(image: Any) -> NDArray[Any]:
    mode = getattr(image, "mode", None)
    if mode not in _MODES:
        raise TypeError(
            f"images must have one of the modes {', '.join(_MODES)}, got {mode or type(image).__name__}; convert them "
            f"first, e.g. with convert('RGB')"
        )
    return np.asarray(image)
