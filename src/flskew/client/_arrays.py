"""Shared by the modules of the frameworks: fit arrays into a model, or raise an error that names the mismatch.

Errors quote no numbers of an array: they are sent to the server.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._arrays.records import ParametersError
from flskew.typing import Parameters

__all__ = ["Slot", "check_linear", "fit_into", "fit_linear", "private_copy"]


class Slot(NamedTuple):
    """Name, shape and dtype of one array of a model."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def private_copy(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy in one of NumPy's own dtypes, so that further training of the model does not change it.

    bfloat16 and the float8 dtypes of `ml_dtypes`, for which NumPy has no arithmetic, become float32, exactly.
    """
    return np.array(array, dtype=np.float32 if array.dtype.kind == "V" else None)


def fit_into(slots: Sequence[Slot], parameters: Sequence[NDArray[Any]]) -> Parameters:
    """Return the arrays in the dtypes of a model, contiguous and writable, after checking all of them.

    Floats are rounded to the model's precision, such as float64 from a server's optimizer for a float32 model. For an
    integer array, such as an averaged counter, they are rounded to the nearest integer.

    Raises:
        ParametersError: The number of arrays differs; or an array has another shape, a dtype whose conversion would
            lose more than precision, or a finite number outside the range of the model's dtype.
    """
    if len(parameters) != len(slots):
        raise ParametersError(
            f"the model has {len(slots)} arrays, {', '.join(slot.name for slot in slots)}; got {len(parameters)}; "
            "start the server from get_parameters of the same model"
        )
    return [_fit(slot, array) for slot, array in zip(slots, parameters, strict=True)]


def check_linear(linear: Sequence[NDArray[Any] | None], names: Sequence[str]) -> None:
    """Check that the linear part of a local term is for a model with these arrays.

    Raises:
        ParametersError: It has another number of arrays.
    """
    if len(linear) != len(names):
        raise ParametersError(
            f"the model has {len(names)} arrays, {', '.join(names)}; the linear part of its local term is for "
            f"{len(linear)}, as many as the server sent; start the server from get_parameters of the same model"
        )


def fit_linear(
    slots: Sequence[Slot], weights: Collection[int], linear: Sequence[NDArray[Any] | None] | None
) -> dict[int, NDArray[Any]]:
    """Return the linear part of a local term by position, in the dtypes of a model's weights.

    Args:
        slots: One per array of the model.
        weights: Positions of the arrays that are weights. What `linear` has for others is ignored.
        linear: One array per array of the model; None for an array, or for all, is zero.

    Raises:
        ParametersError: The number of arrays differs, or one has another shape, or a dtype or numbers that do not fit.
    """
    if linear is None:
        return {}
    check_linear(linear, [slot.name for slot in slots])
    return {place: _fit(slots[place], g) for place, g in enumerate(linear) if g is not None and place in weights}


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
        raise ParametersError(_out_of_range(slot)) from None


def _check_range(slot: Slot, array: NDArray[Any]) -> None:
    """Reject values that would wrap around in a cast to integers, and NaN and infinity, which would become numbers."""
    low, high = (0, 1) if slot.dtype.kind == "b" else (np.iinfo(slot.dtype).min, np.iinfo(slot.dtype).max)
    # As a float, `high` may be rounded up; high + 1 is a power of two, which is exact.
    fits = (
        (array >= float(low)) & (array < float(high) + 1)
        if array.dtype.kind == "f"
        else (array >= low) & (array <= high)
    )
    if not fits.all():
        raise ParametersError(_out_of_range(slot))


def _out_of_range(slot: Slot) -> str:
    return f"array {slot.name!r} has numbers outside the range of the model's dtype, {slot.dtype}"
