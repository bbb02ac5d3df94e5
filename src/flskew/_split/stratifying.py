"""Iterative stratification: deal rows with several labels so that each partition gets its share of every class.

K. Sechidis, G. Tsoumakas, I. Vlahavas: "On the Stratification of Multi-Label Data", ECML PKDD 2011, LNCS 6913. The
class with the fewest remaining rows is dealt first, each row to the partition that lacks most of this class.

Unlike the paper,

- every partition may want a different number of rows of each class, not only of all rows;
- the rows of a class are dealt together. How many rows each partition gets does not depend on which ones: the greatest
  demands are lowered to a common level. Dealing them together takes time in proportion to the labels;
- which of these rows a partition gets is decided by the next rarest of their labels, again by demand; in the paper, it
  is up to chance. This looks ahead to the classes that follow;
- afterwards, rows with equal labels are dealt again, as `_split/refining.py` explains.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import meet_minimum
from flskew._split.bans import Bans, banned
from flskew._split.dealing import stable_order
from flskew._split.levelling import level
from flskew._split.multi_label import MultiLabelColumn
from flskew._split.refining import refine
from flskew._split.streams import Streams
from flskew.typing import Counts, Holders, Rows, Sizes

__all__ = ["proportional", "raise_to_minimum", "stratify"]

# Every pair of labels is a group of rows that is dealt on its own. With more pairs than this, the smallest are dealt
# together, so that time stays linear in labels.
_MOST_GROUPS = 4096
_LAST = np.iinfo(np.int64).max


def proportional(parts: Sizes, num_rows: int, rng: np.random.Generator) -> Sizes:
    """Split rows in proportion to whole numbers, by systematic rounding in integers.

    Args:
        parts: (num_partitions,) numbers >= 0, at least one of them > 0.
        num_rows: Number of rows, >= 0.
        rng: Source of the one random number that is drawn.

    Returns:
        (num_partitions,) numbers that sum to `num_rows`.

    Examples:
        >>> import numpy as np
        >>> proportional(np.array([2, 4]), 30, np.random.default_rng(0))
        array([10, 20])
    """
    ends = np.cumsum(parts)
    total = int(ends[-1])
    return np.diff((ends * num_rows + int(rng.integers(total))) // total, prepend=0)


def stratify(
    column: MultiLabelColumn,
    targets: Counts,
    sizes: Sizes,
    streams: Streams,
    *,
    may_hold: Holders | None = None,
    strict: bool = True,
) -> NDArray[np.int64]:
    """Choose the partition of each row.

    Args:
        column: The labels of the rows.
        targets: (num_classes, num_partitions) wanted labels; those of each class sum to `column.sizes`.
        sizes: (num_partitions,) wanted rows; they sum to the number of rows, break ties, and decide about rows without
            labels.
        streams: Source of the random numbers.
        may_hold: (num_classes, num_partitions) the partitions that may hold rows with each label; None for all.
        strict: Whether rows that no partition may hold go to none, or to any.

    Returns:
        (num_rows,) partitions; -1 for a row in none.
    """
    bans = None if may_hold is None else banned(column, may_hold, streams("bans"), strict=strict)
    return _Deal(column, targets, sizes, streams, bans).holder


def raise_to_minimum(
    holder: NDArray[np.int64], num_partitions: int, minimum: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Move the fewest rows that give each of the first partitions at least `minimum`; the rows are drawn at random.

    Args:
        holder: (num_rows,) the partition of each row; rows of `num_partitions` and above are left alone.
        num_partitions: Number of partitions that need the minimum.
        minimum: Rows that each of them needs; all their rows must be enough.
        rng: Draws the rows, and where they go.
    """
    sizes = np.bincount(holder, minlength=num_partitions)[:num_partitions]
    wanted = meet_minimum(sizes[None], minimum, rng)[0]
    donors = np.flatnonzero(wanted < sizes)
    if len(donors) == 0:
        return holder
    rows = np.argsort(holder, kind="stable")
    ends = np.cumsum(sizes)
    taken = [
        rng.choice(rows[ends[donor] - sizes[donor] : ends[donor]], int(sizes[donor] - wanted[donor]), replace=False)
        for donor in donors.tolist()
    ]
    pool = np.concatenate(taken)
    rng.shuffle(pool)
    raised = holder.copy()
    raised[pool] = np.repeat(np.arange(num_partitions), np.maximum(wanted - sizes, 0))
    return raised


