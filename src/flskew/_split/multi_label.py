"""Several labels per row: the labels of all rows one after the other, as in a sparse matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.encoding import LabelColumn, subset
from flskew._split.labels import shown
from flskew.typing import Classes, Codes, Edges, Label, Offsets, Rows, Sizes

__all__ = ["AnyColumn", "MultiLabelColumn", "any_subset", "compressed"]


@dataclass(frozen=True, eq=False)
class MultiLabelColumn:
    """Any number of labels per row, including none, as positions among the sorted classes.

    It stores the 0/1 matrix of rows by classes in compressed form, with the attribute names of
    `scipy.sparse.csr_matrix`.

    Attributes:
        indptr: (num_rows + 1,) int64: the labels of row i lie between `indptr[i]` and `indptr[i + 1]` in `indices`.
        indices: (num_labels,) unsigned integers of the smallest sufficient width, increasing within a row.
        classes: (num_classes,) the distinct labels in increasing order: int64 (uint64 if needed), bool or str.

    Examples:
        >>> from flskew.partitioners import read_multi_labels
        >>> column = read_multi_labels([["rain", "fog"], [], ["rain"]])
        >>> len(column), column.labels, column.sizes
        (3, ['fog', 'rain'], array([1, 2]))
        >>> column.indptr, column.indices
        (array([0, 2, 2, 3]), array([0, 1, 1], dtype=uint8))
    """

    indptr: Offsets
    indices: Codes
    classes: Classes

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @property
    def edges(self) -> Edges | None:
        """Always None, because the classes are never bins."""
        return None

    @cached_property
    def labels(self) -> list[Label]:
        """The distinct labels in increasing order, as Python values."""
        return cast("list[Label]", self.classes.tolist())

    @cached_property
    def sizes(self) -> Sizes:
        """(num_classes,) rows that have each label, each >= 1."""
        return self.entries.sizes

    @cached_property
    def entries(self) -> LabelColumn:
        """The labels of all rows one after the other, as a column with one entry per label of each row."""
        return LabelColumn(self.indices, self.classes)

    @cached_property
    def rows(self) -> Rows:
        """(num_labels,) the row of each entry."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.indptr))

    def gathered(self, rows: Rows) -> tuple[NDArray[np.int64], Sizes]:
        """Return the entries of some rows, row after row, as positions in `indices`, and the number of each row."""
        lengths = self.indptr[rows + 1] - self.indptr[rows]
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        return np.repeat(self.indptr[rows] - (ends - lengths), lengths) + np.arange(total), lengths


AnyColumn: TypeAlias = LabelColumn | MultiLabelColumn
"""Labels of either kind."""


def any_subset(column: AnyColumn, rows: Rows) -> AnyColumn:
    """Return the labels of some rows, at least one, with only the classes that occur; bins are plain classes."""
    if isinstance(column, LabelColumn):
        return subset(column, rows)
    entries, lengths = column.gathered(rows)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    if len(entries) == 0:
        return MultiLabelColumn(indptr, column.indices[:0], column.classes[:0])
    left = subset(column.entries, entries)
    return MultiLabelColumn(indptr, left.codes, left.classes)


def compressed(lengths: Sizes, entries: LabelColumn, name: str, remedy: str) -> MultiLabelColumn:
    """Return a column with a number of labels for each row, from the labels of all rows one after the other.

    Raises:
        ValueError: A row has the same label twice.
    """
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    rows = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    cells = rows * len(entries.classes) + entries.codes
    steps = np.diff(cells)
    indices = entries.codes
    if (steps <= 0).any():
        order = np.argsort(cells, kind="stable")
        twice = np.flatnonzero(np.diff(cells[order]) == 0)
        if len(twice):
            entry = order[twice[0]]
            raise ValueError(
                f"{name} has {shown([entries.labels[indices[entry]]])} more than once at row {rows[entry]}; {remedy}"
            )
        indices = indices[order]
    return MultiLabelColumn(indptr, indices, entries.classes)
