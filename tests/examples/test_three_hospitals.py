"""Three hospitals on scikit-learn's digits: their accuracy alone and together, and how they train."""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import get_args

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss
from three_hospitals import client_app, server_app
from three_hospitals.comparison import Digits, study
from three_hospitals.settings import Settings, StrategyName
from three_hospitals.task import (
    EXCLUDED,
    Parameters,
    Split,
    assign,
    evaluate,
    initial_parameters,
    load_data,
    load_hospital,
    train,
)

from flskew import LocalTerm, simulate
from flskew.strategies import RoundError
from flskew.study import Cell
from flskew.typing import RunConfig

SHORT = {"num-server-rounds": 2, "local-epochs": 1}


@pytest.fixture(
    scope="module",
    params=[pytest.param(seed, id=f"seed {seed}", marks=[pytest.mark.long] if seed else []) for seed in range(5)],
)
def cells(run: ModuleType, request: pytest.FixtureRequest) -> dict[str, Cell]:
    return run_study(run.run_config(overrides={"seed": request.param}))


def run_study(config: RunConfig) -> dict[str, Cell]:
    """Return the cells of the example's study by method."""
    made = study(Settings.from_run_config(config))
    return {method: made.cell("hospitals", method, made.seeds[0]) for method in ("alone", "pooled", "together")}


@pytest.fixture(scope="module")
def short(run: ModuleType) -> Settings:
    return Settings.from_run_config(run.run_config(overrides=SHORT))


@pytest.fixture
def hospital(short: Settings) -> Split:
    return load_hospital(1, short)[0]


@pytest.fixture
def parameters(short: Settings) -> Parameters:
    return initial_parameters(64, short)


def test_alone_each_hospital_recognises_two_thirds_of_all_images(cells: dict[str, Cell]) -> None:
    assert all(0.60 <= accuracy <= 0.72 for accuracy in cells["alone"].last["accuracy"])


def test_alone_no_hospital_recognises_a_digit_it_has_never_seen(cells: dict[str, Cell]) -> None:
    for recall, excluded in zip(cells["alone"].recall, EXCLUDED, strict=True):
        assert recall[list(excluded)].tolist() == [0, 0, 0]


def test_together_they_recognise_all_digits_within_ten_rounds(cells: dict[str, Cell]) -> None:
    assert len(cells["together"].curves["accuracy"]) == 11  # before the first round, and after each
    assert cells["together"].curves["accuracy"][-1] >= 0.95


def test_together_each_recognises_the_digits_it_has_never_seen(cells: dict[str, Cell]) -> None:
    for excluded in EXCLUDED:
        assert cells["together"].recall[0, list(excluded)].min() >= 0.85


def test_together_is_as_good_as_all_images_in_one_place(cells: dict[str, Cell]) -> None:
    pooled, together = (cells[method].curves["accuracy"][-1] for method in ("pooled", "together"))
    assert together == pytest.approx(pooled, abs=0.015)


@pytest.mark.long
def test_the_table_in_the_readme_has_the_figures_of_the_command(run: ModuleType, example: Path) -> None:
    found = run_study(run.run_config())
    readme = (example / "README.md").read_text("utf-8")
    rows = re.findall(r"^hospital \d +[\d, ]+?  +(\d+) +([\d.]+)% .* ([\d.]+)%  ", readme, re.M)
    (pooled,) = re.findall(r"^with all images in one place: ([\d.]+)%", readme, re.M)
    assert [int(images) for images, _, _ in rows] == found["alone"].label_counts.sum(axis=1).tolist()
    shown = {"alone": [row[1] for row in rows], "pooled": [pooled], "together": [rows[0][2]]}
    assert {row[2] for row in rows} == {rows[0][2]}
    # Other versions of scikit-learn and other processors round differently.
    for method, figures in shown.items():
        assert found[method].last["accuracy"] == pytest.approx([float(one) / 100 for one in figures], abs=0.015)


@pytest.mark.long
def test_what_the_readme_says_of_the_strategies_is_so(run: ModuleType) -> None:
    def accuracy(strategy: str, seed: int, num_rounds: int) -> float:
        settings = {"strategy": strategy, "seed": seed, "num-server-rounds": num_rounds}
        made = study(Settings.from_run_config(run.run_config(overrides=settings)))
        return float(made.cell("hospitals", "together", seed).curves["accuracy"][-1])

    plain, aware = (np.mean([accuracy(name, seed, 1) for seed in range(5)]) for name in ("fedavg", "class-aware"))
    assert (plain, aware) == (pytest.approx(0.94, abs=0.01), pytest.approx(0.96, abs=0.01))
    for strategy in get_args(StrategyName):
        assert 0.965 < accuracy(strategy, 0, 10) < 0.985, strategy


