"""What a study compares: a strategy, and what it tells the clients."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from flwr.app import ConfigRecord
from flwr.serverapp.strategy import Strategy

from flskew._util.values import Value
from flskew.strategies import Checked
from flskew.strategies._flower_state import nested
from flskew.strategies._pipeline import Pipeline

__all__ = ["Method"]

_RESERVED = ("seed", "server-round")


class Method(Value):
    """A strategy, and settings that its clients receive with each message.

    Use it for methods that differ in the client, such as in its loss or its number of epochs. If they differ only in
    the strategy, pass the strategy itself.

    Args:
        strategy: A strategy of this package, such as `FedAvg()` or `Checked(FedAdam())`. It is copied for each run, so
            this object never trains.
        config: Sent to the clients, whose `fit` finds it in its `config`; "seed" and "server-round" are reserved.

    Raises:
        TypeError: `strategy` is Flower's own, without checks, or a value of `config` cannot be sent.
        ValueError: `config` sets a name that is reserved.

    Examples:
        >>> from flskew import FedAvg
        >>> from flskew.study import Method
        >>> Method(FedAvg(fraction_train=0.1), {"loss": "fedlc"})
        Method(strategy=FedAvg(fraction_train=0.1, seed=42), config={'loss': 'fedlc'})
    """

    def __init__(self, strategy: Strategy, config: Mapping[str, object] | None = None) -> None:
        self.strategy = _checked(strategy)
        self.config = {
            name: value.item() if isinstance(value, np.generic) else value for name, value in dict(config or {}).items()
        }
        taken = [name for name in _RESERVED if name in self.config]
        if taken:
            raise ValueError(f"config must not contain {taken[0]!r}, which the study sets; choose another name")
        for name, value in self.config.items():
            if not isinstance(name, str):
                raise TypeError(f"config must map names to values, got the name {name!r:.80}")
            try:
                ConfigRecord({name: value})  # type: ignore[dict-item]
            except TypeError as error:
                raise TypeError(
                    f"config[{name!r}] must be a number, a string, bytes, True or False, or a list of one of these, "
                    f"got {value!r:.80}"
                ) from error

    def _record(self) -> ConfigRecord:
        return ConfigRecord(self.config)  # type: ignore[arg-type]


def _checked(strategy: object) -> Pipeline:
    if not isinstance(strategy, Pipeline):
        remedy = "wrap it: flskew.Checked(strategy)" if isinstance(strategy, Strategy) else "e.g. FedAvg()"
        raise TypeError(f"strategy must be one of flskew, got {type(strategy).__name__}; {remedy}")
    if isinstance(strategy, Checked):
        samples = [inner for inner in nested(strategy.strategy) if 0 < getattr(inner, "fraction_train", 1.0) < 1]
        if samples:
            raise TypeError(
                f"{type(samples[0]).__name__} samples clients with Python's global generator, so no run could be "
                "repeated; use fraction_train=1.0"
            )
    return strategy
