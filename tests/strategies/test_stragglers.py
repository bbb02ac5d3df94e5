"""Partial work of clients is used, or dropped, even if no reply is left."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower

from flskew.simulation import LocalGrid
from flskew.strategies import Checked, FedAvg, FedProx, RoundError

if TYPE_CHECKING:
    from tests.strategies.conftest import MakesFederation

ZERO = ArrayRecord([np.zeros(1)])
TEN_EPOCHS = ConfigRecord({"local-epochs": 10})


def reply(value: float, num_examples: int, **metrics: Any) -> dict[str, Any]:
    record = MetricRecord({"num-examples": num_examples, **{key.replace("_", "-"): metrics[key] for key in metrics}})
    return {"arrays": ArrayRecord([np.array([value])]), "metrics": record}


MIXED = [
    reply(1.0, 1, local_epochs=10),
    reply(2.0, 2, local_epochs=3),
    reply(4.0, 5),
    reply(8.0, 2, local_epochs=2.5),
    reply(16.0, 1, local_epochs=12),
]


def trained(strategy: FedAvg, grid: LocalGrid, config: ConfigRecord = TEN_EPOCHS, rounds: int = 1) -> float:
    """Return the model, one number, after the last round."""
    return float(strategy.start(grid, ZERO, rounds, train_config=config).arrays["0"].numpy()[0])


def reasons(strategy: FedAvg) -> dict[int, str]:
    return {failure.node_id: failure.reason for failure in strategy.history[-1].failures}


@pytest.mark.parametrize("kind", [FedAvg, FedProx])
def test_partial_work_is_weighted_by_examples_and_not_by_epochs(
    kind: type[FedAvg], federation: MakesFederation
) -> None:
    strategy = kind(fraction_evaluate=0.0)
    # (1*1 + 2*2 + 5*4 + 2*8 + 1*16) / 11
    assert trained(strategy, federation(*MIXED)) == pytest.approx(57 / 11)
    assert reasons(strategy) == {}


@pytest.mark.parametrize("kind", [FedAvg, FedProx])
def test_drop_stragglers_drops_and_names_them(kind: type[FedAvg], federation: MakesFederation) -> None:
    strategy = kind(fraction_evaluate=0.0, drop_stragglers=True)
    # A client that reports nothing is assumed to have finished: (1*1 + 5*4 + 1*16) / 7
    assert trained(strategy, federation(*MIXED)) == pytest.approx(37 / 7)
    assert reasons(strategy) == {
        1001: "straggler: 3 of 10 local epochs",
        1003: "straggler: 2.5 of 10 local epochs",
    }


def test_dropped_stragglers_do_not_affect_the_model(federation: MakesFederation) -> None:
    with_stragglers = trained(FedAvg(fraction_evaluate=0.0, drop_stragglers=True), federation(*MIXED))
    assert with_stragglers == trained(FedAvg(fraction_evaluate=0.0), federation(*MIXED[::2]))


def test_an_epoch_summed_from_parts_is_complete(federation: MakesFederation) -> None:
    done = 0.0
    for _ in range(10):  # from Python 3.12 on, sum([0.1] * 10) is 1
        done += 0.1
    assert done < 1
    grid = federation(reply(1.0, 1, local_epochs=done), reply(5.0, 1, local_epochs=0.999))
    strategy = FedAvg(fraction_evaluate=0.0, drop_stragglers=True)
    assert trained(strategy, grid, ConfigRecord({"local-epochs": 1.0})) == 1.0
    assert reasons(strategy) == {1001: "straggler: 0.999 of 1 local epochs"}


def test_a_client_that_did_no_work_is_a_straggler(federation: MakesFederation) -> None:
    strategy = FedAvg(fraction_evaluate=0.0, drop_stragglers=True)
    assert trained(strategy, federation(reply(1.0, 1, local_epochs=0), reply(5.0, 1))) == 5.0
    assert reasons(strategy) == {1000: "straggler: 0 of 10 local epochs"}


@pytest.mark.parametrize("done", [math.nan, math.inf, -1, [10, 10]])
def test_a_reply_with_an_invalid_number_of_epochs_is_dropped(done: Any, federation: MakesFederation) -> None:
    grid = federation(reply(1.0, 1, local_epochs=done), reply(5.0, 1))
    assert trained(FedAvg(fraction_evaluate=0.0), grid) == 3.0  # without drop_stragglers, it is an ordinary metric
    strategy = FedAvg(fraction_evaluate=0.0, drop_stragglers=True)
    assert trained(strategy, grid) == 5.0
    assert reasons(strategy) == {1000: f"local-epochs = {done!r}; it must be one finite number >= 0"}


@pytest.mark.parametrize(
    "config", [None, {}, *({"local-epochs": wrong} for wrong in (0, -1, math.nan, math.inf, True, "10", [10]))]
)
def test_a_config_without_a_number_of_epochs_is_refused_before_training(
    config: dict[str, Any] | None, federation: MakesFederation
) -> None:
    asked: list[int] = []

    def train(index: int, message: Message) -> dict[str, Any]:
        asked.append(index)
        return reply(1.0, 1)

    with pytest.raises(ValueError, match=r"drop_stragglers=True needs a number > 0 under 'local-epochs' in train"):
        FedAvg(drop_stragglers=True).start(
            federation(train=train), ZERO, train_config=None if config is None else ConfigRecord(config)
        )
    assert asked == []


class PlansByNode(FedAvg):
    """Requests a number of epochs that differs from the config's, or none."""

    plan: dict[int, int]

    def configure_train(self, *arguments: Any) -> list[Message]:
        messages = list(super().configure_train(*arguments))
        for message in messages:
            content = message.content
            config = dict(content["config"])
            del config["local-epochs"]
            if message.metadata.dst_node_id in self.plan:
                config["local-epochs"] = self.plan[message.metadata.dst_node_id]
            message.content = RecordDict({"arrays": content["arrays"], "config": ConfigRecord(config)})
        return messages


