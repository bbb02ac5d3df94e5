"""A fraction of the rows IID, the rest by any scheme."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from flskew._split.allocation import even_sizes
from flskew._split.building import Parts, with_labels
from flskew._split.dealing import assemble, deal
from flskew._split.encoding import subset
from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners.base import Partitioner
from flskew.partitioners.iid import IidPartitioner
from flskew.typing import Sizes

__all__ = ["MixturePartitioner"]


class MixturePartitioner(Partitioner):
    """Split a fraction of the rows IID, and the rest by another partitioner.

    Use it when you want to know how much skew a strategy tolerates: you can set any degree of skew between none and
    that of the other partitioner.

    With a fraction of 0, the assignment is that of the partitioner; with 1, it is that of `IidPartitioner` with the
    same seed. In between, the IID rows are drawn at random from every class. Their number, in each class and in total,
    is rounded without bias to one of the two nearest integers.

    The SCAFFOLD paper calls the fraction "similarity", and splits the rest as `ShardPartitioner` does with one shard
    per partition. Hsieh et al. call 1 minus the fraction "skewness"; it is `percent_noniid / 100` in FedArtML.

    The rules of the partitioner hold only for the rows that it splits: a class that `LabelExclusionPartitioner`
    excludes from a partition still occurs among its IID rows.

    Args:
        partitioner: Any partitioner except those by natural ids. Its `num_partitions`, `partition_by`, `seed` and
            `shuffle` apply to all rows; sizes and minimum sizes only to the rows that it splits.
        iid_fraction: Fraction of the rows of each class to split IID, 0 to 1.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: The fraction is out of range; on assigning, the partitioner cannot split the remaining rows.

    References:
        K. Hsieh, A. Phanishayee, O. Mutlu, P. B. Gibbons: "The Non-IID Data Quagmire of Decentralized Machine
        Learning", ICML 2020, https://arxiv.org/abs/1910.00189, where 20 % "skewness" is 20 % of the rows split by
        label, the rest at random.

        S. P. Karimireddy, S. Kale, M. Mohri, S. J. Reddi, S. U. Stich, A. T. Suresh: "SCAFFOLD: Stochastic Controlled
        Averaging for Federated Learning", ICML 2020, https://arxiv.org/abs/1910.06378, where s % "similarity" is s %
        of each client's rows IID, the rest from the data sorted by label.

    Examples:
        >>> from flskew import MixturePartitioner, PathologicalPartitioner
        >>> two_classes = PathologicalPartitioner(5, num_classes_per_partition=2)
        >>> partitioner = MixturePartitioner(two_classes, iid_fraction=0.2)
        >>> mixed = partitioner.assign([row % 10 for row in range(10_000)])
        >>> (mixed.label_counts > 0).sum(axis=1), (mixed.label_counts > 100).sum(axis=1)
        (array([10, 10, 10, 10, 10]), array([2, 2, 2, 2, 2]))
    """

    def __init__(self, partitioner: Partitioner, iid_fraction: float) -> None:
        if not isinstance(partitioner, Partitioner):
            raise TypeError(
                f"partitioner must be a partitioner such as DirichletPartitioner(10), and not one by natural ids, "
                f"got {type(partitioner).__name__}"
            )
        super().__init__(partitioner.num_partitions, partitioner.partition_by, partitioner.seed)
        self.partitioner = partitioner
        self.iid_fraction = checks.within("iid_fraction must be a number from 0 to 1", iid_fraction, most=1)

    def check_num_rows(self, num_rows: int) -> None:
        """Reject too few rows."""
        if self.iid_fraction == 0:
            self.partitioner.check_num_rows(num_rows)
        else:
            super().check_num_rows(num_rows)

    def split(self, column: LabelColumn, streams: Streams) -> Assignment:
        """Draw the IID rows of each class, and let the partitioner split the others."""
        if self.iid_fraction == 0:
            return self.partitioner.split(column, streams)
        own = streams.part("mixture")
        num_iid = self._num_iid(column.sizes, own("shares"))
        num_left = len(column) - int(num_iid.sum())
        if num_left == 0:
            return IidPartitioner(self.num_partitions).split(column, streams)
        with self._explained(num_left, len(column)):
            self.partitioner.check_num_rows(num_left)
        iid, _, others = deal(column, num_iid[:, None], own, shuffle=True)
        with self._explained(num_left, len(column)):
            rest = self.partitioner.split(subset(column, others), streams)
        iid_sizes = even_sizes(len(iid), self.num_partitions, own("sizes"))
        blocks = np.vstack([np.append(iid_sizes, 0), np.append(rest.sizes, len(rest.unassigned))])
        source = np.concatenate([iid, others[rest.rows], others[rest.unassigned]])
        dealt = assemble(source, blocks, own.part("both"), shuffle=getattr(self.partitioner, "shuffle", True))
        return Assignment._seal(with_labels(Parts(*dealt), column))

    def _num_iid(self, sizes: Sizes, rng: np.random.Generator) -> Sizes:
        """(num_classes,) IID rows, by systematic rounding: each number and their sum are the floor or the ceiling."""
        ends = np.floor(self.iid_fraction * np.cumsum(sizes) + rng.random()).astype(np.int64)
        return np.asarray(np.minimum(np.diff(ends, prepend=0), sizes))

    @contextmanager
    def _explained(self, num_left: int, num_rows: int) -> Iterator[None]:
        """Say in an error of the partitioner which rows it splits."""
        try:
            yield
        except ValueError as error:
            raise ValueError(
                f"iid_fraction={self.iid_fraction} leaves {num_left} of {num_rows} rows, which the partitioner cannot "
                f"split: {error}"
            ) from error

    def _binning(self) -> dict[str, Any]:
        return self.partitioner._binning()
