"""Recall by class and model, which shows the classes that each model fails to recognise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flskew._util.words import names_of_classes
from flskew.plots._canvas import draw_on
from flskew.plots._cells import (
    PALEST,
    Names,
    add_scale,
    cell_size,
    draw_cells,
    frame_cells,
    mark_cells,
    name_cells,
    table_size,
    write_in_cells,
)
from flskew.plots._numbers import Fractions, read_fractions
from flskew.plots._style import INK
from flskew.typing import Label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["recall"]


def recall(
    recall: Mapping[str, Fractions] | Sequence[Fractions] | NDArray[np.floating],
    *,
    class_names: Iterable[Label] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a table of the recall of each model for each class; higher recalls are darker.

    Use it when clients lack classes, and you want to see what they learn about these from the others.

    The cells show percentages if they fit; otherwise there is a scale beside the picture. A class without test data is
    crossed out.

    Args:
        recall: A mapping from each model's name to one number between 0 and 1 per class; or (num_models, num_classes)
            numbers. NaN for a class without test data.
        class_names: The names of the classes; 0, 1, ... by default.
        ax: The axes to draw on; a new figure by default.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is not an Axes, `class_names` is not a list, or `recall` contains anything but numbers.
        ValueError: A number is not between 0 and 1, models have different numbers of classes, or there are no numbers.

    Examples:
        >>> from flskew import plots
        >>> recall = {"alone": [0.98, 0.0], "together": [0.97, 0.95]}
        >>> figure = plots.recall(recall, class_names=["cat", "dog"])
        >>> [text.get_text() for text in figure.axes[0].texts]  # in %
        ['98', '0', '97', '95']
    """
    read = read_fractions("recall", recall, "model")
    shapes = {values.shape for values in read.values()}
    if len(shapes) > 1 or () in shapes:
        raise ValueError(
            f"recall must contain one number per class for each model, and equally many for all models; "
            f"got shapes {', '.join(map(str, sorted(shapes)))}"
        )
    table = np.array([*read.values()])
    classes: Sequence[Label] = range(table.shape[1])
    if class_names is not None:
        classes = names_of_classes(class_names, classes)
    sides = Names("model", list(read)), Names("class", classes)
    return draw_on(ax, table_size(*sides, cell=(0.42, 0.38)), partial(_draw, table=table, sides=sides))


def _draw(axes: Sequence[Axes], table: NDArray[np.float64], sides: tuple[Names, Names]) -> None:
    from matplotlib.colors import Normalize

    (ax,) = axes
    unknown = np.isnan(table)
    key: list[str] = []
    # A recall of 0 is white, unless white means that a class was not tested.
    palest = PALEST if unknown.any() else 0.0
    frame_cells(ax, *table.shape)
    shades = draw_cells(ax, table, Normalize(0, 1), key, pool="smallest", palest=palest)
    width, height = cell_size(ax, *table.shape)
    if write_in_cells(ax, table, _percent, _ink, width - 2, height - 2):
        key.append("recall in %")
    else:
        add_scale(axes, shades, "recall")
    if unknown.any():
        key.append("×: not tested" if mark_cells(ax, unknown) else "white: not tested")
    name_cells(ax, *sides, key)


def _percent(recall: float) -> str:
    return "" if np.isnan(recall) else f"{100 * recall:.0f}"


def _ink(recall: float) -> str:
    return "white" if recall > 0.5 else INK
