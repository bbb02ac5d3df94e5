"""A table of numbers as a table of shades: crisp cells where there is room for them, an image where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew.plots._canvas import (
    GREY,
    Side,
    Size,
    below,
    beside,
    font_size,
    label_side,
    room,
    text_width,
)
from flskew.skew.tally import Tally
from flskew.typing import Label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap, Normalize

__all__ = ["PALEST", "add_scale", "cell_size", "draw_cells", "frame_cells", "mark_cells", "table_sides", "table_size"]
__all__ += ["Names", "write_in_cells"]

PALEST = 0.14
"""The place among matplotlib's Blues of one that is told from the white of what is missing."""

Pool: TypeAlias = Literal["largest", "smallest"]

# Points: smaller cells lie side by side without a white line between them.
_SMALLEST_FRAMED = 7
# Points: about the dots of a screen.
_SMALLEST_SHADE = 1
_POOLS: dict[str, np.ufunc] = {"largest": np.fmax, "smallest": np.fmin}
# Words in more cells than these take longer to draw than to read.
_MOST_WORDS = 600


class Names(NamedTuple):
    """What lies along one side of a table, and what each is called."""

    what: str
    names: Sequence[Label]


def table_sides(counted: Tally, partition_id_axis: Side) -> tuple[Names, Names]:
    """Return what are the rows and what the columns of a table of partitions and classes."""
    partitions, classes = Names("partition", range(len(counted.counts))), Names("class", counted.classes)
    return (classes, partitions) if partition_id_axis == "x" else (partitions, classes)


def table_size(rows: Names, columns: Names, *, cell: tuple[float, float]) -> Size:
    """Return the size of a table with cells of this size in inches, or of what a page allows."""
    width = min(max(len(columns.names) * cell[0], 1.9), 7)
    height = min(max(len(rows.names) * cell[1], 0.8), 5)
    return Size(width, height, left=beside(rows.names), bottom=below(columns.names, width))


def cell_size(ax: Axes, rows: int, columns: int) -> tuple[float, float]:
    """Return width and height in points of one of so many cells."""
    width, height = room(ax)
    return width / columns, height / rows


def frame_cells(ax: Axes, rows: Names, columns: Names, key: Sequence[str]) -> None:
    """Fit the axes to a table, the first cell at the top left, and name its rows and columns."""
    ax.set_xlim(-0.5, len(columns.names) - 0.5)
    ax.set_ylim(len(rows.names) - 0.5, -0.5)
    label_side(ax, "x", columns.what, columns.names, key=key)
    label_side(ax, "y", rows.what, rows.names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _shades(palest: float) -> Colormap:
    """Blues that also read in grey."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["Blues"](np.linspace(palest, 0.9, 256))).with_extremes(bad="white")


def draw_cells(
    ax: Axes,
    values: NDArray[np.float64],
    norm: Normalize,
    key: list[str],
    *,
    pool: Pool = "largest",
    palest: float = PALEST,
) -> ScalarMappable:
    """Draw (rows, columns) values; NaN stays white.

    Where cells would be too small to be seen, `pool` makes one of several that lie together, and `key` says so.
    """
    rows, columns = values.shape
    if min(cell_size(ax, rows, columns)) >= _SMALLEST_FRAMED:
        edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
        masked = np.ma.masked_invalid(values)
        return ax.pcolormesh(*edges, masked, cmap=_shades(palest), norm=norm, edgecolors="white", linewidth=1.2)
    down, across = (math.ceil(_SMALLEST_SHADE / side) for side in cell_size(ax, rows, columns)[::-1])
    most = _POOLS[pool]
    pooled = most.reduceat(most.reduceat(values, range(0, rows, down), axis=0), range(0, columns, across), axis=1)
    if down * across > 1:
        key.append(f"each shade: the {pool} of {across}\u00a0×\u00a0{down}\u00a0cells")
    right, bottom = pooled.shape[1] * across - 0.5, pooled.shape[0] * down - 0.5
    return ax.imshow(
        np.ma.masked_invalid(pooled),
        cmap=_shades(palest),
        norm=norm,
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, right, bottom, -0.5),
    )


def add_scale(axes: Sequence[Axes], shades: ScalarMappable, label: str, *, whole: bool = False) -> None:
    """Put one scale beside all pictures that were drawn to it."""
    from matplotlib.ticker import MaxNLocator

    scale = axes[-1].figure.colorbar(shades, ax=list(axes), label=label, fraction=0.05, pad=0.03, aspect=25)
    scale.outline.set_visible(False)
    if whole:
        scale.locator = MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True)


def write_in_cells(
    ax: Axes,
    values: NDArray[np.float64] | NDArray[np.int64],
    spell: Callable[[float], str],
    color: Callable[[float], str],
    width: float | NDArray[np.float64],
    height: float | NDArray[np.float64],
) -> bool:
    """Write values where they fit, and say whether all of them did.

    Args:
        ax: The axes.
        values: (rows, columns).
        spell: How to write a value; one that is spelt "" fits.
        color: In which colour.
        width: Points, how wide each may be.
        height: Points, how high.
    """
    size = 0.85 * font_size(ax)
    if values.size > _MOST_WORDS:
        return False
    width, height = np.broadcast_to(width, values.shape), np.broadcast_to(height, values.shape)
    all_fit = True
    for (row, column), number in np.ndenumerate(values):
        value = number.item()
        word = spell(value)
        if text_width(word, size) > width[row, column] or size > height[row, column]:
            all_fit &= word == ""
        elif word:
            ax.text(column, row, word, color=color(value), fontsize=size, ha="center", va="center_baseline")
    return all_fit


def mark_cells(ax: Axes, marked: NDArray[np.bool_]) -> bool:
    """Put a cross into cells where there is room for one, and say whether one was put."""
    side = min(cell_size(ax, *marked.shape))
    if side < 6 or not marked.any():
        return False
    rows, columns = np.nonzero(marked)
    ax.scatter(columns, rows, s=min(side / 4, 4.7) ** 2, color=GREY, marker="x", linewidths=1)
    return True
