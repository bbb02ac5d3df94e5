"""Which replies are accepted, and what happens to a round if some are not.

The comments say what Flower's own FedAvg does with the same replies.
"""

from __future__ import annotations

import enum
import logging
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import bfloat16_from_float32, float32_from_bfloat16
from flskew._arrays.records import numpy_from_array, record_from_parameters
from flskew.client import client_app
from flskew.client._replies import DoesNotEvaluateError
from flskew.simulation import LocalGrid
from flskew.strategies import Checked, FedAvg, FedProx, RoundError
from flskew.strategies._checks import BadReplyError, check_reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.strategies.conftest import MakesFederation


ONE_NODE = {"min_train_nodes": 1, "min_evaluate_nodes": 0, "min_available_nodes": 1}


def reply(*values: object, num_examples: float = 1, **metrics: Any) -> dict[str, Any]:
    """Return a reply with its arrays and metrics."""
    return {
        "arrays": ArrayRecord([np.asarray(value) for value in values]),
        "metrics": MetricRecord({"num-examples": num_examples, **metrics}),
    }


def trained(grid: LocalGrid, *sent: object, **arguments: Any) -> tuple[list[NDArray[Any]], FedAvg]:
    """Return the model after one round, and the strategy."""
    strategy = FedAvg(fraction_evaluate=0.0, **arguments)
    result = strategy.start(grid, ArrayRecord([np.asarray(array) for array in sent]), num_rounds=1)
    return result.arrays.to_numpy_ndarrays(), strategy


def reasons(strategy: FedAvg) -> dict[int, str]:
    """Return the reason of each failure of the last round by its node."""
    return {failure.node_id: failure.reason for failure in strategy.history[-1].failures}


def test_the_model_is_the_mean_weighted_by_the_numbers_of_examples(federation: MakesFederation) -> None:
    grid = federation(reply([0.0, 4.0], num_examples=3), reply([8.0, 4.0], num_examples=1))
    (model,), _ = trained(grid, [1.0, 1.0])
    # (3*0 + 1*8) / 4 = 2
    np.testing.assert_array_equal(model, [2.0, 4.0])


def test_a_reply_with_nan_or_infinity_is_dropped_and_does_not_affect_the_model(federation: MakesFederation) -> None:
    # Flower: the model is NaN.
    grid = federation(reply([1.0, np.nan]), reply([3.0, 3.0]), reply([5.0, 5.0]), reply([np.inf, 0.0]))
    (model,), strategy = trained(grid, [0.0, 0.0])
    np.testing.assert_array_equal(model, [4.0, 4.0])
    assert set(reasons(strategy)) == {1000, 1003}
    assert (
        reasons(strategy)[1000] == "array '0' holds NaN or infinity; the client has diverged, lower its learning rate"
    )


def test_finite_arrays_that_overflow_the_mean_end_the_run_without_blaming_a_client(federation: MakesFederation) -> None:
    # Flower: the model is infinite. 0.1 in float32 is slightly more than a tenth.
    grid = federation(*[reply(np.full(2, np.finfo(np.float32).max))] * 10)
    with pytest.raises(RoundError, match="the mean of finite arrays is not finite; they are too large for") as caught:
        trained(grid, np.ones(2, np.float32))
    assert caught.value.failures == ()
    np.testing.assert_array_equal(caught.value.result.arrays["0"].numpy(), [1.0, 1.0])


@pytest.mark.parametrize("count", [0, -5, 0.0, float("nan"), float("inf"), [3], 1e300, 2**53 + 1])
def test_a_reply_whose_count_is_not_a_valid_weight_is_dropped(federation: MakesFederation, count: Any) -> None:
    # Flower: NaN and negative numbers are accepted, a list ends the run.
    grid = federation(reply([1.0], num_examples=count), reply([3.0], num_examples=2))
    (model,), strategy = trained(grid, [0.0])
    np.testing.assert_array_equal(model, [3.0])
    assert reasons(strategy) == {1000: f"num-examples = {count!r}; it must be a number > 0 and at most 2^53"}


def test_the_largest_valid_weight_is_accepted(federation: MakesFederation) -> None:
    (model,), strategy = trained(federation(reply([1.0], num_examples=2**53)), [0.0], **ONE_NODE)
    assert reasons(strategy) == {}
    np.testing.assert_array_equal(model, [1.0])


def test_all_counts_zero_end_the_run_with_the_reasons(federation: MakesFederation) -> None:
    # Flower: ZeroDivisionError.
    grid = federation(reply([1.0], num_examples=0), reply([3.0], num_examples=0))
    with pytest.raises(RoundError, match="round 1: accepted 0 of 2 train replies, needs at least 1:") as caught:
        trained(grid, [0.0])
    reason = "nodes 1000, 1001: num-examples = 0; it must be a number > 0 and at most 2^53"
    assert str(caught.value).splitlines()[1:] == [f"  {reason}"]


@pytest.mark.parametrize(
    ("sent", "bad"),
    [
        ([0.0, 0.0, 0.0], [1.0]),
        ([[0.0, 0.0]] * 3, [1.0, 1.0]),
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]),
        ([0.0], 1.0),
        (0.0, [1.0]),
    ],
)
def test_shapes_that_would_broadcast_are_refused(federation: MakesFederation, sent: object, bad: object) -> None:
    # Flower: broadcasts silently.
    good = np.full(np.shape(sent), 2.0)
    (model,), strategy = trained(federation(reply(good), reply(bad)), sent)
    np.testing.assert_array_equal(model, good)
    assert reasons(strategy) == {1001: f"array '0' has shape {np.shape(bad)}, but {np.shape(sent)} was sent"}


