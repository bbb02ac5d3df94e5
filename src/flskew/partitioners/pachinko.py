"""Coarse labels, then fine labels: the Pachinko allocation method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from flskew._split.allocation import even_sizes
from flskew._split.building import deal_counts
from flskew._split.labels import LabelColumn, read_column
from flskew._split.shares import dirichlet_weights
from flskew._split.streams import Streams
from flskew._split.water_filling import check_sizes, draw_until_full, water_fill
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners.base import LabelPartitioner, Partitioner
from flskew.typing import Counts, Label, Sizes

__all__ = ["PachinkoPartitioner"]


class PachinkoPartitioner(LabelPartitioner):
    """Give each partition Dirichlet-distributed shares of coarse classes, and of the fine classes within each.

    Use it when classes belong to topics, like the coarse and fine labels of CIFAR-100, and clients differ in topics
    rather than in single classes.

    For each partition, independently, the shares of the coarse classes are one draw from Dirichlet(alpha), and the
    shares of the fine classes within a coarse class are one draw from Dirichlet(beta). Sizes are met exactly: when a
    fine class is used up, the others of its coarse class replace it, and when the coarse class is used up, the other
    coarse classes do (water-filling).

    Args:
        num_partitions: Number of partitions, from 1 to the number of rows.
        coarse_by: The column with the coarse labels in a data set, or a mapping from each fine label to its coarse
            label. `assign` needs the mapping.
        partition_by: The column with the fine labels in a data set; not used by `assign`.
        alpha: Concentration over coarse classes, > 0; smaller is more skewed. Both defaults are those of Reddi et al.
        beta: Concentration over the fine classes of a coarse class, > 0; smaller is more skewed.
        partition_sizes: Number of rows per partition, each >= 0; the remaining rows are `unassigned`. None splits the
            rows evenly.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A number is out of range; on assigning, the sizes exceed the number of rows, or a fine label has no
            coarse label or more than one.

    References:
        S. J. Reddi, Z. Charles, M. Zaheer, Z. Garrett, K. Rush, J. Konečný, S. Kumar, H. B. McMahan: "Adaptive
        Federated Optimization", ICLR 2021, https://arxiv.org/abs/2003.00295, appendix F: CIFAR-100 with its 20 coarse
        and 100 fine labels, over 500 clients of 100 images, alpha 0.1 and beta 10.

        W. Li, A. McCallum: "Pachinko allocation: DAG-structured mixture models of topic correlations", ICML 2006.

    Examples:
        >>> kinds = {"cat": "pet", "dog": "pet", "car": "vehicle", "bus": "vehicle"}
        >>> labels = ["cat", "dog", "car", "bus"] * 25
        >>> assignment = PachinkoPartitioner(5, kinds).assign(labels)
        >>> assignment.classes.tolist()
        ['bus', 'car', 'cat', 'dog']
        >>> assignment.label_counts
        array([[11,  9,  0,  0],
               [ 1,  1,  8, 10],
               [ 3,  4,  7,  6],
               [ 9, 11,  0,  0],
               [ 1,  0, 10,  9]])
    """

    def __init__(
        self,
        num_partitions: int,
        coarse_by: str | Mapping[Label, Label],
        partition_by: str = "label",
        alpha: float = 0.1,
        beta: float = 10.0,
        partition_sizes: Sequence[int] | NDArray[np.integer[Any]] | None = None,
        shuffle: bool = True,
        seed: int = 42,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle)
        if isinstance(coarse_by, Mapping):
            self._coarse_by: str | dict[Label, Label] = _plain_mapping(coarse_by)
        else:
            self._coarse_by = checks.column_name("coarse_by", coarse_by)
        self.alpha = checks.positive("alpha", alpha, "0.1 is common, smaller is more skewed")
        self.beta = checks.positive("beta", beta, "10 is common, smaller is more skewed")
        self.partition_sizes = None if partition_sizes is None else check_sizes(partition_sizes)
        if self.partition_sizes is not None and len(self.partition_sizes) != self.num_partitions:
            raise ValueError(
                f"partition_sizes must have one number for each of {self.num_partitions} partitions, "
                f"got {len(self.partition_sizes)}; pass {self.num_partitions} numbers, or None to split evenly"
            )

    @property
    def coarse_by(self) -> str | dict[Label, Label]:
        """The column with the coarse labels, or a copy of the mapping from fine labels to coarse labels."""
        return self._coarse_by if isinstance(self._coarse_by, str) else dict(self._coarse_by)

    def check_num_rows(self, num_rows: int) -> None:
        """Reject too few rows for the partitions or their sizes."""
        super().check_num_rows(num_rows)
        if self.partition_sizes is not None:
            checks.sizes_fit(self.partition_sizes, num_rows)

    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        if not isinstance(self._coarse_by, str):
            return super()._assign_dataset(dataset)
        self.check_num_rows(dataset.num_rows)
        fine = read_column(dataset, str(self.partition_by))
        parents = _parents(fine, read_column(dataset, self._coarse_by, argument="coarse_by"))
        streams = Streams(self.seed)
        counts = self._fill(fine, parents, streams)
        return Assignment._seal(deal_counts(fine, counts, streams, shuffle=self.shuffle))

    # Sizes are filled class by class, so each row must count once.
    split_multi_label = Partitioner.split_multi_label

    def class_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Draw the shares of coarse and fine classes for each partition, then fill the partitions."""
        return self._fill(column, self._coarse_labels(column), streams)

    def _fill(self, column: LabelColumn, coarse: list[Label], streams: Streams) -> Counts:
        """Return the counts, given the coarse label of each class."""
        children: dict[Label, list[int]] = {}
        for code, label in enumerate(coarse):
            children.setdefault(label, []).append(code)
        groups, members = list(children), [np.array(codes) for codes in children.values()]
        coarse_weights = self._draw("coarse shares", groups, self.alpha, streams)
        fine_weights = self._draw("shares", column.labels, self.beta, streams)

        def demand(asking: NDArray[np.intp], left: Sizes, lacking: Sizes) -> NDArray[np.float64]:
            of_group = water_fill(coarse_weights[asking], np.array([left[codes].sum() for codes in members]), lacking)
            amounts = np.empty((len(asking), len(left)))
            for place, codes in enumerate(members):
                amounts[:, codes] = water_fill(fine_weights[np.ix_(asking, codes)], left[codes], of_group[:, place])
            return amounts

        sizes = self.partition_sizes
        if sizes is None:
            sizes = even_sizes(len(column), self.num_partitions, streams("sizes"))
        return draw_until_full(sizes, column.sizes, demand, streams("fill"))

    def _draw(self, purpose: str, labels: Sequence[Label], alpha: float, streams: Streams) -> NDArray[np.float64]:
        """(num_partitions, num_labels) weights, those of each label drawn from its own stream."""
        draws = [dirichlet_weights(alpha, self.num_partitions, streams(purpose, label)) for label in labels]
        return np.array(draws).T

    def _coarse_labels(self, column: LabelColumn) -> list[Label]:
        """The coarse label of each class."""
        if isinstance(self._coarse_by, str):
            raise ValueError(
                f"coarse_by={self._coarse_by!r} names a column, but assign is given only labels; "
                f"bind a data set, or pass a mapping from fine labels to coarse labels as coarse_by"
            )
        for label in column.labels:
            if label not in self._coarse_by:
                raise ValueError(f"coarse_by has no coarse label for {label!r}; add it to the mapping")
        return [self._coarse_by[label] for label in column.labels]


