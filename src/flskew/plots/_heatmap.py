"""Heat map: what each partition is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flskew._util import checks
from flskew.plots._canvas import GREY, Side, Size, open_axes, room, root_figure
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_heatmap", "heatmap", "heatmap_size"]


def heatmap(split: Split, *, partition_id_axis: Side = "x", ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw what each partition is made of: for each class its share of the partition's rows, the darker, the more.

    Shares and not counts: skew is how partitions differ in what they are made of, and beside a large partition the
    counts of a small one are all pale. The scale is the same in all heat maps, from 0 to all rows, and is that of the
    root of the share, so that one of a thousand classes can still be told from none. White is none; a partition without
    rows is crossed out, or grey.

    Args:
        split: An `Assignment`, counts, or whatever else `flskew.skew.tally` takes.
        partition_id_axis: Where the partitions lie: "x", or "y" to write the names of the classes below the picture.
        ax: Where to draw; by default on a figure of its own.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is something else than an Axes.

    Examples:
        >>> import numpy as np
        >>> from flskew import plots
        >>> figure, axes = plots.heatmap(np.array([[8, 0], [3, 1]]))
        >>> [text.get_text() for text in axes.texts]  # in %
        ['100', '75', '25']
    """
    counted = tally(split)
    checks.choice("partition_id_axis", partition_id_axis, ("x", "y"))
    axes = open_axes(ax, heatmap_size(counted, partition_id_axis))
    draw_heatmap([axes], [counted], partition_id_axis)
    return root_figure(axes), axes


def heatmap_size(counted: Tally, partition_id_axis: Side = "x") -> Size:
    """Return the size of a picture of its own."""
    rows, columns = table_sides(counted, partition_id_axis)
    return table_size(rows, columns, cell=(0.42, 0.28))


def draw_heatmap(axes: Sequence[Axes], tallies: Sequence[Tally], partition_id_axis: Side = "x") -> None:
    """Draw splits to one scale."""
    from matplotlib.colors import PowerNorm

    norm = PowerNorm(0.5, 0, 1)
    all_written = True
    for ax, counted in zip(axes, tallies, strict=True):
        shares = counted.counts / np.maximum(counted.sizes, 1)[:, None]
        empty = np.broadcast_to(counted.sizes[:, None] == 0, shares.shape)
        table, empty = (shares.T, empty.T) if partition_id_axis == "x" else (shares, empty)
        key: list[str] = []
        shades = draw_cells(ax, np.where(table == 0, np.nan, table), norm, key)
        width, height = cell_size(ax, *table.shape)
        all_written &= write_in_cells(ax, table, _percent, _ink, width - 2, height - 2)
        if all_written:
            key.append("% of the partition")
        if mark_cells(ax, empty):
            key.append("×: no rows")
        elif empty.any():
            _strike(ax, counted, partition_id_axis)
            key.append("grey: no rows")
        frame_cells(ax, *table_sides(counted, partition_id_axis), key)
    if not all_written:
        add_scale(axes, shades, "share")


def _percent(share: float) -> str:
    return "" if share == 0 else f"{100 * share:.0f}" if share >= 0.005 else "<1"


def _ink(share: float) -> str:
    return "white" if share > 0.3 else "#1a1a1a"


def _strike(ax: Axes, counted: Tally, partition_id_axis: Side) -> None:
    """Grey out whole partitions, where crosses have no room."""
    lines = ax.vlines if partition_id_axis == "x" else ax.hlines
    width = room(ax)["xy".index(partition_id_axis)] / len(counted.sizes)
    end = len(counted.classes) - 0.5
    lines(np.flatnonzero(counted.sizes == 0), -0.5, end, colors=GREY, linewidth=max(width, 1))
