"""Draw the pictures by which other sites and phones show this one, from the logo and a picture of `flskew.plots`.

python scripts/social_card.py [FOLDER]   FOLDER defaults to docs; `make gallery` runs it too

brand/social-card.png, 1200 x 630 pixels, and brand/icon-180.png.
"""

from __future__ import annotations

import io
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch
from PIL import Image

from flskew import DirichletPartitioner, plots

DOCS = Path(__file__).resolve().parent.parent / "docs"
LOGO = DOCS / "assets" / "brand" / "logo.svg"
SIDE = 16  # of the logo's square
SVG = "{http://www.w3.org/2000/svg}"
NAVY, AMBER = "#0b3d6b", "#ffb52e"


def draw_logo(axes: Axes) -> None:
    """Draw the circles of the logo on axes that are a square."""
    axes.set(xlim=(0, SIDE), ylim=(SIDE, 0), aspect="equal")
    axes.axis("off")
    for group in ET.parse(LOGO).getroot().iter(f"{SVG}g"):
        for circle in group.iter(f"{SVG}circle"):
            x, y, radius = (float(circle.attrib[name]) for name in ("cx", "cy", "r"))
            axes.add_patch(Circle((x, y), radius, color=group.attrib["fill"], linewidth=0))


def icon() -> Figure:
    """Draw the logo as a phone shows it, which rounds the corners itself."""
    figure = Figure(figsize=(1.8, 1.8), facecolor=NAVY)
    draw_logo(figure.add_axes((0.06, 0.06, 0.88, 0.88)))
    return figure


def card() -> Figure:
    """Draw the logo, the name, what it does, and a Dirichlet split of ten classes among three hospitals."""
    figure = Figure(figsize=(12, 6.3), facecolor=NAVY)
    draw_logo(figure.add_axes((0.05, 0.67, 0.155, 0.295)))
    figure.text(0.23, 0.815, "flskew", color="white", fontsize=66, weight="bold", va="center_baseline")
    figure.text(0.06, 0.575, "Realistic non-IID clients for Flower", color="white", fontsize=33, va="center_baseline")
    panel = FancyBboxPatch((0.6, 0.5), 10.8, 2.4, "round,pad=0,rounding_size=0.2", color="white", zorder=-1)
    panel.set_transform(figure.dpi_scale_trans)
    figure.add_artist(panel)
    axes = figure.add_axes((0.165, 0.1, 0.765, 0.34), facecolor="none")
    labels = np.random.default_rng(0).integers(0, 10, 1000)
    hospitals = DirichletPartitioner(3, alpha=0.3).assign(labels)
    plots.dots(hospitals, partition_id_axis="y", ax=axes)
    axes.set(xlabel="", ylabel="", xticks=[])
    axes.set_yticks(range(3), ["Bern", "Lyon", "Turin"], fontsize=20)
    return figure


def save(folder: Path) -> None:
    """Write both pictures."""
    with rc_context({"font.size": 15, "font.family": "DejaVu Sans"}):
        for name, figure in (("social-card.png", card()), ("icon-180.png", icon())):
            path = folder / "assets" / "brand" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            png = io.BytesIO()
            figure.savefig(png, format="png", dpi=100)
            Image.open(png).convert("RGB").quantize(64).save(path, optimize=True)
            print(f"wrote {path}")


if __name__ == "__main__":
    save(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else DOCS)
