"""The pictures of a comparison: who holds which digit, recall by digit, accuracy by round.

Each is drawn on new matplotlib objects, without pyplot, so nothing is shared with a caller's figures. They also work in
shades of grey: lines and marks differ in lightness or shape, or are labelled.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from flskew import plots
from three_hospitals.comparison import Comparison

INK, BLUE = "#1a1a1a", "#0a5a9c"
DOTS_PER_INCH = 160


def pictures(comparison: Comparison) -> dict[str, Figure]:
    """Draw the three pictures; return them by file name."""
    return {
        "who-holds-what.png": _picture(draw_holdings, comparison, height=2.3),
        "recall.png": _picture(draw_recall, comparison, height=2.7),
        "accuracy.png": _picture(draw_accuracy, comparison, height=3.6),
    }


def overview(comparison: Comparison) -> Figure:
    """Draw all three in one picture."""
    figure = _blank(11.5, 4.7)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.35, 1), height_ratios=(3, 4))
    draw_holdings(figure.add_subplot(grid[0, 0]), comparison)
    draw_recall(figure.add_subplot(grid[1, 0]), comparison)
    draw_accuracy(figure.add_subplot(grid[:, 1]), comparison)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a picture as PNG, creating the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without matplotlib's version in the metadata, the file depends only on the picture.
    figure.savefig(path, format="png", dpi=DOTS_PER_INCH, facecolor="white", metadata={"Software": None})


def draw_holdings(axes: Axes, comparison: Comparison) -> None:
    """Draw who holds which digit: a dot's area is the number of images."""
    plots.dots(comparison.counts, partition_id_axis="y", ax=axes)
    axes.set_yticks(range(len(comparison.counts)), _hospitals(comparison))
    _label_digits(axes)
    _title(axes, "Images that each hospital trains on (×: never seen)")


def draw_recall(axes: Axes, comparison: Comparison) -> None:
    """Draw the final recall of each digit; darker is better."""
    models = [*(f"{hospital} alone" for hospital in _hospitals(comparison)), "together"]
    plots.recall(dict(zip(models, comparison.recall(), strict=True)), ax=axes)
    axes.axhline(len(models) - 1.5, color="white", linewidth=7)  # sets the federation apart
    axes.get_yticklabels()[-1].set_fontweight("bold")
    _label_digits(axes)
    _title(axes, "Test images recognised, in % of each digit")


def draw_accuracy(axes: Axes, comparison: Comparison) -> None:
    """Draw the accuracy after each round, on all ten digits."""
    rounds = range(len(comparison.together))
    together = [score.accuracy for score in comparison.together]
    alone = [[score.accuracy for score in scores] for scores in comparison.alone]
    # The hospitals' lines nearly coincide, so they share a colour and a label.
    for accuracies in alone:
        axes.plot(rounds, accuracies, color=BLUE, linewidth=1.2)
    axes.plot(rounds, together, color=INK, linewidth=2, marker="o", markersize=5, clip_on=False)
    final = [accuracies[-1] for accuracies in alone]
    _label_line(axes, rounds[-1], together[-1], f"together\n{together[-1]:.1%}", INK)
    _label_line(axes, rounds[-1], min(final), f"hospitals alone\n{', '.join(f'{value:.1%}' for value in final)}", BLUE)
    axes.set_xlim(0, rounds[-1])
    axes.set_ylim(0, 1)
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="y", color="#e0e0e0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _title(axes, "Accuracy on test images of all ten digits")


def _label_line(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    """Label a line below its end, on white, so that the grid does not run through the text."""
    axes.annotate(
        text,
        (x, y),
        xytext=(0, -9),
        textcoords="offset points",
        ha="right",
        va="top",
        color=color,
        fontweight="bold",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )


def _picture(draw: Callable[[Axes, Comparison], None], comparison: Comparison, height: float) -> Figure:
    figure = _blank(6.4, height)
    draw(figure.add_subplot(), comparison)
    return figure


def _blank(width: float, height: float) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.03, hspace=0.03)
    return Figure(figsize=(width, height), layout=layout)


def _hospitals(comparison: Comparison) -> list[str]:
    return [f"hospital {number + 1}" for number in range(len(comparison.counts))]


def _label_digits(axes: Axes) -> None:
    axes.set_xlabel("digit")
    axes.set_ylabel("")


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11, fontweight="bold")
