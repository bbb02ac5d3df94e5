"""Split other rows, such as a test set, with the shares that the partitions of a split have of every class."""

from __future__ import annotations

import numpy as np

from flskew._split.allocation import apportion
from flskew._split.building import Parts, deal_counts, deal_targets
from flskew._split.labels import shown
from flskew._split.multi_label import AnyColumn, MultiLabelColumn
from flskew._split.streams import Streams
from flskew.typing import Classes, Counts, LabelCounts, Shares, Sizes

__all__ = ["match", "match_within"]


def match(
    parts: Parts, classes: Classes, held: LabelCounts, totals: Sizes, column: AnyColumn, streams: Streams
) -> Parts:
    """Split rows like another split, with its names and natural ids.

    Args:
        parts: The other split.
        classes: (num_classes,) its classes.
        held: (num_partitions, num_classes) rows that its partitions have of each.
        totals: (num_classes,) rows of each, assigned or not.
        column: The labels of the rows to split.
        streams: Source of the random numbers.

    Raises:
        ValueError: A label is not a class of the other split.
    """
    codes = _codes_among(column, classes, "the matched assignment")
    held_here, totals_here = held[:, codes].T, totals[codes]
    left = totals_here - held_here.sum(axis=1)
    counts = _drawn(column, np.hstack([held_here, left[:, None]]) / totals_here[:, None], streams)[:, :-1]
    if isinstance(column, MultiLabelColumn):
        # A client is not tested on a class that it lacks, unless no client has all labels of a row.
        sizes = np.append(np.diff(parts.offsets), len(parts.unassigned))
        matched = deal_targets(column, counts, streams, shuffle=True, sizes=sizes, may_hold=held_here > 0, strict=False)
    else:
        matched = deal_counts(column, counts, streams, shuffle=True)
    return matched._replace(
        names=parts.names, natural_ids=parts.natural_ids, natural_id_partitions=parts.natural_id_partitions
    )


def match_within(column: AnyColumn, held: LabelCounts, classes: Classes, streams: Streams, *, shuffle: bool) -> Parts:
    """Split the rows of a natural id with the shares that its partitions have of every class in another split.

    Args:
        column: The labels of the rows.
        held: (num_each, num_classes) rows that each partition of the id has there.
        classes: (num_classes,) the classes there.
        streams: Source of the random numbers.
        shuffle: Whether the rows of a partition are in random order or in the order of the data set.

    Raises:
        ValueError: A label is not a class there.
    """
    weights = held[:, _codes_among(column, classes, "like")].T.astype(np.float64)
    # A class that the id lacks there is split by the sizes, and an id that has no rows there evenly.
    weights[weights.sum(axis=1) == 0] = held.sum(axis=1) if held.any() else 1
    counts = _drawn(column, weights / weights.sum(axis=1, keepdims=True), streams)
    if isinstance(column, MultiLabelColumn):
        return deal_targets(column, counts, streams, shuffle=shuffle)
    return deal_counts(column, counts, streams, shuffle=shuffle)


def _codes_among(column: AnyColumn, classes: Classes, whose: str) -> list[int]:
    """Return the position of each class of the column among others."""
    codes = {label: code for code, label in enumerate(classes.tolist())}
    unknown = [label for label in column.labels if label not in codes]
    if unknown:
        raise ValueError(f"labels contain {unknown[0]!r}, which is not a class of {whose}; it has {shown(list(codes))}")
    return [codes[label] for label in column.labels]


def _drawn(column: AnyColumn, shares: Shares, streams: Streams) -> Counts:
    """Round the shares of each class without bias."""
    offsets = np.array([streams("match", label).random() for label in column.labels])
    return apportion(shares, column.sizes, offsets)
