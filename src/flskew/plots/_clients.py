"""One metric by round, one line per site."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from flskew.plots._canvas import draw_on, font_size, printable, room, shown
from flskew.plots._metric import style_axes
from flskew.plots._style import BLUE, DASHED, GREY, INK
from flskew.strategies import History
from flskew.typing import Phase

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["clients"]

# Up to this many lines are named directly; of more, only the worst is.
_MOST_NAMED = 8
# Up to this many lines are drawn as lines with their points; of more, a sampled client's line would cross the others.
_MOST_LINES = 40


def clients(
    history: History,
    key: str,
    phase: Phase = "evaluate",
    *,
    lower_is_better: bool = False,
    unit: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw one metric after each round: a line per site, and the worst site named.

    Use it when sites have names, and you want to see which one is left behind.

    The site with the worst value in the latest round is a thick blue line, the median of the sites is a dashed black
    line, and the other sites are grey. Up to eight sites are named at the ends of their lines. More than forty sites
    are points, because sampled clients seldom take part in two rounds in a row. Then, only the worst site of the last
    round is named.

    Args:
        history: The history of a run, such as `strategy.history`.
        key: The name of a metric, which also labels the axis.
        phase: "train" or "evaluate".
        lower_is_better: True for losses and errors, False for accuracies and scores.
        unit: The unit of the metric, such as "mmol/l".
        ax: The axes to draw on; a new figure by default.

    Raises:
        ImportError: matplotlib is not installed.
        LookupError: No reply has the metric.
        TypeError: `history` is not a History, `ax` is not an Axes, or the metric is a list of numbers.
        ValueError: No number of the metric is finite.

    Examples:
        >>> from flskew import History, Reply, Round, plots
        >>> bern = Reply(
        ...     1000, 20.0, {"accuracy": 0.5}, 1.5, partition_id=0, name="Bern"
        ... )
        >>> lyon = Reply(
        ...     1001, 60.0, {"accuracy": 0.75}, 1.5, partition_id=1, name="Lyon"
        ... )
        >>> history = History([Round(1, "evaluate", (bern, lyon), (), 2.0)])
        >>> figure = plots.clients(history, "accuracy")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['Lyon', 'Bern, the worst']
    """
    if not isinstance(history, History):
        raise TypeError(f"history must be a History, such as strategy.history, got {type(history).__name__}")
    values = history.clients(key, phase)
    values = values.where(np.isfinite(values))
    if values.isna().to_numpy().all():
        raise ValueError(f"no number of the metric {key!r} is finite")
    label = printable(f"{key} in {unit}" if unit else key)
    return draw_on(ax, (4.6, 3.0), partial(_draw, values=values, label=label, lower_is_better=lower_is_better))


def _draw(axes: Sequence[Axes], values: pd.DataFrame, label: str, *, lower_is_better: bool) -> None:
    (ax,) = axes
    rounds, numbers = values.index.to_numpy(), values.to_numpy()
    in_last = numbers[~np.isnan(numbers).all(axis=1)][-1]
    worst = int(np.nanargmax(in_last) if lower_is_better else np.nanargmin(in_last))
    style_axes(ax, rounds, label)
    are_lines = numbers.shape[1] <= _MOST_LINES
    dot = {"marker": "o", "markersize": 3} if len(rounds) < 2 or not are_lines else {"marker": ""}
    for column, of_client in enumerate(numbers.T if are_lines else []):
        if column != worst:
            has = ~np.isnan(of_client)
            ax.plot(rounds[has], of_client[has], color=GREY, linewidth=0.9, zorder=3, **dot)
    if not are_lines:
        at_rounds, at_clients = np.nonzero(~np.isnan(numbers))
        ax.plot(
            rounds[at_rounds], numbers[at_rounds, at_clients], color=GREY, linestyle="", markersize=2.5, marker="o",
            alpha=0.35, markeredgewidth=0, zorder=2, label="sites: each",
        )  # fmt: skip
    median = values.median(axis=1)
    has = ~np.isnan(numbers[:, worst])
    ax.plot(rounds, median, color="black", linewidth=1.4, linestyle=DASHED, zorder=4, label="sites: median", **dot)
    ax.plot(
        rounds[has], numbers[has, worst], color=BLUE, linewidth=2.2, marker="s", markersize=4,
        markevery=[-1], zorder=5, label=f"worst in round {rounds[~np.isnan(numbers).all(axis=1)][-1]}",
    )  # fmt: skip
    named = range(numbers.shape[1]) if numbers.shape[1] <= _MOST_NAMED else [worst]
    _name_ends(ax, values, list(named), worst)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, fontsize=0.9 * font_size(ax))


def _name_ends(ax: Axes, values: pd.DataFrame, named: list[int], worst: int) -> None:
    """Write the names right of the axes, at the heights of the last numbers, as far apart as text needs."""
    size = 0.9 * font_size(ax)
    ends = [float(values.iloc[:, column].dropna().iloc[-1]) for column in named]
    low, high = ax.get_ylim()
    step = 1.3 * size * (high - low) / room(ax)[1]
    order = np.argsort(ends)[::-1]
    # From the top down, each at least a line below the one before; then up again from the bottom.
    heights = np.array(ends)[order]
    for place in range(1, len(heights)):
        heights[place] = min(heights[place], heights[place - 1] - step)
    heights[-1] = max(heights[-1], low)
    for place in range(len(heights) - 2, -1, -1):
        heights[place] = max(heights[place], heights[place + 1] + step)
    for place, height in zip(order, heights, strict=True):
        is_worst = named[place] == worst
        label = values.columns[named[place]]
        name = printable(shown(label if isinstance(label, str) else f"client {label}"))
        ax.annotate(
            f"{name}, the worst" if is_worst else name,
            (1, height),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=size,
            color=BLUE if is_worst else INK,
            weight="bold" if is_worst else "normal",
            annotation_clip=False,
        )
    ax.set_ylim(low, high)
