"""The picture of the images that clients see."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flskew import Assignment, plots
from flskew.shifts import Affine, LabelShift

IMAGES = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
SPLIT = Assignment.from_partitions({"Bern": [4, 0, 1], "Lyon": [2], "none": []}, num_rows=6)


class OneMore(LabelShift):
    """Lyon counts from 1."""

    def relabel(self, labels: Any, rows: Any, viewer: Any) -> Any:
        return labels + (viewer.partition_id == 1)

    def at(self, severity: float) -> OneMore:
        return self


def shades(figure: Figure) -> list[Any]:
    """The shade of the first pixel of each image."""
    (axes,) = figure.axes
    return [np.asarray(image.get_array())[0, 0].tolist() for image in axes.images]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def names(figure: Figure) -> list[str]:
    return [name.get_text() for name in figure.axes[0].get_yticklabels()]


def test_each_partition_shows_its_own_first_images() -> None:
    figure = plots.views(SPLIT, IMAGES, num_images=2)
    FigureCanvasAgg(figure).draw()
    # From 0 to 79: rows 4 and 0 of Bern, and row 2 of Lyon.
    assert [grey[0] for grey in shades(figure)] == pytest.approx([64 / 79, 0, 32 / 79])
    assert names(figure) == ["Bern", "Lyon", "none"]
    assert figure.axes[0].get_xlabel() == "first rows of each partition\n×: no rows"


def test_all_partitions_show_the_same_rows_each_through_its_shift() -> None:
    figure = plots.views(SPLIT.with_shift(Affine([1, 0.5, 2])), IMAGES, rows=[1, 3])
    # Rows 1 and 3 begin with 16 and 48, of values from 16 to 63.
    scaled = [0, 32 / 47, -8 / 47, 8 / 47, 16 / 47, 80 / 47]
    assert [grey[0] for grey in shades(figure)] == pytest.approx(np.clip(scaled, 0, 1))
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["1", "3"]


def test_labels_are_below_the_images_and_those_seen_differently_show_both() -> None:
    figure = plots.views(SPLIT.with_shift(OneMore()), IMAGES, rows=[0, 5], labels=[3, 1, 4, 1, 5, 9])
    assert words(figure) == ["3", "9", "3→4", "9→10", "3", "9"]
    assert figure.axes[0].get_xlabel() == "the same rows for every partition"
    assert not figure.axes[0].get_xticks().size
    longer = plots.views(SPLIT, IMAGES, rows=[0], labels=["an automobile"] * 6)
    assert all(word.startswith("an") and word.endswith("…") for word in words(longer))


@pytest.mark.parametrize("shape", [(6, 4, 4, 1), (6, 1, 4, 4)])
def test_grey_images_may_have_a_channel(shape: tuple[int, ...]) -> None:
    plain, with_channel = (plots.views(SPLIT, images) for images in (IMAGES, IMAGES.reshape(shape)))
    assert shades(plain) == shades(with_channel)


def test_colours_may_be_the_second_or_the_last_axis() -> None:
    colours = np.random.default_rng(0).random((6, 5, 7, 3))
    last, second = (plots.views(SPLIT, images) for images in (colours, colours.transpose(0, 3, 1, 2)))
    assert shades(last) == shades(second)
    assert len(set(shades(last)[0])) == 3
    transparent = np.concatenate([colours, np.full((6, 5, 7, 1), 9.0)], axis=3)
    assert shades(plots.views(SPLIT, transparent)) == shades(last)


def test_of_many_partitions_twelve_are_shown_from_the_first_to_the_last() -> None:
    many = Assignment.from_partitions([[row] for row in range(100)])
    figure = plots.views(many, np.zeros((100, 4, 4)))
    assert names(figure) == [str(number) for number in range(0, 100, 9)]
    assert figure.axes[0].get_xlabel().endswith("12 of 100 partitions")


def test_missing_pixels_are_white_and_equal_images_are_drawn() -> None:
    images = np.full((6, 4, 4), 2.0)
    images[4, 0, 0] = np.nan
    assert [grey[0] for grey in shades(plots.views(SPLIT, images))] == [1, 0, 0, 0]
    FigureCanvasAgg(plots.views(Assignment.from_partitions([[]], num_rows=6), images)).draw()


def test_the_picture_is_drawn_on_the_given_axes_and_the_images_are_not_changed() -> None:
    opened, before = plt.get_fignums(), IMAGES.copy()
    figure = Figure()
    ax = figure.add_subplot()
    assert plots.views(SPLIT.with_shift(Affine(2.0)), IMAGES, ax=ax) is figure
    assert len(ax.images) == 4
    assert np.array_equal(IMAGES, before)
    assert plt.get_fignums() == opened


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"assignment": [[0]]}, TypeError, "assignment must be an Assignment, got list"),
        (
            {"images": np.zeros((6, 16))},
            ValueError,
            r"images must be numbers of shape .* got float64 of shape \(6, 16\)",
        ),
        ({"images": np.zeros((6, 5, 5, 2))}, ValueError, "or with 1, 3 or 4 channels"),
        (
            {"images": IMAGES[:5]},
            ValueError,
            "images must have one entry for each of the 6 rows of the data set, got 5",
        ),
        ({"labels": [1]}, ValueError, "labels must have one entry for each of the 6 rows of the data set, got 1"),
        ({"rows": []}, ValueError, "rows must contain at least one row, got none"),
        ({"rows": [6]}, ValueError, "rows must be at most 5, got 6"),
        ({"num_images": 0}, ValueError, "num_images must be at least 1, got 0"),
        ({"ax": "axes"}, TypeError, "ax must be a matplotlib Axes"),
    ],
    ids=lambda value: None,
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plots.views(**{"assignment": SPLIT, "images": IMAGES, **arguments})
