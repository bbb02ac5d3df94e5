"""Deal rows to the partitions that lack most, all at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flskew.typing import Sizes

__all__ = ["level"]


def level(
    demand: NDArray[np.int64],
    most: Sizes,
    room: NDArray[np.int64],
    number: int,
    rng: np.random.Generator,
    *,
    fraction: NDArray[np.int64] | None = None,
) -> Sizes:
    """Deal rows one by one to the partition with the greatest remaining demand, all at once.

    Args:
        demand: (num_partitions,) rows that each partition still wants; negative if it has too many.
        most: (num_partitions,) rows that it may get; their sum is at least `number`.
        room: (num_partitions,) rows that break ties: the partition with the greatest room first, then a random one.
        number: Rows to deal.
        rng: Breaks ties.
        fraction: (num_partitions,) what `demand` has beyond whole rows, in any unit, which breaks ties first.

    Returns:
        (num_partitions,) numbers that sum to `number`.

    Examples:
        >>> import numpy as np
        >>> demand, most = np.array([9, 4, 1]), np.array([9, 9, 9])  # lowered to 3
        >>> level(demand, most, demand, 7, np.random.default_rng(0))
        array([6, 1, 0])
    """
    # A partition that may get all rows takes them before its demand is lowered by more than their number.
    able = demand[most >= number]
    low, high = int(able.max() if len(able) else demand.min()) - number, int(demand.max())
    # At `low`, at least `number` rows are dealt, at `high` none. Bisect to the lowest level with fewer than `number`.
    while high - low > 1:
        middle = (low + high) // 2
        if int(np.minimum(np.maximum(demand - middle, 0), most).sum()) >= number:
            low = middle
        else:
            high = middle
    takes = np.minimum(np.maximum(demand - high, 0), most)
    tied = np.flatnonzero(np.minimum(np.maximum(demand - low, 0), most) > takes)
    keys = [rng.random(len(tied)), takes[tied] - room[tied]]
    if fraction is not None:
        keys.append(-fraction[tied])
    order = np.lexsort(keys)
    takes[tied[order[: number - int(takes.sum())]]] += 1
    return takes
