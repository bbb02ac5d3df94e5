"""Flower's own mods around a NumPy client, for training, for evaluation, or for both."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import flwr.serverapp.strategy as flower
import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message
from flwr.client import NumPyClient
from flwr.client.mod import secagg_mod, secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import (
    LocalDpMod,
    adaptiveclipping_mod,
    arrays_size_mod,
    fixedclipping_mod,
    message_size_mod,
)
from flwr.common import ndarrays_to_parameters
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg as LegacyFedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid, ServerApp

from flskew import FedAvg, LocalGrid, client_app, simulate
from flskew.strategies import Checked

CLIP = 2.0


class Far:
    """Moves each of four weights by 3, a step of norm 6, and evaluates."""

    def fit(self, parameters: Any, config: Any) -> Any:
        return [parameters[0] + np.float32(3)], 10, {"loss": 1.0}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        return 0.5, 10, {"note": "text"}


def run(strategy: Any, **mods: Any) -> Any:
    with LocalGrid(client_app(lambda context: Far(), **mods), 3) as grid:
        return strategy.start(grid, ArrayRecord([np.zeros(4, np.float32)]), num_rounds=2)


def no_noise(strategy: Any) -> Any:
    return flower.DifferentialPrivacyClientSideFixedClipping(strategy, 0.0, CLIP, 3)


def adaptive(strategy: Any) -> Any:
    return flower.DifferentialPrivacyClientSideAdaptiveClipping(
        strategy, 0.0, 3, initial_clipping_norm=CLIP, clip_norm_lr=1e-12, clipped_count_stddev=0.0
    )


CLIPPING = {
    "fixedclipping_mod": (no_noise, fixedclipping_mod),
    "adaptiveclipping_mod": (adaptive, adaptiveclipping_mod),
    "LocalDpMod": (lambda strategy: strategy, LocalDpMod(CLIP, 0.0, 1.0, 1e-5)),
}


@pytest.mark.parametrize("around", [lambda strategy: strategy, Checked], ids=["bare", "checked"])
@pytest.mark.parametrize("name", CLIPPING)
def test_clipping_in_train_mods_clips_training_and_does_not_affect_evaluation(name: str, around: Any) -> None:
    wrap, mod = CLIPPING[name]
    result = run(around(wrap(flower.FedAvg())), train_mods=[mod])
    # Two rounds, each clipped from norm 6 to 2: each of four weights moves by 2 / sqrt(4) = 1.
    np.testing.assert_allclose(result.arrays.to_numpy_ndarrays()[0], np.full(4, 2.0), rtol=1e-6)
    assert result.evaluate_metrics_clientapp[2] == {"loss": 0.5}


@pytest.mark.parametrize("name", CLIPPING)
def test_clipping_for_both_phases_fails_every_evaluation(name: str) -> None:
    wrap, mod = CLIPPING[name]
    assert run(wrap(flower.FedAvg()), mods=[mod]).evaluate_metrics_clientapp == {}


@pytest.mark.parametrize(
    ("mod", "line"),
    [(message_size_mod, "Outgoing message size: "), (arrays_size_mod, "Total array elements sent: ")],
)
@pytest.mark.parametrize(
    ("argument", "lines"),
    [("mods", {"train": 6, "evaluate": 6}), ("train_mods", {"train": 6}), ("evaluate_mods", {"evaluate": 6})],
)
def test_mods_that_measure_are_called_in_their_phases(
    mod: Any, line: str, argument: str, lines: dict[str, int], log: pytest.LogCaptureFixture
) -> None:
    log.set_level(logging.INFO, "flwr")
    run(FedAvg(), **{argument: [mod]})
    assert sum(message.startswith(line) for message in log.messages) == sum(lines.values())


def test_mods_of_one_phase_are_inside_those_of_both() -> None:
    calls: list[str] = []

    def named(name: str) -> Any:
        def mod(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
            calls.append(name)
            return call_next(message, context)

        return mod

    def run_once(fraction_evaluate: float, fraction_train: float) -> list[str]:
        calls.clear()
        app = client_app(
            lambda context: Far(), mods=[named("both")], train_mods=[named("train")], evaluate_mods=[named("evaluate")]
        )
        strategy = FedAvg(
            fraction_train=fraction_train, fraction_evaluate=fraction_evaluate, min_train_nodes=0,
            min_evaluate_nodes=0, min_available_nodes=1,
        )  # fmt: skip
        with LocalGrid(app, 1) as grid:
            strategy.start(grid, ArrayRecord([np.zeros(4, np.float32)]), num_rounds=1)
        return calls

    assert run_once(0.0, 1.0) == ["both", "train"]
    assert run_once(1.0, 0.0) == ["both", "evaluate"]


def test_a_client_that_only_trains_does_not_disturb_a_mod_that_reads_replies() -> None:
    class OnlyFits:
        fit = Far.fit

    with LocalGrid(client_app(lambda context: OnlyFits(), mods=[message_size_mod, arrays_size_mod]), 2) as grid:
        strategy = FedAvg()
        strategy.start(grid, ArrayRecord([np.zeros(4, np.float32)]), num_rounds=1)
    assert not strategy.history[-1].failures


@pytest.mark.parametrize(
    ("mods", "message"),
    [
        ([None], "train_mods: a mod must be callable, got NoneType"),
        (["clip"], "train_mods: a mod must be callable, got str"),
        ([LocalDpMod], r"train_mods: a mod must be callable, got the class LocalDpMod; use LocalDpMod\(...\)"),
        (fixedclipping_mod, r"train_mods must be a list of mods, got function; .* use train_mods=\[mod\]"),
        ("clip", "train_mods must be a list of mods, got str"),
    ],
)
def test_mods_are_a_list_of_functions(mods: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        client_app(lambda context: Far(), train_mods=mods)


@pytest.mark.parametrize("argument", ["mods", "train_mods", "evaluate_mods"])
@pytest.mark.parametrize("mod", [secagg_mod, secaggplus_mod])
def test_secure_aggregation_is_refused_with_the_reason(mod: Any, argument: str) -> None:
    with pytest.raises(ValueError, match=rf"{mod.__name__} answers .* SecAggPlusWorkflow, .* legacy .* ClientApp\(cli"):
        client_app(lambda context: Far(), **{argument: [mod]})


def test_secure_aggregation_works_in_a_legacy_app_only() -> None:
    """Check the reason and the remedy in the error; if the first part fails, Flower has changed."""

    class Legacy(NumPyClient):
        def fit(self, parameters: Any, config: Any) -> Any:
            return [parameters[0] + 1], 10, {}

    legacy, models = ServerApp(), []

    @legacy.main()
    def main(grid: Grid, context: Context) -> None:
        strategy = LegacyFedAvg(initial_parameters=ndarrays_to_parameters([np.zeros(4)]), fraction_evaluate=0.0)
        old = LegacyContext(context, ServerConfig(num_rounds=2), strategy)
        DefaultWorkflow(fit_workflow=SecAggPlusWorkflow(3, 2))(grid, old)
        models.extend(old.state.array_records["parameters"].to_numpy_ndarrays())

    simulate(legacy, ClientApp(lambda context: Legacy().to_client(), mods=[secaggplus_mod]), 3)
    np.testing.assert_allclose(models[0], np.full(4, 2.0), atol=0.01)  # quantized

    app = ClientApp()

    @app.train(mods=[secaggplus_mod])
    def train(message: Message, context: Context) -> Message:
        raise AssertionError

    with LocalGrid(app, 3) as grid:
        result = flower.FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(4)]), num_rounds=1)
    assert len(result.arrays) == 0
