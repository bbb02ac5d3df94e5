"""What all pictures share: where they are drawn, how their axes are labelled, how much fits.

matplotlib is imported when the first picture is drawn, and pyplot never.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from flskew.typing import Label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREY", "Side", "Size", "below", "beside", "check_axes", "font_size", "label_side", "new_figure"]
__all__ += ["open_axes", "printable", "room", "root_figure", "shown", "text_width"]

BLUE, GREY = "#0a5a9c", "#8c8c8c"

Side: TypeAlias = Literal["x", "y"]
"""The axis on which something lies."""

# Longer names are cut: a class may be called by a sentence.
_LONGEST_NAME = 32
# Of the font size: the mean width of a character in matplotlib's default font.
_CHARACTER = 0.62
# Of a million names few fit, and those need not be the first.
_MOST_MEASURED = 10**4


class Size(NamedTuple):
    """A picture's size in inches, and the room for words around it."""

    width: float
    height: float
    left: float = 0.75
    bottom: float = 0.75
    right: float = 0.15
    top: float = 0.15


def new_figure(size: Size, rows: int = 1, columns: int = 1) -> Figure:
    """Make a figure for so many pictures that belongs to nobody else.

    Raises:
        ImportError: matplotlib is not installed.
    """
    _need_matplotlib()
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from flskew.plots._artists import NotebookFigure

    width = size.left + columns * size.width + size.right
    height = size.bottom + rows * size.height + size.top
    figure = NotebookFigure(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=0.06, hspace=0.06))
    # The layout engine has the last word when the figure is drawn; until then, this says how much fits.
    figure.subplotpars.update(
        left=size.left / width,
        right=1 - size.right / width,
        bottom=size.bottom / height,
        top=1 - size.top / height,
        wspace=0,
        hspace=0,
    )
    return figure


def open_axes(ax: Axes | None, size: Size) -> Axes:
    """Return the axes to draw on: the caller's, or new ones of this size.

    Raises:
        TypeError: `ax` is something else.
        ImportError: matplotlib is not installed.
    """
    return new_figure(size).add_subplot() if ax is None else check_axes("ax", ax)


def check_axes(name: str, value: object) -> Axes:
    """Return `value` when it is a matplotlib Axes."""
    _need_matplotlib()
    from matplotlib.axes import Axes

    if not isinstance(value, Axes):
        raise TypeError(
            f"{name} must be a matplotlib Axes, such as figure.add_subplot() returns, got {type(value).__name__}"
        )
    return value


def root_figure(ax: Axes) -> Figure:
    """Return the figure that holds these axes, however deep in its subfigures."""
    return ax.figure.figure


def room(ax: Axes) -> tuple[float, float]:
    """Return width and height of axes in points, as they are before words are laid out beside them."""
    box = ax.get_window_extent()
    dpi = root_figure(ax).dpi
    return box.width * 72 / dpi, box.height * 72 / dpi


def font_size(ax: Axes) -> float:
    """Return the size in points in which axes are labelled."""
    return float(ax.xaxis.label.get_fontsize())


def text_width(text: str, size: float) -> float:
    """Return about how many points wide a text is; full-width characters count twice."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return (len(text) + wide) * _CHARACTER * size


def shown(name: Label | float) -> str:
    """Return a name in one line of bearable length."""
    text = " ".join(str(name).split())
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1].rstrip() + "…"


def printable(text: str) -> str:
    """Return a text as matplotlib takes it without reading mathematics into its dollars."""
    return text.replace("$", r"\$")


def beside(names: Sequence[Label]) -> float:
    """Return how many inches names take that are written beside a picture."""
    return _widest(names, 10) / 72 + 0.55


def below(names: Sequence[Label], width: float) -> float:
    """Return how many inches names take that are written below a picture of this width in inches."""
    upright = _upright(_widest(names, 10), 10, width * 72 / len(names))
    return 0.7 + (_widest(names, 10) / 72 if upright else 0)


def label_side(ax: Axes, side: Side, what: str, names: Sequence[Label], *, key: Sequence[str] = ()) -> bool:
    """Write what lies on a side and the names of its places 0, 1, ..., as many as fit; say whether all did.

    Args:
        ax: The axes.
        side: "x" or "y".
        what: A word for all of them, such as "class".
        names: One for each place.
        key: What the marks in the picture mean, written below on the side "x".
    """
    size = font_size(ax)
    line = 1.3 * size
    if side == "y":
        needed, place, rotation = line, room(ax)[1] / len(names), 0
    else:
        place, widest = room(ax)[0] / len(names), _widest(names, size)
        needed, rotation = (line, 90) if _upright(widest, size, place) else (widest + 0.6 * size, 0)
    positions = range(0, len(names), _round_up(needed / place))
    labels = [printable(shown(names[position])) for position in positions]
    if side == "x":
        ax.set_xticks(positions, labels, rotation=rotation)
        ax.set_xlabel("\n".join([what, *_lines(key, room(ax)[0] / (_CHARACTER * size))]))
    else:
        ax.set_yticks(positions, labels)
        ax.set_ylabel(what)
    return len(positions) == len(names)


def _lines(key: Sequence[str], letters: float) -> list[str]:
    """Put a key into one line where it fits, and else into one or more for each of its entries."""
    in_line = "   ".join(key)
    if len(in_line) <= letters:
        return [in_line] if key else []
    return [line for entry in key for line in textwrap.wrap(entry, max(int(letters), 12))]


def _widest(names: Sequence[Label], size: float) -> float:
    return max(text_width(shown(name), size) for name in names[:_MOST_MEASURED])


def _upright(widest: float, size: float, place: float) -> bool:
    """Whether names are turned: long ones that do not fit side by side. Of short ones some are left out."""
    return widest + 0.6 * size > place and widest > 4 * size


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
