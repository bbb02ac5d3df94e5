"""Label exclusion: each partition has never seen certain classes.

The case that DeepLearning.AI's course "Intro to Federated Learning" (with Flower, 2024) opens with: three hospitals,
none of which has seen three of the ten digits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import apportion_classes
from flskew._split.labels import LabelColumn, shown
from flskew._split.shares import dirichlet_weights
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners.base import LabelPartitioner
from flskew.partitioners.iid import even_split
from flskew.typing import Alpha, Counts, Label

__all__ = ["LabelExclusionPartitioner"]

OnExcluded: TypeAlias = Literal["redistribute", "drop"]


class LabelExclusionPartitioner(LabelPartitioner):
    """Keep certain classes from certain partitions, and split the rest evenly.

    Every partition has a set of labels that it must not hold. The rows of a class are split among the partitions that
    may hold it.

    Args:
        excluded: For each partition a collection of the labels it must not hold; or, together with `num_partitions`, a
            mapping from partition ids to such collections, for partitions that exclude something.
        partition_by: The column with the labels, in a data set; `assign` does not look at it.
        num_partitions: At least 1; needed with a mapping only.
        on_excluded: What becomes of a row that a partition must not hold. `"redistribute"`: it goes to a partition
            that may hold it, so that nothing is lost. `"drop"`: all rows are split at random first, and what a
            partition must not hold is then dropped into `unassigned`, as in the published case.
        alpha: Dirichlet concentration of the shares of each class, > 0, one or one per partition; None splits evenly.
        seed: Any integer.
        num_bins: For a continuous target, the number of quantile bins that become its classes, known as 0, 1, … from
            the lowest up; None for labels.

    Raises:
        TypeError: An argument of the wrong type, or `seed=None`.
        ValueError: A number out of range. On assigning: a label that is not there, a class that is excluded
            everywhere, a partition left with nothing.

    Examples:
        >>> hospitals = LabelExclusionPartitioner([{1, 3, 7}, {2, 5, 8}, {4, 6, 9}])
        >>> assignment = hospitals.assign([row % 10 for row in range(900)])
        >>> assignment.label_counts[:, :4].tolist()
        [[30, 0, 45, 0], [30, 45, 0, 45], [30, 45, 45, 45]]
    """

    def __init__(
        self,
        excluded: Collection[Collection[Label]] | Mapping[int, Collection[Label]],
        partition_by: str = "label",
        *,
        num_partitions: int | None = None,
        on_excluded: OnExcluded = "redistribute",
        alpha: Alpha | None = None,
        seed: int = 42,
        num_bins: int | None = None,
    ) -> None:
        num_partitions, self._excluded = _label_sets(excluded, num_partitions)
        super().__init__(num_partitions, partition_by, seed, num_bins=num_bins)
        self._on_excluded = checks.choice("on_excluded", on_excluded, ("redistribute", "drop"))
        self._alpha = None if alpha is None else checks.concentration(alpha, self._num_partitions)

    @classmethod
    def random(
        cls,
        num_partitions: int,
        labels: Collection[Label],
        num_excluded: int,
        partition_by: str = "label",
        *,
        on_excluded: OnExcluded = "redistribute",
        alpha: Alpha | None = None,
        seed: int = 42,
    ) -> LabelExclusionPartitioner:
        """Draw the excluded labels at random, the same number for every partition.

        Each set is drawn uniformly; where a class is then excluded everywhere, one partition, drawn among all that
        can, gives up excluding it and excludes another of its classes instead. So every class has a holder.

        Args:
            num_partitions: At least 1.
            labels: All the distinct labels, in any order.
            num_excluded: Labels that each partition must not hold, >= 0; few enough that the partitions together can
                still hold every class: `num_partitions * (len(labels) - num_excluded) >= len(labels)`.
            partition_by: As for the class itself, like the arguments after it.
            on_excluded: As above.
            alpha: As above.
            seed: As above; also draws the sets.

        Raises:
            ValueError: Labels that are not distinct, or too many excluded.

        Examples:
            >>> hospitals = LabelExclusionPartitioner.random(5, range(10), num_excluded=3)
            >>> [len(labels) for labels in hospitals.excluded]
            [3, 3, 3, 3, 3]
        """
        num_partitions = checks.integer("num_partitions", num_partitions, minimum=1)
        num_excluded = checks.integer("num_excluded", num_excluded, minimum=0)
        if isinstance(labels, int):
            raise TypeError(f"labels must be all the distinct labels, got {labels}; pass range({labels}) for so many")
        classes = sorted(_label_set("labels", labels), key=lambda label: (type(label).__name__, label))
        if len(classes) != len(labels):
            raise ValueError(f"labels must be distinct, got {len(labels)} of which {len(classes)} are; pass each once")
        if num_partitions * (len(classes) - num_excluded) < max(len(classes), 1):
            raise ValueError(
                f"num_excluded={num_excluded} of {len(classes)} labels leaves {num_partitions} partitions unable to "
                f"hold every class; lower num_excluded or raise num_partitions"
            )
        held = _draw_held(num_partitions, len(classes), num_excluded, Streams(checks.seed(seed))("excluded"))
        excluded = [[classes[code] for code in np.flatnonzero(~row)] for row in held]
        return cls(excluded, partition_by, on_excluded=on_excluded, alpha=alpha, seed=seed)

    @property
    def excluded(self) -> tuple[frozenset[Label], ...]:
        """For each partition the labels it must not hold."""
        return tuple(self._excluded.get(partition_id, frozenset()) for partition_id in range(self._num_partitions))

    def _assign(self, column: LabelColumn, streams: Streams) -> Assignment:
        if self._on_excluded == "drop" and self._alpha is None:
            split = even_split(len(column), self._num_partitions, column, streams)
            assignment = _drop(split, self._may_hold(column), column)
        else:
            assignment = super()._assign(column, streams)
        empty = np.flatnonzero(assignment.sizes == 0)
        if len(empty):
            raise ValueError(
                f"partition {empty[0]} is left with no rows (it excludes {shown(self._excluded.get(empty[0], ()))}); "
                f"exclude fewer labels there, lower num_partitions, or raise alpha"
            )
        return assignment

    def _counts(self, column: LabelColumn, streams: Streams) -> Counts:
        may_hold = self._may_hold(column)
        # What is dropped is dropped after the split, so the split itself takes no notice of exclusions.
        holders = may_hold if self._on_excluded == "redistribute" else None
        counts = apportion_classes(column, self._num_partitions, self._draw_weights, streams, among=holders)
        return np.where(may_hold, counts, 0)

    def _draw_weights(self, rng: np.random.Generator) -> NDArray[np.float64] | float:
        return 0.0 if self._alpha is None else dirichlet_weights(self._alpha, rng)

    def _may_hold(self, column: LabelColumn) -> NDArray[np.bool_]:
        """(num_classes, num_partitions) which partition may hold which class."""
        codes = {label: code for code, label in enumerate(column.labels)}
        may_hold = np.ones((len(codes), self._num_partitions), dtype=np.bool_)
        for partition_id, labels in self._excluded.items():
            for label in labels:
                if label not in codes:
                    raise ValueError(
                        f"excluded[{partition_id}] names {label!r}, which is no label of this data; "
                        f"there are {shown(column.labels)}"
                    )
                may_hold[codes[label], partition_id] = False
        orphans = np.flatnonzero(~may_hold.any(axis=1))
        if len(orphans):
            raise ValueError(
                f"label {column.labels[orphans[0]]!r} is excluded from every partition, so its rows would have no "
                f"holder; take it out of at least one set, or out of the data"
            )
        return may_hold


def _drop(assignment: Assignment, may_hold: NDArray[np.bool_], column: LabelColumn) -> Assignment:
    """Take from each partition the rows it must not hold."""
    holder = np.repeat(np.arange(len(assignment)), assignment.sizes)
    kept = may_hold[column.codes[assignment.rows], holder]
    sizes = np.bincount(holder[kept], minlength=len(assignment))
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    return Assignment._from_rows(assignment.rows[kept], offsets, np.sort(assignment.rows[~kept]), column)


def _draw_held(num_partitions: int, num_classes: int, num_excluded: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(num_partitions, num_classes) which class each may hold: all but `num_excluded`, every class held somewhere."""
    held = np.ones((num_partitions, num_classes), dtype=np.bool_)
    for row in held:
        row[rng.choice(num_classes, num_excluded, replace=False)] = False
    for orphan in rng.permutation(np.flatnonzero(~held.any(axis=0))):
        # Fewer than num_classes classes are held, in num_classes places or more: some class is held twice.
        spare = np.argwhere(held & (held.sum(axis=0) > 1))
        partition_id, given_up = spare[rng.integers(len(spare))]
        held[partition_id, given_up], held[partition_id, orphan] = False, True
    return held


