"""Private arrays: what a client keeps of its model, and that none of it is ever sent."""

from __future__ import annotations

import os
import pickle
import subprocess
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import flwr.serverapp.strategy as flower
import numpy as np
import pandas as pd
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp.mod import LocalDpMod, fixedclipping_mod
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from flskew import Checked, FedAvg, LocalGrid, RoundError, client_app, partition_id, without_local
from flskew._arrays.bfloat16 import BFLOAT16, bfloat16_from_float32, float32_from_bfloat16
from flskew._arrays.records import array_from_numpy, numpy_from_array
from flskew.client._private import is_private

Arrays = list[NDArray[Any]]

PRIVATE = ["*bn*", "head.*"]


def full_model(seed: int = 0) -> ArrayRecord:
    """Two arrays to share, and three that stay: a matrix, a vector and a counter."""
    rng = np.random.default_rng(seed)
    return ArrayRecord(
        {
            "conv.weight": Array(rng.normal(size=(2, 3))),
            "bn1.mean": Array(rng.normal(size=3)),
            "bn1.batches": Array(np.array(1_000_003 * (seed + 1))),
            "head.weight": Array(rng.normal(size=(3, 4))),
            "body": Array(rng.normal(size=2)),
        }
    )


def empty_model() -> ArrayRecord:
    return without_local(full_model(), PRIVATE)


class Site:
    """Changes every array by random numbers of its own, and reports the first number of its head."""

    def __init__(self, context: Context) -> None:
        self.number = partition_id(context)
        self.name = ["Bern", "Lyon", "Graz"][self.number]

    def get_parameters(self, config: dict[str, Any]) -> Arrays:
        return full_model(100 + self.number).to_numpy_ndarrays()

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
        rng = np.random.default_rng([self.number, config["server-round"]])
        before = [array.copy() for array in parameters]
        for array in parameters:
            array += rng.normal(size=array.shape) if array.dtype.kind == "f" else 1_000_000_007
        self.note(before, parameters)
        return parameters, 10 * (self.number + 1), {}

    def evaluate(self, parameters: Arrays, config: dict[str, Any]) -> Any:
        return 0.0, 10, {"head": float(np.float16(parameters[3][0, 0]))}

    def note(self, before: Arrays, after: Arrays) -> None:
        """For tests that look into clients."""


class Recorder:
    """Makes sites that note every model that they train from and return, by site."""

    def __init__(self) -> None:
        self.trained: dict[int, list[tuple[Arrays, Arrays]]] = {}
        trained = self.trained

        class Noted(Site):
            def note(self, before: Arrays, after: Arrays) -> None:
                trained.setdefault(self.number, []).append((before, [array.copy() for array in after]))

        self.client_fn = Noted

    def numbers(self, place: int, *, initial: bool = True) -> list[bytes]:
        """The bytes of each number that array number `place` had on any site."""
        models = [model for pairs in self.trained.values() for pair in pairs for model in pair]
        if not initial:
            models = [after for pairs in self.trained.values() for _, after in pairs]
        return [number.tobytes() for model in models for number in model[place].reshape(-1)]


