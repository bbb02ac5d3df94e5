"""Every picture: where it is drawn, what it does not change, and that it is readable at any size."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from flskew import plots, skew

COUNTS = np.array([[40, 0, 59], [39, 60, 0], [0, 61, 59]])

NAMES = [
    "an unusually long class name",
    "очень длинное русское имя класса",
    "ένα μακρύ ελληνικό όνομα",
    "$5 or $6",
    "_hidden",
    "a name that never ends, not here and not even there",
    *"bcde",
]


def splits_of(kind: str) -> Callable[..., Figure]:
    def plot(split: skew.Split, *, ax: Axes | None = None) -> Figure:
        return plots.splits({"one": split, "other": split}, kind=kind, ax=None if ax is None else [ax, ax])

    return plot


def recall_of(split: skew.Split, *, ax: Axes | None = None) -> Figure:
    counted = skew.tally(split)
    recall = counted.counts / counted.counts.max()
    return plots.recall({f"model {i}": row for i, row in enumerate(recall)}, class_names=counted.classes, ax=ax)


def accuracy_of(split: skew.Split, *, ax: Axes | None = None) -> Figure:
    counted = skew.tally(split)
    accuracy = counted.counts / counted.counts.max()
    return plots.accuracy(accuracy, central=accuracy.mean(axis=1), ax=ax)


SINGLE = {
    "dots": plots.dots,
    "dots with partitions on y": lambda split, ax=None: plots.dots(split, partition_id_axis="y", ax=ax),
    "heatmap": plots.heatmap,
    "heatmap with partitions on y": lambda split, ax=None: plots.heatmap(split, partition_id_axis="y", ax=ax),
    "bars": plots.bars,
    "sizes": plots.sizes,
    "recall": recall_of,
    "accuracy": accuracy_of,
}
PICTURES = {**SINGLE, **{f"splits as {kind}": splits_of(kind) for kind in ("dots", "heatmap", "bars", "sizes")}}

every_single_picture = pytest.mark.parametrize("plot", SINGLE.values(), ids=SINGLE.keys())


def sparse(num_partitions: int, num_classes: int, largest: int = 200) -> np.ndarray:
    rng = np.random.default_rng(1)
    held = rng.random((num_partitions, num_classes)) < 0.4
    return np.where(held, rng.integers(1, largest, held.shape), 0)


EXTREMES = {
    "3 x 10, long names": skew.tally(sparse(3, 10), class_names=NAMES),
    "one of one": np.array([[1]]),
    "30 x 2": sparse(30, 2),
    "2 x 30": sparse(2, 30),
    "1 and 1,000,000 rows, and none": np.array([[1, 0], [0, 0], [600_000, 400_000]]),
    "100 x 10, one empty": np.vstack([sparse(99, 10), np.zeros((1, 10), int)]),
    "2 x 1,000, named": skew.tally(sparse(2, 1000), class_names=[f"n{i:08} a class" for i in range(1000)]),
    "1,000 x 1,000": sparse(1000, 1000, 10**6),
}
# The others are drawn by the same functions as these four, so a few extremes are enough for them.
ALL_EXTREMES = ("dots", "heatmap", "bars", "sizes")
FEW_EXTREMES = ("3 x 10, long names", "1,000 x 1,000")
CASES = [
    pytest.param(plot, split, id=f"{extreme}, {picture}")
    for picture, plot in PICTURES.items()
    for extreme, split in EXTREMES.items()
    if picture in ALL_EXTREMES or extreme in FEW_EXTREMES
]


@pytest.fixture(scope="module", params=SINGLE.values(), ids=SINGLE.keys())
def figure(request: pytest.FixtureRequest) -> Figure:
    """One figure of each picture, for tests that only look at it."""
    return request.param(COUNTS)


def draw(figure: Figure) -> np.ndarray:
    """Draw, and return the pixels' lightness between 0 and 1."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    return np.asarray(pixels @ [0.299, 0.587, 0.114])


