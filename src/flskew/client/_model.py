"""The model in a message: what the client receives, and checks on what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import BFLOAT16, bfloat16_from_float32, float32_from_bfloat16
from flskew._arrays.records import array_from_numpy, numpy_from_array
from flskew.client._protocols import ClientError, ReturnedParameters
from flskew.typing import Config, Parameters

__all__ = ["private_parameters", "read_request", "record_like"]

Record = TypeVar("Record", ArrayRecord, ConfigRecord)


def read_request(message: Message) -> tuple[str, ArrayRecord, Config]:
    """Return the key of the server's ArrayRecord, the record, and a copy of the config as a dictionary.

    Raises:
        ClientError: There is no ArrayRecord, or two records of one kind.
    """
    key, arrays = _only(message, ArrayRecord)
    if arrays is None:
        raise ClientError("the message carries no ArrayRecord; the strategy sends one under 'arrays'")
    _, config = _only(message, ConfigRecord)
    settings = {} if config is None else config
    return key, arrays, {name: list(value) if isinstance(value, list) else value for name, value in settings.items()}


def private_parameters(arrays: ArrayRecord) -> Parameters:
    """Return copies that the client may change; bfloat16, which NumPy lacks, as float32.

    Raises:
        ParametersError: An array cannot be read.
    """
    views = (numpy_from_array(array, f"array {name!r}") for name, array in arrays.items())
    return [float32_from_bfloat16(view) if view.dtype == BFLOAT16 else view.copy(order="K") for view in views]


def record_like(sent: ArrayRecord, returned: object) -> ArrayRecord:
    """Return what `fit` returned under the names that were sent, in their shapes and dtypes.

    Raises:
        ClientError: It is not a list, or count, shapes or dtypes differ.
        ParametersError: An array cannot be sent.
    """
    arrays = _checked_list(returned, sent)
    record = ArrayRecord()
    for array, (name, origin) in zip(arrays, sent.items(), strict=True):
        record[name] = _array_like(origin, array, name)
    return record


def _only(message: Message, kind: type[Record]) -> tuple[str, Record | None]:
    found = [(key, record) for key, record in message.content.items() if isinstance(record, kind)]
    if len(found) > 1:
        raise ClientError(
            f"the message carries {len(found)} records of type {kind.__name__}, {[key for key, _ in found]}; "
            "a NumPy client takes one"
        )
    return found[0] if found else ("", None)


def _checked_list(returned: object, sent: ArrayRecord) -> ReturnedParameters:
    if isinstance(returned, np.ndarray | np.generic):
        remedy = "return [array]" if len(sent) == 1 else f"return a list of {len(sent)}, in the order they came"
        raise ClientError(f"fit must return a list of arrays, got one array of shape {returned.shape}; {remedy}")
    if not isinstance(returned, Sequence) or isinstance(returned, str | bytes):
        raise ClientError(
            f"fit must return a list of arrays, got {type(returned).__name__}; return them in the order they came"
        )
    if len(returned) != len(sent):
        raise ClientError(
            f"fit was given {len(sent)} arrays and returned {len(returned)}; return each that came, in the same "
            f"order: {_first_difference(returned, sent)}"
        )
    return returned


def _first_difference(returned: ReturnedParameters, sent: ArrayRecord) -> str:
    shapes = [getattr(array, "shape", None) for array in returned]
    for index, (name, origin) in enumerate(sent.items()):
        if index == len(shapes):
            return f"array {name!r} is missing"
        if shapes[index] != tuple(origin.shape):
            return f"number {index} should be {name!r} of shape {tuple(origin.shape)}, but has shape {shapes[index]}"
    return f"number {len(sent)}, of shape {shapes[len(sent)]}, did not come"


def _array_like(origin: Array, array: NDArray[Any], name: str) -> Array:
    label = f"array {name!r}"
    want = numpy_from_array(origin, label).dtype
    made = array_from_numpy(array, label)
    if made.shape != tuple(origin.shape):
        raise ClientError(
            f"{label}: came with shape {tuple(origin.shape)}, returned with {made.shape}; "
            "return the arrays in the order they came, none reshaped"
        )
    have = numpy_from_array(made).dtype
    if want == BFLOAT16 and have == np.float32:
        return array_from_numpy(bfloat16_from_float32(numpy_from_array(made)))
    if have != want:
        held = "float32" if want == BFLOAT16 else origin.dtype
        reason = ", which NumPy makes where no dtype is given" if have == np.float64 else ""
        raise ClientError(
            f"{label}: came as {origin.dtype}, returned as {made.dtype}{reason}; "
            f"use .astype({held!r}), or update it in place"
        )
    return made