@pytest.mark.parametrize("dtype", ["i4", "i8", "u1", "?", "f2", "f4", "f8", "c8"])
def test_the_model_keeps_its_dtypes(federation: MakesFederation, dtype: str) -> None:
    # Flower: integers and booleans come back as float64.
    value = np.ones(2, dtype)
    (model,), _ = trained(federation(reply(value), reply(value)), np.zeros(2, dtype))
    np.testing.assert_array_equal(model, value, strict=True)


def test_a_count_of_batches_that_all_clients_agree_on_is_unchanged(federation: MakesFederation) -> None:
    # Flower: 7, 7 and 7 can load back as 6.
    replies = [reply([1.0], np.array(7), num_examples=count) for count in (1, 3, 7)]
    (_, batches), _ = trained(federation(*replies), [0.0], np.array(0))
    np.testing.assert_array_equal(batches, np.array(7), strict=True)


def test_a_dtype_other_than_the_one_sent_is_refused(federation: MakesFederation) -> None:
    grid = federation(reply(np.ones(1, np.float32)), reply(np.ones(1, np.float64)))
    (model,), strategy = trained(grid, np.zeros(1, np.float32))
    assert model.dtype == np.float32
    assert reasons(strategy) == {1001: "array '0' is float64, but float32 was sent"}


def test_a_bfloat16_model_is_averaged_in_single_precision_and_stays_bfloat16(federation: MakesFederation) -> None:
    # Flower: TypeError in NumPy.
    def brain(*numbers: float) -> dict[str, Any]:
        arrays = record_from_parameters([bfloat16_from_float32(np.array(numbers, np.float32))])
        return {"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})}

    grid = federation(brain(1.0, 256.0), brain(2.0, 258.0), brain(np.nan, 0.0), reply(np.zeros(2, np.float32)))
    strategy = FedAvg(fraction_evaluate=0.0)
    result = strategy.start(grid, brain(0.0, 0.0)["arrays"], num_rounds=1)
    assert result.arrays["0"].dtype == "bfloat16"
    # (256 + 258) / 2 = 257 is halfway between the bfloat16 numbers 256 and 258, and 256 is the even one.
    np.testing.assert_array_equal(float32_from_bfloat16(numpy_from_array(result.arrays["0"])), [1.5, 256.0])
    assert reasons(strategy) == {
        1002: "array '0' holds NaN or infinity; the client has diverged, lower its learning rate",
        1003: "array '0' is float32, but bfloat16 was sent",
    }


@pytest.mark.parametrize(
    ("sent", "got"),
    [("f8", "f4"), ("f4", "f2"), ("c8", "f4"), ("f8", "i4"), ("f4", "u1"), (">f4", "<f4"), ("i8", "?"), ("c16", "u4")],
)
@pytest.mark.parametrize("strategy", [FedAvg, lambda **arguments: Checked(FlowerFedAvg(**arguments))])
def test_a_dtype_other_than_the_one_sent_is_converted_if_that_is_exact(
    strategy: Any, sent: str, got: str, federation: MakesFederation
) -> None:
    # As under FedAdam and QFedAvg, which send float64 from round 2 on.
    running = strategy(fraction_evaluate=0.0)
    grid = federation(reply(np.zeros(3, got)), reply(np.array([1, 0, 1], got)))
    result = running.start(grid, ArrayRecord([np.zeros(3, sent)]), num_rounds=1)
    assert running.history[0].failures == ()
    half = 0.5 if np.dtype(sent).kind in "fc" else 1  # halves up
    np.testing.assert_array_equal(result.arrays["0"].numpy(), np.array([half, 0, half], sent), strict=True)


@pytest.mark.parametrize(
    ("sent", "got"), [("f8", "i8"), ("f4", "i4"), ("f4", "f8"), ("c16", "u8"), ("i8", "u8"), ("f2", "f4")]
)
def test_a_dtype_whose_conversion_would_lose_digits_is_refused(
    sent: str, got: str, federation: MakesFederation
) -> None:
    _, strategy = trained(federation(reply(np.zeros(1, got)), reply(np.zeros(1, sent))), np.zeros(1, sent))
    assert reasons(strategy) == {1000: f"array '0' is {np.dtype(got)}, but {np.dtype(sent)} was sent"}


def test_a_bfloat16_array_is_converted_to_float32(federation: MakesFederation) -> None:
    brain = record_from_parameters([bfloat16_from_float32(np.array([1.5], np.float32))])
    grid = federation({**reply(), "arrays": brain}, reply(np.array([2.5], np.float32)))
    (model,), _ = trained(grid, np.zeros(1, np.float32))
    np.testing.assert_array_equal(model, np.array([2.0], np.float32), strict=True)


def test_metrics_that_only_some_clients_report_are_averaged_over_those(
    federation: MakesFederation, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Flower: says "skipping" and ends the run.
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)
    grid = federation(reply([1.0], num_examples=1, loss=1.0), reply([1.0], num_examples=3, loss=5.0, accuracy=0.5))
    strategy = FedAvg(fraction_evaluate=0.0)
    result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    # (1*1 + 3*5) / 4 = 4
    assert result.train_metrics_clientapp[1] == {"loss": 4.0, "accuracy": 0.5}
    assert "Metrics averaged over only some of the 2 replies: 'accuracy' (1)" in caplog.text


def test_metrics_that_are_not_finite_are_kept_and_the_log_names_their_senders(
    federation: MakesFederation, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)
    grid = federation(
        reply([1.0], loss=np.nan, by_class=[1.0, np.inf]),
        reply([1.0], loss=2.0, by_class=[1.0, 2.0]),
        reply([1.0], loss=np.nan, by_class=[1.0, 1.0]),
    )
    result = FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    assert np.isnan(result.train_metrics_clientapp[1]["loss"])
    warnings = [record.getMessage() for record in caplog.records if "NaN" in record.getMessage()]
    assert warnings == [
        "\t> NaN or infinite metrics, so their means are not finite: 'loss' of nodes 1000, 1002, "
        "'by_class' of node 1000",
    ]


def test_a_reply_with_a_metric_beyond_64_bits_is_dropped(federation: MakesFederation) -> None:
    # Flower: OverflowError ends the run.
    grid = federation(reply([1.0], steps=10**400), reply([3.0], steps=2))
    (model,), strategy = trained(grid, [0.0])
    np.testing.assert_array_equal(model, [3.0])
    assert reasons(strategy) == {1000: "metric 'steps' has an integer that does not fit 64 bits; send it as a float"}


def test_integers_of_any_record_have_64_bits(federation: MakesFederation) -> None:
    bad = [
        {**reply([1.0]), "more": ConfigRecord({"seed": 2**70})},
        {**reply([1.0]), "more": MetricRecord({"seed": [1, 2**20_000]})},
    ]
    (model,), strategy = trained(federation(*bad, reply([3.0])), [0.0])
    np.testing.assert_array_equal(model, [3.0])
    reason = "'seed' has an integer that does not fit 64 bits; send it as a float"
    assert reasons(strategy) == {1000: f"config entry {reason}", 1001: f"metric {reason}"}


class Level(enum.IntEnum):
    HIGH = 3


class Key(enum.StrEnum):
    LEVEL = "level"


def test_enums_arrive_as_numbers_and_text(federation: MakesFederation, tmp_path: Path) -> None:
    records = {"more": ConfigRecord({Key.LEVEL: [Key.LEVEL]}), Key.LEVEL: MetricRecord({Key.LEVEL: [Level.HIGH]})}
    strategy = FedAvg(fraction_evaluate=0.0)
    grid = federation({**reply([3.0], **{Key.LEVEL: Level.HIGH}), **records}, reply([3.0]))
    strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1, checkpoint_dir=tmp_path)
    received = strategy.history[0].replies[0]
    assert repr(received.metrics) == "{'num-examples': 1, 'level': 3}"
    assert repr(received.records) == "{'more': {'level': ['level']}, 'level': {'level': [3]}}"