def test_alone_and_together_start_from_the_same_weights(cells: dict[str, Cell]) -> None:
    assert len({cell.curves["loss"][0] for cell in cells.values()}) == 1
    assert {len(cell.curves["loss"]) for cell in cells.values()} == {11}


def test_every_training_image_is_in_a_hospital_that_may_hold_its_digit(cells: dict[str, Cell]) -> None:
    assert cells["alone"].label_counts.sum() == 1198  # two thirds of the 1,797 digits
    for counts, excluded in zip(cells["alone"].label_counts, EXCLUDED, strict=True):
        assert np.flatnonzero(counts == 0).tolist() == list(excluded)


def test_a_hospital_is_tested_on_its_share_of_the_test_images_of_the_digits_it_holds(short: Settings) -> None:
    shares = [load_hospital(partition_id, short)[1] for partition_id in range(3)]
    assert sum(map(len, shares)) == len(load_data("")[1])
    for share, excluded in zip(shares, EXCLUDED, strict=True):
        assert not np.isin(share.labels, excluded).any()


def test_dropping_loses_the_images_that_redistributing_keeps(run: ModuleType) -> None:
    settings = Settings.from_run_config(run.run_config(overrides={"on-excluded": "drop"}))
    labels = load_data("")[0].labels
    dropped = assign(labels, settings)
    # Three of ten digits in each of three hospitals: about 1198 * 3/10 = 359 images.
    assert 300 < len(dropped.unassigned) < 420


def test_two_runs_give_the_same_scores(run: ModuleType) -> None:
    first, second = (run_study(run.run_config(overrides=SHORT)) for _ in range(2))
    for method in first:
        assert first[method].curves["loss"].tolist() == second[method].curves["loss"].tolist()
        assert first[method].recall.tolist() == second[method].recall.tolist()


def test_the_app_and_the_study_split_the_images_alike_and_start_from_the_same_weights(short: Settings) -> None:
    train, _ = load_data("")
    task = Digits(short)
    assert all(map(np.array_equal, task.initial(short.seed), initial_parameters(64, short)))
    made = study(short)
    ours = made.cell("hospitals", "together", short.seed)
    assert ours.fingerprints[0] == assign(train.labels, short).fingerprint


def test_another_seed_gives_another_split_and_other_weights(run: ModuleType, short: Settings) -> None:
    other = Settings.from_run_config(run.run_config(overrides={**SHORT, "seed": 43}))
    labels = load_data("")[0].labels
    assert assign(labels, short) != assign(labels, other)
    assert not np.array_equal(initial_parameters(64, short)[0], initial_parameters(64, other)[0])


def plain_sgd(
    parameters: Parameters, data: Split, settings: Settings, seed: int, mu: float, slope: float
) -> Parameters:
    """Train an MLP with momentum in plain NumPy and float64: the oracle for scikit-learn's."""
    start = [array.astype(np.float64) for array in parameters]
    w1, w2, b1, b2 = weights = [array.copy() for array in start]
    velocity = [np.zeros_like(array) for array in weights]
    rate = settings.learning_rate / (1 - settings.momentum)  # the total effect of a gradient on the weights
    rng = np.random.default_rng(seed)
    for _ in range(settings.local_epochs):
        order = rng.permutation(len(data))
        for batch in np.split(order, range(settings.batch_size, len(data), settings.batch_size)):
            x = data.images[batch].astype(np.float64)
            hidden = np.maximum(x @ w1 + b1, 0)
            odds = np.exp(hidden @ w2 + b2)
            error = (odds / odds.sum(axis=1, keepdims=True) - np.eye(10)[data.labels[batch]]) / len(batch)
            back = (error @ w2.T) * (hidden > 0)
            gradients = [x.T @ back, hidden.T @ error, back.sum(axis=0), error.sum(axis=0)]
            for w, w_start, v, gradient in zip(weights, start, velocity, gradients, strict=True):
                v *= settings.momentum
                v -= settings.learning_rate * gradient
                w += v
                # The w' that minimises mu/2 * |w' - w_start|^2 + slope * w' + |w' - w|^2 / (2 * rate).
                w -= (rate * mu * (w - w_start) + rate * slope) / (1 + rate * mu)
    return weights


