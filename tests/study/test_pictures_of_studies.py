"""What the pictures of results show, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from tests.plots.test_pictures import check_words
from tests.study.made import made_cell, results_of

from flskew.study import Results

LONG = ["FedAvg", "_hidden", "$5 or $6", "a name that never ends, not here and not even there", *"defghijklmno"]


def line(axes: Axes, label: str) -> Line2D:
    (found,) = [one for one in axes.lines if str(one.get_label()).strip() == label]
    return found


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    assert found is not None
    return [text.get_text().strip() for text in found.get_texts()]


def key(axes: Axes) -> list[str]:
    found = axes.get_legend()
    assert found is not None
    return found.get_title().get_text().splitlines()


def dots(axes: Axes) -> PathCollection:
    """The first dots, without those of the legend."""
    (found, *_) = [one for one in axes.collections if isinstance(one, PathCollection) and len(one.get_offsets())]
    return found


def names(axes: Axes) -> list[str]:
    return [tick.get_text() for tick in axes.get_yticklabels()]


# Learning curves


def test_a_line_is_the_mean_over_the_seeds_and_a_band_its_interval() -> None:
    cells = [made_cell("iid", "FedAvg", seed, [0.1, 0.2, last]) for seed, last in enumerate([0.5, 0.7])]
    results = Results(cells, ["iid"], ["FedAvg"], range(2))
    (axes,) = results.plot().axes
    assert line(axes, "FedAvg").get_ydata() == pytest.approx([0.1, 0.2, 0.6])
    assert axes.get_ylabel() == "accuracy"
    assert key(axes) == ["mean over 2 seeds", "band: 95 % interval"]
    # Half of the interval: t(0.975, 1 degree of freedom) * standard deviation / sqrt(2) = 12.706 * 0.1414 / 1.414
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(0.6 + 1.2706, abs=1e-4)
    assert corners[:, 1].min() == pytest.approx(0.6 - 1.2706, abs=1e-4)


def test_the_baselines_are_dashed_lines_at_their_last_values() -> None:
    results = results_of([[[0.4, 0.6], [0.9, 0.9], [0.7, 0.8]]], methods=["alone", "pooled", "FedAvg"])
    (axes,) = results.plot().axes
    assert legend(axes) == ["FedAvg", "alone", "pooled"]
    assert line(axes, "alone").get_ydata() == pytest.approx([0.5, 0.5])
    assert line(axes, "pooled").get_ydata() == pytest.approx([0.9, 0.9])
    assert line(axes, "alone").is_dashed()
    assert not line(axes, "FedAvg").is_dashed()


def test_each_split_is_a_panel_on_a_common_scale() -> None:
    results = results_of([[[0.9, 0.8]], [[0.2, 0.3]]], splits=["iid", "skewed"], methods=["FedAvg"])
    figure = results.plot()
    assert [axes.get_title() for axes in figure.axes] == ["iid", "skewed"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert [axes.get_legend() is None for axes in figure.axes] == [True, False]
    (only,) = results.plot("skewed").axes
    assert line(only, "FedAvg").get_ydata()[-1] == pytest.approx(0.25)


def test_a_run_that_ended_early_keeps_its_last_model_and_a_cross_marks_its_round() -> None:
    cells = [
        made_cell("iid", "FedDyn", 0, [0.1, 0.5, np.nan, np.nan], error="round 2: diverged", own=[0.5, 0.5]),
        made_cell("iid", "FedDyn", 1, [0.1, 0.7, 0.8, 0.9]),
    ]
    (axes,) = Results(cells, ["iid"], ["FedDyn"], range(2)).plot().axes
    # (0.5 + 0.8) / 2 and (0.5 + 0.9) / 2
    assert line(axes, "FedDyn").get_ydata() == pytest.approx([0.1, 0.6, 0.65, 0.7])
    (cross,) = [one for one in axes.lines if one.get_marker() == "x"]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (1, pytest.approx(0.6))
    assert key(axes)[-1] == "×: a run ended early"


def test_one_seed_has_no_band_and_cells_that_are_missing_are_told() -> None:
    results = results_of([[[0.5, np.nan, np.nan], [0.5, 0.6, 0.7], [np.nan] * 3]], methods=["FedAvg", "FedDyn", "Mime"])
    (axes,) = results.plot().axes
    assert key(axes)[0] == "mean over 1 to 3 seeds"
    assert np.isnan(line(axes, "Mime").get_ydata()).all()
    (axes,) = results_of([[[0.5], [0.6]]]).plot().axes
    assert key(axes) == ["mean over 1 seed"]


def test_many_methods_have_no_bands_and_only_the_eight_best_have_colours() -> None:
    methods = [f"m{number}" for number in range(10)]
    figures = [[[0.1 * number, 0.1 * number] for number in range(10)]]
    (axes,) = results_of(figures, methods=methods).plot().axes
    assert legend(axes) == [*methods[2:], "2 others"]
    assert not axes.collections
    assert {to_hex(one.get_color()) for one in axes.lines if one.get_linewidth() < 1} == {"#8c8c8c"}
    assert len({(line(axes, name).get_color(), line(axes, name).get_marker()) for name in methods[2:]}) == 8
    (axes,) = results_of(figures, methods=methods).using(metric="loss", lower_is_better=True).plot().axes
    assert legend(axes)[0] == "m2"  # loss = 1 - accuracy
    (axes,) = results_of(figures, methods=methods, lower_is_better=True).plot().axes
    assert legend(axes) == [*methods[:8], "2 others"]


# Gains


def test_the_picture_of_gains_shows_their_table() -> None:
    rng = np.random.default_rng(0)
    figures = np.array([0.8, 0.8, 0.9])[:, None] + 0.02 * rng.random((2, 3, 5))
    results = results_of(figures, splits=["A", "B"], methods=["FedAvg", "FedDyn", "FedProx"])
    figure, frame = results.plot_gains(), results.gains().frame
    assert [axes.get_title() for axes in figure.axes] == ["A", "B", "all splits"]
    for axes in figure.axes:
        rows = frame.loc[axes.get_title()]
        assert names(figure.axes[0]) == list(rows.index) == ["FedDyn", "FedProx"]
        assert np.array(dots(axes).get_offsets()) == pytest.approx(np.column_stack([rows["gain"], [0, 1]]))
        is_filled = [to_hex(color) != "#ffffff" for color in dots(axes).get_facecolors()]
        assert is_filled == (rows["verdict"] != "no evidence of a difference").tolist() == [False, True]
        (lines, *_) = axes.collections
        ends = [segment[:, 0].tolist() for segment in lines.get_segments()]  # type: ignore[attr-defined]
        assert np.array(ends) == pytest.approx(rows[["low", "high"]].to_numpy())
    assert figure.get_supxlabel() == "gain over FedAvg in accuracy on the whole test set after the last round"
    assert legend(figure.axes[2]) == ["better or worse", "no evidence of\na difference"]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1


def test_the_arguments_of_gains_are_those_of_its_picture() -> None:
    results = results_of([[[0.5, 0.6], [0.7, 0.7], [0.9, 0.8]]], methods=["alone", "FedAvg", "FedDyn"])
    (axes,) = results.plot_gains("FedDyn", over="alone", what="own").axes
    assert names(axes) == ["FedDyn"]
    assert np.array(dots(axes).get_offsets()) == pytest.approx(np.array([[0.3, 0]]))  # (0.4 + 0.2) / 2
    words = "gain over alone in accuracy on the clients' own test rows, on average"
    assert axes.get_xlabel().replace("\n", " ") == words
    assert axes.get_xlim()[0] < 0  # the line of no gain is visible


# Clients


def test_each_client_is_a_line_from_alone_to_the_method_those_that_gain_most_on_top() -> None:
    cells = [
        made_cell("sites", method, seed, [0, 0.5], own=own, names=("Bern", "Lyon", "Graz"))
        for method, own in (("alone", [0.5, 0.6, 0.7]), ("FedAvg", [0.6, 0.5, 0.9]))
        for seed in range(2)
    ]
    (axes,) = Results(cells, ["sites"], ["alone", "FedAvg"], range(2)).plot_clients("sites", "FedAvg").axes
    assert names(axes) == ["Graz", "Bern", "Lyon"]  # +0.2, +0.1, -0.1
    alone, federated = [one.get_offsets() for one in axes.collections if isinstance(one, PathCollection)]
    assert np.array(alone) == pytest.approx(np.array([[0.7, 0], [0.5, 1], [0.6, 2]]))
    assert np.array(federated) == pytest.approx(np.array([[0.9, 0], [0.6, 1], [0.5, 2]]))
    assert legend(axes) == ["gains", "loses", "alone", "FedAvg"]
    assert axes.get_xlabel() == "accuracy on a client's own test rows"


def test_clients_of_a_split_that_is_drawn_anew_are_named_with_their_seed() -> None:
    cells = [
        made_cell("drawn", method, seed, [0, 0.5], own=[0.5 + 0.1 * gain * seed, 0.5], label_counts=counts,
                  fingerprints=(f"{seed}", ""))
        for method, gain in (("alone", 0), ("FedAvg", 1))
        for seed, counts in enumerate(np.array([[[30, 0], [0, 30]], [[0, 30], [30, 0]]]))
    ]  # fmt: skip
    (axes,) = Results(cells, ["drawn"], ["alone", "FedAvg"], range(2)).plot_clients("drawn", "FedAvg").axes
    assert names(axes) == ["client 0, seed 1", "client 0, seed 0", "client 1, seed 0", "client 1, seed 1"]


def test_a_loss_that_falls_is_a_gain() -> None:
    cells = [made_cell("sites", name, 0, [0, 1], own=own) for name, own in (("alone", [0.5, 0.5]), ("X", [0.9, 0.6]))]
    results = Results(cells, ["sites"], ["alone", "X"], [0], metric="loss", lower_is_better=True)
    (axes,) = results.plot_clients("sites", "X").axes
    assert names(axes) == ["client 0", "client 1"]
    assert legend(axes)[0] == "gains"


def test_of_many_clients_those_that_gain_most_and_least_are_drawn() -> None:
    gains = np.linspace(-0.4, 0.4, 101)
    cells = [
        made_cell("sites", name, 0, [0, 1], own=own) for name, own in (("alone", 0.5 + 0 * gains), ("X", 0.5 + gains))
    ]
    (axes,) = Results(cells, ["sites"], ["alone", "X"], [0]).plot_clients("sites", "X").axes
    assert names(axes) == [f"client {number}" for number in [*range(100, 85, -1), *range(14, -1, -1)]]
    assert axes.get_xlabel().splitlines()[1] == "the 15 that gain most and the 15 that gain least, of 101"


# All of them


def many(num_splits: int, num_methods: int) -> Results:
    rng = np.random.default_rng(1)
    splits = ["a split with a name that is as long as names of splits are", *map(str, range(1, num_splits))]
    methods = ["alone", "pooled", *LONG[:num_methods]]
    figures = rng.random((num_splits, num_methods + 2, 3))
    return results_of(
        figures, splits=splits[:num_splits], methods=methods, curve=lambda last: np.linspace(0.1, last, 40)
    )


@pytest.mark.parametrize(
    ("num_splits", "num_methods"),
    [(1, 1), (1, 16), (5, 3), (7, 9), pytest.param(20, 16, marks=pytest.mark.long)],
)
def test_the_words_of_a_picture_neither_overlap_nor_are_cut(num_splits: int, num_methods: int) -> None:
    results = many(num_splits, num_methods)
    check_words(results.plot())
    if num_methods > 1:
        check_words(results.plot_gains())
    check_words(results.plot_clients("1" if num_splits > 1 else results.splits[0], "FedAvg"))


def test_one_panel_is_drawn_on_the_given_axes_only() -> None:
    results = many(2, 3)
    for draw in (
        lambda ax: results.plot("1", ax=ax),
        lambda ax: results.plot_gains(split="1", ax=ax),
        lambda ax: results.plot_clients("1", "FedAvg", ax=ax),
    ):
        figure = Figure(figsize=(8, 4))
        left, right = figure.subplots(1, 2)
        assert draw(right) is figure
        assert right.has_data()
        assert not left.has_data()
    with pytest.raises(ValueError, match="ax has room for one of the 2 panels; choose one with split=, or omit ax"):
        results.plot(ax=right)
    with pytest.raises(ValueError, match="ax has room for one of the 3 panels"):
        results.plot_gains(ax=right)
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes"):
        results.plot("1", ax=figure)  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_a_picture_of_nothing_is_refused(metric: str) -> None:
    nothing = Results([], ["iid"], ["alone", "pooled", "FedAvg", "FedDyn"], range(3), metric=metric)
    draws: list[Any] = [nothing.plot, nothing.plot_gains, lambda: nothing.plot_clients("iid", "FedAvg")]
    for draw in draws:
        with pytest.raises(ValueError, match="there is nothing to draw"):
            draw()
    with pytest.raises(ValueError, match="split must be one of 'iid', got 'mnist'"):
        nothing.plot("mnist")
    with pytest.raises(ValueError, match="method must be one of"):
        nothing.plot_clients("iid", "FedMagic")