class Tapped(LocalGrid):
    """Keeps the bytes of every message, in both directions."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.wire = b""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        sent = list(messages)
        received = super().send_and_receive(sent, timeout=timeout)
        self.wire += b"".join(map(serialized, [*sent, *received]))
        return received


def serialized(message: Message) -> bytes:
    assert not message.has_error(), message.error.reason
    return pickle.dumps((vars(message.metadata), message.content))


STRATEGIES: dict[str, Callable[[], Any]] = {
    "FedAvg": FedAvg,
    "Flower's FedAvg": flower.FedAvg,
    "Checked(FedAdam)": lambda: Checked(flower.FedAdam()),
}
over_strategies = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in STRATEGIES.items()])


@over_strategies
@pytest.mark.parametrize("start", [full_model, empty_model])
def test_no_number_of_a_private_array_is_in_any_message(
    make: Callable[[], Any], start: Callable[[], ArrayRecord]
) -> None:
    recorder = Recorder()
    with Tapped(client_app(recorder.client_fn, keep_local=PRIVATE), 3) as grid:
        make().start(grid, start(), num_rounds=3)
    assert {site: len(pairs) for site, pairs in recorder.trained.items()} == {0: 3, 1: 3, 2: 3}
    for place in (1, 2, 3):
        # Of a full model, the server itself sends the initial values.
        private = recorder.numbers(place, initial=start is empty_model)
        assert len(private) >= 9
        assert not [number for number in private if number in grid.wire]
    # The search finds numbers that are sent.
    assert all(number in grid.wire for place in (0, 4) for number in recorder.numbers(place, initial=False))


def test_without_keep_local_the_same_search_finds_all_numbers() -> None:
    recorder = Recorder()
    with Tapped(client_app(recorder.client_fn), 3) as grid:
        FedAvg().start(grid, full_model(), num_rounds=2)
    assert all(number in grid.wire for place in range(5) for number in recorder.numbers(place, initial=False))


@over_strategies
@pytest.mark.parametrize("start", [full_model, empty_model])
def test_every_site_continues_from_its_own_private_arrays(
    make: Callable[[], Any], start: Callable[[], ArrayRecord]
) -> None:
    recorder = Recorder()
    with LocalGrid(client_app(recorder.client_fn, keep_local=PRIVATE), 3) as grid:
        result = make().start(grid, start(), num_rounds=3)
    for site, pairs in recorder.trained.items():
        initial = full_model(100 + site) if start is empty_model else full_model()
        own = initial.to_numpy_ndarrays()
        for before, after in pairs:
            for place in (1, 2, 3):
                np.testing.assert_array_equal(before[place], own[place])
            own = after
    for name, array in start().items():
        if name in ("conv.weight", "body"):
            assert not np.allclose(result.arrays[name].numpy(), array.numpy())
        else:
            np.testing.assert_allclose(result.arrays[name].numpy(), array.numpy(), rtol=1e-15)


def test_the_shared_arrays_are_averaged_as_if_there_were_no_others() -> None:
    recorder = Recorder()
    strategy = FedAvg()
    with LocalGrid(client_app(recorder.client_fn, keep_local=PRIVATE), 3) as grid:
        result = strategy.start(grid, empty_model(), num_rounds=1)
    for name, place in (("conv.weight", 0), ("body", 4)):
        # The sites have 10, 20 and 30 rows.
        mean = sum(share * recorder.trained[site][0][1][place] for site, share in enumerate((1 / 6, 2 / 6, 3 / 6)))
        np.testing.assert_allclose(result.arrays[name].numpy(), mean)
    for site, reply in enumerate(strategy.history[0].replies):
        before, after = recorder.trained[site][0]
        shared = [(after[place] - before[place]).ravel() for place in (0, 4)]
        assert reply.update_norm == pytest.approx(np.linalg.norm(np.concatenate(shared)))


def test_evaluation_uses_the_sites_own_arrays_and_does_not_change_them() -> None:
    recorder = Recorder()
    strategy = FedAvg()
    with LocalGrid(client_app(recorder.client_fn, keep_local=PRIVATE), 3) as grid:
        strategy.start(grid, empty_model(), num_rounds=3)
    heads = {
        name: [float(np.float16(after[3][0, 0])) for _, after in recorder.trained[site]]
        for site, name in enumerate(["Bern", "Lyon", "Graz"])
    }
    assert strategy.history.clients("head").to_dict("list") == heads


def ask(grid: LocalGrid, arrays: ArrayRecord, kind: str = "train", node: int = 1000, server_round: int = 1) -> Message:
    content = RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": server_round})})
    (reply,) = grid.send_and_receive([Message(content, node, kind)])
    return reply


def test_a_site_that_skips_rounds_continues_where_it_was() -> None:
    recorder = Recorder()
    with LocalGrid(client_app(recorder.client_fn, keep_local=PRIVATE), 2) as grid:
        for server_round, nodes in enumerate([[1000, 1001], [1001], [1001], [1000, 1001]], start=1):
            for node in nodes:
                ask(grid, empty_model(), node=node, server_round=server_round)
    (_, first), (second, _) = recorder.trained[0]
    for place in (1, 2, 3):
        np.testing.assert_array_equal(second[place], first[place])


@pytest.mark.parametrize("start", [full_model, empty_model])
def test_a_resumed_run_equals_one_that_was_not_interrupted(start: Callable[[], ArrayRecord], tmp_path: Path) -> None:
    def run(folder: str, *rounds: int) -> tuple[pd.DataFrame, dict[str, list[Any]], list[Any]]:
        recorder = Recorder()
        for count in rounds:  # each on a grid that knows nothing of the last one
            strategy = FedAvg()
            with LocalGrid(client_app(recorder.client_fn, keep_local=PRIVATE), 3) as grid:
                result = strategy.start(
                    grid, start(), num_rounds=count, checkpoint_dir=tmp_path / folder, resume=count != rounds[0]
                )
        last = [[array.tolist() for array in pairs[-1][1]] for pairs in recorder.trained.values()]
        return strategy.history.clients("head"), {n: a.numpy().tolist() for n, a in result.arrays.items()}, last

    whole, resumed = run("whole", 4), run("resumed", 2, 4)
    pd.testing.assert_frame_equal(resumed[0], whole[0])
    assert resumed[1:] == whole[1:]


ON_RAY = """
import pickle
import sys

