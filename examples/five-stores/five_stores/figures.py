"""The picture: what each store sells, and who gains by training together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from five_stores.comparison import ALL, Comparison

INK, BLUE, PALE = "#1a1a1a", "#0a5a9c", "#c9dcec"
# Distinguishable in shades of grey too: the marks differ in shape.
LOOKS: dict[str, dict[str, Any]] = {
    "alone": {"color": INK, "marker": "o", "markerfacecolor": "white"},
    "together": {"color": BLUE, "marker": "o"},
    "pooled": {"color": INK, "marker": "|", "markersize": 11},
}


def picture(comparison: Comparison) -> Figure:
    """Draw what each store sells, then the scores on its own customers and on those of all stores."""
    names = [str(name) for name in comparison.stores.index]
    figure = Figure(figsize=(10.8, 3.5), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, wspace=0.05))
    sales, left, right = figure.subplots(1, 3, sharey=True, width_ratios=(1.1, 1.4, 1.4))
    left.sharex(right)
    draw_sales(sales, comparison)
    draw(left, comparison, dict(zip(names, names, strict=True)))
    draw(right, comparison, dict.fromkeys(names, ALL))
    sales.set_yticks(range(len(names)), names)
    sales.invert_yaxis()
    titles = ("Purchases (dark: Minute Maid)", "AUC, its own customers", "AUC, customers of all stores")
    for axes, title in zip((sales, left, right), titles, strict=True):
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_sales(axes: Axes, comparison: Comparison) -> None:
    """Draw the number of purchases of each store, with the share of Minute Maid."""
    for place, (_, purchases, share) in enumerate(comparison.stores.itertuples()):
        axes.barh(place, purchases, height=0.55, color=PALE)
        axes.barh(place, purchases * share, height=0.55, color=BLUE)
        axes.annotate(f"{share:.0%}", (purchases, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, 1.2 * comparison.stores["purchases"].max())


def draw(axes: Axes, comparison: Comparison, tested: dict[str, str]) -> None:
    """Draw the scores of each store, with 95 % intervals over the seeds.

    Args:
        axes: Where to draw.
        comparison: The scores.
        tested: The test set of each store.
    """
    for model, look in LOOKS.items():
        # At slightly different heights, so that no mark hides another.
        shift = -0.14 if model == "alone" else 0.14
        for place, (store, test_set) in enumerate(tested.items()):
            mean, half_width = comparison.auc(store if model == "alone" else model, test_set)
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


def save(figure: Figure, path: Path) -> None:
    """Write the picture as PNG, creating the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without matplotlib's version in the metadata, the file depends only on the picture.
    figure.savefig(path, format="png", dpi=120, facecolor="white", metadata={"Software": None})
