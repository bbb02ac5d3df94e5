"""What the pictures of one metric by site show, and what they refuse."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from flskew import History, Reply, Round, plots


def history(rounds: list[dict[int, float]], names: list[str] | None = None) -> History:
    return History(
        Round(
            number,
            "evaluate",
            tuple(
                Reply(1000 + site, 1.0, {"score": value}, 1.0, partition_id=site, name=names[site] if names else None)
                for site, value in values.items()
            ),
            (),
            1.0,
        )
        for number, values in enumerate(rounds, 1)
    )


def test_each_site_is_a_line_and_the_worst_in_the_last_round_is_named_as_such() -> None:
    run = history([{0: 0.1, 1: 0.3, 2: 0.2}, {0: 0.6, 1: 0.4, 2: 0.5}], ["Bern", "Lyon", "Graz"])
    (axes,) = plots.clients(run, "score").axes
    drawn = [line.get_ydata().tolist() for line in axes.lines]
    assert sorted(drawn) == [[0.1, 0.6], [0.2, 0.5], [0.2, 0.5], [0.3, 0.4]]  # the median equals the line of Graz
    assert {text.get_text() for text in axes.texts} == {"Bern", "Graz", "Lyon, the worst"}
    assert axes.get_ylabel() == "score"


def test_the_worst_loss_is_the_highest() -> None:
    run = history([{0: 0.1, 1: 0.3}], ["Bern", "Lyon"])
    texts = {text.get_text() for text in plots.clients(run, "score", lower_is_better=True, unit="mm").axes[0].texts}
    assert texts == {"Bern", "Lyon, the worst"}
    assert plots.clients(run, "score", unit="mm").axes[0].get_ylabel() == "score in mm"


def test_names_do_not_overlap() -> None:
    run = history([{site: 0.5 + site / 1000 for site in range(8)}, dict.fromkeys(range(8), 0.9)])
    figure = plots.clients(run, "score")
    figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 8
    assert all(low.y1 <= high.y0 + 2 for low, high in itertools.pairwise(boxes))


def test_thousands_of_sampled_sites_are_points_and_only_the_worst_is_named() -> None:
    rng = np.random.default_rng(0)
    rounds = [{int(site): float(rng.random()) for site in rng.choice(2972, 30, replace=False)} for _ in range(5)]
    (axes,) = plots.clients(history(rounds), "score").axes
    (text,) = axes.texts
    worst = min(rounds[-1], key=lambda site: rounds[-1][site])
    assert text.get_text() == f"client {worst}, the worst"
    assert len(axes.lines) == 3
    (points,) = [line for line in axes.lines if line.get_label() == "sites: each"]
    assert len(points.get_ydata()) == 150


def test_a_picture_of_clients_without_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="no number of the metric 'score' is finite"):
        plots.clients(history([{0: math.nan}]), "score")
    with pytest.raises(LookupError, match="has the metric 'accuracy'"):
        plots.clients(history([{0: 0.5}]), "accuracy")
    with pytest.raises(TypeError, match=r"history must be a History, such as strategy.history, got dict"):
        plots.clients({}, "score")  # type: ignore[arg-type]


def test_any_metric_is_drawn_in_its_own_unit() -> None:
    (axes,) = plots.metric([[2.0, 40.0], [1.0, 30.0]], central=[25.0, 20.0], name="RMSE", unit="mmol/l").axes
    assert axes.get_ylabel() == "RMSE in mmol/l"
    (median,) = [line for line in axes.lines if line.get_label() == "clients: median"]
    assert median.get_ydata().tolist() == [21.0, 15.5]
    low, high = axes.get_ylim()
    assert low < 1.0
    assert high > 40.0
    axes.figure.draw_without_rendering()
    assert "%" not in "".join(tick.get_text() for tick in axes.get_yticklabels())


@pytest.mark.parametrize(("clients", "message"), [([[math.inf]], "clients must be finite, got inf for round 1")])
def test_an_infinite_metric_is_refused(clients: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plots.metric(clients, name="RMSE")