from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation
from tests.client.test_private_arrays import PRIVATE, Site, empty_model

from flskew import FedAvg, client_app

server = ServerApp()


class Tapped:
    def __init__(self, grid):
        self.grid, self.wire = grid, b""

    def __getattr__(self, name):
        return getattr(self.grid, name)

    def send_and_receive(self, messages, **options):
        sent = list(messages)
        self.wire += pickle.dumps([message.content for message in sent])
        received = list(self.grid.send_and_receive(sent, **options))
        for message in received:
            assert not message.has_error(), message.error.reason
            for record in message.content.values():
                self.wire += b"".join(value.data if hasattr(value, "data") else pickle.dumps(value)
                                      for value in record.values())
        return received


@server.main()
def main(grid, context):
    strategy, tapped = FedAvg(min_available_nodes=3), Tapped(grid)
    strategy.start(tapped, empty_model(), num_rounds=3)
    strategy.history.clients("head").to_pickle(sys.argv[1])
    with open(sys.argv[2], "wb") as file:
        file.write(tapped.wire)


app = client_app(Site, keep_local=PRIVATE)
run_simulation(server, app, 3, backend_config={"client_resources": {"num_cpus": 1}})
"""


@pytest.mark.ray
def test_private_arrays_stay_on_the_nodes_of_flowers_simulation(repository: Path, python: str, tmp_path: Path) -> None:
    frame, wire = tmp_path / "frame", tmp_path / "wire"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository / "src"), str(repository)])}
    subprocess.run([python, "-c", ON_RAY, frame, wire], check=True, cwd=repository, env=environment, timeout=300)
    recorder, strategy = Recorder(), FedAvg()
    with LocalGrid(client_app(recorder.client_fn, keep_local=PRIVATE), 3) as grid:
        strategy.start(grid, empty_model(), num_rounds=3)
    pd.testing.assert_frame_equal(strategy.history.clients("head"), pd.read_pickle(frame))
    sent = wire.read_bytes()
    # Replies arrive in any order, so only the first round's shared arrays are the same bit for bit.
    assert all(pairs[0][1][0].tobytes() in sent for pairs in recorder.trained.values())
    assert not [number for place in (1, 2, 3) for number in recorder.numbers(place) if number in sent]


def test_a_reply_has_exactly_the_arrays_received_in_the_same_order() -> None:
    for model in (full_model(), empty_model()):
        with LocalGrid(client_app(Site, keep_local=PRIVATE), 1) as grid:
            reply = ask(grid, model).content["arrays"]
        assert list(reply) == list(model)
        for name in ("bn1.mean", "bn1.batches", "head.weight"):
            assert (reply[name].dtype, reply[name].shape) == (model[name].dtype, model[name].shape)
            assert reply[name].data == model[name].data
        assert reply["body"].data != model["body"].data


def test_arrays_named_by_their_numbers_can_be_private() -> None:
    class Adds:
        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            return [array + 1 for array in parameters], 1, {"sums": [float(array.sum()) for array in parameters]}

    model = ArrayRecord([np.zeros(1), np.zeros(1), np.zeros(1)])
    with LocalGrid(client_app(lambda context: Adds(), keep_local=["[12]"]), 1) as grid:
        sums = [ask(grid, model).content["metrics"]["sums"] for _ in range(3)]
    assert sums == [[0, 0, 0], [0, 1, 1], [0, 2, 2]]


def test_private_bfloat16_arrays_are_float32_for_the_client_and_rounded_in_the_state() -> None:
    class Adds:
        def get_parameters(self, config: dict[str, Any]) -> Arrays:
            return [np.zeros(1), np.array([1.001, -2.0], np.float32)]  # 1.001 rounds to 1

        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            assert parameters[1].dtype == np.float32
            before = parameters[1].tolist()
            parameters[1] += np.float32(1 / 256)  # half a step at 1: rounds to even, so away from the odd 1 + 1/128
            return parameters, 1, {"before": before}

    full = ArrayRecord(
        {
            "body": Array(np.zeros(1)),
            "head": array_from_numpy(bfloat16_from_float32(np.array([1 + 1 / 128, -2], np.float32))),
        }
    )
    for model, initial in ((full, [1 + 1 / 128, -2.0]), (without_local(full, ["head"]), [1.0, -2.0])):
        assert model["head"].dtype == "bfloat16"
        with LocalGrid(client_app(lambda context: Adds(), keep_local=["head"]), 1) as grid:
            first, second = (ask(grid, model).content for _ in range(2))
            (state,) = grid.node_states().values()
        assert first["metrics"]["before"] == initial
        expected = float32_from_bfloat16(bfloat16_from_float32(np.array(initial, np.float32) + np.float32(1 / 256)))
        assert second["metrics"]["before"] == expected.tolist()
        assert numpy_from_array(state["flskew-private"]["head"]).dtype == BFLOAT16
        assert second["arrays"]["head"].data == model["head"].data


def test_an_evaluation_before_training_uses_the_initial_arrays_and_keeps_nothing() -> None:
    with LocalGrid(client_app(Site, keep_local=PRIVATE), 1) as grid:
        heads = [ask(grid, model, "evaluate").content["metrics"]["head"] for model in (empty_model(), full_model())]
        assert not grid.node_states()
    expected = [model["head.weight"].numpy()[0, 0] for model in (full_model(100), full_model())]
    assert heads == [float(np.float16(number)) for number in expected]


def test_all_initial_arrays_of_a_site_come_from_one_model() -> None:
    class Asked(Site):
        def get_parameters(self, config: dict[str, Any]) -> Arrays:
            asked.append(config)
            return super().get_parameters(config)

    asked: list[dict[str, Any]] = []
    with LocalGrid(client_app(Asked, keep_local=PRIVATE), 1) as grid:
        ask(grid, empty_model(), server_round=3)
        ask(grid, empty_model(), server_round=4)
    assert asked == [{"server-round": 3}]


@pytest.mark.parametrize("when", ["in fit", "after fit"])
def test_the_private_arrays_of_a_round_that_fails_are_not_kept(when: str) -> None:
    class Fails(Site):
        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            returned = super().fit(parameters, config)
            if config["server-round"] == 2:
                if when == "in fit":
                    raise OSError("no disk")
                return *returned[:2], {"local-epochs": -1}
            return returned

    with LocalGrid(client_app(Fails, keep_local=PRIVATE), 1) as grid:
        states = []
        for server_round, fails in ((1, False), (2, True), (3, False)):
            assert ask(grid, empty_model(), server_round=server_round).has_error() == fails
            states.append(grid.node_states()[1000]["flskew-private"]["head.weight"].data)
    assert states[0] == states[1] != states[2]


def test_clipping_and_local_differential_privacy_see_only_what_is_sent() -> None:
    class Floats(Site):
        """Without the counter: Flower's mods cannot clip integers."""

        def get_parameters(self, config: dict[str, Any]) -> Arrays:
            parameters = super().get_parameters(config)
            return parameters[:2] + parameters[3:]

    start = empty_model()
    del start["bn1.batches"]
    clipping = flower.DifferentialPrivacyClientSideFixedClipping(
        flower.FedAvg(fraction_evaluate=0.0), noise_multiplier=0.0, clipping_norm=0.5, num_sampled_clients=3
    )
    local = FedAvg(fraction_evaluate=0.0)
    for strategy, mod in ((Checked(clipping), fixedclipping_mod), (local, LocalDpMod(0.5, 1.0, 1e9, 0.1))):
        with LocalGrid(client_app(Floats, train_mods=[mod], keep_local=PRIVATE), 3) as grid:
            result = strategy.start(grid, start, num_rounds=1)
            head = grid.node_states()[1000]["flskew-private"]["head.weight"].numpy()
        assert [result.arrays[name].shape for name in ("bn1.mean", "head.weight")] == [(0,)] * 2
        assert all(reply.update_norm == pytest.approx(0.5, abs=1e-3) for reply in strategy.history[0].replies)
        assert np.linalg.norm(head - full_model(100)["head.weight"].numpy()) > 0.5


