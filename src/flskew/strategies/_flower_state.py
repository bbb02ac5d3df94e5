"""What Flower's own strategies remember from round to round, for checkpoints.

Only attributes that outlive a round are listed: those that a strategy resets in each `configure_train`, such as
FedAdam's `current_arrays`, are not. Read from flwr 1.22 and 1.42.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy import Strategy

__all__ = ["call_of", "get_state", "needed_metrics", "nested", "noisy", "set_state"]

_ADAPTIVE = ("m_t", "v_t")
_STATE: dict[type[Strategy], tuple[str, ...]] = {
    flower.FedAvg: (),
    flower.FedProx: (),
    flower.FedMedian: (),
    flower.FedTrimmedAvg: (),
    flower.Krum: (),
    flower.MultiKrum: (),
    flower.Bulyan: (),
    flower.QFedAvg: (),
    flower.FedAvgM: ("current_arrays", "momentum_vector"),
    flower.FedAdagrad: _ADAPTIVE,
    flower.FedAdam: _ADAPTIVE,
    flower.FedYogi: _ADAPTIVE,
    flower.DifferentialPrivacyServerSideFixedClipping: (),
    flower.DifferentialPrivacyClientSideFixedClipping: (),
    flower.DifferentialPrivacyServerSideAdaptiveClipping: ("clipping_norm",),
    flower.DifferentialPrivacyClientSideAdaptiveClipping: ("clipping_norm",),
}
# They draw from NumPy's global generator, unless these attributes are 0.
_NOISE = ("noise_multiplier", "clipped_count_stddev")
_NOISY = (
    flower.DifferentialPrivacyServerSideFixedClipping,
    flower.DifferentialPrivacyClientSideFixedClipping,
    flower.DifferentialPrivacyServerSideAdaptiveClipping,
    flower.DifferentialPrivacyClientSideAdaptiveClipping,
)


@runtime_checkable
class SavesState(Protocol):
    """A strategy that can save and restore what it remembers."""

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""


def nested(strategy: Strategy) -> Iterator[Strategy]:
    """Yield a strategy, then the one in its attribute `strategy`, and so on."""
    seen: list[Strategy] = []
    inner: object = strategy
    while isinstance(inner, Strategy) and all(inner is not known for known in seen):
        seen.append(inner)
        yield inner
        inner = getattr(inner, "strategy", None)


def get_state(strategy: Strategy) -> list[dict[str, Any]]:
    """Return the state of a strategy and of those inside it.

    Raises:
        TypeError: One of them is not Flower's and has no `state_dict`, or has a privacy accountant.
    """
    return [_get(inner) for inner in nested(strategy)]


def set_state(strategy: Strategy, states: list[dict[str, Any]]) -> None:
    """Restore what `get_state` returned."""
    for inner, state in zip(nested(strategy), states, strict=True):
        if isinstance(inner, SavesState):
            inner.load_state_dict(state)
        else:
            # Only these attributes: settings such as noise and norms always come from this strategy, not from the file.
            vars(inner).update({name: state[name] for name in _STATE[type(inner)]})


def noisy(strategy: Strategy) -> str | None:
    """Return the class name of the outermost strategy that adds random noise; None if none does.

    Examples:
        >>> noisy(
        ...     flower.DifferentialPrivacyServerSideFixedClipping(
        ...         flower.FedAvg(), 1.0, 0.5, 2
        ...     )
        ... )
        'DifferentialPrivacyServerSideFixedClipping'
    """
    for inner in nested(strategy):
        if isinstance(inner, _NOISY) and any(getattr(inner, name, 0) != 0 for name in _NOISE):
            return type(inner).__name__
    return None


def needed_metrics(strategy: Strategy) -> dict[str, str]:
    """Return the metrics that every reply must have, or the strategy ends the run; and the class that needs each.

    Examples:
        >>> needed_metrics(flower.QFedAvg(client_learning_rate=0.1))
        {'train_loss': 'QFedAvg'}
    """
    needed = {}
    for inner in nested(strategy):
        if isinstance(inner, flower.QFedAvg):
            needed[inner.train_loss_key] = type(inner).__name__
        elif isinstance(inner, flower.DifferentialPrivacyClientSideAdaptiveClipping):
            needed["norm_bit"] = type(inner).__name__
    return needed


def call_of(strategy: Strategy) -> str:
    """Return the call that makes a strategy, as far as its attributes reveal the arguments.

    Examples:
        >>> call_of(flower.FedTrimmedAvg(beta=0.3))
        'FedTrimmedAvg(beta=0.3)'
    """
    if type(strategy) not in _STATE:
        return repr(strategy)
    shown = []
    for name, parameter in inspect.signature(type(strategy)).parameters.items():
        value = getattr(strategy, "clipping_norm" if name == "initial_clipping_norm" else name, parameter.default)
        is_flowers_default = parameter.default is None and inspect.isfunction(value) and _is_of_flower(value)
        if not is_flowers_default and (value is not parameter.default and value != parameter.default):
            shown.append(f"{name}={call_of(value) if isinstance(value, Strategy) else repr(value)}")
    return f"{type(strategy).__name__}({', '.join(shown)})"


def _get(strategy: Strategy) -> dict[str, Any]:
    if isinstance(strategy, SavesState):
        return strategy.state_dict()
    name = type(strategy).__name__
    if type(strategy) not in _STATE:
        raise TypeError(
            f"checkpoints cannot tell what {name} remembers from round to round; give it the methods state_dict() and "
            "load_state_dict(state), or leave out checkpoint_dir"
        )
    if getattr(strategy, "accountant", None) is not None:
        raise TypeError(f"checkpoints cannot save the privacy accountant of {name}; leave out checkpoint_dir")
    return {attribute: getattr(strategy, attribute) for attribute in _STATE[type(strategy)]}


def _is_of_flower(function: Any) -> bool:
    return str(function.__module__).startswith("flwr.")
