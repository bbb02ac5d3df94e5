"""Checks on what a strategy is given before it does anything."""

from __future__ import annotations

import numbers
from collections.abc import Mapping

from flwr.app import ArrayRecord

from flskew.strategies._checks import BadReplyError, check_arrays, check_finite

__all__ = ["fraction", "initial", "seconds"]


def fraction(name: str, value: object) -> float:
    """Return a share of the nodes, 0 ... 1."""
    number = _real(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}; it is a share of the nodes")
    return number


def seconds(name: str, value: object) -> float:
    """Return a duration, > 0 and possibly infinite."""
    number = _real(name, value)
    if not number > 0:
        raise ValueError(f"{name} must be > 0 seconds, got {value!r}")
    return number


def initial(arrays: object) -> ArrayRecord:
    """Return the model of round 0: an ArrayRecord with at least one array, all of finite numbers."""
    if not isinstance(arrays, ArrayRecord):
        remedy = "a state_dict of PyTorch" if isinstance(arrays, Mapping) else "a list of NumPy arrays"
        raise TypeError(
            f"initial_arrays must be an ArrayRecord, got {type(arrays).__name__}; flwr.app.ArrayRecord(...) makes one "
            f"from {remedy}"
        )
    if not arrays:
        raise ValueError("initial_arrays is empty; put the model's parameters into it")
    try:
        check_finite(check_arrays(arrays, arrays), arrays, "start from finite numbers")
    except BadReplyError as error:
        raise ValueError(f"initial_arrays: {error}") from error
    return arrays


def _real(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}")
    return float(value)
