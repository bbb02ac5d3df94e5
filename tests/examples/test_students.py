"""Students: thousands of clients with a handful of ratings each."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, RecordDict
from matplotlib.image import imread
from students import client_app, server_app, task
from students.comparison import Comparison, compare, pooled

from flskew import ClientError, simulate

from .apps import ExampleApp

APP = ExampleApp("students", "students")
STUDENTS, LECTURERS = 2972, 1128


@pytest.fixture(scope="module")
def config() -> dict:
    return APP.config(num_server_rounds=5)


@pytest.fixture(scope="module")
def comparison(config: dict) -> Comparison:
    return compare(simulate(server_app.app, client_app.app, STUDENTS, config), config)


def context_of(partition_id: int, config: dict, num_partitions: int = STUDENTS) -> Context:
    node_config = {"partition-id": partition_id, "num-partitions": num_partitions}
    return Context(1, 1, node_config, RecordDict(), config)


def test_five_rounds_with_a_tenth_of_the_students_are_better_than_alone(comparison: Comparison) -> None:
    assert comparison.gain("together") >= 0.05
    assert comparison.better_off("together") >= 0.55
    assert comparison.rmse("pooled") < comparison.rmse("together") < comparison.rmse("alone")


def test_the_average_of_all_ratings_is_worse_than_each_students_own(comparison: Comparison) -> None:
    assert comparison.rmse("average") > comparison.rmse("alone")


def test_every_student_with_two_ratings_tests_the_final_model(comparison: Comparison) -> None:
    _, assignment = task.load_ratings()
    can_test = [len(rows) > 1 for rows in assignment]
    assert comparison.num_test.shape == (sum(can_test),) == (STUDENTS - 5,)
    assert comparison.num_test.sum() == sum(max(len(rows) // 4, 1) for rows in assignment if len(rows) > 1)


def test_what_a_student_reports_is_in_the_students_own_row(comparison: Comparison, config: dict) -> None:
    _, assignment = task.load_ratings()
    tested = np.flatnonzero(assignment.sizes > 1).tolist()
    for place in (0, 1234, len(tested) - 1):
        training, test = task.load_student(tested[place], config)
        expected = task.squared_error(task.initial_parameters(), training, test, config)
        assert comparison.errors["alone"][place] == pytest.approx(expected)
        assert comparison.num_test[place] == len(test.ratings)


def test_training_and_test_ratings_are_all_ratings(config: dict) -> None:
    ratings, assignment = task.load_ratings()
    assert (len(ratings.ratings), len(assignment)) == (73_421, STUDENTS)
    assert assignment.names is not None
    for partition_id in (0, 1500, STUDENTS - 1):
        parts = task.load_student(partition_id, config)
        together = sorted(zip(*(np.concatenate(column) for column in zip(*parts, strict=True)), strict=True))
        own = ratings.rows(assignment[partition_id])
        assert together == sorted(zip(*own, strict=True))


def test_another_seed_holds_out_other_ratings() -> None:
    first, second = (task.load_student(100, APP.config(seed=seed))[1] for seed in (1, 2))
    assert set(first.lecturers) != set(second.lecturers)


def test_no_student_rates_a_lecturer_twice() -> None:
    ratings, assignment = task.load_ratings()
    assert all(len(np.unique(ratings.lecturers[rows])) == len(rows) for rows in assignment)
    assert len(np.unique(ratings.lecturers)) == LECTURERS == ratings.lecturers.max() + 1


def test_an_update_changes_the_level_and_the_lecturers_that_the_student_has_rated(config: dict) -> None:
    student = client_app.client_fn(context_of(11, config))
    before = task.initial_parameters()
    (offsets, level), num_examples, _ = student.fit(task.initial_parameters(), {})
    assert set(np.flatnonzero(offsets)) <= set(student.training.lecturers)
    assert np.count_nonzero(offsets) > 0
    assert level != before[1]
    assert num_examples == len(student.training.ratings)


def test_a_step_follows_the_gradient_of_the_squared_error() -> None:
    data = task.Ratings(np.array([0, 2]), np.array([5.0, 2.0]))
    config = APP.config(local_epochs=1, learning_rate=0.1, shrinkage=1.0)
    offsets, level = parameters = [np.array([0.5, 0.5, -0.5]), np.array(3.0)]
    task.train(parameters, data, config)
    # Residuals 5 - 3.5 and 2 - 2.5; own offset (1.5 - 0.5) / (2 + 1) = 1/3; then 7/6 and -5/6 remain.
    np.testing.assert_allclose(offsets, [0.5 + 0.1 * 7 / 6, 0.5, -0.5 - 0.1 * 5 / 6])
    assert level == pytest.approx(3 + 0.1 * (7 / 6 - 5 / 6) / 2)


def test_the_own_offset_is_that_of_ridge_regression() -> None:
    from sklearn.linear_model import Ridge

    residuals = np.array([0.5, -1.0, 2.0])
    ridge = Ridge(alpha=14.0, fit_intercept=False).fit(np.ones((3, 1)), residuals)
    assert task.own_offset(residuals, APP.config(shrinkage=14.0)) == pytest.approx(ridge.coef_[0])


def test_pooling_minimises_the_penalised_squared_error() -> None:
    rng = np.random.default_rng(0)
    config = APP.config()
    students = [task.Ratings(rng.permutation(LECTURERS)[:40], rng.integers(1, 6, 40).astype(float)) for _ in range(60)]
    offsets, _ = parameters = pooled(students, config, sweeps=200)
    ratings = task.Ratings(*(np.concatenate(column) for column in zip(*students, strict=True)))
    own = np.array([task.own_offset(one.ratings - task.predict(parameters, one), config) for one in students])
    residuals = ratings.ratings - task.predict(parameters, ratings) - np.repeat(own, 40)
    # At the minimum, the gradient is zero: the residuals of a lecturer sum to the penalty times the offset.
    assert residuals.sum() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(np.bincount(ratings.lecturers, residuals, LECTURERS), 5.0 * offsets, atol=1e-6)


def test_a_student_with_a_single_rating_has_no_evaluate(config: dict) -> None:
    _, assignment = task.load_ratings()
    single = int(np.flatnonzero(assignment.sizes == 1)[0])
    assert not hasattr(client_app.client_fn(context_of(single, config)), "evaluate")
    assert hasattr(client_app.client_fn(context_of(int(assignment.sizes.argmax()), config)), "evaluate")


def test_the_number_of_nodes_must_be_the_number_of_students(config: dict) -> None:
    with pytest.raises(ClientError, match="num-supernodes must be 2972"):
        client_app.client_fn(context_of(0, config, num_partitions=10))


@pytest.mark.long
def test_the_command_prints_the_table_of_the_readme_and_draws_the_picture(
    python: str, repository: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [python, APP.folder / "run.py", "--output", tmp_path / "made if needed"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(repository / "src"), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = (APP.folder / "README.md").read_text("utf-8").split("```text\n")[1].split("```")[0]
    numbers = re.compile(r"\d+(?:\.\d+)?")
    assert numbers.sub("", shown).split() == numbers.sub("", done.stdout.split("wrote")[0]).split()
    found, expected = (
        [float(number) for number in numbers.findall(text.replace(",", ""))] for text in (done.stdout, shown)
    )
    for number, other in zip(found, expected, strict=False):
        # Other versions of NumPy and other processors round differently.
        assert number == pytest.approx(other, abs=0.02 if other < 10 else 1)
    pixels = imread(tmp_path / "made if needed" / "students.png", format="png")[..., :3]
    for margin in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]):
        assert margin.min() == 1


@pytest.mark.parametrize(
    ("setting", "message"), [("epochs=1", "'epochs' is not in"), ("seed", "Expected '='")], ids=["unknown", "not TOML"]
)
def test_a_wrong_setting_ends_the_command(setting: str, message: str) -> None:
    with pytest.raises(SystemExit, match=f"run.py: .*{message}"):
        APP.script().main(["--run-config", setting])
