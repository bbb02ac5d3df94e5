"""Rules for accepting a reply: arrays like those sent, finite, and with a weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from flskew._arrays.bfloat16 import is_bfloat16
from flskew._arrays.records import ParametersError, all_finite, numpy_from_array
from flskew._wire import ASSIGNMENT_KEY, FLSKEW_KEY, INT64
from flskew.strategies._metrics import weight_key
from flskew.strategies._reasons import read_reason
from flskew.strategies.history import Record
from flskew.typing import MetricValue, Parameters

__all__ = ["BadReplyError", "CheckedReply", "check_arrays", "check_finite", "check_reply"]

# More rows than any data set has, but small enough that no sum of weights is infinite.
_LARGEST_WEIGHT = 2**53


class BadReplyError(ValueError):
    """A reply is not accepted.

    Attributes:
        reason: Why, in one line.
        traceback: The whole text, if it is longer than one line.
    """

    def __init__(self, reason: str, traceback: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.traceback = traceback


@dataclass(frozen=True)
class CheckedReply:
    """An accepted reply.

    Attributes:
        message: The reply itself.
        weight: Its weight, > 0.
        metrics: Its metrics, including the weight.
        metrics_key: Their key.
        model_key: Key of its arrays; None if a reply needs none.
        parameters: Views of them, in the order in which they were sent.
        assignment: Fingerprint of the client's split, if it reports one.
    """

    message: Message
    weight: float
    metrics: MetricRecord
    metrics_key: str
    model_key: str | None
    parameters: Parameters
    assignment: str | None

    @property
    def records(self) -> dict[str, Record]:
        """Additional records."""
        return {
            key: record for key, record in self.message.content.items() if key not in (self.metrics_key, self.model_key)
        }


def check_reply(message: Message, weighted_by_key: str, sent: ArrayRecord | None, arrayrecord_key: str) -> CheckedReply:
    """Check a reply, except whether its arrays are finite.

    Args:
        message: The reply.
        weighted_by_key: Key of the weight in the metrics.
        sent: Arrays that it must resemble; None if a reply needs none.
        arrayrecord_key: Key of its ArrayRecord, if it has more than one.

    Raises:
        BadReplyError: The reply is not accepted.
    """
    if message.has_error():
        text = message.error.reason or f"error {message.error.code} without a reason"
        raise BadReplyError(*read_reason(text))
    content = message.content
    metrics_key = weight_key(content, weighted_by_key)
    if metrics_key is None:
        raise BadReplyError(f"no MetricRecord with {weighted_by_key!r}; send the number of rows used")
    metrics = content.metric_records[metrics_key]
    weight = _weight(weighted_by_key, metrics[weighted_by_key])
    _check_metrics(metrics)
    model_key, parameters = None, []
    if sent is not None:
        model_key = _model_key(content, sent, arrayrecord_key)
        parameters = check_arrays(content.array_records[model_key], sent)
    return CheckedReply(message, weight, metrics, metrics_key, model_key, parameters, _assignment(content))


def check_arrays(arrays: ArrayRecord, like: ArrayRecord) -> Parameters:
    """Return views of `arrays`, in the order of `like`.

    Raises:
        BadReplyError: Names, shapes or dtypes differ from `like`, or an array cannot be read or averaged.
    """
    missing, extra = [name for name in like if name not in arrays], [name for name in arrays if name not in like]
    if missing or extra:
        raise BadReplyError(f"arrays missing: {missing}, arrays not asked for: {extra}")
    return [_check_array(name, arrays[name], like[name]) for name in like]


def check_finite(parameters: Parameters, like: ArrayRecord, remedy: str) -> None:
    """Refuse arrays that contain NaN or infinity.

    Args:
        parameters: In the order of `like`.
        like: A record with their names.
        remedy: End of the error message.

    Raises:
        BadReplyError: An array does; the error names the first.
    """
    for name, view in zip(like, parameters, strict=True):
        if not all_finite(view):
            raise BadReplyError(f"array {name!r} holds NaN or infinity; {remedy}")


def _weight(key: str, value: MetricValue) -> float:
    if isinstance(value, list) or not 0 < value <= _LARGEST_WEIGHT:
        raise BadReplyError(f"{key} = {value!r}; it must be a number > 0 and at most 2^53")
    return float(value)


def _check_metrics(metrics: MetricRecord) -> None:
    for key, value in metrics.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and number not in INT64:
                raise BadReplyError(f"metric {key!r} has an integer that does not fit 64 bits; send it as a float")


def _assignment(content: RecordDict) -> str | None:
    record = content.get(FLSKEW_KEY)
    if not isinstance(record, ConfigRecord) or ASSIGNMENT_KEY not in record:
        return None
    fingerprint = record[ASSIGNMENT_KEY]
    if not isinstance(fingerprint, str) or not fingerprint:
        raise BadReplyError(f"{FLSKEW_KEY}.{ASSIGNMENT_KEY} = {fingerprint!r}; it must be an assignment's fingerprint")
    return fingerprint


def _check_array(name: str, array: Array, like: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if tuple(array.shape) != tuple(like.shape):
        raise BadReplyError(f"array {name!r} has shape {tuple(array.shape)}, {tuple(like.shape)} was sent")
    if array.dtype != like.dtype:
        raise BadReplyError(f"array {name!r} is {array.dtype}, {like.dtype} was sent")
    try:
        view = numpy_from_array(array, f"array {name!r}")
    except ParametersError as error:
        raise BadReplyError(str(error)) from error
    if view.dtype.kind not in "biufc" and not is_bfloat16(view.dtype):
        raise BadReplyError(f"array {name!r} is {view.dtype}, which has no mean; send numbers only")
    return view


def _model_key(content: RecordDict, sent: ArrayRecord, key: str) -> str:
    records = content.array_records
    if key in records:
        return key
    alike = [name for name, record in records.items() if set(record) == set(sent)]
    candidates = alike or list(records)
    if len(candidates) != 1:
        raise BadReplyError(f"{len(records)} ArrayRecords, {list(records)}; name the one with the model {key!r}")
    return candidates[0]