def test_each_client_is_compared_with_the_request_in_its_own_message(federation: MakesFederation) -> None:
    grid = federation(*(reply(value, 1, local_epochs=3) for value in (1.0, 2.0, 4.0)))
    strategy = PlansByNode(fraction_evaluate=0.0, drop_stragglers=True)
    strategy.plan = {1000: 3, 1001: 4}
    assert trained(strategy, grid) == 1.0
    assert reasons(strategy) == {
        1001: "straggler: 3 of 4 local epochs",
        1002: "it reports 3 local epochs, but the requested number is unknown",
    }


def test_a_reply_to_an_unknown_message_is_not_assumed_to_be_complete(federation: MakesFederation) -> None:
    grid = federation(*MIXED)
    message = Message(RecordDict({"arrays": ZERO, "config": TEN_EPOCHS}), 1000, "train")
    strategy = FedAvg(fraction_evaluate=0.0, drop_stragglers=True)
    with pytest.raises(
        RoundError, match="node 1000: it reports 10 local epochs, but the requested number is"
    ) as caught:
        strategy.aggregate_train(1, grid.send_and_receive([message]))
    assert caught.value.result.arrays == ArrayRecord()


def test_the_config_may_have_a_custom_key(federation: MakesFederation) -> None:
    strategy = FedAvg(fraction_evaluate=0.0, configrecord_key="settings", drop_stragglers=True)
    assert trained(strategy, federation(*MIXED)) == pytest.approx(37 / 7)


def test_an_evaluation_has_no_stragglers(federation: MakesFederation) -> None:
    def evaluate(index: int, message: Message) -> dict[str, Any]:
        return {"metrics": MetricRecord({"num-examples": 1, "loss": 1.0, "local-epochs": 0})}

    strategy = FedAvg(drop_stragglers=True)
    trained(strategy, federation(evaluate=evaluate, train=lambda index, message: reply(1.0, 1)))
    assert [len(entry.replies) for entry in strategy.history] == [3, 3]


