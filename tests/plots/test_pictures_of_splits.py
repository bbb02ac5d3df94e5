"""What the pictures of a split show: artists, labels and numbers, each compared with the counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import CircleCollection, PathCollection, QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from flskew import LabelExclusionPartitioner, plots, skew

# Three partitions of four classes; the last has no row.
COUNTS = np.array([[40, 10, 0, 50], [0, 90, 60, 0], [0, 0, 0, 0]])


def draw(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def only(axes: Axes, kind: type) -> Any:
    (artist,) = [one for one in axes.get_children() if type(one) is kind or isinstance(one, kind)]
    return artist


def labels(axes: Axes) -> tuple[list[str], list[str]]:
    return [tick.get_text() for tick in axes.get_xticklabels()], [tick.get_text() for tick in axes.get_yticklabels()]


def crosses(axes: Axes) -> set[tuple[int, int]]:
    offsets = only(axes, PathCollection).get_offsets()
    return {(round(x), round(y)) for x, y in offsets}


# Dots


def dots(axes: Axes) -> dict[tuple[int, int], float]:
    """Place and area in square points of every dot."""
    draw(axes.figure)
    collection = only(axes, CircleCollection)
    places = [(round(x), round(y)) for x, y in collection.get_offsets()]
    return dict(zip(places, collection.get_sizes(), strict=True))


def test_the_area_of_a_dot_is_the_number_of_rows() -> None:
    areas = dots(plots.dots(COUNTS).axes[0])
    held = {(i, j): count for (i, j), count in np.ndenumerate(COUNTS) if count}
    assert areas.keys() == held.keys()
    for place, count in held.items():
        assert areas[place] / areas[1, 1] == pytest.approx(count / 90)


def test_the_area_that_is_painted_is_the_number_of_rows() -> None:
    figure = plots.dots(np.array([[300, 75]]), partition_id_axis="y", ax=Figure((8, 4), dpi=200).add_subplot())
    axes = figure.axes[0]
    for text in [*axes.texts]:
        text.remove()
    axes.set_axis_off()
    painted = draw(figure)[..., 0] < 128
    left, right = painted[:, :800].sum(), painted[:, 800:].sum()
    assert left / right == pytest.approx(300 / 75, rel=0.02)


def test_the_largest_dot_fits_its_cell_after_the_figure_has_changed_its_shape() -> None:
    figure = plots.dots(COUNTS)
    axes = figure.axes[0]
    for size in ((4, 6), (9, 2), (2, 9)):
        figure.set_size_inches(size)
        diameter = 2 * np.sqrt(max(dots(axes).values()) / np.pi)
        box = axes.get_window_extent()
        cell = min(box.width / 3, box.height / 4) * 72 / figure.dpi
        assert diameter == pytest.approx(0.94 * cell)


def test_a_cross_marks_a_class_that_a_partition_lacks() -> None:
    axes = plots.dots(COUNTS).axes[0]
    assert crosses(axes) == {(i, j) for (i, j), count in np.ndenumerate(COUNTS) if not count}
    assert "×: none" in axes.get_xlabel()


def test_crosses_are_not_explained_if_there_are_none() -> None:
    assert plots.dots(COUNTS[:2, 1:2]).axes[0].get_xlabel() == "partition"


def test_large_dots_contain_their_number_and_the_largest_is_given_below_if_small_ones_do_not() -> None:
    counts = np.array([[900, 800, 1]])
    axes = plots.dots(counts).axes[0]
    written = {tuple(map(round, text.get_position())): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "900", (0, 1): "800"}
    assert "largest dot: 900 rows" in axes.get_xlabel()


def test_one_row_is_visible_beside_a_million() -> None:
    assert dots(plots.dots(np.array([[10**6], [1]])).axes[0])[1, 0] == pytest.approx(np.pi / 4)


def test_partitions_lie_on_x_and_classes_on_y_with_the_first_at_the_top() -> None:
    split = LabelExclusionPartitioner([{"cat"}, {"dog"}]).assign(["cat", "dog", "fox"] * 10)
    axes = plots.dots(split).axes[0]
    assert labels(axes) == (["0", "1"], ["cat", "dog", "fox"])
    assert (axes.get_xlabel().splitlines()[0], axes.get_ylabel()) == ("partition", "class")
    bottom, top = axes.get_ylim()
    assert bottom > top


def test_partitions_may_lie_on_y() -> None:
    axes = plots.dots(COUNTS, partition_id_axis="y").axes[0]
    assert labels(axes) == (["0", "1", "2", "3"], ["0", "1", "2"])
    assert dots(axes).keys() == {(j, i) for (i, j), count in np.ndenumerate(COUNTS) if count}


def test_shades_replace_dots_that_would_be_too_small() -> None:
    counts = np.arange(2000).reshape(200, 10)
    axes = plots.dots(counts).axes[0]
    (shades,) = axes.images
    assert np.array_equal(shades.get_array().filled(0), counts.T)
    assert shades.get_array().mask.sum() == 1  # the one count of 0 is left white
    assert isinstance(shades.norm, LogNorm)
    assert (shades.norm.vmin, shades.norm.vmax) == (1, 1999)
    assert axes.figure.axes[-1].get_ylabel() == "rows"
    assert "white: none" in axes.get_xlabel()


def test_a_shade_of_several_cells_shows_the_largest_and_says_so() -> None:
    counts = np.zeros((1000, 10), int)
    counts[998:, 3] = 1, 5
    axes = plots.dots(counts).axes[0]
    shades = axes.images[0].get_array().filled(0)
    assert shades.shape == (10, 500)
    assert shades[3, 499] == shades.sum() == 5
    assert axes.images[0].get_extent() == [-0.5, 999.5, 9.5, -0.5]
    assert axes.get_xlabel().replace("\xa0", " ").startswith("partition\neach shade: the largest of 2 × 1 cells")


# Heat map


def test_a_heat_map_shows_shares_of_each_partition() -> None:
    axes = plots.heatmap(COUNTS).axes[0]
    mesh = only(axes, QuadMesh)
    expected = np.array([[0.4, 0.1, 0, 0.5], [0, 0.6, 0.4, 0], [0, 0, 0, 0]]).T
    assert np.allclose(mesh.get_array().filled(0).reshape(4, 3), expected)
    assert [text.get_text() for text in axes.texts] == ["40", "10", "60", "40", "50"]  # class by class
    assert axes.get_xlabel() == "partition\n% of the partition\n×: no rows"


def test_a_share_below_half_a_percent_is_not_shown_as_0() -> None:
    axes = plots.heatmap(np.array([[1, 999], [0, 5]])).axes[0]
    assert [text.get_text() for text in axes.texts] == ["<1", "100", "100"]


def test_the_scale_of_a_heat_map_is_the_same_for_all_splits() -> None:
    for counts in (COUNTS, np.ones((5, 50), int)):
        norm = only(plots.heatmap(counts).axes[0], QuadMesh).norm
        assert (norm.vmin, norm.vmax) == (0, 1)
        assert norm(0.25) == pytest.approx(0.5)  # the root of the share


def test_a_partition_without_rows_is_crossed_out() -> None:
    assert crosses(plots.heatmap(COUNTS).axes[0]) == {(2, 0), (2, 1), (2, 2), (2, 3)}
    assert crosses(plots.heatmap(COUNTS, partition_id_axis="y").axes[0]) == {(0, 2), (1, 2), (2, 2), (3, 2)}


@pytest.mark.parametrize("num_partitions", [300, 3000])
def test_a_partition_without_rows_is_grey_if_cells_are_too_small_for_crosses(num_partitions: int) -> None:
    counts = np.ones((num_partitions, 10), int)
    counts[7] = 0
    for side, (column, row) in (("x", (7, 5)), ("y", (5, 7))):
        figure = plots.heatmap(counts, partition_id_axis=side)
        axes = figure.axes[0]
        assert axes.get_xlabel().endswith("grey: no rows")
        pixels = draw(figure)
        x, y = axes.transData.transform((column, row))
        around = pixels[len(pixels) - round(y) - 2 : len(pixels) - round(y) + 2, round(x) - 2 : round(x) + 2]
        assert np.ptp(around, axis=-1).min() < 20, "nothing is grey here"
        blue = axes.transData.transform((column + 20 * (side == "x"), row + 20 * (side == "y")))
        assert np.ptp(pixels[len(pixels) - round(blue[1]), round(blue[0])]) > 40


def test_larger_shares_are_darker_in_grey_too_and_the_smallest_is_darker_than_none() -> None:
    counts = np.array([[0, 1, 100, 1000, 3000, 5899]])
    figure = plots.heatmap(counts)
    axes = figure.axes[0]
    for text in [*axes.texts]:
        text.remove()
    pixels = draw(figure) @ [0.299, 0.587, 0.114]
    centres = axes.transData.transform([(0, code) for code in range(6)])
    lightness = [pixels[round(len(pixels) - y), round(x)] for x, y in centres]
    assert lightness[0] == pytest.approx(255)
    assert np.all(np.diff(lightness) < -5)


# Bars


def bars(axes: Axes) -> list[StepPatch]:
    return [patch for patch in axes.patches if isinstance(patch, StepPatch)]


def pieces(patch: StepPatch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middles, lower and upper ends of all visible bars of a patch."""
    values, edges, baseline = patch.get_data()
    there = ~np.isnan(values)
    return ((edges[1:] + edges[:-1]) / 2)[there], baseline[there], values[there]


