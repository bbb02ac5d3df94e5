"""Conversion of models to dtypes that every strategy can compute with, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import bfloat16_from_float32, float32_from_bfloat16, is_bfloat16
from flskew._arrays.records import ParametersError, all_finite, array_from_numpy, numpy_from_array

__all__ = ["narrowed", "widened"]


def widened(arrays: ArrayRecord, like: ArrayRecord) -> ArrayRecord:
    """Return a new record with half precision as float32, integers and booleans as float64; other arrays are shared.

    A 0-d array becomes an array of shape (1,): arithmetic turns the former into scalars, which some releases of Flower
    cannot put into a record.

    Args:
        arrays: The record.
        like: A record with the same names, in the order of the result.

    Examples:
        >>> import numpy as np
        >>> arrays = ArrayRecord([np.ones(2, np.float16), np.array([True])])
        >>> widened(arrays, like=arrays).to_numpy_ndarrays()
        [array([1., 1.], dtype=float32), array([1.])]
    """
    return ArrayRecord({name: _widened(arrays[name]) for name in like})


def narrowed(arrays: ArrayRecord, like: ArrayRecord) -> ArrayRecord:
    """Return a new record with the dtypes of `like`, in its order.

    Integers are rounded to the nearest, halves up, and clipped to the limits of their dtype; a boolean is True from 0.5
    on.

    Raises:
        ParametersError: Names or shapes differ from `like`, or a number is not finite.

    Examples:
        >>> import numpy as np
        >>> like = ArrayRecord([np.zeros(2, np.int8)])
        >>> narrowed(ArrayRecord([np.array([2.5, 300.0])]), like).to_numpy_ndarrays()
        [array([  3, 127], dtype=int8)]
    """
    if set(arrays) != set(like):
        raise ParametersError(f"the arrays are {list(arrays)} instead of {list(like)}")
    return ArrayRecord({name: _narrowed(name, arrays[name], wanted) for name, wanted in like.items()})


def _widened(array: Array) -> Array:
    view = numpy_from_array(array)
    if is_bfloat16(view.dtype):
        wide: NDArray[Any] = float32_from_bfloat16(view)
    elif view.dtype.kind in "iub":
        wide = view.astype(np.float64)
    elif view.dtype == np.float16:
        wide = view.astype(np.float32)
    else:
        wide = view
    return array if wide is view and view.ndim else array_from_numpy(np.atleast_1d(wide))


def _narrowed(name: str, array: Array, like: Array) -> Array:
    view, wanted = numpy_from_array(array, f"array {name!r}"), numpy_from_array(like)
    if view.dtype != wanted.dtype and view.dtype.kind not in "biuf":
        raise ParametersError(f"array {name!r} is {view.dtype} instead of {wanted.dtype}")
    if view.shape not in (wanted.shape, wanted.shape or (1,)):
        raise ParametersError(f"array {name!r} has shape {view.shape} instead of {wanted.shape}")
    if (view.dtype, view.shape) != (wanted.dtype, wanted.shape):
        with np.errstate(over="ignore", under="ignore"):  # infinite results are refused below
            array = array_from_numpy(_cast(view, wanted.dtype, name).reshape(wanted.shape))
    if not all_finite(numpy_from_array(array)):
        raise ParametersError(f"array {name!r} holds NaN or infinity")
    return array


def _cast(view: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    if view.dtype == dtype:
        return view
    if is_bfloat16(dtype):
        return bfloat16_from_float32(view)
    if dtype.kind not in "iub":
        return view.astype(dtype)
    if not all_finite(view):
        raise ParametersError(f"array {name!r} holds NaN or infinity")
    if dtype.kind == "b":
        return view >= 0.5
    limits = np.iinfo(dtype)
    # The largest float64 that truncates to a number within the limits.
    highest = np.nextafter(float(limits.max) + 1.0, 0.0)
    return np.clip(np.floor(view + 0.5), float(limits.min), highest).astype(dtype)
