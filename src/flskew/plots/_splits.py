"""Several splits side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal, TypeAlias

from flskew._util import checks
from flskew.plots._bars import draw_bars
from flskew.plots._canvas import Size, check_axes, font_size, new_axes, printable, room, root_figure, wrapped
from flskew.plots._dots import dots_size, draw_dots
from flskew.plots._heatmap import draw_heatmap, heatmap_size
from flskew.plots._sizes import draw_sizes
from flskew.plots._stairs import partitions_size
from flskew.skew._several import named_splits
from flskew.skew.tally import Split, Tally, tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["splits"]

_Measure: TypeAlias = Callable[[Tally], Size]
_Draw: TypeAlias = "Callable[[Sequence[Axes], Sequence[Tally]], None]"

_KINDS: dict[str, tuple[_Measure, _Draw]] = {
    "dots": (dots_size, draw_dots),
    "heatmap": (heatmap_size, draw_heatmap),
    "bars": (partitions_size, draw_bars),
    "sizes": (partitions_size, draw_sizes),
}
_MOST_IN_A_ROW = 4
# Inches: the width of all pictures in a row, and the height of each, on a page or a screen.
_WIDEST, _HIGHEST = 9.0, 3.0


def splits(
    splits: Mapping[str, Split] | Iterable[Split],
    *,
    kind: Literal["dots", "heatmap", "bars", "sizes"] = "dots",
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Draw several splits side by side, each below its name and all on the same scale.

    Use it when you choose between splits, or show what a parameter does.

    Equal numbers of rows have dots of the same area, the same shade, or bars of the same height in all splits.

    Args:
        splits: The splits by name, or a list of splits, which are named split 0, split 1, ... All must have the same
            classes.
        kind: "dots", "heatmap", "bars" or "sizes", drawn like the function of the same name.
        ax: The axes to draw on, one for each split; a new figure by default, with four splits in a row.

    Returns:
        The figure; its `axes` are in the order of the splits.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `splits` is a single split, or `ax` contains anything but Axes.
        ValueError: There are no splits, their classes differ, or the number of axes is not the number of splits.

    Examples:
        >>> from flskew import DirichletPartitioner, plots
        >>> labels = [0, 1, 2] * 100
        >>> splits = {
        ...     f"alpha {a}": DirichletPartitioner(5, "label", a).assign(labels)
        ...     for a in (0.1, 1, 10)
        ... }
        >>> figure = plots.splits(splits, kind="bars")
        >>> [one.get_title() for one in figure.axes]
        ['alpha 0.1', 'alpha 1', 'alpha 10']
    """
    measure, draw = _KINDS[checks.choice("kind", kind, tuple(_KINDS))]
    named = named_splits(splits, prefix="split ", instead=f"plots.{kind}")
    tallies = [tally(split) for split in named.values()]
    for name, counted in zip(named, tallies, strict=True):
        if counted.classes != tallies[0].classes:
            raise ValueError(
                f"splits must have the same classes, but those of {name!r} differ from those of {next(iter(named))!r}; "
                f"pass counts with a column for every class, even for classes without rows"
            )
    if len({counted.unit for counted in tallies}) > 1:
        raise ValueError("splits must all be of rows with one label each, or all of rows with several, got both")
    columns = min(len(tallies), _MOST_IN_A_ROW)
    size = _common_size([measure(counted) for counted in tallies], columns)
    given = None if ax is None else _given_axes(ax, len(tallies))
    with new_axes(size, len(tallies), columns) if given is None else nullcontext(given) as axes:
        for one, name in zip(axes, named, strict=True):
            one.set_title(printable(wrapped(name, room(one)[0], 1.2 * font_size(one))))
        draw(axes, tallies)
        for number, one in enumerate(axes):
            if given is None and number % columns:  # The labels of the first in a row apply to all.
                one.set_ylabel("")
                one.tick_params(labelleft=False)
    return root_figure(axes[0])


def _common_size(sizes: Sequence[Size], columns: int) -> Size:
    """Return one size for all pictures: that of the largest, shrunk in proportion if they would not fit."""
    width, height = (max(sides) for sides in zip(*sizes, strict=True))
    scale = min(_WIDEST / columns / width, 1)
    return scale * width, max(scale * height, min(height, _HIGHEST))


def _given_axes(ax: Sequence[Axes], count: int) -> list[Axes]:
    if not isinstance(ax, Iterable):
        raise TypeError(f"ax must contain one Axes for each of the {count} splits, got {type(ax).__name__}")
    axes = [check_axes(f"ax[{number}]", value) for number, value in enumerate(ax)]
    if len(axes) != count:
        raise ValueError(f"ax must contain one Axes for each of the {count} splits, got {len(axes)}")
    return axes
