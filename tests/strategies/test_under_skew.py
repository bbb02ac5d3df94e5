"""FedDyn, SCAFFOLD and FedNova against their papers, and against the optima of quadratic losses."""

from __future__ import annotations

import os
import pickle
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from numpy.typing import NDArray
from tests.strategies.conftest import MakesFederation

from flskew import (
    ClassAware,
    FedAvg,
    FedDyn,
    FedNova,
    FedProx,
    LocalGrid,
    LocalTerm,
    RoundError,
    Scaffold,
    client_app,
    partition_id,
)

FloatArray = NDArray[np.float64]
LR, SIZE, CLIENTS = 0.05, 3, 4
EXAMPLES = (10, 20, 5, 65)
TRAIN = ConfigRecord({"local-epochs": 8})


class Quadratic:
    """A client whose loss is (w - b)·A(w - b) / 2; it takes 8 steps, or fewer in the rounds in `partial`."""

    partial: Mapping[tuple[int, int], int] = {}
    extra_steps: Sequence[int] = (0,) * CLIENTS
    examples: Sequence[int] = EXAMPLES

    def __init__(self, context: Context) -> None:
        self.index = partition_id(context)
        self.matrix, self.target = problem(self.index)

    def gradient(self, w: FloatArray) -> FloatArray:
        return self.matrix @ (w - self.target)

    def fit(self, parameters: list[FloatArray], config: dict[str, Any]) -> tuple[list[FloatArray], int, dict[str, Any]]:
        term = LocalTerm.from_config(config, parameters)
        steps = self.partial.get((config["server-round"], self.index), 8) + self.extra_steps[self.index]
        for _ in range(steps):
            gradients = [self.gradient(parameters[0])]
            term.add_gradient(parameters, gradients)
            parameters[0] -= LR * gradients[0]
        done = self.partial.get((config["server-round"], self.index), 8)
        return parameters, self.examples[self.index], {"local-epochs": done}


def problem(index: int) -> tuple[FloatArray, FloatArray]:
    """Return the curvature and the optimum of a client's loss; they differ much from client to client."""
    rng = np.random.default_rng(index)
    root = rng.normal(size=(SIZE, SIZE))
    return root @ root.T + (1.0 + index) * np.eye(SIZE), rng.normal(size=SIZE) * 3


def optimum() -> FloatArray:
    """Return where the loss of all examples together is smallest: (sum n A)^-1 (sum n A b)."""
    problems = [problem(index) for index in range(CLIENTS)]
    curvature = sum(n * a for n, (a, _) in zip(EXAMPLES, problems, strict=True))
    return np.linalg.solve(curvature, sum(n * a @ b for n, (a, b) in zip(EXAMPLES, problems, strict=True)))


def grid(client: Callable[[Context], Any] = Quadratic, nodes: int = CLIENTS) -> LocalGrid:
    return LocalGrid(client_app(client), nodes)


def trained(strategy: FedAvg, num_rounds: int, client: Callable[[Context], Any] = Quadratic) -> FloatArray:
    with grid(client) as nodes:
        result = strategy.start(nodes, ArrayRecord([np.zeros(SIZE)]), num_rounds, train_config=TRAIN)
    return result.arrays["0"].numpy()


def test_fedavg_misses_the_optimum_that_many_local_steps_blur() -> None:
    found = trained(FedAvg(fraction_evaluate=0.0), 100)
    assert np.linalg.norm(found - optimum()) > 0.05


@pytest.mark.parametrize("fraction", [1.0, 0.5], ids=["every-client", "half-the-clients"])
@pytest.mark.parametrize(
    "strategy",
    [
        lambda fraction: FedDyn(alpha=2.0, fraction_train=fraction, fraction_evaluate=0.0),
        lambda fraction: Scaffold(fraction_train=fraction, fraction_evaluate=0.0),
    ],
    ids=["FedDyn", "Scaffold"],
)
def test_the_optimum_is_reached(strategy: Callable[[float], FedAvg], fraction: float) -> None:
    assert trained(strategy(fraction), 150 if fraction == 1.0 else 300) == pytest.approx(optimum(), abs=1e-6)


def test_scaffold_reaches_the_optimum_although_clients_take_unequally_many_steps() -> None:
    class Unequal(Quadratic):
        extra_steps = (0, 12, 3, 0)

    assert trained(Scaffold(fraction_evaluate=0.0), 150, Unequal) == pytest.approx(optimum(), abs=1e-6)


