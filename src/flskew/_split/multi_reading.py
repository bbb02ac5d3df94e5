"""Read labels of either kind: one per row, or several."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import TYPE_CHECKING, cast

import numpy as np

from flskew._split.encoding import LabelColumn, encode
from flskew._split.label_matrices import read_frame, read_matrix, read_sparse
from flskew._split.labels import is_datasets_column, read_column, read_labels
from flskew._split.multi_label import AnyColumn, MultiLabelColumn, compressed
from flskew.typing import Edges, Labels, MultiLabels

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from datasets import Dataset

__all__ = ["read_any_column", "read_any_labels", "read_multi_labels"]

_TWICE = "pass 0/1 indicators as a matrix, e.g. np.array({name}), and list each label of a row once"


def read_multi_labels(labels: MultiLabels | MultiLabelColumn, *, name: str = "labels") -> MultiLabelColumn:
    """Read any number of labels per row.

    Args:
        labels: Either a 0/1 matrix of rows by at least two classes: a NumPy array or a SciPy sparse matrix, with the
            column numbers as classes, or a DataFrame, with the column names as classes. Or a collection of labels for
            each row: a list of lists, sets or tuples, or a column of lists of Arrow or of a Hugging Face data set. A
            row may have no label, and a class without rows is left out. A `MultiLabelColumn` is returned unchanged.
        name: What error messages call them.

    Raises:
        TypeError: The labels have an unsupported type.
        ValueError: A value is missing or neither 0 nor 1, a row has a label twice, or there is no label at all.

    Examples:
        >>> import numpy as np
        >>> from flskew.partitioners import read_multi_labels
        >>> read_multi_labels(np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0]])).labels
        [0, 1]
    """
    column = _several(labels, name)
    if column is None:
        raise TypeError(
            f"{name} must be a 0/1 matrix with a column for each of at least two classes, or a list of labels for each "
            f"row, got {type(labels).__name__}"
        )
    return column


def read_any_labels(
    labels: Labels | MultiLabels | AnyColumn,
    *,
    name: str = "labels",
    num_bins: int | None = None,
    edges: Edges | None = None,
    can_bin: bool = False,
) -> AnyColumn:
    """Read one label per row like `read_labels`, or several like `read_multi_labels`, depending on what they are."""
    column = _several(labels, name)
    if column is None:
        one = cast("Labels | LabelColumn", labels)
        return read_labels(one, name=name, num_bins=num_bins, edges=edges, can_bin=can_bin)
    if num_bins is not None or edges is not None:
        raise TypeError(f"{name} must be one number or date per row if they are binned, got several labels per row")
    return column


def read_any_column(
    dataset: Dataset,
    column: str,
    *,
    argument: str = "partition_by",
    num_bins: int | None = None,
    can_bin: bool = False,
) -> AnyColumn:
    """Read a column of a Hugging Face data set like `read_column`, or its lists of labels."""
    if column in dataset.column_names and _are_lists(_stored(dataset, column).type):
        several = _of_dataset(dataset, column, f"column {column!r}")
        if num_bins is not None:
            raise TypeError(f"column {column!r} must have one number or date per row if it is binned, got lists")
        return several
    return read_column(dataset, column, argument=argument, num_bins=num_bins, can_bin=can_bin)


def _several(labels: object, name: str) -> MultiLabelColumn | None:
    """Read labels if they are several per row; None if they are not."""
    import pyarrow as pa

    if isinstance(labels, MultiLabelColumn):
        return labels
    if isinstance(labels, LabelColumn | str | bytes | Mapping | Set | pa.Table):
        return None
    if isinstance(labels, pa.Array | pa.ChunkedArray):
        return _of_arrow(labels, name) if _are_lists(labels.type) else None
    if is_datasets_column(labels, name):
        dataset, column = labels.source, labels.column_name  # type: ignore[attr-defined]
        return _of_dataset(dataset, column, name) if _are_lists(_stored(dataset, column).type) else None
    if hasattr(labels, "tocsr"):
        return read_sparse(labels, name)
    if hasattr(labels, "columns") and hasattr(labels, "to_numpy"):
        return read_frame(cast("pd.DataFrame", labels), name) if len(labels.columns) > 1 else None
    shape = getattr(labels, "shape", None)
    if shape is not None and len(shape) == 2 and shape[1] > 1 and hasattr(labels, "__array__"):
        return read_matrix(np.ma.asarray(labels), read_labels(range(shape[1])), name)
    if type(getattr(labels, "dtype", None)).__name__ == "ArrowDtype":
        return _several(pa.chunked_array([pa.Array.from_pandas(labels)]), name)
    if not hasattr(labels, "__len__") or str(getattr(labels, "dtype", "object")) != "object":
        return None
    rows = cast("Sequence[object]", labels)
    first = next((row for row in rows if row is not None), None)
    is_collection = isinstance(first, list | tuple | Set) or (isinstance(first, np.ndarray) and first.ndim == 1)
    return _of_collections(list(rows), name) if is_collection else None


def _stored(dataset: Dataset, column: str) -> pa.ChunkedArray:
    table: pa.Table = dataset.data
    return table.column(column)


def _are_lists(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _of_collections(rows: list[object], name: str) -> MultiLabelColumn:
    import pyarrow as pa

    for row, labels in enumerate(rows):
        if isinstance(labels, str) or not (labels is None or isinstance(labels, Collection | np.ndarray)):
            raise TypeError(f"{name} must have a list of labels for each row, got {labels!r:.40} at row {row}")
    lists = [list(row) if isinstance(row, Set) else row for row in rows]
    try:
        array = pa.array(lists, from_pandas=True)
    except OverflowError:  # Arrow infers signed integers.
        array = pa.array(lists, type=pa.list_(pa.uint64()), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must have a list of labels for each row, integers, strings or booleans, all of the same type: "
            f"{error}"
        ) from None
    return _of_arrow(array, name)


def _of_arrow(labels: pa.Array | pa.ChunkedArray, name: str) -> MultiLabelColumn:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = labels if isinstance(labels, pa.Array) else pa.concat_arrays(labels.chunks) if labels.num_chunks else None
    if array is None or len(array) == 0:
        raise ValueError(f"{name} must contain at least one row, got none")
    if array.null_count:
        row = pc.index(pc.is_null(array), True).as_py()
        raise ValueError(
            f"{name} has a missing value (None) at row {row} ({array.null_count} in total); "
            f"use an empty list for a row without labels"
        )
    lengths = np.asarray(pc.list_value_length(array).to_numpy(zero_copy_only=False), dtype=np.int64)
    flat = array.flatten()
    if len(flat) == 0:
        raise ValueError(f"{name} must contain at least one label, but all {len(array)} rows have empty lists")
    missing = pc.is_null(flat, nan_is_null=True) if pa.types.is_floating(flat.type) else pc.is_null(flat)
    if pc.any(missing).as_py():
        row = int(np.searchsorted(np.cumsum(lengths), pc.index(missing, True).as_py(), side="right"))
        raise ValueError(f"{name} has a missing label (None or NaN) in the list of row {row}; remove it from the list")
    entries = encode(pa.chunked_array([flat]), name)
    return compressed(lengths, entries, name, _TWICE.format(name=name))


def _of_dataset(dataset: Dataset, column: str, name: str) -> MultiLabelColumn:
    from datasets import ClassLabel

    values = _stored(dataset, column)
    if dataset._indices is not None:
        selection: pa.Table = dataset._indices
        values = values.combine_chunks().take(selection.column(0))
    labels = _of_arrow(values, name)
    feature = getattr(dataset.features[column], "feature", None)
    if isinstance(feature, ClassLabel) and labels.labels[0] == -1:
        row = int(labels.rows[np.argmin(labels.indices)])
        raise ValueError(
            f"{name} has a missing label (-1 in a ClassLabel column) at row {row}; remove it from the list"
        )
    return labels
