"""The pictures of a comparison: who holds which digit, recall by digit, accuracy by round.

Each is drawn on matplotlib objects of its own, without pyplot, so nothing is shared with a caller's figures. They read
as well in grey: what differs, differs in lightness, in shape or in words.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from three_hospitals.comparison import Comparison
from three_hospitals.task import DIGITS

INK, PALE, BLUE = "#1a1a1a", "#8c8c8c", "#0a5a9c"
DOTS_PER_INCH = 160
# Points: the largest dot nearly fills its cell.
LARGEST_DOT = 29


def pictures(comparison: Comparison) -> dict[str, Figure]:
    """Draw the three pictures, each under the name of its file."""
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
    """Write a picture as PNG, into a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without matplotlib's version in it, the file depends on what is drawn alone.
    figure.savefig(path, format="png", dpi=DOTS_PER_INCH, facecolor="white", metadata={"Software": None})


def draw_holdings(axes: Axes, comparison: Comparison) -> None:
    """Draw who holds which digit: a dot's area is the number of images."""
    counts = comparison.counts
    for hospital, row in enumerate(counts):
        for digit, count in enumerate(row):
            if count:
                area = LARGEST_DOT**2 * count / counts.max()
                axes.scatter(digit, hospital, s=area, color=BLUE, linewidths=0)
                axes.text(digit, hospital, str(count), color="white", fontsize=8, ha="center", va="center_baseline")
            else:
                axes.scatter(digit, hospital, s=22, color=PALE, marker="x", linewidths=1)
    axes.set_ylim(len(counts) - 0.45, -0.55)
    axes.set_yticks(range(len(counts)), [f"hospital {number + 1}" for number in range(len(counts))])
    _label_digits(axes)
    _title(axes, "Images that each hospital trains on (×: never seen)")


def draw_recall(axes: Axes, comparison: Comparison) -> None:
    """Draw the final recall of each digit: the darker, the better."""
    recall = comparison.recall() * 100
    # A gap sets the federation apart.
    places = [*range(len(comparison.alone)), len(comparison.alone) + 0.25]
    for place, row in zip(places, recall, strict=True):
        axes.imshow([row], cmap="Blues", vmin=0, vmax=130, aspect="auto", extent=(-0.5, 9.5, place + 0.5, place - 0.5))
        for digit, value in enumerate(row):
            color = "white" if value > 60 else INK
            axes.text(digit, place, f"{value:.0f}", color=color, fontsize=9, ha="center", va="center_baseline")
    axes.vlines(DIGITS[1:] - 0.5, -0.52, places[-1] + 0.52, color="white", linewidth=1.5)
    axes.hlines([place - 0.5 for place in places[1:-1]], -0.5, 9.5, color="white", linewidth=1.5)
    axes.set_ylim(places[-1] + 0.52, -0.52)
    names = [f"hospital {number + 1} alone" for number in range(len(comparison.alone))]
    axes.set_yticks(places, [*names, "together"])
    axes.get_yticklabels()[-1].set_fontweight("bold")
    _label_digits(axes)
    _title(axes, "Test images recognised, in % of each digit")


def draw_accuracy(axes: Axes, comparison: Comparison) -> None:
    """Draw the accuracy after each round, on all ten digits."""
    rounds = range(len(comparison.together))
    together = [score.accuracy for score in comparison.together]
    alone = [[score.accuracy for score in scores] for scores in comparison.alone]
    # The hospitals' lines nearly coincide: what they have in common matters, and their names go into the words.
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
    """Write below the end of a line, on white, so that the grid does not run through the words."""
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


def _label_digits(axes: Axes) -> None:
    axes.set_xlim(-0.5, 9.5)
    axes.set_xticks(DIGITS)
    axes.set_xlabel("digit")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11, fontweight="bold")
