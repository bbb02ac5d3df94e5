"""Build the arrays of an assignment from counts, sizes or rows.

Returns plain arrays, which `Assignment` seals: this package must not import it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from flskew._split.dealing import deal
from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew.typing import Classes, Counts, Edges, Holders, LabelCounts, Offsets, Rows, Sizes

__all__ = ["Parts", "deal_counts", "deal_sizes", "keep_held", "with_labels"]


class Parts(NamedTuple):
    """The arrays of an assignment, shared with no other object; without labels, those about classes are None."""

    rows: Rows
    offsets: Offsets
    unassigned: Rows
    classes: Classes | None = None
    label_counts: LabelCounts | None = None
    class_totals: Sizes | None = None
    edges: Edges | None = None


def deal_counts(column: LabelColumn, counts: Counts, streams: Streams, *, shuffle: bool) -> Parts:
    """Draw the rows that (num_classes, num_partitions) counts ask for."""
    dealt = deal(column, counts, streams, shuffle=shuffle)
    return _described(Parts(*dealt), column, np.array(counts.T, dtype=np.int64, order="C"))


def deal_sizes(num_rows: int, sizes: Sizes, column: LabelColumn | None, streams: Streams, *, shuffle: bool) -> Parts:
    """Draw (num_partitions,) numbers of rows regardless of their classes, then count the classes drawn."""
    one_class = LabelColumn(np.zeros(num_rows, dtype=np.uint8), np.array([0]))
    return with_labels(Parts(*deal(one_class, sizes[None], streams, shuffle=shuffle)), column)


def with_labels(parts: Parts, column: LabelColumn | None) -> Parts:
    """Count the classes of each partition, if there are labels."""
    if column is None:
        return parts
    counts = np.empty((len(parts.offsets) - 1, len(column.classes)), dtype=np.int64)
    for partition_id, (start, stop) in enumerate(pairwise(parts.offsets)):
        counts[partition_id] = np.bincount(column.codes[parts.rows[start:stop]], minlength=len(column.classes))
    return _described(parts, column, counts)


def keep_held(parts: Parts, may_hold: Holders, column: LabelColumn) -> Parts:
    """Unassign the rows that their partition must not hold."""
    num_partitions = len(parts.offsets) - 1
    holder = np.repeat(np.arange(num_partitions), np.diff(parts.offsets))
    kept = may_hold[column.codes[parts.rows], holder]
    offsets = np.concatenate(([0], np.cumsum(np.bincount(holder[kept], minlength=num_partitions))))
    return with_labels(Parts(parts.rows[kept], offsets, np.sort(parts.rows[~kept])), column)


def _described(parts: Parts, column: LabelColumn, label_counts: LabelCounts) -> Parts:
    """Add what is known about the classes. Arrays are copied, because sealing would freeze those of the column."""
    edges = None if column.edges is None else column.edges.copy()
    return parts._replace(
        classes=column.classes.copy(), label_counts=label_counts, class_totals=column.sizes.copy(), edges=edges
    )
