"""Independent and identically distributed partitions: the baseline for all skewed schemes."""

from __future__ import annotations

from flskew._split.allocation import even_sizes
from flskew._split.streams import Streams
from flskew.partitioners._blind import BlindPartitioner
from flskew.typing import Sizes

__all__ = ["IidPartitioner"]


class IidPartitioner(BlindPartitioner):
    """Split the rows evenly and at random, regardless of their labels.

    Use it when you need a baseline: any accuracy lost here is the cost of federation, not of skew.

    Sizes differ by at most one row. Class counts vary as in any random sample.

    Flower Datasets' partitioner of the same name cuts the data set into contiguous pieces, which are far from IID if
    the data set is sorted by class or time. This one draws the rows at random.

    Args:
        num_partitions: Number of partitions, from 1 to the number of rows.
        partition_by: The column with the labels in a data set, or None. The split does not depend on labels, but with
            them, the assignment has `label_counts`, and `Assignment.match` works.
        seed: Any integer; it determines every random draw.

    Raises:
        TypeError: An argument has the wrong type, or `seed` is None.
        ValueError: `num_partitions` is below 1; on assigning, there are fewer rows than partitions.

    Examples:
        >>> sorted(IidPartitioner(3).assign([0, 1] * 50).sizes.tolist())
        [33, 33, 34]
    """

    def __init__(self, num_partitions: int, *, partition_by: str | None = None, seed: int = 42) -> None:
        super().__init__(num_partitions, partition_by, seed)

    def _sizes(self, num_rows: int, streams: Streams) -> Sizes:
        return even_sizes(num_rows, self.num_partitions, streams("sizes"))
