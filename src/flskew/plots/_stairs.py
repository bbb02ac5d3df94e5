"""Bars for partitions: a single artist for all bars, with gaps between them if there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from flskew.plots._canvas import Size, room
from flskew.plots._style import GREY
from flskew.skew.tally import Tally
from flskew.typing import Sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import StepPatch
    from matplotlib.typing import ColorType

__all__ = ["draw_stairs", "fit_partitions", "fit_rows", "partitions_size"]

# Points: narrower bars have no gaps.
_NARROWEST_APART = 4
# Points: in narrower bars, lines around and across them would hide their colour.
_NARROWEST_LINED = 10


def partitions_size(counted: Tally) -> Size:
    """Return the size, in a new figure, of a picture with the partitions side by side."""
    return min(max(0.4 * len(counted.counts), 2.2), 6.5), 3.0


def draw_stairs(
    ax: Axes,
    below: Sizes,
    above: Sizes,
    color: ColorType | NDArray[np.float64],
    *,
    hatched: bool = False,
    framed: bool = False,
) -> StepPatch:
    """Draw a bar at 0, 1, ... from each number in `below` to that in `above`."""
    from matplotlib.patches import StepPatch

    place = room(ax)[0] / len(above)
    places = np.arange(len(above))
    # NaN is not drawn: neither a frame around an empty bar nor a line between two bars.
    heights = np.where(above > below, above, np.nan)
    feet = below.astype(np.float64)
    edges = np.arange(len(above) + 1) - 0.5
    if place >= _NARROWEST_APART:
        edges = np.column_stack([places - 0.4, places + 0.4]).ravel()
        heights, feet = (np.insert(values, places[1:], np.nan) for values in (heights, feet))
    bars = StepPatch(
        heights,
        edges,
        baseline=cast("float", feet),  # an array is allowed too
        fill=True,
        facecolor=color,
        edgecolor="white",
        linewidth=0.6 if framed and place >= _NARROWEST_LINED else 0,
        hatch="////" if hatched and place >= _NARROWEST_LINED else None,
    )
    # Not `ax.stairs`, which would visit every corner to find the limits, which are known here.
    ax.add_artist(bars)
    return bars


def fit_rows(ax: Axes, highest: int, unit: str) -> None:
    """Scale the axes for bars of at most this many rows or labels."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    ax.set_ylim(0, 1.04 * highest)
    ax.set_ylabel(f"{unit}s")
    ax.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def fit_partitions(ax: Axes, sizes: Sizes) -> None:
    """Scale the axes for this number of partitions, and mark those without rows with a cross."""
    ax.set_xlim(-0.6, len(sizes) - 0.4)
    ax.spines[["top", "right"]].set_visible(False)
    empty = np.flatnonzero(sizes == 0)
    side = min(max(room(ax)[0] / len(sizes), 2), 4.5)
    transform = ax.get_xaxis_transform()
    bottom = np.full(len(empty), 0.015)
    ax.scatter(empty, bottom, s=side**2, color=GREY, marker="x", linewidths=side / 4, transform=transform)
