"""Sentences about what is unusual in a split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flskew._util.words import capital, listed, named_partitions, one_line
from flskew.assignment import Assignment
from flskew.skew.chance import iid_total_variation
from flskew.skew.measures import total_variation
from flskew.skew.tally import Tally
from flskew.typing import Label

__all__ = ["remarks", "targets_missed"]

# Up to this many partitions or classes are named; larger sets are only counted.
_MOST_NAMED = 3
# Sizes are unusual if at most this fraction of the partitions has half of the rows.
_FEW = 0.35
# A class dominates a partition if it has this fraction of its rows, unless a class has more than half of all rows.
_NEARLY_ALL, _HALF = 0.9, 0.5


def remarks(split: Tally) -> tuple[str, ...]:
    """Return one sentence for each unusual property, and finally one that compares the skew with chance."""
    return (
        *_empty(split),
        *_missing(split),
        *_absent(split),
        *_dominated(split),
        *_uneven(split),
        _against_chance(split),
    )


def targets_missed(assignment: Assignment) -> Iterator[str]:
    """How close a split of rows with several labels came to the counts that its scheme aimed for."""
    targets = assignment.label_targets
    if targets is None:
        return
    if assignment.target_deviation == 0:
        yield "Every partition has exactly the labels that the scheme aimed for."
        return
    missed = np.abs(assignment.label_counts - targets) / assignment._class_totals
    partition_id, code = np.unravel_index(np.argmax(missed), missed.shape)
    name = assignment.names[partition_id] if assignment.names else int(partition_id)
    yield (
        f"{capital(named_partitions([name]))} is furthest from what the scheme aimed for: it has "
        f"{assignment.label_counts[partition_id, code]:,} labels of class "
        f"{one_line(assignment.classes[code])} instead of {targets[partition_id, code]:,}, a deviation of "
        f"{assignment.target_deviation:.2%} of the class."
    )


def _empty(split: Tally) -> Iterator[str]:
    empty = np.flatnonzero(split.sizes == 0)
    if len(empty):
        subject = capital(named_partitions([split.partitions[partition_id] for partition_id in empty.tolist()]))
        yield f"{subject} {'have' if len(empty) > 1 else 'has'} no {split.unit}s."


def _missing(split: Tally) -> Iterator[str]:
    """Partitions that lack classes; if there are many of them, also the classes that only one partition has."""
    lacking = np.count_nonzero(split._summary.totals) - split._summary.held
    lacking[split.sizes == 0] = 0
    partition_ids = np.flatnonzero(lacking).tolist()
    if len(partition_ids) <= _MOST_NAMED:
        for partition_id in partition_ids:
            yield _classes_of(split, partition_id)
        return
    yield f"{_of_all(len(partition_ids), len(lacking))} partitions are missing at least one class."
    yield _classes_of(split, int(np.argmax(lacking)))
    holders = np.count_nonzero(split.counts, axis=0)
    single = np.flatnonzero(holders == 1).tolist()
    if len(single) <= _MOST_NAMED:
        for code in single:
            holder = _partition(split, int(np.argmax(split.counts[:, code])))
            yield f"Only {holder} has class {one_line(split.classes[code])}."
    else:
        yield f"{_of_all(len(single), len(holders))} classes occur in one partition only."


def _classes_of(split: Tally, partition_id: int) -> str:
    own = split.counts[partition_id]
    held = _names(split, own > 0)
    missing = _names(split, (own == 0) & (split._summary.totals > 0))
    verb, names = ("is missing", missing) if len(missing) <= len(held) else ("has only", held)
    return f"{capital(_partition(split, partition_id))} {verb} {_classes(names)}."


def _absent(split: Tally) -> Iterator[str]:
    absent = _names(split, split._summary.totals == 0)
    if absent:
        yield f"No partition has {split.unit}s of {_classes(absent, last='or')}."


def _dominated(split: Tally) -> Iterator[str]:
    """Partitions that consist almost entirely of one class, unless more than half of all rows are of one class."""
    largest = split.counts.max(axis=1)
    nearly_all = (split.sizes > 0) & (largest >= _NEARLY_ALL * split.sizes)
    if split._summary.totals.max() > _HALF * split.sizes.sum():
        return
    if np.count_nonzero(nearly_all) > _MOST_NAMED:
        count = _of_all(int(np.count_nonzero(nearly_all)), len(largest))
        yield f"{count} partitions consist almost entirely of one class."
        return
    # Partitions with a single class are covered by the remarks about missing classes.
    for partition_id in np.flatnonzero(nearly_all & (split._summary.held > 1)).tolist():
        name = split.classes[int(np.argmax(split.counts[partition_id]))]
        share = largest[partition_id] / split.sizes[partition_id]
        yield f"{share:.0%} of the {split.unit}s of {_partition(split, partition_id)} are of class {one_line(name)}."


def _uneven(split: Tally) -> Iterator[str]:
    falling = np.sort(split.sizes)[::-1]
    few = int(np.searchsorted(np.cumsum(falling), falling.sum() / 2)) + 1
    if few <= _FEW * len(falling):
        yield f"Half of the {split.unit}s are in {few:,} of {len(falling):,} partitions."


def _against_chance(split: Tally) -> str:
    measured, chance = total_variation(split), iid_total_variation(split)
    if measured <= 1.5 * chance:
        return f"The labels look IID: random splits with these sizes have a total variation of {chance:.3f} on average."
    return f"Random splits with these sizes have a total variation of {chance:.3f} on average."


def _names(split: Tally, which: NDArray[np.bool_]) -> list[Label]:
    return [split.classes[code] for code in np.flatnonzero(which).tolist()]


def _partition(split: Tally, partition_id: int) -> str:
    return named_partitions([split.partitions[partition_id]])


def _classes(names: list[Label], last: str = "and") -> str:
    return f"class{'es' * (len(names) > 1)} {listed(names, last=last)}"


def _of_all(count: int, total: int) -> str:
    return f"All {total:,}" if count == total else f"{count:,} of {total:,}"