def _label_sets(
    excluded: Collection[Collection[Label]] | Mapping[int, Collection[Label]], num_partitions: int | None
) -> tuple[int, dict[int, frozenset[Label]]]:
    """Return how many partitions there are, and the labels that some of them must not hold."""
    num_partitions = checks.optional_integer("num_partitions", num_partitions, minimum=1)
    if isinstance(excluded, Mapping):
        if num_partitions is None:
            raise TypeError("num_partitions must be given when excluded is a mapping; partitions not in it hold all")
        ids = {checks.integer("a key of excluded", key, minimum=0): labels for key, labels in excluded.items()}
        if max(ids, default=-1) >= num_partitions:
            raise ValueError(
                f"excluded names partition {max(ids)}, and there are {num_partitions}, 0 to {num_partitions - 1}; "
                f"raise num_partitions"
            )
        return num_partitions, {key: _label_set(f"excluded[{key}]", labels) for key, labels in ids.items()}
    if isinstance(excluded, str) or not isinstance(excluded, Collection):
        raise TypeError(f"excluded must be one collection of labels per partition, or a mapping, got {excluded!r}")
    if isinstance(excluded, Set):
        raise TypeError("excluded must be in the order of the partitions, got a set, which has none; pass a list")
    if num_partitions not in (None, len(excluded)):
        raise ValueError(
            f"excluded has {len(excluded)} sets for num_partitions={num_partitions}; leave one of them out"
        )
    if len(excluded) == 0:
        raise ValueError(
            "excluded must have one collection of labels per partition, got none; [set()] excludes nothing"
        )
    return len(excluded), {place: _label_set(f"excluded[{place}]", labels) for place, labels in enumerate(excluded)}


def _label_set(name: str, labels: Collection[Label]) -> frozenset[Label]:
    if isinstance(labels, str | bytes) or not isinstance(labels, Collection):
        raise TypeError(f"{name} must be a collection of labels, got {labels!r}; a single label goes in braces")
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    for label in plain:
        if not isinstance(label, int | str):
            raise TypeError(f"{name} must hold integers, strings or booleans, got {label!r}")
    return frozenset(plain)
