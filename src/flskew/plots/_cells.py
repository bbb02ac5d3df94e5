"""Tables of numbers as shaded cells: outlined cells if they are large enough, otherwise an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew.plots._canvas import Size, font_size, name_side, room, text_width, write_inside
from flskew.plots._style import GREY, blues
from flskew.skew.tally import Tally
from flskew.typing import Label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

__all__ = ["PALEST", "Names", "add_scale", "cell_size", "draw_cells", "frame_cells", "mark_cells", "name_cells"]
__all__ += ["table_sides", "table_size", "write_in_cells"]

PALEST = 0.14
"""The palest of matplotlib's Blues that is distinguishable from the white of missing values."""

# Points: smaller cells are drawn as an image, without white lines between them.
_SMALLEST_FRAMED = 7
# Points: about one pixel of a screen.
_SMALLEST_SHADE = 1
_POOLS: dict[str, np.ufunc] = {"largest": np.fmax, "smallest": np.fmin}
# Numbers in more cells than this would take long to draw and be unreadable.
_MOST_NUMBERS = 600


class Names(NamedTuple):
    """What one side of a table shows, and the name of each row or column."""

    what: str
    names: Sequence[Label]


def table_sides(counted: Tally, partition_id_axis: Literal["x", "y"]) -> tuple[Names, Names]:
    """Return the rows and the columns of a table of partitions and classes."""
    partitions, classes = Names("partition", counted.partitions), Names("class", counted.classes)
    return (classes, partitions) if partition_id_axis == "x" else (partitions, classes)


def table_size(rows: Names, columns: Names, *, cell: tuple[float, float]) -> Size:
    """Return the size of a table with cells of this size in inches, limited to what fits a page."""
    return min(max(len(columns.names) * cell[0], 1.9), 7), min(max(len(rows.names) * cell[1], 0.8), 5)


def cell_size(ax: Axes, rows: int, columns: int) -> tuple[float, float]:
    """Return the width and height of a cell in points."""
    width, height = room(ax)
    return width / columns, height / rows


def frame_cells(ax: Axes, rows: int, columns: int) -> None:
    """Fit the axes to a table with the first cell at the top left."""
    ax.set_xlim(-0.5, columns - 0.5)
    ax.set_ylim(rows - 0.5, -0.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def name_cells(ax: Axes, rows: Names, columns: Names, key: Sequence[str]) -> None:
    """Name the rows and columns of a table, and explain its marks."""
    name_side(ax, "x", *columns, key=key)
    name_side(ax, "y", *rows)


def draw_cells(
    ax: Axes,
    values: NDArray[np.float64],
    norm: Normalize,
    key: list[str],
    *,
    pool: Literal["largest", "smallest"] = "largest",
    palest: float = PALEST,
) -> ScalarMappable:
    """Draw (rows, columns) values as shades of blue that also work in grey; NaN stays white.

    If cells are smaller than a pixel, one shade stands for the `pool` of several, and `key` says so.
    """
    rows, columns = values.shape
    width, height = cell_size(ax, rows, columns)
    if min(width, height) >= _SMALLEST_FRAMED:
        edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
        return ax.pcolormesh(
            *edges, np.ma.masked_invalid(values), cmap=blues(palest), norm=norm, edgecolors="white", linewidth=1.2
        )
    across, down = math.ceil(_SMALLEST_SHADE / width), math.ceil(_SMALLEST_SHADE / height)
    most = _POOLS[pool].reduceat
    pooled = most(most(values, range(0, rows, down), axis=0), range(0, columns, across), axis=1)
    if down * across > 1:
        key.append(f"each shade: the {pool} of {across}\u00a0×\u00a0{down}\u00a0cells")
    right, bottom = pooled.shape[1] * across - 0.5, pooled.shape[0] * down - 0.5
    return ax.imshow(
        np.ma.masked_invalid(pooled),
        cmap=blues(palest),
        norm=norm,
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, right, bottom, -0.5),
    )


def add_scale(axes: Sequence[Axes], shades: ScalarMappable, label: str, *, whole: bool = False) -> None:
    """Add the scale that all these pictures share."""
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
    """Write values into the cells with room for them; return whether all of them fit.

    Args:
        ax: The axes.
        values: (rows, columns).
        spell: Returns the text of a value, or "" for none.
        color: Returns the colour of a value.
        width: Maximum width of each text, in points.
        height: Maximum height of each text, in points.
    """
    if values.size > _MOST_NUMBERS:
        return False
    size = 0.85 * font_size(ax)
    words = [spell(value) for value in values.ravel().tolist()]
    widths = {word: text_width(word, size) for word in set(words)}
    fits = (np.reshape([widths[word] for word in words], values.shape) <= width) & (size <= np.asarray(height))
    for word, ((row, column), value) in zip(words, np.ndenumerate(values), strict=True):
        if word and fits[row, column]:
            write_inside(ax, column, row, word, color(float(value)), size)
    return bool((fits.ravel() | (np.array(words) == "")).all())


def mark_cells(ax: Axes, marked: NDArray[np.bool_]) -> bool:
    """Cross out cells if they are large enough; return whether any was crossed out."""
    side = min(cell_size(ax, *marked.shape))
    if side < 6 or not marked.any():
        return False
    rows, columns = np.nonzero(marked)
    ax.scatter(columns, rows, s=min(side / 4, 4.7) ** 2, color=GREY, marker="x", linewidths=1)
    return True