def reason(arrays: ArrayRecord, keep_local: list[str], client_fn: Any = Site, kind: str = "train") -> str:
    with LocalGrid(client_app(client_fn, keep_local=keep_local), 1) as grid:
        text: str = ask(grid, arrays, kind).error.reason
    return text.rpartition(" (")[0]  # without the id in the node's log


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_pattern_that_matches_no_array_is_refused_by_name(kind: str) -> None:
    assert reason(full_model(), ["*bn*", "BN*"], kind=kind) == (
        "ClientError: keep_local='BN*' matches no array of the model; its arrays are 'conv.weight', 'bn1.mean', "
        "'bn1.batches', 'head.weight', 'body'"
    )


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_patterns_that_match_all_arrays_are_refused(kind: str) -> None:
    assert reason(full_model(), ["*n*", "b*", "head.*"], kind=kind) == (
        "ClientError: keep_local=['*n*', 'b*', 'head.*'] matches all 5 arrays of the model, so nothing would be "
        "trained together; leave at least one out"
    )


def test_the_strategy_reports_such_a_pattern_in_the_first_round() -> None:
    app = client_app(Site, keep_local=["dense*"])
    with (
        LocalGrid(app, 3) as grid,
        pytest.raises(RoundError, match=r"round 1[\s\S]*keep_local='dense\*' matches no array"),
    ):
        FedAvg().start(grid, full_model())


