"""What a client's local term and the strategy tell each other, round by round."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from flskew import FedAvg, FedDyn, FedNova, FedProx, LocalGrid, LocalTerm, RoundError, Scaffold, client_app
from flskew._arrays.bfloat16 import bfloat16_from_float32
from flskew._arrays.records import numpy_from_array, record_from_parameters
from flskew.client import ClientError

ALPHA = 0.5
FEDDYN, SCAFFOLD, FEDNOVA, FEDPROX = (
    {"feddyn-alpha": ALPHA},
    {"scaffold": True},
    {"count-steps": True},
    {"proximal-mu": 0.1},
)
needing = pytest.mark.parametrize(
    "config", [FEDPROX, FEDDYN, SCAFFOLD, FEDNOVA], ids=["FedProx", "FedDyn", "Scaffold", "FedNova"]
)
NAMES = {"proximal-mu": "FedProx with proximal-mu=0.1", "feddyn-alpha": "FedDyn", "scaffold": "Scaffold"}


def name_of(config: Mapping[str, Any]) -> str:
    return NAMES.get(next(iter(config)), "FedNova")


class Client:
    """Takes plain gradient steps of 1 along a constant gradient, 2 for each array of floats."""

    num_steps = 1

    def __init__(self, context: Context) -> None:
        pass

    def fit(self, parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        term = LocalTerm.from_config(config, parameters)
        floats = [i for i, array in enumerate(parameters) if array.dtype.kind == "f"]
        for _ in range(self.num_steps):
            gradients = [np.full_like(array, 2) for array in parameters]
            term.add_gradient(parameters, gradients)
            for i in floats:
                parameters[i] -= gradients[i]
        return parameters, 10, {}


def client(fit: Callable[[Any, Any], Any]) -> Any:
    """A client with this `fit`."""
    return lambda context: type("Custom", (), {"fit": staticmethod(fit)})()


class Conversation:
    """Sends train messages to one node, which keeps its state."""

    def __init__(self, grid: Callable[[ClientApp], LocalGrid], client_fn: Any, arrays: Any, same_shapes: bool) -> None:
        self.client_fn = client_fn
        app = client_app(lambda context: self.client_fn(context), errors="full", same_shapes=same_shapes)
        self.grid = grid(app)
        self.arrays = record_from_parameters(arrays)

    def ask(
        self, config: Mapping[str, Any], server_round: int, accepted: int, control: ArrayRecord | None = None
    ) -> Message:
        given = ConfigRecord({**config, "server-round": server_round, "accepted-round": accepted})
        content = RecordDict({"arrays": self.arrays, "config": given})
        if control is not None:
            content["flskew-control"] = control
        (reply,) = self.grid.send_and_receive([Message(content, 1000, "train")])
        return reply

    def state(self) -> RecordDict:
        return self.grid.node_states().get(1000, RecordDict())


class Talks(Protocol):
    def __call__(
        self, client_fn: Any = Client, arrays: Sequence[NDArray[Any]] = ..., *, same_shapes: bool = True
    ) -> Conversation: ...


@pytest.fixture
def talk() -> Iterator[Talks]:
    """Begins a conversation with a client."""
    with contextlib.ExitStack() as stack:

        def begin(
            client_fn: Any = Client,
            arrays: Sequence[NDArray[Any]] = (np.zeros(2, np.float32),),
            *,
            same_shapes: bool = True,
        ) -> Conversation:
            return Conversation(
                lambda app: stack.enter_context(LocalGrid(app, 1)), client_fn, arrays, same_shapes=same_shapes
            )

        yield begin


def numbers(record: Any) -> list[NDArray[Any]]:
    return [numpy_from_array(array) for array in record.values()]


def error_of(reply: Message) -> str:
    assert reply.has_error()
    return str(reply.error.reason)


def idle(parameters: Any, config: Any) -> Any:
    LocalTerm.from_config(config, parameters)
    return parameters, 10, {}


def without_term(parameters: Any, config: Any) -> Any:
    return [parameters[0] + 1], 10, {}


def unused_term(parameters: Any, config: Any) -> Any:
    LocalTerm.from_config(config, parameters)
    return [parameters[0] + 1], 10, {}


@needing
def test_a_client_without_the_term_is_refused_by_the_name_of_the_strategy(talk: Talks, config: dict[str, Any]) -> None:
    reason = error_of(talk(client(without_term)).ask(config, 1, 0))
    assert f"{name_of(config)} needs the local term: fit did not make it; call LocalTerm.from_config" in reason


@needing
def test_a_client_that_makes_the_term_without_using_it_is_refused(talk: Talks, config: dict[str, Any]) -> None:
    reason = error_of(talk(client(unused_term)).ask(config, 1, 0))
    assert f"{name_of(config)} needs the local term: fit made it but did not use it; attach it" in reason


@pytest.mark.parametrize("config", [SCAFFOLD, FEDNOVA], ids=["Scaffold", "FedNova"])
def test_a_term_that_has_not_seen_the_steps_is_refused_where_they_count(talk: Talks, config: dict[str, Any]) -> None:
    def only_loss(parameters: Any, config: Any) -> Any:
        LocalTerm.from_config(config, parameters).loss(parameters)
        return [parameters[0] + 1], 10, {}

    assert "the term has not seen the steps" in error_of(talk(client(only_loss)).ask(config, 1, 0))
    assert not talk(client(only_loss)).ask(FEDDYN, 1, 0).has_error()


@pytest.mark.parametrize(
    "strategy",
    [FedProx(proximal_mu=0.1), FedDyn(alpha=ALPHA), Scaffold(), FedNova()],
    ids=["FedProx", "FedDyn", "Scaffold", "FedNova"],
)
@pytest.mark.parametrize("fit", [without_term, unused_term], ids=["no-term", "unused-term"])
def test_the_run_ends_in_round_1_with_the_reason(strategy: FedAvg, fit: Any) -> None:
    with (
        LocalGrid(client_app(client(fit)), 2) as grid,
        pytest.raises(RoundError, match=rf"(?s)round 1.*ClientError: {type(strategy).__name__}.* needs the local term"),
    ):
        strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=2)


@pytest.mark.parametrize("strategy", [FedAvg(), FedProx(proximal_mu=0.0)], ids=["FedAvg", "FedProx-without-mu"])
@pytest.mark.parametrize("fit", [without_term, unused_term], ids=["no-term", "unused-term"])
def test_without_anything_to_add_no_term_is_needed(strategy: FedAvg, fit: Any) -> None:
    with LocalGrid(client_app(client(fit)), 2) as grid:
        result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=2)
    assert result.arrays["0"].numpy().tolist() == [2.0]


@needing
def test_a_client_that_returns_what_it_received_need_not_use_the_term(talk: Talks, config: dict[str, Any]) -> None:
    """A client without rows may attach the term to its optimizer and take no step."""

    def used_but_no_step(parameters: Any, config: Any) -> Any:
        LocalTerm.from_config(config, parameters).loss(parameters)
        return parameters, 10, {}

    for fit in (idle, used_but_no_step):
        reply = talk(client(fit)).ask(config, 1, 0)
        assert not reply.has_error(), error_of(reply)


def test_a_scaffold_client_that_takes_no_step_keeps_its_control_variate(talk: Talks) -> None:
    conversation = talk()
    conversation.ask(SCAFFOLD, 1, 0)
    conversation.client_fn = client(idle)
    reply = conversation.ask(SCAFFOLD, 2, 1)
    np.testing.assert_array_equal(numbers(reply.content["flskew-control"])[0], np.zeros(2, np.float32))
    conversation.client_fn = Client
    # c_k is still the gradient, so its change is 0.
    again = conversation.ask(SCAFFOLD, 3, 2)
    np.testing.assert_array_equal(numbers(again.content["flskew-control"])[0], np.zeros(2, np.float32))


@needing
def test_a_copy_of_the_config_is_as_good(talk: Talks, config: dict[str, Any]) -> None:
    def fit(parameters: Any, config: Any) -> Any:
        return Client.fit(Client(None), parameters, {**config, "lr": 0.1})  # type: ignore[arg-type]

    assert not talk(client(fit)).ask(config, 1, 0).has_error()


@needing
def test_a_config_without_the_keys_of_the_strategy_is_refused(talk: Talks, config: dict[str, Any]) -> None:
    def fit(parameters: Any, config: Any) -> Any:
        return Client.fit(Client(None), parameters, {"lr": config.get("lr", 0.1)})  # type: ignore[arg-type]

    reason = error_of(talk(client(fit)).ask(config, 1, 0))
    assert f"{name_of(config)} needs the config that fit received; pass it to LocalTerm.from_config unchanged" in reason


@pytest.mark.parametrize("config", [FEDDYN, SCAFFOLD], ids=["FedDyn", "Scaffold"])
def test_strategies_with_state_on_the_clients_need_client_app(config: dict[str, Any]) -> None:
    with pytest.raises(
        ClientError, match=rf"{name_of(config)} keeps state on its clients, which only client_app can do"
    ):
        LocalTerm.from_config(config, [np.zeros(2)])


@pytest.mark.parametrize("config", [FEDPROX, FEDNOVA, {}], ids=["FedProx", "FedNova", "FedAvg"])
def test_the_other_strategies_work_anywhere(config: dict[str, Any]) -> None:
    term = LocalTerm.from_config(config, [np.zeros(2)])
    term.add_gradient([np.ones(2)], [np.ones(2)])
    assert term.mu == config.get("proximal-mu", 0.0)


def test_the_exchange_ends_with_fit_even_if_it_fails(talk: Talks) -> None:
    def fails(parameters: Any, config: Any) -> Any:
        LocalTerm.from_config(config, parameters)
        raise RuntimeError

    for client_fn in (Client, client(fails)):
        talk(client_fn).ask(SCAFFOLD, 1, 0)
        with pytest.raises(ClientError, match="only client_app can do"):
            LocalTerm.from_config(SCAFFOLD, [np.zeros(2)])


def test_a_reply_reports_positions_steps_and_the_round_of_the_state(talk: Talks) -> None:
    class Three(Client):
        num_steps = 3

    conversation = talk(Three, [np.zeros(2), np.array([4]), np.array(0.0)])
    first, second = conversation.ask(SCAFFOLD, 1, 0), conversation.ask(SCAFFOLD, 2, 1)
    reports = [dict(reply.content["flskew-term"]) for reply in (first, second)]
    assert reports == [{"arrays": [0, 2], "local-steps": 3, "state-round": r} for r in (0, 1)]
    assert list(first.content["flskew-control"]) == ["0", "2"]


def test_feddyn_adds_up_the_updates_of_accepted_rounds_only(talk: Talks) -> None:
    conversation = talk()
    moves = []
    # Round 2 is dropped: round 3 says that round 1 was the last accepted one.
    for server_round, accepted in ((1, 0), (2, 1), (3, 1), (4, 3)):
        (after,) = numbers(conversation.ask(FEDDYN, server_round, accepted).content["arrays"])
        moves.append(after[0].item())
    # From w = 0, one step moves w by -(2 + alpha * d), where d is the sum of the earlier moves that counted:
    # -2; d = -2: -(2 - 1) = -1; d = -2 again: -1; d = -3: -(2 - 1.5) = -0.5
    assert moves == [-2.0, -1.0, -1.0, -0.5]


def test_scaffold_sends_the_change_since_the_last_accepted_round(talk: Talks) -> None:
    conversation = talk()
    control = ArrayRecord({"0": Array(np.full(2, 5.0, np.float32))})
    seen = []
    for server_round, accepted in ((1, 0), (2, 0), (3, 2)):
        content = conversation.ask(SCAFFOLD, server_round, accepted, control).content
        seen.append((numbers(content["flskew-control"])[0][0].item(), numbers(content["arrays"])[0][0].item()))
    # c_k is 0 until round 2 is accepted: the gradient is 2, its change 2, and the step -(2 + 5). Then c_k = 2, the
    # change is 0, and the step -(2 + 5 - 2).
    assert seen == [(2.0, -7.0), (2.0, -7.0), (0.0, -5.0)]


@pytest.mark.parametrize("config", [FEDDYN, SCAFFOLD], ids=["FedDyn", "Scaffold"])
def test_a_client_that_lost_its_state_begins_at_zero_and_says_so(talk: Talks, config: dict[str, Any]) -> None:
    conversation = talk()
    first = conversation.ask(config, 1, 0)
    conversation.grid.restore_node_states({})
    second = conversation.ask(config, 2, 1)
    assert second.content["flskew-term"]["state-round"] == 0
    assert numbers(second.content["arrays"])[0].tobytes() == numbers(first.content["arrays"])[0].tobytes()


@pytest.mark.parametrize("config", [FEDDYN, SCAFFOLD], ids=["FedDyn", "Scaffold"])
def test_a_round_that_fails_leaves_the_state_as_it_was(talk: Talks, config: dict[str, Any]) -> None:
    conversation = talk()
    conversation.ask(config, 1, 0)

    def fails(parameters: Any, config: Any) -> Any:
        Client.fit(Client(None), parameters, config)  # type: ignore[arg-type]
        raise RuntimeError

    conversation.client_fn = client(fails)
    assert conversation.ask(config, 2, 1).has_error()
    conversation.client_fn = Client
    assert conversation.ask(config, 3, 1).content["flskew-term"]["state-round"] == 1


@pytest.mark.parametrize("config", [FEDDYN, SCAFFOLD], ids=["FedDyn", "Scaffold"])
def test_a_diverged_round_is_not_stored(talk: Talks, config: dict[str, Any]) -> None:
    conversation = talk()
    conversation.ask(config, 1, 0)

    def diverges(parameters: Any, config: Any) -> Any:
        term = LocalTerm.from_config(config, parameters)
        gradients = [np.full_like(parameters[0], np.nan)]
        term.add_gradient(parameters, gradients)
        return [parameters[0] - gradients[0]], 10, {}

    conversation.client_fn = client(diverges)
    conversation.ask(config, 2, 1)
    stored = [numbers(record) for record in conversation.state().array_records.values()]
    assert all(np.isfinite(array).all() for arrays in stored for array in arrays)
    conversation.client_fn = Client
    assert conversation.ask(config, 3, 1).content["flskew-term"]["state-round"] == 1


@pytest.mark.parametrize("config", [FEDDYN, SCAFFOLD], ids=["FedDyn", "Scaffold"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (2,)], ids=["0-d", "1-d"])
def test_state_and_control_variates_have_the_models_shape_and_half_precision_is_kept_in_float32(
    talk: Talks, dtype: str, shape: tuple[int, ...], config: dict[str, Any]
) -> None:
    zeros = np.zeros(shape, np.float32)
    model = bfloat16_from_float32(zeros) if dtype == "bfloat16" else zeros.astype(dtype)
    conversation = talk(Client, [model])
    wide = np.float64 if dtype == "float64" else np.float32
    control = ArrayRecord({"0": Array(np.full(shape, 5, wide))}) if config is SCAFFOLD else None
    # As in the tests of FedDyn's and SCAFFOLD's rounds above.
    expected = [-2.0, -1.0] if control is None else [-7.0, -5.0]
    for server_round in (1, 2):
        reply = conversation.ask(config, server_round, server_round - 1, control)
        assert not reply.has_error(), error_of(reply)
        (array,) = reply.content["arrays"].values()
        assert (array.dtype, tuple(array.shape)) == (conversation.arrays["0"].dtype, shape)
        received = np.frombuffer(array.data[-model.nbytes :], dtype="<u2" if dtype == "bfloat16" else dtype)
        values = (received.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else received
        assert set(values.tolist()) == {expected[server_round - 1]}
        stored = [numbers(record)[0] for record in conversation.state().array_records.values() if len(record)]
        assert {(state.shape, state.dtype) for state in stored} == {(shape, np.dtype(wide))}
        if control is not None:
            (change,) = numbers(reply.content["flskew-control"])
            assert (change.shape, change.dtype) == (shape, np.dtype(wide))


@pytest.mark.parametrize("strategy", [FedDyn, Scaffold, FedNova])
def test_big_endian_arrays_are_trained_like_others(strategy: type[FedAvg]) -> None:
    models = []
    for dtype in (">f4", "<f4"):
        with LocalGrid(client_app(Client), 2) as grid:
            start = record_from_parameters([np.zeros(2, dtype), np.zeros((), dtype)])
            result = strategy(fraction_evaluate=0.0).start(grid, start, num_rounds=3)
        models.append(numbers(result.arrays))
    assert [array.dtype for array in models[0]] == [np.dtype(">f4")] * 2
    for mine, other in zip(*models, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_an_update_beyond_the_range_of_its_dtype_is_not_stored(talk: Talks) -> None:
    def jumps(parameters: Any, config: Any) -> Any:
        LocalTerm.from_config(config, parameters).loss(parameters)
        return [-parameters[0]], 10, {}

    conversation = talk(client(jumps), [np.full(2, 3e38, np.float32)])
    assert not conversation.ask(FEDDYN, 1, 0).has_error()  # in which a warning would be
    assert conversation.ask(FEDDYN, 2, 1).content["flskew-term"]["state-round"] == 0


@needing
def test_a_term_made_in_every_epoch_is_refused_where_steps_or_gradients_count(
    talk: Talks, config: dict[str, Any]
) -> None:
    def fit(parameters: Any, config: Any) -> Any:
        for _ in range(2):
            LocalTerm.from_config(config, parameters).add_gradient(parameters, [np.zeros(2, np.float32)])
        return parameters, 10, {}

    reply = talk(client(fit)).ask(config, 1, 0)
    if config is FEDPROX:  # one term for each part of a model is fine
        assert not reply.has_error()
    else:
        assert f"{name_of(config)} needs one local term for all steps of fit; call" in error_of(reply)


@pytest.mark.parametrize("extra", [FEDPROX, {"proximal_mu": 0.1}, SCAFFOLD], ids=["mu", "former mu", "Scaffold"])
def test_a_second_term_under_feddyn_is_refused_by_name(talk: Talks, extra: dict[str, Any]) -> None:
    (key,) = extra
    assert f"config asks for FedDyn and has '{key}' too; remove" in error_of(talk().ask({**FEDDYN, **extra}, 1, 0))
    assert not talk().ask({**FEDDYN, "proximal-mu": 0.0, "scaffold": False}, 1, 0).has_error()


@pytest.mark.parametrize("config", [FEDDYN, SCAFFOLD], ids=["FedDyn", "Scaffold"])
@pytest.mark.parametrize("strategy", [FedAvg, FedNova])
def test_the_key_of_a_strategy_with_state_under_another_strategy_is_refused(
    config: dict[str, Any], strategy: type[FedAvg]
) -> None:
    start, message = (
        record_from_parameters([np.zeros(2)]),
        rf"asks for {name_of(config)}, .*; use flskew\.{name_of(config)}",
    )
    with LocalGrid(client_app(Client), 2) as grid, pytest.raises(RoundError, match=message):
        strategy(fraction_evaluate=0.0).start(grid, start, 1, train_config=ConfigRecord(config))


def test_a_model_that_returns_another_number_of_arrays_is_refused(talk: Talks) -> None:
    def grows(parameters: Any, config: Any) -> Any:
        LocalTerm.from_config(config, parameters).loss(parameters)
        return [*parameters, np.zeros(1)], 10, {}

    conversation = talk(client(grows), same_shapes=False)
    assert "FedDyn needs a model with a fixed number of arrays" in error_of(conversation.ask(FEDDYN, 1, 0))


def test_a_client_that_counts_its_steps_itself_needs_no_term_under_fednova(talk: Talks) -> None:
    def counts(parameters: Any, config: Any) -> Any:
        return [parameters[0] + 1], 10, {"local-steps": 3}

    assert not talk(client(counts)).ask(FEDNOVA, 1, 0).has_error()
    for config in (FEDPROX, FEDDYN, SCAFFOLD):
        assert "did not make it" in error_of(talk(client(counts)).ask(config, 1, 0))


@pytest.mark.parametrize("config", [FEDPROX, FEDNOVA, {}], ids=["FedProx", "FedNova", "FedAvg"])
def test_strategies_without_state_store_nothing_on_the_client(talk: Talks, config: dict[str, Any]) -> None:
    conversation = talk()
    reply = conversation.ask(config, 1, 0)
    assert not conversation.state()
    assert ("flskew-term" in reply.content) == bool(config)
    assert "flskew-control" not in reply.content
