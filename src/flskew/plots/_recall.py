"""Recall per class and model: what each model cannot see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew.plots._canvas import open_axes, root_figure
from flskew.plots._cells import (
    PALEST,
    Names,
    add_scale,
    cell_size,
    draw_cells,
    frame_cells,
    mark_cells,
    table_size,
    write_in_cells,
)
from flskew.skew._words import names_of_classes
from flskew.typing import Label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["recall"]

Fractions: TypeAlias = Sequence[float] | NDArray[np.floating[Any]]


def recall(
    recall: Mapping[str, Fractions] | Sequence[Fractions] | NDArray[np.floating[Any]],
    *,
    class_names: Iterable[Label] | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw of each class the fraction that each model recognises, the darker, the more.

    Args:
        recall: For each model, by its name, one number per class, between 0 and 1; or (num_models, num_classes)
            numbers. NaN for a class of which there was nothing to recognise: it is crossed out.
        class_names: What to call the classes; by default 0, 1, ...
        ax: Where to draw; by default on a figure of its own.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: `ax` is something else than an Axes, or `class_names` is no list.
        ValueError: A number is not between 0 and 1, the models differ in their number of classes, or there is nothing
            to draw.

    Examples:
        >>> from flskew import plots
        >>> recall = {"alone": [0.98, 0.0], "together": [0.97, 0.95]}
        >>> figure, axes = plots.recall(recall, class_names=["cat", "dog"])
        >>> [text.get_text() for text in axes.texts]  # in %
        ['98', '0', '97', '95']
    """
    models, table = _read(recall)
    classes: Sequence[Label] = range(table.shape[1])
    if class_names is not None:
        classes = names_of_classes(class_names, classes)
    axes = open_axes(ax, table_size(Names("model", models), Names("class", classes), cell=(0.42, 0.38)))
    _draw(axes, models, classes, table)
    return root_figure(axes), axes


def _draw(ax: Axes, models: Sequence[Label], classes: Sequence[Label], table: NDArray[np.float64]) -> None:
    from matplotlib.colors import Normalize

    unknown = np.isnan(table)
    key: list[str] = []
    # Nothing recognised is as good as white, unless white has to say that nothing was tested.
    palest = PALEST if unknown.any() else 0.0
    shades = draw_cells(ax, table, Normalize(0, 1), key, pool="smallest", palest=palest)
    width, height = cell_size(ax, *table.shape)
    if write_in_cells(ax, table, _percent, _ink, width - 2, height - 2):
        key.append("recall in %")
    else:
        add_scale([ax], shades, "recall")
    if unknown.any():
        key.append("×: not tested" if mark_cells(ax, unknown) else "white: not tested")
    frame_cells(ax, Names("model", models), Names("class", classes), key)


def _percent(recall: float) -> str:
    return "" if np.isnan(recall) else f"{100 * recall:.0f}"


def _ink(recall: float) -> str:
    return "white" if recall > 0.5 else "#1a1a1a"


def _read(recall: object) -> tuple[Sequence[Label], NDArray[np.float64]]:
    """Return the models' names, and their (num_models, num_classes) recalls."""
    named: Mapping[Any, Any]
    if isinstance(recall, Mapping):
        named = recall
    elif isinstance(recall, Sequence | np.ndarray) and not isinstance(recall, str):
        named = dict(enumerate(recall))
    else:
        raise TypeError(f"recall must be a mapping from models to recalls, or a matrix, got {type(recall).__name__}")
    try:
        rows = [np.asarray(values, dtype=np.float64) for values in named.values()]
    except (TypeError, ValueError):
        raise TypeError("recall must hold one number per class for each model") from None
    lengths = {row.shape for row in rows}
    if len(lengths) > 1 or any(row.ndim != 1 for row in rows):
        raise ValueError(
            f"recall must hold one number per class for each model, and as many for each; "
            f"got shapes {', '.join(map(str, sorted(lengths)))}"
        )
    if not rows or np.isnan(rows).all():
        raise ValueError("recall must hold at least one number, got none")
    table = np.array(rows)
    wrong = np.argwhere((table < 0) | (table > 1))
    if len(wrong):
        model, code = wrong[0].tolist()
        raise ValueError(
            f"recall must be between 0 and 1, got {table[model, code]:g} for model {list(named)[model]!r} and class "
            f"{code}; divide percentages by 100"
        )
    return list(named), table
