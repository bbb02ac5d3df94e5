"""The checks around each of Flower's strategies that average arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import bfloat16_from_float32, float32_from_bfloat16
from flskew._arrays.casting import narrowed, widened
from flskew._arrays.records import ParametersError, numpy_from_array, record_from_parameters
from flskew.client import client_app
from flskew.simulation import LocalGrid
from flskew.strategies import Checked, FedAvg, FedProx, RoundError

if TYPE_CHECKING:
    from tests.strategies.conftest import Answer, MakesFederation

GOOD = 7
EVERY_STRATEGY: dict[str, Callable[[], flower.Strategy]] = {
    "FedAvg": flower.FedAvg,
    "FedProx": lambda: flower.FedProx(proximal_mu=0.1),
    "FedAvgM": lambda: flower.FedAvgM(server_learning_rate=0.5, server_momentum=0.9),
    "FedAdagrad": flower.FedAdagrad,
    "FedAdam": flower.FedAdam,
    "FedYogi": flower.FedYogi,
    "FedMedian": flower.FedMedian,
    "FedTrimmedAvg": lambda: flower.FedTrimmedAvg(beta=0.2),
    "QFedAvg": lambda: flower.QFedAvg(client_learning_rate=0.1, train_loss_key="loss"),
    "Krum": lambda: flower.Krum(num_malicious_nodes=1),
    "MultiKrum": lambda: flower.MultiKrum(num_malicious_nodes=1, num_nodes_to_select=3),
    "Bulyan": lambda: flower.Bulyan(num_malicious_nodes=1),
    "server-side fixed clipping": lambda: flower.DifferentialPrivacyServerSideFixedClipping(
        flower.FedAvg(), noise_multiplier=0.0, clipping_norm=1.0, num_sampled_clients=GOOD
    ),
    "client-side fixed clipping": lambda: flower.DifferentialPrivacyClientSideFixedClipping(
        flower.FedAdam(), noise_multiplier=0.0, clipping_norm=1.0, num_sampled_clients=GOOD
    ),
    "server-side adaptive clipping": lambda: flower.DifferentialPrivacyServerSideAdaptiveClipping(
        flower.FedAvg(), noise_multiplier=0.0, num_sampled_clients=GOOD
    ),
    "client-side adaptive clipping": lambda: flower.DifferentialPrivacyClientSideAdaptiveClipping(
        flower.FedMedian(), noise_multiplier=0.0, num_sampled_clients=GOOD
    ),
}
NOT_TESTED = {"FedXgbBagging", "FedXgbCyclic", "Result", "Strategy"}

# Flower's QFedAvg and Bulyan take seconds per round.
over_every_strategy = pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[pytest.mark.long] if name in ("QFedAvg", "Bulyan") else [])
        for name, make in EVERY_STRATEGY.items()
    ],
)


def metrics(index: int, **others: Any) -> MetricRecord:
    # Client-side clipping requires a "norm_bit".
    return MetricRecord({"num-examples": index + 1, "loss": 0.1 * index, "norm_bit": index % 2, **others})


def good(index: int, message: Message) -> dict[str, Any]:
    """Move each array by a different step."""
    sent = message.content["arrays"].to_numpy_ndarrays()
    # Squares, since Krum decides by distances, and ties would be broken by the order of the replies.
    step = 0.125 * (index + 1) ** 2
    arrays = [np.asarray(array + step * (place + 1)).astype(array.dtype) for place, array in enumerate(sent)]
    return {"arrays": ArrayRecord(arrays), "metrics": metrics(index)}


def with_bad_ones(index: int, message: Message) -> dict[str, Any]:
    """Reply correctly from the first nodes; each of the others fails in a different way."""
    if index < GOOD:
        return good(index, message)
    reply = good(index, message)
    names = list(reply["arrays"])
    if index == GOOD:
        raise OSError("the disk is full")
    if index == GOOD + 1:
        reply["arrays"][names[0]] = Array(np.full(3, np.nan))
    if index == GOOD + 2:
        reply["arrays"][names[0]] = Array(np.zeros((1,)))
    if index == GOOD + 3:
        reply["metrics"] = metrics(index, **{"num-examples": -1})
    if index == GOOD + 4:
        del reply["metrics"]
    return reply


def models(strategy: flower.Strategy, train: Answer, nodes: int, federation: MakesFederation) -> list[NDArray[Any]]:
    """Return the model after two rounds."""
    sent = ArrayRecord([np.full(3, 0.5), np.arange(6.0).reshape(2, 3)])
    result = strategy.start(federation(train=train, evaluate=evaluates, nodes=nodes), sent, num_rounds=2)
    return result.arrays.to_numpy_ndarrays()


def evaluates(index: int, message: Message) -> dict[str, Any]:
    return {"metrics": MetricRecord({"num-examples": 1, "loss": float(index)})}


@over_every_strategy
def test_too_few_nodes_on_a_grid_without_others_are_an_error_at_once(
    make: Callable[[], flower.Strategy], federation: MakesFederation
) -> None:
    strategy = make()
    inner: Any = strategy
    while hasattr(inner, "strategy"):
        inner = inner.strategy
    inner.min_available_nodes = 5
    with pytest.raises(TimeoutError, match=r"needs 5 nodes, but only nodes 1000, 1001, 1002 are connected"):
        Checked(strategy).start(federation(nodes=3), ArrayRecord([np.zeros(2)]))


def test_every_strategy_of_flower_is_tested() -> None:
    tested = {type(make()).__name__ for make in EVERY_STRATEGY.values()}
    assert tested | NOT_TESTED == set(flower.__all__)


@over_every_strategy
def test_good_replies_give_the_same_model_as_without_checked(
    make: Callable[[], flower.Strategy], federation: MakesFederation
) -> None:
    checked = models(Checked(make()), good, GOOD, federation)
    plain = models(make(), good, GOOD, federation)
    for ours, theirs in zip(checked, plain, strict=True):
        # Without Checked, the strategy adds up the replies in a random order.
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@over_every_strategy
@pytest.mark.parametrize("wrap", [Checked, lambda strategy: strategy], ids=["checked", "plain"])
def test_empty_placeholders_of_private_arrays_stay_empty_and_change_nothing_else(
    make: Callable[[], flower.Strategy], wrap: Callable[[flower.Strategy], flower.Strategy], federation: MakesFederation
) -> None:
    body = ArrayRecord({"a": Array(np.full(3, 0.5)), "b": Array(np.arange(6.0).reshape(2, 3))})
    with_head = ArrayRecord({**body, "c": Array(np.zeros(0, np.float32)), "d": Array(np.zeros(0))})

    def train(index: int, message: Message) -> dict[str, Any]:
        made = good(index, message)["arrays"]
        return {
            "arrays": ArrayRecord(dict(zip(message.content["arrays"], made.values(), strict=True))),
            "metrics": metrics(index),
        }

    alone, together = (
        wrap(make()).start(federation(train=train, evaluate=evaluates, nodes=GOOD), start, num_rounds=2).arrays
        for start in (body, with_head)
    )
    for name, array in alone.items():
        np.testing.assert_allclose(together[name].numpy(), array.numpy(), rtol=1e-12)
    assert [(name, array.shape) for name, array in together.items()][2:] == [("c", (0,)), ("d", (0,))]


@over_every_strategy
def test_bad_replies_do_not_change_the_model_and_are_named(
    make: Callable[[], flower.Strategy], federation: MakesFederation
) -> None:
    strategy = Checked(make())
    mixed = models(strategy, with_bad_ones, GOOD + 5, federation)
    for ours, theirs in zip(mixed, models(make(), good, GOOD, federation), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert [failure.node_id for failure in strategy.history[0].failures] == list(range(1000 + GOOD, 1005 + GOOD))
    assert [reply.node_id for reply in strategy.history[0].replies] == list(range(1000, 1000 + GOOD))


@over_every_strategy
def test_clients_and_result_keep_the_dtypes_and_shapes_of_the_initial_model(
    make: Callable[[], flower.Strategy], federation: MakesFederation
) -> None:
    # Flower: integers and booleans come back as float64; QFedAvg and the clipping raise errors.
    initial = [
        np.ones((2, 3), np.float32), np.ones(4, np.float16), np.ones(4), np.array(7), np.ones(2, np.uint8),
        np.array([True, False]),
    ]  # fmt: skip
    want = [(array.dtype, array.shape) for array in initial]
    seen = []

    def train(index: int, message: Message) -> dict[str, Any]:
        seen.append([(array.dtype, array.shape) for array in message.content["arrays"].to_numpy_ndarrays()])
        return good(index, message)

    result = Checked(make()).start(
        federation(train=train, evaluate=evaluates, nodes=GOOD), ArrayRecord(initial), num_rounds=2
    )
    assert [(array.dtype, array.shape) for array in result.arrays.to_numpy_ndarrays()] == want
    assert seen == [want] * (2 * GOOD)


@pytest.mark.parametrize("name", ["FedAvg", "FedMedian", "FedTrimmedAvg", "Krum", "Bulyan"])
def test_a_count_that_all_clients_agree_on_is_unchanged(name: str, federation: MakesFederation) -> None:
    def train(index: int, message: Message) -> dict[str, Any]:
        return {"arrays": ArrayRecord([np.array(7), np.full(2, float(index))]), "metrics": metrics(index)}

    sent = ArrayRecord([np.array(0), np.zeros(2)])
    result = Checked(EVERY_STRATEGY[name]()).start(federation(train=train, nodes=GOOD), sent, num_rounds=1)
    np.testing.assert_array_equal(result.arrays["0"].numpy(), np.array(7), strict=True)


def test_half_precision_is_summed_in_single_precision(federation: MakesFederation) -> None:
    # In float16, 1000 * 0.1 summed ten times is 1000.5 or less than 999.5.
    def train(index: int, message: Message) -> dict[str, Any]:
        return {"arrays": ArrayRecord([np.array([1000], np.float16)]), "metrics": MetricRecord({"num-examples": 1})}

    sent = ArrayRecord([np.zeros(1, np.float16)])
    result = Checked(flower.FedAvg()).start(federation(train=train, nodes=10), sent, num_rounds=1)
    assert result.arrays["0"].numpy()[0] == 1000


def test_strategies_see_bfloat16_as_float32_and_the_result_is_bfloat16(federation: MakesFederation) -> None:
    # Flower: TypeError in NumPy.
    def record(number: float) -> ArrayRecord:
        return record_from_parameters([bfloat16_from_float32(np.full(2, number, np.float32)), np.zeros(2, np.int8)])

    def train(index: int, message: Message) -> dict[str, Any]:
        assert message.content["arrays"]["0"].dtype == "bfloat16"
        return {"arrays": record(float(index)), "metrics": metrics(index)}

    result = Checked(flower.FedMedian()).start(federation(train=train, nodes=4), record(0.0), num_rounds=2)
    assert [array.dtype for array in result.arrays.values()] == ["bfloat16", "int8"]
    np.testing.assert_array_equal(float32_from_bfloat16(numpy_from_array(result.arrays["0"])), [1.5, 1.5])


def test_integers_are_rounded_and_clipped_to_their_limits() -> None:
    like = ArrayRecord([np.zeros(4, np.int8), np.zeros(3, np.uint64), np.zeros(2, np.int64), np.zeros(3, np.bool_)])
    made = ArrayRecord([
        np.array([2.5, -2.5, 300.0, -300.0]), np.array([-1.0, 2.0**64, 5.4]), np.array([2.0**63, -(2.0**63)]),
        np.array([0.5, 0.4, 9.0]),
    ])  # fmt: skip
    int8, uint64, int64, booleans = narrowed(made, like).to_numpy_ndarrays()
    np.testing.assert_array_equal(int8, np.array([3, -2, 127, -128], np.int8), strict=True)
    # The largest float64 below 2^64 is 2^64 - 2^11, and below 2^63 it is 2^63 - 2^10.
    np.testing.assert_array_equal(uint64, np.array([0, 2**64 - 2**11, 5], np.uint64), strict=True)
    np.testing.assert_array_equal(int64, np.array([2**63 - 2**10, -(2**63)]), strict=True)
    np.testing.assert_array_equal(booleans, np.array([True, False, True]), strict=True)


def test_a_strategy_sees_floats_with_a_dimension_and_such_arrays_are_not_copied() -> None:
    model = ArrayRecord([
        np.ones(2, np.float16), np.ones(2, np.uint8), np.ones(2, np.complex64), np.array(1.5, np.float32), np.ones(2),
    ])  # fmt: skip
    shown = widened(model, like=model)
    assert [(array.dtype, array.shape) for array in shown.to_numpy_ndarrays()] == [
        ("float32", (2,)), ("float64", (2,)), ("complex64", (2,)), ("float32", (1,)), ("float64", (2,)),
    ]  # fmt: skip
    assert [name for name in model if shown[name].data is model[name].data] == ["2", "4"]
    back = narrowed(shown, like=model)
    for ours, sent in zip(back.to_numpy_ndarrays(), model.to_numpy_ndarrays(), strict=True):
        np.testing.assert_array_equal(ours, sent, strict=True)


@pytest.mark.parametrize(
    ("made", "like", "message"),
    [
        (np.array([np.nan]), np.zeros(1, np.int8), "array '0' holds NaN or infinity"),
        (np.array([np.inf]), np.zeros(1, np.bool_), "array '0' holds NaN or infinity"),
        (np.ones(1, np.complex64), np.zeros(1), "array '0' is complex64 instead of float64"),
        (np.ones(1), np.zeros(3), r"array '0' has shape \(1,\) instead of \(3,\)"),
    ],
)
def test_an_array_that_does_not_match_the_model_is_an_error(
    made: NDArray[Any], like: NDArray[Any], message: str
) -> None:
    with pytest.raises(ParametersError, match=message):
        narrowed(ArrayRecord([made]), like=ArrayRecord([like]))


def test_metrics_that_only_some_clients_report_are_averaged_over_those(federation: MakesFederation) -> None:
    # Flower: says "skipping" and ends the run.
    def train(index: int, message: Message) -> dict[str, Any]:
        own: dict[str, Any] = {"accuracy": 0.25 * index} if index else {"warm": 1.0}
        own["sizes"] = [1.0] * (index + 1)
        return {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": index + 1, **own})}

    strategy = Checked(flower.FedAvg())
    result = strategy.start(federation(train=train), ArrayRecord([np.zeros(1)]), num_rounds=1)
    # (2*0.25 + 3*0.5) / 5 = 0.4
    assert result.train_metrics_clientapp[1] == {"accuracy": 0.4, "warm": 1.0}
    assert [reply.metrics["sizes"] for reply in strategy.history[0].replies] == [[1.0], [1.0] * 2, [1.0] * 3]


def test_the_strategy_aggregates_the_metrics_that_all_clients_report(
    federation: MakesFederation,
) -> None:
    def train(index: int, message: Message) -> dict[str, Any]:
        own: dict[str, Any] = {"accuracy": 0.25} if index else {}
        metrics = MetricRecord({"num-examples": 1, "loss": float(index), **own})
        return {"arrays": message.content["arrays"], "metrics": metrics}

    def worst(contents: list[RecordDict], weighted_by_key: str) -> MetricRecord:
        return MetricRecord({"worst": max(content["metrics"]["loss"] for content in contents)})

    strategy = Checked(flower.FedAvg(train_metrics_aggr_fn=worst))
    result = strategy.start(federation(train=train), ArrayRecord([np.zeros(1)]), num_rounds=1)
    assert result.train_metrics_clientapp[1] == {"worst": 2.0, "accuracy": 0.25}


def test_additional_records_and_other_record_names_are_accepted(federation: MakesFederation) -> None:
    # Flower: says "skipping" and ends the run.
    def train(index: int, message: Message) -> dict[str, Any]:
        records = {"model": message.content["arrays"], "m": MetricRecord({"num-examples": 1, "loss": 2.0})}
        if index == 0:
            return {
                **records,
                "gradients": ArrayRecord({"g": Array(np.zeros(9))}),
                "timing": MetricRecord({"seconds": 1.0}),
            }
        return records if index == 1 else {"arrays": records["model"], "metrics": records["m"]}

    strategy = Checked(flower.FedAvg())
    result = strategy.start(federation(train=train), ArrayRecord([np.zeros(1)]), num_rounds=1)
    assert result.train_metrics_clientapp[1] == {"loss": 2.0}
    assert [list(reply.records) for reply in strategy.history[0].replies] == [["gradients", "timing"], [], []]


def trains_beside_momentum(arrays_key: str, weight_key: str) -> Callable[[int, Message], dict[str, Any]]:
    """Make clients whose replies have two ArrayRecords: the weighted mean is (1*0 + 3*4) / 4 = 3."""

    def train(index: int, message: Message) -> dict[str, Any]:
        return {
            "momentum": ArrayRecord([np.zeros(1)]),
            arrays_key: ArrayRecord([np.full(1, 4.0 * index)]),
            "metrics": MetricRecord({weight_key: 1 + 2 * index}),
        }

    return train


def test_the_keys_of_weight_and_arrays_are_those_of_the_wrapped_strategy(federation: MakesFederation) -> None:
    train = trains_beside_momentum("model", "rows")
    inner = flower.FedAvg(fraction_evaluate=0.0, weighted_by_key="rows", arrayrecord_key="model")
    wrapped = flower.DifferentialPrivacyClientSideFixedClipping(inner, 0.0, 1.0, 2)
    result = Checked(wrapped).start(federation(train=train, nodes=2), ArrayRecord([np.zeros(1)]), num_rounds=1)
    np.testing.assert_array_equal(result.arrays["0"].numpy(), [3.0])


class Bare(flower.Strategy):
    """Has no settings, and delegates to another strategy that Checked cannot find."""

    def __init__(self) -> None:
        self.worker = flower.FedAvg(fraction_evaluate=0.0)

    def configure_train(self, *arguments: Any) -> Any:
        return self.worker.configure_train(*arguments)

    def aggregate_train(self, *arguments: Any) -> Any:
        return self.worker.aggregate_train(*arguments)

    def configure_evaluate(self, *arguments: Any) -> Any:
        return self.worker.configure_evaluate(*arguments)

    def aggregate_evaluate(self, *arguments: Any) -> Any:
        return self.worker.aggregate_evaluate(*arguments)

    def summary(self) -> None:
        self.worker.summary()


def test_a_strategy_without_settings_uses_flowers_default_keys(federation: MakesFederation) -> None:
    train = trains_beside_momentum("arrays", "num-examples")
    result = Checked(Bare()).start(federation(train=train, nodes=2), ArrayRecord([np.zeros(1)]), num_rounds=1)
    np.testing.assert_array_equal(result.arrays["0"].numpy(), [3.0])


@over_every_strategy
def test_every_client_failing_ends_the_run(make: Callable[[], flower.Strategy], federation: MakesFederation) -> None:
    # Flower: start() returns normally, with no arrays.
    def train(index: int, message: Message) -> dict[str, Any]:
        raise OSError("the disk is full")

    with pytest.raises(
        RoundError, match="accepted 0 of 3 train replies, needs at least 1:\n  nodes 1000, 1001, 1002: OS"
    ):
        Checked(make()).start(federation(train=train), ArrayRecord([np.zeros(1)]))


def test_a_silent_node_is_named(federation: MakesFederation) -> None:
    class Deaf(LocalGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            return [r for r in super().send_and_receive(messages) if r.metadata.src_node_id != 1001]

    grid = federation(train=good)
    grid.__class__ = Deaf
    strategy = Checked(flower.FedMedian(fraction_evaluate=0.0))
    strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    (failure,) = strategy.history[0].failures
    assert (failure.node_id, failure.reason) == (
        1001,
        "no reply before the timeout, or its message could not be delivered",
    )


def test_fewer_replies_than_required_end_the_run(federation: MakesFederation) -> None:
    sent = ArrayRecord([np.full(3, 0.5), np.ones(2)])
    grid = federation(train=with_bad_ones, nodes=GOOD + 2)
    with pytest.raises(RoundError, match=f"accepted {GOOD} of {GOOD + 2} train replies, needs at least {GOOD + 1}"):
        Checked(flower.FedMedian(), min_replies=GOOD + 1).start(grid, sent)
    with pytest.raises(ValueError, match="min_replies=99, but only 9 nodes train"):
        Checked(flower.FedMedian(), min_replies=99).start(grid, sent)


class Makes(flower.FedAvg):
    """Returns the same model for any replies."""

    def __init__(self, made: ArrayRecord | None) -> None:
        super().__init__()
        self.made = made

    def aggregate_train(self, server_round: int, replies: Any) -> tuple[ArrayRecord | None, MetricRecord | None]:
        return self.made, None


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "Makes made no model from 3 replies; the log may say why"),
        (ArrayRecord(), "Makes made no model from 3 replies"),
        (ArrayRecord([np.array([np.nan])]), "Makes made an unusable model from 3 replies: array '0' holds NaN or inf"),
        (ArrayRecord([np.array([1e39])]), "unusable model from 3 replies: array '0' holds NaN or infinity"),
        (ArrayRecord([np.zeros(2, np.float32)]), r"unusable .*: array '0' has shape \(2,\) instead of \(1,\)"),
        (ArrayRecord({"w": Array(np.zeros(1))}), r"the arrays are \['w'\] instead of \['0'\]"),
        (ArrayRecord([np.array(["a"])]), "array '0' is <U1 instead of float32"),
    ],
)
def test_a_strategy_that_makes_no_usable_model_ends_the_run(
    made: ArrayRecord | None, message: str, federation: MakesFederation
) -> None:
    # Flower: continues with NaN, with another shape, or with the old model.
    with pytest.raises(RoundError, match=message) as caught:
        Checked(Makes(made)).start(federation(train=good), ArrayRecord([np.zeros(1, np.float32)]))
    np.testing.assert_array_equal(caught.value.result.arrays["0"].numpy(), np.zeros(1, np.float32))


@pytest.mark.parametrize(
    ("name", "key", "missing"),
    [
        ("QFedAvg", "loss", [None, np.nan, np.inf, -1.0, [1.0]]),
        ("client-side adaptive clipping", "norm_bit", [None, [1]]),
    ],
)
def test_a_reply_without_the_metric_that_a_strategy_needs_does_not_end_the_run(
    name: str, key: str, missing: list[Any], federation: MakesFederation
) -> None:
    def train(index: int, message: Message) -> dict[str, Any]:
        record = metrics(index)
        if index < len(missing):
            record = MetricRecord({k: value for k, value in record.items() if k != key})
            record.update({} if missing[index] is None else {key: missing[index]})
        return {**good(index, message), "metrics": record}

    strategy = Checked(EVERY_STRATEGY[name]())
    grid = federation(train=train, nodes=GOOD + len(missing))
    result = strategy.start(grid, ArrayRecord([np.zeros(3), np.zeros((2, 3))]), num_rounds=1)
    assert np.isfinite(result.arrays["0"].numpy()).all()
    kind = type(strategy.strategy).__name__
    assert {failure.node_id: failure.reason for failure in strategy.history[0].failures} == {
        1000 + index: f"metric {key!r} must be a finite number >= 0, as {kind} needs it"
        for index in range(len(missing))
    }


def test_flowers_wrappers_can_wrap_checked(federation: MakesFederation) -> None:
    strategy = Checked(flower.FedAvg())
    private = flower.DifferentialPrivacyClientSideFixedClipping(strategy, 0.0, 1.0, 3)
    result = private.start(federation(train=good), ArrayRecord([np.full(3, 0.5)]), num_rounds=2)
    assert [(entry.server_round, entry.phase) for entry in strategy.history] == [
        (1, "train"), (1, "evaluate"), (2, "train"), (2, "evaluate"),
    ]  # fmt: skip
    # Each reply is matched to a message of this round.
    assert all(reply.seconds >= 0 for entry in strategy.history for reply in entry.replies)
    assert np.isfinite(result.arrays["0"].numpy()).all()


@pytest.mark.parametrize("name", ["arrays", "adapter"])
def test_a_custom_strategy_may_send_and_return_arrays_other_than_the_model(
    name: str, federation: MakesFederation
) -> None:
    class Adapters(flower.FedAvg):
        """Trains the second array only, and puts it back into the model."""

        def configure_train(self, server_round: int, arrays: ArrayRecord, config: Any, grid: Any) -> Any:
            self.base = arrays
            part = RecordDict({name: ArrayRecord({"1": arrays["1"]})})
            return [Message(part, node, "train") for node in grid.get_node_ids()]

        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            made, metrics = super().aggregate_train(server_round, replies)
            return ArrayRecord({**self.base, "1": made["1"]}), metrics

    def train(index: int, message: Message) -> Mapping[str, Any]:
        assert list(message.content[name]) == ["1"]
        return {name: ArrayRecord({"1": Array(np.full(2, float(index)))}), "metrics": metrics(0)}

    sent = ArrayRecord([np.ones(5), np.zeros(2), np.array(7)])
    result = Checked(Adapters()).start(federation(train=train), sent, num_rounds=2)
    np.testing.assert_array_equal(result.arrays["0"].numpy(), np.ones(5))
    np.testing.assert_array_equal(result.arrays["1"].numpy(), [1.0, 1.0])
    np.testing.assert_array_equal(result.arrays["2"].numpy(), np.array(7), strict=True)


def test_a_custom_strategy_may_continue_with_the_part_of_the_model_that_it_sends(federation: MakesFederation) -> None:
    class Halves(flower.FedAvg):
        def configure_train(self, server_round: int, arrays: ArrayRecord, config: Any, grid: Any) -> Any:
            part = RecordDict({"arrays": ArrayRecord({"0": arrays["0"]}), "config": config})
            return [Message(part, node, "train") for node in grid.get_node_ids()]

    sent = ArrayRecord([np.zeros(2, np.int8), np.zeros(3)])
    result = Checked(Halves()).start(federation(train=good), sent, num_rounds=2)
    assert [(name, array.dtype) for name, array in result.arrays.items()] == [("0", "int8")]


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (None, "strategy must be a flwr.serverapp.strategy.Strategy, got NoneType"),
        (flower.FedAvg, "strategy must be a flwr.serverapp.strategy.Strategy, got ABCMeta"),
        (FedAvg(), "FedAvg already checks its replies; use it directly"),
        (FedProx(proximal_mu=1.0), "FedProx already checks its replies"),
        (Checked(flower.FedAvg()), "Checked already checks its replies"),
        (flower.FedXgbBagging(), "FedXgbBagging grows trees, but Checked needs a model of constant size; use"),
    ],
)
def test_an_object_that_cannot_be_checked_is_refused(strategy: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Checked(strategy)


@pytest.mark.parametrize(("fraction", "asked"), [(1.0, 2), (0.0, 0)])
def test_the_strategy_sees_every_round_even_if_no_node_is_sampled(fraction: float, asked: int) -> None:
    heard = []

    class Hears(flower.FedAvg):
        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            heard.append(("train", server_round, len(list(replies))))
            return super().aggregate_train(server_round, replies)

        def aggregate_evaluate(self, server_round: int, replies: Any) -> Any:
            heard.append(("evaluate", server_round, len(list(replies))))
            return super().aggregate_evaluate(server_round, replies)

    class Client:
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 1, {}

        def evaluate(self, parameters: Any, config: Any) -> Any:
            return 0.0, 1, {}

    strategy = Checked(Hears(fraction_train=fraction, fraction_evaluate=fraction))
    with LocalGrid(client_app(lambda context: Client()), 2) as grid:
        result = strategy.start(grid, ArrayRecord([np.ones(2)]), num_rounds=2)
    np.testing.assert_array_equal(result.arrays["0"].numpy(), [1.0, 1.0])
    assert heard == [(phase, server_round, asked) for server_round in (1, 2) for phase in ("train", "evaluate")]
    assert [len(entry.replies) for entry in strategy.history] == [asked] * (4 if asked else 0)