def test_a_value_whose_type_the_grid_has_not_made_plain_is_judged_at_once(federation: MakesFederation) -> None:
    # `Level.HIGH in range(...)` takes years.
    federation()  # without one, no message can be made
    message = Message(RecordDict(reply([1.0], level=Level.HIGH)), 1000, "train")
    assert check_reply(message, "num-examples", ArrayRecord([np.zeros(1)]), "arrays").metrics["level"] == 3


def test_an_array_of_another_shape_is_not_converted_before_it_is_refused(federation: MakesFederation) -> None:
    federation()
    message = Message(RecordDict(reply(np.ones(1 << 22, np.bool_))), 1000, "train")
    tracemalloc.start()
    try:
        with pytest.raises(BadReplyError, match=r"has shape \(4194304,\), but \(2,\) was sent"):
            check_reply(message, "num-examples", ArrayRecord([np.zeros(2)]), "arrays")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("within", [-(2**63), 2**63 - 1])
def test_integer_metrics_must_fit_64_bits_alone_or_in_lists(within: int, federation: MakesFederation) -> None:
    beyond = within + (1 if within > 0 else -1)
    replies = [reply([3.0], steps=within), reply([3.0], steps=[0, within])]
    replies += [reply([1.0], steps=beyond), reply([1.0], steps=[0, beyond])]
    _, strategy = trained(federation(*replies), [0.0])
    reason = "metric 'steps' has an integer that does not fit 64 bits; send it as a float"
    assert reasons(strategy) == {1002: reason, 1003: reason}


def test_of_two_metric_records_with_a_weight_the_one_named_metrics_is_used(federation: MakesFederation) -> None:
    first = {"early": MetricRecord({"num-examples": 100, "loss": 9.0}), **reply([1.0], num_examples=1, loss=1.0)}
    strategy = FedAvg(fraction_evaluate=0.0)
    grid = federation(first, reply([2.0], num_examples=3, loss=5.0))
    result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    # (1*1 + 3*5) / 4 = 4
    assert result.train_metrics_clientapp[1] == {"loss": 4.0}


def test_list_metrics_are_averaged_entry_by_entry_and_left_out_if_their_lengths_differ(
    federation: MakesFederation, log: pytest.LogCaptureFixture
) -> None:
    grid = federation(
        reply([1.0], num_examples=1, by_class=[1.0, 2.0], mixed=[1.0], uneven=[1.0]),
        reply([1.0], num_examples=3, by_class=[5.0, 6.0], mixed=1.0, uneven=[1.0, 2.0]),
    )
    strategy = FedAvg(fraction_evaluate=0.0)
    result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    # (1*1 + 3*5) / 4 = 4 and (1*2 + 3*6) / 4 = 5
    assert result.train_metrics_clientapp[1] == {"by_class": [4.0, 5.0]}
    assert [record.getMessage() for record in log.records if "Metrics " in record.getMessage()] == [
        "\t> Metrics left out, as the replies have lists of different lengths: 'mixed', 'uneven'",
    ]


def test_additional_records_are_kept_for_the_user(federation: MakesFederation) -> None:
    # Flower: says "skipping" and ends the run.
    extra = {
        **reply([1.0], loss=1.0),
        "gradients": ArrayRecord([np.zeros(7)]),
        "timing": MetricRecord({"seconds": 3.0}),
        "note": ConfigRecord({"host": "a"}),
    }
    (model,), strategy = trained(federation(extra, reply([3.0])), [0.0])
    np.testing.assert_array_equal(model, [2.0])
    first, second = strategy.history[0].replies
    assert first.records == {key: extra[key] for key in ("gradients", "timing", "note")}
    assert second.records == {}


