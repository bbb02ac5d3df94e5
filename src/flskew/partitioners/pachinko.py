"""Coarse labels, then fine ones: the Pachinko allocation method.

S. J. Reddi, Z. Charles, M. Zaheer, Z. Garrett, K. Rush, J. Konečný, S. Kumar, H. B. McMahan: "Adaptive Federated
Optimization", ICLR 2021, arXiv 2003.00295, appendix F: CIFAR-100 with its 20 coarse and 100 fine labels, over 500
clients of 100 images, alpha 0.1 and beta 10. The model is that of W. Li, A. McCallum: "Pachinko allocation:
DAG-structured mixture models of topic correlations", ICML 2006.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from flskew._split.allocation import even_counts
from flskew._split.labels import LabelColumn, read_column
from flskew._split.shares import dirichlet_weights
from flskew._split.streams import Streams
from flskew._split.water_filling import check_sizes, fill, pour
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners.base import LabelPartitioner
from flskew.typing import Counts, Label, Sizes

__all__ = ["PachinkoPartitioner"]


class PachinkoPartitioner(LabelPartitioner):
    """Give each partition Dirichlet-distributed shares of coarse classes, and within each of its fine classes.

    For each partition, independently, the shares of the coarse classes are one draw from Dirichlet(alpha), and the
    shares of the fine classes within a coarse one are a draw from Dirichlet(beta). Clients so differ in topics rather
    than in single labels. Sizes are met exactly; when a fine class is used up, the others of its coarse class take
    its part, and when those are used up, the other coarse classes do.

    Args:
        num_partitions: At least 1, at most the number of rows.
        partition_by: The column with the fine labels, in a data set.
        coarse_by: The column with the coarse labels, in a data set; or a mapping from each fine label to its coarse
            one, which is also what `assign` needs.
        alpha: Concentration over coarse classes, > 0; smaller is more skewed.
        beta: Concentration over the fine classes of a coarse one, > 0.
        partition_sizes: Rows of each partition; what they do not use is `unassigned`. None splits the rows evenly.
        shuffle: Whether the rows of a partition are in random order, or in that of the data set.
        seed: Any integer.

    Raises:
        TypeError: An argument of the wrong type, or `seed=None`.
        ValueError: A number out of range; on assigning, more rows asked for than there are, or a fine label with no
            coarse one, or several.

    Examples:
        >>> kinds = {"cat": "animal", "dog": "animal", "car": "vehicle", "bus": "vehicle"}
        >>> assignment = PachinkoPartitioner(5, "label", kinds).assign(["cat", "dog", "car", "bus"] * 25)
        >>> assignment.sizes
        array([20, 20, 20, 20, 20])
    """

    def __init__(
        self,
        num_partitions: int,
        partition_by: str,
        coarse_by: str | Mapping[Label, Label],
        alpha: float = 0.1,
        beta: float = 10.0,
        partition_sizes: Sequence[int] | NDArray[np.integer[Any]] | None = None,
        shuffle: bool = True,
        seed: int = 42,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle)
        if isinstance(coarse_by, Mapping):
            self._coarse: Mapping[Label, Label] | None = _plain_mapping(coarse_by)
            self._coarse_by = None
        else:
            self._coarse = None
            self._coarse_by = checks.column_name("coarse_by", coarse_by)
        self._alpha = checks.positive("alpha", alpha, "0.1 is usual, smaller is more skewed")
        self._beta = checks.positive("beta", beta, "10 is usual, smaller is more skewed")
        self._partition_sizes = None if partition_sizes is None else check_sizes(partition_sizes)
        if self._partition_sizes is not None and len(self._partition_sizes) != self._num_partitions:
            raise ValueError(
                f"partition_sizes must have one number for each of {self._num_partitions} partitions, "
                f"got {len(self._partition_sizes)}"
            )

    def _check_num_rows(self, num_rows: int) -> None:
        super()._check_num_rows(num_rows)
        if self._partition_sizes is not None:
            checks.sizes_fit(self._partition_sizes, num_rows)

    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        if self._coarse_by is None:
            return super()._assign_dataset(dataset)
        fine = read_column(dataset, str(self._partition_by))
        parents = _parents(fine, read_column(dataset, self._coarse_by, argument="coarse_by"))
        streams = Streams(self._seed)
        return Assignment._from_counts(fine, self._fill(fine, parents, streams), streams, shuffle=self._shuffle)

    def _counts(self, column: LabelColumn, streams: Streams) -> Counts:
        return self._fill(column, self._coarse_labels(column), streams)

    def _fill(self, column: LabelColumn, coarse: list[Label], streams: Streams) -> Counts:
        """Return the counts, given the coarse label of each class."""
        children: dict[Label, list[int]] = {}
        for code, label in enumerate(coarse):
            children.setdefault(label, []).append(code)
        groups, members = list(children), [np.array(codes) for codes in children.values()]
        coarse_weights = self._draw("coarse shares", groups, self._alpha, streams)
        fine_weights = self._draw("shares", column.labels, self._beta, streams)

        def pour_by_group(asking: NDArray[np.intp], left: Sizes, lacking: Sizes) -> NDArray[np.float64]:
            of_group = pour(coarse_weights[asking], np.array([left[codes].sum() for codes in members]), lacking)
            amounts = np.empty((len(asking), len(left)))
            for place, codes in enumerate(members):
                amounts[:, codes] = pour(fine_weights[np.ix_(asking, codes)], left[codes], of_group[:, place])
            return amounts

        sizes = self._partition_sizes
        if sizes is None:
            sizes = even_counts(len(column), self._num_partitions, streams("sizes"))[0]
        return fill(sizes, column.sizes, pour_by_group, streams("fill"))

    def _draw(self, purpose: str, labels: Sequence[Label], alpha: float, streams: Streams) -> NDArray[np.float64]:
        """(num_partitions, num_labels) weights, each label's from a stream of its own."""
        alphas = np.full(self._num_partitions, alpha)
        return np.array([dirichlet_weights(alphas, streams(purpose, label)) for label in labels]).T

    def _coarse_labels(self, column: LabelColumn) -> list[Label]:
        """The coarse label of each class."""
        if self._coarse is None:
            raise ValueError(
                f"coarse_by={self._coarse_by!r} names a column, and labels alone have none; "
                f"set a data set, or make the partitioner with a mapping from fine labels to coarse ones"
            )
        for label in column.labels:
            if label not in self._coarse:
                raise ValueError(f"coarse_by has no coarse label for {label!r}; add it to the mapping")
        return [self._coarse[label] for label in column.labels]


