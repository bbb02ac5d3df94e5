"""The pictures: who holds which digit, recall by digit, accuracy by round.

Each is drawn on new matplotlib objects, without pyplot, so nothing is shared with a caller's figures. They also work in
shades of grey: lines and marks differ in lightness or shape.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter
from PIL import Image

from flskew import plots
from flskew.study import Results

DOTS_PER_INCH = 220
# In inches. The overview is narrow, so that its text stays legible on a phone.
OVERVIEW_SIZE = (4.2, 3.9)


def pictures(results: Results) -> dict[str, Figure]:
    """Draw the three pictures; return them by file name."""
    return {
        "who-holds-what.png": _picture(draw_holdings, results, height=2.4),
        "recall.png": _picture(draw_recall, results, height=2.7),
        "accuracy.png": _picture(draw_accuracy, results, height=3.6),
    }


def overview(results: Results) -> Figure:
    """Draw who holds which digit above what each recognises."""
    figure = _blank(*OVERVIEW_SIZE)
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 4))
    above, below = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    draw_recall(below, results)
    figure.draw_without_rendering()  # gives both their final width, which determines the size of the dots
    draw_holdings(above, results)
    above.set_xlabel("")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a picture as PNG, creating the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DOTS_PER_INCH, facecolor="white")
    # Few colours look the same and take a third of the bytes. This also drops matplotlib's version from the file.
    colors = Image.open(png).convert("RGB").quantize(64)
    colors.save(path, optimize=True, dpi=(DOTS_PER_INCH, DOTS_PER_INCH))


def draw_holdings(axes: Axes, results: Results) -> None:
    """Draw who holds which digit: a dot's area is the number of images."""
    counts = results.cells[0].label_counts
    plots.dots(counts, partition_id_axis="y", ax=axes)
    axes.set_yticks(range(len(counts)), _hospitals(results))
    _label_digits(axes)
    _title(axes, "Who has which digits (×: none)")


def draw_recall(axes: Axes, results: Results) -> None:
    """Draw the final recall of each digit, and the accuracy on all digits beside it; darker is better."""
    alone, _, together = results.cells
    models = [*_hospitals(results), "together"]
    recall = [*alone.recall, *together.recall]
    plots.recall(dict(zip(models, recall, strict=True)), ax=axes)
    axes.axhline(len(models) - 1.5, color="white", linewidth=7)  # sets the federation apart
    axes.get_yticklabels()[-1].set_fontweight("bold")
    accuracies = [*alone.last["accuracy"], *together.last["accuracy"]]
    totals = axes.secondary_yaxis("right")
    totals.set_yticks(range(len(models)), [f"{accuracy:.0%}" for accuracy in accuracies], fontweight="bold")
    totals.tick_params(length=0)
    totals.spines[:].set_visible(False)
    _label_digits(axes)
    axes.annotate("all", (1, 0), (3.5, -3.5), "axes fraction", "offset points", va="top", fontweight="bold")
    _title(axes, "Recognised alone and together, in %")


def draw_accuracy(axes: Axes, results: Results) -> None:
    """Draw the accuracy after each round, on all ten digits."""
    results.plot("hospitals", ax=axes)
    axes.legend(loc="lower right", frameon=False)
    axes.set_ylim(0, 1)
    axes.set_ylabel("")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _title(axes, "Accuracy on test images of all ten digits")


def _picture(draw: Callable[[Axes, Results], None], results: Results, height: float) -> Figure:
    figure = _blank(6.4, height)
    draw(figure.add_subplot(), results)
    return figure


def _blank(width: float, height: float) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.03, hspace=0.03)
    return Figure(figsize=(width, height), layout=layout)


def _hospitals(results: Results) -> list[str]:
    return [f"hospital {number + 1}" for number in range(results.cells[0].num_clients)]


def _label_digits(axes: Axes) -> None:
    axes.set_xlabel("digit")
    axes.set_ylabel("")


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11, fontweight="bold")
