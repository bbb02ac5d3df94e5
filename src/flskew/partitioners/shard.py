"""Shards: the data sorted by label, cut into pieces, a few pieces for each client.

H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas: "Communication-Efficient Learning of Deep Networks
from Decentralized Data", AISTATS 2017, arXiv 1602.05629 (200 shards of 300 images, two for each of 100 clients).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import even_counts
from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.partitioners.base import LabelPartitioner
from flskew.typing import Counts, Offsets

__all__ = ["ShardPartitioner"]


class ShardPartitioner(LabelPartitioner):
    """Sort the rows by label, cut them into shards, and give each partition some shards at random.

    A shard holds one class, or two and more where it lies across a boundary. Rows are those of the data set given, and
    within a class it is drawn by lot which shard has which.

    Takes the arguments of Flower Datasets' partitioner of this name, in three ways:

    - `num_shards_per_partition` alone: as many shards as that makes, of equal size but for one row, and no row lost;
    - `shard_size` alone: shards of that size, and as many for each partition as for any other, but for one. What is
      left over at the end of the sorted rows is a smaller shard; `keep_incomplete_shard=False` drops it;
    - both: just so many shards of just that size; what they do not use is `unassigned`.

    Unlike Flower Datasets' one, nothing is lost by default (its `keep_incomplete_shard` is False).

    Args:
        num_partitions: At least 1, at most the number of shards.
        partition_by: The column with the labels, in a data set; `assign` does not look at it.
        num_shards_per_partition: At least 1, or None.
        shard_size: Rows of a shard: at least 1, or None.
        keep_incomplete_shard: Whether the rows that do not fill a shard are kept, when `shard_size` alone is given.
        shuffle: Whether the rows of a partition are in random order, or in that of the data set.
        seed: Any integer.
        num_bins: For a continuous target, the number of quantile bins that become its classes; None for labels.

    Raises:
        TypeError: An argument of the wrong type, or `seed=None`.
        ValueError: A number out of range, or neither kind of number given; on assigning, more shards asked for than
            the rows make.

    Examples:
        >>> assignment = ShardPartitioner(5, "label", num_shards_per_partition=2).assign([0, 1] * 50)
        >>> assignment.sizes
        array([20, 20, 20, 20, 20])
    """

    def __init__(
        self,
        num_partitions: int,
        partition_by: str,
        num_shards_per_partition: int | None = None,
        shard_size: int | None = None,
        keep_incomplete_shard: bool = True,
        shuffle: bool = True,
        seed: int = 42,
        *,
        num_bins: int | None = None,
    ) -> None:
        super().__init__(num_partitions, partition_by, seed, shuffle=shuffle, num_bins=num_bins)
        if num_shards_per_partition is None and shard_size is None:
            raise ValueError("num_shards_per_partition or shard_size must be given, got neither; 2 shards are usual")
        self._num_shards_per_partition = checks.optional_integer(
            "num_shards_per_partition", num_shards_per_partition, minimum=1
        )
        self._shard_size = checks.optional_integer("shard_size", shard_size, minimum=1)
        self._keep_incomplete_shard = checks.truth("keep_incomplete_shard", keep_incomplete_shard)

    def _counts(self, column: LabelColumn, streams: Streams) -> Counts:
        rng = streams("shards")
        edges, num_usable, num_used = self._cut(len(column), rng)
        holders = np.full(len(edges) - 1, self._num_partitions)
        holders[rng.permutation(num_usable)[:num_used]] = self._deal_shards(num_used, rng)
        # Both kinds of boundary cut the sorted rows into pieces of one class and one shard.
        class_ends = np.cumsum(column.sizes)
        cuts = np.union1d(edges, class_ends)
        codes = np.searchsorted(class_ends, cuts[:-1], side="right")
        shards = np.searchsorted(edges, cuts[:-1], side="right") - 1
        counts = np.zeros((len(class_ends), self._num_partitions + 1), dtype=np.int64)
        np.add.at(counts, (codes, holders[shards]), np.diff(cuts))
        return counts[:, :-1]

    def _cut(self, num_rows: int, rng: np.random.Generator) -> tuple[Offsets, int, int]:
        """Return where each shard begins and the last one ends, how many of them are fit for use, and how many used."""
        if self._shard_size is None:
            num_shards = self._num_partitions * (self._num_shards_per_partition or 0)
            if num_shards > num_rows:
                raise ValueError(
                    f"num_shards_per_partition={self._num_shards_per_partition} for {self._num_partitions} partitions "
                    f"needs {num_shards} rows at least, got {num_rows}; lower one of them"
                )
            sizes = even_counts(num_rows, num_shards, rng)[0]
            return np.concatenate(([0], np.cumsum(sizes))), num_shards, num_shards
        num_full, left_over = divmod(num_rows, self._shard_size)
        edges = np.append(np.arange(num_full + 1) * min(self._shard_size, num_rows), [num_rows] if left_over else [])
        edges = edges.astype(np.int64)
        if self._num_shards_per_partition is not None:
            num_used = self._num_partitions * self._num_shards_per_partition
            num_usable = num_full
        else:
            num_used = num_usable = num_full + int(left_over > 0 and self._keep_incomplete_shard)
        if num_used > num_usable or num_used < self._num_partitions:
            raise ValueError(
                f"shard_size={self._shard_size} makes {num_usable} shards of {num_rows} rows, and "
                f"{self._num_partitions} partitions need {max(num_used, self._num_partitions)}; "
                f"lower shard_size, num_shards_per_partition or num_partitions"
            )
        return edges, num_usable, num_used

    def _deal_shards(self, num_used: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """(num_used,) partitions, each as often as any other but for one, which is drawn by lot."""
        each, extra = divmod(num_used, self._num_partitions)
        times = np.full(self._num_partitions, each)
        times[rng.choice(self._num_partitions, extra, replace=False)] += 1
        return np.repeat(np.arange(self._num_partitions), times)