class Flowers(NumPyClient):
    """Inherits a get_parameters that returns an empty list."""

    def fit(self, parameters: Any, config: Any) -> Any:
        return parameters, 1, {}


class Without:
    fit = Flowers.fit


class Starts(Without):
    """Starts from the arrays given."""

    def __init__(self, *arrays: Any) -> None:
        self.get_parameters = lambda config: list(arrays)


@pytest.mark.parametrize(
    ("client", "text"),
    [
        pytest.param(
            client(),
            f"array 'head' was received empty, and this node has none yet; give {client.__name__} a method "
            "get_parameters(config) that returns all arrays of its initial model, or start the server from a full one",
            id=client.__name__,
        )
        for client in (Flowers, Without)
    ]
    + [
        pytest.param(
            Starts(np.zeros(3)),
            "Starts.get_parameters must return a list of all 2 arrays of the model, in the order of the server's, got "
            "list of length 1",
            id="one array is missing",
        ),
        pytest.param(
            Starts(np.zeros(3), [0.5]), "array 'head': must be a NumPy array, got list; use numpy.asarray", id="a list"
        ),
        pytest.param(
            Starts(np.zeros(3), np.zeros(2)),
            "array 'head' was received as float32 and returned as float64, NumPy's default; use .astype('float32'), or "
            "update it in place",
            id="another dtype",
        ),
    ],
)
def test_a_client_that_cannot_start_a_private_array_says_why(client: Any, text: str) -> None:
    model = without_local(ArrayRecord({"body": Array(np.zeros(3)), "head": Array(np.zeros(2, np.float32))}), ["head"])
    assert reason(model, ["head"], lambda context: client).partition(": ")[2] == text


def test_an_array_that_is_empty_without_being_private_is_refused() -> None:
    assert reason(empty_model(), ["head.*"]) == (
        "ClientError: array 'bn1.mean' was received empty, but keep_local=['head.*'] does not match it; use the same "
        "patterns in client_app and in without_local"
    )


def test_a_private_array_must_keep_its_shape() -> None:
    class Grows(Site):
        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            parameters[3] = np.vstack([parameters[3], parameters[3]])
            return parameters, 1, {}

    assert reason(empty_model(), PRIVATE, Grows).startswith(
        "ClientError: array 'head.weight' was received with shape (3, 4) and returned with (6, 4); "
    )


