"""The picture of the most skewed columns."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flskew import Assignment, plots, skew

NAMED = Assignment.from_partitions({"Bern": range(60), "Lyon": range(60, 100), "none": []})
TABLE = pd.DataFrame(
    {
        "age": [*range(60), *range(100, 140)],
        "day": pd.date_range("2024-01-01", periods=100, tz="Asia/Tokyo"),
        "grade": pd.Categorical(["low", "high"] * 50, ["low", "high"], ordered=True),
        "$word": ["_a", "b $", "c", "d", "e", "f", "g", "h", "i", "j"] * 10,
        "bmi": [np.nan] * 30 + [25.0, 30.0] * 35,
    }
)


def labels(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_the_most_skewed_columns_are_drawn_with_a_line_for_all_rows_and_each_partition_by_name() -> None:
    figure = plots.features(TABLE, NAMED, most=3)
    report = skew.feature_report(TABLE, NAMED)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"{one.name}\n{one.distance:.2f} (chance {one.chance:.2f})" for one in report.columns[:3]]
    assert labels(figure) == ["all rows", "Bern", "Lyon", "none"]


def test_columns_are_chosen_by_name_and_a_report_is_reused() -> None:
    report = skew.feature_report(TABLE, NAMED)
    names = ["bmi is missing", "$word", "day", "grade", "age", "bmi"]
    figure = plots.features(TABLE, NAMED, columns=names, report=report)
    FigureCanvasAgg(figure).draw()
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == [name.replace("$", r"\$") for name in names]
    legend = figure.axes[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [" _a", r"b \$", "c", "d", "6 others"]


def test_the_shares_of_categories_are_the_widths_of_the_bars() -> None:
    (axes,) = plots.features({"x": ["a"] * 60 + ["a", "b", "b", "b"] * 10}, NAMED).axes
    # All rows: 70 of 100 are a; Bern: all; Lyon: 10 of 40. The partition without rows has no bar.
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.7, 1, 0.25, 0.3, 0, 0.75])


def test_of_many_partitions_the_most_different_are_drawn() -> None:
    values = np.arange(300.0) % 10
    values[57 * 3 : 58 * 3] = 100
    figure = plots.features(values, Assignment.from_partitions(np.arange(300).reshape(100, 3)))
    assert len(labels(figure)) == 13
    assert "57" in labels(figure)
    assert figure.axes[0].get_title().endswith("\n12 of 100 partitions")


def test_bad_arguments_are_refused() -> None:
    opened = plt.get_fignums()
    with pytest.raises(
        ValueError, match=r"columns must be a list of columns of the report, got \['weight'\]; it has 'a"
    ):
        plots.features(TABLE, NAMED, columns=["weight"])
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        plots.features(TABLE, NAMED, most=0)
    with pytest.raises(ValueError, match="report must be on this split, but its partitions have other sizes"):
        plots.features(TABLE, Assignment.from_partitions([range(100)]), report=skew.feature_report(TABLE, NAMED))
    assert plt.get_fignums() == opened
