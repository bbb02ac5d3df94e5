"""Natural ids: which id belongs to which partition, and the split that follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.building import Parts
from flskew._split.dealing import stable_order
from flskew._split.labels import LabelColumn, read_labels, shown
from flskew._split.names import names_of_ids
from flskew.typing import Classes, Label, Labels

__all__ = ["Numbering", "numbered", "numbering_of", "partition_of_codes", "pinned", "split_by_ids", "with_natural_ids"]

_KINDS = {"i": "integers", "u": "integers", "U": "strings", "b": "booleans"}


class Numbering(NamedTuple):
    """Which natural id belongs to which partition.

    Attributes:
        natural_ids: (num_ids,) distinct ids in the order of their partitions.
        partitions: (num_ids,) the partition of each; -1 if its rows are unassigned.
        num_partitions: Number of partitions, of which some may have no rows.
        names: (num_partitions,) the name of each partition; None if they have none.
    """

    natural_ids: Classes
    partitions: NDArray[np.int64]
    num_partitions: int
    names: NDArray[np.str_] | None


def numbered(natural_ids: Classes, groups: NDArray[np.int64], num_groups: int) -> Numbering:
    """Number the partitions by the group of each natural id; ids in the group `num_groups` are dropped."""
    is_kept = groups < num_groups
    # A partition of several natural ids has no name: a list of all of them would be long, and one would mislead.
    names = names_of_ids(natural_ids[is_kept]) if np.count_nonzero(is_kept) == num_groups else None
    return Numbering(natural_ids, np.where(is_kept, groups, -1), num_groups, names)


def numbering_of(parts: Parts) -> Numbering | None:
    """Return the numbering of an existing split: by its natural ids, or else by its names; None if it has neither.

    Raises:
        ValueError: It has several partitions for a natural id.
    """
    num_partitions = len(parts.offsets) - 1
    if parts.natural_ids is not None and parts.natural_id_partitions is not None:
        if len(set(parts.natural_ids.tolist())) < len(parts.natural_ids):
            raise ValueError(
                "like has several partitions for a natural id; pass it to the CrossPartitioner that made it"
            )
        return Numbering(parts.natural_ids, parts.natural_id_partitions, num_partitions, parts.names)
    if parts.names is not None:
        return Numbering(parts.names, np.arange(num_partitions), num_partitions, parts.names)
    return None


def pinned(natural_ids: Labels) -> tuple[Label, ...]:
    """Return the natural ids that a user lists, in their order.

    Raises:
        TypeError: They are not a list, or not integers, strings or booleans.
        ValueError: There are none, or one occurs twice.
    """
    if isinstance(natural_ids, str | bytes | Mapping | Set):
        raise TypeError(
            f"natural_ids must be a list of ids, whose order numbers the partitions, got {natural_ids!r:.40} of type "
            f"{type(natural_ids).__name__}"
        )
    column = read_labels(natural_ids, name="natural_ids")
    if len(column.classes) < len(column):
        twice = column.labels[int(np.argmax(column.sizes > 1))]
        raise ValueError(f"natural_ids must be distinct, got {twice!r} more than once; list each id once")
    return tuple(column.classes[column.codes].tolist())


def partition_of_codes(
    ids: LabelColumn, numbering: Numbering, *, name: str, source: str, drops_unknown: bool
) -> NDArray[np.int64]:
    """Look up the partition of each distinct natural id of a column.

    Args:
        ids: The natural ids of the rows.
        numbering: The known natural ids.
        name: What error messages call the natural ids of the rows.
        source: What they call the known ones.
        drops_unknown: Whether the rows of unknown natural ids are dropped.

    Returns:
        (len(ids.classes),) partitions; -1 if the rows of an id are dropped.

    Raises:
        TypeError: The known natural ids have another type.
        ValueError: A natural id is unknown.
    """
    mine, known = (_KINDS[classes.dtype.kind] for classes in (ids.classes, numbering.natural_ids))
    if mine != known:
        raise TypeError(f"{name} must be {known}, as in {source}, got {mine}; convert them first")
    partition_of = dict(zip(numbering.natural_ids.tolist(), numbering.partitions.tolist(), strict=True))
    unknown = [code for code, label in enumerate(ids.labels) if label not in partition_of]
    if unknown and not drops_unknown:
        row = int(np.argmax(ids.codes == unknown[0]))
        raise ValueError(
            f"{name} contains {ids.labels[unknown[0]]!r} at row {row} ({len(unknown)} unknown ids in total), but "
            f"{source} has only {shown(list(partition_of))}; add the id there, or make the partitioner with "
            f"on_unknown='drop' to leave the rows of unknown ids unassigned"
        )
    return np.array([partition_of.get(label, -1) for label in ids.labels], dtype=np.int64)


def split_by_ids(ids: LabelColumn, numbering: Numbering, partition_of_code: NDArray[np.int64]) -> Parts:
    """Give each partition the rows of its natural ids, in the order of the data set."""
    count = numbering.num_partitions
    # Dropped rows go behind the last partition.
    of_code = np.where(partition_of_code < 0, count, partition_of_code).astype(np.min_scalar_type(count))
    groups = of_code[ids.codes]
    rows = stable_order(groups, count + 1)
    ends = np.cumsum(np.bincount(groups, minlength=count))[:count]
    assigned = int(ends[-1])
    return Parts(
        rows[:assigned],
        np.concatenate(([0], ends)),
        np.sort(rows[assigned:]),
        names=numbering.names,
        natural_ids=numbering.natural_ids,
        natural_id_partitions=numbering.partitions,
    )


def with_natural_ids(parts: Parts, natural_ids: Mapping[int, Label]) -> Parts:
    """Add the natural id of each partition, if ids of this type can be split by."""
    try:
        in_order = pinned([natural_ids[partition_id] for partition_id in range(len(parts.offsets) - 1)])
    except (TypeError, ValueError):
        return parts
    ids = cast("Classes", np.array(in_order))
    numbering = numbered(ids, np.arange(len(ids)), len(ids))
    return parts._replace(
        names=numbering.names, natural_ids=numbering.natural_ids, natural_id_partitions=numbering.partitions
    )
