"""Drift: a measure of skew by round."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew.plots._canvas import draw_on, font_size, printable
from flskew.plots._metric import style_axes
from flskew.plots._style import BLUE, DASHED, legend_beside
from flskew.schedule import Schedule
from flskew.skew import Measure, iid_total_variation, total_variation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["drift"]


def drift(
    schedule: Schedule,
    measure: Measure = total_variation,
    *,
    name: str | None = None,
    num_rounds: int | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a measure of skew over the rounds of a schedule, as a line with a step where a stage begins.

    Use it when data change while you train, and you want to see when and how much.

    For the total variation, a dashed line shows what an IID split of the same sizes would have by chance. If some
    partitions have no rows in some rounds, the picture says how many have rows.

    Args:
        schedule: Who holds which row in which round.
        measure: One of `flskew.skew`, or any function from an assignment to a number.
        name: What the axis is called; by default, the name of the function.
        num_rounds: The last round to draw, >= the first round of the last stage; by default, the last two stages are
            equally long.
        ax: The axes to draw on; a new figure by default.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `schedule` is not a Schedule, or `ax` is not an Axes.
        ValueError: `num_rounds` is before the last stage, or the measure needs labels and the assignments have none.

    Examples:
        >>> from flskew import DirichletPartitioner, Schedule, plots
        >>> labels = [0, 1, 2, 3] * 300
        >>> iid, skewed = (
        ...     DirichletPartitioner(5, alpha=alpha).assign(labels)
        ...     for alpha in (1000, 0.1)
        ... )
        >>> schedule = Schedule.between(iid, skewed, starts=range(1, 21), labels=labels)
        >>> figure = plots.drift(schedule)
        >>> figure.axes[0].get_ylabel()
        'total variation'
    """
    if not isinstance(schedule, Schedule):
        raise TypeError(f"schedule must be a Schedule, got {type(schedule).__name__}; for one split, use skew.report")
    starts, stages = schedule.starts, list(schedule.stages.values())
    shortest = starts[-1] + (starts[-1] - starts[-2] - 1 if len(starts) > 1 else 0)
    last = shortest if num_rounds is None else checks.integer("num_rounds", num_rounds, minimum=starts[-1])
    values = np.array([float(measure(stage)) for stage in stages])
    chance = np.array([iid_total_variation(stage) for stage in stages]) if measure is total_variation else None
    # A round is as wide as 1, as in the pictures of metrics.
    edges = np.array([*starts, last + 1]) - 0.5
    present = sorted({int(np.count_nonzero(stage.sizes)) for stage in stages})
    label = name or getattr(measure, "__name__", "measure").replace("_", " ")
    return draw_on(
        ax, (4.6, 3.0), partial(_draw, edges=edges, values=values, chance=chance, present=present, name=label)
    )


def _draw(
    axes: Sequence[Axes],
    edges: NDArray[np.float64],
    values: NDArray[np.float64],
    chance: NDArray[np.float64] | None,
    present: list[int],
    name: str,
) -> None:
    (ax,) = axes
    ax.stairs(values, edges, baseline=None, color=BLUE, linewidth=1.8, zorder=4, label="schedule")
    if chance is not None:
        ax.stairs(
            chance,
            edges,
            baseline=None,
            color="black",
            linewidth=1.2,
            linestyle=DASHED,
            zorder=3,
            label="IID, by chance",
        )
    style_axes(ax, np.array([edges[0] + 0.5, edges[-1] - 0.5]), printable(name))
    highest = max(values.max(), 0 if chance is None else chance.max())
    if min(values.min(), highest) >= 0:
        ax.set_ylim(0, 1.08 * highest or 1.0)
    if len(present) > 1:
        ax.set_xlabel(f"round\n{present[0]} to {present[-1]} partitions with rows")
    if chance is not None:
        legend_beside(ax, 0.9 * font_size(ax))
