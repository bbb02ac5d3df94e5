"""Several splits side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from flskew._util import checks
from flskew.plots._bars import bars_size, draw_bars
from flskew.plots._canvas import Size, check_axes, font_size, new_figure, printable, room, root_figure
from flskew.plots._dots import dots_size, draw_dots
from flskew.plots._heatmap import draw_heatmap, heatmap_size
from flskew.plots._sizes import draw_sizes, sizes_size
from flskew.skew._several import named_splits
from flskew.skew.tally import Split, Tally, tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["splits"]

Kind: TypeAlias = Literal["dots", "heatmap", "bars", "sizes"]

_Measure: TypeAlias = Callable[[Tally], Size]
_Draw: TypeAlias = "Callable[[Sequence[Axes], Sequence[Tally]], None]"

_KINDS: dict[str, tuple[_Measure, _Draw]] = {
    "dots": (dots_size, draw_dots),
    "heatmap": (heatmap_size, draw_heatmap),
    "bars": (bars_size, draw_bars),
    "sizes": (sizes_size, draw_sizes),
}
_MOST_IN_A_ROW = 4
# Inches: what a page or a screen has.
_WIDEST = 11


def splits(
    splits: Mapping[str, Split] | Iterable[Split], *, kind: Kind = "dots", ax: Sequence[Axes] | None = None
) -> tuple[Figure, list[Axes]]:
    """Draw several splits side by side to one scale: as many rows are as large a dot, a shade or a bar in each.

    Args:
        splits: By the names to write above them, such as the alphas; or in a row, as split 0, 1, ... All have the
            same classes.
        kind: "dots", "heatmap", "bars" or "sizes", as `dots` and so on draw them.
        ax: Where to draw, one Axes for each split; by default on a figure of their own, four in a row.

    Returns:
        The figure, and the axes in the order of the splits.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `splits` is one split and no list of them, or `ax` holds something else than Axes.
        ValueError: There is no split, or the classes differ, or there are other than one Axes per split.

    Examples:
        >>> from flskew import DirichletPartitioner, plots
        >>> labels = [0, 1, 2] * 100
        >>> splits = {f"alpha {a}": DirichletPartitioner(5, "label", a).assign(labels) for a in (0.1, 1, 10)}
        >>> figure, axes = plots.splits(splits, kind="bars")
        >>> [one.get_title() for one in axes]
        ['alpha 0.1', 'alpha 1', 'alpha 10']
    """
    measure, draw = _KINDS[checks.choice("kind", kind, tuple(_KINDS))]
    named = named_splits(splits, prefix="split ", instead=f"plots.{kind}")
    tallies = [tally(split) for split in named.values()]
    for name, counted in zip(named, tallies, strict=True):
        if counted.classes != tallies[0].classes:
            raise ValueError(
                f"splits must have the same classes, and {name!r} has others than {next(iter(named))!r}; "
                f"pass counts with a column for every class, a class without rows included"
            )
    axes = _new_axes(tallies, measure) if ax is None else _given_axes(ax, len(tallies))
    draw(axes, tallies)
    if ax is None:
        for number, one in enumerate(axes):
            if number % _MOST_IN_A_ROW:  # The first in a row speaks for all.
                one.set_ylabel("")
                one.tick_params(labelleft=False)
    for one, name in zip(axes, named, strict=True):
        letters = max(int(room(one)[0] / (0.62 * 1.2 * font_size(one))), 8)
        one.set_title("\n".join(textwrap.wrap(printable(name), letters)))
    return root_figure(axes[0]), axes


def _new_axes(tallies: Sequence[Tally], measure: _Measure) -> list[Axes]:
    columns = min(len(tallies), _MOST_IN_A_ROW)
    rows = -(-len(tallies) // columns)
    largest = Size(*map(max, zip(*map(measure, tallies), strict=True)))
    width = min(max(largest.width, 1.9), (_WIDEST - largest.left - largest.right) / columns)
    height = max(largest.height * min(width / largest.width, 1), min(largest.height, 3))
    # Words are below each, and a title above.
    size = largest._replace(width=width, height=height + 0.3 + (rows > 1) * largest.bottom)
    axes: list[Axes] = new_figure(size, rows, columns).subplots(rows, columns, squeeze=False).ravel().tolist()
    for one in axes[len(tallies) :]:
        one.remove()
    return axes[: len(tallies)]


def _given_axes(ax: Sequence[Axes], count: int) -> list[Axes]:
    if not isinstance(ax, Iterable):
        raise TypeError(f"ax must hold one Axes for each of the {count} splits, got {type(ax).__name__}")
    axes = [check_axes(f"ax[{number}]", value) for number, value in enumerate(ax)]
    if len(axes) != count:
        raise ValueError(f"ax must hold one Axes for each of the {count} splits, got {len(axes)}")
    return axes
