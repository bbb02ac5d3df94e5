"""Heat map: the class shares of each partition."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from flskew._util import checks
from flskew.plots._canvas import Size, draw_on, room
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
from flskew.plots._style import GREY, INK
from flskew.skew.tally import Split, Tally, tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_heatmap", "heatmap", "heatmap_size"]


def heatmap(split: Split, *, partition_id_axis: Literal["x", "y"] = "x", ax: Axes | None = None) -> Figure:
    """Draw a table of the share of each class in each partition; larger shares are darker.

    Use it when the mix of classes matters, and not the number of rows.

    The cells show percentages of the partition's rows if they fit; otherwise there is a scale beside the picture. Every
    heat map has the same scale, from 0 to 100 %. Shades follow the square root of the share, so even a class with one
    row in a thousand differs from white, which means none. A partition without rows is crossed out or grey.

    Shares show label skew better than counts: with counts, a small partition would be pale beside a large one.

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
        >>> import numpy as np
        >>> from flskew import plots
        >>> figure = plots.heatmap(np.array([[8, 0], [3, 1]]))
        >>> [text.get_text() for text in figure.axes[0].texts]  # in %
        ['100', '75', '25']
    """
    counted = tally(split)
    checks.choice("partition_id_axis", partition_id_axis, ("x", "y"))
    draw = partial(draw_heatmap, tallies=[counted], partition_id_axis=partition_id_axis)
    return draw_on(ax, heatmap_size(counted, partition_id_axis), draw)


def heatmap_size(counted: Tally, partition_id_axis: Literal["x", "y"] = "x") -> Size:
    """Return the size that the picture has in a new figure."""
    return table_size(*table_sides(counted, partition_id_axis), cell=(0.42, 0.28))


def draw_heatmap(axes: Sequence[Axes], tallies: Sequence[Tally], partition_id_axis: Literal["x", "y"] = "x") -> None:
    """Draw splits on a common scale."""
    from matplotlib.colors import PowerNorm

    norm = PowerNorm(0.5, 0, 1)
    all_written = True
    for ax, counted in zip(axes, tallies, strict=True):
        shares = counted.counts / np.maximum(counted.sizes, 1)[:, None]
        empty = np.broadcast_to(counted.sizes[:, None] == 0, shares.shape)
        table, empty = (shares.T, empty.T) if partition_id_axis == "x" else (shares, empty)
        key: list[str] = []
        frame_cells(ax, *table.shape)
        shades = draw_cells(ax, np.where(table == 0, np.nan, table), norm, key)
        width, height = cell_size(ax, *table.shape)
        all_written &= write_in_cells(ax, table, _percent, _ink, width - 2, height - 2)
        if all_written:
            key.append("% of the partition" if counted.unit == "row" else "% of the partition's labels")
        if mark_cells(ax, empty):
            key.append(f"×: no {counted.unit}s")
        elif empty.any():
            _strike(ax, counted, partition_id_axis)
            key.append(f"grey: no {counted.unit}s")
        name_cells(ax, *table_sides(counted, partition_id_axis), key)
    if not all_written:
        add_scale(axes, shades, "share")


def _percent(share: float) -> str:
    return "" if share == 0 else f"{100 * share:.0f}" if share >= 0.005 else "<1"


def _ink(share: float) -> str:
    return "white" if share > 0.3 else INK


def _strike(ax: Axes, counted: Tally, partition_id_axis: Literal["x", "y"]) -> None:
    """Grey out partitions without rows if cells are too small for crosses."""
    lines = ax.vlines if partition_id_axis == "x" else ax.hlines
    width = room(ax)["xy".index(partition_id_axis)] / len(counted.sizes)
    end = len(counted.classes) - 0.5
    lines(np.flatnonzero(counted.sizes == 0), -0.5, end, colors=GREY, linewidth=max(width, 1))
