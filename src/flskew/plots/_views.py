"""The images of each client, as it sees them: one line per partition."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew.assignment import Assignment
from flskew.plots._canvas import draw_on, font_size, name_side, shown, text_width, write_inside
from flskew.plots._cells import cell_size, frame_cells, mark_cells
from flskew.plots._style import INK
from flskew.typing import Features, Label, Labels, Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["views"]

# More lines than these are hard to compare; of more partitions, some are shown, at even steps.
_MOST_LINES = 12
_CHANNELS = (1, 3, 4)
# Inches: the width of an image, and the largest picture.
_WIDTH, _LARGEST = 0.5, (7.0, 6.0)
# The part of a cell below its image, with and without a label.
_STRIP, _GAP = 0.34, 0.06


class _Line(NamedTuple):
    """What one partition sees.

    Attributes:
        name: The name of the partition, or its id.
        images: (num_images, height, width, channels) as it sees them.
        words: The text below each image; empty if there are no labels.
    """

    name: Label
    images: NDArray[np.float64]
    words: list[str]


def views(
    assignment: Assignment,
    images: Features,
    *,
    labels: Labels | None = None,
    rows: Iterable[int] | None = None,
    num_images: int = 8,
    ax: Axes | None = None,
) -> Figure:
    """Draw images as the clients see them, with one line per partition.

    Use it when you have images, and want to see what a shift does to them or how clients differ.

    Without `rows`, each partition shows the first images that it has. With `rows`, all show the same images, whether
    they have them or not, to compare what a shift does, such as noise or a rotation. Of more than 12 partitions, 12 are
    shown, spread evenly.

    All images are drawn on one scale: black is the smallest value of the images as they are, and white the largest. A
    shift may make them darker or brighter than that.

    Args:
        assignment: The split; images and labels are seen through its shift, if it has one.
        images: One image per row of the data set, as they are: (num_rows, height, width), or with 1, 3 or 4 channels as
            the second or the last axis.
        labels: One label per row of the data set, as they are, to write below the images. If a client sees another
            label, both are written, as "1→7".
        rows: The rows of the data set to show for every partition.
        num_images: Number of images per partition if `rows` is not given, at least 1.
        ax: The axes to draw on; a new figure by default.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: An argument has the wrong type.
        ValueError: The images have the wrong shape, there is not one per row, or a row does not exist.

    Examples:
        >>> import numpy as np
        >>> from flskew import Assignment, plots
        >>> from flskew.shifts import Affine
        >>> sites = Assignment.from_partitions(
        ...     {"Bern": range(10), "Lyon": range(10, 20)}
        ... )
        >>> images = np.random.default_rng(0).random((20, 8, 8))
        >>> figure = plots.views(
        ...     sites.with_shift(Affine(gain=[1.0, 0.5])), images, rows=range(5)
        ... )
        >>> [name.get_text() for name in figure.axes[0].get_yticklabels()]
        ['Bern', 'Lyon']
    """
    if not isinstance(assignment, Assignment):
        raise TypeError(f"assignment must be an Assignment, got {type(assignment).__name__}")
    pixels = np.asarray(images)
    _as_shown(pixels)
    given = None if labels is None else np.asarray(labels)
    for name, values in (("images", pixels), ("labels", given)):
        if values is not None and len(values) != assignment.num_rows:
            raise ValueError(
                f"{name} must have one entry for each of the {assignment.num_rows:,} rows of the data set, got "
                f"{len(values):,}"
            )
    num_images = checks.integer("num_images", num_images, minimum=1)
    same = None if rows is None else _checked_rows(rows, assignment.num_rows)
    partition_ids = _evenly(len(assignment))
    held = [assignment[partition_id][:num_images] if same is None else same for partition_id in partition_ids]
    lines = [_seen(assignment, pixels, given, *pair) for pair in zip(partition_ids, held, strict=True)]
    key = [f"{len(lines)} of {len(assignment):,} partitions"] if len(lines) < len(assignment) else []
    original = _as_shown(pixels[np.concatenate(held)])
    columns = max(max(map(len, held)), 1)
    height, width = original.shape[1:3]
    high = _WIDTH * height / width / (1 - (_GAP if labels is None else _STRIP))
    size = (min(_WIDTH * columns, _LARGEST[0]), min(high * len(lines), _LARGEST[1]))
    draw = partial(_draw, lines=lines, columns=columns, original=original, same=same, key=key)
    return draw_on(ax, size, draw)


def _as_shown(images: NDArray[Any]) -> NDArray[np.float64]:
    """Return (num_images, height, width, channels), with 1 channel or 3."""
    if images.ndim == 3:
        images = images[..., None]
    axes = [axis for axis in (1, 3) if images.ndim == 4 and images.shape[axis] in _CHANNELS]
    # Both for an image of a few pixels: grey ones have a single channel.
    axes = [axis for axis in axes if images.shape[axis] == 1] if len(axes) > 1 else axes
    if len(axes) != 1 or images.dtype.kind not in "biuf":
        raise ValueError(
            f"images must be numbers of shape (num_rows, height, width), or with 1, 3 or 4 channels, got "
            f"{images.dtype} of shape {images.shape}; reshape them"
        )
    # Without transparency.
    return np.moveaxis(images, axes[0], 3)[..., :3].astype(np.float64)


def _checked_rows(rows: Iterable[int], num_rows: int) -> Rows:
    checked = [checks.integer("rows", row, minimum=0, maximum=num_rows - 1) for row in rows]
    if not checked:
        raise ValueError("rows must contain at least one row, got none; omit it for the first rows of each partition")
    return np.array(checked, dtype=np.int64)


def _evenly(num_partitions: int) -> list[int]:
    """Return the partitions to show: the first, the last, and others at even steps."""
    count = min(num_partitions, _MOST_LINES)
    return [place * (num_partitions - 1) // max(count - 1, 1) for place in range(count)]


def _seen(
    assignment: Assignment, images: NDArray[Any], labels: NDArray[Any] | None, partition_id: int, rows: Rows
) -> _Line:
    view = assignment.view(partition_id)
    name = partition_id if assignment.names is None else assignment.names[partition_id]
    words: list[str] = []
    if labels is not None:
        pairs = zip(labels[rows].tolist(), view.labels(labels[rows], rows).tolist(), strict=True)
        words = [str(one) if one == other else f"{one}→{other}" for one, other in pairs]
    return _Line(name, _as_shown(view.features(images[rows], rows)), words)


def _draw(
    axes: list[Axes],
    lines: list[_Line],
    columns: int,
    original: NDArray[np.float64],
    same: Rows | None,
    key: list[str],
) -> None:
    (ax,) = axes
    frame_cells(ax, len(lines), columns)
    cell_width, cell_height = cell_size(ax, len(lines), columns)
    strip = _STRIP if any(line.words for line in lines) else _GAP
    known = original[np.isfinite(original)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    size = 0.85 * font_size(ax)
    for place, line in enumerate(lines):
        for column, image in enumerate(line.images):
            # White where values are missing.
            shades = np.nan_to_num(np.clip((image - low) / ((high - low) or 1.0), 0, 1), nan=1.0)
            left, top = column - 0.5 + _GAP / 2, place - (1 - strip) / 2
            ax.imshow(
                np.broadcast_to(shades, (*shades.shape[:2], 3)),
                extent=(left, left + 1 - _GAP, top + 1 - strip, top),
                interpolation="nearest",
                aspect="auto",
            )
        for column, word in enumerate(line.words):
            if size <= strip * cell_height:
                write_inside(ax, column, place + 0.5, _fitted(shown(word), cell_width - 1, size), INK, size)
    # `imshow` has set the limits to those of the last image. The centre of an image is that of its line.
    frame_cells(ax, len(lines), columns)
    ax.set_ylim(len(lines) - 0.5 + strip / 2, -0.5 + strip / 2)
    empty = np.array([[not len(line.images) and column == 0 for column in range(columns)] for line in lines])
    if mark_cells(ax, empty):
        key = [*key, "×: no rows"]
    name_side(ax, "y", "partition", [line.name for line in lines])
    if same is not None and not any(line.words for line in lines):
        name_side(ax, "x", "row", same.tolist(), key=key)
    else:
        # Numbers of rows below labels would look like labels.
        ax.set_xticks([])
        what = "first rows of each partition" if same is None else "the same rows for every partition"
        ax.set_xlabel("\n".join([what, *key]))


def _fitted(word: str, width: float, size: float) -> str:
    """Shorten a word to this width in points."""
    while word and text_width(word, size) > width:
        word = f"{word.rstrip('…')[:-1]}…" if len(word) > 2 else ""
    return word
