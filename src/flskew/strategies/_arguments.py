"""Checks on a strategy's arguments."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import TypeGuard

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.clientapp import ClientApp

from flskew.strategies._checks import BadReplyError, check_arrays, check_finite

__all__ = ["check_grid", "config", "fraction", "initial", "is_evaluation", "norm", "seconds"]


def check_grid(grid: object) -> None:
    """Refuse an object that is not a Flower grid."""
    if not hasattr(grid, "send_and_receive"):
        got = "a ClientApp" if isinstance(grid, ClientApp) else type(grid).__name__
        raise TypeError(f"grid must be a Grid, got {got}; LocalGrid(client_app, num_supernodes) makes one")


def config(name: str, given: object) -> ConfigRecord:
    """Return a copy of a config, because Flower's strategies write into it; empty for None."""
    if not isinstance(given, Mapping | None):
        raise TypeError(f"{name} must be a ConfigRecord, got {type(given).__name__}")
    copied = ConfigRecord()
    for key, value in (given or {}).items():
        try:
            copied[key] = value
        except TypeError as error:
            raise TypeError(f"{name} cannot send {key!r}: {error}") from error
    return copied


def fraction(name: str, value: object) -> float:
    """Return a fraction of the nodes, 0 ... 1."""
    number = _real(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}; it is a fraction of the nodes")
    return number


def seconds(name: str, value: object) -> float:
    """Return a duration, > 0 and possibly infinite."""
    number = _real(name, value)
    if not number > 0:
        raise ValueError(f"{name} must be > 0 seconds, got {value!r}")
    return number


def norm(name: str, value: object) -> float | None:
    """Return the largest norm of an update, > 0 and possibly infinite, or None."""
    number = None if value is None else _real(name, value)
    if number is not None and not number > 0:
        raise ValueError(f"{name} must be > 0, or None to accept updates of any size, got {value!r}")
    return number


def initial(arrays: object) -> ArrayRecord:
    """Return the initial model: an ArrayRecord with at least one array, finite numbers only."""
    if not isinstance(arrays, ArrayRecord):
        raise TypeError(f"initial_arrays must be an ArrayRecord, got {type(arrays).__name__}; use {_remedy(arrays)}")
    if not arrays:
        raise ValueError("initial_arrays is empty; add the model's parameters")
    try:
        check_finite(check_arrays(arrays, arrays), arrays, "start from finite numbers")
    except BadReplyError as error:
        raise ValueError(f"initial_arrays: {error}") from error
    return arrays


def is_evaluation(metrics: object) -> TypeGuard[MetricRecord]:
    """Return whether `evaluate_fn` has evaluated the model, rather than returned None."""
    if not isinstance(metrics, MetricRecord | None):
        raise TypeError(
            f"evaluate_fn must return a MetricRecord or None, got a {type(metrics).__name__}: {metrics!r:.80}; "
            "return flwr.app.MetricRecord({'loss': loss, **metrics})"
        )
    return metrics is not None


def _remedy(arrays: object) -> str:
    if callable(getattr(arrays, "state_dict", None)):
        return "flwr.app.ArrayRecord(net.state_dict())"
    if isinstance(arrays, Mapping):
        if all(isinstance(array, np.ndarray) for array in arrays.values()):
            return "flwr.app.ArrayRecord({name: flwr.app.Array(array) for name, array in arrays.items()})"
        return "flwr.app.ArrayRecord(net.state_dict())"
    if isinstance(arrays, np.ndarray):
        return "flwr.app.ArrayRecord([array])"
    return "flwr.app.ArrayRecord([...]) with a list of NumPy arrays"


def _real(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:  # an integer beyond float64
        return -math.inf if value < 0 else math.inf
