"""Label exclusion: each partition lacks certain classes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Set
from functools import partial

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import apportion_classes, even_sizes
from flskew._split.building import deal_sizes, deal_targets, keep_held
from flskew._split.labels import LabelColumn, shown
from flskew._split.multi_label import AnyColumn, MultiLabelColumn
from flskew._split.shares import as_concentration, as_numbers, dirichlet_weights
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners.base import LabelPartitioner
from flskew.typing import Alpha, Counts, Holders, Label, OnExcluded, Weights

__all__ = ["LabelExclusionPartitioner"]


class LabelExclusionPartitioner(LabelPartitioner):
    """Exclude certain classes from certain partitions, and split the rest evenly.

    Use it when certain clients never see certain classes, like a hospital without a maternity ward. Because you
    know which classes are missing, their recall shows what a client learns from the others.

    Every partition has a set of labels that it must not hold. The rows of a class are split among the partitions that
    may hold it. If rows have several labels, a partition gets no row with any of its excluded labels.

    Args:
        excluded: For each partition, a collection of the labels it must not hold; or, together with `num_partitions`, a
            mapping from partition ids to such collections. Partitions missing from the mapping exclude nothing.
        partition_by: The column with the labels in a data set; not used by `assign`.
        num_partitions: Number of partitions, at least 1; required only with a mapping.
        on_excluded: What happens to the rows that a partition must not hold. `"redistribute"`: they go to partitions
            that may hold them, so no row is dropped. `"drop"`: all rows are split at random first, and rows that a
            partition must not hold become `unassigned`, as in the course below.
        alpha: Dirichlet concentration of the shares of each class, > 0, one number or one per partition; None splits
            evenly.
        seed: Any integer; it determines every random draw.
        num_bins: For a continuous target or dates, the number of quantile bins to use as classes, labelled 0, 1, … in
            increasing order; None for labels.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A number is out of range; on assigning, an excluded label does not occur, a class or a row with
            several labels is excluded everywhere, or a partition is empty.

    References:
        DeepLearning.AI: "Intro to Federated Learning", a course with Flower, 2024, whose first example is three
        hospitals that each lack three of the ten digits.

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
        self.on_excluded = checks.choice("on_excluded", on_excluded, ("redistribute", "drop"))
        self.alpha = None if alpha is None else as_concentration(alpha, self.num_partitions)

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

        Each set is drawn uniformly. If a class is then excluded everywhere, a random partition stops excluding it and
        excludes another of its classes instead, so every class has a holder.

        Args:
            num_partitions: Number of partitions, at least 1.
            labels: All distinct labels, in any order.
            num_excluded: Number of labels that each partition must not hold, >= 0. The partitions together must still
                be able to hold every class: `num_partitions * (len(labels) - num_excluded) >= len(labels)`.
            partition_by: The column with the labels in a data set; not used by `assign`.
            on_excluded: What happens to the rows that a partition must not hold: `"redistribute"` gives them to other
                partitions, `"drop"` leaves them `unassigned`.
            alpha: Dirichlet concentration of the shares of each class, > 0, one number or one per partition; None
                splits evenly.
            seed: Any integer; it determines the excluded labels and every other random draw.

        Raises:
            TypeError: An argument has the wrong type, such as a number for `labels`.
            ValueError: A label occurs twice, or too many labels are excluded.

        Examples:
            >>> hospitals = LabelExclusionPartitioner.random(5, range(10), num_excluded=3)
            >>> [len(labels) for labels in hospitals.excluded]
            [3, 3, 3, 3, 3]
        """
        num_partitions = checks.integer("num_partitions", num_partitions, minimum=1)
        num_excluded = checks.integer("num_excluded", num_excluded, minimum=0)
        if isinstance(labels, int):
            raise TypeError(f"labels must be all distinct labels, got the number {labels}; pass range({labels})")
        classes = _label_set("labels", labels)
        if len(classes) != len(labels):
            raise ValueError(
                f"labels must be distinct, got {len(classes)} different among {len(labels)}; pass each once"
            )
        if num_partitions * (len(classes) - num_excluded) < max(len(classes), 1):
            raise ValueError(
                f"num_excluded={num_excluded} of {len(classes)} labels leaves {num_partitions} partitions unable to "
                f"hold every class; lower num_excluded or raise num_partitions"
            )
        held = _draw_held(num_partitions, len(classes), num_excluded, Streams(checks.seed(seed))("excluded"))
        excluded = [[classes[code] for code in np.flatnonzero(~row)] for row in held]
        return cls(excluded, partition_by, on_excluded=on_excluded, alpha=alpha, seed=seed)

    @property
    def excluded(self) -> tuple[tuple[Label, ...], ...]:
        """For each partition, the sorted labels it must not hold."""
        return tuple(self._excluded.get(partition_id, ()) for partition_id in range(self.num_partitions))

    def split(self, column: LabelColumn, streams: Streams) -> Assignment:
        """Split each class among the partitions that may hold it, or drop the rows that they must not hold."""
        if self.on_excluded == "drop" and self.alpha is None:
            assignment = self._drop(column, self._may_hold(column), streams)
        else:
            assignment = super().split(column, streams)
        return self._filled(assignment)

    def split_multi_label(self, column: MultiLabelColumn, streams: Streams) -> Assignment:
        """Do the same with rows of several labels: a partition that must not hold one of them does not get the row."""
        may_hold = self._may_hold(column.entries)
        if self.on_excluded == "drop":
            return self._filled(self._drop(column, may_hold, streams))
        counts = self.class_counts(column.entries, streams)
        assignment = Assignment._seal(deal_targets(column, counts, streams, shuffle=True, may_hold=may_hold))
        if len(assignment.unassigned):
            row = int(assignment.unassigned[0])
            codes = column.indices[column.indptr[row] : column.indptr[row + 1]]
            raise ValueError(
                f"row {row} has the labels {shown([column.labels[code] for code in codes])}, and every partition "
                f"excludes at least one of them ({len(assignment.unassigned)} such rows in total); exclude fewer "
                f"labels, or pass on_excluded='drop' to leave rows that a partition must not hold unassigned"
            )
        return self._filled(assignment)

    def _drop(self, column: AnyColumn, may_hold: Holders, streams: Streams) -> Assignment:
        """Split all rows at random, in Dirichlet shares if there is an alpha, and drop those of excluded labels."""
        if self.alpha is not None and isinstance(column, MultiLabelColumn):
            counts = apportion_classes(column.entries, self.num_partitions, self._draw_weights(), streams)
            whole = deal_targets(column, counts, streams, shuffle=True)
        else:
            sizes = even_sizes(len(column), self.num_partitions, streams("sizes"))
            whole = deal_sizes(len(column), sizes, None, streams, shuffle=True)
        return Assignment._seal(keep_held(whole, may_hold, column))

    def _filled(self, assignment: Assignment) -> Assignment:
        """Return the assignment, unless a partition is empty."""
        empty = np.flatnonzero(assignment.sizes == 0)
        if len(empty):
            raise ValueError(
                f"partition {empty[0]} would be empty (it excludes {shown(self._excluded.get(int(empty[0]), ()))}); "
                f"exclude fewer labels there, lower num_partitions, or raise alpha"
            )
        return assignment

    def class_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Split each class among its holders; or among all partitions, and drop the rows that they must not hold."""
        may_hold = self._may_hold(column)
        holders = may_hold if self.on_excluded == "redistribute" else None
        counts = apportion_classes(column, self.num_partitions, self._draw_weights(), streams, among=holders)
        return np.where(may_hold, counts, 0)

    def _draw_weights(self) -> Callable[[np.random.Generator], Weights | float]:
        if self.alpha is None:
            return lambda rng: 0.0
        return partial(dirichlet_weights, as_numbers(self.alpha), self.num_partitions)

    def _may_hold(self, column: LabelColumn) -> Holders:
        """(num_classes, num_partitions) which partition may hold which class."""
        codes = {label: code for code, label in enumerate(column.labels)}
        may_hold = np.ones((len(codes), self.num_partitions), dtype=np.bool_)
        for partition_id, labels in self._excluded.items():
            for label in labels:
                if label not in codes:
                    raise ValueError(
                        f"excluded[{partition_id}] contains {label!r}, which is not a label of this data; "
                        f"its labels are {shown(column.labels)}"
                    )
                may_hold[codes[label], partition_id] = False
        orphans = np.flatnonzero(~may_hold.any(axis=1))
        if len(orphans):
            raise ValueError(
                f"label {column.labels[orphans[0]]!r} is excluded from every partition, so no partition may hold its "
                f"rows; remove it from at least one set, or from the data"
            )
        return may_hold