class _Deal:
    """The state of one stratification: what each partition still wants."""

    def __init__(
        self, column: MultiLabelColumn, targets: Counts, sizes: Sizes, streams: Streams, bans: Bans | None
    ) -> None:
        self.column, self.streams, self.bans = column, streams, bans
        self.num_partitions = targets.shape[1]
        self.demand = targets.astype(np.int64).ravel()
        self.room = sizes.astype(np.int64)
        self.left = column.sizes.copy()
        self.holder = np.full(len(column), -1, dtype=np.int64)
        self.smallest = len(column) // _MOST_GROUPS
        # Equally rare classes take turns by labels, so that it does not matter which comes first in the data.
        self.by_turn = np.argsort([streams("rarity", label).random() for label in column.labels], kind="stable")
        self.turn = np.empty(len(self.by_turn), dtype=np.int64)
        self.turn[self.by_turn] = np.arange(len(self.turn))
        self._deal_labelled()
        refine(column, self.holder, self.demand.reshape(targets.shape), self.room, streams, bans)
        self._deal_unlabelled()

    def _deal_labelled(self) -> None:
        """Deal the rows of one class after the other, the rarest first."""
        by_class = self.column.rows[stable_order(self.column.indices, len(self.column.classes))]
        ends = np.cumsum(self.column.sizes)
        every = np.arange(len(ends))
        while self.left.any():
            rarest = int(np.argmin(np.where(self.left > 0, self._rarity(every), _LAST)))
            rows = by_class[ends[rarest] - self.column.sizes[rarest] : ends[rarest]]
            rows = rows[self.holder[rows] < 0]
            rng = self.streams("stratify", self.column.labels[rarest])
            rng.shuffle(rows)
            for group, allowed in self._by_ban(rows):
                self._deal_class(rarest, group, allowed, rng)
            self.left[rarest] = 0  # of rows that no partition may hold

    def _deal_unlabelled(self) -> None:
        """Deal the rows without labels, so that sizes come as close as possible to those wanted."""
        rows = np.flatnonzero(np.diff(self.column.indptr) == 0)
        rng = self.streams("without labels")
        rng.shuffle(rows)
        takes = level(self.room, np.full_like(self.room, len(rows)), self.room, len(rows), rng)
        self.holder[rows] = np.repeat(np.arange(self.num_partitions), takes)

    def _by_ban(self, rows: Rows) -> Iterator[tuple[Rows, NDArray[np.bool_] | None]]:
        """Yield rows that the same partitions may hold, and these partitions; the fewest first, and not if none may."""
        if self.bans is None:
            yield rows, None
            return
        rows = rows[np.argsort(self.bans.pattern[rows], kind="stable")]
        cuts = np.flatnonzero(np.diff(self.bans.pattern[rows])) + 1
        for group in np.split(rows, cuts):
            allowed = self.bans.allowed[self.bans.pattern[group[0]]]
            if allowed.any():
                yield group, allowed

    def _rarity(self, codes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return keys that increase with the rows left of each class, and end with its turn."""
        return np.asarray(self.left[codes] * len(self.turn) + self.turn[codes])

    def _deal_class(self, code: int, rows: Rows, allowed: NDArray[np.bool_] | None, rng: np.random.Generator) -> None:
        """Deal the remaining rows of a class, grouped by the rarest of their other labels."""
        most = np.full(self.num_partitions, len(rows)) if allowed is None else len(rows) * allowed
        takes = level(self._demand(code), most, self.room, len(rows), rng)
        if len(rows) < self.smallest:
            self._give(rows, takes)
            return
        entries, lengths = self.column.gathered(rows)
        codes = self.column.indices[entries]
        keys = np.where(codes == code, _LAST, self._rarity(codes))
        rarest = np.minimum.reduceat(keys, np.cumsum(lengths) - lengths)
        found, which, sizes = np.unique(rarest, return_inverse=True, return_counts=True)
        # Small groups join the rows without another label, which are last.
        alone = (sizes < self.smallest) | (found == _LAST)
        group = np.where(alone, len(found), np.arange(len(found)))[which.ravel()]
        order = np.argsort(group, kind="stable")
        cuts = [0, *(np.flatnonzero(np.diff(group[order])) + 1).tolist(), len(rows)]
        for start, stop in pairwise(cuts):
            some, number = takes, int(group[order[start]])
            if number < len(found):
                other = int(self.by_turn[found[number] % len(self.turn)])
                some = level(self._demand(other), takes, self.room, stop - start, rng)
            self._give(rows[order[start:stop]], some)
            takes = takes - some

    def _demand(self, code: int) -> NDArray[np.int64]:
        return self.demand[code * self.num_partitions : (code + 1) * self.num_partitions]

    def _give(self, rows: Rows, takes: Sizes) -> None:
        """Give each partition its number of these rows."""
        partitions = np.repeat(np.arange(self.num_partitions), takes)
        self.holder[rows] = partitions
        self.room -= takes
        entries, lengths = self.column.gathered(rows)
        codes = self.column.indices[entries].astype(np.int64)
        np.subtract.at(self.demand, codes * self.num_partitions + np.repeat(partitions, lengths), 1)
        np.subtract.at(self.left, codes, 1)
