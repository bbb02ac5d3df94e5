"""Choose the classes of each partition, if every partition holds the same number of classes."""

from __future__ import annotations

import numpy as np

from flskew._split.labels import LabelColumn
from flskew.typing import Holders

__all__ = ["balanced_holders", "check_enough_rows", "check_num_classes"]


def balanced_holders(num_partitions: int, num_classes: int, num_held: int, rng: np.random.Generator) -> Holders:
    """Draw `num_held` distinct classes for each partition, so that all classes have equally many holders.

    The partitions choose in random order, each at random among the classes with the fewest holders so far. The numbers
    of holders then differ by at most one, and every class has a holder if `num_partitions * num_held >= num_classes`.

    Args:
        num_partitions: At least 1.
        num_classes: At least `num_held`.
        num_held: Number of classes per partition, at least 1.
        rng: Draws the choices.

    Returns:
        (num_classes, num_partitions) which partition holds which class.
    """
    holders = np.zeros((num_classes, num_partitions), dtype=np.bool_)
    times = np.zeros(num_classes)
    for partition_id in rng.permutation(num_partitions):
        # Times are integers, so the fraction only breaks ties.
        chosen = np.argpartition(times + rng.random(num_classes), num_held - 1)[:num_held]
        times[chosen] += 1
        holders[chosen, partition_id] = True
    return holders


def check_num_classes(num_held: int, column: LabelColumn) -> None:
    """Refuse more classes per partition than exist."""
    if num_held > len(column.classes):
        raise ValueError(
            f"num_classes_per_partition={num_held} exceeds the {len(column.classes)} classes of the labels; lower it"
        )


def check_enough_rows(column: LabelColumn, holders: Holders, rows_each: int = 1) -> None:
    """Refuse classes with too few rows for all their holders."""
    # Capped at a number that exceeds every class, so that the product cannot overflow.
    short = np.flatnonzero(holders.sum(axis=1) * min(rows_each, len(column) + 1) > column.sizes)
    if len(short):
        code = int(short[0])
        raise ValueError(
            f"label {column.labels[code]!r} has {column.sizes[code]} rows, but {holders[code].sum()} partitions need "
            f"{rows_each} each; lower "
            + ("" if rows_each == 1 else "min_rows_per_class, ")
            + "num_partitions or num_classes_per_partition"
        )
