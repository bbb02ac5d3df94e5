"""Two values for each client, joined by a line: who gains, who loses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flskew.plots._canvas import draw_on, font_size, in_legend, name_side, printable
from flskew.plots._style import BLUE, DOTTED, GREY, ORANGE, grid, legend_beside
from flskew.typing import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_pairs"]

# Of more clients, only those at both ends are shown.
_MOST_LINES = 30
# Inches between two lines.
_LINE = 0.2


def draw_pairs(
    names: Sequence[str],
    values: Figures,
    ends: tuple[str, str],
    label: str,
    *,
    lower_is_better: bool,
    ax: Axes | None,
) -> Figure:
    """Draw a line from the first to the second value of each client, those that gain most on top.

    Lines are solid where the second value is better, dotted where it is worse. Of more than 30 clients, the 15 that
    gain most and the 15 that gain least are shown.

    Args:
        names: One for each client.
        values: (num_clients, 2), neither NaN.
        ends: What the first and the second value are called in the legend.
        label: What the horizontal axis is called.
        lower_is_better: Whether a lower value is better.
        ax: The axes to draw on; a new figure by default.
    """
    gains = (values[:, 1] - values[:, 0]) * (-1 if lower_is_better else 1)
    order = np.argsort(-gains, kind="stable")
    half = _MOST_LINES // 2
    drawn = order if len(order) <= _MOST_LINES else np.concatenate([order[:half], order[-half:]])
    key = [f"the {half} that gain most and the {half} that gain least, of {len(order):,}"] * (len(drawn) < len(order))
    draw = partial(
        _draw,
        names=[names[client] for client in drawn],
        values=values[drawn],
        loses=gains[drawn] < 0,
        ends=ends,
        label="\n".join([label, *key]),
        has_gap=len(drawn) < len(order),
    )
    return draw_on(ax, (4.6, _LINE * len(drawn) + 0.25), draw)


def _draw(
    axes: Sequence[Axes],
    names: Sequence[str],
    values: Figures,
    loses: NDArray[np.bool_],
    ends: tuple[str, str],
    label: str,
    *,
    has_gap: bool,
) -> None:
    (ax,) = axes
    places = np.arange(len(names))
    for which, color, style, what in ((~loses, BLUE, "solid", "gains"), (loses, ORANGE, DOTTED, "loses")):
        if which.any():
            ax.hlines(
                places[which], *values[which].T, color=color, linewidth=1.8, linestyle=style, label=what, zorder=2
            )
    colors = np.where(loses, ORANGE, BLUE)
    ax.scatter(
        values[:, 0], places, s=26, color="white", edgecolors=GREY, linewidths=1.4, zorder=3, clip_on=False,
        label=in_legend(ends[0]),
    )  # fmt: skip
    ax.scatter(values[:, 1], places, s=30, color=colors, zorder=4, clip_on=False, label=in_legend(ends[1]))
    if has_gap:
        ax.axhline((len(places) - 1) / 2, color=GREY, linewidth=0.8, linestyle=(0, (4, 4)), zorder=1)
    ax.set_ylim(len(places) - 0.4, -0.6)
    grid(ax, "x")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(printable(label))
    name_side(ax, "y", "", list(names))
    legend_beside(ax, 0.9 * font_size(ax))
