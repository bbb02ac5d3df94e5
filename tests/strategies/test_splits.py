"""Replies of clients that use different splits of one data set are not mixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import strategy as flower

from flskew.strategies import Checked, FedAvg, RoundError

if TYPE_CHECKING:
    from tests.strategies.conftest import Answer, MakesFederation

ZERO = ArrayRecord([np.zeros(1)])
FIRST, SECOND = "a" * 64, "b" * 64
STRATEGIES = [FedAvg, lambda **arguments: Checked(flower.FedAvg(**arguments))]


def answers(splits: Mapping[int, str | None], in_round: int = 1) -> Answer:
    """Reply with a model and, from round `in_round` on, the fingerprint of a split."""

    def answer(index: int, message: Message) -> dict[str, Any]:
        records: dict[str, Any] = {"arrays": ZERO, "metrics": MetricRecord({"num-examples": 1})}
        fingerprint = splits.get(index)
        if fingerprint is not None and message.content["config"]["server-round"] >= in_round:
            records["flskew"] = ConfigRecord({"assignment": fingerprint})
        return records

    return answer


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("splits", [{}, {0: FIRST}, {0: FIRST, 1: FIRST, 2: FIRST}])
def test_replies_of_one_split_or_of_none_are_averaged(
    strategy: Any, splits: dict[int, str | None], federation: MakesFederation
) -> None:
    running = strategy(fraction_evaluate=0.0)
    running.start(federation(train=answers(splits)), ZERO, num_rounds=2)
    for entry in running.history:
        assert [reply.assignment for reply in entry.replies] == [splits.get(index) for index in range(3)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_different_splits_end_the_run_and_the_nodes_of_each_are_named(
    strategy: Any, federation: MakesFederation
) -> None:
    grid = federation(train=answers({0: FIRST, 1: SECOND, 2: FIRST}))
    with pytest.raises(
        RoundError, match="aaaaaaaaaaaa by nodes 1000, 1002; bbbbbbbbbbbb by node 1001; a row may"
    ) as caught:
        strategy().start(grid, ZERO)
    assert caught.value.result.arrays == ZERO


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_split_in_a_later_round_is_compared_with_earlier_rounds(strategy: Any, federation: MakesFederation) -> None:
    late = answers({1: SECOND}, in_round=3)

    def train(index: int, message: Message) -> Mapping[str, Any]:
        return late(index, message) if index else answers({0: FIRST})(index, message)

    with pytest.raises(RoundError, match="round 3: the clients use 2 different splits"):
        strategy(fraction_evaluate=0.0).start(federation(train=train), ZERO, num_rounds=5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_evaluation_on_another_split_is_refused_too(strategy: Any, federation: MakesFederation) -> None:
    grid = federation(train=answers({0: FIRST}), evaluate=answers({1: SECOND}))
    with pytest.raises(RoundError) as caught:
        strategy().start(grid, ZERO)
    assert caught.value.phase == "evaluate"


def test_a_new_run_may_use_another_split(federation: MakesFederation) -> None:
    strategy = FedAvg(fraction_evaluate=0.0)
    for split in (FIRST, SECOND):
        strategy.start(federation(train=answers({0: split})), ZERO, num_rounds=1)


@pytest.mark.parametrize("fingerprint", [b"bytes", 7, "", ["a"]])
def test_a_reply_whose_fingerprint_is_not_text_is_dropped(fingerprint: Any, federation: MakesFederation) -> None:
    strategy = FedAvg(fraction_evaluate=0.0)
    strategy.start(federation(train=answers({1: fingerprint})), ZERO, num_rounds=1)
    (failure,) = strategy.history[0].failures
    assert failure.node_id == 1001
    assert failure.reason == f"flskew.assignment = {fingerprint!r}; it must be an assignment's fingerprint"


def test_a_users_own_record_with_the_same_name_is_ignored(federation: MakesFederation) -> None:
    def train(index: int, message: Message) -> dict[str, Any]:
        own = ConfigRecord({"note": "x"}) if index else MetricRecord({"assignment": 1})
        return {**answers({})(index, message), "flskew": own}

    strategy = FedAvg(fraction_evaluate=0.0)
    strategy.start(federation(train=train), ZERO, num_rounds=1)
    assert len(strategy.history[0].replies) == 3
