"""The methods of a study by name, and a new copy of a method's strategy for each run."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from flwr.serverapp.strategy import Strategy

from flskew.strategies._flower_state import nested
from flskew.strategies._pipeline import Pipeline
from flskew.study._code import is_users
from flskew.study.method import Method

__all__ = ["BASELINES", "check_num_clients", "classes_in", "copied_for", "num_sampled", "read_methods"]

BASELINES = ("alone", "pooled")
"""The names of what every study runs."""


def read_methods(methods: Mapping[str, Strategy | Method]) -> dict[str, Method]:
    """Check the methods of a study by name.

    Raises:
        TypeError: They are not a mapping from names to strategies.
        ValueError: There are none, a name is reserved, or a method does not print as the call that makes it.
    """
    if not isinstance(methods, Mapping) or not all(isinstance(name, str) for name in methods):
        raise TypeError('methods must map names to strategies, e.g. {"FedAvg": FedAvg()}')
    if not methods:
        raise ValueError('methods must contain at least one strategy, e.g. {"FedAvg": FedAvg()}')
    read: dict[str, Method] = {}
    for name, given in methods.items():
        if name in BASELINES:
            raise ValueError(f"methods: {name!r} is the name of a baseline, which always runs; choose another")
        try:
            read[name] = given if isinstance(given, Method) else Method(given)
        except TypeError as error:
            raise TypeError(f"methods[{name!r}]: {error}") from error
        if " at 0x" in repr(read[name]):
            raise ValueError(
                f"methods[{name!r}] must print as the call that makes it, because its results are kept under it, "
                f"got {read[name]!r:.120}; give the class of what it contains a __repr__, and replace a function by an "
                "object of such a class with __call__"
            )
    return read


def check_num_clients(methods: Mapping[str, Method], split: str, num_clients: int) -> None:
    """Refuse methods that need more clients than a split has.

    Raises:
        ValueError: One does.
    """
    for name, method in methods.items():
        minimums = {
            argument: max(getattr(inner, argument, 0) for inner in nested(method.strategy))
            for argument in ("min_available_nodes", "min_train_nodes")
        }
        high = [f"{argument}={needed}" for argument, needed in minimums.items() if needed > num_clients]
        if high and any(getattr(inner, "fraction_train", 1.0) for inner in nested(method.strategy)):
            raise ValueError(
                f"methods[{name!r}] needs more clients than splits[{split!r}] has, {num_clients}; lower "
                f"{' and '.join(high)}"
            )


def classes_in(strategy: Strategy) -> list[type]:
    """Return the classes of a strategy and those inside it, and of what they contain the classes that users wrote."""
    strategies = [*nested(strategy)]
    contained = {type(entry) for one in strategies for entry in vars(one).values()} - {*map(type, strategies)}
    own = [kind for kind in contained if is_users(kind.__module__)]
    return [*map(type, strategies), *sorted(own, key=lambda kind: (kind.__module__, kind.__qualname__))]


def copied_for(method: Method, seed: int) -> Pipeline:
    """Return a new strategy with the seed of the study, which never asks clients to evaluate: the study does."""
    strategy = copy.deepcopy(method.strategy)
    for inner in nested(strategy):
        if hasattr(inner, "fraction_evaluate"):
            inner.fraction_evaluate = 0.0
        if isinstance(inner, Pipeline) and hasattr(inner, "seed"):
            inner.seed = seed
    return strategy


def num_sampled(strategy: Strategy, num_clients: int) -> int:
    """Return how many clients train in a round."""
    fraction = min(getattr(inner, "fraction_train", 1.0) for inner in nested(strategy))
    fewest = max(getattr(inner, "min_train_nodes", 1) for inner in nested(strategy))
    return min(num_clients, max(int(num_clients * fraction + 1e-9), fewest, 1))
