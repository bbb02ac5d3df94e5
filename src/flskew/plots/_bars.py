"""Stacked bars: the size and the classes of each partition."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from flskew.plots._canvas import draw_on, font_size, in_legend, name_side, room, shown, text_width, write_inside
from flskew.plots._stairs import draw_stairs, fit_partitions, fit_rows, partitions_size
from flskew.plots._style import OTHERS, layers, legend_beside
from flskew.skew.tally import Split, Tally, tally
from flskew.typing import Sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bars", "draw_bars"]

# More shades than this are hard to distinguish.
_MOST_LAYERS = 20
_MOST_WORDS = 400
# Points: a white frame would hide a lower piece.
_LOWEST_FRAMED = 4
# The lightness of red, green and blue (ITU-R BT.601).
_LIGHTNESS = np.array([0.299, 0.587, 0.114])


def bars(split: Split, *, ax: Axes | None = None) -> Figure:
    """Draw each partition as a bar whose height is its number of rows, divided into its classes.

    Use it when you want to see sizes and classes at once, of up to a few dozen partitions.

    The classes have the same order in each bar, from dark at the bottom to light at the top, and a legend names them.
    With more than 20 classes, the 19 largest are shown, and the others as one on top. A cross marks a partition without
    rows.

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
        >>> figure = plots.bars(np.array([[8, 0], [3, 1]]))
        >>> legend = figure.axes[0].get_legend()
        >>> [text.get_text() for text in legend.get_texts()]  # top to bottom
        ['1', '0']
    """
    counted = tally(split)
    return draw_on(ax, partitions_size(counted), partial(draw_bars, tallies=[counted]))


def draw_bars(axes: Sequence[Axes], tallies: Sequence[Tally]) -> None:
    """Draw splits with the same classes on a common scale."""
    codes = _largest_classes(tallies)
    names = [shown(tallies[0].classes[code]) for code in codes]
    colors = layers(len(names))
    others = len(tallies[0].classes) - len(names)
    highest = max(int(counted.sizes.max()) for counted in tallies)
    for ax, counted in zip(axes, tallies, strict=True):
        fit_partitions(ax, counted.sizes)
        fit_rows(ax, highest, counted.unit)
        below = np.zeros_like(counted.sizes)
        handles = []
        for code, name, color in zip(codes, names, colors, strict=True):
            above = below + counted.counts[:, code]
            framed = room(ax)[1] * counted.counts[:, code].max() / highest >= _LOWEST_FRAMED
            handles.append(draw_stairs(ax, below, above, color, framed=framed))
            if len(counted.sizes) * len(names) <= _MOST_WORDS:
                _name_pieces(ax, name, below, above, color)
            below = above
        if others:
            handles.append(draw_stairs(ax, below, counted.sizes, OTHERS, hatched=True, framed=True))
        name_side(ax, "x", "partition", counted.partitions, key=[f"×: no {counted.unit}s"] * (0 in counted.sizes))
    rightmost = max(axes, key=lambda ax: ax.get_position().x1)
    # At most as high as the axes, but readable.
    size = max(min(0.9 * font_size(rightmost), room(rightmost)[1] / (1.3 * (len(handles) + 2))), 6)
    labels = [in_legend(name) for name in names]
    words = [*labels, *[f"{others:,} other classes"] * (others > 0)]
    legend_beside(rightmost, size, handles[::-1], words[::-1], title="class", labelspacing=0.25)


def _largest_classes(tallies: Sequence[Tally]) -> list[int]:
    """Return the classes that are shown individually, in increasing order."""
    totals = np.sum([counted._summary.totals for counted in tallies], axis=0)
    if len(totals) <= _MOST_LAYERS:
        return list(range(len(totals)))
    return sorted(np.argsort(-totals, kind="stable")[: _MOST_LAYERS - 1].tolist())


def _name_pieces(ax: Axes, name: str, below: Sizes, above: Sizes, color: str) -> None:
    """Write the name of a class on each of its pieces that has room for it."""
    from matplotlib.colors import to_rgb

    size = 0.8 * font_size(ax)
    width, height = room(ax)
    if text_width(name, size) > 0.8 * width / len(below) - 2:
        return
    ink = "white" if np.array(to_rgb(color)) @ _LIGHTNESS < 0.5 else "black"
    tall = (above - below) * height / ax.get_ylim()[1] > 1.25 * size
    for partition_id in np.flatnonzero(tall).tolist():
        middle = (below[partition_id] + above[partition_id]) / 2
        write_inside(ax, partition_id, middle, name, ink, size)
