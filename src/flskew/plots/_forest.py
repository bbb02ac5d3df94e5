"""Forest plots: differences and their intervals, with a panel for each split."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew.plots._canvas import draw_panels, font_size, name_side, printable, room, root_figure, wrapped
from flskew.plots._style import BLUE, grid, legend_beside
from flskew.typing import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Differences", "draw_forest"]

# Inches between two lines.
_LINE = 0.2


class Differences(NamedTuple):
    """The lines of one panel.

    Attributes:
        title: Name of the split.
        names: One for each line.
        values: (3, num_lines) low end of the interval, difference and high end; NaN if unknown.
        is_evident: (num_lines,) whether there is evidence of a difference.
    """

    title: str
    names: Sequence[str]
    values: Figures
    is_evident: NDArray[np.bool_]


def draw_forest(panels: Sequence[Differences], label: str, keys: tuple[str, str], *, ax: Axes | None = None) -> Figure:
    """Draw a dot and its interval for each difference: a filled dot if there is evidence of one, else an empty one.

    Args:
        panels: All with the same names, in the same order.
        label: What the horizontal axis is called.
        keys: What the dots are, such as "mean over 5 seeds", and what the lines are.
        ax: The axes of a single panel; a new figure by default.
    """
    has_lines = not all(np.isnan(panel.values[0]).all() for panel in panels)
    draw = partial(_draw, panels=panels, label=label, key="\n".join(keys[: 2 if has_lines else 1]))
    return draw_panels(ax, [panel.title for panel in panels], _LINE * len(panels[0].names) + 0.25, draw)


def _draw(axes: Sequence[Axes], columns: int, panels: Sequence[Differences], label: str, key: str) -> None:
    from matplotlib.ticker import MaxNLocator

    low = min(float(np.nanmin(panel.values, initial=0)) for panel in panels)
    high = max(float(np.nanmax(panel.values, initial=0)) for panel in panels)
    margin = 0.06 * (high - low or 1.0)
    for number, (ax, panel) in enumerate(zip(axes, panels, strict=True)):
        _draw_panel(ax, panel)
        ax.set_xlim(low - margin, high + margin)
        ax.xaxis.set_major_locator(MaxNLocator("auto" if columns == 1 else 4, steps=[1, 2, 5, 10]))
        if number % columns:
            ax.tick_params(labelleft=False)
    if len(axes) == 1:
        axes[0].set_xlabel(printable(wrapped(label, room(axes[0])[0], font_size(axes[0]))))
    else:
        root_figure(axes[0]).supxlabel(printable(label), fontsize=font_size(axes[0]))
    last = axes[min(columns, len(axes)) - 1]
    for face, words in ((BLUE, "better or worse"), ("white", "no evidence of\na difference")):
        last.scatter([], [], s=30, color=face, edgecolors=BLUE, linewidths=1.4, label=words)
    legend_beside(last, 0.9 * font_size(last), title=key)


def _draw_panel(ax: Axes, panel: Differences) -> None:
    low, difference, high = panel.values
    places = np.arange(len(panel.names))
    ax.axvline(0, color=ax.xaxis.label.get_color(), linewidth=1, zorder=1)
    ax.hlines(places, low, high, color=BLUE, linewidth=1.6, zorder=2)
    faces = [BLUE if evident else "white" for evident in panel.is_evident]
    ax.scatter(difference, places, s=30, color=faces, edgecolors=BLUE, linewidths=1.4, zorder=3)
    ax.set_ylim(len(places) - 0.4, -0.6)
    grid(ax, "x")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    name_side(ax, "y", "", list(panel.names))
