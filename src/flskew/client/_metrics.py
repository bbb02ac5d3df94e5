"""Metrics in the form that Flower's `MetricRecord` accepts: NumPy scalars and booleans become Python's int and float.

Errors name keys and types, never values: they are sent to the server.
"""

from __future__ import annotations

import logging
import math
import numbers
import uuid
from collections.abc import Iterable, Mapping

import numpy as np
from flwr.app import MetricRecord

from flskew._flower import new_metrics
from flskew._util.texts import is_name
from flskew._wire import INT64, LOCAL_EPOCHS_KEY
from flskew.client._protocols import ClientError
from flskew.client._shown import shown
from flskew.typing import MetricValue

__all__ = [
    "MetricsReader",
    "check_local_epochs",
    "loss_value",
    "metric_value",
    "num_examples",
]

_MOST_NAMES, _LONGEST_NAME = 100, 100

_logger = logging.getLogger("flwr")


# The names that each reader has logged. They belong to the process, since Ray unpickles the app for each message.
_logged: dict[str, set[str]] = {}


class MetricsReader:
    """Reads the metrics of one app's clients, and logs the name of each one that cannot be sent, once."""

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex

    def read(self, metrics: object, reserved: Mapping[str, int | float]) -> tuple[MetricRecord, list[str]]:
        """Return the record of a reply and the names of the metrics that it leaves out.

        Args:
            metrics: What the client returned: a mapping of text to numbers. Anything else in it is left out, except
                "local-epochs".
            reserved: Entries of the reply itself, such as num-examples; they come first.

        Raises:
            ClientError: `metrics` is not a mapping, a reserved key has another value, or "local-epochs" cannot be sent.
        """
        if not isinstance(metrics, Mapping):
            raise ClientError(
                f"metrics must be a dictionary, got {type(metrics).__name__}; return {{}} when there are none"
            )
        sent: dict[str, MetricValue] = {**reserved}
        unsent = []
        for key, value in metrics.items():
            number = _sendable(key, value)
            if number is None:
                if key == LOCAL_EPOCHS_KEY:
                    raise _wrong_local_epochs(value)
                unsent.append(_name(key))
                continue
            if key in reserved and number != reserved[key] and not _both_nan(number, reserved[key]):
                raise ClientError(f"metrics[{key!r}] contradicts the {key} returned with it; rename it")
            sent[str.__str__(key)] = number  # no StrEnum or NumPy's str_
        if unsent:
            self._log(unsent)
        return new_metrics(sent), unsent[:_MOST_NAMES]

    def _log(self, unsent: list[str]) -> None:
        known = _logged.setdefault(self._id, set())
        new = [name for name in dict.fromkeys(unsent) if name not in known]
        if new:
            known.update(new)
            more = f" and {len(new) - _MOST_NAMES} more" if len(new) > _MOST_NAMES else ""
            _logger.warning(
                "Metrics left out of the reply, since only numbers and lists of numbers can be sent: %s%s",
                ", ".join(new[:_MOST_NAMES]),
                more,
            )


def metric_value(name: str, value: object) -> MetricValue:
    """Return a metric as an int, a float, or a list of one of them.

    Booleans become 0 and 1. NaN and infinity are allowed: it is useful to see that a loss has diverged.

    Args:
        name: Name of the metric in errors.
        value: Any real scalar of Python, NumPy or a framework, or a list, tuple or one-dimensional array of them.

    Raises:
        ClientError: Anything else, such as text, None, a dictionary, a complex number, or an integer beyond 64 bits.

    Examples:
        >>> import numpy as np
        >>> metric_value("accuracy", np.float32(0.5)), metric_value("converged", True)
        (0.5, 1)
        >>> metric_value("loss-by-epoch", [2, 1.5])
        [2.0, 1.5]
    """
    value = _plain(value)
    return _numbers(name, value) if isinstance(value, list | tuple) else _number(name, value)


def loss_value(loss: object) -> int | float:
    """Return the loss of an evaluation.

    Raises:
        ClientError: It is not one number.
    """
    number = _plain(loss)
    if not isinstance(number, numbers.Real):
        raise ClientError(
            f"the loss, the first value that evaluate returns, must be one number, got {shown(loss)}; "
            "return its mean over the rows, then num_examples, then the metrics"
        )
    return _number("the loss", number)


def num_examples(value: object, method: str) -> int:
    """Return a client's number of examples as an int; the strategy checks whether it can be a weight.

    Args:
        value: What the client returned.
        method: "fit" or "evaluate", for the error.

    Raises:
        ClientError: It is not a whole number.
    """
    if type(value) is int and value in INT64:
        return value
    number = _plain(value)
    is_real = isinstance(number, numbers.Real) and not isinstance(number, bool)
    if not is_real or not (isinstance(number, numbers.Integral) or float(number).is_integer()):  # type: ignore[arg-type]
        raise ClientError(
            f"num_examples, the second value that {method} returns, must be a whole number, got {shown(value)}; "
            "return how many rows it used, e.g. len(dataset)"
        )
    return int(_number("num_examples", int(number)))  # type: ignore[call-overload]


def check_local_epochs(record: MetricRecord) -> None:
    """Check the local work that a client reports, if any: strategies compare it with what they requested.

    Raises:
        ClientError: It is not one finite number >= 0.
    """
    done = record.get(LOCAL_EPOCHS_KEY, 0)
    if isinstance(done, list) or not math.isfinite(done) or done < 0:
        raise _wrong_local_epochs(done)


def _wrong_local_epochs(value: object) -> ClientError:
    return ClientError(
        f"metrics[{LOCAL_EPOCHS_KEY!r}] must be one finite number >= 0, got {shown(value)}; "
        "report how many passes over its rows the client has made, e.g. 2 or 1.5"
    )


def _sendable(key: object, value: object) -> MetricValue | None:
    """Return a metric as Flower sends it; None if it cannot be sent, or if strategies refuse its name."""
    if not is_name(key):
        return None
    try:
        return metric_value(str(key), value)
    except Exception:  # ClientError, and whatever the user's object raises
        return None


def _name(key: object) -> str:
    """Return the name of a metric on one line; for a key that is not text, which may be data, only its type."""
    name = key if isinstance(key, str) else f"({type(key).__name__})"
    plain = "".join(character if character.isprintable() else "?" for character in name)
    return plain if len(plain) <= _LONGEST_NAME else f"{plain[: _LONGEST_NAME - 1]}…"


def _number(name: str, value: object) -> int | float:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, numbers.Integral):
        if int(value) not in INT64:
            raise ClientError(f"{name} does not fit 64 bits; send it as a float")
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise ClientError(f"{name} must be a number or a list of numbers, got {shown(value)}")


def _numbers(name: str, values: Iterable[object]) -> list[int] | list[float]:
    converted = [_number(name, _plain(value)) for value in values]
    if any(isinstance(number, float) for number in converted):
        return [float(number) for number in converted]
    return [int(number) for number in converted]


def _plain(value: object) -> object:
    """Turn an array of NumPy or a framework into a number or a list; return anything else unchanged."""
    if not hasattr(value, "shape") or isinstance(value, numbers.Number):
        return value
    if not hasattr(value, "tolist") and hasattr(value, "__array__"):  # a tensor of TensorFlow
        value = np.asarray(value)
    convert = getattr(value, "tolist", None)
    return convert() if callable(convert) else value


def _both_nan(first: MetricValue, second: MetricValue) -> bool:
    return isinstance(first, float) and isinstance(second, float) and math.isnan(first) and math.isnan(second)
