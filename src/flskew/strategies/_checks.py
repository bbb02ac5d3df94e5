"""Rules for accepting a reply: arrays like those sent, finite, with a weight, and names that can be printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import float32_from_bfloat16, is_bfloat16
from flskew._arrays.records import ParametersError, all_finite, array_from_numpy, numpy_from_array
from flskew._util.texts import LONGEST_NAME, is_name, listed
from flskew._wire import (
    ASSIGNMENT_KEY,
    CONTROL_KEY,
    FLSKEW_KEY,
    INT64,
    LABELS_KEY,
    LARGEST_COUNT,
    PARTITION_ID_KEY,
    PARTITION_NAME_KEY,
    TERM_KEY,
    UNSENT_METRICS_KEY,
)
from flskew.strategies._metrics import weight_holder
from flskew.strategies._reasons import read_reason
from flskew.strategies._terms import TermReport, read_term
from flskew.typing import MetricValue, Parameters, Record

__all__ = ["BadReplyError", "CheckedReply", "check_arrays", "check_finite", "check_reply"]


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


class CheckedReply(NamedTuple):
    """An accepted reply.

    Attributes:
        message: The reply itself.
        weight: Its weight, > 0.
        metrics: Its metrics, including the weight.
        metrics_key: Key of the metrics.
        model_key: Key of its arrays; None if a reply needs none.
        model: Its arrays with the dtypes that were sent, in the order in which they were sent.
        parameters: Views of the arrays in `model`.
        assignment: Fingerprint of the client's split, if it reports one.
        unsent_metrics: Names of the metrics that the client could not send.
        update_norm: Norm of the difference between its arrays and those sent; NaN if unknown.
        partition_id: Number of the client's partition, if it reports one.
        name: Name of the client's partition, if it reports one.
        term: What it reports on its local term, if it does.
    """

    message: Message
    weight: float
    metrics: MetricRecord
    metrics_key: str
    model_key: str | None
    model: ArrayRecord
    parameters: Parameters
    assignment: str | None
    unsent_metrics: tuple[str, ...] = ()
    update_norm: float = math.nan
    partition_id: int | None = None
    name: str | None = None
    term: TermReport | None = None

    @property
    def records(self) -> dict[str, Record]:
        """Additional records, without those that only a strategy reads."""
        others = (self.metrics_key, self.model_key, LABELS_KEY, TERM_KEY, CONTROL_KEY)
        return {key: record for key, record in self.message.content.items() if key not in others}


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
        reason, traceback = read_reason(message.error.reason or "")
        raise BadReplyError(reason or f"error {message.error.code} without a reason", traceback)
    content = message.content
    _check_names("record", content)
    metrics_key, metrics = weight_holder(content, weighted_by_key)
    if metrics_key is None:
        raise BadReplyError(f"no MetricRecord with {weighted_by_key!r}; send the number of rows used")
    weight = _weight(weighted_by_key, metrics[weighted_by_key])
    _check_names("metric", metrics)
    _check_integers(content)
    model_key, model, parameters = None, ArrayRecord(), []
    if sent is not None:
        model_key, received = _model(content, sent, arrayrecord_key)
        model = _converted(received, sent)
        parameters = check_arrays(model, sent)
    record = content.get(FLSKEW_KEY)
    about_client = dict(record.items()) if isinstance(record, ConfigRecord) else {}
    return CheckedReply(
        message,
        weight,
        metrics,
        metrics_key,
        model_key,
        model,
        parameters,
        _text(about_client, ASSIGNMENT_KEY, "an assignment's fingerprint"),
        _unsent(about_client),
        partition_id=_partition_id(about_client),
        name=_text(about_client, PARTITION_NAME_KEY, f"a printable name of at most {LONGEST_NAME} characters"),
        term=_term(content, sent),
    )


def check_arrays(arrays: ArrayRecord, like: ArrayRecord) -> Parameters:
    """Return views of `arrays`, in the order of `like`.

    Raises:
        BadReplyError: Names, shapes or dtypes differ from `like`, or an array cannot be read or averaged.
    """
    if arrays.keys() != like.keys():
        missing, extra = [name for name in like if name not in arrays], [name for name in arrays if name not in like]
        raise BadReplyError(f"arrays missing: [{listed(missing)}], unexpected arrays: [{listed(extra)}]")
    return [_check_array(name, arrays[name], wanted) for name, wanted in like.items()]


def check_finite(parameters: Parameters, like: ArrayRecord, remedy: str) -> None:
    """Refuse arrays that contain NaN or infinity.

    Args:
        parameters: In the order of `like`.
        like: A record with their names.
        remedy: End of the error message.

    Raises:
        BadReplyError: An array contains one; the error names the first such array.
    """
    for name, view in zip(like, parameters, strict=True):
        if not all_finite(view):
            raise BadReplyError(f"array {name!r} holds NaN or infinity; {remedy}")


def _weight(key: str, value: MetricValue) -> float:
    if isinstance(value, list) or not 0 < value <= LARGEST_COUNT:
        raise BadReplyError(f"{key} = {value!r}; it must be a number > 0 and at most 2^53")
    return float(value)


def _check_integers(content: RecordDict) -> None:
    for record in content.values():
        if isinstance(record, ArrayRecord):
            continue
        kind = "metric" if isinstance(record, MetricRecord) else "config entry"
        for name, value in record.items():
            for number in value if isinstance(value, list) else [value]:
                # A range finds an int at once, but searches for an instance of a subclass, such as an IntEnum.
                if isinstance(number, int) and int(number) not in INT64:
                    raise BadReplyError(f"{kind} {name!r} has an integer that does not fit 64 bits; send it as a float")


def _check_names(kind: str, names: Iterable[str]) -> None:
    # Names become keys, columns and log lines; cleaning them could make two names equal.
    for name in names:
        if not is_name(name):
            raise BadReplyError(
                f"the {kind} name {name[:LONGEST_NAME]!r} is empty, longer than {LONGEST_NAME} characters, or holds "
                "characters that cannot be printed; rename it"
            )


def _text(about_client: Mapping[str, object], key: str, what: str) -> str | None:
    text = about_client.get(key)
    if text is not None and not is_name(text):
        raise BadReplyError(f"{FLSKEW_KEY}.{key} = {_shown(text)}; it must be {what}")
    return str(text) if text is not None else None


def _partition_id(about_client: Mapping[str, object]) -> int | None:
    number = about_client.get(PARTITION_ID_KEY)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise BadReplyError(f"{FLSKEW_KEY}.{PARTITION_ID_KEY} = {_shown(number)}; it must be an integer >= 0")
    return int(number)


def _shown(value: object) -> str:
    return repr(value[:LONGEST_NAME] if isinstance(value, str | bytes) else value)


def _unsent(about_client: Mapping[str, object]) -> tuple[str, ...]:
    names = about_client.get(UNSENT_METRICS_KEY)
    return tuple(name for name in names if is_name(name)) if isinstance(names, list) else ()


def _term(content: RecordDict, sent: ArrayRecord | None) -> TermReport | None:
    try:
        return None if sent is None else read_term(content, sent)
    except ValueError as error:
        raise BadReplyError(str(error)) from error


def _converted(arrays: ArrayRecord, like: ArrayRecord) -> ArrayRecord:
    """Return the arrays in the order of `like`, and with its dtypes where that conversion is exact."""
    if arrays.keys() != like.keys():
        return arrays  # `check_arrays` refuses it
    if list(arrays) == list(like) and all(arrays[name].dtype == like[name].dtype for name in like):
        return arrays
    return ArrayRecord({name: _exactly(arrays[name], like[name]) for name in like})


def _exactly(array: Array, like: Array) -> Array:
    if array.dtype == like.dtype or tuple(array.shape) != tuple(like.shape):
        return array
    try:
        view, dtype = numpy_from_array(array), numpy_from_array(like).dtype
    except ParametersError:  # `check_arrays` reports it
        return array
    numbers: NDArray[np.generic] = float32_from_bfloat16(view) if is_bfloat16(view.dtype) else view
    # NumPy considers casting 64-bit integers to floats safe, although it is inexact beyond 2^53.
    is_exact = not (numbers.dtype.kind in "iu" and numbers.dtype.itemsize == 8 and dtype.kind in "fc")
    if is_exact and {numbers.dtype.kind, dtype.kind} <= set("biufc") and np.can_cast(numbers.dtype, dtype, "safe"):
        return array_from_numpy(numbers.astype(dtype))
    return array


def _check_array(name: str, array: Array, like: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if tuple(array.shape) != tuple(like.shape):
        raise BadReplyError(f"array {name!r} has shape {tuple(array.shape)}, but {tuple(like.shape)} was sent")
    if array.dtype != like.dtype:
        raise BadReplyError(f"array {name!r} is {array.dtype}, but {like.dtype} was sent")
    try:
        view = numpy_from_array(array, f"array {name!r}")
    except ParametersError as error:
        raise BadReplyError(str(error)) from error
    if view.dtype.kind not in "biufc" and not is_bfloat16(view.dtype):
        raise BadReplyError(f"array {name!r} is {view.dtype}, which cannot be averaged; send numbers only")
    return view


def _model(content: RecordDict, sent: ArrayRecord, key: str) -> tuple[str, ArrayRecord]:
    # Not `content.array_records`, which keeps the reply in memory until the garbage collector runs.
    records = {
        name: record for name, record in content.items() if isinstance(record, ArrayRecord) and name != CONTROL_KEY
    }
    if key in records:
        return key, records[key]
    alike = [name for name, record in records.items() if record.keys() == sent.keys()]
    candidates = alike or list(records)
    if len(candidates) != 1:
        raise BadReplyError(f"{len(records)} ArrayRecords, [{listed(records)}]; name the one with the model {key!r}")
    return candidates[0], records[candidates[0]]
