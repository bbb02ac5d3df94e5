"""What the pictures of recall and accuracy show, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.patches import StepPatch

from flskew import plots

RECALL = {"alone": [0.98, 0.0, 0.5], "together": [0.97, 0.95, 1.0]}


def only(axes: Axes, kind: type) -> Any:
    (artist,) = [one for one in axes.get_children() if isinstance(one, kind)]
    return artist


def legend(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def line(axes: Axes, label: str) -> list[tuple[float, float]]:
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return [*map(tuple, found.get_xydata().tolist())]


# Recall


def test_recall_is_a_shade_and_a_number_for_each_class_and_model() -> None:
    axes = plots.recall(RECALL, class_names=["cat", "dog", "fox"]).axes[0]
    assert np.allclose(only(axes, QuadMesh).get_array().reshape(2, 3), [*RECALL.values()])
    assert [text.get_text() for text in axes.texts] == ["98", "0", "50", "97", "95", "100"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["cat", "dog", "fox"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["alone", "together"]
    assert axes.get_xlabel() == "class\nrecall in %"


def test_numbers_contrast_with_their_shade() -> None:
    axes = plots.recall(RECALL).axes[0]
    mesh = only(axes, QuadMesh)
    for value, text in zip(np.ravel([*RECALL.values()]), axes.texts, strict=True):
        behind = np.array(mesh.to_rgba(value))[:3] @ [0.299, 0.587, 0.114]
        ink = 1.0 if text.get_color() == "white" else 0.1
        assert abs(behind - ink) > 0.4, text.get_text()


def test_models_and_classes_of_a_matrix_are_numbered() -> None:
    axes = plots.recall(np.array([[0.1, 0.2]])).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0"]


def test_the_scale_of_recall_always_runs_from_0_to_1() -> None:
    norm = only(plots.recall([[0.4, 0.5]]).axes[0], QuadMesh).norm
    assert (norm.vmin, norm.vmax) == (0, 1)


def test_a_class_that_was_not_tested_is_crossed_out_instead_of_zero() -> None:
    axes = plots.recall([[0.5, np.nan], [0.0, 1.0]]).axes[0]
    assert only(axes, PathCollection).get_offsets().tolist() == [[1, 0]]
    assert [text.get_text() for text in axes.texts] == ["50", "0", "100"]
    assert "×: not tested" in axes.get_xlabel()
    assert np.mean(only(axes, QuadMesh).to_rgba(0.0)[:3]) < 0.93  # and zero is not white


def test_a_shade_of_several_classes_shows_the_worst_of_them() -> None:
    recall = np.ones((3, 1000))
    recall[1, 500] = 0
    axes = plots.recall(recall).axes[0]
    (image,) = axes.images
    assert image.get_array().shape == (3, 500)
    assert np.argwhere(image.get_array() == 0).tolist() == [[1, 250]]
    assert "the smallest of 2\xa0×\xa01\xa0cells" in axes.get_xlabel()


@pytest.mark.parametrize(
    ("recall", "error", "message"),
    [
        (
            {"a": [98.0, 0.0]},
            ValueError,
            "recall must be between 0 and 1, got 98 for model 'a'; divide percentages by 100",
        ),
        ([[0.5, -0.1]], ValueError, "between 0 and 1, got -0.1 for model 0"),
        ([[0.5], [0.5, 1.0]], ValueError, r"equally many for all models; got shapes \(1,\), \(2,\)"),
        ([[[0.5]]], ValueError, "recall must have one dimension for each model"),
        ({}, ValueError, "at least one number, got none"),
        ([[]], ValueError, "at least one number, got none"),
        ([[np.nan]], ValueError, "at least one number, got none"),
        (0.5, TypeError, "recall must be a mapping or a sequence with numbers for each model, got float"),
        (["high"], TypeError, "recall must contain numbers, got 'high' for model 0"),
        ([0.5, 0.6], ValueError, "one number per class for each model"),
    ],
)
def test_invalid_recalls_are_refused(recall: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plots.recall(recall)


def test_class_names_must_match_the_number_of_classes() -> None:
    with pytest.raises(ValueError, match="class_names must be 3 names, one per class, got 2"):
        plots.recall(RECALL, class_names=["cat", "dog"])
    with pytest.raises(TypeError, match="class_names must be a list with one name per class, got 'cat'"):
        plots.recall(RECALL, class_names="cat")


# Accuracy


def test_up_to_ten_clients_are_circles_around_their_median() -> None:
    axes = plots.accuracy([[0.2, 0.4, 0.9], [0.6, 0.8]]).axes[0]
    assert only(axes, PathCollection).get_offsets().tolist() == [[1, 0.2], [1, 0.4], [1, 0.9], [2, 0.6], [2, 0.8]]
    assert line(axes, "clients: median") == [(1, 0.4), (2, pytest.approx(0.7))]
    assert legend(axes) == ["clients: median", "clients: each"]


def bands(axes: Axes) -> dict[object, Any]:
    """The upper ends, edges and lower ends of each band, by its label."""
    return {one.get_label(): one.get_data() for one in axes.patches if isinstance(one, StepPatch)}


def test_of_more_clients_all_and_the_middle_half_are_bands() -> None:
    clients = np.linspace(0, 1, 21)
    axes = plots.accuracy([clients, clients / 2]).axes[0]
    expected = {"clients: all": ([1, 0.5], [0, 0]), "clients: middle half": ([0.75, 0.375], [0.25, 0.125])}
    for label, (top, bottom) in expected.items():
        values, edges, baseline = bands(axes)[label]
        assert np.allclose(values, top)
        assert np.allclose(baseline, bottom)
        assert edges.tolist() == [0.5, 1.5, 2.5]
    assert legend(axes) == ["clients: median", "clients: middle half", "clients: all"]


def test_the_bands_have_a_gap_at_a_round_without_clients() -> None:
    clients = {number: np.linspace(0, number / 1000, 21) for number in range(1, 1001) if number != 500}
    axes = plots.accuracy(clients).axes[0]
    values, edges, baseline = bands(axes)["clients: all"]
    assert (edges[0], edges[-1], len(values)) == (0.5, 1000.5, 1000)
    assert np.allclose(np.delete(values, 499), [number / 1000 for number in clients])
    assert np.nanmax(baseline) == 0
    assert np.isnan(values[499])


def test_the_servers_accuracy_is_a_separate_line_that_may_begin_before_round_1() -> None:
    axes = plots.accuracy([[0.2], [0.4]], central={0: 0.1, 1: 0.3, 2: 0.5}).axes[0]
    assert line(axes, "server") == [(0, 0.1), (1, 0.3), (2, 0.5)]
    assert line(axes, "clients: median") == [(1, 0.2), (2, 0.4)]
    assert legend(axes)[0] == "server"
    assert axes.get_xlim() == (-0.5, 2.5)


def test_a_sequence_begins_with_round_1() -> None:
    axes = plots.accuracy([[0.2]], central=[0.1, 0.3]).axes[0]
    assert line(axes, "server") == [(1, 0.1), (2, 0.3)]


def test_failed_clients_and_rounds_without_clients_are_left_out() -> None:
    axes = plots.accuracy([[0.2, np.nan, 0.6], [np.nan], [], [0.9]], central=[0.1, np.nan, 0.2, 0.3]).axes[0]
    assert line(axes, "clients: median") == [(1, 0.4), (4, 0.9)]
    assert line(axes, "server") == [(1, 0.1), (3, 0.2), (4, 0.3)]
    assert axes.get_xlabel() == "round\n1 to 2 clients in a round"


def test_the_server_can_be_shown_without_clients() -> None:
    assert legend(plots.accuracy({}, central=[0.5, 0.6]).axes[0]) == ["server"]


def test_accuracy_is_shown_from_0_to_100_percent_and_rounds_as_integers() -> None:
    axes = plots.accuracy([[0.91], [0.92]]).axes[0]
    assert axes.get_ylim() == (0, 1)
    axes.figure.draw_without_rendering()
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0", "20", "40", "60", "80", "100"]
    assert set(axes.get_xticks()) & {1.0, 2.0} == {1.0, 2.0}
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_server_and_clients_have_different_markers() -> None:
    axes = plots.accuracy([[0.2], [0.4]], central=[0.1, 0.3]).axes[0]
    assert len({one.get_marker() for one in axes.lines}) == 2


@pytest.mark.parametrize(
    ("clients", "central", "error", "message"),
    [
        ([[50.0]], None, ValueError, "clients must be between 0 and 1, got 50 for round 1; divide percentages by 100"),
        ([[0.5]], {0: -1.0}, ValueError, "central must be between 0 and 1, got -1 for round 0"),
        ([[0.5]], {1: [0.5, 0.6]}, ValueError, "central must contain one number per round, got 2 for round 1"),
        (
            np.zeros((2, 3, 4)),
            None,
            ValueError,
            r"one dimension for each round, got .* shape \(3, 4\) for round 1",
        ),
        ([], None, ValueError, "clients must contain at least one number, got none"),
        ([[np.nan]], None, ValueError, "clients must contain at least one number, got none"),
        (0.5, None, TypeError, "clients must be a mapping or a sequence with numbers for each round, got float"),
        ([["high"]], None, TypeError, r"clients must contain numbers, got \['high'\] for round 1"),
        ({"first": [0.5]}, None, TypeError, "round must be an integer, got 'first'"),
    ],
)
def test_invalid_accuracies_are_refused(clients: Any, central: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plots.accuracy(clients, central)
