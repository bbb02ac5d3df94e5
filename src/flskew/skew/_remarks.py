"""What is unusual about a split, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flskew.skew._tables import listed
from flskew.skew.chance import iid_total_variation
from flskew.skew.measures import total_variation
from flskew.skew.tally import Tally
from flskew.typing import Label

__all__ = ["remarks"]

# So many partitions, or classes, are named one by one; of more, it is said how many there are.
_MOST_NAMED = 3
# Half of the rows in so small a part of the partitions is worth a word; evenly spread, it is a half.
_FEW = 0.35
# A class that makes up so much of a partition, and not of the whole.
_NEARLY_ALL, _HALF = 0.9, 0.5


def remarks(split: Tally) -> tuple[str, ...]:
    """Return one sentence for each unusual thing, and a last one that compares the skew with chance."""
    return (
        *_empty(split),
        *_missing(split),
        *_unheld(split),
        *_dominated(split),
        *_uneven(split),
        _against_chance(split),
    )


def _empty(split: Tally) -> Iterator[str]:
    empty = np.flatnonzero(split.sizes == 0)
    if len(empty):
        yield f"Partition{'s' * (len(empty) > 1)} {listed(empty.tolist())} hold{'s' * (len(empty) == 1)} no rows."


def _missing(split: Tally) -> Iterator[str]:
    """Partitions that lack classes which others have; where they are many, also the classes that are nearly nowhere."""
    lacking = np.count_nonzero(split.summary.totals) - split.summary.held
    lacking[split.sizes == 0] = 0
    partition_ids = np.flatnonzero(lacking).tolist()
    if len(partition_ids) <= _MOST_NAMED:
        for partition_id in partition_ids:
            yield f"Partition {partition_id} {_holdings(split, partition_id)}."
        return
    worst = int(np.argmax(lacking))
    yield f"{len(partition_ids):,} of {len(lacking):,} partitions lack classes."
    yield f"Partition {worst} {_holdings(split, worst)}."
    holders = np.count_nonzero(split.counts, axis=0)
    alone = np.flatnonzero(holders == 1).tolist()
    if len(alone) <= _MOST_NAMED:
        for code in alone:
            yield f"Only partition {np.argmax(split.counts[:, code])} holds class {split.classes[code]}."
    else:
        yield f"{len(alone):,} of {len(holders):,} classes are in one partition each."


def _holdings(split: Tally, partition_id: int) -> str:
    own = split.counts[partition_id]
    held = _names(split, own > 0)
    missing = _names(split, (own == 0) & (split.summary.totals > 0))
    if len(missing) <= len(held):
        return f"holds no {listed(missing, last='or')}"
    return f"holds only {listed(held)}"


def _unheld(split: Tally) -> Iterator[str]:
    unheld = _names(split, split.summary.totals == 0)
    if unheld:
        yield f"No partition holds {'class' if len(unheld) == 1 else 'classes'} {listed(unheld, last='or')}."


def _dominated(split: Tally) -> Iterator[str]:
    """Partitions that are nearly all of one class, where the whole is not."""
    largest = split.counts.max(axis=1)
    nearly_all = (split.sizes > 0) & (largest >= _NEARLY_ALL * split.sizes)
    if split.summary.totals.max() > _HALF * split.sizes.sum():
        return
    if np.count_nonzero(nearly_all) > _MOST_NAMED:
        yield f"{np.count_nonzero(nearly_all):,} of {len(largest):,} partitions are nearly all of one class."
        return
    # Of those that have but one class it has been said already.
    for partition_id in np.flatnonzero(nearly_all & (split.summary.held > 1)):
        name = split.classes[int(np.argmax(split.counts[partition_id]))]
        share = largest[partition_id] / split.sizes[partition_id]
        yield f"{share:.0%} of partition {partition_id} are of class {name}."


def _uneven(split: Tally) -> Iterator[str]:
    falling = np.sort(split.sizes)[::-1]
    few = int(np.searchsorted(np.cumsum(falling), falling.sum() / 2)) + 1
    if few <= _FEW * len(falling):
        yield f"Half of the rows are in {few:,} of {len(falling):,} partitions."


def _against_chance(split: Tally) -> str:
    measured, chance = total_variation(split), iid_total_variation(split)
    if measured <= 1.5 * chance:
        return f"Labels are spread as in an IID split of these sizes, whose total variation is {chance:.3f} by chance."
    return f"An IID split of these sizes would have a total variation of {chance:.3f} by chance."


def _names(split: Tally, which: NDArray[np.bool_]) -> list[Label]:
    return [split.classes[code] for code in np.flatnonzero(which).tolist()]
