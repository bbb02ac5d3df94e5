"""Which partitions hold rows of which class, when each holds a fixed number of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flskew._split.labels import LabelColumn

__all__ = ["balanced_holders", "check_enough_rows", "check_num_classes"]


def balanced_holders(
    num_partitions: int, num_classes: int, num_held: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw `num_held` distinct classes for each partition, so that every class is drawn as often as any other.

    The partitions choose in turn, each by lot among the classes with the fewest holders so far. Their numbers of
    holders then never differ by more than one, and every class has one as soon as there are choices enough. Who chose
    when is drawn by lot as well, so each partition is like any other.

    Args:
        num_partitions: At least 1.
        num_classes: At least `num_held`.
        num_held: Classes of each partition, at least 1.
        rng: Draws the choices.

    Returns:
        (num_classes, num_partitions) which partition holds which class.
    """
    holders = np.zeros((num_classes, num_partitions), dtype=np.bool_)
    times = np.zeros(num_classes)
    for partition_id in rng.permutation(num_partitions):
        # The fraction breaks ties: times are whole numbers.
        chosen = np.argpartition(times + rng.random(num_classes), num_held - 1)[:num_held]
        times[chosen] += 1
        holders[chosen, partition_id] = True
    return holders


def check_num_classes(num_held: int, column: LabelColumn) -> None:
    """Refuse more classes for each partition than there are."""
    if num_held > len(column.classes):
        raise ValueError(
            f"num_classes_per_partition={num_held} is more than the {len(column.classes)} classes there are; lower it"
        )


def check_enough_rows(column: LabelColumn, holders: NDArray[np.bool_], rows_each: int = 1) -> None:
    """Refuse classes with too few rows for all their holders."""
    # A number beyond all rows says the same as a larger one, and cannot overflow.
    short = np.flatnonzero(holders.sum(axis=1) * min(rows_each, len(column) + 1) > column.sizes)
    if len(short):
        code = int(short[0])
        raise ValueError(
            f"label {column.labels[code]!r} has {column.sizes[code]} rows, and {holders[code].sum()} partitions need "
            f"{rows_each} of it each; lower "
            + ("" if rows_each == 1 else "min_rows_per_class, ")
            + "num_partitions or num_classes_per_partition"
        )
