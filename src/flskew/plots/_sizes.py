"""Sizes: how the rows are distributed among the partitions (quantity skew)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from flskew.plots._canvas import draw_on, name_side, room
from flskew.plots._stairs import draw_stairs, fit_partitions, fit_rows, partitions_size
from flskew.plots._style import BLUE, GREY
from flskew.skew.tally import Split, Tally, tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_sizes", "sizes"]

# A bar this many times lower than another is hardly visible.
_MOST_TIMES = 100


def sizes(split: Split, *, ax: Axes | None = None) -> Figure:
    """Draw the number of rows of each partition as a bar, largest first.

    Use it when you want to see how unequal the partitions are (quantity skew).

    A dashed line marks the mean, and a cross a partition without rows. If the largest partition has more than 100 times
    the rows of the smallest, the scale is logarithmic, and dots replace the bars.

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.
        ax: The axes to draw on; a new figure by default.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `split` is not a split, or `ax` is not an Axes.
        ValueError: The split has no rows.

    Examples:
        >>> import numpy as np
        >>> from flskew import plots
        >>> figure = plots.sizes(np.array([[2, 0], [3, 1]]))
        >>> [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
        ['1', '0']
    """
    counted = tally(split)
    return draw_on(ax, partitions_size(counted), partial(draw_sizes, tallies=[counted]))


def draw_sizes(axes: Sequence[Axes], tallies: Sequence[Tally]) -> None:
    """Draw splits on a common scale."""
    held = np.concatenate([counted.sizes[counted.sizes > 0] for counted in tallies])
    highest = int(held.max())
    logarithmic = highest > _MOST_TIMES * held.min()
    for ax, counted in zip(axes, tallies, strict=True):
        order = np.argsort(-counted.sizes, kind="stable")
        falling = counted.sizes[order]
        fit_partitions(ax, falling)
        if logarithmic:
            ax.set_yscale("log")
            ax.set_ylabel(f"{counted.unit}s (logarithmic)")
            ax.set_ylim(0.6 * held.min(), 1.7 * highest)
            filled = falling[falling > 0]
            side = min(max(0.6 * room(ax)[0] / len(falling), 1.5), 6)
            ax.plot(np.arange(len(filled)), filled, color=BLUE, linestyle="none", marker="o", markersize=side)
        else:
            fit_rows(ax, highest, counted.unit)
            draw_stairs(ax, np.zeros_like(falling), falling, BLUE)
        mean = falling.mean()
        ax.axhline(mean, color=GREY, linestyle="--", linewidth=1)
        key = [f"- - mean {mean:,.0f}", *[f"×: no {counted.unit}s"] * (0 in falling)]
        names = [counted.partitions[partition_id] for partition_id in order.tolist()]
        if not name_side(ax, "x", "partition, largest first", names, key=key):
            name_side(ax, "x", "rank by size, 0 is the largest", range(len(falling)), key=key)
