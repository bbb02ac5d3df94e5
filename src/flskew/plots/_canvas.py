"""Shared by all pictures: figures and axes, the names along the sides, and whether text fits.

matplotlib is imported when the first picture is drawn; pyplot never is.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from flskew.plots._style import style
from flskew.typing import Label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Size", "check_axes", "draw_on", "draw_panels", "font_size", "in_legend", "name_side"]
__all__ += ["new_axes", "printable", "room", "root_figure", "shown", "text_width", "wrapped", "write_inside"]

Size: TypeAlias = tuple[float, float]
"""Width and height of one Axes in inches, without the text around it."""

# Longer names are shortened: a class name may be a sentence.
_LONGEST_NAME = 32
# More names than these never fit side by side, so their widths are not measured.
_MOST_MEASURED = 200
# Of panels side by side, and the inches that they share.
_MOST_PANELS, _WIDTH_OF_PANELS = 4, 7.8


def draw_on(ax: Axes | None, size: Size, draw: Callable[[list[Axes]], None]) -> Figure:
    """Draw on the given axes, or on axes of this size in a new figure that fits all text around them.

    Raises:
        TypeError: `ax` is not an Axes.
        ImportError: matplotlib is not installed.
    """
    if ax is not None:
        draw([check_axes("ax", ax)])
        return root_figure(ax)
    with new_axes(size) as axes:
        draw(axes)
    return root_figure(axes[0])


def draw_panels(
    ax: Axes | None, titles: Sequence[str], height: float, draw: Callable[[Sequence[Axes], int], None]
) -> Figure:
    """Draw panels of this height in a new figure, each below its title, or a single one on the given axes.

    Args:
        ax: The axes of a single panel.
        titles: One per panel; a single panel has none.
        height: Of each panel, in inches.
        draw: Called with the axes, row by row, and the number of columns.

    Raises:
        TypeError: `ax` is not an Axes.
        ImportError: matplotlib is not installed.
    """
    count = len(titles)
    rows = -(-count // (3 if count <= 6 else _MOST_PANELS))
    columns = -(-count // rows)
    if count == 1:
        return draw_on(ax, (4.6, height), lambda axes: draw(axes, 1))
    with new_axes((_WIDTH_OF_PANELS / max(columns, 3), height), count, columns) as axes:
        for one, title in zip(axes, titles, strict=True):
            one.set_title(printable(wrapped(shown(title), room(one)[0], 1.2 * font_size(one))))
        draw(axes, columns)
    return root_figure(axes[0])


@contextmanager
def new_axes(size: Size, count: int = 1, columns: int = 1) -> Iterator[list[Axes]]:
    """Yield axes of this size in a new figure in our style, then enlarge the figure to fit the text around them."""
    _need_matplotlib()
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from flskew.plots._artists import NotebookFigure

    rows = -(-count // columns)
    layout = ConstrainedLayoutEngine(wspace=0.06, hspace=0.06)
    with style():
        figure = NotebookFigure(figsize=(columns * size[0], rows * size[1]), layout=layout)
        figure.subplotpars.update(left=0, right=1, bottom=0, top=1, wspace=0, hspace=0)
        axes: list[Axes] = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        for one in axes[count:]:
            one.remove()
        yield axes[:count]
        figure.set_size_inches(columns * size[0] + 5, rows * size[1] + 5)
        # Twice: once the axes have their final size, text that was longer than its axes needs less room.
        for _ in range(2):
            layout.execute(figure)
            (width, height), box = figure.get_size_inches(), axes[0].get_position()
            wider, higher = columns * (size[0] - box.width * width), rows * (size[1] - box.height * height)
            figure.set_size_inches(width + wider, height + higher)


def check_axes(name: str, value: object) -> Axes:
    """Return `value` if it is a matplotlib Axes."""
    _need_matplotlib()
    from matplotlib.axes import Axes

    if not isinstance(value, Axes):
        raise TypeError(
            f"{name} must be a matplotlib Axes, such as figure.add_subplot() returns, got {type(value).__name__}"
        )
    return value


def root_figure(ax: Axes) -> Figure:
    """Return the figure that contains these axes, even if they are in a subfigure."""
    return ax.figure.figure


def room(ax: Axes) -> tuple[float, float]:
    """Return the width and height of axes in points."""
    box = ax.get_window_extent()
    dpi = root_figure(ax).dpi
    return box.width * 72 / dpi, box.height * 72 / dpi


def font_size(ax: Axes) -> float:
    """Return the font size of the labels of axes in points."""
    return float(ax.xaxis.label.get_fontsize())


def text_width(text: str, size: float) -> float:
    """Return the width in points of a text in the current font."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0]


def wrapped(text: str, width: float, size: float) -> str:
    """Wrap a text into lines of about this width in points, but at least twelve characters."""
    return textwrap.fill(text, max(int(len(text) * width / max(text_width(text, size), 1)), 12))


def write_inside(ax: Axes, x: float, y: float, text: str, color: str, size: float) -> None:
    """Write a text centred at a point inside the axes, hidden from the layout engine, which need not measure it."""
    ax.text(x, y, printable(text), color=color, fontsize=size, ha="center", va="center_baseline", in_layout=False)


def shown(name: Label | float) -> str:
    """Return a name in one line of limited length."""
    text = " ".join(str(name).split())
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1].rstrip() + "…"


def printable(text: str) -> str:
    """Escape dollar signs, which matplotlib would take for mathematics."""
    return text.replace("$", r"\$")


def in_legend(name: Label) -> str:
    """Return a name for a legend, which ignores names that begin with an underscore."""
    text = printable(shown(name))
    return f" {text}" if text.startswith("_") else text


def name_side(ax: Axes, side: Literal["x", "y"], what: str, names: Sequence[Label], *, key: Sequence[str] = ()) -> bool:
    """Label an axis and its places 0, 1, ...; return whether there was room for all names.

    Names that are the numbers 0, 1, ... are written horizontally; other names below a picture are rotated if they do
    not fit. If there are still too many, only every second, fifth, ... is written.

    Args:
        ax: The axes.
        side: "x" or "y".
        what: The label of the axis, such as "class".
        names: One for each place.
        key: Explanations of the marks in the picture, written below it on the side "x".
    """
    size = font_size(ax)
    along = room(ax)["xy".index(side)]
    place, needed, rotation = along / len(names), 1.3 * size, 0
    if side == "x":
        counting = all(name == position for position, name in enumerate(names))
        measured = names[-1:] if counting else names[: _MOST_MEASURED + 1]
        widest = max(text_width(shown(name), size) for name in measured) + 0.6 * size
        if counting or (len(names) <= _MOST_MEASURED and widest <= place):
            needed = widest
        else:
            rotation = 90
    positions = range(0, len(names), _round_up(needed / place))
    labels = [printable(shown(names[position])) for position in positions]
    if side == "x":
        line = "   ".join(key)
        lines = [line] if text_width(line, size) <= along else [wrapped(entry, along, size) for entry in key]
        ax.set_xticks(positions, labels, rotation=rotation)
        ax.set_xlabel("\n".join([what, *lines] if key else [what]))
    else:
        ax.set_yticks(positions, labels)
        ax.set_ylabel(what)
    return len(positions) == len(names)


def _round_up(step: float) -> int:
    """Return the next of 1, 2, 5, 10, 20, ..."""
    ten = 1
    while True:
        for factor in (1, 2, 5):
            if factor * ten >= step:
                return factor * ten
        ten *= 10


def _need_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError("pictures need matplotlib, which is not installed; pip install 'flskew[plot]'") from error