def words(figure: Figure) -> list[Text]:
    """Draw, and return the visible texts: without the labels of ticks beyond the ends of an axis."""
    draw(figure)
    beyond = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                beyond |= {tick.label1, tick.label2}
    texts = figure.findobj(lambda one: isinstance(one, Text) and one.get_visible() and one.get_text() != "")
    return [text for text in texts if isinstance(text, Text) and text not in beyond]


@pytest.mark.parametrize(("plot", "split"), CASES)
def test_a_picture_is_readable_at_any_size_of_split(plot: Callable[..., Any], split: skew.Split) -> None:
    """It fits a page, and a million cells do not take an artist each."""
    figure = plot(split)
    check_words(figure)
    assert len(figure.findobj()) < 2500  # a tick has five
    assert max(figure.get_size_inches()) < 12.5


def check_words(figure: Figure) -> None:
    """Words neither overlap nor are cut."""
    boxes = {text: text.get_window_extent() for text in words(figure)}
    for text, box in boxes.items():
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, f"{text.get_text()!r} is cut"
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, f"{text.get_text()!r} is cut"
    for (one, box), (other, other_box) in combinations(boxes.items(), 2):
        assert not box.overlaps(other_box), f"{one.get_text()!r} overlaps {other.get_text()!r}"


@every_single_picture
def test_a_picture_is_drawn_on_the_given_axes_only(plot: Callable[..., Any]) -> None:
    figure = Figure(figsize=(8, 4))
    left, right = figure.subplots(1, 2)
    assert plot(COUNTS, ax=right) is figure
    assert right.has_data()
    assert not left.has_data()
    assert [tick.get_text() for tick in left.get_xticklabels()] == [f"{number:.1f}" for number in np.arange(6) / 5]


@every_single_picture
def test_drawing_in_a_subfigure_returns_the_whole_figure(plot: Callable[..., Any]) -> None:
    figure = Figure()
    axes = figure.subfigures(1, 2)[0].add_subplot()
    assert plot(COUNTS, ax=axes) is figure
    draw(figure)


@every_single_picture
def test_anything_but_an_axes_is_refused(plot: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"ax must be a matplotlib Axes, such as .* returns, got Figure"):
        plot(COUNTS, ax=Figure())


def test_a_new_figure_shows_itself_in_a_notebook(figure: Figure) -> None:
    """IPython calls this method for the last value of a cell."""
    assert figure._repr_png_().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_new_figure_can_be_sent_to_another_process(figure: Figure) -> None:
    assert np.array_equal(draw(pickle.loads(pickle.dumps(figure))), draw(figure))


@every_single_picture
def test_the_same_split_gives_the_same_bytes(plot: Callable[..., Any]) -> None:
    first, second = (plot(COUNTS)._repr_png_() for _ in range(2))
    assert first == second


@every_single_picture
def test_the_input_is_not_changed(plot: Callable[..., Any]) -> None:
    counts = COUNTS.copy()
    plot(counts)
    assert np.array_equal(counts, COUNTS)


@every_single_picture
def test_pictures_can_be_drawn_in_the_users_style(plot: Callable[..., Any]) -> None:
    with matplotlib.rc_context({"figure.facecolor": "black", "text.color": "white", "font.size": 14}):
        figure = plot(COUNTS)
        draw(figure)


