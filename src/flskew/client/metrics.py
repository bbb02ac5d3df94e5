"""Metrics as Flower's `MetricRecord` takes them: NumPy scalars and truth values become Python's int and float."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
from flwr.app import MetricRecord

from flskew.client.protocols import ClientError

__all__ = ["LOSS_KEY", "NUM_EXAMPLES_KEY", "MetricValue", "metric_record", "metric_value", "num_examples"]

NUM_EXAMPLES_KEY = "num-examples"
LOSS_KEY = "loss"

MetricValue: TypeAlias = int | float | list[int] | list[float]
"""What a `MetricRecord` holds."""

_INT64 = range(-(2**63), 2**63)


def metric_value(key: str, value: object) -> MetricValue:
    """Return a metric as an int, a float, or a list of one of them.

    Truth values become 0 and 1. NaN and infinity are let through: a loss that has diverged is worth knowing.

    Args:
        key: Its name, for the error.
        value: Any real scalar of Python, NumPy or a framework, or a list, tuple or one-dimensional array of them.

    Raises:
        ClientError: Anything else, such as text, None, a dictionary, a complex number, or an integer beyond 64 bits.

    Example:
        >>> import numpy as np
        >>> metric_value("accuracy", np.float32(0.5)), metric_value("converged", True)
        (0.5, 1)
        >>> metric_value("loss-by-epoch", [2, 1.5])
        [2.0, 1.5]
    """
    value = _scalar(value)
    return _numbers(key, value) if isinstance(value, list | tuple | np.ndarray) else _number(key, value)


def metric_record(metrics: Mapping[str, object], reserved: Mapping[str, int | float]) -> MetricRecord:
    """Return the record of a reply: the reserved entries first, then the metrics.

    Args:
        metrics: What the client returned.
        reserved: Entries of the reply itself, such as num-examples.

    Raises:
        ClientError: `metrics` is not a mapping, a key is not text, a value cannot be sent, or a reserved key is there
            with another value.
    """
    if not isinstance(metrics, Mapping):
        raise ClientError(
            f"metrics must be a dictionary, got {type(metrics).__name__}; return {{}} when there are none"
        )
    record = MetricRecord({**reserved})
    for key, value in metrics.items():
        if not isinstance(key, str):
            raise ClientError(f"metrics: the keys must be text, got {key!r}")
        number = metric_value(key, value)
        if key in reserved and number != reserved[key] and not _both_nan(number, reserved[key]):
            raise ClientError(
                f"metrics[{key!r}] = {number!r} contradicts the {key} returned beside it, {reserved[key]!r}; rename it"
            )
        record[key] = number
    return record


def num_examples(value: object) -> int:
    """Return a client's number of examples as an int; the strategy judges whether it is a weight.

    Raises:
        ClientError: It is not an integer.
    """
    value = _scalar(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ClientError(
            f"num_examples must be an integer, got {value!r} of type {type(value).__name__}; return the rows used"
        )
    return int(_number(NUM_EXAMPLES_KEY, value))


def _number(key: str, value: object) -> int | float:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, numbers.Integral):
        if int(value) not in _INT64:
            raise ClientError(f"metrics[{key!r}] = {value!r} does not fit 64 bits; send it as a float")
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise ClientError(
        f"metrics[{key!r}] must be a number or a list of numbers, got {value!r} of type {type(value).__name__}; "
        "send numbers only, e.g. one key per entry of a dictionary, and leave out what is None or text"
    )


def _numbers(key: str, values: Iterable[object]) -> list[int] | list[float]:
    converted = [_number(key, _scalar(value)) for value in values]
    if any(isinstance(number, float) for number in converted):
        return [float(number) for number in converted]
    return [int(number) for number in converted]


def _scalar(value: object) -> object:
    """Take a number out of an array without dimensions, NumPy's or a framework's; all else is returned as it is."""
    if getattr(value, "shape", None) == () and not isinstance(value, numbers.Number):
        take = getattr(value, "item", None)
        return take() if callable(take) else value
    return value


def _both_nan(first: MetricValue, second: MetricValue) -> bool:
    return isinstance(first, float) and isinstance(second, float) and math.isnan(first) and math.isnan(second)
