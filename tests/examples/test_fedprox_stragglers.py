"""Stragglers: FedAvg, which drops them, falls behind; FedProx, which uses their work, does not."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import tomllib
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fedprox_stragglers import client_app, task
from fedprox_stragglers.experiment import FRACTIONS, METHODS, PUBLISHED, Digits, Results, experiment, study
from flwr.app import Context, RecordDict
from matplotlib.image import imread

from flskew import LocalTerm

from .apps import EXAMPLES, ExampleApp, Outcome

APP = ExampleApp("fedprox-stragglers", "fedprox_stragglers")
DROPS, USES, PROX = METHODS
DOCS = EXAMPLES.parent / "docs"
SHORT = {"num_server_rounds": 2, "local_epochs": 2}


@pytest.fixture(scope="module")
def quick(python: str, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The output of `--quick` in a shell, even if MNIST is available, and the folder with its files."""
    output = tmp_path_factory.mktemp("output") / "made if needed"
    done = subprocess.run(
        [python, APP.folder / "stragglers.py", "--quick", "--output", output],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**os.environ, "PYTHONPATH": str(repository / "src"), "FLSKEW_MNIST": "nowhere"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, output


@pytest.fixture
def published() -> Results:
    """The results shown on the site."""
    return Results.load(DOCS / "assets" / "stragglers.json")


@pytest.mark.long
def test_dropping_stragglers_costs_accuracy_and_using_them_does_not(quick: tuple[str, Path]) -> None:
    results = Results.load(quick[1] / "results.json")
    drops, uses, prox = (results.figures(method, 0.9).mean() for method in METHODS)
    assert drops <= min(uses, prox) - 0.10
    assert prox >= results.figures(PROX, 0.0).mean() - 0.03
    assert prox >= 0.8


@pytest.mark.long
def test_without_stragglers_nothing_is_dropped(quick: tuple[str, Path]) -> None:
    results = Results.load(quick[1] / "results.json")
    np.testing.assert_array_equal(results.accuracies(DROPS, 0.0), results.accuracies(USES, 0.0))


@pytest.mark.long
def test_all_replies_are_accepted_or_if_stragglers_are_dropped_the_expected_fraction(quick: tuple[str, Path]) -> None:
    runs = Results.load(quick[1] / "results.json").runs
    counted = {(run["method"], run["stragglers"]): run["counted"] for run in runs}
    for method in (USES, PROX):
        for fraction in FRACTIONS:
            assert counted[method, fraction] == [10] * 30
    assert counted[DROPS, 0.0] == [10] * 30
    for fraction, mean in ((0.5, 5), (0.9, 1)):
        # Of 300 replies; four standard deviations are 4 * sqrt(300 * .5 * .5) = 35 and 4 * sqrt(300 * .9 * .1) = 21.
        assert abs(sum(counted[DROPS, fraction]) - 30 * mean) <= 35
    assert 0 in counted[DROPS, 0.9]


@pytest.mark.long
def test_the_table_is_printed_and_in_the_readme(quick: tuple[str, Path]) -> None:
    table = Results.load(quick[1] / "results.json").table()
    assert table in quick[0]
    words = (APP.folder / "README.md").read_text("utf-8")
    for line, shown in zip(table.splitlines()[2:], words.split("```text\n")[1].splitlines()[2:], strict=False):
        name, *figures = (cell.strip() for cell in line.strip("|").split("|"))
        shown_name, *shown_figures = (cell.strip() for cell in shown.strip("|").split("|"))
        assert name == shown_name
        # Other versions of NumPy and other processors round differently.
        np.testing.assert_allclose([float(f) for f in figures], [float(f) for f in shown_figures], atol=0.02)


@pytest.mark.long
def test_the_results_contain_what_is_needed_to_repeat_them(quick: tuple[str, Path]) -> None:
    written = json.loads((quick[1] / "results.json").read_text("utf-8"))
    assert set(written["versions"]) == {"python", "flskew", "flwr", "numpy", "sklearn"}
    assert written["config"]["learning-rate"] == 0.03
    assert not {"data-dir", "seed", "stragglers"} & set(written["config"])
    assert len(written["runs"]) == 9
    assert {len(run["accuracy"]) for run in written["runs"]} == {31}


@pytest.mark.long
def test_the_picture_has_a_white_margin_and_something_inside(quick: tuple[str, Path]) -> None:
    assert f"wrote {quick[1] / 'stragglers.png'}" in quick[0]
    pixels = imread(quick[1] / "stragglers.png", format="png")[..., :3]
    for margin in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]):
        assert margin.min() == 1
    assert 0.01 < (pixels.min(axis=2) < 0.9).mean() < 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "the experiment needs MNIST: pass --data-dir"), (["--data-dir", "no/folder"], "train-images-idx3-ubyte")],
)
def test_without_mnist_the_command_says_what_it_needs(
    arguments: list[str], message: str, python: str, repository: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [python, APP.folder / "stragglers.py", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("stragglers.py: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def completed(asked: int, stragglers: float, count: int = 6000) -> list[int]:
    """The epochs that many clients complete, each with its own generator."""
    return [task.epochs_done(asked, stragglers, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.9, 1.0])
def test_the_fraction_of_stragglers_is_as_set(fraction: float) -> None:
    done = completed(10, fraction)
    straggling = sum(epochs < 10 for epochs in done)
    assert abs(straggling - 6000 * fraction) <= 4 * (6000 * fraction * (1 - fraction)) ** 0.5


def test_a_straggler_completes_one_to_nine_of_ten_epochs_each_equally_often() -> None:
    counts = Counter(completed(10, 1.0))
    assert sorted(counts) == list(range(1, 10))
    # 6000 / 9 = 667 each; four standard deviations are 4 * sqrt(6000 * 1/9 * 8/9) = 97.
    assert all(abs(count - 6000 / 9) < 97 for count in counts.values())


def test_a_straggler_at_one_fraction_is_the_same_straggler_at_a_larger_one() -> None:
    for less, more in zip(*(completed(10, fraction, 500) for fraction in (0.5, 0.9)), strict=True):
        assert less == 10 or less == more


def test_with_one_epoch_no_client_is_a_straggler() -> None:
    assert set(completed(1, 1.0, 100)) == {1}


def test_the_same_clients_stop_after_the_same_epochs_under_every_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def noted(*arguments: Any) -> int:
        done.append(task.epochs_done(*arguments))
        return done[-1]

    monkeypatch.setattr(client_app, "epochs_done", noted)
    seen = []
    for seed, method in ((1, DROPS), (1, USES), (1, PROX), (2, PROX)):
        done.clear()
        settings = {**METHODS[method], "num-server-rounds": 2, "seed": seed}
        APP.run(50, **{name.replace("-", "_"): value for name, value in settings.items()})
        seen.append(list(done))
    assert len(seen[0]) == 20
    assert seen[0] == seen[1] == seen[2]
    assert seen[3] != seen[0]


def test_in_a_study_the_seed_it_sends_determines_the_epochs_and_the_order_of_images() -> None:
    client = Digits(APP.config()).client(np.arange(30))
    told = {"server-round": 1, "local-epochs": 10, "stragglers": 0.5}
    fits = [client.fit(task.initial_parameters(64), {**told, "seed": seed}) for seed in (5, 5, *range(20))]
    assert fits[0][0][1].tolist() == fits[1][0][1].tolist() != fits[2][0][1].tolist()
    assert [metrics["local-epochs"] for *_, metrics in fits[2:]] == completed(10, 0.5, 20)


def test_in_a_baseline_no_client_is_a_straggler() -> None:
    client = Digits(APP.config(stragglers=1.0)).client(np.arange(30))
    assert client.fit(task.initial_parameters(64), {"server-round": 1, "seed": 5})[2] == {"local-epochs": 10}


def test_a_straggler_reports_its_epochs_and_is_weighted_by_its_images() -> None:
    for fraction in (0.0, 1.0):
        node = Context(1, 1, {"partition-id": 3, "num-partitions": 50}, RecordDict(), APP.config())
        told = {"server-round": 7, "local-epochs": 10, "stragglers": fraction}
        _, num_examples, metrics = client_app.client_fn(node).fit(task.initial_parameters(64), told)
        assert num_examples == len(task.assign("", 50, 2, 1)[3])
        assert metrics == {"local-epochs": task.epochs_done(10, fraction, np.random.default_rng((1, 7, 3)))}


def test_the_order_of_images_depends_on_seed_round_and_client() -> None:
    images, labels = np.eye(40, dtype=np.float32), np.arange(40) % 10

    def after(seed: int, server_round: int, partition_id: int) -> list[float]:
        client = client_app.FlowerClient(images, labels, APP.config(seed=seed), partition_id)
        return client.fit(task.initial_parameters(40), {"server-round": server_round})[0][1].tolist()

    orders = [after(*key) for key in ((1, 2, 3), (9, 2, 3), (1, 9, 3), (1, 2, 9))]
    assert all(one != other for one, other in combinations(orders, 2))
    assert after(1, 2, 3) == orders[0]


def test_every_client_has_two_neighbouring_digits_and_its_minimum_of_each() -> None:
    assignment = task.assign("", 50, 2, 1)
    assert len(assignment.unassigned) == 0
    for client, counts in enumerate(assignment.label_counts):
        digits = {client % 10, (client + 1) % 10}
        assert set(np.flatnonzero(counts)) == digits
        assert counts[list(digits)].min() >= 2


def test_the_holders_of_a_digit_have_log_normal_numbers_of_rows() -> None:
    drawn = np.random.default_rng(5).lognormal(0, 2, (4000, 10))
    largest = (drawn.max(axis=1) / drawn.sum(axis=1)).mean()
    shares = []
    for seed in range(20):
        beyond_minimum = (task.assign("", 50, 2, seed).label_counts - 2).clip(min=0)
        shares.extend(beyond_minimum.max(axis=0) / beyond_minimum.sum(axis=0))
    # The share of the largest holder has a standard deviation of .2; four standard errors of 200 are .06.
    assert abs(np.mean(shares) - largest) < 0.06


def test_the_gradient_is_that_of_the_cross_entropy() -> None:
    rng = np.random.default_rng(0)
    parameters = [rng.normal(size=(4, 10)).astype(np.float32), rng.normal(size=10).astype(np.float32)]
    images, labels = rng.normal(size=(7, 4)).astype(np.float32), rng.integers(0, 10, 7)

    def loss(weights: Any, biases: Any) -> float:
        logits = images.astype(float) @ weights + biases
        return float(np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, labels)]))  # noqa: B905

    gradients = task._gradients(parameters, images, labels)
    for index, gradient in enumerate(gradients):
        for place in np.ndindex(gradient.shape):
            ends = []
            for step in (1e-4, -1e-4):
                moved = [array.astype(float) for array in parameters]
                moved[index][place] += step
                ends.append(loss(*moved))
            assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-4, abs=1e-4)
    assert task.evaluate(parameters, images, labels)["loss"] == pytest.approx(loss(*parameters), rel=1e-5)