def test_the_pieces_of_a_bar_are_the_stacked_rows_of_each_class() -> None:
    axes = plots.bars(COUNTS).axes[0]
    stacked = np.zeros(3)
    for code, patch in enumerate(bars(axes)):
        middles, lower, upper = pieces(patch)
        assert middles.tolist() == pytest.approx(np.flatnonzero(COUNTS[:, code]).tolist())
        partitions = np.flatnonzero(COUNTS[:, code])
        assert lower.tolist() == stacked[partitions].tolist()
        stacked[partitions] = upper
    assert stacked.tolist() == COUNTS.sum(axis=1).tolist()


def test_a_legend_names_the_classes_from_top_to_bottom_in_the_colours_of_the_bars() -> None:
    axes = plots.bars(skew.tally(COUNTS, class_names=["ant", "bee", "cat", "dog"])).axes[0]
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["dog", "cat", "bee", "ant"]
    keys = [patch.get_facecolor() for patch in legend.get_patches()]
    assert keys == [patch.get_facecolor() for patch in bars(axes)[::-1]]
    lightness = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b, _ in keys]
    assert np.all(np.diff(lightness) < -0.1)


def test_pieces_with_room_contain_the_name_of_their_class() -> None:
    counts = np.array([[500, 500], [1, 999]])
    axes = plots.bars(skew.tally(counts, class_names=["a", "b"])).axes[0]
    written = {(text.get_text(), *text.get_position()) for text in axes.texts}
    assert written == {("a", 0, 250), ("b", 0, 750), ("b", 1, 500.5)}