def test_scaffold_with_a_server_learning_rate_reaches_the_optimum() -> None:
    strategy = Scaffold(server_learning_rate=0.7, fraction_evaluate=0.0)
    assert trained(strategy, 150) == pytest.approx(optimum(), abs=1e-6)


class Same(Quadratic):
    """Clients with the same curvature, 1, so that only the numbers of steps differ."""

    extra_steps = (-7, 1, -7, 31)
    examples = (10, 20, 30, 40)

    def gradient(self, w: FloatArray) -> FloatArray:
        return w - self.target


def test_fednova_removes_the_bias_of_unequal_steps() -> None:
    # A step shrinks the distance to b by r = 1 - lr. With K steps, w moves by (1 - r^K)(b - w), so FedAvg ends at the
    # mean of b with weights p (1 - r^K), and FedNova with weights p (1 - r^K) / K.
    steps = np.array([1, 9, 1, 39])
    shares = np.array(Same.examples) / 100
    moves = 1 - (1 - LR) ** steps
    targets = np.array([problem(index)[1] for index in range(CLIENTS)])
    fedavg = np.average(targets, axis=0, weights=shares * moves)
    fednova = np.average(targets, axis=0, weights=shares * moves / steps)
    assert trained(FedAvg(fraction_evaluate=0.0), 150, Same) == pytest.approx(fedavg, abs=1e-6)
    assert trained(FedNova(fraction_evaluate=0.0), 150, Same) == pytest.approx(fednova, abs=1e-6)
    best = np.average(targets, axis=0, weights=shares)
    assert np.linalg.norm(fednova - best) < np.linalg.norm(fedavg - best) / 2


def test_fednova_with_equal_steps_is_fedavg_bit_for_bit() -> None:
    class Sizes(Quadratic):
        examples = (3, 7, 11, 13)

    found = [trained(strategy(fraction_evaluate=0.0), 5, Sizes) for strategy in (FedNova, FedAvg)]
    assert found[0].tobytes() == found[1].tobytes()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_fednova_counts_the_steps_of_momentum_as_the_paper_does(federation: MakesFederation, momentum: float) -> None:
    steps = [2, 5]
    # A gradient of 1 in every step moves w by the sum of the momentum buffers, the paper's |a|_1.
    effective = []
    for count in steps:
        buffer = total = 0.0
        for _ in range(count):
            buffer = momentum * buffer + 1
            total += buffer
        effective.append(total)
    replies = [
        {
            "arrays": ArrayRecord([np.array([moved])]),
            "metrics": MetricRecord({"num-examples": size, "local-steps": count}),
        }
        for moved, size, count in ((4.0, 1, steps[0]), (-6.0, 3, steps[1]))
    ]
    strategy = FedNova(momentum=momentum, fraction_evaluate=0.0)
    result = strategy.start(federation(*replies), ArrayRecord([np.zeros(1)]), num_rounds=1)
    # p = 1/4, 3/4
    expected = (effective[0] / 4 + effective[1] * 3 / 4) * (4 / effective[0] / 4 - 6 / effective[1] * 3 / 4)
    assert result.arrays["0"].numpy() == pytest.approx([expected])


@pytest.mark.parametrize("steps", [None, 0, -1, float("nan")], ids=["absent", "none", "negative", "NaN"])
def test_fednova_drops_a_reply_without_steps(federation: MakesFederation, steps: float | None) -> None:
    good = {"arrays": ArrayRecord([np.ones(1)]), "metrics": MetricRecord({"num-examples": 1, "local-steps": 3})}
    metrics = {"num-examples": 1} if steps is None else {"num-examples": 1, "local-steps": steps}
    bad = {"arrays": ArrayRecord([np.ones(1)]), "metrics": MetricRecord(metrics)}
    strategy = FedNova(fraction_evaluate=0.0)
    strategy.start(federation(good, bad), ArrayRecord([np.zeros(1)]), num_rounds=1)
    (failure,) = strategy.history[0].failures
    assert "how many steps it took" in failure.reason


# The papers' algorithms, in as few lines as they need, with clients weighted by their numbers of examples.


def average_of_all(states: FloatArray, seen: set[int]) -> FloatArray:
    """Return the mean over all clients; those that have never taken part have no state, and average size."""
    everyone = CLIENTS * sum(EXAMPLES[k] for k in seen) / len(seen)
    return sum(EXAMPLES[k] * states[k] for k in seen) / everyone