@pytest.mark.parametrize(
    ("strategy", "mu", "slope"),
    [("fedavg", 0.0, 0.0), ("fedprox", 0.5, 0.0), ("feddyn", 0.5, 0.01), ("scaffold", 0.0, 0.01)],
)
def test_local_training_is_sgd_with_momentum_that_starts_at_zero_and_a_term_in_each_step(
    parameters: Parameters, hospital: Split, short: Settings, strategy: StrategyName, mu: float, slope: float
) -> None:
    assert len(hospital) % short.batch_size != 0  # so that the last mini-batch is a smaller one
    term = LocalTerm(parameters, mu=mu, linear=[np.full_like(array, slope) for array in parameters])
    trained, _ = train(parameters, hospital, replace(short, strategy=strategy), 7, term)
    expected = plain_sgd(parameters, hospital, short, 7, mu, slope)
    for array, wanted in zip(trained, expected, strict=True):
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, wanted, atol=2e-5)


def test_local_training_does_not_change_its_input(parameters: Parameters, hospital: Split, short: Settings) -> None:
    before = [array.copy() for array in parameters]
    train(parameters, hospital, short, 7)
    assert all(map(np.array_equal, parameters, before))


def test_in_the_app_the_order_of_images_depends_only_on_seed_round_and_hospital(
    parameters: Parameters, hospital: Split, short: Settings
) -> None:
    def after(server_round: int, number: int, seed: int = 42) -> Parameters:
        made = client_app.Hospital(hospital, hospital, replace(short, seed=seed), number)
        return made.fit([array.copy() for array in parameters], {"server-round": server_round})[0]

    once, again, next_round, next_hospital, next_seed = (
        after(*key)[0] for key in ((1, 1), (1, 1), (2, 1), (1, 2), (1, 1, 43))
    )
    assert np.array_equal(once, again)
    assert not any(np.array_equal(once, other) for other in (next_round, next_hospital, next_seed))


def test_in_a_study_the_order_of_images_depends_only_on_the_seed_it_sends(
    parameters: Parameters, hospital: Split, short: Settings
) -> None:
    made = Digits(short).client(np.arange(20))
    once, again, other = (
        made.fit([array.copy() for array in parameters], {"server-round": server_round, "seed": seed})[0][0]
        for server_round, seed in ((1, 5), (2, 5), (1, 6))
    )
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_training_neither_reads_nor_seeds_the_global_generators(
    parameters: Parameters, hospital: Split, short: Settings
) -> None:
    def states() -> list[str]:
        return [repr(random.getstate()), repr(np.random.get_state(legacy=False))]  # noqa: NPY002

    before = states()
    load_data.cache_clear()
    load_data("")
    initial_parameters(64, short)
    train(parameters, hospital, short, 7)
    assert states() == before


def test_the_proximal_term_keeps_the_model_near_its_start(run: ModuleType) -> None:
    def distance(mu: float) -> float:
        changes = {"num-server-rounds": 1, "strategy": "fedprox", "proximal-mu": mu}
        config = run.run_config(overrides={**SHORT, **changes})
        state = simulate(server_app.app, client_app.app, 3, config).state
        start = initial_parameters(64, Settings.from_run_config(config))
        end = state.array_records["arrays"].to_numpy_ndarrays()
        return sum(float(np.square(a - b).sum()) for a, b in zip(start, end, strict=True))

    assert distance(mu=10.0) < 0.5 * distance(mu=0.0)


NODES = "min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3"
# What each setting makes, as repr prints it.
STRATEGIES = {
    "fedavg": f"FedAvg({NODES}, min_replies=3, seed=42)",
    "fedprox": f"FedProx({NODES}, proximal_mu=0.01, min_replies=3, seed=42)",
    "feddyn": f"FedDyn({NODES}, alpha=0.01, min_replies=3, seed=42)",
    "scaffold": f"Scaffold({NODES}, min_replies=3, seed=42)",
    "fednova": f"FedNova({NODES}, momentum=0.9, min_replies=3, seed=42)",
    "class-aware": f"FedAvg({NODES}, min_replies=3, seed=42, averaging=ClassAware(head={{'1': 1, '3': 0}}))",
}


@pytest.fixture(scope="module")
def models(run: ModuleType) -> dict[str, Parameters]:
    """The model of each strategy after two short rounds."""
    configs = {name: run.run_config(overrides={**SHORT, "strategy": name}) for name in STRATEGIES}
    return {
        name: simulate(server_app.app, client_app.app, 3, config).state.array_records["arrays"].to_numpy_ndarrays()
        for name, config in configs.items()
    }


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_setting_names_the_strategy(run: ModuleType, name: str) -> None:
    made = server_app.strategy(Settings.from_run_config(run.run_config(overrides={"strategy": name})))
    assert repr(made) == STRATEGIES[name]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_same_client_trains_under_every_strategy(models: dict[str, Parameters], name: str) -> None:
    assert evaluate(models[name], load_data("")[1])["accuracy"] >= 0.8
    others = [models[other] for other in STRATEGIES if other != name]
    assert all(abs(models[name][0] - other[0]).max() > 1e-4 for other in others)


