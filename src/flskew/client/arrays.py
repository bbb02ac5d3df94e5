"""What the modules of the frameworks share: arrays that fit a model, or an error that names the one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew.parameters import Parameters, ParametersError

__all__ = ["Slot", "fit_into", "private_copy"]


class Slot(NamedTuple):
    """A place for one array in a model."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def private_copy(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy in a dtype of NumPy's own: training goes on in the model's memory and must not reach it.

    What NumPy has no arithmetic for, bfloat16 and the float8 of `ml_dtypes`, becomes float32, which holds it exactly.
    """
    return np.array(array, dtype=np.float32 if array.dtype.kind == "V" else None)


def fit_into(slots: Sequence[Slot], parameters: Sequence[NDArray[Any]]) -> Parameters:
    """Return the arrays in the dtypes of a model, contiguous and writable; nothing is changed before all are checked.

    Where the model has an integer and the array is a float, as averaging makes of counters, it is rounded.

    Raises:
        ParametersError: The arrays are too many or too few, or one has another shape or a dtype that would lose more
            than precision.
    """
    if len(parameters) != len(slots):
        raise ParametersError(
            f"the model has {len(slots)} arrays, {', '.join(slot.name for slot in slots)}; got {len(parameters)}; "
            "start the server from get_parameters of the same model"
        )
    return [_fit(slot, array) for slot, array in zip(slots, parameters, strict=True)]


def _fit(slot: Slot, array: NDArray[Any]) -> NDArray[Any]:
    if np.shape(array) != slot.shape:
        raise ParametersError(f"array {slot.name!r}: the model has shape {slot.shape}, got {np.shape(array)}")
    array = np.asarray(array)
    if array.dtype.kind == "f" and slot.dtype.kind in "iub":
        array = np.rint(array)
    elif not np.can_cast(array.dtype, slot.dtype, "same_kind"):
        raise ParametersError(f"array {slot.name!r}: the model has dtype {slot.dtype}, got {array.dtype}")
    return np.require(array, slot.dtype, ["C", "W"])
