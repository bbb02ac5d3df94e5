"""The picture: accuracy by round, with a panel for each fraction of stragglers and a line for each method."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter
from PIL import Image

from fedprox_stragglers.experiment import FRACTIONS, METHODS, Results

# Distinguishable in shades of grey too: lines differ in lightness or dashes.
LOOKS = (("#d55e00", "--"), ("#7fa8cc", "-"), ("#0a5a9c", "-"))
DOTS_PER_INCH = 200


def picture(results: Results) -> Figure:
    """Draw the accuracy of every method, averaged over the seeds."""
    figure = Figure(figsize=(9.6, 3.5), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06))
    panels = figure.subplots(1, len(FRACTIONS), sharex=True, sharey=True, squeeze=False)[0]
    for axes, fraction in zip(panels, FRACTIONS, strict=True):
        for method, (color, dashes) in zip(METHODS, LOOKS, strict=True):
            mean = results.accuracies(method, fraction).mean(axis=0)
            rounds = range(len(mean))
            # Without stragglers, two lines coincide: draw the dashed one on top, so that the other shows in its gaps.
            above = 3 if dashes == "--" else 2
            axes.plot(rounds, mean, color=color, linestyle=dashes, linewidth=1.6, zorder=above, label=method)
        axes.set_title(f"{fraction:.0%} stragglers", loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel("round")
        axes.set_xlim(0, rounds[-1])
        axes.set_ylim(0, 1)
        axes.grid(axis="y", color="#e0e0e0", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("accuracy on the test set")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(METHODS), frameon=False)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the picture as PNG, creating the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DOTS_PER_INCH, facecolor="white")
    # Few colours look the same and take a third of the bytes. This also drops matplotlib's version from the file.
    colors = Image.open(png).convert("RGB").quantize(64)
    colors.save(path, optimize=True, dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