def test_arrays_under_another_key_are_found_by_their_names(federation: MakesFederation) -> None:
    renamed = reply([1.0])
    renamed["model"] = renamed.pop("arrays")
    both = {**reply([3.0]), "other": ArrayRecord({"x": Array(np.zeros(1))})}
    both["model"] = both.pop("arrays")
    (model,), _ = trained(federation(renamed, both), [0.0])
    np.testing.assert_array_equal(model, [2.0])


def test_two_records_that_could_both_be_the_model_are_refused(federation: MakesFederation) -> None:
    twice = reply([1.0])
    twice["a"] = twice["b"] = twice.pop("arrays")
    _, strategy = trained(federation(twice, reply([3.0])), [0.0])
    assert reasons(strategy)[1000] == "2 ArrayRecords, ['a', 'b']; name the one with the model 'arrays'"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"metrics": MetricRecord({"num-examples": 1})}, "0 ArrayRecords"),
        ({"arrays": ArrayRecord([np.zeros(1)])}, "no MetricRecord with 'num-examples'"),
        ({**reply([1.0]), "metrics": MetricRecord({"n": 1})}, "no MetricRecord with 'num-examples'"),
        (reply(), "arrays missing: ['0']"),
        (reply([1.0], [2.0]), "unexpected arrays: ['1']"),
        ({**reply(), "arrays": ArrayRecord({"w": Array(np.zeros(1))})}, "arrays missing: ['0'], unexpected arrays"),
        (
            {**reply(), "arrays": ArrayRecord({"0": Array("float64", (1,), "numpy.ndarray", b"damaged")})},
            "array '0': its bytes are not a .npy array",
        ),
        ({}, "no MetricRecord with 'num-examples'"),
        (
            {"model": ArrayRecord({"w": Array(np.zeros(1))}), "metrics": MetricRecord({"num-examples": 1})},
            "arrays missing: ['0'], unexpected arrays",
        ),
    ],
)
def test_a_reply_that_lacks_what_is_needed_is_dropped_with_its_reason(
    federation: MakesFederation, bad: dict[str, Any], reason: str
) -> None:
    (model,), strategy = trained(federation(bad, reply([3.0])), [0.0])
    np.testing.assert_array_equal(model, [3.0])
    assert reason in reasons(strategy)[1000]
    assert strategy.history[0].failures[0].traceback == ""


def test_the_order_of_the_arrays_in_a_reply_does_not_matter(federation: MakesFederation) -> None:
    arrays = ArrayRecord({"1": Array(np.array([2.0])), "0": Array(np.array([1.0]))})
    (first, second), _ = trained(federation({**reply(), "arrays": arrays}, reply([1.0], [2.0])), [0.0], [0.0])
    assert (first[0], second[0]) == (1.0, 2.0)


def test_every_client_failing_ends_the_run_with_all_reasons(federation: MakesFederation) -> None:
    # Flower: start() returns normally, with no arrays.
    def train(index: int, message: Message) -> dict[str, Any]:
        raise ValueError(f"no data on {index}")

    with pytest.raises(RoundError) as caught:
        trained(federation(train=train), [0.0])
    for index in range(3):
        assert f"node {1000 + index}: ValueError: no data on {index}" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert [failure.node_id for failure in caught.value.failures] == [1000, 1001, 1002]
    assert caught.value.failures[0].reason == "ValueError: no data on 0"
    assert 'raise ValueError(f"no data on {index}")' in caught.value.failures[0].traceback
    assert (caught.value.server_round, caught.value.phase) == (1, "train")


def test_a_client_that_raises_an_exception_is_named_and_the_round_continues(federation: MakesFederation) -> None:
    def train(index: int, message: Message) -> dict[str, Any]:
        return reply([float(index)]) if index else reply([1.0 / index])

    (model,), strategy = trained(federation(train=train), [0.0])
    np.testing.assert_array_equal(model, [1.5])
    assert reasons(strategy)[1000].startswith("ZeroDivisionError: ")


def test_fewer_replies_than_required_end_the_run(federation: MakesFederation) -> None:
    grid = federation(reply([1.0]), reply([2.0]), reply([np.nan]))
    trained(grid, [0.0], min_replies=2)
    with pytest.raises(
        RoundError, match=r"accepted 2 of 3 train replies, needs at least 3:\n  node 1002: array '0' holds"
    ):
        trained(grid, [0.0], min_replies=3)


@pytest.mark.parametrize("nodes", [1, 3])
def test_requiring_more_replies_than_nodes_is_refused_before_training(nodes: int, federation: MakesFederation) -> None:
    asked = []

    def train(index: int, message: Message) -> dict[str, Any]:
        asked.append(index)
        return reply([1.0])

    with pytest.raises(ValueError, match=f"min_replies=4, but only {nodes} nodes train; lower it, or sample"):
        trained(federation(train=train, nodes=nodes), [0.0], min_replies=4, **ONE_NODE)
    assert asked == []


def test_finite_models_whose_mean_is_not_finite_end_the_run(federation: MakesFederation) -> None:
    # Flower: the model is infinite.
    largest = np.full(1, np.finfo(np.float32).max, np.float32)
    with pytest.raises(RoundError, match="round 1: the mean of finite arrays is not finite; they are too large"):
        trained(federation(*[reply(largest)] * 10), np.zeros(1, np.float32))  # a tenth is rounded up