def test_a_model_of_another_shape_on_the_same_grid_is_refused() -> None:
    other = full_model()
    other["head.weight"] = Array(np.zeros((3, 5)))
    with LocalGrid(client_app(Site, keep_local=PRIVATE), 1) as grid:
        ask(grid, full_model())
        for kind in ("train", "evaluate"):
            assert (
                "array 'head.weight' was received with shape (3, 5), but this node keeps one of shape (3, 4); start "
                "another model on a new grid"
            ) in ask(grid, other, kind).error.reason


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_private_array_that_diverges_is_reported_and_not_kept(value: float) -> None:
    """The server cannot see it, and the site would start from it in every later round."""

    class Diverges(Site):
        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            if self.number == 1 and config["server-round"] == 2:
                parameters[3][0, 0] = value
            return super().fit(parameters, config)

    strategy = FedAvg()
    with LocalGrid(client_app(Diverges, keep_local=PRIVATE), 3) as grid:
        strategy.start(grid, empty_model(), num_rounds=3)
    dropped = [[failure.name for failure in entry.failures] for entry in strategy.history if entry.phase == "train"]
    assert dropped == [[], ["Lyon"], []]
    assert "array 'head.weight', which stays on this node, holds NaN or infinity" in str(strategy.history.dropped())


def test_a_state_that_uses_the_reserved_key_is_refused() -> None:
    def client_fn(context: Context) -> Site:
        context.state["flskew-private"] = MetricRecord({"rounds": 1})
        return Site(context)

    assert reason(full_model(), PRIVATE, client_fn) == (
        "ClientError: context.state['flskew-private'] is reserved for private arrays; store yours under another key"
    )


@pytest.mark.parametrize("make", [lambda given: client_app(Site, keep_local=given), None], ids=["app", "server"])
@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        pytest.param(
            "*bn*",
            TypeError,
            r"keep_local must be a list of patterns, got the text '\*bn\*'; use \['\*bn\*'\]",
            id="text",
        ),
        pytest.param([3], TypeError, r"must be a list of patterns, got list of length 1; e.g. \[\"\*bn", id="number"),
        pytest.param(None, TypeError, "must be a list of patterns, got NoneType", id="None"),
        pytest.param(["head.*", ""], ValueError, "keep_local holds an empty pattern", id="empty"),
    ],
)
def test_patterns_must_be_texts(given: Any, error: type[Exception], text: str, make: Any) -> None:
    make = make or (lambda given: without_local(full_model(), given))
    with pytest.raises(error, match=text):
        make(given)


