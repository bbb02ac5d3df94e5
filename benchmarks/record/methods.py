"""The methods of the record: every strategy of flskew, Flower's in `Checked`, and the losses of `LabelPrior`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from flwr.serverapp import strategy as flower

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
        grid: Its values; the middle one is used where the method was not tuned.
        is_main: Whether it runs first.
        samples: Whether it can sample clients reproducibly; Flower's strategies use Python's global generator.
    """

    make: Make
    parameter: str = ""
    grid: tuple[float, ...] = (0.0,)
    is_main: bool = False
    samples: bool = True
