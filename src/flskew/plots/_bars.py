"""Stacked bars: how large each partition is, and of what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew.plots._canvas import (
    Size,
    beside,
    font_size,
    label_side,
    open_axes,
    printable,
    room,
    root_figure,
    shown,
    text_width,
)
from flskew.plots._stairs import draw_stairs, fit_partitions, fit_rows, partitions_size
from flskew.skew.tally import Split, Tally, tally
from flskew.typing import LabelCounts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bars", "bars_size", "draw_bars"]

# Of more than these, nobody tells the shades apart.
_MOST_LAYERS = 20
_MOST_WORDS = 400
# Points: a frame would hide a lower piece.
_LOWEST_FRAMED = 4
# How light red, green and blue are, and how little it matters how opaque (ITU-R BT.601).
_LIGHTNESS = np.array([0.299, 0.587, 0.114, 0.0])


class Layers(NamedTuple):
    """What lies one upon the other.

    Attributes:
        names: (layers,) from the bottom up.
        counts: (num_partitions, layers).
        others: Whether the last stands for all classes that are not shown by themselves.
    """

    names: Sequence[str]
    counts: LabelCounts
    others: bool


def bars(split: Split, *, ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw each partition as a bar, as high as it has rows, its classes one upon the other.

    The classes lie in their order, from dark to light, in each bar alike. Of more than 20 classes the 19 largest are
    shown, and the others as one, on top. A cross stands for a partition without rows.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.
        ax: Where to draw; by default on a figure of its own.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is something else than an Axes.

    Examples:
        >>> import numpy as np
        >>> from flskew import plots
        >>> figure, axes = plots.bars(np.array([[8, 0], [3, 1]]))
        >>> [text.get_text() for text in axes.get_legend().get_texts()]  # from the top down, as in the bars
        ['1', '0']
    """
    counted = tally(split)
    axes = open_axes(ax, bars_size(counted))
    draw_bars([axes], [counted])
    return root_figure(axes), axes


def bars_size(counted: Tally) -> Size:
    """Return the size of a picture of its own."""
    names = [*counted.classes, f"{len(counted.classes)} other classes"]
    return partitions_size(len(counted.counts))._replace(right=beside(names) + 0.1)


def draw_bars(axes: Sequence[Axes], tallies: Sequence[Tally]) -> None:
    """Draw splits of the same classes to one scale."""
    from matplotlib import colormaps

    shown_classes = _largest_classes(tallies)
    highest = max(int(counted.sizes.max()) for counted in tallies)
    for ax, counted in zip(axes, tallies, strict=True):
        layers = _layers(counted, shown_classes)
        colors = colormaps["cividis"](np.linspace(0, 1, max(len(layers.names) - layers.others, 2)))
        tops = np.cumsum(layers.counts, axis=1)
        handles = []
        for layer in range(len(layers.names)):
            below = tops[:, layer] - layers.counts[:, layer]
            other = layers.others and layer == len(layers.names) - 1
            handles.append(
                draw_stairs(
                    ax,
                    below,
                    tops[:, layer],
                    "#d0d0d0" if other else colors[layer],
                    hatched=other,
                    framed=room(ax)[1] * layers.counts[:, layer].max() / highest >= _LOWEST_FRAMED,
                )
            )
            if not other:
                ink = "white" if colors[layer] @ _LIGHTNESS < 0.5 else "black"
                _name(ax, layers, layer, (below + tops[:, layer]) / 2, highest, ink)
        fit_partitions(ax, counted.sizes)
        fit_rows(ax, highest)
        label_side(ax, "x", "partition", range(len(counted.counts)), key=["×: no rows"] * (0 in counted.sizes))
    # Matplotlib leaves out what begins with an underscore.
    names = [f" {name}" if name.startswith("_") else name for name in map(printable, layers.names)]
    rightmost = max(axes, key=lambda ax: ax.get_position().x1)
    rightmost.legend(
        handles[::-1],
        names[::-1],
        title="class",
        loc="upper left",
        bbox_to_anchor=(1, 1.02),
        frameon=False,
        fontsize=0.9 * font_size(rightmost),
        labelspacing=0.25,
    )


def _largest_classes(tallies: Sequence[Tally]) -> list[int]:
    """Return the classes that are shown by themselves, in their order."""
    totals = np.sum([counted._summary.totals for counted in tallies], axis=0)
    if len(totals) <= _MOST_LAYERS:
        return list(range(len(totals)))
    return sorted(np.argsort(-totals, kind="stable")[: _MOST_LAYERS - 1].tolist())


def _layers(counted: Tally, shown_classes: Sequence[int]) -> Layers:
    names = [shown(counted.classes[code]) for code in shown_classes]
    counts = counted.counts[:, shown_classes]
    left = len(counted.classes) - len(names)
    if left:
        names.append(f"{left:,} other classes")
        counts = np.column_stack([counts, counted.sizes - counts.sum(axis=1)])
    return Layers(names, counts, others=left > 0)


def _name(ax: Axes, layers: Layers, layer: int, middles: NDArray[np.float64], highest: int, ink: str) -> None:
    """Write the name of a class on each of its pieces that has room for it."""
    if layers.counts.size > _MOST_WORDS:
        return
    width, height = room(ax)
    size = 0.8 * font_size(ax)
    name = layers.names[layer]
    if text_width(name, size) > 0.75 * width / len(middles):
        return
    for partition_id in np.flatnonzero(layers.counts[:, layer] * height / highest > 1.25 * size).tolist():
        ax.text(
            partition_id,
            middles[partition_id],
            printable(name),
            color=ink,
            fontsize=size,
            ha="center",
            va="center_baseline",
        )
