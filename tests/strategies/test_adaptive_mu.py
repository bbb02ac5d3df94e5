"""FedProx's rule for mu: up by 0.1 when the loss rises, down by 0.1 after five consecutive decreases."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp import strategy as flower
from hypothesis import given
from hypothesis import strategies as st

from flskew.client import LocalTerm, client_app
from flskew.simulation import LocalGrid
from flskew.strategies import FedProx
from flskew.strategies._adaptive_mu import AdaptiveMu

if TYPE_CHECKING:
    from tests.strategies.conftest import MakesFederation

ZERO = ArrayRecord([np.zeros(1)])


class Scripted:
    """Reports scripted losses, whatever the model, and records each mu that it receives."""

    def __init__(self, train: Sequence[float | None] = (), evaluate: Sequence[float] = ()) -> None:
        self.train, self.evaluations = train, evaluate
        self.sent: dict[int, float] = {}

    def fit(self, parameters: Any, config: Any) -> Any:
        self.sent[config["server-round"]] = config["proximal-mu"]
        LocalTerm.from_config(config, parameters).loss(parameters)
        loss = self.train[config["server-round"] - 1] if self.train else None
        return [parameters[0] + 1], 1, {} if loss is None else {"loss": loss}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        return self.evaluations[config["server-round"] - 1], 1, {}


def sent(client: Scripted, strategy: FedProx) -> dict[int, float]:
    """Return the mu of every round as the clients saw it."""
    rounds = len(client.train) or len(client.evaluations)
    with LocalGrid(client_app(lambda context: client), 2) as grid:
        strategy.start(grid, ZERO, num_rounds=rounds, verbose=True)
    return client.sent


def by_hand(start: Fraction, losses: Sequence[float]) -> list[Fraction]:
    """Return the mu of each round as exact fractions, by writing the changes of the loss as the letters of a word."""
    mus = [start] * min(len(losses), 2)
    word = "".join("u" if loss > before else "d" if loss < before else "-" for before, loss in pairwise(losses))
    # From left to right, a blank replaces every fifth consecutive fall, where mu shrinks.
    for change in re.sub("d{5}", "dddd ", word)[: len(losses) - 2]:
        mus.append(max(mus[-1] + {"u": 1, " ": -1}.get(change, 0) * Fraction(1, 10), Fraction(0)))
    return mus


LOSSES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=60)


@given(start=st.sampled_from(["0", "1/20", "1/10", "3/10", "1"]), losses=LOSSES)
def test_mu_follows_the_rule_for_any_losses(start: str, losses: list[float]) -> None:
    states = [AdaptiveMu(float(Fraction(start)))]
    for loss in losses[:-1]:
        states.append(states[-1].after(loss))
    assert [state.mu for state in states] == [float(mu) for mu in by_hand(Fraction(start), losses)]


def falling(*losses: float) -> AdaptiveMu:
    state = AdaptiveMu(0.5)
    for loss in losses:
        state = state.after(loss)
    return state


def test_mu_shrinks_at_every_fifth_fall_in_a_row() -> None:
    mus = [falling(*range(20, 20 - count, -1)).mu for count in range(1, 13)]
    # The first loss is not a fall; the sixth loss is the fifth fall, and the eleventh the tenth.
    assert mus == [0.5] * 5 + [0.4] * 5 + [0.3] * 2


@pytest.mark.parametrize("start", [0.0, 0.05, 0.1])
def test_mu_never_falls_below_zero(start: float) -> None:
    state = AdaptiveMu(start)
    for loss in range(12, 0, -1):
        state = state.after(loss)
    assert state.mu == 0.0


@pytest.mark.parametrize("between", [5.5, 5.0])
def test_a_rise_or_an_equal_loss_resets_the_count_of_falls(between: float) -> None:
    state = falling(9, 8, 7, 6, 5, between, 4, 3, 2, 1)
    assert state.falls == 4
    assert state.mu == (0.6 if between > 5 else 0.5)


def test_as_many_steps_down_as_up_restore_exactly_zero() -> None:
    state = AdaptiveMu(0.0)
    for loss in (0, 1, 2, 3, *range(2, -13, -1)):
        state = state.after(loss)
        if loss == 3:
            assert state.mu == 0.3
    assert state.mu == 0.0


def test_the_state_of_the_rule_survives_as_plain_numbers() -> None:
    state = falling(3.0, 2.0, 1.0)
    assert AdaptiveMu(**json.loads(json.dumps(dataclasses.asdict(state)))) == state
    assert dataclasses.asdict(state) == {"mu": 0.5, "loss": 1.0, "falls": 2}


RISES = [1.0, 2.0, 3.0, 2.5, 2.6]
MUS = {1: 0.2, 2: 0.2, 3: 0.3, 4: 0.4, 5: 0.4}


def test_mu_follows_only_the_training_loss() -> None:
    strategy = FedProx(proximal_mu=0.2, adaptive_mu="train")
    assert sent(Scripted(RISES, RISES[::-1]), strategy) == MUS
    assert strategy.mu_by_round == MUS


def test_mu_follows_only_the_evaluation_loss() -> None:
    strategy = FedProx(proximal_mu=0.2, adaptive_mu="evaluate")
    assert sent(Scripted(RISES[::-1], RISES), strategy) == MUS


def test_without_the_rule_mu_is_constant() -> None:
    strategy = FedProx(fraction_evaluate=0.0, proximal_mu=0.2)
    assert sent(Scripted(RISES), strategy) == dict.fromkeys(MUS, 0.2)
    assert strategy.mu_by_round == dict.fromkeys(MUS, 0.2)


def test_mu_follows_the_mean_loss_weighted_by_examples(federation: MakesFederation) -> None:
    # Unweighted, the mean falls: (2 + 2) / 2, then (0 + 3) / 2. Weighted by 1 and 3, it rises: 2, then 9 / 4.
    losses = {1: (2.0, 2.0), 2: (0.0, 3.0), 3: (0.0, 3.0)}

    def train(index: int, message: Message) -> dict[str, Any]:
        loss = losses[message.content["config"]["server-round"]][index]
        metrics = MetricRecord({"num-examples": (1, 3)[index], "loss": loss})
        return {"arrays": message.content["arrays"], "metrics": metrics}

    strategy = FedProx(fraction_evaluate=0.0, adaptive_mu="train")
    strategy.start(federation(train=train, nodes=2), ZERO, num_rounds=3)
    assert strategy.mu_by_round == {1: 0.0, 2: 0.0, 3: 0.1}


def test_a_second_start_resets_mu() -> None:
    strategy = FedProx(fraction_evaluate=0.0, proximal_mu=0.2, adaptive_mu="train")
    assert sent(Scripted(RISES), strategy) == sent(Scripted(RISES), strategy) == MUS
    # If the last loss of the previous run were remembered, a first loss of 9 would be a rise.
    assert sent(Scripted([9.0, 8.0]), strategy) == {1: 0.2, 2: 0.2}
    assert strategy.mu_by_round == {1: 0.2, 2: 0.2}
    assert strategy.proximal_mu == 0.2


def test_a_second_run_inside_one_of_flowers_wrappers_resets_mu() -> None:
    strategy = FedProx(fraction_evaluate=0.0, adaptive_mu="train")
    wrapped = flower.DifferentialPrivacyServerSideFixedClipping(strategy, 0.0, 1e9, 2)
    for _ in range(2):
        with LocalGrid(client_app(lambda context: Scripted(RISES)), 2) as grid:
            wrapped.start(grid, ZERO, num_rounds=3)
        assert strategy.mu_by_round == {1: 0.0, 2: 0.0, 3: 0.1}


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, None])
def test_a_loss_that_is_missing_or_not_finite_leaves_mu_unchanged_and_is_logged(
    odd: float | None, log: pytest.LogCaptureFixture
) -> None:
    strategy = FedProx(fraction_evaluate=0.0, proximal_mu=0.2, adaptive_mu="train")
    assert sent(Scripted([1.0, odd, 2.0, 2.0]), strategy) == {1: 0.2, 2: 0.2, 3: 0.2, 4: 0.3}
    assert f"\t> mu stays at 0.2: the train loss of round 2 is {odd}" in log.messages


def test_a_failed_evaluation_leaves_mu_unchanged_and_is_logged(log: pytest.LogCaptureFixture) -> None:
    class Fails(Scripted):
        def evaluate(self, parameters: Any, config: Any) -> Any:
            if config["server-round"] == 2:
                raise RuntimeError("no test rows")
            return super().evaluate(parameters, config)

    strategy = FedProx(proximal_mu=0.2, adaptive_mu="evaluate")
    assert sent(Fails(evaluate=[1.0, 9.0, 2.0, 2.0]), strategy) == {1: 0.2, 2: 0.2, 3: 0.2, 4: 0.3}
    assert "\t> mu stays at 0.2: the evaluate loss of round 2 is None" in log.messages


def test_an_empty_round_leaves_mu_unchanged_even_if_it_is_the_first() -> None:
    class Fails(Scripted):
        def fit(self, parameters: Any, config: Any) -> Any:
            returned = super().fit(parameters, config)
            return returned if config["server-round"] > 1 else ([np.array([np.nan])], *returned[1:])

    strategy = FedProx(fraction_evaluate=0.0, min_replies=0, adaptive_mu="train")
    assert sent(Fails([9.0, 1.0, 2.0, 2.0]), strategy) == {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.1}


def test_clients_that_never_report_a_loss_end_the_run_in_round_one() -> None:
    strategy = FedProx(fraction_evaluate=0.0, adaptive_mu="train")
    with pytest.raises(
        ValueError, match=r"adaptive_mu='train' follows the metric 'loss', but the replies of round 1 have \[\]; report"
    ):
        sent(Scripted([None, 1.0]), strategy)


def test_a_rule_without_a_loss_to_follow_is_refused() -> None:
    with pytest.raises(ValueError, match=r"adaptive_mu='evaluate' needs evaluations, got fraction_evaluate=0.0; rai"):
        FedProx(fraction_evaluate=0.0, adaptive_mu="evaluate")
    with pytest.raises(ValueError, match="adaptive_mu must be one of 'train', 'evaluate', None, got 'loss'"):
        FedProx(adaptive_mu="loss")  # type: ignore[arg-type]


def test_mu_zero_is_fedavg_and_says_so_unless_it_can_grow(log: pytest.LogCaptureFixture) -> None:
    FedProx(adaptive_mu="train")
    FedProx(proximal_mu=0.1)
    assert log.messages == []
    FedProx()
    assert log.messages == ["FedProx with proximal_mu=0.0 is FedAvg"]


def test_changes_of_mu_are_logged(log: pytest.LogCaptureFixture) -> None:
    log.set_level("INFO", logger="flwr")
    sent(Scripted([1.0, 2.0]), FedProx(fraction_evaluate=0.0, adaptive_mu="train"))
    assert "\t> mu changes from 0 to 0.1: the train loss is 2" in log.messages
