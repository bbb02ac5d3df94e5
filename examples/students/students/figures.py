"""The picture: how the error falls round by round, and how it is distributed among the students."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

from students.comparison import Comparison

INK, BLUE, PALE = "#1a1a1a", "#0a5a9c", "#c9dcec"


def picture(comparison: Comparison) -> Figure:
    """Draw both panels."""
    figure = Figure(figsize=(9.6, 3.7), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, wspace=0.06))
    left, right = figure.subplots(1, 2)
    draw_rounds(left, comparison)
    draw_students(right, comparison)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_rounds(axes: Axes, comparison: Comparison) -> None:
    """Draw by how much the error of the students who test in a round is smaller than alone."""
    rounds = list(comparison.gain_by_round)
    pooled = comparison.gain("pooled")
    axes.plot(rounds, list(comparison.gain_by_round.values()), color=INK, linewidth=1.6)
    axes.axhline(pooled, color=BLUE, linewidth=1.2, linestyle="--")
    axes.annotate(
        f"with all ratings in one place: {pooled:.0%}",
        (rounds[0], pooled),
        xytext=(4, 4),
        textcoords="offset points",
        color=BLUE,
    )
    axes.set_xlim(rounds[0], rounds[-1])
    axes.set_ylim(0, 1.4 * pooled)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MultipleLocator(0.05))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="y", color="#e0e0e0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("round")
    axes.set_title("Lower squared error than alone, by round", loc="left", fontsize=11, fontweight="bold")


def draw_students(axes: Axes, comparison: Comparison) -> None:
    """Draw the students' errors, alone and together."""
    alone, together = (np.sqrt(comparison.errors[model]) for model in ("alone", "together"))
    bins = np.arange(0, 3.1, 0.1).tolist()
    axes.hist(alone, bins, color=PALE, label=f"alone, median {np.median(alone):.2f}")
    axes.hist(
        together, bins, histtype="step", color=INK, linewidth=1.6, label=f"together, median {np.median(together):.2f}"
    )
    axes.set_xlim(0, 3.5)
    axes.set_xlabel("a student's RMSE")
    axes.set_ylabel("students")
    axes.legend(frameon=False, loc="upper right")
    better = comparison.better_off("together")
    axes.set_title(f"{better:.0%} of students do better together", loc="left", fontsize=11, fontweight="bold")


def save(figure: Figure, path: Path) -> None:
    """Write the picture as PNG, creating the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without matplotlib's version in the metadata, the file depends only on the picture.
    figure.savefig(path, format="png", dpi=120, facecolor="white", metadata={"Software": None})
