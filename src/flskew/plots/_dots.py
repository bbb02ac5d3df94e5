"""Dots: how many rows of each class each partition has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from flskew._util import checks
from flskew._util.words import plural
from flskew.plots._canvas import Size, draw_on
from flskew.plots._cells import (
    add_scale,
    cell_size,
    draw_cells,
    frame_cells,
    mark_cells,
    name_cells,
    table_sides,
    table_size,
    write_in_cells,
)
from flskew.plots._style import BLUE
from flskew.skew.tally import Split, Tally, tally
from flskew.typing import LabelCounts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["dots", "dots_size", "draw_dots"]

# Points: in smaller cells dots are too small to compare.
_SMALLEST_CELL = 5
# Rows: above, shades are logarithmic, so that a few rows are distinguishable from none.
_MOST_LINEAR = 100
# The diameter of the largest dot, as a fraction of its cell.
_LARGEST_DOT = 0.94


def dots(split: Split, *, partition_id_axis: Literal["x", "y"] = "x", ax: Axes | None = None) -> Figure:
    """Draw a dot for each partition and class; its area is proportional to the number of rows.

    Use it when you want to see who holds which classes, and how many rows of each.

    A cross marks a partition without rows of a class. Dots that are large enough contain their number of rows. If some
    are too small, a line below gives the number of the largest dot. With too many partitions for dots, shades of blue
    show the number of rows, with a scale beside the picture.

    Args:
        split: An `Assignment`, counts, or anything else that `flskew.skew.tally` accepts.
        partition_id_axis: The axis of the partitions: "x", or "y" to write the names of the classes below the picture.
        ax: The axes to draw on; a new figure by default.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `split` is not a split, or `ax` is not an Axes.
        ValueError: The split has no rows, or
            `partition_id_axis` is neither "x" nor "y".

    Examples:
        >>> from flskew import LabelExclusionPartitioner, plots
        >>> hospitals = LabelExclusionPartitioner([{1}, {2}]).assign([0, 1, 2, 0, 1, 2])
        >>> figure = plots.dots(hospitals)
        >>> [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
        ['0', '1']
    """
    counted = tally(split)
    checks.choice("partition_id_axis", partition_id_axis, ("x", "y"))
    draw = partial(draw_dots, tallies=[counted], partition_id_axis=partition_id_axis)
    return draw_on(ax, dots_size(counted, partition_id_axis), draw)


def dots_size(counted: Tally, partition_id_axis: Literal["x", "y"] = "x") -> Size:
    """Return the size that the picture has in a new figure."""
    rows, columns = table_sides(counted, partition_id_axis)
    cell = min(0.4, 7 / len(columns.names), 5 / len(rows.names))
    if 72 * cell <= _SMALLEST_CELL + 1:
        return table_size(rows, columns, cell=(0.06, 0.25))
    return table_size(rows, columns, cell=(cell, cell))


def draw_dots(axes: Sequence[Axes], tallies: Sequence[Tally], partition_id_axis: Literal["x", "y"] = "x") -> None:
    """Draw splits on a common scale."""
    from matplotlib.colors import LogNorm, Normalize

    tables = [counted.counts.T if partition_id_axis == "x" else counted.counts for counted in tallies]
    largest = max(int(table.max()) for table in tables)
    cells = [min(cell_size(ax, *table.shape)) for ax, table in zip(axes, tables, strict=True)]
    dots = min(cells) >= _SMALLEST_CELL
    norm = LogNorm(1, largest) if largest > _MOST_LINEAR else Normalize(0, largest)
    for ax, table, counted in zip(axes, tables, tallies, strict=True):
        key: list[str] = []
        frame_cells(ax, *table.shape)
        if dots:
            if not _draw(ax, table, largest):
                key.append(f"largest dot: {plural(largest, counted.unit)}")
            if mark_cells(ax, table == 0):
                key.append("×: none")
        else:
            shades = draw_cells(ax, np.where(table == 0, np.nan, table), norm, key)
            if 0 in table:
                key.append("white: none")
        name_cells(ax, *table_sides(counted, partition_id_axis), key)
    if not dots:
        add_scale(axes, shades, f"{tallies[0].unit}s", whole=largest <= _MOST_LINEAR)


def _draw(ax: Axes, table: LabelCounts, largest: int) -> bool:
    """Draw the dots and the numbers that fit into them; return whether all did."""
    from flskew.plots._artists import Dots

    shares = _LARGEST_DOT**2 * table / largest
    rows, columns = np.nonzero(table)
    Dots(ax, np.column_stack([columns, rows]), shares[rows, columns], BLUE)
    diameters = np.sqrt(shares) * min(cell_size(ax, *table.shape))
    # The square inscribed in a circle has sides of 0.7 diameters; numbers are wider than high.
    return write_in_cells(ax, table, _number, lambda _: "white", 0.82 * diameters, 0.7 * diameters)


def _number(count: float) -> str:
    return str(count) if count else ""
