"""What a notebook shows for the last value of a cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from flskew import Assignment, DirichletPartitioner, Failure, History, Reply, Round, plots


def only_table(html: str) -> pd.DataFrame:
    """Read the table back, by position: rows of texts."""
    from xml.etree import ElementTree

    root = ElementTree.fromstring(f"<div>{html}</div>")
    (body,) = root.iter("tbody")
    (head,) = root.iter("thead")
    names = ["".join(cell.itertext()) for cell in next(iter(head))]
    return pd.DataFrame([["".join(cell.itertext()) for cell in row] for row in body], columns=names)


def test_an_assignment_shows_its_partitions_by_name_with_the_rows_of_each_class() -> None:
    assignment = Assignment.from_partitions({"Bern": [0, 3], "Lyon": [1]}, labels=["a", "b", "a", "a"])
    html = assignment._repr_html_()
    frame = only_table(html)
    assert frame.iloc[:, 0].tolist() == ["Bern", "Lyon"]
    assert frame["rows"].tolist() == ["2", "1"]
    assert frame["class a"].tolist() == ["2", "0"]
    assert frame["class b"].tolist() == ["0", "1"]
    assert "1 of 4 rows unassigned" in html


def test_an_assignment_without_labels_shows_sizes_only() -> None:
    frame = only_table(Assignment.from_partitions([[0, 3], [1]])._repr_html_())
    assert frame.to_numpy().tolist() == [["0", "2"], ["1", "1"]]


def test_many_partitions_and_classes_are_shortened() -> None:
    html = DirichletPartitioner(1000, alpha=1.0).assign(np.arange(50_000) % 50)._repr_html_()
    assert len(html) < 5_000
    assert "1000 rows" in html


TRAINED = Reply(1000, 30.0, {"num-examples": 30, "loss": 1.0}, 0.1)
TESTED = (
    Reply(1000, 30.0, {"accuracy": 0.5, "recall": [0.1, 0.9]}, 0.1),
    Reply(1001, 10.0, {"accuracy": 0.9}, 0.1),
)
HISTORY = History(
    [Round(1, "train", (TRAINED,), (Failure(1001, "lost"),), 0.251), Round(1, "evaluate", TESTED, (), 0.1)]
)


def test_a_history_shows_one_line_for_each_phase_of_a_round() -> None:
    frame = only_table(HISTORY._repr_html_())
    assert frame.iloc[0].tolist() == ["1", "train", "1", "1", "0.25", "1.0", ""]
    # (30 * 0.5 + 10 * 0.9) / 40 = 0.6
    assert frame.iloc[1].tolist() == ["1", "evaluate", "2", "0", "0.10", "", "0.6"]


def test_a_history_prints_in_one_line() -> None:
    expected = "<History: 1 round, 1 of 2 train replies accepted, 2 of 2 evaluate replies accepted>"
    assert repr(HISTORY) == str(HISTORY) == expected
    assert repr(HISTORY[0]) == "<Round 1, train: 1 replies, 1 failures>"


def test_an_empty_history_is_shown_too() -> None:
    assert repr(History()) == "<History: 0 rounds>"
    assert only_table(History()._repr_html_()).empty


def test_names_that_clients_choose_are_escaped() -> None:
    metrics: dict[str, Any] = {"<script>alert(1)</script>": 1.0}
    html = History([Round(1, "train", (Reply(1000, 1.0, metrics, 0.1),), (), 0.1)])._repr_html_()
    assert "<script>" not in html
    names = Assignment.from_partitions({"<script>": [0]})._repr_html_()
    assert "<script>" not in names


@pytest.mark.parametrize("plot", [plots.dots, plots.heatmap, plots.bars, plots.sizes])
def test_a_picture_is_the_only_value_of_its_call(plot: Any) -> None:
    assert plot(np.array([[1, 2], [3, 4]]))._repr_png_().startswith(b"\x89PNG")
