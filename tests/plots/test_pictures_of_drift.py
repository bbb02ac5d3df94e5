"""What the picture of a schedule shows, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch

from flskew import Assignment, Schedule, plots, skew

LABELS = [0, 0, 1, 1]
ALIKE = Assignment.from_partitions([[0, 2], [1, 3]], LABELS)
APART = Assignment.from_partitions([[0, 1], [2, 3]], LABELS)
SCHEDULE = Schedule({1: ALIKE, 4: APART, 6: ALIKE})


def steps(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """Edges and heights of each line, by its label."""
    found = [one for one in axes.get_children() if isinstance(one, StepPatch)]
    return {
        str(one.get_label()): (one.get_data().edges.tolist(), np.round(one.get_data().values, 6).tolist())
        for one in found
    }


def test_a_step_lies_between_two_rounds_and_chance_is_drawn_beside_it() -> None:
    axes = plots.drift(SCHEDULE).axes[0]
    # Each of two clients would have to change half of its labels. By chance, 4 of 6 splits give 0 and 2 give 1/2.
    assert steps(axes) == {
        "schedule": ([0.5, 3.5, 5.5, 7.5], [0.0, 0.5, 0.0]),
        "IID, by chance": ([0.5, 3.5, 5.5, 7.5], [0.166667] * 3),
    }
    assert axes.get_xlim() == (0.5, 7.5)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("round", "total variation")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["schedule", "IID, by chance"]


def test_the_last_stage_is_drawn_up_to_the_given_round() -> None:
    assert steps(plots.drift(SCHEDULE, num_rounds=20).axes[0])["schedule"][0][-1] == 20.5
    with pytest.raises(ValueError, match="num_rounds must be at least 6, got 5"):
        plots.drift(SCHEDULE, num_rounds=5)


def test_a_single_stage_is_a_line_of_one_round() -> None:
    assert steps(plots.drift(Schedule({1: APART})).axes[0])["schedule"] == ([0.5, 1.5], [0.5])


def test_any_function_of_an_assignment_can_be_drawn_with_a_name() -> None:
    axes = plots.drift(SCHEDULE, lambda assignment: -float(assignment.rows[1]), name="minus the second row").axes[0]
    assert steps(axes) == {"schedule": ([0.5, 3.5, 5.5, 7.5], [-2.0, -1.0, -2.0])}
    assert axes.get_ylabel() == "minus the second row"
    assert axes.get_legend() is None
    assert plots.drift(SCHEDULE, skew.missing_classes).axes[0].get_ylabel() == "missing classes"


def test_the_number_of_partitions_with_rows_is_given_if_it_changes() -> None:
    axes = plots.drift(SCHEDULE.away(1, since=5)).axes[0]
    assert axes.get_xlabel() == "round\n1 to 2 partitions with rows"


def test_a_schedule_without_any_skew_is_a_line_at_0() -> None:
    axes = plots.drift(Schedule({1: ALIKE}), skew.missing_classes).axes[0]
    assert axes.get_ylim() == (0.0, 1.0)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        pytest.param(ALIKE, TypeError, "schedule must be a Schedule, got Assignment", id="a split"),
        pytest.param(
            Schedule({1: Assignment.from_partitions([[0], [1]])}), ValueError, "without labels", id="no labels"
        ),
    ],
)
def test_anything_but_a_schedule_with_labels_is_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plots.drift(given)