def test_a_model_that_changes_shape_cannot_have_private_arrays() -> None:
    with pytest.raises(ValueError, match=r"keep_local needs a model with constant names and shapes; remove same_shap"):
        client_app(Site, keep_local=PRIVATE, same_shapes=False)


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        (["head.*", "dense*"], r"^keep_local='dense\*' matches no array of the model; its arrays are 'conv.weight', "),
        (["*"], r"^keep_local=\['\*'\] matches all 5 arrays of the model"),
    ],
)
def test_a_server_with_such_patterns_is_refused_before_it_starts(patterns: list[str], text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        without_local(full_model(), patterns)
    assert type(caught.value) is ValueError


def test_a_model_without_its_private_arrays_keeps_names_order_dtypes_and_the_original() -> None:
    full = full_model()
    empty = without_local(full, PRIVATE)
    assert [(name, array.dtype, array.shape) for name, array in empty.items()] == [
        ("conv.weight", "float64", (2, 3)),
        ("bn1.mean", "float64", (0,)),
        ("bn1.batches", "int64", (0,)),
        ("head.weight", "float64", (0,)),
        ("body", "float64", (2,)),
    ]
    assert full == full_model()
    assert without_local(full, []) == full
    assert without_local(empty, PRIVATE) == empty


def test_patterns_are_those_of_the_shell_and_distinguish_capital_letters() -> None:
    names = ["layers.0.bn.weight", "bn1", "BN1", "head", "head.weight", "1", "10"]
    assert is_private(names, ["*bn*", "head.*", "1"]) == [True, True, False, False, True, True, False]
    assert is_private(names, ["?", "[Bb]N*"]) == [False, False, True, False, False, True, False]
    assert is_private(names, []) == [False] * 7


IMAGES, DIGITS = load_digits(return_X_y=True)
IMAGES = IMAGES / 16
SITES = [("Bern", slice(0, 600), slice(1200, 1500)), ("Lyon", slice(600, 1200), slice(1500, 1797))]


class Codes:
    """A perceptron with 16 hidden units on digits, which Lyon records as 9 minus the digit."""

    def __init__(self, context: Context) -> None:
        self.name, rows, test = SITES[partition_id(context)]
        digits = DIGITS if self.name == "Bern" else 9 - DIGITS
        self.data, self.test = (IMAGES[rows], digits[rows]), (IMAGES[test], digits[test])

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
        body, head = parameters
        x, labels = self.data
        for _ in range(30):
            hidden = np.tanh(x @ body)
            error = (softmax(hidden @ head) - np.eye(10)[labels]) / len(x)
            to_hidden = (error @ head.T) * (1 - hidden**2)
            head -= 2.0 * hidden.T @ error
            body -= 2.0 * x.T @ to_hidden
        return [body, head], len(x), {}

    def evaluate(self, parameters: Arrays, config: dict[str, Any]) -> Any:
        x, labels = self.test
        guesses = (np.tanh(x @ parameters[0]) @ parameters[1]).argmax(axis=1)
        return 0.0, len(x), {"accuracy": (guesses == labels).mean()}


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def by_site(client_fn: Any, keep_local: list[str], start: ArrayRecord, num_rounds: int) -> dict[str, float]:
    """Return each site's accuracy in the last round."""
    strategy = FedAvg()
    with LocalGrid(client_app(client_fn, keep_local=keep_local), 2) as grid:
        strategy.start(grid, start, num_rounds=num_rounds)
    accuracy: dict[str, float] = strategy.history.clients("accuracy").iloc[-1].to_dict()
    return accuracy


def test_private_heads_serve_sites_whose_labels_mean_different_things() -> None:
    """FedPer: without it, one head has to give two answers to the same image."""
    rng = np.random.default_rng(0)
    start = ArrayRecord({"body": Array(rng.normal(0, 0.1, (64, 16))), "head": Array(rng.normal(0, 0.1, (16, 10)))})
    shared, private = (by_site(Codes, keep_local, start, 8) for keep_local in ([], ["head"]))
    assert list(shared) == list(private) == ["Bern", "Lyon"]
    assert max(shared.values()) < 0.6
    assert min(private.values()) > 0.85


@pytest.mark.torch
def test_private_normalisation_serves_sites_whose_scanners_differ() -> None:
    """FedBN: without it, the averaged running statistics describe the images of neither site."""
    import torch
    from torch import nn

    from flskew.client.torch import get_parameters, set_parameters

    def network() -> nn.Sequential:
        model = nn.Sequential(
            OrderedDict(bn0=nn.BatchNorm1d(64), hidden=nn.Linear(64, 32), bn1=nn.BatchNorm1d(32), act=nn.ReLU())
        ).append(nn.Linear(32, 10))
        rng = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, w in model.named_parameters():
                if "bn" not in name:
                    w.copy_(torch.randn(w.shape, generator=rng) / 8)
        return model.double()

    class Hospital:
        """Lyon's scanner makes darker images, with less contrast."""

        def __init__(self, context: Context) -> None:
            self.name, rows, test = SITES[partition_id(context)]
            images = IMAGES if self.name == "Bern" else 0.1 * IMAGES - 0.5
            self.data, self.test = (
                (torch.from_numpy(images[part]), torch.from_numpy(DIGITS[part])) for part in (rows, test)
            )
            self.model = network()

        def get_parameters(self, config: dict[str, Any]) -> Arrays:
            return get_parameters(self.model)

        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            set_parameters(self.model, parameters)
            optimizer = torch.optim.SGD(self.model.train().parameters(), lr=0.05, momentum=0.9)
            images, digits = self.data
            for batch in np.array_split(np.arange(len(digits)), 20):
                optimizer.zero_grad()
                nn.functional.cross_entropy(self.model(images[batch]), digits[batch]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            return get_parameters(self.model), len(digits), {}

        @torch.no_grad()
        def evaluate(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            set_parameters(self.model, parameters)
            images, digits = self.test
            is_right = self.model.eval()(images).argmax(1) == digits
            return 0.0, len(digits), {"accuracy": is_right.double().mean()}

    full = ArrayRecord(network().state_dict())
    shared = by_site(Hospital, [], full, 4)
    private = [by_site(Hospital, ["bn*"], start, 4) for start in (full, without_local(full, ["bn*"]))]
    assert min(shared.values()) < 0.5
    assert min(private[0].values()) > 0.85
    # Each client starts from the same network as the server, so that it makes no difference whether this is sent.
    assert private[0] == pytest.approx(private[1])
