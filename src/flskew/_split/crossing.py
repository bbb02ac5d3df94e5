"""Splits within a split: the rows of each natural id, or group of them, among several partitions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.building import Parts
from flskew._split.multi_label import AnyColumn, any_subset
from flskew._split.names import names_within
from flskew._split.natural_ids import Numbering
from flskew.typing import Classes, Label

__all__ = ["SplitWithin", "cross", "members_of", "numbering_of_crossed"]

SplitWithin: TypeAlias = Callable[[int, AnyColumn], Parts]
"""Takes a partition and the labels of its rows; splits them among a fixed number of partitions."""


def cross(whole: Parts, column: AnyColumn, num_each: int, split_within: SplitWithin) -> Parts:
    """Split the rows of each partition of natural ids among `num_each` successive ones.

    Returns:
        The parts without anything about classes. A partition without rows becomes `num_each` of them.
    """
    rows, unassigned = [whole.rows[:0]], [whole.unassigned]
    sizes = np.zeros((len(whole.offsets) - 1, num_each), dtype=np.int64)
    for partition_id, (start, stop) in enumerate(pairwise(whole.offsets)):
        if start < stop:
            here = whole.rows[start:stop]
            within = split_within(partition_id, any_subset(column, here))
            rows.append(here[within.rows])
            unassigned.append(here[within.unassigned])
            sizes[partition_id] = np.diff(within.offsets)
    crossed = Parts(np.concatenate(rows), np.concatenate(([0], np.cumsum(sizes))), np.sort(np.concatenate(unassigned)))
    names = None if whole.names is None else names_within(whole.names, num_each)
    if whole.natural_ids is None or whole.natural_id_partitions is None:
        return crossed._replace(names=names)
    natural_ids, partitions = _repeated(whole.natural_ids, whole.natural_id_partitions, num_each)
    return crossed._replace(names=names, natural_ids=natural_ids, natural_id_partitions=partitions)


def members_of(whole: Parts) -> list[list[Label]]:
    """Return the natural ids of each partition."""
    members: list[list[Label]] = [[] for _ in whole.offsets[1:]]
    if whole.natural_ids is not None and whole.natural_id_partitions is not None:
        for one, partition_id in zip(whole.natural_ids.tolist(), whole.natural_id_partitions.tolist(), strict=True):
            if partition_id >= 0:
                members[partition_id].append(one)
    return members


def numbering_of_crossed(parts: Parts, num_each: int) -> Numbering:
    """Return the numbering that the natural ids of a split had before each partition became `num_each`.

    Raises:
        ValueError: It was not made that way.
    """
    count, odd = divmod(len(parts.offsets) - 1, num_each)
    if parts.natural_ids is not None and parts.natural_id_partitions is not None and not odd:
        is_first = (parts.natural_id_partitions < 0) | (parts.natural_id_partitions % num_each == 0)
        # Dropped ids have the partition -1, before and after.
        natural_ids = cast("Classes", parts.natural_ids[is_first])
        partitions = parts.natural_id_partitions[is_first] // num_each
        again = _repeated(natural_ids, partitions, num_each)
        if np.array_equal(again[0], parts.natural_ids) and np.array_equal(again[1], parts.natural_id_partitions):
            return Numbering(natural_ids, partitions, count, None)
    raise ValueError(
        f"like must have {num_each} partitions for each natural id or group of ids, as this partitioner makes them; "
        f"pass a split that it has made"
    )


def _repeated(natural_ids: Classes, partitions: NDArray[np.int64], num_each: int) -> tuple[Classes, NDArray[np.int64]]:
    """Return each natural id once for each of its partitions, of which there are `num_each` instead of one."""
    times = np.where(partitions < 0, 1, num_each)
    firsts = np.where(partitions < 0, -1, partitions * num_each)
    places = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    return cast("Classes", np.repeat(natural_ids, times)), np.repeat(firsts, times) + places
