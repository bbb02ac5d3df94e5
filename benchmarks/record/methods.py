"""The methods of the record: every strategy of flskew, Flower's in `Checked`, and the losses of `LabelPrior`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from flwr.serverapp.strategy import (
    FedAdagrad,
    FedAdam,
    FedAvgM,
    FedMedian,
    FedTrimmedAvg,
    FedYogi,
    Strategy,
)

from flskew import Checked, ClassAware, FedAvg, FedDyn, FedNova, FedProx, Scaffold
from flskew.strategies._pipeline import Pipeline
from flskew.study import Method

Make: TypeAlias = Callable[..., Method]


@dataclass(frozen=True)
class Entry:
    """A method with at most one hyper-parameter.

    Attributes:
        make: Makes it from the value and the fraction of the clients that train in a round.
        parameter: Name of the hyper-parameter; empty if there is none.
        grid: Its values.
        is_main: Whether it runs first.
        samples: Whether it can sample clients reproducibly; Flower's strategies use Python's global generator.
    """

    make: Make
    parameter: str = ""
    grid: tuple[float, ...] = (0.0,)
    is_main: bool = False
    samples: bool = True


def _ours(make: Callable[..., Pipeline], argument: str = "", **options: Any) -> Make:
    def made(value: float, fraction: float) -> Method:
        return Method(make(fraction_train=fraction, **_named(argument, value), **options))

    return made


def _flowers(make: Callable[..., Strategy], argument: str = "") -> Make:
    return lambda value, _: Method(Checked(make(**_named(argument, value))))


def _loss(loss: str, has_strength: bool = True) -> Make:
    def made(value: float, fraction: float) -> Method:
        return Method(FedAvg(fraction_train=fraction), {"loss": loss, **_named("strength" * has_strength, value)})

    return made


def _named(argument: str, value: float) -> dict[str, float]:
    return {argument: value} if argument else {}


METHODS: Mapping[str, Entry] = {
    "FedAvg": Entry(_ours(FedAvg), is_main=True),
    "FedProx": Entry(_ours(FedProx, "proximal_mu"), "mu", (0.001, 0.01, 0.1), is_main=True),
    "FedDyn": Entry(_ours(FedDyn, "alpha"), "alpha", (0.03, 0.1, 0.3), is_main=True),
    "SCAFFOLD": Entry(_ours(Scaffold), is_main=True),
    "FedNova": Entry(_ours(FedNova), is_main=True),
    "class-aware FedAvg": Entry(_ours(FedAvg, averaging=ClassAware()), is_main=True),
    "FedAvgM": Entry(
        _flowers(FedAvgM, "server_momentum"), "server_momentum", (0.3, 0.5, 0.7, 0.9), True, samples=False
    ),
    "FedAdam": Entry(_flowers(FedAdam, "eta"), "eta", (0.003, 0.01, 0.03, 0.1, 0.3), True, samples=False),
    "class-aware FedDyn": Entry(_ours(FedDyn, "alpha", averaging=ClassAware()), "alpha", (0.03, 0.1, 0.3)),
    "class-aware SCAFFOLD": Entry(_ours(Scaffold, averaging=ClassAware())),
    "class-aware FedNova": Entry(_ours(FedNova, averaging=ClassAware())),
    "FedAdagrad": Entry(_flowers(FedAdagrad, "eta"), "eta", (0.003, 0.01, 0.03, 0.1, 0.3), samples=False),
    "FedYogi": Entry(_flowers(FedYogi, "eta"), "eta", (0.003, 0.01, 0.03, 0.1, 0.3), samples=False),
    "FedMedian": Entry(_flowers(FedMedian), samples=False),
    "FedTrimmedAvg": Entry(_flowers(FedTrimmedAvg, "beta"), "beta", (0.1, 0.2), samples=False),
    "FedAvg, logit adjustment": Entry(_loss("logit_adjustment"), "tau", (0.5, 1.0, 2.0)),
    "FedAvg, FedRS": Entry(_loss("fedrs"), "alpha", (0.5, 0.7, 0.9)),
    "FedAvg, FedLC": Entry(_loss("fedlc"), "tau", (0.1, 0.5, 1.0)),
    "FedAvg, masking": Entry(_loss("masking", has_strength=False)),
}
