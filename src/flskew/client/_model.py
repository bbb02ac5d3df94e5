"""The model in a message: what the client receives, and checks on what it returns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import BFLOAT16, bfloat16_from_float32, float32_from_bfloat16
from flskew._arrays.records import array_from_numpy, numpy_from_array, record_from_parameters
from flskew._flower import new_arrays
from flskew._wire import CONTROL_KEY
from flskew.client._protocols import MISSING_CLASSES, ClientError
from flskew.client._shown import shape_of
from flskew.typing import Config, Parameters, ReturnedParameters

__all__ = ["in_dtype_of", "private_parameters", "read_request", "record_like", "refuse_legacy"]

# Prefixes of the record names of Flower's legacy API, including its workflow for secure aggregation.
_LEGACY = ("fitins.", "evaluateins.", "getparametersins.", "getpropertiesins.", "secaggplus_")


def refuse_legacy(message: Message) -> None:
    """Refuse a message of Flower's legacy API.

    Raises:
        ClientError: It is such a message.
    """
    key = next((key for key in message.content if key.startswith(_LEGACY)), None)
    if key is not None:
        raise ClientError(
            f"the ServerApp uses Flower's legacy API (its message has {key!r}), but this client uses the Message API; "
            "replace server_fn, or the strategy of flwr.server, with a function decorated with @app.main() that calls "
            "flskew.FedAvg().start(grid, arrays)"
        )


def read_request(message: Message) -> tuple[str, ArrayRecord, Config]:
    """Return the key of the server's ArrayRecord, the record, and a copy of the config as a dictionary.

    Raises:
        ClientError: There is no ArrayRecord, or two records of one kind.
    """
    arrays: dict[str, ArrayRecord] = {}
    configs: dict[str, ConfigRecord] = {}
    for key, record in message.content.items():
        if key == CONTROL_KEY:
            continue
        if isinstance(record, ArrayRecord):
            arrays[key] = record
        elif isinstance(record, ConfigRecord):
            configs[key] = record
    for kind, found in (("ArrayRecord", arrays), ("ConfigRecord", configs)):
        if len(found) > 1:
            raise ClientError(
                f"the message has {len(found)} records of type {kind}, {list(found)}; a NumPy client takes one"
            )
    if not arrays:
        raise ClientError("the message has no ArrayRecord; strategies send one under 'arrays'")
    ((key, model),) = arrays.items()
    config = {
        name: list(value) if isinstance(value, list) else value
        for settings in configs.values()
        for name, value in settings.items()
    }
    return key, model, config


def private_parameters(arrays: ArrayRecord) -> Parameters:
    """Return copies that the client may change; bfloat16, which NumPy lacks, as float32.

    Raises:
        ParametersError: An array cannot be read.
    """
    views = (numpy_from_array(array, f"array {name!r}") for name, array in arrays.items())
    return [float32_from_bfloat16(view) if view.dtype == BFLOAT16 else view.copy(order="K") for view in views]


def record_like(received: ArrayRecord, returned: object, *, same_shapes: bool = True) -> ArrayRecord:
    """Return a record of the arrays that `fit` returned, with the names and dtypes received.

    Args:
        received: The server's record.
        returned: What `fit` returned.
        same_shapes: Whether number and shapes must match. If not, and the number differs, the names are "0", "1", and
            so on, and the dtypes are those returned.

    Raises:
        ClientError: It is not a list of arrays, or number, shapes or dtypes do not match.
        ParametersError: An array cannot be sent.
    """
    arrays = _checked_list(returned, received)
    if len(arrays) != len(received):
        if not same_shapes:
            return record_from_parameters(arrays)
        raise ClientError(
            f"fit received {len(received)} arrays and returned {len(arrays)}; return all of them, in the same order: "
            f"{_first_difference(arrays, received)}. For a model that grows, client_app(..., same_shapes=False)"
        )
    made_like: dict[str, Array] = {}
    for array, (name, origin) in zip(arrays, received.items(), strict=True):
        made = array_from_numpy(array, f"array {name!r}")
        if same_shapes and made.shape != tuple(origin.shape):
            raise ClientError(_shape_differs(name, tuple(origin.shape), made.shape, len(received)))
        made_like[name] = in_dtype_of(origin, made, name)
    return new_arrays(made_like)


def in_dtype_of(origin: Array, made: Array, name: str) -> Array:
    """Return an array in the dtype received: unchanged, rounded to bfloat16, or converted if that is exact.

    Args:
        origin: The array received; only its dtype matters.
        made: The array returned.
        name: Its name in errors.

    Raises:
        ClientError: The conversion would not be exact.
        ParametersError: An array cannot be read.
    """
    if made.dtype == origin.dtype:
        return made
    want = numpy_from_array(origin, f"array {name!r}").dtype
    array = numpy_from_array(made)
    if array.dtype == want:
        return made
    if want == BFLOAT16 and array.dtype == np.float32:
        return array_from_numpy(bfloat16_from_float32(array))
    if array.dtype == BFLOAT16:
        array = float32_from_bfloat16(array)
    if _converts_exactly(array, want):
        return array_from_numpy(array.astype(want))
    held = "float32" if want == BFLOAT16 else origin.dtype
    reason = ", NumPy's default" if array.dtype == np.float64 else ""
    raise ClientError(
        f"array {name!r} was received as {origin.dtype} and returned as {made.dtype}{reason}; "
        f"use .astype({held!r}), or update it in place"
    )


def _checked_list(returned: object, received: ArrayRecord) -> ReturnedParameters:
    if isinstance(returned, np.ndarray | np.generic):
        count = len(received)
        remedy = "return [array]" if count == 1 else f"return a list of {count}, in the order received"
        raise ClientError(f"fit must return a list of arrays, got one array of shape {returned.shape}; {remedy}")
    if not isinstance(returned, Sequence) or isinstance(returned, str | bytes):
        raise ClientError(
            f"fit must return a list of arrays, got {type(returned).__name__}; return them in the order received"
        )
    return returned


def _first_difference(returned: ReturnedParameters, received: ArrayRecord) -> str:
    shapes = [shape_of(array) for array in returned]
    for index, (name, origin) in enumerate(received.items()):
        if index == len(shapes):
            return f"array {name!r} is missing"
        if shapes[index] != tuple(origin.shape):
            return (
                f"array number {index} should be {name!r} of shape {tuple(origin.shape)}, but has shape {shapes[index]}"
            )
    return f"array number {len(received)}, of shape {shapes[len(received)]}, was not received"


def _shape_differs(name: str, want: tuple[int, ...], have: tuple[int, ...], count: int) -> str:
    difference = f"array {name!r} was received with shape {want} and returned with {have}"
    # The first dimension of coef_ and intercept_ is the number of classes, or 1 if there are two.
    has_fewer_classes = count <= 2 and len(have) == len(want) > 0 and have[0] < want[0] and have[1:] == want[1:]
    if has_fewer_classes and "sklearn" in sys.modules:
        return f"{difference}; {MISSING_CLASSES}"
    return (
        f"{difference}; return the arrays in the order received, without reshaping them. For a model that grows, "
        "client_app(..., same_shapes=False)"
    )


def _converts_exactly(array: NDArray[Any], want: np.dtype[Any]) -> bool:
    if want.kind not in "biufc" or array.dtype.kind not in "biufc" or not np.can_cast(array.dtype, want):
        return False
    if array.dtype.kind in "iu" and want.kind in "fc":
        # NumPy considers int64 to float64 safe, although it is exact only up to 2**53. Batch counts are far below that.
        return bool(np.all(np.abs(array.astype(want)) < 2**53))
    return True
