"""Learning curves of several methods, with a panel for each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flskew.plots._canvas import draw_panels, font_size, in_legend, printable, room
from flskew.plots._metric import style_axes
from flskew.plots._style import DASHED, DOTTED, GREY, LINES, legend_beside
from flskew.typing import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curves", "draw_curves"]

# The bands of more methods would hide each other.
_MOST_BANDS = 6
# Points between the markers of a line.
_MARKERS_APART = 30


class Curves(NamedTuple):
    """The curves of one panel.

    Attributes:
        title: Name of the split.
        lines: By method, (3, num_rounds + 1): low end of the interval, mean and high end, from round 0 on; NaN if
            unknown.
        levels: By baseline, its last value; NaN if unknown.
        ends: By method, the round in which the first of its runs ended early, if one did.
    """

    title: str
    lines: Mapping[str, Figures]
    levels: Mapping[str, float]
    ends: Mapping[str, int]


def draw_curves(
    panels: Sequence[Curves], label: str, keys: tuple[str, str], *, ranking: Sequence[str], ax: Axes | None = None
) -> Figure:
    """Draw a line for each method, with its interval as a band, and a dashed line for each baseline.

    A cross marks the round in which the first run of a method ended early.

    Args:
        panels: All with the same methods and baselines, in the same order.
        label: What the vertical axis is called.
        keys: What the lines are, such as "mean over 5 seeds", and what the bands are.
        ranking: The methods from best to worst. Of more than eight, the others are grey.
        ax: The axes of a single panel; a new figure by default.
    """
    has_bands = len(panels[0].lines) <= _MOST_BANDS
    shows_bands = has_bands and not all(np.isnan(low).all() for panel in panels for low, *_ in panel.lines.values())
    lines = [*keys[: 2 if shows_bands else 1], *["×: a run ended early"] * any(panel.ends for panel in panels)]
    named = [name for name in panels[0].lines if name in ranking[: len(LINES)]]
    draw = partial(_draw, panels=panels, label=label, key="\n".join(lines), named=named, has_bands=has_bands)
    return draw_panels(ax, [panel.title for panel in panels], 3.0 if len(panels) == 1 else 2.1, draw)


def _draw(
    axes: Sequence[Axes],
    columns: int,
    panels: Sequence[Curves],
    label: str,
    key: str,
    named: Sequence[str],
    *,
    has_bands: bool,
) -> None:
    for ax, panel in zip(axes, panels, strict=True):
        rounds = np.arange(max(lines.shape[1] for lines in panel.lines.values()))
        _draw_panel(ax, panel, named, max(round(_MARKERS_APART * len(rounds) / room(ax)[0]), 1), has_bands=has_bands)
        style_axes(ax, rounds, printable(label))
    low, high = min(ax.get_ylim()[0] for ax in axes), max(ax.get_ylim()[1] for ax in axes)
    for number, ax in enumerate(axes):
        ax.set_ylim(low, high)
        if number % columns:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
        if number + columns < len(axes):
            ax.set_xlabel("")
    last = axes[min(columns, len(axes)) - 1]
    legend_beside(last, 0.9 * font_size(last), title=key)


def _draw_panel(ax: Axes, panel: Curves, named: Sequence[str], every: int, *, has_bands: bool) -> None:
    """Draw the lines of a panel, with evenly spaced markers."""
    others = [name for name in panel.lines if name not in named]
    for name in [*named, *others]:
        low, mean, high = panel.lines[name]
        rounds = np.arange(len(mean))
        if name in named:
            number = named.index(name)
            color, marker = LINES[number]
            ax.plot(
                rounds, mean, color=color, linewidth=1.6, marker=marker, markersize=5, markeredgecolor="white",
                markeredgewidth=0.5, markevery=(number % every, every), zorder=4, label=in_legend(name),
            )  # fmt: skip
        else:
            color = GREY
            label = f"{len(others)} others" if name == others[0] else "_"
            ax.plot(rounds, mean, color=color, linewidth=0.8, zorder=2, label=label)
        if has_bands:
            ax.fill_between(rounds, low, high, color=color, alpha=0.2, linewidth=0, zorder=2)
        if name in panel.ends:
            reached = panel.ends[name]
            ax.plot(reached, mean[reached], color=color, marker="x", markersize=8, markeredgewidth=2, zorder=5)
    for (name, level), dashes in zip(panel.levels.items(), (DASHED, DOTTED), strict=False):
        ax.axhline(
            level, color=ax.xaxis.label.get_color(), linewidth=1.4, linestyle=dashes, zorder=3, label=in_legend(name)
        )