def feddyn(participants: Sequence[Sequence[int]], steps: Callable[[int, int], int], alpha: float) -> FloatArray:
    w = np.zeros(SIZE)
    h_k, seen = np.zeros((CLIENTS, SIZE)), set[int]()
    for server_round, present in enumerate(participants, 1):
        models = []
        for k in present:
            matrix, target = problem(k)
            w_k = w.copy()
            for _ in range(steps(server_round, k)):
                w_k -= LR * (matrix @ (w_k - target) - h_k[k] + alpha * (w_k - w))
            h_k[k] -= alpha * (w_k - w)
            models.append(w_k)
        seen.update(present)
        w = np.average(models, axis=0, weights=[EXAMPLES[k] for k in present]) - average_of_all(h_k, seen) / alpha
    return w


def scaffold(participants: Sequence[Sequence[int]], steps: Callable[[int, int], int], rate: float) -> FloatArray:
    w, c = np.zeros(SIZE), np.zeros(SIZE)
    c_k, seen = np.zeros((CLIENTS, SIZE)), set[int]()
    for server_round, present in enumerate(participants, 1):
        moves = []
        for k in present:
            matrix, target = problem(k)
            w_k, count = w.copy(), steps(server_round, k)
            for _ in range(count):
                w_k -= LR * (matrix @ (w_k - target) - c_k[k] + c)
            c_k[k] = c_k[k] - c + (w - w_k) / (count * LR)  # option II
            moves.append(w_k - w)
        seen.update(present)
        w = w + rate * np.average(moves, axis=0, weights=[EXAMPLES[k] for k in present])
        c = average_of_all(c_k, seen)
    return w


PAPERS = {
    "FedDyn": (
        lambda **kwargs: FedDyn(alpha=0.7, fraction_evaluate=0.0, **kwargs),
        lambda participants, steps: feddyn(participants, steps, 0.7),
    ),
    "Scaffold": (
        lambda **kwargs: Scaffold(server_learning_rate=0.8, fraction_evaluate=0.0, **kwargs),
        lambda participants, steps: scaffold(participants, steps, 0.8),
    ),
}
papers = pytest.mark.parametrize(("strategy", "paper"), PAPERS.values(), ids=PAPERS)


def participants(strategy: FedAvg) -> list[list[int]]:
    return [[reply.node_id - 1000 for reply in entry.replies] for entry in strategy.history]


@papers
@pytest.mark.parametrize("fraction", [1.0, 0.5], ids=["every-client", "half-the-clients"])
def test_the_model_is_that_of_the_paper(strategy: Any, paper: Any, fraction: float) -> None:
    run = strategy(fraction_train=fraction)
    found = trained(run, 7)
    assert found == pytest.approx(paper(participants(run), lambda *_: 8), rel=1e-12)


class Interrupted(Quadratic):
    partial: ClassVar = {(2, 1): 3, (3, 0): 1, (4, 1): 5}


@papers
def test_partial_work_counts_for_the_steps_it_took(strategy: Any, paper: Any) -> None:
    run = strategy()
    found = trained(run, 7, Interrupted)
    expected = paper(participants(run), lambda server_round, k: Interrupted.partial.get((server_round, k), 8))
    assert found == pytest.approx(expected, rel=1e-12)


@papers
def test_a_dropped_reply_changes_neither_the_servers_nor_the_clients_state(strategy: Any, paper: Any) -> None:
    run = strategy(drop_stragglers=True)
    found = trained(run, 7, Interrupted)
    assert participants(run)[1:4] == [[0, 2, 3], [1, 2, 3], [0, 2, 3]]
    assert found == pytest.approx(paper(participants(run), lambda *_: 8), rel=1e-12)


@papers
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(strategy: Any, paper: Any, tmp_path: Path) -> None:
    whole = strategy(fraction_train=0.5)
    expected = trained(whole, 7)
    for rounds in (3, 7):  # another process: another strategy, another grid
        run = strategy(fraction_train=0.5)
        with grid() as nodes:
            result = run.start(
                nodes, ArrayRecord([np.zeros(SIZE)]), rounds, train_config=TRAIN, checkpoint_dir=tmp_path, resume=True
            )
    assert result.arrays["0"].numpy().tobytes() == expected.tobytes()
    assert pickle.dumps(run.state_dict()) == pickle.dumps(whole.state_dict())