def test_pyplot_settings_and_random_generators_are_untouched() -> None:
    code = """
import sys, numpy as np
from flskew import plots, skew
assert "matplotlib" not in sys.modules, "matplotlib is imported before the first picture"
import matplotlib, random
before, state = dict(matplotlib.rcParams), (random.getstate(), np.random.get_state()[1].tolist())
counts = np.array([[40, 0], [0, 60]])
for plot in (plots.dots, plots.heatmap, plots.bars, plots.sizes):
    plot(counts).savefig(sys.stderr.buffer, format="pdf")
figures = [plots.splits([counts, counts], kind=kind) for kind in ("dots", "heatmap", "bars", "sizes")]
figures += [plots.recall([[0.5, 1.0]]), plots.accuracy([[0.5, 1.0]])]
for figure in figures:
    figure._repr_png_()
assert dict(matplotlib.rcParams) == before
assert (random.getstate(), np.random.get_state()[1].tolist()) == state
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, b"False"), done.stderr[-2000:]


@every_single_picture
def test_without_matplotlib_the_error_says_what_to_install(
    plot: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'flskew\[plot\]'"):
        plot(COUNTS)


def test_dollars_in_a_name_are_not_mathematics() -> None:
    axes = plots.dots(skew.tally(COUNTS, class_names=["$5 or $6", r"$\alpha$", "100 $"])).axes[0]
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == [r"\$5 or \$6", r"\$\alpha\$", r"100 \$"]  # as matplotlib spells it


def test_the_legend_contains_names_that_begin_with_an_underscore() -> None:
    axes = plots.bars(skew.tally(COUNTS, class_names=["_a", "b", "_c"])).axes[0]
    assert [text.get_text().strip() for text in axes.get_legend().get_texts()] == ["_c", "b", "_a"]


def test_names_are_shortened_to_32_characters() -> None:
    axes = plots.dots(skew.tally(COUNTS, class_names=["n" * 32, "m" * 33, "two\nlines"])).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["n" * 32, "m" * 31 + "…", "two lines"]


def test_partitions_are_numbered_at_even_steps_if_not_all_fit() -> None:
    axes = plots.heatmap(np.ones((400, 3), int)).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [str(number) for number in range(0, 400, 20)]
    assert axes.get_xticks().tolist() == list(range(0, 400, 20))


def x_labels(axes: Axes) -> list[str]:
    return [tick.get_text() for tick in axes.get_xticklabels()]


def test_all_class_names_are_shown_if_they_fit() -> None:
    """Side by side if they fit, otherwise rotated; this applies to short and narrow names too."""
    short = [f"c{code}" for code in range(30)]
    narrow = ["illicit lilli"] * 3
    axes = plots.heatmap(skew.tally(np.ones((2, 30), int), class_names=short), partition_id_axis="y").axes[0]
    assert x_labels(axes) == short
    axes = plots.heatmap(skew.tally(np.ones((2, 3), int), class_names=narrow), partition_id_axis="y").axes[0]
    assert x_labels(axes) == narrow
    airplanes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    axes = plots.recall(np.ones((2, 10)), class_names=airplanes).axes[0]
    assert x_labels(axes) == airplanes


def test_names_are_side_by_side_if_their_width_in_the_font_allows_it() -> None:
    """At ten points, 32 letters i are 89 points wide and 32 letters W are 316; each has 100 points."""
    for letter, rotation in (("i", 0), ("W", 90)):
        axes = Figure(figsize=(300 / 72 / 0.775, 3)).add_subplot()  # subplots take 0.775 of the width
        plots.heatmap(skew.tally(np.ones((2, 3), int), class_names=[letter * 32] * 3), partition_id_axis="y", ax=axes)
        assert {tick.get_rotation() for tick in axes.get_xticklabels()} == {rotation}


@pytest.mark.parametrize("plot", [plots.dots, plots.heatmap, plots.bars])
def test_partitions_have_the_names_of_a_data_frames_index(plot: Callable[..., Any]) -> None:
    frame = pd.DataFrame(COUNTS, index=["Bern", "Geneva", "Zug"])
    assert x_labels(plot(frame).axes[0]) == ["Bern", "Geneva", "Zug"]
    assert x_labels(plots.sizes(frame.iloc[:2]).axes[0]) == ["Bern", "Geneva"]  # 99 rows each


@pytest.mark.parametrize("plot", [plots.dots, plots.heatmap])
def test_the_axis_of_the_partitions_must_be_x_or_y(plot: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="partition_id_axis must be one of 'x', 'y', got 'z'"):
        plot(COUNTS, partition_id_axis="z")