@pytest.mark.parametrize("mu", [0.0, 2.0])
def test_training_is_sgd_with_weight_decay_and_the_proximal_term_in_every_step(mu: float) -> None:
    images = np.array([[1.0, -2.0]], np.float32)
    labels = np.array([3])
    parameters = [np.full((2, 10), 0.5, np.float32), np.zeros(10, np.float32)]
    config = {"learning-rate": 0.1, "weight-decay": 0.01, "batch-size": 10}
    weights, biases = (array.astype(float) for array in parameters)
    start = weights.copy(), biases.copy()
    rng = np.random.default_rng(1)
    task.train(parameters, images, labels, LocalTerm(parameters, mu=mu), config, 5, rng)  # type: ignore[arg-type]
    for _ in range(5):
        odds = np.exp(images[0] @ weights + biases)
        error = odds / odds.sum() - np.eye(10)[3]
        weights, biases = (
            weights - 0.1 * (np.outer(images[0], error) + 0.01 * weights + mu * (weights - start[0])),
            biases - 0.1 * (error + 0.01 * biases + mu * (biases - start[1])),
        )
    np.testing.assert_allclose(parameters[0], weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(parameters[1], biases, rtol=1e-4, atol=1e-6)


def test_an_epoch_uses_every_image_once_including_the_last_incomplete_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []

    def gradients(parameters: Any, images: Any, labels: Any) -> Any:
        seen.append(images[:, 0].tolist())
        return [np.zeros_like(array) for array in parameters]

    monkeypatch.setattr(task, "_gradients", gradients)
    images = np.arange(24, dtype=np.float32).reshape(24, 1)
    config = APP.config()
    parameters, rng = task.initial_parameters(1), np.random.default_rng(1)
    task.train(parameters, images, np.zeros(24, int), LocalTerm(parameters, mu=0.0), config, 2, rng)
    assert [len(batch) for batch in seen] == [10, 10, 4] * 2
    first, second = np.concatenate(seen[:3]).tolist(), np.concatenate(seen[3:]).tolist()
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second


def test_runs_are_reproducible_depend_on_the_seed_and_touch_no_global_generator() -> None:
    before = random.getstate(), repr(np.random.get_state(legacy=False))  # noqa: NPY002
    first, second, other = (APP.run(50, **SHORT, seed=seed) for seed in (1, 1, 2))
    assert first.distance(second) == 0
    assert first.distance(other) > 0.01
    assert (random.getstate(), repr(np.random.get_state(legacy=False))) == before  # noqa: NPY002


def test_mu_keeps_the_model_near_its_start() -> None:
    short = {"num_server_rounds": 1, "local_epochs": 10}
    start = APP.run(50, **{**short, "learning_rate": 1e-12})
    near, far = (APP.run(50, **short, proximal_mu=mu).distance(start) for mu in (2.0, 0.0))
    assert 0 < near < 0.95 * far


def write_idx(path: Path, array: np.ndarray, zipped: bool) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = header + array.astype(np.uint8).tobytes()
    if zipped:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("zipped", [False, True])
def test_mnists_files_are_read_gzipped_or_not(zipped: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = {}, {}
    for part, count in (("train", 8), ("t10k", 4)):
        images[part] = rng.integers(0, 256, (count, 28, 28))
        labels[part] = rng.integers(0, 10, count)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images[part], zipped)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels[part], zipped)
    train, test, train_labels, test_labels = task.load_dataset(str(tmp_path))
    mean, deviation = images["train"].mean(), images["train"].std()
    np.testing.assert_allclose(train, (images["train"].reshape(8, 784) - mean) / deviation, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(test, (images["t10k"].reshape(4, 784) - mean) / deviation, rtol=1e-4, atol=1e-5)
    assert (train_labels.tolist(), test_labels.tolist()) == (labels["train"].tolist(), labels["t10k"].tolist())


def test_results_survive_saving_and_show_a_range_if_there_are_several_seeds(tmp_path: Path) -> None:
    results = experiment(APP.config(num_server_rounds=1, local_epochs=1), [1, 2], tmp_path / "cells")
    results.save(tmp_path / "new" / "results.json")
    assert Results.load(tmp_path / "new" / "results.json") == results
    assert results.accuracies(PROX, 0.9).shape == (2, 2)
    first, second = results.accuracies(PROX, 0.9)
    assert first[1] != second[1]
    # The figure averages its two entries, before and after the first round.
    figures = results.figures(PROX, 0.9)
    assert figures.tolist() == pytest.approx(results.accuracies(PROX, 0.9).mean(axis=1).tolist())
    assert f"{figures.mean():.3f} ({figures.min():.3f} to {figures.max():.3f})" in results.table()


def test_the_published_claims_hold_for_the_figures_on_the_site(published: Results) -> None:
    assert published.data == "MNIST"
    assert published.num_clients == 1000
    assert sorted({run["seed"] for run in published.runs}) == [1, 2, 3]
    assert {len(run["accuracy"]) for run in published.runs} == {101}
    drops, prox = (published.figures(method, 0.9).mean() for method in (DROPS, PROX))
    assert drops <= prox - 0.10
    assert abs(prox - published.figures(PROX, 0.0).mean()) <= 0.03


def test_what_the_site_says_of_stragglers_matches_its_file(published: Results) -> None:
    drops, uses, prox = (published.figures(method, 0.9) for method in METHODS)
    assert np.abs(prox - published.figures(PROX, 0.0)).max() < 0.02
    assert [round((prox - drops).min(), 2), round((prox - drops).max(), 2)] == [0.16, 0.24]
    assert (uses - drops).mean() > (prox - drops).mean() / 2
    assert np.array_equal(published.accuracies(DROPS, 0.0), published.accuracies(USES, 0.0))
    # In about a third of the rounds, no reply counts, and the model does not change.
    assert (np.diff(published.accuracies(DROPS, 0.9)) == 0).mean() == pytest.approx(1 / 3, abs=0.03)
    # By tens of points from one round to the next, in the last half of the run.
    steps = [np.abs(np.diff(published.accuracies(method, 0.9)[:, 50:])).max() for method in METHODS]
    assert steps[1] > 0.3
    assert steps[2] < steps[1]


def test_the_site_shows_the_figures_of_its_file(published: Results) -> None:
    assert published.table() in (DOCS / "stragglers.md").read_text("utf-8")
    assert set(PUBLISHED) == set(METHODS)


def test_mnist_uses_the_settings_of_the_figures_on_the_site(published: Results) -> None:
    settings = tomllib.loads((APP.folder / "mnist.toml").read_text("utf-8"))
    del settings["data-dir"]
    assert published.config == settings


@pytest.mark.mnist
@pytest.mark.parametrize("method", [DROPS, PROX])
def test_a_run_on_mnist_gives_the_figure_on_the_site(method: str, published: Results, mnist_dir: Path) -> None:
    config = APP.config(**{name.replace("-", "_"): value for name, value in published.config.items()})
    made = study({**config, "data-dir": str(mnist_dir)}, [1])
    accuracy = made.cell("two digits", f"{method}, 90% stragglers", 1).curves["accuracy"]
    assert accuracy[91:].mean() == pytest.approx(published.figures(method, 0.9)[0], abs=0.01)


def test_the_accuracy_of_every_round_is_in_the_context() -> None:
    outcome = APP.run(50, **SHORT)
    assert isinstance(outcome, Outcome)
    assert all(later == earlier + 1 for earlier, later in pairwise(sorted(outcome.accuracy)))
    assert sorted(outcome.accuracy) == [0, 1, 2]
