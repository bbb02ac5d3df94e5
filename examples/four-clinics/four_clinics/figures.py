"""The picture of a study: who gains by training together, on its own patients and on those of all clinics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from flskew.study import Results

INK, BLUE = "#1a1a1a", "#0a5a9c"
SCORES = {"gum-index": "R² of the gum index", "preterm-birth": "AUC of preterm birth"}


def picture(results: Results, score: str) -> Figure:
    """Draw both panels; `score` says what the scores are."""
    figure = Figure(figsize=(9.6, 3.2), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, wspace=0.05))
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    draw(left, results.clients("clinics"))
    draw(right, results.clients("clinics", "last"))
    left.set_title(f"{score}, its own patients", loc="left", fontsize=11, fontweight="bold")
    right.set_title(f"{score}, patients of all clinics", loc="left", fontsize=11, fontweight="bold")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw(axes: Axes, clients: pd.DataFrame) -> None:
    """Draw the mean scores of each clinic, with the 95 % interval of its gain over training alone."""
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
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    """Write the picture as PNG, creating the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without matplotlib's version in the metadata, the file depends only on the picture.
    figure.savefig(path, format="png", dpi=120, facecolor="white", metadata={"Software": None})
