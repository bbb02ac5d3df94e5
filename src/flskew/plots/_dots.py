"""Dots: who holds what, at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flskew._util import checks
from flskew.plots._canvas import BLUE, Side, Size, open_axes, root_figure
from flskew.plots._cells import (
    add_scale,
    cell_size,
    draw_cells,
    frame_cells,
    mark_cells,
    table_sides,
    table_size,
    write_in_cells,
)
from flskew.skew.tally import Split, Tally, tally
from flskew.typing import LabelCounts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["dots", "dots_size", "draw_dots"]

# Points: in smaller cells dots are specks.
_SMALLEST_CELL = 5
# Rows: beyond, shades go by the logarithm, so that a few can be told from none.
_MOST_LINEAR = 100
# Of a cell: the diameter of the largest dot.
_LARGEST_DOT = 0.94


def dots(split: Split, *, partition_id_axis: Side = "x", ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw who holds what: for each class and partition a dot, whose area is the number of rows.

    A cross stands where a partition has no row of a class; few rows beside very many are a speck. Where there is no
    room for dots, shades stand for them, with a scale beside the picture.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.
        partition_id_axis: Where the partitions lie: "x", or "y" to write the names of the classes below the picture.
        ax: Where to draw; by default on a figure of its own.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is something else than an Axes.

    Examples:
        >>> from flskew import LabelExclusionPartitioner, plots
        >>> hospitals = LabelExclusionPartitioner([{1}, {2}]).assign([0, 1, 2, 0, 1, 2])
        >>> figure, axes = plots.dots(hospitals)
        >>> [tick.get_text() for tick in axes.get_xticklabels()]
        ['0', '1']
    """
    counted = tally(split)
    checks.choice("partition_id_axis", partition_id_axis, ("x", "y"))
    axes = open_axes(ax, dots_size(counted, partition_id_axis))
    draw_dots([axes], [counted], partition_id_axis)
    return root_figure(axes), axes


def dots_size(counted: Tally, partition_id_axis: Side = "x") -> Size:
    """Return the size of a picture of its own."""
    rows, columns = table_sides(counted, partition_id_axis)
    cell = min(0.4, 7 / len(columns.names), 5 / len(rows.names))
    if 72 * cell <= _SMALLEST_CELL + 1:
        return table_size(rows, columns, cell=(0.06, 0.25))._replace(right=0.9)
    return table_size(rows, columns, cell=(cell, cell))


def draw_dots(axes: Sequence[Axes], tallies: Sequence[Tally], partition_id_axis: Side = "x") -> None:
    """Draw splits to one scale."""
    from matplotlib.colors import LogNorm, Normalize

    tables = [counted.counts.T if partition_id_axis == "x" else counted.counts for counted in tallies]
    largest = max(int(table.max()) for table in tables)
    cells = [min(cell_size(ax, *table.shape)) for ax, table in zip(axes, tables, strict=True)]
    dots = min(cells) >= _SMALLEST_CELL
    norm = LogNorm(1, largest) if largest > _MOST_LINEAR else Normalize(0, largest)
    for ax, table, counted in zip(axes, tables, tallies, strict=True):
        key: list[str] = []
        if dots:
            if not _draw(ax, table, largest):
                key.append(f"largest dot: {_rows(largest)}")
            if mark_cells(ax, table == 0):
                key.append("×: none")
        else:
            shades = draw_cells(ax, np.where(table == 0, np.nan, table), norm, key)
            if 0 in table:
                key.append("white: none")
        frame_cells(ax, *table_sides(counted, partition_id_axis), key)
    if not dots:
        add_scale(axes, shades, "rows", whole=largest <= _MOST_LINEAR)


def _draw(ax: Axes, table: LabelCounts, largest: int) -> bool:
    """Draw the dots, and their numbers where they fit; say whether all did."""
    from flskew.plots._artists import Dots

    shares = _LARGEST_DOT**2 * table / largest
    rows, columns = np.nonzero(table)
    Dots(ax, np.column_stack([columns, rows]), shares[rows, columns], BLUE)
    diameters = np.sqrt(shares) * min(cell_size(ax, *table.shape))
    # The square within a circle has sides of 0.7 diameters; numbers are wide rather than high.
    return write_in_cells(ax, table, _number, lambda _: "white", 0.82 * diameters, 0.7 * diameters)


def _number(count: float) -> str:
    return str(count) if count else ""


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