def test_the_smallest_of_more_than_twenty_classes_are_combined() -> None:
    counts = np.vstack([np.arange(1, 31), np.full(30, 1000)])
    axes = plots.bars(counts).axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["11 other classes", *map(str, range(29, 10, -1))]
    _, lower, upper = pieces(bars(axes)[-1])
    assert (upper - lower).tolist() == [sum(range(1, 12)), 11_000]
    assert len(bars(plots.bars(counts[:, :20]).axes[0])) == 20


def test_a_partition_without_rows_has_a_cross_instead_of_a_bar() -> None:
    axes = plots.bars(COUNTS).axes[0]
    assert crosses(axes) == {(2, 0)}
    assert axes.get_xlabel() == "partition\n×: no rows"
    assert plots.bars(COUNTS[:2]).axes[0].get_xlabel() == "partition"


def test_the_bars_of_a_thousand_partitions_have_no_gaps() -> None:
    counts = np.random.default_rng(0).integers(1, 9, (1000, 3))
    axes = plots.bars(counts).axes[0]
    values, edges, _ = bars(axes)[2].get_data()
    assert values.tolist() == counts.sum(axis=1).tolist()
    assert np.allclose(np.diff(edges), 1)


# Sizes


def test_sizes_decrease_from_left_to_right_below_the_names_of_their_partitions() -> None:
    axes = plots.sizes(COUNTS).axes[0]
    middles, _, heights = pieces(bars(axes)[0])
    assert middles.tolist() == pytest.approx([0, 1])
    assert heights.tolist() == [150, 100]
    assert labels(axes)[0] == ["1", "0", "2"]
    assert crosses(axes) == {(2, 0)}


def test_a_dashed_line_marks_the_mean_size() -> None:
    axes = plots.sizes(COUNTS).axes[0]
    (line,) = axes.lines
    assert np.unique(line.get_ydata()) == pytest.approx(250 / 3)
    assert "mean 83" in axes.get_xlabel()


def test_the_scale_is_logarithmic_if_sizes_differ_more_than_a_hundredfold() -> None:
    axes = plots.sizes(np.array([[1], [0], [10**6]])).axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "rows (logarithmic)"
    assert axes.lines[0].get_ydata().tolist() == [10**6, 1]
    assert labels(axes)[0] == ["2", "0", "1"]
    assert not bars(axes)
    assert plots.sizes(np.array([[1], [100]])).axes[0].get_yscale() == "linear"


def test_ranks_replace_the_names_of_partitions_that_do_not_fit() -> None:
    axes = plots.sizes(np.arange(1, 101)[:, None]).axes[0]
    assert axes.get_xlabel().startswith("rank by size, 0 is the largest")
    assert labels(axes)[0][:3] == ["0", "5", "10"]


# Several splits

SPLITS = {"even": np.array([[20, 20], [20, 20]]), "skewed": np.array([[80, 0], [0, 1]])}


def test_splits_lie_side_by_side_under_their_names() -> None:
    figure = plots.splits(SPLITS)
    axes = figure.axes
    assert [one.get_title() for one in axes] == ["even", "skewed"]
    draw(figure)
    boxes = [one.get_window_extent() for one in axes]
    assert boxes[0].x1 < boxes[1].x0
    assert boxes[0].y0 == pytest.approx(boxes[1].y0)
    assert boxes[0].width == pytest.approx(boxes[1].width)


