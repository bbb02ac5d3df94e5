"""What a reply must be to count: like the arrays sent, finite, and with a weight."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from flskew.parameters import Parameters, ParametersError, all_finite, numpy_from_array
from flskew.strategies.metrics import weight_record

__all__ = ["BadReplyError", "CheckedReply", "check_arrays", "check_reply"]


class BadReplyError(ValueError):
    """A reply does not count; the message is the reason."""


@dataclass(frozen=True)
class CheckedReply:
    """A reply that counts: its content, weight and metrics, and views on its arrays in the order they were sent."""

    content: RecordDict
    weight: float
    metrics: MetricRecord
    parameters: Parameters


def check_reply(message: Message, weighted_by_key: str, sent: ArrayRecord | None, arrayrecord_key: str) -> CheckedReply:
    """Return what counts in a reply. Records beyond those that are needed are let be.

    Args:
        message: The reply.
        weighted_by_key: The name of the weight among the metrics.
        sent: The arrays it must be like; None where a reply needs none.
        arrayrecord_key: The name of its ArrayRecord, if it has more than one.

    Raises:
        BadReplyError: It does not count.
    """
    if message.has_error():
        raise BadReplyError(_error_reason(message))
    metrics = weight_record(message.content, weighted_by_key)
    if metrics is None:
        raise BadReplyError(f"no MetricRecord with {weighted_by_key!r}; send the number of rows used")
    weight = metrics[weighted_by_key]
    if isinstance(weight, list) or not math.isfinite(weight) or weight <= 0:
        raise BadReplyError(f"{weighted_by_key} = {weight!r}; it must be a finite number > 0")
    parameters = [] if sent is None else check_arrays(_reply_arrays(message.content, sent, arrayrecord_key), sent)
    return CheckedReply(message.content, float(weight), metrics, parameters)


def check_arrays(arrays: ArrayRecord, like: ArrayRecord) -> Parameters:
    """Return views on `arrays`, in the order of `like`.

    Raises:
        BadReplyError: The names, shapes or dtypes are not those of `like`, an array cannot be read or averaged, or
            holds NaN or infinity.
    """
    missing, extra = [name for name in like if name not in arrays], [name for name in arrays if name not in like]
    if missing or extra:
        raise BadReplyError(f"arrays missing: {missing}, arrays not asked for: {extra}")
    return [_check_array(name, arrays[name], like[name]) for name in like]


def _error_reason(message: Message) -> str:
    reason = message.error.reason or f"error {message.error.code} without a reason"
    if "fitins." in reason or "evaluateins." in reason:
        reason = f"flwr.client.NumPyClient needs an app made by flskew.client_app(client_fn): {reason}"
    return reason


def _check_array(name: str, array: Array, like: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if tuple(array.shape) != tuple(like.shape):
        raise BadReplyError(f"array {name!r} has shape {tuple(array.shape)}, {tuple(like.shape)} was sent")
    if array.dtype != like.dtype:
        raise BadReplyError(f"array {name!r} is {array.dtype}, {like.dtype} was sent")
    try:
        view = numpy_from_array(array, f"array {name!r}")
    except ParametersError as error:
        raise BadReplyError(str(error)) from error
    if view.dtype.kind not in "biufc":
        raise BadReplyError(f"array {name!r} is {view.dtype}, which has no mean; send numbers only")
    if not all_finite(view):
        raise BadReplyError(f"array {name!r} holds NaN or infinity; the client has diverged, lower its learning rate")
    return view


def _reply_arrays(content: RecordDict, sent: ArrayRecord, key: str) -> ArrayRecord:
    records = {name: record for name, record in content.items() if isinstance(record, ArrayRecord)}
    if key in records:
        return records[key]
    alike = [name for name, record in records.items() if set(record) == set(sent)]
    candidates = alike or list(records)
    if len(candidates) != 1:
        raise BadReplyError(f"{len(records)} ArrayRecords, {list(records)}; name the one with the model {key!r}")
    return records[candidates[0]]
