"""Natural ids first, then any scheme within each of them: hospitals, and wards within each hospital."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset

from flskew._split.building import Parts, with_labels
from flskew._split.crossing import SplitWithin, cross, members_of, numbering_of_crossed
from flskew._split.labels import LabelColumn, read_column, read_labels
from flskew._split.matching import match_within
from flskew._split.multi_label import AnyColumn
from flskew._split.multi_reading import read_any_column, read_any_labels
from flskew._split.streams import Streams
from flskew._util.texts import listed
from flskew.assignment import Assignment
from flskew.partitioners._binding import BindingPartitioner
from flskew.partitioners._blind import BlindPartitioner
from flskew.partitioners._natural import NaturalPartitioner, checked_like
from flskew.partitioners.base import Partitioner
from flskew.partitioners.natural_id import GroupedNaturalIdPartitioner, NaturalIdPartitioner
from flskew.typing import Label, Labels, MultiLabels

__all__ = ["CrossPartitioner"]


class CrossPartitioner(BindingPartitioner):
    """Split rows by their natural ids, and then the rows of each id by any other scheme.

    Use it when domains or sites have several clients each: images of four domains with label skew within each, or
    hospitals whose wards each lack some classes.

    The partitions of the natural id "Bern" are named "Bern/0", "Bern/1", and so on, or "Bern" if `inner` has only one
    partition.

    The split within "Bern" depends only on its rows, its id and the seed, not on the other ids or their order.

    Args:
        outer: A partitioner by natural ids, or by groups of them.
        inner: Any other partitioner; it splits the rows of each id, or of each group. Its `num_partitions` and minimum
            sizes apply within an id, and its `partition_by` and `num_bins` say what the labels are. If it ignores
            labels and has no `partition_by`, the `label_by` and `num_bins` of `outer` say this instead.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: Both partitioners name a column of labels, and they differ; on assigning, a natural id is missing or
            unknown, or `inner` cannot split the rows of a natural id.

    Examples:
        >>> from flskew import CrossPartitioner, NaturalIdPartitioner
        >>> from flskew import LabelExclusionPartitioner
        >>> hospitals = NaturalIdPartitioner("hospital")
        >>> wards = CrossPartitioner(hospitals, LabelExclusionPartitioner([{0}, {1}]))
        >>> train = wards.assign(["Rome", "Bern"] * 6, labels=[0, 0, 1, 1, 2, 2] * 2)
        >>> train.names
        ('Bern/0', 'Bern/1', 'Rome/0', 'Rome/1')
        >>> train.label_counts.tolist()
        [[0, 2, 1], [2, 0, 1], [0, 2, 1], [2, 0, 1]]
        >>> wards.assign(["Rome", "Rome"], labels=[1, 0], like=train).sizes
        array([0, 0, 1, 1])
    """

    def __init__(self, outer: NaturalIdPartitioner | GroupedNaturalIdPartitioner, inner: Partitioner) -> None:
        super().__init__()
        if not isinstance(outer, NaturalPartitioner):
            raise TypeError(
                f"outer must be a NaturalIdPartitioner or a GroupedNaturalIdPartitioner, got {type(outer).__name__}"
            )
        if not isinstance(inner, Partitioner):
            raise TypeError(
                f"inner must be a partitioner such as DirichletPartitioner(2), and not one by natural ids, "
                f"got {type(inner).__name__}"
            )
        if None not in (outer.label_by, inner.partition_by) and outer.label_by != inner.partition_by:
            raise ValueError(
                f"label_by={outer.label_by!r} of outer and partition_by={inner.partition_by!r} of inner must be the "
                f"same column; omit label_by"
            )
        if outer.num_bins is not None and not isinstance(inner, BlindPartitioner):
            raise ValueError(f"num_bins={outer.num_bins} of outer must be None; pass num_bins to inner")
        self.outer = outer
        self.inner = inner

    @property
    def partition_by(self) -> str:
        """The column with the natural ids in a data set: that of `outer`."""
        return self.outer.partition_by

    @property
    def num_partitions(self) -> int:
        """Number of partitions: of the bound data set, or given by the `natural_ids` of `outer`."""
        if self.outer.natural_ids is None:
            return len(self.assignment)
        return self.outer.num_partitions * self.inner.num_partitions

    def assign(
        self, natural_ids: Labels, /, labels: Labels | MultiLabels | None = None, *, like: Assignment | None = None
    ) -> Assignment:
        """Split rows by their natural ids and labels, without a data set.

        Args:
            natural_ids: One natural id per row: integers, strings or booleans.
            labels: One label per row, or several as in `Partitioner.assign`. May be omitted if `inner` ignores
                labels; the assignment then has no classes.
            like: A split of other rows that this partitioner has made, such as the training set. The rows of each
                natural id go to the partitions of that id, with the same shares of every class. If `like` has no rows
                of a class for that id, they are split in proportion to the sizes. The `on_unknown` of `outer` says what
                happens to rows of unknown ids. If the labels of `like` are bins, the same bins are used.

        Returns:
            The assignment: the partitions of the first natural id, then those of the second, and so on.

        Raises:
            TypeError: Natural ids or labels have an unsupported type, or several types; or `like` is not an assignment.
            ValueError: A natural id or a label is missing, a natural id is unknown, `inner` needs labels or cannot
                split the rows of an id, or this partitioner cannot have made `like`.
        """
        edges = None if like is None else checked_like(like).edges
        binning = self._binning() if edges is None else {"edges": edges}
        column = None if labels is None else read_any_labels(labels, **binning)
        return self._assign(read_labels(natural_ids, name="natural_ids"), column, "natural_ids", like)

    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        ids, labels = read_column(dataset, self.partition_by), None
        label_by, argument = self.inner.partition_by, "partition_by"
        if label_by is None:
            label_by, argument = self.outer.label_by, "label_by"
        if label_by is not None:
            labels = read_any_column(dataset, label_by, argument=argument, **self._binning())
        return self._assign(ids, labels, f"column {self.partition_by!r}")

    def _binning(self) -> dict[str, Any]:
        if isinstance(self.inner, BlindPartitioner):
            return {"num_bins": self.outer.num_bins, "can_bin": True}
        return self.inner._binning()

    def _assign(
        self, ids: LabelColumn, labels: AnyColumn | None, name: str, like: Assignment | None = None
    ) -> Assignment:
        if labels is None and not isinstance(self.inner, BlindPartitioner):
            raise ValueError(f"labels must be given, because inner, a {type(self.inner).__name__}, splits by them")
        if labels is not None and len(labels) != len(ids):
            raise ValueError(f"labels must be one per row, got {len(labels)} for {len(ids)} natural ids")
        num_each = self.inner.num_partitions
        if like is None:
            whole = self.outer._split(ids, name, self.outer._known(None), "the natural_ids of outer")
            split_within = self._split_within(whole)
        else:
            whole = self.outer._split(ids, name, numbering_of_crossed(like._parts, num_each), "like")
            split_within = self._match_within(whole, like, has_labels=labels is not None)
        # Without labels, all rows are of one class.
        column = LabelColumn(np.zeros(len(ids), dtype=np.uint8), np.array([0])) if labels is None else labels
        parts = cross(whole, column, num_each, split_within)
        if like is not None:
            parts = parts._replace(names=like._parts.names)
        return Assignment._seal(with_labels(parts, labels))

    def _split_within(self, whole: Parts) -> SplitWithin:
        """Split by the inner partitioner, whose errors then name the natural id."""
        members = members_of(whole)
        self._check_sizes(np.diff(whole.offsets).tolist(), members)

        def split(place: int, column: AnyColumn) -> Parts:
            try:
                return self.inner._split_any(column, self._streams(members[place]))._parts
            except ValueError as error:
                raise ValueError(f"inner cannot split {_described(members[place])}: {error}") from error

        return split

    def _match_within(self, whole: Parts, like: Assignment, *, has_labels: bool) -> SplitWithin:
        """Split with the shares of another split."""
        members, num_each = members_of(whole), self.inner.num_partitions
        by_class = has_labels and like.has_labels
        counts = like.label_counts if by_class else like.sizes[:, None]
        shuffle = bool(getattr(self.inner, "shuffle", True))

        def match(place: int, column: AnyColumn) -> Parts:
            held = counts[place * num_each : (place + 1) * num_each]
            classes = like.classes if by_class else column.classes
            if not by_class:
                held = np.repeat(held, len(classes), axis=1)
            return match_within(column, held, classes, self._streams(members[place]), shuffle=shuffle)

        return match

    def _check_sizes(self, sizes: list[int], members: list[list[Label]]) -> None:
        """Refuse natural ids with too few rows before any work is done."""
        refused = []
        for size, natural_ids in zip(sizes, members, strict=True):
            try:
                if size:
                    self.inner.check_num_rows(size)
            except ValueError as error:
                refused.append(f"{_described(natural_ids)} with {size} rows: {error}")
        if refused:
            others = f" ({len(refused)} of {len(sizes)} have too few rows)" if len(refused) > 1 else ""
            raise ValueError(f"inner cannot split {refused[0]}{others}")

    def _streams(self, natural_ids: list[Label]) -> Streams:
        return Streams(self.inner.seed).part("natural id", *natural_ids)


def _described(natural_ids: list[Label]) -> str:
    return f"natural id{'s' * (len(natural_ids) > 1)} {listed(natural_ids, most=3)}"
