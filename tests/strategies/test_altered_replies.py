"""Wrappers and mods that change what clients send, around strategies that need it as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message
from flwr.clientapp.mod import LocalDpMod, adaptiveclipping_mod, arrays_size_mod, fixedclipping_mod, message_size_mod
from flwr.serverapp import strategy as flower

from flskew import (
    Checked,
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


class Client:
    """Takes two steps towards its own number."""

    label_counts = (3, 5)

    def __init__(self, context: Context) -> None:
        self.target = partition_id(context) + 1.0

    def fit(self, parameters: Any, config: Any) -> Any:
        term = LocalTerm.from_config(config, parameters)
        for _ in range(2):
            gradients = [array - self.target for array in parameters]
            term.add_gradient(parameters, gradients)
            parameters = [array - 0.5 * gradient for array, gradient in zip(parameters, gradients, strict=True)]
        return parameters, 10, {}


START = ArrayRecord([np.zeros((2, 3)), np.zeros(2)])
Wrap = Callable[[FedAvg], flower.Strategy]
WRAPPERS: Mapping[str, Wrap] = {
    "server-side": lambda inner: flower.DifferentialPrivacyServerSideFixedClipping(inner, 0.0, 1.0, 3),
    "client-side": lambda inner: flower.DifferentialPrivacyClientSideFixedClipping(inner, 0.0, 1.0, 3),
    "adaptive": lambda inner: flower.DifferentialPrivacyServerSideAdaptiveClipping(inner, 0.0, 3),
    "in Checked": lambda inner: Checked(flower.DifferentialPrivacyServerSideFixedClipping(inner, 0.0, 1.0, 3)),
}
REFUSED: Mapping[str, Callable[[], FedAvg]] = {
    "FedDyn": lambda: FedDyn(fraction_evaluate=0.0),
    "Scaffold": lambda: Scaffold(fraction_evaluate=0.0),
    "FedNova": lambda: FedNova(fraction_evaluate=0.0),
    "ClassAware": lambda: FedAvg(fraction_evaluate=0.0, averaging=ClassAware()),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("name", REFUSED)
def test_a_strategy_whose_mean_is_not_plain_is_refused_inside_a_wrapper_for_privacy(name: str, wrap: Wrap) -> None:
    strategy = wrap(REFUSED[name]())
    with (
        LocalGrid(client_app(Client), 3) as grid,
        pytest.raises(ValueError, match=rf"{name}.* cannot run inside another strategy: .* wrap FedAvg\(\)"),
    ):
        strategy.start(grid, START, num_rounds=1)


@pytest.mark.parametrize("strategy", [FedAvg(fraction_evaluate=0.0), FedProx(0.5, 0.0, proximal_mu=0.1)], ids=repr)
def test_a_plain_mean_is_accepted_inside_a_wrapper_for_privacy(strategy: FedAvg) -> None:
    with LocalGrid(client_app(Client), 3) as grid:
        result = WRAPPERS["server-side"](strategy).start(grid, START, num_rounds=1)
    assert len(result.arrays) == 2


def trained(strategy: FedAvg, *mods: Any, num_rounds: int = 2) -> list[Any]:
    config = ConfigRecord({"clipping_norm": 0.5})
    with LocalGrid(client_app(Client, train_mods=mods), 3) as grid:
        return strategy.start(grid, START, num_rounds, train_config=config).arrays.to_numpy_ndarrays()


def halves(message: Message, context: Context, call_next: Any) -> Message:
    """Change the model alone, in place, as a mod that compresses it may do."""
    reply: Message = call_next(message, context)
    record = reply.content["arrays"]
    assert isinstance(record, ArrayRecord)
    for name, array in ArrayRecord([array / 2 for array in record.to_numpy_ndarrays()]).items():
        record[name] = array
    return reply


def forgets(message: Message, context: Context, call_next: Any) -> Message:
    """Send the model alone."""
    reply: Message = call_next(message, context)
    reply.content.pop("flskew-control", None)
    reply.content["arrays"] = ArrayRecord([np.zeros(1)])
    return reply


CHANGING = {
    "fixedclipping_mod": fixedclipping_mod,
    "adaptiveclipping_mod": adaptiveclipping_mod,
    "LocalDpMod": LocalDpMod(0.5, 1.0, 1.0, 1e-5),
    "in place": halves,
    "another record": forgets,
}


@pytest.mark.parametrize("mod", CHANGING.values(), ids=CHANGING)
@pytest.mark.parametrize("name", ["FedDyn", "Scaffold"])
def test_a_mod_that_changes_the_arrays_is_an_error_by_name(name: str, mod: Any) -> None:
    message = f"{name} needs every array of the reply as the client made it, but a mod (changes|refuses) them"
    with pytest.raises(RoundError, match=message):
        trained(REFUSED[name](), mod)


@pytest.mark.parametrize("name", REFUSED)
def test_a_mod_that_only_looks_is_welcome(name: str) -> None:
    found = trained(REFUSED[name](), message_size_mod, arrays_size_mod)
    for mine, other in zip(found, trained(REFUSED[name]()), strict=True):
        assert mine.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", ["FedNova", "ClassAware"])
def test_strategies_without_state_on_the_clients_take_what_mods_make_of_the_arrays(name: str) -> None:
    # Every client clips its update, of norm 0.75 * target * sqrt(8), to 0.5; all have the same direction.
    for array in trained(REFUSED[name](), fixedclipping_mod, num_rounds=1):
        np.testing.assert_allclose(array, 0.5 / np.sqrt(8))