def straggle_in_round_two(index: int, message: Message) -> dict[str, Any]:
    """Add one to the model; in round 2, after 1 of 10 epochs."""
    (array,) = message.content["arrays"].to_numpy_ndarrays()
    done = 1 if message.content["config"]["server-round"] == 2 else 10
    return reply(float(array[0]) + 1, 1, local_epochs=done)


def test_a_round_with_only_stragglers_ends_the_run_unless_a_round_may_be_empty(federation: MakesFederation) -> None:
    strategy = FedAvg(fraction_evaluate=0.0, drop_stragglers=True)
    with pytest.raises(RoundError, match=r"round 2: accepted 0 of 3 train replies.*\n.*straggler: 1 of 10") as caught:
        trained(strategy, federation(train=straggle_in_round_two), rounds=3)
    assert caught.value.result.arrays["0"].numpy().tolist() == [1.0]


@pytest.mark.parametrize("kind", [FedAvg, FedProx])
def test_an_empty_round_leaves_the_model_unchanged_and_is_logged(
    kind: type[FedAvg], federation: MakesFederation, log: pytest.LogCaptureFixture
) -> None:
    strategy = kind(fraction_evaluate=0.0, drop_stragglers=True, min_replies=0)
    models = {}

    def keep(server_round: int, arrays: ArrayRecord) -> None:
        models[server_round] = float(arrays["0"].numpy()[0])

    grid = federation(train=straggle_in_round_two)
    result = strategy.start(grid, ZERO, 3, train_config=TEN_EPOCHS, evaluate_fn=keep)
    assert models == {0: 0.0, 1: 1.0, 2: 1.0, 3: 2.0}
    assert result.arrays["0"].numpy().tolist() == [2.0]
    assert sorted(result.train_metrics_clientapp) == [1, 3]
    assert [(len(entry.replies), len(entry.failures)) for entry in strategy.history] == [(3, 0), (0, 3), (3, 0)]
    warnings = [record.getMessage() for record in log.records if record.levelname == "WARNING"]
    assert "\t> Dropped nodes 1000, 1001, 1002: straggler: 1 of 10 local epochs" in warnings
    assert "\t> Round 2 has no accepted train reply: the model is unchanged" in warnings


def test_a_run_of_empty_rounds_returns_the_initial_model(federation: MakesFederation) -> None:
    def diverges(index: int, message: Message) -> dict[str, Any]:
        return reply(math.nan, 1)

    strategy = FedAvg(fraction_evaluate=0.0, min_replies=0)
    initial = ArrayRecord([np.array([7.0])])
    result = strategy.start(federation(train=diverges), initial, num_rounds=2)
    assert result.arrays["0"].numpy().tolist() == [7.0]
    assert [len(entry.failures) for entry in strategy.history] == [3, 3]


def test_different_splits_end_the_run_even_if_a_round_may_be_empty(federation: MakesFederation) -> None:
    def train(index: int, message: Message) -> dict[str, Any]:
        return {**reply(1.0, 1), "flskew": ConfigRecord({"assignment": str(index)})}

    with pytest.raises(RoundError, match="different splits"):
        trained(FedAvg(min_replies=0), federation(train=train))


def test_a_wrapped_strategy_needs_at_least_one_reply() -> None:
    with pytest.raises(ValueError, match="min_replies must be at least 1, got 0"):
        Checked(flower.FedAvg(), min_replies=0)


@pytest.mark.parametrize("wrong", [None, 1, "yes"])
def test_drop_stragglers_must_be_a_bool(wrong: Any) -> None:
    with pytest.raises(TypeError, match="drop_stragglers must be True or False, got"):
        FedAvg(drop_stragglers=wrong)