def test_scores_equal_those_of_scikit_learn(parameters: Parameters, hospital: Split, short: Settings) -> None:
    trained, _ = train(parameters, hospital, short, 7)
    _, test = load_data("")
    scores = evaluate(trained, test)
    hidden = np.maximum(test.images @ trained[0] + trained[2], 0)
    logits = (hidden @ trained[1] + trained[3]).astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert scores["accuracy"] == pytest.approx(accuracy_score(test.labels, odds.argmax(axis=1)))
    assert scores["loss"] == pytest.approx(log_loss(test.labels, odds / odds.sum(axis=1, keepdims=True)), rel=1e-4)


def test_the_wrong_number_of_nodes_is_an_error_that_names_the_setting(run: ModuleType) -> None:
    with pytest.raises(RoundError, match="num-supernodes must be 3, one for each hospital, got 4"):
        simulate(server_app.app, client_app.app, 4, run.run_config(overrides=SHORT))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("num-server-rounds", 0, "num-server-rounds must be at least 1, got 0"),
        ("local-epochs", -1, "local-epochs must be at least 1, got -1"),
        ("batch-size", 0, "batch-size must be at least 1, got 0"),
        ("hidden-units", 0, "hidden-units must be at least 1, got 0"),
        ("learning-rate", 0.0, "learning-rate must be > 0, got 0.0"),
        ("learning-rate", float("nan"), "learning-rate must be > 0, got nan"),
        ("momentum", 1.0, "momentum must be at least 0 and below 1, got 1.0"),
        ("seed", -1, "seed must be at least 0, got -1"),
        ("local-epochs", 1.5, "local-epochs must be of type int, got 1.5"),
        ("local-epochs", True, "local-epochs must be of type int, got True"),
        ("data-dir", 3, "data-dir must be of type str, got 3"),
        ("strategy", "fedsgd", r"strategy must be one of \['fedavg', .*'class-aware'\], got 'fedsgd'"),
    ],
)
def test_an_invalid_setting_is_an_error_that_names_it(
    run: ModuleType, setting: str, value: object, message: str
) -> None:
    config = run.run_config(overrides={setting: value})
    with pytest.raises((TypeError, ValueError), match=message):
        Settings.from_run_config(config)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"strategy": "fedprox", "proximal-mu": -0.1}, ValueError, "proximal_mu must be finite and >= 0"),
        ({"strategy": "feddyn", "feddyn-alpha": 0.0}, ValueError, "alpha must be a finite number > 0"),
        ({"fraction-evaluate": 2.0}, ValueError, "fraction_evaluate"),
        (
            {"on-excluded": "keep"},
            RoundError,
            r"ValueError at task.py:\d+ in \w+; the node's log has its message",
        ),
    ],
    ids=["mu", "alpha", "fraction", "excluded"],
)
def test_a_setting_that_flskew_refuses_ends_the_run(
    run: ModuleType, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        simulate(server_app.app, client_app.app, 3, run.run_config(overrides={**SHORT, **changes}))


def test_a_missing_setting_is_an_error_that_names_it(run: ModuleType) -> None:
    config = run.run_config()
    del config["momentum"]
    with pytest.raises(LookupError, match="no 'momentum'"):
        Settings.from_run_config(config)


def test_an_integer_is_accepted_for_a_float(run: ModuleType) -> None:
    settings = Settings.from_run_config(run.run_config(overrides={"proximal-mu": 1}))
    assert settings.proximal_mu == 1.0
    assert isinstance(settings.proximal_mu, float)


def test_the_app_has_the_layout_that_flower_requires(example: Path) -> None:
    project = tomllib.loads((example / "pyproject.toml").read_text())
    flower = project["tool"]["flwr"]
    # With a table of federations, `flwr run` rewrites the file.
    assert set(flower) == {"app"}
    assert flower["app"]["publisher"]
    assert flower["app"]["components"] == {
        "serverapp": "three_hospitals.server_app:app",
        "clientapp": "three_hospitals.client_app:app",
    }
    quickstart = {"num-server-rounds", "local-epochs", "learning-rate", "batch-size", "strategy", "proximal-mu"}
    assert quickstart <= set(flower["app"]["config"])
    assert set(tomllib.loads((example / "mnist.toml").read_text())) <= set(flower["app"]["config"])
