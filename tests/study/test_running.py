"""What a cell computes: the same as a plain loop, from the same random numbers, whatever happens to clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flskew import AbsentError, Assignment, DirichletPartitioner, FedAvg, IidPartitioner
from flskew.shifts import Affine
from flskew.study import Cell, Method, Study
from flskew.study._seeds import client_seed

NUM_ROUNDS = 3
FEATURES = np.random.default_rng(0).normal(size=(60, 4))
TEST_FEATURES = np.random.default_rng(1).normal(size=(30, 4))


class Site:
    """Takes a random step towards the mean of its rows."""

    def __init__(self, task: Noisy, features: np.ndarray) -> None:
        self.task, self.features = task, features

    def fit(self, parameters: list[np.ndarray], config: dict[str, Any]) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        self.task.configs.append(config)
        noise = np.random.default_rng(config["seed"]).normal(size=4)
        step = 0.5 * (self.features.mean(axis=0) - parameters[0]) + 0.1 * noise
        return [parameters[0] + step], len(self.features), {}


class Noisy:
    """A task that remembers the configs of its clients, in a class attribute, which is not part of its state."""

    labels, test_labels = np.arange(60) % 3, np.arange(30) % 3

    def __init__(self) -> None:
        type(self).configs: list[dict[str, Any]] = []  # type: ignore[misc]

    def initial(self, seed: int) -> list[np.ndarray]:
        return [np.random.default_rng(seed).normal(size=4)]

    def client(self, rows: np.ndarray) -> Site:
        return Site(self, FEATURES[rows])

    def evaluate(self, parameters: list[np.ndarray], rows: np.ndarray) -> dict[str, float]:
        return {"accuracy": float(np.tanh(TEST_FEATURES[rows] @ parameters[0]).mean())}


def cell_of(
    task: Any, split: Any = None, method: Any = None, name: str = "mine", seed: int = 0, **options: Any
) -> Cell:
    """Return one cell of a study of one split and one method."""
    splits = {"split": DirichletPartitioner(3, alpha=0.5) if split is None else split}
    study = Study(task, splits, {"mine": method or FedAvg()}, seeds=[seed], num_rounds=NUM_ROUNDS, **options)
    return study.cell("split", name, seed)


def plain_loop(rows: list[np.ndarray], numbers: list[int], seed: int = 0) -> list[float]:
    """Return the accuracy before the first round and after each, of FedAvg in a few lines."""
    task = Noisy()
    parameters = task.initial(seed)[0]
    curve = [task.evaluate([parameters], np.arange(30))["accuracy"]]
    for server_round in range(1, NUM_ROUNDS + 1):
        models = []
        for number, mine in zip(numbers, rows, strict=True):
            config = {"seed": client_seed(seed, server_round, number)}
            models.append(task.client(mine).fit([parameters], config)[0][0])
        sizes = np.array([len(mine) for mine in rows])
        parameters = models[0] if len(models) == 1 else np.average(models, axis=0, weights=sizes)
        curve.append(task.evaluate([parameters], np.arange(30))["accuracy"])
    return curve


def test_pooled_is_a_plain_loop_over_all_rows_bit_for_bit() -> None:
    assert cell_of(Noisy(), name="pooled").curves["accuracy"].tolist() == plain_loop([np.arange(60)], [-1])


def test_alone_is_a_plain_loop_for_each_client_bit_for_bit() -> None:
    cell = cell_of(Noisy(), name="alone", seed=2)
    train = DirichletPartitioner(3, alpha=0.5, seed=2).assign(Noisy.labels)
    curves = [plain_loop([train[client]], [client], seed=2) for client in range(3)]
    assert cell.curves["accuracy"].tolist() == np.mean(curves, axis=0).tolist()
    assert cell.trained.tolist() == [0, 1, 2]


def test_a_federation_is_a_plain_loop_over_the_clients() -> None:
    train = DirichletPartitioner(3, alpha=0.5, seed=0).assign(Noisy.labels)
    np.testing.assert_allclose(cell_of(Noisy()).curves["accuracy"], plain_loop([*train], [0, 1, 2]), rtol=1e-12)


def test_own_scores_are_those_of_the_clients_test_rows() -> None:
    train = DirichletPartitioner(3, alpha=0.5, seed=0).assign(Noisy.labels)
    test = train.match(Noisy.test_labels, seed=0)
    alone = cell_of(Noisy(), name="alone")
    for client in range(3):
        task, parameters = Noisy(), Noisy().initial(0)
        for server_round in range(1, NUM_ROUNDS + 1):
            config = {"seed": client_seed(0, server_round, client)}
            parameters = task.client(train[client]).fit(parameters, config)[0]
        assert alone.own["accuracy"][client] == task.evaluate(parameters, test[client])["accuracy"]


def test_clients_get_the_same_seed_from_every_method() -> None:
    def seeds(method: Any, name: str = "mine", seed: int = 0) -> list[tuple[int, int]]:
        cell_of(task := Noisy(), method=method, name=name, seed=seed)
        return sorted((config["server-round"], config["seed"]) for config in task.configs)

    assert seeds(FedAvg()) == seeds(FedAvg(min_replies=2)) == seeds(FedAvg(), "alone")
    assert seeds(FedAvg()) == sorted((r, client_seed(0, r, c)) for r in (1, 2, 3) for c in range(3))
    assert not {*seeds(FedAvg())} & {*seeds(FedAvg(), seed=1)}


def test_the_config_of_a_method_arrives() -> None:
    cell_of(task := Noisy(), method=Method(FedAvg(), {"loss": "fedlc", "epochs": 2}))
    assert {(config["loss"], config["epochs"]) for config in task.configs} == {("fedlc", 2)}
    cell_of(task := Noisy(), method=Method(FedAvg(), {"loss": "fedlc"}), name="alone")
    assert all("loss" not in config for config in task.configs)


def test_baselines_train_as_often_as_a_sampled_client() -> None:
    """Four of ten clients train in each of three rounds, 12 calls: 1.2 for each, so 2."""
    sampled = FedAvg(fraction_train=0.4, min_train_nodes=1, min_available_nodes=1)
    calls = {}
    for name in ("mine", "alone", "pooled"):
        cell = cell_of(task := Noisy(), IidPartitioner(10), sampled, name, most_alone=4)
        calls[name] = len(task.configs), len(cell.trained), len(cell.curves["accuracy"])
    assert calls == {"mine": (12, 1, 4), "alone": (8, 4, 3), "pooled": (2, 1, 3)}


def test_pooled_trains_on_assigned_rows_only_and_empty_clients_are_absent() -> None:
    split = Assignment.from_partitions({"Bern": range(20), "Rome": [], "Lyon": [25]}, Noisy.labels)
    pooled = cell_of(Noisy(), split, name="pooled")
    assert pooled.curves["accuracy"].tolist() == plain_loop([np.array([*range(20), 25])], [-1])
    cell = cell_of(task := Noisy(), split)
    assert len(task.configs) == 2 * NUM_ROUNDS
    assert cell.num_dropped.tolist() == [0, 0, 0, 0]
    assert np.isnan(cell.own["accuracy"]).tolist() == [False, True, True]  # one row of a class of 20 gives no test row
    assert cell_of(Noisy(), split, name="alone").trained.tolist() == [0, 2]


def test_one_client_that_holds_all_rows_is_the_same_alone() -> None:
    method = FedAvg(min_train_nodes=1, min_available_nodes=1)
    cells = [cell_of(Noisy(), IidPartitioner(1), method, name) for name in ("mine", "alone")]
    np.testing.assert_allclose(cells[0].curves["accuracy"], cells[1].curves["accuracy"], rtol=1e-12)


class Diverges(Noisy):
    def client(self, rows: np.ndarray) -> Any:
        class Bad(Site):
            def fit(self, parameters: Any, config: Any) -> Any:
                return [parameters[0] * (np.nan if config["server-round"] == 2 else 1.0)], 5, {}

        return Bad(self, FEATURES[rows])


@pytest.mark.parametrize("name", ["mine", "alone", "pooled"])
def test_divergence_is_a_result_not_an_exception(name: str) -> None:
    cell = cell_of(Diverges(), name=name)
    assert "round 2" in cell.error
    assert "NaN" in cell.error
    assert np.isnan(cell.curves["accuracy"]).tolist() == [False, False, True, True]
    assert np.isnan(cell.own["accuracy"]).all()
    assert np.isnan(cell.recall).all()


class OneDiverges(Noisy):
    def client(self, rows: np.ndarray) -> Any:
        class Bad(Site):
            def fit(self, parameters: Any, config: Any) -> Any:
                return [parameters[0] * (np.nan if 0 in rows else 1.0)], 5, {}

        return Bad(self, FEATURES[rows])


def test_a_client_that_diverges_is_dropped_and_counted() -> None:
    cell = cell_of(OneDiverges())
    assert (cell.error, cell.num_dropped.tolist()) == ("", [0, 1, 2, 3])
    alone = cell_of(OneDiverges(), IidPartitioner(3), name="alone")
    assert np.isnan(alone.own["accuracy"]).sum() == 1
    assert alone.error


class Broken(Noisy):
    """Raises in one client only, in the second round."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def client(self, rows: np.ndarray) -> Any:
        class Bad(Site):
            def fit(self, parameters: Any, config: Any) -> Any:
                if config["server-round"] == 2 and 0 in rows:
                    raise self.task.error  # type: ignore[attr-defined]
                return super().fit(parameters, config)

        return Bad(self, FEATURES[rows])


