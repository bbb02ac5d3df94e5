"""Read several labels per row from a 0/1 matrix with a column for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.encoding import LabelColumn
from flskew._split.labels import read_labels
from flskew._split.multi_label import MultiLabelColumn, compressed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_frame", "read_matrix", "read_sparse"]


def read_sparse(labels: object, name: str) -> MultiLabelColumn:
    """Read a SciPy sparse matrix or array; its classes are the numbers of its columns."""
    matrix = cast("Any", labels).tocsr()
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        raise TypeError(f"{name} must have a column for each of at least two classes, got the shape {matrix.shape}")
    matrix = matrix.copy()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if not (matrix.data == 1).all():
        raise ValueError(f"{name} must contain only 0 and 1, one column for each class")
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return _of_cells(rows, matrix.indices, matrix.shape[0], read_labels(range(matrix.shape[1])), name)


def read_frame(frame: pd.DataFrame, name: str) -> MultiLabelColumn:
    """Read a DataFrame; its classes are the names of its columns."""
    columns = frame.columns.tolist() if hasattr(frame.columns, "tolist") else list(frame.columns)
    classes = read_labels(columns, name=f"the names of the columns of {name}")
    if len(classes.classes) < len(columns):
        twice = classes.labels[int(np.argmax(classes.sizes > 1))]
        raise ValueError(f"{name} has several columns called {twice!r}; pass one column for each class")
    values = frame.to_numpy()
    if values.dtype == object:
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            raise TypeError(
                f"{name} must be one column, or only 0/1 columns, one for each class, got a {type(frame).__name__} of "
                f'shape {frame.shape} with other values; pass the column with the labels, e.g. df["label"], or those '
                f"of the classes"
            ) from None
    return read_matrix(values, classes, name)


def read_matrix(matrix: NDArray[Any], classes: LabelColumn, name: str) -> MultiLabelColumn:
    """Read a 0/1 matrix, given the class of each column."""
    accepted = (
        f"{name} must be one label per row, or a 0/1 matrix with a column for each class, got an array of shape "
        f"{matrix.shape}"
    )
    if matrix.dtype.kind not in "biuf":
        raise TypeError(f"{accepted} and type {matrix.dtype}; choose one column, or make it 0/1")
    if len(matrix) == 0:
        raise ValueError(f"{name} must contain at least one row, got none")
    if np.ma.is_masked(matrix):
        row = int(np.argmax(np.ma.getmaskarray(matrix).any(axis=1)))
        raise ValueError(f"{name} has a masked value at row {row}; fill it in first, with 0 for no label")
    plain = np.asarray(matrix)
    ones = plain == 1
    others = ~(ones | (plain == 0))
    if others.any():
        row, place = np.argwhere(others)[0].tolist()
        raise ValueError(
            f"{accepted} with {plain[row, place]} at row {row}, column {classes.labels[classes.codes[place]]!r}; "
            f"choose one column for one label per row, or make it 0/1, e.g. probabilities with > 0.5"
        )
    rows, places = np.nonzero(ones)
    return _of_cells(rows, places, len(plain), classes, name)


def _of_cells(
    rows: NDArray[np.int64], places: NDArray[np.integer[Any]], num_rows: int, classes: LabelColumn, name: str
) -> MultiLabelColumn:
    """Return a column from the cells of a matrix that are 1, sorted by row."""
    if len(rows) == 0:
        raise ValueError(f"{name} must contain at least one label, but all {num_rows} rows are 0")
    codes = classes.codes[places]
    sizes = np.bincount(codes, minlength=len(classes.classes))
    found = np.flatnonzero(sizes)
    rank = np.zeros(len(sizes), dtype=np.min_scalar_type(len(found) - 1))
    rank[found] = np.arange(len(found))
    entries = LabelColumn(rank[codes], classes.classes[found], None, sizes[found])
    return compressed(np.bincount(rows, minlength=num_rows), entries, name, "")
