"""What a strategy remembers from round to round: own strategies say it, Flower's are listed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import flwr.serverapp.strategy
from flwr.serverapp.strategy import Strategy

__all__ = ["FLOWER_STATE", "Stateful", "read_state", "strategy_names", "write_state"]

# Attributes that Flower's strategies set while they run. None of them is a setting.
_SERVER_OPTIMIZER = ("current_arrays", "m_t", "v_t")
FLOWER_STATE: Mapping[str, tuple[str, ...]] = {
    "Bulyan": (),
    "DifferentialPrivacyClientSideAdaptiveClipping": ("clipping_norm",),
    "DifferentialPrivacyClientSideFixedClipping": (),
    "DifferentialPrivacyServerSideAdaptiveClipping": ("clipping_norm", "current_arrays"),
    "DifferentialPrivacyServerSideFixedClipping": ("current_arrays",),
    "FedAdagrad": _SERVER_OPTIMIZER,
    "FedAdam": _SERVER_OPTIMIZER,
    "FedAvg": (),
    "FedAvgM": ("current_arrays", "momentum_vector"),
    "FedMedian": (),
    "FedProx": (),
    "FedTrimmedAvg": (),
    "FedYogi": _SERVER_OPTIMIZER,
    "Krum": (),
    "MultiKrum": (),
    "QFedAvg": ("current_arrays",),
}


@runtime_checkable
class Stateful(Protocol):
    """A strategy that says what it must remember to resume."""

    def state_dict(self) -> dict[str, Any]:
        """Return its state, without its settings."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""


def strategy_names(strategy: Strategy) -> list[str]:
    """Return the class of a strategy and of each that it wraps, the outermost first."""
    return [type(link).__name__ for link in _chain(strategy)]


def read_state(strategy: Strategy) -> list[dict[str, Any]]:
    """Return the state of a strategy and of each that it wraps, the outermost first.

    Raises:
        TypeError: One of them does not say what it must remember.
    """
    return [_read(link) for link in _chain(strategy)]


def write_state(strategy: Strategy, states: list[dict[str, Any]]) -> None:
    """Restore what `read_state` returned."""
    for link, state in zip(_chain(strategy), states, strict=True):
        if isinstance(link, Stateful):
            link.load_state_dict(state)
        else:
            for name, value in state.items():
                setattr(link, name, value)


def _chain(strategy: Strategy) -> Iterator[Strategy]:
    link: object = strategy
    while isinstance(link, Strategy):
        yield link
        link = getattr(link, "strategy", None)


def _read(strategy: Strategy) -> dict[str, Any]:
    if isinstance(strategy, Stateful):
        return strategy.state_dict()
    name = type(strategy).__name__
    if type(strategy) is not getattr(flwr.serverapp.strategy, name, None) or name not in FLOWER_STATE:
        raise TypeError(
            f"checkpoint_dir needs to know what {name} remembers between rounds; give it state_dict() and "
            "load_state_dict(state), which return and restore that as a dictionary"
        )
    if getattr(strategy, "accountant", None) is not None:
        raise TypeError(
            f"checkpoint_dir cannot save the privacy accountant of {name}; run it without checkpoint_dir, or without "
            "accountant"
        )
    return {attribute: getattr(strategy, attribute, None) for attribute in FLOWER_STATE[name]}