def test_a_silent_node_is_named(federation: MakesFederation) -> None:
    # Flower: "2 results and 0 failures".
    class Deaf(LocalGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            return super().send_and_receive(messages, timeout=timeout)[::2]

    grid = federation(reply([1.0]), reply([5.0]), reply([3.0]))
    grid.__class__ = Deaf
    (model,), strategy = trained(grid, [0.0])
    np.testing.assert_array_equal(model, [2.0])
    assert reasons(strategy) == {1001: "no reply before the timeout, or its message could not be delivered"}


def test_the_run_ends_if_no_node_replies(federation: MakesFederation) -> None:
    class Mute(LocalGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            return []

    grid = federation(reply([1.0]), reply([3.0]))
    grid.__class__ = Mute
    with pytest.raises(RoundError, match=r"accepted 0 of 2 train replies.*\n  nodes 1000, 1001: no reply before the"):
        trained(grid, [0.0])


def test_replies_are_not_matched_to_the_messages_of_another_round(federation: MakesFederation) -> None:
    grid = federation(reply([1.0]), reply([3.0]))
    strategy = FedAvg()
    strategy.configure_train(1, ArrayRecord([np.zeros(1)]), ConfigRecord(), grid)
    assert strategy.aggregate_train(2, []) == (None, None)
    assert strategy.history == []


def test_a_node_that_the_server_has_lost_is_found_through_its_message(federation: MakesFederation) -> None:
    class Loses(LocalGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            sent = list(messages)
            replies = super().send_and_receive(sent, timeout=timeout)
            if not sent:
                return []
            lost = Message(Error(5, "Node Unavailable"), reply_to=sent[1])
            lost.metadata.__dict__["_src_node_id"] = 1  # as on Flower's SuperLink
            return [lost, replies[2], replies[0]]

    grid = federation(reply([1.0]), reply([5.0]), reply([3.0]))
    grid.__class__ = Loses
    (model,), strategy = trained(grid, [0.0])
    np.testing.assert_array_equal(model, [2.0])
    assert reasons(strategy) == {1001: "Node Unavailable"}
    # In the order of the messages, whichever node answers first.
    assert [entry.node_id for entry in strategy.history[0].replies] == [1000, 1002]


def test_on_a_grid_without_message_ids_replies_are_matched_by_node(federation: MakesFederation) -> None:
    class Unnumbered(LocalGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            sent = list(messages)
            replies = super().send_and_receive(sent, timeout=timeout)
            for message in (*sent, *replies):
                message.metadata.__dict__.update(_message_id="", _reply_to_message_id="")
            return replies

    grid = federation(reply([1.0]), reply([np.nan]), reply([3.0]))
    grid.__class__ = Unnumbered
    (model,), strategy = trained(grid, [0.0])
    np.testing.assert_array_equal(model, [2.0])
    assert set(reasons(strategy)) == {1001}


def test_an_error_without_a_reason_still_has_its_code(federation: MakesFederation) -> None:
    class Fails(LocalGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            sent = list(messages)
            replies = super().send_and_receive(sent, timeout=timeout)
            return [replies[0], Message(Error(2), reply_to=sent[1])] if sent else []

    grid = federation(reply([1.0]), reply([5.0]))
    grid.__class__ = Fails
    assert reasons(trained(grid, [0.0])[1]) == {1001: "error 2 without a reason"}


def test_of_two_replies_to_one_message_the_first_counts(federation: MakesFederation) -> None:
    class Repeats(LocalGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            sent = list(messages)
            replies = super().send_and_receive(sent, timeout=timeout)
            return [*replies, *replies, Message(Error(5, "Node Unavailable"), reply_to=sent[0])] if sent else []

    grid = federation(reply([1.0]), reply([3.0]))
    grid.__class__ = Repeats
    (model,), strategy = trained(grid, [0.0])
    np.testing.assert_array_equal(model, [2.0])
    assert reasons(strategy) == {}


@pytest.mark.parametrize("phase", ["train", "evaluate"])
def test_a_reply_after_a_failure_or_a_refusal_of_the_same_node_is_ignored(
    phase: str, federation: MakesFederation
) -> None:
    class Repeats(LocalGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            sent = list(messages)
            replies = super().send_and_receive(sent, timeout=timeout)
            if not sent or sent[0].metadata.message_type != phase:
                return replies
            refusal = DoesNotEvaluateError(self).reply(sent[1])
            lost = [Message(Error(5, "Node Unavailable"), reply_to=message) for message in sent[:2]]
            return [lost[0], refusal, lost[1], *replies]

    grid = federation(reply([1.0]), reply([3.0]), reply([5.0]))
    grid.__class__ = Repeats
    strategy = FedAvg()
    result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    (entry,) = [entry for entry in strategy.history if entry.phase == phase]
    assert [reply.node_id for reply in entry.replies] == [1002]
    # A client that is asked to train and replies that it does not evaluate has failed.
    assert [failure.node_id for failure in entry.failures] == ([1000, 1001] if phase == "train" else [1000])
    assert entry.failures[0].reason == "Node Unavailable"
    np.testing.assert_array_equal(result.arrays["0"].numpy(), [5.0 if phase == "train" else 3.0])


def test_if_the_messages_are_unknown_replies_must_resemble_the_first_one_with_a_model(
    federation: MakesFederation,
) -> None:
    grid = federation(reply(), reply([1.0]), reply([2.0, 2.0]), reply([3.0]))
    content = RecordDict({"arrays": ArrayRecord([np.zeros(1)]), "config": ConfigRecord()})
    messages = [Message(content, node, "train") for node in grid.get_node_ids()]
    replies = [Message(Error(5, "Node Unavailable"), reply_to=messages[0]), *grid.send_and_receive(messages[1:])]
    strategy = FedAvg()
    arrays, _ = strategy.aggregate_train(1, replies)
    assert arrays is not None
    np.testing.assert_array_equal(arrays["0"].numpy(), [2.0])
    assert strategy.history[0].server_round == 1
    assert [reply.node_id for reply in strategy.history[0].replies] == [1001, 1003]
    # If it is unknown when a node was asked, it is also unknown how long it took.
    assert all(np.isnan(reply.seconds) for reply in strategy.history[0].replies)
    assert [failure.reason for failure in strategy.history[0].failures] == [
        "Node Unavailable",
        "array '0' has shape (2,), but (1,) was sent",
    ]


class SendsRecords(FedAvg):
    """Sends the records that a test defines instead of the model."""

    sends: dict[str, ArrayRecord]

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: Any, grid: Any) -> list[Message]:
        return [Message(RecordDict({**self.sends}), node, "train") for node in grid.get_node_ids()]


@pytest.mark.parametrize("name", ["arrays", "weights"])
def test_a_reply_must_resemble_the_model_that_a_custom_strategy_sends(name: str, federation: MakesFederation) -> None:
    strategy = SendsRecords(fraction_evaluate=0.0)
    strategy.sends = {name: ArrayRecord([np.zeros(1)])}
    if name == "arrays":  # under its usual key, it may be one of several records
        strategy.sends = {"control": ArrayRecord([np.zeros((2, 2))]), **strategy.sends}
    grid = federation(reply([[1.0]]), reply([1.0]), reply([2.0, 2.0]), reply([3.0]))
    result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    np.testing.assert_array_equal(result.arrays["0"].numpy(), [2.0])
    assert set(reasons(strategy)) == {1000, 1002}


def test_clients_that_receive_and_return_no_arrays_do_not_make_an_empty_model(federation: MakesFederation) -> None:
    strategy = SendsRecords(fraction_evaluate=0.0)
    strategy.sends = {}
    grid = federation(*[{"metrics": MetricRecord({"num-examples": 1})}] * 2)
    with pytest.raises(RoundError, match="round 1: accepted 0 of 2 train replies"):
        strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)


@pytest.mark.parametrize("key", ["train_config", "evaluate_config"])
def test_the_callers_configs_are_not_changed(federation: MakesFederation, key: str) -> None:
    # Flower: puts "server-round" into them.
    seen = []

    def answer(index: int, message: Message) -> dict[str, Any]:
        seen.append(dict(message.content["config"]))
        return reply([1.0])

    config = ConfigRecord({"lr": 0.1})
    grid = federation(train=answer, evaluate=answer, nodes=2)
    FedAvg().start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1, **{key: config})  # type: ignore[arg-type]
    assert config == {"lr": 0.1}
    assert {"lr": 0.1, "server-round": 1} in seen


def test_numpy_numbers_in_the_metrics_of_a_numpy_client_reach_the_result() -> None:
    # Flower: TypeError in the client, so an error reply.
    class Client:
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, np.int64(2), {"loss": np.float32(0.5), "n": np.int64(3), "done": True}

    with LocalGrid(client_app(lambda context: Client()), 2) as grid:
        result = FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    assert result.train_metrics_clientapp[1] == {"loss": 0.5, "n": 3.0, "done": 1.0}


@pytest.mark.parametrize("value", ["warm", None])
def test_a_metric_that_cannot_be_sent_does_not_invalidate_the_reply(value: object) -> None:
    class Client:
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 2, {"phase": value}

    strategy = FedAvg(fraction_evaluate=0.0)
    with LocalGrid(client_app(lambda context: Client()), 2) as grid:
        strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    assert [dict(reply.metrics) for reply in strategy.history[0].replies] == [{"num-examples": 2}] * 2


UPDATES = [FedAvg, FedProx, lambda **arguments: Checked(FlowerFedAvg(fraction_evaluate=0.0), **arguments)]


def dropped(strategy: Any) -> dict[int, str]:
    return {failure.node_id: failure.reason for failure in strategy.history[0].failures}


def norms(strategy: Any) -> list[float]:
    return [reply.update_norm for reply in strategy.history[0].replies]


@pytest.mark.parametrize("strategy", UPDATES)
def test_the_history_has_the_norm_of_each_update(strategy: Any, federation: MakesFederation) -> None:
    running = strategy()
    grid = federation(reply([4.0, 1.0], 1), reply([1.0, 1.0], 3), reply([1.0, 5.0], np.int64(1)))
    running.start(grid, ArrayRecord([np.ones(2), np.array(1)]), num_rounds=1)
    assert norms(running) == [3.0, 2.0, 4.0]
    assert all(np.isnan(reply.update_norm) for entry in running.history[1:] for reply in entry.replies)


@pytest.mark.parametrize("strategy", UPDATES)
@pytest.mark.parametrize("lie", [3e38, -3e38, 101.0])
def test_an_update_above_the_limit_is_dropped_with_both_numbers(
    strategy: Any, lie: float, federation: MakesFederation
) -> None:
    running = strategy(max_update_norm=100.0)
    good = [np.float32([100.0, 0.0]), np.float32([0.0, 2.0])]
    grid = federation(*[reply(value) for value in (good[0], np.float32([lie, 0.0]), good[1])])
    result = running.start(grid, ArrayRecord([np.zeros(2, np.float32)]), num_rounds=1)
    np.testing.assert_array_equal(result.arrays["0"].numpy(), [50.0, 1.0])
    assert dropped(running) == {
        1001: f"its update has norm {abs(float(np.float32(lie))):.9g}, above max_update_norm=100"
    }
    assert norms(running) == [100.0, 2.0]


@pytest.mark.parametrize("strategy", UPDATES)
def test_huge_updates_whose_mean_overflows_are_dropped_and_so_is_nan(
    strategy: Any, federation: MakesFederation
) -> None:
    running = strategy(max_update_norm=1.0)
    values = [*[np.finfo(np.float32).max] * 3, np.nan, 0.5]
    grid = federation(*[reply(np.full(1, value, np.float32)) for value in values])
    result = running.start(grid, ArrayRecord([np.zeros(1, np.float32)]), num_rounds=1)
    np.testing.assert_array_equal(result.arrays["0"].numpy(), [0.5])
    assert [reason.split()[0] for reason in dropped(running).values()] == ["its", "its", "its", "array"]


@pytest.mark.parametrize("strategy", UPDATES)
def test_the_run_ends_if_every_update_is_above_the_limit(strategy: Any, federation: MakesFederation) -> None:
    with pytest.raises(RoundError, match=r"nodes 1000, 1001: its update has norm 3, above max_update_norm=2\.5"):
        strategy(max_update_norm=2.5).start(federation(*[reply([3.0])] * 2), ArrayRecord([np.zeros(1)]), num_rounds=1)


@pytest.mark.parametrize("strategy", UPDATES)
def test_without_a_limit_the_log_names_outliers_among_at_least_three_updates(
    strategy: Any, federation: MakesFederation, log: pytest.LogCaptureFixture
) -> None:
    running = strategy()
    for values in ([1.0, 11.0], [1.0, 10.0, 1.0], [0.0, 0.0, 5.0]):
        running.start(federation(*[reply([value]) for value in values]), ArrayRecord([np.zeros(1)]), num_rounds=1)
    assert "median" not in log.text
    grid = federation(*[reply([value]) for value in (-2.0, 2.0, 21.0, 30.0, 1.0)])
    running.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    assert (
        "Updates more than 10 times the median norm, 2: nodes 1002, 1003; the largest is 30, of node 1003" in log.text
    )


@pytest.mark.parametrize("strategy", UPDATES)
@pytest.mark.parametrize(
    ("limit", "error"), [(0, ValueError), (-1.0, ValueError), (np.nan, ValueError), ("1", TypeError), (True, TypeError)]
)
def test_a_limit_that_is_not_a_number_above_zero_is_refused(strategy: Any, limit: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_update_norm must be"):
        strategy(max_update_norm=limit)
    assert "max_update_norm=2.5" in repr(strategy(max_update_norm=2.5))


def test_each_update_is_measured_from_the_model_in_its_own_message(federation: MakesFederation) -> None:
    class Personal(FedAvg):
        """Sends each node its own model."""

        def configure_train(self, server_round: int, arrays: ArrayRecord, config: Any, grid: Any) -> Any:
            messages = list(super().configure_train(server_round, arrays, config, grid))
            for value, message in enumerate(messages):
                message.content = RecordDict({**message.content, "arrays": ArrayRecord([np.full(1, float(value))])})
            return messages

    strategy = Personal(fraction_evaluate=0.0)
    strategy.start(federation(*[reply([5.0])] * 3), ArrayRecord([np.zeros(1)]), num_rounds=1)
    assert norms(strategy) == [5.0, 4.0, 3.0]


@pytest.mark.parametrize("sender", [7, 1000])  # a stranger, and a node that replies to an earlier round
@pytest.mark.parametrize("strategy", UPDATES)
def test_a_reply_to_none_of_the_messages_is_dropped(strategy: Any, sender: int, federation: MakesFederation) -> None:
    class Forges(LocalGrid):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            sent = list(messages)
            replies = super().send_and_receive(sent, timeout=timeout)
            if not sent or sent[0].metadata.message_type != "train":
                return replies
            forged = Message(RecordDict(reply([5.0])), reply_to=sent[0])
            forged.metadata.__dict__.update(_reply_to_message_id="unknown", _src_node_id=sender)
            return [forged, *replies]

    grid = federation(reply([1.0]), reply([3.0]))
    grid.__class__ = Forges
    running = strategy()
    result = running.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    np.testing.assert_array_equal(result.arrays["0"].numpy(), [2.0])
    assert dropped(running) == {sender: "it replies to none of the messages of this round"}


NAMES = ["\x1b[31mloss", "lo\u202ess", "loss\u200b", "loss\n", "\ud800", "", "x" * 201]


@pytest.mark.parametrize("name", NAMES)
def test_a_reply_with_an_unprintable_name_is_dropped(name: str, federation: MakesFederation) -> None:
    good = reply([3.0])
    bad = [
        reply([1.0], **{name: 1.0}), {**reply([1.0]), name: ConfigRecord()},
        {**reply([1.0]), "flskew": ConfigRecord({"assignment": name})},
    ]  # fmt: skip
    (model,), strategy = trained(federation(*bad, good), [0.0])
    np.testing.assert_array_equal(model, [3.0])
    rule = "is empty, longer than 200 characters, or holds characters that cannot be printed; rename it"
    assert reasons(strategy) == {
        1000: f"the metric name {name[:200]!r} {rule}",
        1001: f"the record name {name[:200]!r} {rule}",
        1002: f"flskew.assignment = {name[:200]!r}; it must be an assignment's fingerprint",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_client_leaves_out_a_metric_whose_name_cannot_be_printed(name: str) -> None:
    class Client:
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 1, {name: 1.0, "accuracy": 0.5}

    strategy = FedAvg(fraction_evaluate=0.0)
    with LocalGrid(client_app(lambda context: Client()), 2) as grid:
        result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    assert strategy.history[0].failures == ()
    assert result.train_metrics_clientapp[1] == {"accuracy": 0.5}


def test_client_texts_in_the_log_and_in_errors_are_short_and_have_no_escapes(
    federation: MakesFederation, log: pytest.LogCaptureFixture
) -> None:
    attack = "\x1b[2J\x9b2J\x1b]0;title\x07\u202e\u200b\r" + "x" * 10_000
    bad = [
        {**reply([1.0]), "arrays": ArrayRecord({attack: Array(np.zeros(1))})},
        {**reply([1.0]), "arrays": ArrayRecord({"0": Array(attack, (1,), "numpy.ndarray", b"")})},
        {**reply([1.0]), "arrays": ArrayRecord({"0": Array("float64", (1,), attack, b"")})},
        reply([1.0], num_examples=[7] * 10_000),  # type: ignore[arg-type]
        {**reply([1.0]), "flskew": ConfigRecord({"unsent-metrics": [attack, "phase"]})},
    ]
    with pytest.raises(RoundError) as caught:
        trained(federation(*bad), [0.0], min_replies=2)
    for line in (*str(caught.value).splitlines(), *(record.getMessage() for record in log.records)):
        assert len(line) < 600
        assert line.replace("\t", "").isprintable()
    assert "only numbers can be sent: 'phase'" in log.text


def test_ten_thousand_unknown_metrics_share_one_line(
    federation: MakesFederation, log: pytest.LogCaptureFixture
) -> None:
    many = [{f"{index}-{number}": np.nan for number in range(5_000)} for index in range(2)]
    trained(federation(*[reply([1.0], **metrics) for metrics in many], reply([1.0])), [0.0])
    lines = [record.getMessage() for record in log.records if record.levelname == "WARNING"]
    assert [line.split(":")[0].strip() for line in lines] == [
        "> NaN or infinite metrics, so their means are not finite",
        "> Metrics averaged over only some of the 3 replies",
    ]
    assert all(line.endswith("9,990 more") and len(line) < 600 for line in lines)
    assert max(len(record.getMessage()) for record in log.records) < 2100


def test_a_metric_that_clients_could_not_send_is_logged_once_in_a_run(
    federation: MakesFederation, log: pytest.LogCaptureFixture
) -> None:
    def answer(index: int, message: Message) -> dict[str, Any]:
        names = [["phase"], ["phase", "mode"], []][index]
        number = message.content["config"]["server-round"]
        unsent: Any = [*names, f"late-{number}"] if index == 1 and number == 2 else names
        return {**reply([1.0]), "flskew": ConfigRecord({"unsent-metrics": unsent if index < 2 else b"no list"})}

    strategy = FedAvg()
    strategy.start(federation(train=answer, evaluate=answer), ArrayRecord([np.zeros(1)]), num_rounds=3)
    assert [record.getMessage() for record in log.records if "only numbers" in record.getMessage()] == [
        "\t> Metrics left out by clients, since only numbers can be sent: 'phase', 'mode'",
        "\t> Metrics left out by clients, since only numbers can be sent: 'late-2'",
    ]
    assert all(not entry.failures for entry in strategy.history)


def test_ten_thousand_clients_that_fail_in_the_same_way_share_one_line(log: pytest.LogCaptureFixture) -> None:
    class Fails:
        def fit(self, parameters: Any, config: Any) -> Any:
            raise OSError("no disk")

    with LocalGrid(client_app(lambda context: Fails()), 10_000) as grid, pytest.raises(RoundError) as caught:
        trained(grid, [0.0])
    alike = "nodes 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009 and 9,990 more: "
    (reason,) = {failure.reason for failure in caught.value.failures}
    assert reason.startswith("OSError at test_replies.py:")
    assert str(caught.value).splitlines()[1:] == [f"  {alike}{reason}"]
    assert [record.getMessage() for record in log.records if record.levelname == "WARNING"] == [
        f"\t> Dropped {alike}{reason}",
    ]
    assert [record.levelname for record in log.records].count("ERROR") == 1


def test_evaluation_replies_are_checked_too(federation: MakesFederation) -> None:
    def evaluate(index: int, message: Message) -> dict[str, Any]:
        counts = [4, -1, 12]
        own = {"accuracy": 0.5} if index == 2 else {}
        return {"metrics": MetricRecord({"num-examples": counts[index], "loss": float(index), **own})}

    strategy = FedAvg()
    grid = federation(reply([1.0]), reply([1.0]), reply([1.0]), evaluate=evaluate)
    result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    # (4*0 + 12*2) / 16 = 1.5
    assert result.evaluate_metrics_clientapp[1] == {"loss": 1.5, "accuracy": 0.5}
    assert reasons(strategy) == {1001: "num-examples = -1; it must be a number > 0 and at most 2^53"}
    assert [entry.phase for entry in strategy.history] == ["train", "evaluate"]


def test_the_error_of_a_legacy_numpyclient_app_says_what_to_do() -> None:
    from flwr.client import NumPyClient
    from flwr.clientapp import ClientApp

    class Old(NumPyClient):
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 1, {}

    app = ClientApp(client_fn=lambda context: Old().to_client())
    with LocalGrid(app, 2) as grid, pytest.raises(RoundError, match=r"flskew.client_app\(client_fn\)"):
        FedAvg().start(grid, ArrayRecord([np.zeros(1)]))
    with LocalGrid(app, 2) as grid, pytest.raises(RoundError, match=r"flskew.client_app\(client_fn\)"):
        FedAvg(fraction_train=0.0, min_evaluate_replies=1).start(grid, ArrayRecord([np.zeros(1)]))


def test_flowers_own_fedavg_runs_on_the_same_grid_and_gives_the_same_model(federation: MakesFederation) -> None:
    rng = np.random.default_rng(0)
    replies = [reply(rng.standard_normal((3, 4)).astype(np.float32), num_examples=n, loss=0.1 * n) for n in (1, 5, 9)]
    sent = ArrayRecord([np.zeros((3, 4), np.float32)])
    ours = FedAvg(fraction_evaluate=0.0).start(federation(*replies), sent, num_rounds=1)
    flowers = FlowerFedAvg(fraction_evaluate=0.0)
    # Flower shuffles the nodes, so it may sum in another order; use the same order here.
    grid = federation(*replies)
    messages = flowers._construct_messages(RecordDict({"arrays": sent}), grid.get_node_ids(), "train")
    arrays, metrics = flowers.aggregate_train(1, grid.send_and_receive(messages))
    assert arrays is not None
    assert ours.arrays["0"].data == arrays["0"].data
    assert ours.train_metrics_clientapp[1] == metrics