class OddError(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


@pytest.mark.parametrize("name", ["mine", "alone", "pooled"])
def test_an_exception_of_one_client_ends_the_run(name: str) -> None:
    with pytest.raises(OddError, match="1 and 2"):
        cell_of(Broken(OddError(1, 2)), name=name)


def test_an_exception_of_one_client_ends_the_run_in_its_round() -> None:
    with pytest.raises(OddError):
        cell_of(task := Broken(OddError(1, 2)))
    assert [config["server-round"] for config in task.configs] == [1, 1, 1, 2, 2]


def test_a_client_that_is_absent_is_no_mistake() -> None:
    assert cell_of(Broken(AbsentError("no new rows"))).error == ""


def returns(value: object) -> Any:
    class Returns(Noisy):
        def client(self, rows: np.ndarray) -> Any:
            class Bad(Site):
                def fit(self, parameters: Any, config: Any) -> Any:
                    return value

            return Bad(self, FEATURES[rows])

    return Returns()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(([np.zeros(5)], 3, {}), "shape", id="shape"),
        pytest.param(([], 3, {}), "returned 0", id="count"),
        pytest.param([np.zeros(4)], r"must return \(parameters, num_examples, metrics\)", id="no tuple"),
    ],
)
def test_a_reply_that_is_no_model_is_a_mistake(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cell_of(returns(value))


def evaluates(make: Callable[[int], object]) -> Any:
    class Evaluates(Noisy):
        calls = 0

        def evaluate(self, parameters: Any, rows: Any) -> Any:
            type(self).calls += 1
            return make(type(self).calls)

    return Evaluates()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        pytest.param(lambda call: {"accuracy": 1.0, **({"f1": 1.0} if call == 2 else {})}, ValueError,
                     r"always return the same metrics, got 'accuracy', 'f1' after 'accuracy'", id="more"),
        pytest.param(lambda call: {"accuracy": 1.0} if call < 3 else {}, ValueError, "same metrics", id="fewer"),
        pytest.param(lambda call: 0.5, TypeError, "metrics by name.*got 0.5", id="number"),
        pytest.param(lambda call: {"accuracy": [0.5]}, TypeError, "must return numbers, got 'accuracy'", id="list"),
        pytest.param(lambda call: {"accuracy": "0.5"}, TypeError, "must return numbers, got 'accuracy'", id="text"),
        pytest.param(lambda call: {1: 0.5}, TypeError, "by name, got the key 1", id="key"),
    ],
)  # fmt: skip
def test_what_evaluate_returns_is_checked(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cell_of(evaluates(make))


@pytest.mark.parametrize("value", [1, True, np.float32(0.5), np.array(0.5), np.nan], ids=str)
def test_numbers_of_any_kind_are_metrics(value: Any) -> None:
    found = cell_of(evaluates(lambda call: {"accuracy": value})).curves["accuracy"]
    np.testing.assert_array_equal(found, [float(value)] * 4)


class Shifted(Noisy):
    """Applies the view that it gets, and remembers what its clients see."""

    def client(self, rows: np.ndarray, view: Any) -> Site:  # type: ignore[override]
        type(self).seen = getattr(self, "seen", [])
        self.seen.append((rows.tolist(), view.features(FEATURES[rows], rows)[:, 0] - FEATURES[rows, 0]))
        return Site(self, view.features(FEATURES[rows], rows))

    def evaluate(self, parameters: Any, rows: Any, view: Any = None) -> Any:
        features = TEST_FEATURES[rows] if view is None else view.features(TEST_FEATURES[rows], rows)
        return {"accuracy": float((features[:, 0] - TEST_FEATURES[rows, 0]).mean())}


OFFSETS = Assignment.from_partitions([range(20), range(20, 50)], Noisy.labels).with_shift(Affine(offset=[0.0, 100.0]))


def test_clients_and_their_test_rows_are_seen_through_their_view() -> None:
    cell = cell_of(task := Shifted(), OFFSETS)
    assert {(len(rows), float(added.round(9).mean())) for rows, added in task.seen} == {(20, 0.0), (30, 100.0)}
    np.testing.assert_allclose(cell.own["accuracy"], [0, 100])
    np.testing.assert_allclose(cell.curves["accuracy"], 0)


def test_the_pooled_client_sees_each_row_as_its_client_does() -> None:
    type(task := Shifted()).seen = []
    cell_of(task, OFFSETS, name="pooled")
    rows, added = task.seen[0]
    np.testing.assert_allclose(added, np.where(np.array(rows) < 20, 0.0, 100.0))
    assert rows == [*range(50)]


def test_a_task_that_takes_no_view_is_refused_for_a_shift() -> None:
    with pytest.raises(TypeError, match=r"splits\['split'\] has a shift, so task\.client must take \(rows, view\)"):
        cell_of(Noisy(), OFFSETS)

    class Half(Shifted):
        def evaluate(self, parameters: Any, rows: Any) -> Any:  # type: ignore[override]
            return {"accuracy": 0.0}

    with pytest.raises(TypeError, match=r"task\.evaluate must take \(parameters, rows, view\)"):
        cell_of(Half(), OFFSETS)


@pytest.mark.torch
def test_pytorch_computes_on_one_thread_and_gets_its_threads_back() -> None:
    import torch

    class Counts(Noisy):
        def evaluate(self, parameters: Any, rows: Any) -> Any:
            return {"accuracy": torch.get_num_threads()}

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert cell_of(Counts()).curves["accuracy"].tolist() == [1.0] * 4
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