@papers
def test_a_second_run_begins_anew(strategy: Any, paper: Any) -> None:
    run = strategy()
    with grid() as nodes:
        found = [
            run.start(nodes, ArrayRecord([np.zeros(SIZE)]), 3, train_config=TRAIN).arrays["0"].numpy() for _ in range(2)
        ]
    assert found[0].tobytes() == found[1].tobytes()


def loses_states(grid: LocalGrid, lost: Mapping[int, int]) -> Callable[[int, object], bool]:
    """Return a `should_stop` that clears the state of a node after each of these rounds."""

    def forget(server_round: int, result: object) -> bool:
        kept = {node: state for node, state in grid.node_states().items() if node != lost.get(server_round)}
        grid.restore_node_states(kept)
        return False

    return forget


@papers
def test_if_a_node_loses_its_state_all_clients_begin_at_zero_and_it_is_named(
    strategy: Any, paper: Any, log: pytest.LogCaptureFixture
) -> None:
    run = strategy()
    with grid() as nodes:
        before = run.start(
            nodes, ArrayRecord([np.zeros(SIZE)]), 3, train_config=TRAIN, should_stop=loses_states(nodes, {2: 1001})
        )
        anew = run.start(nodes, before.arrays, 2, train_config=TRAIN)
        again = strategy().start(
            nodes, ArrayRecord([np.zeros(SIZE)]), 5, train_config=TRAIN, should_stop=loses_states(nodes, {2: 1001})
        )
    assert again.arrays["0"].numpy().tobytes() == anew.arrays["0"].numpy().tobytes()
    warnings = [record.message for record in log.records if "lost their state" in record.message]
    assert len(warnings) == 2  # one in each of the runs with a loss
    assert all("node 1001" in warning for warning in warnings)


@pytest.mark.parametrize("strategy", [FedDyn(alpha=2.0, fraction_evaluate=0.0), Scaffold(fraction_evaluate=0.0)])
def test_the_optimum_is_reached_although_nodes_lose_their_states(strategy: FedAvg) -> None:
    with grid() as nodes:
        lose = loses_states(nodes, {3: 1001, 20: 1003, 21: 1000})
        result = strategy.start(nodes, ArrayRecord([np.zeros(SIZE)]), 150, train_config=TRAIN, should_stop=lose)
    assert result.arrays["0"].numpy() == pytest.approx(optimum(), abs=1e-6)


@papers
def test_a_node_that_comes_back_under_another_id_is_named(
    strategy: Any, paper: Any, log: pytest.LogCaptureFixture
) -> None:
    class Moves(Quadratic):
        """The client of partition 1 moves to the node of partition 3, which had none before."""

        def fit(self, parameters: Any, config: Any) -> Any:
            absent = {3} if config["server-round"] < 3 else {1}
            if self.index in absent:
                raise RuntimeError
            return super().fit(parameters, config)

    def client_fn(context: Context) -> Moves:
        client = Moves(context)
        if client.index == 3:
            context.node_config["partition-id"] = 1
        return client

    trained(strategy(), 4, client_fn)
    (warning,) = [record.message for record in log.records if "lost their state" in record.message]
    assert "node 1003" in warning


class Forgets(LocalGrid):
    """A grid that, like Flower's, does not put its nodes' states into checkpoints."""

    node_states = None
    restore_node_states = None