def _plain_mapping(coarse_by: Mapping[Label, Label]) -> dict[Label, Label]:
    """Return the mapping with plain labels, for the name of a random stream hangs on the label's type."""
    plain = {}
    for fine, coarse in coarse_by.items():
        pair = [label.item() if isinstance(label, np.generic) else label for label in (fine, coarse)]
        if not all(isinstance(label, int | str) for label in pair):
            raise TypeError(f"coarse_by must map integers, strings or booleans to such, got {fine!r}: {coarse!r}")
        plain[pair[0]] = pair[1]
    return plain


def _parents(fine: LabelColumn, coarse: LabelColumn) -> list[Label]:
    """The coarse label of each fine one in turn, as two columns have them."""
    pairs = np.unique(np.stack([fine.codes, coarse.codes]).astype(np.int64), axis=1)
    twice = np.flatnonzero(np.diff(pairs[0]) == 0)
    if len(twice):
        first, second = (coarse.labels[pairs[1, twice[0] + step]] for step in (0, 1))
        raise ValueError(
            f"coarse_by must have one coarse label for each fine one, and {fine.labels[pairs[0, twice[0]]]!r} is found "
            f"with {first!r} and {second!r}; correct the rows, or pass a mapping"
        )
    return [coarse.labels[parent] for parent in pairs[1]]
