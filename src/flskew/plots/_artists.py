"""Subclasses of matplotlib's classes, in the only module of this package that imports matplotlib at the top."""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import CircleCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["Dots", "NotebookFigure"]

# Points: smaller dots would be invisible.
_SMALLEST_DOT = 1


class NotebookFigure(Figure):
    """A figure that a notebook displays if a cell ends with it.

    IPython only learns to display figures when pyplot is imported. Our figures are made without pyplot, which shares
    state between figures, so they provide the representation themselves.
    """

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()


class Dots(CircleCollection):
    """Round dots that fill their cells at any size of the figure, unlike those of matplotlib's EllipseCollection.

    Args:
        ax: Axes with cells of width and height 1.
        centres: (num_dots, 2).
        shares: (num_dots,) areas, as fractions of the largest circle that fits into a cell.
        color: The colour of all dots.
    """

    def __init__(self, ax: Axes, centres: NDArray[np.int64], shares: NDArray[np.float64], color: str) -> None:
        super().__init__(shares, offsets=centres, offset_transform=ax.transData, facecolors=color, linewidths=0)
        self._ax, self._shares = ax, shares
        ax.add_collection(self, autolim=False)

    def draw(self, renderer: RendererBase) -> None:
        """Adapt the dots to the current size of the cells, then draw them."""
        corners = self.get_offset_transform().transform([(0, 0), (1, 1)])
        dpi = self._ax.figure.dpi
        cell = np.abs(corners[1] - corners[0]).min() * 72 / dpi
        self.set_sizes(np.maximum(self._shares * cell**2, _SMALLEST_DOT**2) * math.pi / 4, dpi)
        super().draw(renderer)