@papers
def test_a_run_that_resumes_without_the_clients_states_starts_them_anew(
    strategy: Any, paper: Any, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    def run(rounds: int) -> ArrayRecord:
        with Forgets(client_app(Quadratic), CLIENTS) as nodes:
            initial = ArrayRecord([np.zeros(SIZE)])
            return (
                strategy()
                .start(nodes, initial, rounds, train_config=TRAIN, checkpoint_dir=tmp_path, resume=True)
                .arrays
            )

    saved = run(3)
    assert "clients' states are not in the checkpoint" not in log.text
    resumed = run(5)["0"].numpy()
    assert "clients' states are not in the checkpoint" in log.text
    # The same as two rounds from the saved model in a new run.
    with grid() as nodes:
        anew = strategy().start(nodes, saved, 2, train_config=TRAIN).arrays["0"].numpy()
    assert resumed.tobytes() == anew.tobytes()


@papers
def test_the_history_does_not_store_what_travels_for_the_strategy(strategy: Any, paper: Any) -> None:
    run = strategy()
    trained(run, 2)
    assert [dict(reply.records).keys() - {"flskew"} for entry in run.history for reply in entry.replies] == [set()] * 8


class WithoutTerm(Quadratic):
    def fit(self, parameters: list[FloatArray], config: dict[str, Any]) -> tuple[list[FloatArray], int, dict[str, Any]]:
        return [parameters[0] + 1], 10, {}


class TermUnused(Quadratic):
    def fit(self, parameters: list[FloatArray], config: dict[str, Any]) -> tuple[list[FloatArray], int, dict[str, Any]]:
        LocalTerm.from_config(config, parameters)
        return [parameters[0] + 1], 10, {}


@pytest.mark.parametrize("client", [WithoutTerm, TermUnused])
@pytest.mark.parametrize(
    "strategy",
    [FedProx(proximal_mu=0.1), FedDyn(), Scaffold(), FedNova()],
    ids=["FedProx", "FedDyn", "Scaffold", "FedNova"],
)
def test_a_client_that_ignores_the_strategy_is_an_error_in_round_1(
    strategy: FedAvg, client: Callable[[Context], Any]
) -> None:
    with pytest.raises(RoundError, match=rf"(?s)round 1: .*{type(strategy).__name__}.* needs the local term"):
        trained(strategy, 3, client)


@pytest.mark.parametrize("strategy", [FedAvg(), FedProx(proximal_mu=0.0)], ids=["FedAvg", "FedProx"])
def test_without_a_term_to_add_no_client_has_to_make_one(strategy: FedAvg) -> None:
    assert trained(strategy, 1, WithoutTerm).tolist() == [1.0] * SIZE


ON_RAY = """
import sys

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation
from tests.strategies.test_under_skew import CLIENTS, SIZE, TRAIN, Quadratic

from flskew import FedDyn, Scaffold, client_app

server = ServerApp()


@server.main()
def main(grid, context):
    for name, kind in {"FedDyn": FedDyn, "Scaffold": Scaffold}.items():
        strategy = kind(fraction_evaluate=0.0, min_train_nodes=CLIENTS, min_available_nodes=CLIENTS)
        result = strategy.start(grid, ArrayRecord([np.zeros(SIZE)]), 3, train_config=TRAIN)
        np.save(f"{sys.argv[1]}/{name}.npy", result.arrays["0"].numpy())


run_simulation(server, client_app(Quadratic), CLIENTS, backend_config={"client_resources": {"num_cpus": 1}})
"""


@pytest.mark.ray
def test_clients_keep_their_state_on_ray(repository: Path, python: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository / "src"), str(repository)])}
    subprocess.run([python, "-c", ON_RAY, tmp_path], check=True, cwd=repository, env=environment, capture_output=True)
    for kind in (FedDyn, Scaffold):
        # Nodes on Ray have random ids, so the models are summed in another order.
        expected = trained(kind(fraction_evaluate=0.0), 3)
        assert np.load(tmp_path / f"{kind.__name__}.npy") == pytest.approx(expected, rel=1e-12)


@papers
def test_a_client_keeps_the_weight_of_its_first_reply(strategy: Any, paper: Any) -> None:
    class Grows(Quadratic):
        def fit(self, parameters: Any, config: Any) -> Any:
            arrays, examples, metrics = super().fit(parameters, config)
            return arrays, examples + 7 * (config["server-round"] - 1) * self.index, metrics

    run = strategy()
    assert trained(run, 5, Grows) == pytest.approx(paper(participants(run), lambda *_: 8), rel=1e-12)


COUNTS = np.array([[10, 0], [5, 15], [0, 5], [35, 30]])
TARGETS = np.array([[1.0, -1.0], [0.5, 2.0], [-3.0, 4.0], [2.0, 2.5]])


