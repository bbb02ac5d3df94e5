"""Measure the five kinds of non-IID one by one, and tell which follow from others."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.multi_label import MultiLabelColumn
from flskew._split.multi_reading import read_any_labels
from flskew.assignment import Assignment
from flskew.skew._contents import read_contents
from flskew.skew._features_apart import features_apart
from flskew.skew._seen import (
    Coded,
    Groups,
    changes_labels,
    check_count,
    columns_seen,
    grouped,
    grouped_by_several,
    labels_seen,
    most_frequent_labels,
    owners_of,
    plain_features,
    read_codes,
)
from flskew.skew._sums import Excess, deviation, joined, label_sums, sums_of_counts, sums_of_several_labels
from flskew.skew.measures import gini
from flskew.typing import Features, Labels, MultiLabels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Judged", "Measuring"]

# A distance exceeds chance if it is this many standard deviations above its mean in a random split.
_DEVIATIONS = 3
# That of one of many columns: the largest of them is larger by chance than that of a single one.
_DEVIATIONS_OF_ONE = 5


class Judged(NamedTuple):
    """A distance, and whether it exceeds chance."""

    excess: Excess
    exceeds: bool


class Measuring:
    """The data as the clients see them, and the distance of each kind in them; None if the data do not allow it.

    Attributes:
        own: Labels as the clients see them; None if there are none, or several per row.
        several: Any number of labels per row, as the clients see them; None if there is one per row.
        true: The correct labels; None if they are unknown.
        features: A DataFrame or an array, as they are; None if there are none.
        num_columns: Number of columns of the features.
        frame: The columns to compare; None if there are no features.
    """

    def __init__(
        self,
        assignment: Assignment,
        features: Features | None,
        labels: Labels | MultiLabels | None,
        truth: Labels | None,
        max_columns: int,
    ) -> None:
        if truth is not None and labels is None:
            raise ValueError("truth needs labels; pass those that the clients see, too")
        seen = None if labels is None else read_any_labels(labels_seen(labels, assignment))
        self.assignment = assignment
        self.own = self.true = self.several = None
        if isinstance(seen, MultiLabelColumn):
            if truth is not None:
                raise TypeError("truth needs labels with one label per row, got several; omit truth")
            check_count("labels", len(seen), assignment)
            self.several = seen
        else:
            if truth is None and assignment.shift is not None:
                truth = cast("Labels | None", labels)
            codes = read_codes(assignment, labels=seen, truth=truth)
            self.own, self.true = codes.get("labels"), codes.get("truth")
        self.frame: pd.DataFrame | None = None
        self.num_columns = 0
        self.features = None if features is None else plain_features(features)
        if self.features is not None:
            self.frame, self.num_columns = columns_seen(self.features, assignment, max_columns)

    @property
    def has_labels(self) -> bool:
        """Whether there are labels as the clients see them."""
        return self.own is not None or self.several is not None

    def of_drift(self) -> Judged | None:
        """Compare the features of each class."""
        if self.several is not None:
            return self._of_groups(grouped_by_several(self.assignment, self.several))
        return None if self.own is None else self.of_features(self.own)

    def of_features(self, within: Coded | None = None) -> Judged | None:
        """Compare the features of all rows, or those within each class."""
        return self._of_groups(grouped(self.assignment, None if within is None else within.codes))

    def _of_groups(self, groups: Groups) -> Judged | None:
        if self.frame is None or not groups.places:
            return None
        one_unit = isinstance(self.features, np.ndarray) and self.features.ndim > 2
        mean, each = features_apart(self.frame, self.assignment, groups, one_unit=one_unit)
        exceeds = mean.exceeds(_DEVIATIONS) or any(one.exceeds(_DEVIATIONS_OF_ONE) for one in each)
        return Judged(mean, exceeds)

    def of_labels(self, labels: Coded | None) -> Judged | None:
        """Compare these labels, or else those with which the assignment was made."""
        assignment = self.assignment
        if labels is not None:
            cells = owners_of(assignment) * len(labels.classes) + labels.codes
            counts = np.bincount(cells, minlength=len(assignment) * len(labels.classes))
            sums = sums_of_counts(counts.reshape(len(assignment), -1))
            return self._judged(sums.per_row(assignment.sizes))
        if self.several is not None:
            assignment = Assignment.from_partitions(list(assignment), labels=self.several)
        elif not assignment.has_labels or changes_labels(assignment.shift):
            return None
        counts = assignment.label_counts
        if not counts.any():
            return None
        sums = sums_of_several_labels(assignment) if assignment.is_multi_label else sums_of_counts(counts)
        return self._judged(sums.per_row(counts.sum(axis=1)))

    def _judged(self, excess: Excess) -> Judged:
        return Judged(excess, excess.exceeds(_DEVIATIONS))

    @cached_property
    def of_concepts(self) -> Judged | None:
        """Compare the labels of rows with equal true labels, or else of rows with equal features."""
        if self.own is None:
            return None
        true = self._labels_of_equal_features() if self.true is None else self.true.codes
        if true is None or true.max(initial=-1) < 0:
            return None
        groups = grouped(self.assignment, true)
        stops = np.cumsum([places.num_rows for places in groups.places])[:-1]
        parts = zip(np.split(self.own.codes[groups.order], stops), groups.places, strict=True)
        sums = joined(
            (label_sums(codes, len(self.own.classes), places) for codes, places in parts), len(self.assignment)
        )
        excess = sums.per_row(np.sum([places.sizes for places in groups.places], axis=0))
        return self._judged(excess)

    def of_sizes(self) -> Judged:
        """Compare the sizes with those that they would have if each row chose its partition at random."""
        sizes = self.assignment.sizes
        count, num_rows = len(sizes), int(sizes.sum())
        # Two sizes differ by 2/√π standard deviations on average, √(N / K) each.
        chance = (count - 1) / np.sqrt(np.pi * count * num_rows)
        nowhere = np.zeros(count)
        spread = deviation(np.full(count, chance / count))
        excess = Excess(gini(sizes[:, None]), float(chance), spread, nowhere, nowhere)
        return self._judged(excess)

    @cached_property
    def disagreements(self) -> NDArray[np.float64] | None:
        """(num_partitions,) the fraction of labels that differ from the truth."""
        if self.own is None or self.true is None:
            return None
        wrong = np.bincount(owners_of(self.assignment), self.own.codes != self.true.codes, len(self.assignment))
        shares: NDArray[np.float64] = wrong / np.maximum(self.assignment.sizes, 1)
        return shares

    def _labels_of_equal_features(self) -> NDArray[np.int64] | None:
        if self.features is None or self.own is None:
            return None
        contents = read_contents(self.features, None)["content"].codes[self.assignment.rows]
        return most_frequent_labels(contents, self.own, self.assignment)
