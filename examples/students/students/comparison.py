"""The students' errors: with everyone's average, alone, together, and with all ratings in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from flwr.app import Context
from numpy.typing import NDArray

from flskew.typing import Parameters, RunConfig
from students.task import Numbers, Ratings, initial_parameters, load_ratings, load_student, predict, squared_error

LECTURER_SHRINKAGE = 5.0
"""Number of imagined ratings that hold a lecturer's offset near zero; ratings vary five times as much within lecturers
as between them."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Mean squared errors on test ratings: one entry for each student who has any."""

    num_test: NDArray[np.int64]
    errors: dict[str, Numbers]
    """By model: "average", "alone", "together" and "pooled"."""

    gain_by_round: dict[int, float]
    """How much smaller the error is together than alone, as a fraction, for the students who tested in that round."""

    def rmse(self, model: str) -> float:
        """The root mean squared error of all test ratings."""
        return float(np.sqrt(np.average(self.errors[model], weights=self.num_test)))

    def gain(self, model: str) -> float:
        """How much smaller the mean squared error is than alone, as a fraction."""
        return 1 - (self.rmse(model) / self.rmse("alone")) ** 2

    def better_off(self, model: str) -> float:
        """The fraction of the students for whom the model is better than their own ratings alone."""
        return float(np.mean(self.errors[model] < self.errors["alone"]))

    def table(self) -> str:
        """The error of each model, and how many students it serves better than their own ratings do."""
        texts = {
            "average": "the average of all ratings",
            "alone": "each student alone",
            "together": "together, federated",
            "pooled": "together, pooled",
        }
        lines = [f"{'':28}{'RMSE':>6}{'better than alone':>19}{'students: 10 / 50 / 90 %':>26}"]
        for model, text in texts.items():
            better = "" if model == "alone" else f"{self.better_off(model):.0%} of students"
            low, median, high = np.quantile(np.sqrt(self.errors[model]), (0.1, 0.5, 0.9))
            lines.append(f"{text:28}{self.rmse(model):6.3f}{better:>19}{f'{low:.2f} / {median:.2f} / {high:.2f}':>26}")
        return "\n".join(lines)


def compare(context: Context, config: RunConfig) -> Comparison:
    """Add the references to the results that the ServerApp has stored.

    Args:
        context: The server's context after the run.
        config: The run config of that run.
    """
    _, assignment = load_ratings()
    split = [load_student(partition_id, config) for partition_id in range(len(assignment))]
    training = [ratings for ratings, _ in split]
    average = np.concatenate([ratings for _, ratings in training]).mean()
    parameters = pooled(training, config)

    tested = {name: parts for name, parts in zip(assignment.names or (), split, strict=True) if len(parts[1].ratings)}
    reported = {model: numbers(context, model) for model in ("alone", "together")}
    errors = {
        **{model: np.array([reported[model][name] for name in tested]) for model in reported},
        "average": np.array([np.mean((test.ratings - average) ** 2) for _, test in tested.values()]),
        "pooled": np.array([squared_error(parameters, *parts, config) for parts in tested.values()]),
    }
    gain_by_round = {}
    for server_round in range(1, int(config["num-server-rounds"]) + 1):
        scores = numbers(context, f"round-{server_round}")
        gain_by_round[server_round] = 1 - scores["together"] / scores["alone"]
    return Comparison(np.array([len(test.ratings) for _, test in tested.values()]), errors, gain_by_round)


def numbers(context: Context, key: str) -> dict[str, float]:
    """Read a record of numbers that the ServerApp has stored."""
    return cast("dict[str, float]", dict(context.state.metric_records[key]))


def pooled(students: list[Ratings], config: RunConfig, *, sweeps: int = 20) -> Parameters:
    """Fit the same model to all ratings in one place, by penalised least squares: lecturers, then students, in turn."""
    sizes = [len(student.ratings) for student in students]
    lecturers, ratings = (np.concatenate(column) for column in zip(*students, strict=True))
    student_of_each = np.repeat(np.arange(len(students)), sizes)
    parameters = initial_parameters()
    offsets, level = parameters
    own = np.zeros(len(students))
    for _ in range(sweeps):
        level[...] = (ratings - offsets[lecturers] - own[student_of_each]).mean()
        rest = ratings - level - own[student_of_each]
        offsets[:] = np.bincount(lecturers, rest) / (np.bincount(lecturers) + LECTURER_SHRINKAGE)
        rest = ratings - predict(parameters, Ratings(lecturers, ratings))
        own = np.bincount(student_of_each, rest) / (np.array(sizes) + float(config["shrinkage"]))
    return parameters
