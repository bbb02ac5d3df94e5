"""FedAvg and FedProx as Flower strategies: arguments, sampling, history, memory."""

from __future__ import annotations

import inspect
import random
import re
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import strategy as flower
from hypothesis import given
from hypothesis import strategies as st

from flskew.client import LocalTerm, client_app
from flskew.simulation import LocalGrid
from flskew.strategies import Checked, ClassAware, FedAvg, FedDyn, FedNova, FedProx, Reply, Round, Scaffold
from flskew.strategies._sampling import available_nodes, sample

PAIRS = [(FedAvg, flower.FedAvg), (FedProx, flower.FedProx)]
ZERO = ArrayRecord([np.zeros(2)])


class Tensor:
    """Stand-in for a PyTorch tensor."""


class Drift:
    """Gradient descent on ||w - partition||²/2 with FedProx's term, and a loss."""

    def __init__(self, context: Context) -> None:
        self.target = float(context.node_config["partition-id"])

    def fit(self, parameters: Any, config: Any) -> Any:
        term = LocalTerm.from_config(config, parameters)
        for _ in range(5):
            gradients = [parameters[0] - self.target]
            term.add_gradient(parameters, gradients)
            parameters[0] -= 0.1 * gradients[0]
        return parameters, 1 + int(self.target), {"loss": float(np.sum((parameters[0] - self.target) ** 2))}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        return float(np.sum((parameters[0] - self.target) ** 2)), 1, {}


def run(strategy: FedAvg, nodes: int = 4, rounds: int = 3) -> flower.Result:
    with LocalGrid(client_app(Drift), nodes) as grid:
        return strategy.start(grid, ZERO, num_rounds=rounds)


@pytest.mark.parametrize(("ours", "flowers"), PAIRS)
def test_our_strategies_are_flowers_and_take_the_same_arguments_first(ours: type, flowers: type) -> None:
    assert issubclass(ours, flower.Strategy)
    assert_takes_the_same_first(ours, flowers)


@pytest.mark.parametrize(("ours", "flowers"), [*PAIRS, (Checked, flower.Strategy)])
def test_start_takes_flowers_arguments_first(ours: type[FedAvg], flowers: type[flower.FedAvg]) -> None:
    assert_takes_the_same_first(ours.start, flowers.start)


@pytest.mark.parametrize("kind", [FedProx, FedDyn, Scaffold, FedNova])
def test_every_strategy_takes_the_arguments_and_defaults_of_fedavg_in_the_same_order(kind: type[FedAvg]) -> None:
    have, want = inspect.signature(kind).parameters, inspect.signature(FedAvg).parameters
    assert {name: have[name].default for name in want} == {name: want[name].default for name in want}
    assert [name for name in have if name in want] == list(want)


def test_the_defaults_are_those_in_the_documentation() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "strategies.md"
    shown = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", page.read_text("utf-8"), re.MULTILINE))
    assert len(shown) == 9
    have = inspect.signature(FedAvg).parameters
    assert {name: float(value) for name, value in shown.items()} == {name: have[name].default for name in shown}


def assert_takes_the_same_first(ours: Callable[..., object], flowers: Callable[..., object]) -> None:
    have = inspect.signature(ours).parameters
    want = inspect.signature(flowers).parameters
    assert [(name, have[name].default) for name in list(have)[: len(want)]] == [
        (name, parameter.default) for name, parameter in want.items()
    ]
    # should_stop is in the same position as in Flower 1.43; the installed version may be older.
    others = [parameter for name, parameter in list(have.items())[len(want) :] if name != "should_stop"]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in others)


def test_mu_zero_is_fedavg_bit_for_bit() -> None:
    strategies = FedAvg(0.5, seed=3), FedProx(0.5, seed=3, proximal_mu=0.0)
    average, proximal = (run(strategy) for strategy in strategies)
    assert average.arrays["0"].data == proximal.arrays["0"].data
    assert average.train_metrics_clientapp == proximal.train_metrics_clientapp
    assert average.evaluate_metrics_clientapp == proximal.evaluate_metrics_clientapp
    assert list(average.evaluate_metrics_clientapp) == [1, 2, 3]
    histories = [[(entry.server_round, entry.phase) for entry in strategy.history] for strategy in strategies]
    assert histories[0] == histories[1]


