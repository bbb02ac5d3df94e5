"""Shards: the data is sorted by label and cut into pieces, and each client gets a few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import even_sizes
from flskew._split.labels import LabelColumn
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.partitioners.base import LabelPartitioner, Partitioner
from flskew.typing import Counts, Offsets

__all__ = ["ShardPartitioner"]


class ShardPartitioner(LabelPartitioner):
    """Sort the rows by label, cut them into shards, and give each partition some shards at random.

    Use it when you want to repeat the experiments of the first paper on federated averaging: clients have equal
    sizes and few classes, but not all the same number of them.

    A shard contains one class, or several if it spans a boundary between classes. Which rows of a class go to which
    shard is random.

    Takes the arguments of Flower Datasets' partitioner of the same name, in three ways:

    - only `num_shards_per_partition`: all rows are cut into this many shards per partition, whose sizes differ by at
      most one row;
    - only `shard_size`: all rows are cut into shards of this size, and the numbers of shards per partition differ by at
      most one. The rows left over form a smaller shard, which `keep_incomplete_shard=False` drops;
    - both: each partition gets this number of shards of this size; the remaining rows are `unassigned`.

    Unlike Flower Datasets' partitioner, it drops no rows by default (there, `keep_incomplete_shard` is False).

    Args:
        num_partitions: Number of partitions, from 1 to the number of shards.
        partition_by: The column with the labels in a data set; not used by `assign`.
        num_shards_per_partition: At least 1, or None. McMahan et al. use 2.
        shard_size: Number of rows per shard, at least 1, or None.
        keep_incomplete_shard: Whether to keep the rows that do not fill a shard, if only `shard_size` is given.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        seed: Any integer; it determines every random draw.
        num_bins: For a continuous target or dates, the number of quantile bins to use as classes; None for labels.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: A number is out of range, or neither `num_shards_per_partition` nor `shard_size` is given; on
            assigning, there are too few rows for the shards.

    References:
        H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas: "Communication-Efficient Learning of Deep
        Networks from Decentralized Data", AISTATS 2017, https://arxiv.org/abs/1602.05629 (200 shards of 300 images,
        two for each of 100 clients).

    Examples:
        >>> partitioner = ShardPartitioner(5, num_shards_per_partition=2)
        >>> partitioner.assign([0, 1, 2] * 50).label_counts
        array([[15,  0, 15],
               [ 0, 10, 20],
               [20, 10,  0],
               [15, 15,  0],
               [ 0, 15, 15]])
    """

    def __init__(
        self,
        num_partitions: int,
        partition_by: str = "label",
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
            raise ValueError(
                "num_shards_per_partition or shard_size must be given, got neither; two shards per partition are common"
            )
        self.num_shards_per_partition = checks.optional_integer(
            "num_shards_per_partition", num_shards_per_partition, minimum=1
        )
        self.shard_size = checks.optional_integer("shard_size", shard_size, minimum=1)
        self.keep_incomplete_shard = checks.truth("keep_incomplete_shard", keep_incomplete_shard)

    # Shards are cut from rows sorted by their only label.
    split_multi_label = Partitioner.split_multi_label

    def class_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Cut the sorted rows into shards, distribute them at random, and count the classes in them."""
        rng = streams("shards")
        edges, num_usable, num_used = self._cut(len(column), rng)
        holders = np.full(len(edges) - 1, self.num_partitions)
        holders[rng.permutation(num_usable)[:num_used]] = self._deal_shards(num_used, rng)
        # Boundaries of shards and of classes cut the sorted rows into pieces of one class and one shard.
        class_ends = np.cumsum(column.sizes)
        cuts = np.union1d(edges, class_ends)
        codes = np.searchsorted(class_ends, cuts[:-1], side="right")
        shards = np.searchsorted(edges, cuts[:-1], side="right") - 1
        counts = np.zeros((len(class_ends), self.num_partitions + 1), dtype=np.int64)
        np.add.at(counts, (codes, holders[shards]), np.diff(cuts))
        return counts[:, :-1]

    def _cut(self, num_rows: int, rng: np.random.Generator) -> tuple[Offsets, int, int]:
        """Return the edges of the shards, how many of them are usable, and how many are used."""
        if self.shard_size is None:
            num_shards = self.num_partitions * (self.num_shards_per_partition or 0)
            if num_shards > num_rows:
                raise ValueError(
                    f"num_shards_per_partition={self.num_shards_per_partition} for {self.num_partitions} partitions "
                    f"needs at least {num_shards} rows, got {num_rows}; lower one of them"
                )
            sizes = even_sizes(num_rows, num_shards, rng)
            return np.concatenate(([0], np.cumsum(sizes))), num_shards, num_shards
        num_full, left_over = divmod(num_rows, self.shard_size)
        edges = np.append(np.arange(num_full + 1) * min(self.shard_size, num_rows), [num_rows] if left_over else [])
        edges = edges.astype(np.int64)
        if self.num_shards_per_partition is not None:
            num_used = self.num_partitions * self.num_shards_per_partition
            num_usable = num_full
        else:
            num_used = num_usable = num_full + int(left_over > 0 and self.keep_incomplete_shard)
        if num_used > num_usable or num_used < self.num_partitions:
            raise ValueError(
                f"shard_size={self.shard_size} cuts {num_rows} rows into {num_usable} shards, but "
                f"{self.num_partitions} partitions need {max(num_used, self.num_partitions)}; "
                f"lower shard_size, num_shards_per_partition or num_partitions"
            )
        return edges, num_usable, num_used

    def _deal_shards(self, num_used: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """(num_used,) partition of each shard; the numbers of shards per partition differ by at most one."""
        each, extra = divmod(num_used, self.num_partitions)
        times = np.full(self.num_partitions, each)
        times[rng.choice(self.num_partitions, extra, replace=False)] += 1
        return np.repeat(np.arange(self.num_partitions), times)
