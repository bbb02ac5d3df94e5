"""The picture of a comparison: who gains by training together, on its own patients and on those of all clinics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from four_clinics.comparison import ALL, Comparison

INK, BLUE = "#1a1a1a", "#0a5a9c"
SCORES = {"gum-index": "R² of the gum index", "preterm-birth": "AUC of preterm birth"}
# Distinguishable in shades of grey too: the marks differ in shape.
LOOKS: dict[str, dict[str, Any]] = {
    "alone": {"color": INK, "marker": "o", "markerfacecolor": "white"},
    "together": {"color": BLUE, "marker": "o"},
    "pooled": {"color": INK, "marker": "|", "markersize": 11},
}


def picture(comparison: Comparison) -> Figure:
    """Draw both panels."""
    names = [str(name) for name in comparison.women.index]
    figure = Figure(figsize=(9.6, 3.2), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, wspace=0.05))
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    draw(left, comparison, dict(zip(names, names, strict=True)))
    draw(right, comparison, dict.fromkeys(names, ALL))
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    score = SCORES[comparison.target]
    left.set_title(f"{score}, its own patients", loc="left", fontsize=11, fontweight="bold")
    right.set_title(f"{score}, patients of all clinics", loc="left", fontsize=11, fontweight="bold")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw(axes: Axes, comparison: Comparison, tested: dict[str, str]) -> None:
    """Draw the scores of each clinic, with 95 % intervals over the seeds.

    Args:
        axes: Where to draw.
        comparison: The scores.
        tested: The test set of each clinic.
    """
    for model, look in LOOKS.items():
        # At slightly different heights, so that no mark hides another.
        shift = -0.14 if model == "alone" else 0.14
        for place, (clinic, test_set) in enumerate(tested.items()):
            mean, half_width = comparison.score(clinic if model == "alone" else model, test_set)
            axes.errorbar(
                mean,
                place + shift,
                xerr=None if model == "pooled" else half_width,
                linestyle="none",
                elinewidth=1.2,
                label=model if place == 0 else None,
                **look,
            )
    axes.grid(axis="x", color="#e0e0e0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    """Write the picture as PNG, creating the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without matplotlib's version in the metadata, the file depends only on the picture.
    figure.savefig(path, format="png", dpi=120, facecolor="white", metadata={"Software": None})
