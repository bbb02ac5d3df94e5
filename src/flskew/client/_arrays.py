"""What the modules of the frameworks share: arrays that fit a model, or an error that names the one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._arrays.records import ParametersError
from flskew.typing import Parameters

__all__ = ["Slot", "fit_into", "private_copy"]


class Slot(NamedTuple):
    """A place for one array in a model."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def private_copy(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy in one of NumPy's own dtypes, so that further training of the model does not change it.

    What NumPy has no arithmetic for, bfloat16 and the float8 of `ml_dtypes`, becomes float32, which holds it exactly.
    """
    return np.array(array, dtype=np.float32 if array.dtype.kind == "V" else None)


def fit_into(slots: Sequence[Slot], parameters: Sequence[NDArray[Any]]) -> Parameters:
    """Return the arrays in the dtypes of a model, contiguous and writable; nothing is changed before all are checked.

    Where the model has an integer and the array is a float, as averaging makes of counters, it is rounded.

    Raises:
        ParametersError: The arrays are too many or too few; or one has another shape, a dtype that would lose more than
            precision, or a number that the model's dtype cannot hold.
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
        array = np.rint(array.astype(np.float64, copy=False))
    elif not np.can_cast(array.dtype, slot.dtype, "same_kind"):
        raise ParametersError(f"array {slot.name!r}: the model has dtype {slot.dtype}, got {array.dtype}")
    if slot.dtype.kind in "iub" and not np.can_cast(array.dtype, slot.dtype):
        _check_range(slot, array)
    try:
        with np.errstate(over="raise", under="ignore"):
            return np.require(array, slot.dtype, ["C", "W"])
    except FloatingPointError:
        largest = np.abs(array[np.isfinite(array)]).max()
        raise ParametersError(
            f"array {slot.name!r}: the model has dtype {slot.dtype}, too small for {largest}"
        ) from None


def _check_range(slot: Slot, array: NDArray[Any]) -> None:
    """Reject values that a cast to integers would wrap around, or turn into numbers although they are not."""
    low, high = (0, 1) if slot.dtype.kind == "b" else (np.iinfo(slot.dtype).min, np.iinfo(slot.dtype).max)
    # As a float the highest may be rounded up; the number after it is a power of two, which is exact.
    fits = (
        (array >= float(low)) & (array < float(high) + 1)
        if array.dtype.kind == "f"
        else (array >= low) & (array <= high)
    )
    if not fits.all():
        raise ParametersError(
            f"array {slot.name!r}: the model has dtype {slot.dtype}, which cannot hold {array[~fits][0]}"
        )