def test_splits_in_a_list_are_numbered() -> None:
    assert [one.get_title() for one in plots.splits([*SPLITS.values()]).axes] == ["split 0", "split 1"]


def test_equal_counts_have_dots_of_the_same_area_in_each_split() -> None:
    even, skewed = plots.splits(SPLITS).axes
    assert dots(even)[0, 0] * 4 == pytest.approx(dots(skewed)[0, 0])  # 20 and 80 rows
    box = skewed.get_window_extent()
    cell = min(box.width, box.height) / 2 * 72 / skewed.figure.dpi
    assert dots(skewed)[0, 0] == pytest.approx(np.pi / 4 * (0.94 * cell) ** 2)


@pytest.mark.parametrize("kind", ["bars", "sizes"])
def test_equal_counts_have_bars_of_the_same_height_in_each_split(kind: Any) -> None:
    even, skewed = plots.splits(SPLITS, kind=kind).axes
    assert even.get_ylim() == skewed.get_ylim()
    assert even.get_ylim()[1] > 80


def test_the_scale_of_sizes_is_logarithmic_in_all_splits_or_in_none() -> None:
    splits = {"even": np.array([[200], [200]]), "skewed": np.array([[399], [1]])}
    assert {one.get_yscale() for one in plots.splits(splits, kind="sizes").axes[:2]} == {"log"}


def test_shades_have_one_scale_for_all_splits() -> None:
    many = {"few": np.ones((200, 10), int), "more": np.full((200, 10), 50)}
    for kind in ("dots", "heatmap"):
        figure = plots.splits(many, kind=kind)
        axes = figure.axes
        assert axes[0].images[0].norm is axes[1].images[0].norm
        assert len(figure.axes) == 3


def test_bars_show_the_same_classes_in_all_splits_with_one_legend() -> None:
    first, second = np.zeros((2, 1, 40), int)
    first[0, :20], second[0, 20:] = 7, 9
    axes = plots.splits([first, second], kind="bars").axes
    assert [one.get_legend() is None for one in axes] == [True, False]
    names = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert names == ["21 other classes", *map(str, range(38, 19, -1))]
    assert sum(len(pieces(patch)[0]) for patch in bars(axes[0])) == 1  # all of the first are others


def test_more_than_four_splits_take_several_rows() -> None:
    figure = plots.splits([COUNTS] * 6)
    axes = figure.axes
    assert len(figure.axes) == len(axes) == 6
    draw(figure)
    tops = [round(one.get_window_extent().y1) for one in axes]
    assert len(set(tops[:4])) == len(set(tops[4:])) == 1
    assert tops[0] > tops[4]


def test_only_the_first_in_a_row_names_the_classes() -> None:
    axes = plots.splits([COUNTS] * 2).axes
    assert [one.get_ylabel() for one in axes] == ["class", ""]
    assert [labels(one)[1] for one in axes] == [["0", "1", "2", "3"], []]


def test_splits_are_drawn_on_the_axes_given() -> None:
    figure = Figure()
    given = figure.subplots(2, 1)
    assert plots.splits(SPLITS, ax=given) is figure
    assert figure.axes == given.tolist()
    assert [one.get_ylabel() for one in given] == ["class", "class"]


@pytest.mark.parametrize("split", [COUNTS, skew.tally(COUNTS), pd.DataFrame(COUNTS)], ids=type)
def test_a_single_split_is_refused(split: Any) -> None:
    with pytest.raises(
        TypeError, match=f"a list or a mapping of splits, got a single {type(split).__name__}; use plots.bars"
    ):
        plots.splits(split, kind="bars")


@pytest.mark.parametrize(
    ("splits", "options", "message"),
    [
        ({}, {}, "splits must contain at least one split, got none"),
        (
            [[[0, 1, 1]], [[0, 2, 2]]],
            {},
            "the same classes, but those of 'split 1' differ from those of 'split 0'",
        ),
        (SPLITS, {"kind": "pie"}, "kind must be one of 'dots', 'heatmap', 'bars', 'sizes', got 'pie'"),
        (SPLITS, {"ax": [Figure().add_subplot()]}, "ax must contain one Axes for each of the 2 splits, got 1"),
    ],
)
def test_splits_that_do_not_match_are_refused(splits: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plots.splits(splits, **options)


@pytest.mark.parametrize(
    ("ax", "message"),
    [
        (Figure().add_subplot(), "ax must contain one Axes for each of the 2 splits, got Axes"),
        ([Figure().add_subplot(), None], r"ax\[1\] must be a matplotlib Axes.* got NoneType"),
    ],
)
def test_axes_for_splits_must_be_one_for_each(ax: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        plots.splits(SPLITS, ax=ax)