def _draw_held(num_partitions: int, num_classes: int, num_excluded: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(num_partitions, num_classes) which classes each partition may hold; each class has at least one holder."""
    held = np.ones((num_partitions, num_classes), dtype=np.bool_)
    for row in held:
        row[rng.choice(num_classes, num_excluded, replace=False)] = False
    for orphan in rng.permutation(np.flatnonzero(~held.any(axis=0))):
        # At least num_classes places are shared by fewer than num_classes classes, so some class is held twice.
        spare = np.argwhere(held & (held.sum(axis=0) > 1))
        partition_id, given_up = spare[rng.integers(len(spare))]
        held[partition_id, given_up], held[partition_id, orphan] = False, True
    return held


def _label_sets(
    excluded: Collection[Collection[Label]] | Mapping[int, Collection[Label]], num_partitions: int | None
) -> tuple[int, dict[int, tuple[Label, ...]]]:
    """Return the number of partitions, and the labels that some of them must not hold."""
    num_partitions = checks.optional_integer("num_partitions", num_partitions, minimum=1)
    if isinstance(excluded, Mapping):
        if num_partitions is None:
            raise TypeError(
                "num_partitions must be given if excluded is a mapping; partitions not in it exclude nothing"
            )
        ids = {checks.integer("a key of excluded", key, minimum=0): labels for key, labels in excluded.items()}
        if max(ids, default=-1) >= num_partitions:
            raise ValueError(
                f"excluded contains partition {max(ids)}, but there are {num_partitions}, 0 to {num_partitions - 1}; "
                f"raise num_partitions"
            )
        return num_partitions, {key: _label_set(f"excluded[{key}]", labels) for key, labels in ids.items()}
    if isinstance(excluded, str) or not isinstance(excluded, Collection):
        raise TypeError(f"excluded must be one collection of labels per partition, or a mapping, got {excluded!r}")
    if isinstance(excluded, Set):
        raise TypeError("excluded must be in the order of the partitions, got a set, which is unordered; pass a list")
    if num_partitions not in (None, len(excluded)):
        raise ValueError(
            f"excluded has {len(excluded)} collections, but num_partitions={num_partitions}; omit num_partitions"
        )
    if len(excluded) == 0:
        raise ValueError(
            "excluded must have one collection of labels per partition, got none; pass [set()] for one partition that "
            "excludes nothing"
        )
    return len(excluded), {place: _label_set(f"excluded[{place}]", labels) for place, labels in enumerate(excluded)}


def _label_set(name: str, labels: Collection[Label]) -> tuple[Label, ...]:
    """Return the distinct labels, sorted, so that equal sets have the same repr."""
    if isinstance(labels, str | bytes) or not isinstance(labels, Collection):
        raise TypeError(f"{name} must be a collection of labels, got {labels!r}; put a single label in braces")
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    for label in plain:
        if not isinstance(label, int | str):
            raise TypeError(f"{name} must contain integers, strings or booleans, got {label!r}")
    return tuple(sorted(set(plain), key=lambda label: (type(label).__name__, label)))