class WithHead(Quadratic):
    """The losses of the two arrays do not depend on each other: that of the second is |w - target|^2 / 2."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.label_counts = COUNTS[self.index]

    def fit(self, parameters: list[FloatArray], config: dict[str, Any]) -> tuple[list[FloatArray], int, dict[str, Any]]:
        term = LocalTerm.from_config(config, parameters)
        for _ in range(8):
            gradients = [self.gradient(parameters[0]), parameters[1] - TARGETS[self.index]]
            term.add_gradient(parameters, gradients)
            for array, gradient in zip(parameters, gradients, strict=True):
                array -= LR * gradient
        return parameters, self.examples[self.index], {"local-epochs": 8}


def class_aware(num_rounds: int) -> FloatArray:
    """Return the last layer after rounds of class-aware averaging of clients that descend on their own."""
    w = np.zeros(2)
    for _ in range(num_rounds):
        models = TARGETS + (1 - LR) ** 8 * (w - TARGETS)
        w = (COUNTS * models).sum(axis=0) / COUNTS.sum(axis=0)
    return w


@papers
def test_a_last_layer_that_is_averaged_by_class_has_no_local_term_and_no_correction(strategy: Any, paper: Any) -> None:
    run = strategy(averaging=ClassAware(head={"1": 0}))
    with grid(WithHead) as nodes:
        result = run.start(nodes, ArrayRecord([np.zeros(SIZE), np.zeros(2)]), 5, train_config=TRAIN)
    body, head = result.arrays.to_numpy_ndarrays()
    assert body == pytest.approx(paper(participants(run), lambda *_: 8), rel=1e-12)
    assert head == pytest.approx(class_aware(5), rel=1e-12)


def test_fednova_does_not_stretch_a_last_layer_that_is_averaged_by_class(federation: MakesFederation) -> None:
    replies = [
        {
            "arrays": ArrayRecord([np.array([moved]), np.array([moved, moved])]),
            "metrics": MetricRecord({"num-examples": 10, "local-steps": steps}),
            "flskew-labels": ConfigRecord({"counts": counts}),
        }
        for moved, steps, counts in ((4.0, 2, [10, 0]), (-6.0, 3, [5, 5]))
    ]
    strategy = FedNova(fraction_evaluate=0.0, averaging=ClassAware(head={"1": 0}))
    result = strategy.start(federation(*replies), ArrayRecord([np.zeros(1), np.zeros(2)]), num_rounds=1)
    body, head = result.arrays.to_numpy_ndarrays()
    assert body == pytest.approx([2.5 * (4 / 2 - 6 / 3) / 2])
    assert head == pytest.approx([(10 * 4 - 5 * 6) / 15, -6])


@pytest.mark.parametrize(
    ("strategy", "body"),
    [
        (FedDyn(fraction_evaluate=0.0, averaging=ClassAware()), 2.0),  # the mean, 1, plus the mean update, 1
        (Scaffold(server_learning_rate=0.5, fraction_evaluate=0.0, averaging=ClassAware()), 0.5),
    ],
    ids=["FedDyn", "Scaffold"],
)
def test_a_last_layer_is_not_corrected_in_the_round_in_which_it_is_found(strategy: FedAvg, body: float) -> None:
    class Adds(WithHead):
        def fit(self, parameters: Any, config: Any) -> Any:
            term = LocalTerm.from_config(config, parameters)
            term.add_gradient(parameters, [np.ones(array.shape) for array in parameters])
            return [array + 1 for array in parameters], 10, {}

    with grid(Adds) as nodes:
        result = strategy.start(nodes, ArrayRecord([np.zeros((SIZE, 2)), np.zeros(2), np.zeros(1)]), num_rounds=1)
    assert [array.ravel()[0] for array in result.arrays.to_numpy_ndarrays()] == pytest.approx([1, 1, body])


@pytest.mark.parametrize("kind", [FedDyn, Scaffold])
@pytest.mark.parametrize(("head", "from_round"), [(None, 2), ({"0": 1, "1": 0}, 1)], ids=["found", "given"])
def test_clients_leave_the_last_layer_out_as_soon_as_it_is_known(
    kind: Any, head: dict[str, int] | None, from_round: int, tmp_path: Path
) -> None:
    heard: dict[int, Any] = {}

    class Listens(WithHead):
        def fit(self, parameters: Any, config: Any) -> Any:
            heard[config["server-round"]] = config.get("term-leaves-out")
            term = LocalTerm.from_config(config, parameters)
            term.add_gradient(parameters, [np.ones(array.shape) for array in parameters])
            return [array + 1 for array in parameters], 10, {}

    start = ArrayRecord([np.zeros((SIZE, 2)), np.zeros(2), np.zeros(SIZE)])
    with grid(Listens) as nodes:  # a run that is interrupted after round 2
        for rounds in (2, 3):
            strategy = kind(fraction_evaluate=0.0, averaging=ClassAware(head))
            strategy.start(nodes, start, rounds, train_config=TRAIN, checkpoint_dir=tmp_path, resume=True)
    assert heard == {number: ["0", "1"] if number >= from_round else None for number in (1, 2, 3)}