def _plain_mapping(coarse_by: Mapping[Label, Label]) -> dict[Label, Label]:
    """Return the mapping with plain Python labels, because the name of a random stream depends on the label's type."""
    plain = {}
    for fine, coarse in coarse_by.items():
        pair = [label.item() if isinstance(label, np.generic) else label for label in (fine, coarse)]
        if not all(isinstance(label, int | str) for label in pair):
            raise TypeError(f"coarse_by must map integers, strings or booleans to the same, got {fine!r}: {coarse!r}")
        plain[pair[0]] = pair[1]
    return plain


def _parents(fine: LabelColumn, coarse: LabelColumn) -> list[Label]:
    """The coarse label of each fine class, from two columns."""
    pairs = np.unique(np.stack([fine.codes, coarse.codes]).astype(np.int64), axis=1)
    twice = np.flatnonzero(np.diff(pairs[0]) == 0)
    if len(twice):
        first, second = (coarse.labels[pairs[1, twice[0] + step]] for step in (0, 1))
        raise ValueError(
            f"coarse_by must have one coarse label per fine label, but {fine.labels[pairs[0, twice[0]]]!r} occurs "
            f"with {first!r} and {second!r}; correct the rows, or pass a mapping"
        )
    return [coarse.labels[parent] for parent in pairs[1]]
