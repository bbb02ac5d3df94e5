"""What matplotlib has no artist for; the one module of the room that imports it at once."""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import CircleCollection
from matplotlib.figure import Figure
from matplotlib.typing import ColorType
from numpy.typing import NDArray

__all__ = ["Dots", "NotebookFigure"]

# Points: fewer rows are a speck, and not nothing.
_SMALLEST_DOT = 1


class NotebookFigure(Figure):
    """A figure that a notebook shows as the last value of a cell.

    IPython learns how to show figures when pyplot is imported. These are made without it, so that no state is shared
    with a caller's figures, and say themselves how they are shown.
    """

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()


class Dots(CircleCollection):
    """Dots in the cells of a table, as large as these are when they are drawn.

    Args:
        ax: Axes in which cells are 1 wide and 1 high.
        centres: (num_dots, 2).
        shares: (num_dots,) areas, as shares of the largest circle that a cell has room for.
        color: Of all of them.
    """

    def __init__(self, ax: Axes, centres: NDArray[np.float64], shares: NDArray[np.float64], color: ColorType) -> None:
        super().__init__(shares, offsets=centres, offset_transform=ax.transData, facecolors=color, linewidths=0)
        self._ax, self._shares = ax, shares
        ax.add_collection(self, autolim=False)

    def draw(self, renderer: RendererBase) -> None:
        """Draw after whatever has changed the size of the cells."""
        corners = self.get_offset_transform().transform([(0, 0), (1, 1)])
        dpi = self._ax.figure.dpi
        cell = np.abs(corners[1] - corners[0]).min() * 72 / dpi
        self.set_sizes(np.maximum(self._shares * cell**2, _SMALLEST_DOT**2) * math.pi / 4, dpi)
        super().draw(renderer)