def test_mu_reaches_the_clients_and_reduces_their_drift() -> None:
    distances = [float(run(FedProx(proximal_mu=mu), rounds=1).arrays["0"].numpy()[0]) for mu in (0.0, 1.0, 5.0)]
    assert distances == sorted(distances, reverse=True)
    assert len(set(distances)) == 3


def test_mu_is_sent_under_flowers_name_and_the_callers_config_is_not_changed() -> None:
    seen = []
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        seen.append(dict(message.content["config"]))
        records = {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(records), reply_to=message)

    config = ConfigRecord({"lr": 0.1})
    with LocalGrid(app, 2) as grid:
        FedProx(fraction_evaluate=0.0, proximal_mu=0.25).start(grid, ZERO, num_rounds=1, train_config=config)
    assert seen == [{"lr": 0.1, "proximal-mu": 0.25, "server-round": 1}] * 2
    assert config == {"lr": 0.1}


@pytest.mark.parametrize("mu", [-0.1, float("nan"), float("inf"), 10**400], ids=["negative", "NaN", "inf", "endless"])
def test_a_mu_that_is_negative_or_not_finite_is_refused(mu: float) -> None:
    with pytest.raises(ValueError, match=r"proximal_mu must be finite and >= 0, got .*; 0 is FedAvg"):
        FedProx(proximal_mu=mu)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: FedDyn(alpha=0.0), "alpha must be .* > 0, got 0.0; .* for alpha=0, use FedAvg", id="alpha"
        ),
        pytest.param(lambda: Scaffold(server_learning_rate=0.0), "server_learning_rate must be .* > 0", id="rate"),
        pytest.param(lambda: FedNova(momentum=-0.1), "momentum must be .* >= 0, .*; 0 is plain SGD", id="negative"),
        pytest.param(lambda: FedNova(momentum=1.0), "momentum must be below 1, got 1.0; 0.9 is typical", id="one"),
    ],
)
def test_a_number_of_feddyn_scaffold_or_fednova_that_is_out_of_range_is_refused(
    make: Callable[[], FedAvg], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"fraction_train": 1.5}, ValueError, "fraction_train must be between 0 and 1, got 1.5"),
        ({"fraction_evaluate": float("nan")}, ValueError, "fraction_evaluate must be between 0 and 1, got nan"),
        ({"fraction_train": 10**400}, ValueError, "fraction_train must be between 0 and 1, got 1000"),
        ({"fraction_train": "half"}, TypeError, "fraction_train must be a number, got 'half' of type str"),
        ({"fraction_train": True}, TypeError, "fraction_train must be a number, got True of type bool"),
        ({"min_train_nodes": -1}, ValueError, "min_train_nodes must be at least 0, got -1"),
        ({"min_evaluate_nodes": -1}, ValueError, "min_evaluate_nodes must be at least 0, got -1"),
        ({"min_available_nodes": -1}, ValueError, "min_available_nodes must be at least 0, got -1"),
        ({"min_evaluate_nodes": 1.5}, TypeError, "min_evaluate_nodes must be an integer, got 1.5"),
        ({"min_available_nodes": None}, TypeError, "min_available_nodes must be an integer, got None"),
        ({"min_replies": -1}, ValueError, "min_replies must be at least 0, got -1"),
        ({"min_evaluate_replies": -1}, ValueError, "min_evaluate_replies must be at least 0, got -1"),
        ({"seed": None}, TypeError, "seed must be an integer, got None: each run would sample other nodes"),
        ({"node_patience": 0}, ValueError, "node_patience must be > 0 seconds, got 0"),
    ],
)
def test_arguments_out_of_range_are_refused_when_the_strategy_is_made(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    for strategy in (FedAvg, FedProx, FedDyn, Scaffold, FedNova):
        with pytest.raises(error, match=message):
            strategy(**arguments)


@pytest.mark.parametrize(
    ("make", "name"),
    [(FedDyn, "alpha"), (Scaffold, "server_learning_rate"), (FedNova, "momentum")],
    ids=["FedDyn", "Scaffold", "FedNova"],
)
@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param(-0.1, ValueError, id="negative"),
        pytest.param(float("nan"), ValueError, id="NaN"),
        pytest.param(float("inf"), ValueError, id="infinite"),
        pytest.param(10**400, ValueError, id="endless"),
        pytest.param(True, TypeError, id="a bool"),
        pytest.param(np.True_, TypeError, id="NumPy's bool"),
        pytest.param("0.1", TypeError, id="text"),
        pytest.param(None, TypeError, id="nothing"),
        pytest.param(np.array([0.1]), TypeError, id="an array"),
    ],
)
def test_the_number_of_a_strategy_is_refused_by_name_if_it_makes_no_sense(
    make: Any, name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=rf"^{name} must be "):
        make(**{name: value})
    number = getattr(make(**{name: np.float32(0.5)}), name)
    assert (type(number), number) == (float, 0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"initial_arrays": [np.zeros(2)]},
            TypeError,
            r"got list; use flwr.app.ArrayRecord\(\[...\]\) with",
        ),
        ({"initial_arrays": {"w": Tensor()}}, TypeError, r"got dict; use flwr.app.ArrayRecord\(net.state_dict\(\)\)"),
        (
            {"initial_arrays": {"w": np.zeros(2)}},
            TypeError,
            r"got dict; use flwr.app.ArrayRecord\(\{name: flwr.app.Array",
        ),
        ({"initial_arrays": np.zeros(2)}, TypeError, r"got ndarray; use flwr.app.ArrayRecord\(\[array\]\)"),
        ({"initial_arrays": ArrayRecord()}, ValueError, "initial_arrays is empty; add the model's parameters"),
        (
            {"initial_arrays": ArrayRecord([np.array([np.inf])])},
            ValueError,
            "initial_arrays: array '0' holds NaN or infinity; start from f",
        ),
        ({"initial_arrays": ArrayRecord([np.array(["a"])])}, ValueError, "array '0' is <U1, which cannot"),
        ({"num_rounds": -1}, ValueError, "num_rounds must be at least 0, got -1"),
        ({"num_rounds": 1.5}, TypeError, "num_rounds must be an integer, got 1.5"),
        ({"timeout": 0}, ValueError, "timeout must be > 0 seconds, got 0"),
        ({"train_config": [0.1]}, TypeError, "train_config must be a ConfigRecord, got list"),
        ({"train_config": {"lr": {"first": 1}}}, TypeError, "train_config cannot send 'lr': .* `<class 'dict'>`"),
        ({"evaluate_config": {"rows": None}}, TypeError, "evaluate_config cannot send 'rows': .*NoneType"),
    ],
)
def test_a_start_that_cannot_work_is_refused_before_anything_is_sent(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    app = ClientApp()  # answers nothing
    with LocalGrid(app, 2) as grid, pytest.raises(error, match=message):
        FedAvg().start(grid, **{"initial_arrays": ZERO, **arguments})


@pytest.mark.parametrize("strategy", [FedAvg(), Checked(flower.FedAvg())])
@pytest.mark.parametrize(("grid", "got"), [(client_app(Drift), "a ClientApp"), (ZERO, "ArrayRecord")])
def test_an_object_that_is_not_a_grid_is_refused_with_a_remedy(strategy: Any, grid: Any, got: str) -> None:
    with pytest.raises(
        TypeError, match=rf"grid must be a Grid, got {got}; LocalGrid\(client_app, num_supernodes\) makes"
    ):
        strategy.start(grid, ZERO)


def test_start_waits_for_replies_until_its_timeout() -> None:
    waited = []

    class Notes(LocalGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            waited.append(timeout)
            return super().send_and_receive(messages, timeout=timeout)

    with Notes(client_app(Drift), 2) as grid:
        FedAvg().start(grid, ZERO, num_rounds=1, timeout=60.5)
    assert waited == [60.5, 60.5]


@pytest.mark.parametrize("arguments", [{"num_rounds": 0}, {"num_rounds": 2, "fraction": 0.0}])
def test_with_nothing_to_train_the_result_is_the_initial_model(arguments: dict[str, Any]) -> None:
    # Flower: the result is empty.
    strategy = FedAvg(fraction_train=arguments.pop("fraction", 1.0))
    assert run(strategy, rounds=arguments["num_rounds"]).arrays["0"].data == ZERO["0"].data


def test_too_few_nodes_on_a_fixed_grid_are_an_immediate_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flskew.strategies._sampling.time.sleep", pytest.fail)
    with pytest.raises(TimeoutError, match="a round needs 5 nodes, but only nodes 1000, 1001 are connected; start"):
        run(FedAvg(min_available_nodes=5), nodes=2)


def test_the_strategy_waits_for_nodes_but_not_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr("flskew.strategies._sampling.time.sleep", naps.append)

    class Filling(LocalGrid):
        nodes_are_fixed = False

        def get_node_ids(self) -> list[int]:
            return super().get_node_ids()[: 1 + len(naps)]

    with Filling(client_app(Drift), 3) as grid:
        strategy = FedAvg(min_available_nodes=3, fraction_evaluate=0.0)
        strategy.start(grid, ZERO, num_rounds=1)
        assert len(naps) == 2
        assert len(strategy.history[0].replies) == 3
        naps.clear()
        with pytest.raises(TimeoutError, match="needs 4 nodes"):
            FedAvg(min_available_nodes=4, node_patience=1e-9).start(grid, ZERO, num_rounds=1)


def test_a_grid_whose_nodes_may_change_is_polled_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    naps: list[float] = []
    monkeypatch.setattr("flskew.strategies._sampling.time.sleep", naps.append)

    class Filling:
        def get_node_ids(self) -> list[int]:
            return [7, 3, 5][: 1 + len(naps)]

    assert available_nodes(Filling(), 3, patience=3600) == [3, 5, 7]  # type: ignore[arg-type]
    assert naps == [1.0, 1.0]


def test_a_round_waits_for_the_nodes_of_its_evaluation_before_training() -> None:
    trained: list[int] = []

    class Notes(Drift):
        def fit(self, parameters: Any, config: Any) -> Any:
            trained.append(1)
            return super().fit(parameters, config)

    with LocalGrid(client_app(Notes), 2) as grid, pytest.raises(TimeoutError, match="needs 5 nodes"):
        FedAvg(min_evaluate_nodes=5).start(grid, ZERO, num_rounds=1)
    assert trained == []


def nodes_by_round(strategy: FedAvg, nodes: int = 10, rounds: int = 5) -> list[list[int]]:
    run(strategy, nodes, rounds)
    return [[reply.node_id for reply in entry.replies] for entry in strategy.history if entry.phase == "train"]


def test_nodes_are_sampled_by_the_seed_alone_and_no_global_generator_is_touched() -> None:
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr, index]  # noqa: NPY002
    first = nodes_by_round(FedAvg(0.3, seed=1))
    random.seed(99)
    second = nodes_by_round(FedAvg(0.3, seed=1))
    random.setstate(before[0])
    assert first == second
    assert first != nodes_by_round(FedAvg(0.3, seed=2))
    assert len({tuple(nodes) for nodes in first}) > 1
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[union-attr, index]  # noqa: NPY002


def test_a_second_start_of_a_strategy_samples_the_same_nodes() -> None:
    strategy = FedAvg(0.3)
    assert nodes_by_round(strategy) == nodes_by_round(strategy)


def test_a_strategy_that_runs_is_not_started_again() -> None:
    strategy = FedAvg(fraction_evaluate=0.0)

    def starts(server_round: int, arrays: ArrayRecord) -> None:
        with pytest.raises(RuntimeError, match="this FedAvg is running; make another one for a second run"):
            run(strategy)

    with LocalGrid(client_app(Drift), 2) as grid:
        strategy.start(grid, ZERO, num_rounds=2, evaluate_fn=starts)
    assert [entry.server_round for entry in strategy.history] == [1, 2]
    run(strategy)


def test_the_order_in_which_nodes_are_listed_does_not_matter() -> None:
    class Reversed(LocalGrid):
        def get_node_ids(self) -> list[int]:
            return super().get_node_ids()[::-1]

    strategy = FedAvg(0.3, fraction_evaluate=0.0)
    with Reversed(client_app(Drift), 10) as grid:
        strategy.start(grid, ZERO, num_rounds=5)
    assert [[reply.node_id for reply in entry.replies] for entry in strategy.history] == nodes_by_round(FedAvg(0.3))


@pytest.mark.parametrize(
    ("fraction", "minimum", "nodes", "expected"),
    [(0.29, 2, 100, 29), (0.1, 2, 10, 2), (1.0, 2, 3, 3), (0.01, 0, 3, 1), (0.5, 0, 7, 3)],
)
def test_the_fraction_determines_how_many_nodes_train_and_at_least_one_does(
    fraction: float, minimum: int, nodes: int, expected: int
) -> None:
    # 100 * 0.29 is 28.999999999999996.
    assert len(nodes_by_round(FedAvg(fraction, 0.0, minimum), nodes, 1)[0]) == expected


def test_evaluation_has_its_own_minimum_and_sample() -> None:
    strategy = FedAvg(0.5, 0.1, min_train_nodes=1, min_evaluate_nodes=5)
    train = nodes_by_round(strategy)
    evaluation = [[reply.node_id for reply in entry.replies] for entry in strategy.history if entry.phase != "train"]
    assert [len(nodes) for nodes in evaluation] == [len(nodes) for nodes in train] == [5] * 5
    assert evaluation != train


def test_without_a_minimum_one_node_is_enough_and_zero_is_too_few() -> None:
    minimums = {"min_train_nodes": 0, "min_evaluate_nodes": 0, "min_available_nodes": 0}
    strategy = FedAvg(**minimums)
    run(strategy, nodes=1, rounds=1)
    assert [len(entry.replies) for entry in strategy.history] == [1, 1]

    class Empty(LocalGrid):
        def get_node_ids(self) -> list[int]:
            return []

    with (
        Empty(client_app(Drift), 1) as grid,
        pytest.raises(TimeoutError, match="a round needs 1 nodes, but none is connected; "),
    ):
        FedAvg(**minimums).start(grid, ZERO, num_rounds=1)


@given(seed=st.integers(), size=st.integers(1, 9))
def test_a_sample_has_no_node_twice_and_keeps_their_order(seed: int, size: int) -> None:
    nodes = sample(range(100, 109), size, seed=seed, server_round=1, phase="train")
    assert nodes == sorted(set(nodes))
    assert len(nodes) == size


def test_every_node_is_sampled_equally_often() -> None:
    rounds = 3000
    counts = Counter(
        node for number in range(rounds) for node in sample(range(6), 2, seed=0, server_round=number, phase="train")
    )
    # Each is drawn in 1/3 of the rounds; four standard deviations are 4 * sqrt(3000 * 1/3 * 2/3) = 103.
    assert all(abs(counts[node] - rounds / 3) < 103 for node in range(6))


def test_training_and_evaluation_are_sampled_independently() -> None:
    drawn = [
        [sample(range(100), 10, seed=0, server_round=number, phase=phase) for number in range(3)]
        for phase in ("train", "evaluate")
    ]
    assert drawn[0] != drawn[1]


def test_the_history_has_the_reply_of_every_client() -> None:
    strategy = FedAvg()
    begin = time.monotonic()
    run(strategy, nodes=2, rounds=2)
    took = time.monotonic() - begin
    assert [(entry.server_round, entry.phase) for entry in strategy.history] == [
        (1, "train"),
        (1, "evaluate"),
        (2, "train"),
        (2, "evaluate"),
    ]
    entry = strategy.history[0]
    assert isinstance(entry, Round)
    assert [(reply.node_id, reply.num_examples) for reply in entry.replies] == [(1000, 1.0), (1001, 2.0)]
    # Five steps of w -= 0.1 * (w - 1) from 0 leave a distance of 0.9^5 in each of two places.
    assert entry.replies[1].metrics == {"num-examples": 2, "loss": pytest.approx(2 * 0.9**10)}
    assert all(reply.seconds >= 0 for reply in entry.replies)
    assert 0 < entry.seconds < took
    with pytest.raises(AttributeError):
        entry.replies[0].node_id = 3  # type: ignore[misc]


def test_the_time_of_a_reply_is_from_message_to_reply_and_never_negative() -> None:
    class Clocked(LocalGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            sent = list(messages)
            replies = super().send_and_receive(sent)
            for message, reply, seconds in zip(sent, replies, (5.0, -5.0), strict=False):
                message.metadata.created_at = 1000.0
                reply.metadata.created_at = 1000.0 + seconds
            return replies

    strategy = FedAvg(fraction_evaluate=0.0)
    with Clocked(client_app(Drift), 2) as grid:
        strategy.start(grid, ZERO, num_rounds=1)
    assert [reply.seconds for reply in strategy.history[0].replies] == [5.0, 0.0]


def test_the_history_contains_only_the_last_start() -> None:
    strategy = FedAvg(fraction_evaluate=0.0)
    run(strategy, rounds=3)
    run(strategy, rounds=1)
    assert len(strategy.history) == 1


@pytest.mark.parametrize("kind", [FedAvg, FedProx, FedDyn, Scaffold, FedNova])
def test_a_custom_aggregation_of_metrics_is_used(kind: type[FedAvg]) -> None:
    def worst(contents: list[RecordDict], weighted_by_key: str) -> MetricRecord:
        return MetricRecord({"worst": max(content["metrics"]["loss"] for content in contents)})

    result = run(kind(train_metrics_aggr_fn=worst, evaluate_metrics_aggr_fn=worst), rounds=1)
    assert set(result.train_metrics_clientapp[1]) == set(result.evaluate_metrics_clientapp[1]) == {"worst"}


def test_other_keys_and_another_weight_are_possible() -> None:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        index = int(context.node_config["partition-id"])
        assert set(message.content) == {"model", "settings"}
        records = {"model": ArrayRecord([np.full(2, index)]), "m": MetricRecord({"rows": 1 + 2 * index})}
        return Message(RecordDict(records), reply_to=message)

    strategy = FedAvg(
        fraction_evaluate=0.0, weighted_by_key="rows", arrayrecord_key="model", configrecord_key="settings"
    )
    with LocalGrid(app, 2) as grid:
        result = strategy.start(grid, ArrayRecord([np.zeros(2, np.int64)]), num_rounds=1)
    # (1*0 + 3*1) / 4 = 0.75, rounded to 1.
    np.testing.assert_array_equal(result.arrays["0"].numpy(), [1, 1])


def test_a_subclass_may_make_its_own_messages() -> None:
    class Halves(FedAvg):
        """Sends half of the model only."""

        def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Any:
            half = ArrayRecord({"0": arrays["0"]})
            return [Message(RecordDict({"arrays": half}), node, "train") for node in grid.get_node_ids()]

    strategy = Halves(fraction_evaluate=0.0)
    with LocalGrid(client_app(Drift), 3) as grid:
        result = strategy.start(grid, ArrayRecord([np.zeros(2), np.ones(2)]), num_rounds=2)
    assert list(result.arrays) == ["0"]
    assert [len(entry.replies) for entry in strategy.history] == [3, 3]


def test_flowers_wrappers_accept_it_as_their_strategy() -> None:
    strategy = FedAvg(fraction_evaluate=0.0)
    private = flower.DifferentialPrivacyServerSideFixedClipping(
        strategy, noise_multiplier=0.0, clipping_norm=1e9, num_sampled_clients=3
    )
    # Start from 0.5, since Flower's clipping divides by the norm of an update, which must not be 0.
    sent = ArrayRecord([np.full(2, 0.5)])
    with LocalGrid(client_app(Drift), 3) as grid:
        result = private.start(grid, sent, num_rounds=2)
        plain = FedAvg(fraction_evaluate=0.0).start(grid, sent, num_rounds=2)
    np.testing.assert_allclose(result.arrays["0"].numpy(), plain.arrays["0"].numpy())
    assert [entry.server_round for entry in strategy.history] == [1, 2]
    # Each reply is matched to a message of this round.
    assert all(reply.seconds >= 0 for entry in strategy.history for reply in entry.replies)


def test_evaluate_fn_is_called_as_in_flower() -> None:
    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({"first": float(arrays["0"].numpy()[0])})

    with LocalGrid(client_app(Drift), 3) as grid:
        result = FedAvg(fraction_evaluate=0.0).start(grid, ZERO, num_rounds=2, evaluate_fn=evaluate)
    assert list(result.evaluate_metrics_serverapp) == [0, 1, 2]
    assert result.evaluate_metrics_serverapp[2]["first"] == result.arrays["0"].numpy()[0]


def test_aggregating_takes_the_memory_of_one_model_however_many_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flskew._util.threads.usable_processors", lambda: 1)  # each processor has its own block
    model = ArrayRecord([np.zeros(2**18, np.float32) for _ in range(8)])  # 8 MiB
    peaks = []
    with LocalGrid(ClientApp(), 1):
        for number in (2, 20):
            strategy = FedAvg()
            messages = [Message(RecordDict({"arrays": model}), 1000, "train") for _ in range(number)]
            content = RecordDict({"arrays": model, "metrics": MetricRecord({"num-examples": 1})})
            replies = [Message(content, reply_to=message) for message in messages]
            for index, reply in enumerate(replies):
                reply.metadata.__dict__["_src_node_id"] = 1000 + index
            tracemalloc.start()
            strategy.aggregate_train(1, replies)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    # The mean and one block.
    assert max(peaks) < 8 * 2**20 + 2**20
    assert peaks[1] - peaks[0] < 2**18


def test_a_reply_is_a_frozen_value() -> None:
    assert Reply(1, 2.0, {}, 0.1) == Reply(1, 2.0, {}, 0.1)


@pytest.mark.parametrize(
    "call",
    [
        "FedAvg(seed=42)",
        "FedAvg(fraction_train=0.5, min_train_nodes=3, min_replies=2, seed=7)",
        "FedProx(fraction_evaluate=0.0, proximal_mu=0.1, seed=42, adaptive_mu='train')",
        "FedDyn(alpha=0.03, seed=42, averaging=ClassAware(head={'fc.bias': 0}))",
        "Scaffold(fraction_train=0.1, server_learning_rate=0.5, seed=42)",
        "FedNova(momentum=0.9, seed=42, averaging=ClassAware())",
        "Checked(FedMedian())",
        "Checked(FedAdam(fraction_evaluate=0.0, min_evaluate_nodes=0, eta=0.5), min_replies=2)",
        "Checked(Krum(num_malicious_nodes=1), min_evaluate_replies=1)",
        "Checked(DifferentialPrivacyServerSideAdaptiveClipping(strategy=FedAvg(), noise_multiplier=0.0, "
        "num_sampled_clients=3, initial_clipping_norm=0.2, clipped_count_stddev=0.0))",
    ],
)
def test_a_strategy_prints_as_the_call_that_makes_it(call: str) -> None:
    kinds = (FedAvg, FedProx, FedDyn, Scaffold, FedNova, ClassAware)
    ours: dict[str, type[object]] = {kind.__name__: kind for kind in kinds}
    names = {**vars(flower), **(ours if not call.startswith("Checked") else {"Checked": Checked})}
    strategy = eval(call, names)
    assert repr(strategy) == call


def test_a_subclass_with_its_own_arguments_still_prints() -> None:
    class Named(FedAvg):
        def __init__(self, label: str) -> None:
            super().__init__()

    assert "Named object" in repr(Named("x"))
