"""The style of all pictures: their colours, and their axes.

Colours that mean different things differ in lightness, so that they differ in grey print, and in hue with every kind of
colour vision; lines differ in their markers or dashes, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.legend import Legend

__all__ = ["AMBER", "BANDS", "BLUE", "DASHED", "DOTTED", "GREY", "INK", "LINES", "ORANGE", "OTHERS", "PALE", "blues"]
__all__ += ["grid", "layers", "legend_beside", "style"]

BLUE, ORANGE, AMBER = "#0a5a9c", "#d55e00", "#ffb52e"
INK, GREY = "#1a1a1a", "#8c8c8c"
# What is behind or beside the data.
OTHERS, PALE = "#d0d0d0", "#e4e4e4"
# The middle half of the clients, and all of them.
BANDS = ("#7fa8cc", "#c3d7e8")

LINES = (
    (BLUE, "o"),
    (ORANGE, "s"),
    ("#1cb8a4", "^"),
    ("#5c1a38", "D"),
    (AMBER, "v"),
    ("#c777de", "P"),
    ("#2f4d0c", "X"),
    ("#647559", "*"),
)
"""Colours and markers of lines. Their lightness differs by 5 or more of 100, that of the first four by 13."""

DASHED, DOTTED = (0, (4, 2)), (0, (1, 1.2))

# Settings of matplotlib for new figures. A setting that a user has changed stays as it is.
_SETTINGS: dict[Any, Any] = {
    "axes.edgecolor": "#5f5f5f",
    "axes.linewidth": 0.7,
    "axes.titleweight": "bold",
    "axes.titlesize": "medium",
    "axes.titlepad": 8.0,
    "xtick.color": "#5f5f5f",
    "ytick.color": "#5f5f5f",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "axes.labelcolor": INK,
    "text.color": INK,
}


# The settings of matplotlib belong to all threads, so one figure after the other is made.
_DRAWING = RLock()


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of this package, except for the settings that the user has changed."""
    from matplotlib import rcParams, rcParamsDefault

    def is_default(name: Any) -> bool:
        # By default, the numbers along an axis inherit the colour of its ticks.
        inherited = name.replace("tick.labelcolor", "tick.color")
        return all(rcParams[one] == rcParamsDefault[one] for one in (name, inherited))

    with _DRAWING:
        ours = {name: value for name, value in _SETTINGS.items() if is_default(name)}
        before = {name: rcParams[name] for name in ours}
        rcParams.update(ours)
        try:
            yield
        finally:
            rcParams.update(before)


def blues(palest: float) -> Colormap:
    """Return the colour map of tables, from a share of matplotlib's Blues to dark blue, with white for NaN."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["Blues"](np.linspace(palest, 0.9, 256))).with_extremes(bad="white")


def layers(count: int, lightest: float = 1.0) -> list[str]:
    """Return the colours of `count` stacked pieces, from dark blue to yellow."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(color) for color in colormaps["cividis"](np.linspace(1 - lightest, lightest, max(count, 2)))][:count]


def grid(ax: Axes, axis: Literal["x", "y"]) -> None:
    """Draw thin lines across the axes, behind the data."""
    ax.grid(axis=axis, color=GREY, alpha=0.3, linewidth=0.8)
    ax.set_axisbelow(True)


def legend_beside(
    ax: Axes, size: float, *entries: Sequence[Artist | str], title: str | None = None, labelspacing: float = 0.5
) -> Legend:
    """Write the legend right of the axes, at this font size."""
    return ax.legend(
        *entries, loc="upper left", bbox_to_anchor=(1, 1.02), frameon=False, fontsize=size, title=title,
        title_fontsize=size, alignment="left", labelspacing=labelspacing,
    )  # fmt: skip
