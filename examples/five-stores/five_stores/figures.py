"""The picture: what each store sells, and who gains by training together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from five_stores.task import load_purchases
from flskew.study import Results

INK, BLUE, PALE = "#1a1a1a", "#0a5a9c", "#c9dcec"


def picture(results: Results) -> Figure:
    """Draw what each store sells, then the scores on its own customers and on those of all stores."""
    figure = Figure(figsize=(10.8, 3.5), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, wspace=0.05))
    sales, left, right = figure.subplots(1, 3, sharey=True, width_ratios=(1.1, 1.4, 1.4))
    left.sharex(right)
    draw_sales(sales)
    draw(left, results.clients("stores"))
    draw(right, results.clients("stores", "last"))
    titles = ("Purchases (dark: Minute Maid)", "AUC, its own customers", "AUC, customers of all stores")
    for axes, title in zip((sales, left, right), titles, strict=True):
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_sales(axes: Axes) -> None:
    """Draw the number of purchases of each store, with the share of Minute Maid."""
    purchases, assignment = load_purchases()
    for place, rows in enumerate(assignment):
        share = purchases.labels[rows].mean()
        axes.barh(place, len(rows), height=0.55, color=PALE)
        axes.barh(place, len(rows) * share, height=0.55, color=BLUE)
        axes.annotate(f"{share:.0%}", (len(rows), place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, 1.2 * assignment.sizes.max())


def draw(axes: Axes, clients: pd.DataFrame) -> None:
    """Draw the mean AUC of each store, with the 95 % interval of its gain over training alone."""
    places = np.arange(len(clients))
    alone, together, pooled = (clients[method, "mean"] for method in ("alone", "together", "pooled"))
    # Distinguishable in shades of grey, too: the marks differ in shape. And at different heights, so that none hides.
    axes.plot(alone, places - 0.14, "o", color=INK, markerfacecolor="white", label="alone")
    gain = clients["together"]
    half, label = gain["high"] - gain["gain"], "together (line: 95 % interval of the gain)"
    axes.errorbar(together, places + 0.14, xerr=half, fmt="o", color=BLUE, elinewidth=1.2, label=label)
    axes.plot(pooled, places + 0.14, "|", color=INK, markersize=11, label="pooled")
    axes.set_yticks(places, clients.index)
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.grid(axis="x", color="#e0e0e0", linewidth=0.8)
    axes.set_axisbelow(True)


def save(figure: Figure, path: Path) -> None:
    """Write the picture as PNG, creating the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without matplotlib's version in the metadata, the file depends only on the picture.
    figure.savefig(path, format="png", dpi=120, facecolor="white", metadata={"Software": None})
