"""Lists of arrays to and from Flower's records, and whether they are finite.

A Flower `Array` holds the bytes of a `.npy` file. Here, reading returns a view of those bytes and writing makes a
single copy, so a 1 GB model needs 1 GB and not 3. bfloat16 is sent as Flower sends arrays of ml_dtypes: the dtype of
the `Array` is bfloat16, and its `.npy` file has two raw bytes per number.
"""

from __future__ import annotations

import functools
import io
import itertools
import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.lib import format as npy
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import BFLOAT16, BFLOAT16_NAME, bits, is_bfloat16
from flskew._flower import new_array
from flskew.typing import Parameters

__all__ = [
    "Draft",
    "ParametersError",
    "all_finite",
    "array_from_numpy",
    "numpy_from_array",
    "parameters_from_record",
    "record_from_parameters",
]

_NUMPY_STYPE = "numpy.ndarray"
# Elements checked together: temporaries stay much smaller than the model.
_BLOCK = 1 << 16
# Longer than any header that NumPy reads; longer ones are refused.
_LONGEST_HEADER = 1 << 14


class ParametersError(ValueError):
    """Arrays cannot be read, written or averaged; the message names the array and the remedy.

    Examples:
        >>> import numpy as np
        >>> from sklearn.linear_model import LogisticRegression
        >>> from flskew.client.sklearn import prepare, set_parameters
        >>> model = LogisticRegression()
        >>> prepare(model, num_features=2, classes=[0, 1])
        >>> set_parameters(model, [np.zeros((1, 3)), np.zeros(1)])
        Traceback (most recent call last):
        ...
        flskew._arrays.records.ParametersError: array 'coef_': the model has shape ...
    """


def numpy_from_array(array: Array, name: str = "array") -> NDArray[Any]:
    """Return a read-only view on the bytes of a Flower `Array`, without a copy; of bfloat16, a view of `BFLOAT16`.

    Args:
        array: Serialized by NumPy, as `Array(ndarray)` and `ArrayRecord(list_of_ndarrays)` do.
        name: Name of the array in errors.

    Raises:
        ParametersError: Another serialization, Python objects (they would have to be unpickled), a void type other than
            bfloat16, or bytes that disagree with the dtype and shape `array` claims.

    Examples:
        >>> import numpy as np
        >>> from flwr.app import Array
        >>> numpy_from_array(Array(np.arange(3.0)))
        array([0., 1., 2.])
    """
    data = array.data
    if array.stype != _NUMPY_STYPE:
        raise ParametersError(f"{name}: serialized as {array.stype!r}; send it as a NumPy array ({_NUMPY_STYPE!r})")
    try:
        dtype, shape, order, start = _checked_layout(_header(data), len(data), array.dtype, tuple(array.shape))
    except ParametersError as error:
        raise ParametersError(f"{name}: {error}") from error.__cause__
    try:
        view: NDArray[Any] = np.ndarray(shape, dtype, data, start, order=order)
    except (ValueError, OverflowError, MemoryError) as error:  # empty, with a shape that NumPy does not support
        raise ParametersError(f"{name}: {dtype} {shape} is not a valid array ({error})") from error
    view.setflags(write=False)
    return view


def array_from_numpy(array: NDArray[Any] | np.generic, name: str = "array") -> Array:
    """Return a Flower `Array` with the same bytes as `Array(array)`, in one copy instead of two.

    bfloat16 may be `BFLOAT16` or the dtype of ml_dtypes.

    Raises:
        ParametersError: `array` is not a NumPy array, or holds Python objects, structured rows or a mask.

    Examples:
        >>> import numpy as np
        >>> array_from_numpy(np.zeros((2, 3), np.float32)).shape
        (2, 3)
    """
    if not isinstance(array, np.ndarray | np.generic):  # arithmetic on a 0-d array gives a NumPy scalar
        remedy = "tensor.detach().cpu().numpy()" if hasattr(array, "detach") else "numpy.asarray"
        raise ParametersError(f"{name}: must be a NumPy array, got {type(array).__name__}; use {remedy}")
    if isinstance(array, np.ma.MaskedArray):
        raise ParametersError(f"{name}: a mask cannot be sent; use numpy.ma.filled")
    plain = np.asarray(array)
    if plain.nbytes and (plain.flags.c_contiguous or plain.flags.f_contiguous):
        label, header = _label_and_header(plain, name)
        # NumPy's arrays are buffers, but their type does not say so.
        return new_array(label, plain.shape, _NUMPY_STYPE, b"".join((header, _buffer(plain))))  # type: ignore[arg-type]
    draft = Draft(plain, name)
    draft.numbers[...] = bits(plain).view(BFLOAT16) if is_bfloat16(plain.dtype) else plain
    return draft.finish()


class Draft:
    """A Flower `Array` under construction: its numbers are written directly into the bytes that will be sent.

    Attributes:
        numbers: The uninitialised array to write to; bfloat16 is `BFLOAT16`.

    Args:
        like: An array with the same dtype, shape and memory layout.
        name: Name of the array in errors.

    Raises:
        ParametersError: `like` holds Python objects or structured rows.

    Examples:
        >>> import numpy as np
        >>> draft = Draft(np.zeros(3, np.float32))
        >>> draft.numbers[...] = 7
        >>> draft.finish().numpy()
        array([7., 7., 7.], dtype=float32)
    """

    def __init__(self, like: NDArray[Any], name: str = "array") -> None:
        self._label, header = _label_and_header(like, name)
        # These bytes use no memory until they are written to, and are taken from the file without a copy.
        self._file = io.BytesIO(bytes(len(header) + like.nbytes))
        self._file.write(header)
        dtype = BFLOAT16 if is_bfloat16(like.dtype) else like.dtype
        if like.nbytes:
            flat = np.frombuffer(self._file.getbuffer(), dtype, like.size, len(header))
            self.numbers = flat.reshape(like.shape, order="F" if _is_fortran(like) else "C")
        else:
            self.numbers = np.empty(like.shape, dtype)

    def finish(self) -> Array:
        """Return the array; `numbers` becomes unavailable."""
        shape = self.numbers.shape
        del self.numbers
        return new_array(self._label, shape, _NUMPY_STYPE, self._file.getvalue())


def parameters_from_record(record: ArrayRecord) -> Parameters:
    """Return the arrays of a record in its order, as read-only views on its bytes.

    Raises:
        ParametersError: An array cannot be read; see `numpy_from_array`.
    """
    return [numpy_from_array(array, f"array {name!r}") for name, array in record.items()]


def record_from_parameters(parameters: Iterable[NDArray[Any]], names: Iterable[str] | None = None) -> ArrayRecord:
    """Return a record of arrays, under Flower's own names "0", "1", ... or the names given.

    Args:
        parameters: The arrays; they are copied, one at a time.
        names: One distinct name per array, in the same order.

    Raises:
        ParametersError: The names are not distinct or not as many as the arrays, or an array cannot be sent.

    Examples:
        >>> import numpy as np
        >>> list(record_from_parameters([np.zeros(2), np.ones(3)], ["weight", "bias"]))
        ['weight', 'bias']
    """
    numbered = ((str(index), array) for index, array in enumerate(parameters))
    record = ArrayRecord()
    for name, array in numbered if names is None else itertools.zip_longest(names, parameters):
        if name is None or array is None or name in record:
            raise ParametersError(f"names must be unique, one per array; got {name!r} after {list(record)}")
        record[name] = array_from_numpy(array, f"array {name!r}")
    return record


def all_finite(array: NDArray[Any]) -> bool:
    """Return whether an array holds neither NaN nor infinity; always true for integers, booleans and text.

    Examples:
        >>> import numpy as np
        >>> all_finite(np.array([1.0, np.nan]))
        False
    """
    is_bits = is_bfloat16(array.dtype)
    if array.dtype.kind not in "fc" and not is_bits:
        return True
    flat = (bits(array) if is_bits else array).ravel(order="K")
    marks = np.empty(min(_BLOCK, flat.size), np.bool_)
    for start in range(0, flat.size, _BLOCK):
        block, out = flat[start : start + _BLOCK], marks[: flat.size - start]
        # A bfloat16 is infinite or NaN if all eight bits of its exponent are set.
        is_finite = np.not_equal(block & 0x7F80, 0x7F80, out=out) if is_bits else np.isfinite(block, out=out)
        if not is_finite.all():
            return False
    return True


def _label_and_header(array: NDArray[Any], name: str) -> tuple[str, bytes]:
    """Return the dtype of a Flower `Array`, and what comes before its numbers.

    Raises:
        ParametersError: `array`, called `name`, holds Python objects or structured rows.
    """
    try:
        return _of_layout(array.dtype, array.shape, _is_fortran(array))
    except ParametersError as error:
        raise ParametersError(f"{name}: {error}") from None


@functools.lru_cache(maxsize=1024)
def _of_layout(dtype: np.dtype[Any], shape: tuple[int, ...], is_fortran: bool) -> tuple[str, bytes]:
    """Return the same for an array of this layout; cached, since layouts repeat for all clients and in every round."""
    is_bits = is_bfloat16(dtype)
    if not is_bits:
        _refuse_unreadable_dtype(dtype)
    descr = "<V2" if is_bits else npy.dtype_to_descr(dtype)
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": descr, "fortran_order": is_fortran, "shape": shape})
    return BFLOAT16_NAME if is_bits else str(dtype), header.getvalue()


def _buffer(array: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers of a contiguous array, without a copy."""
    if array.dtype.isbuiltin == 1 and array.dtype.kind in "biufc":
        return array.T if _is_fortran(array) else array
    return array.reshape(-1, order="A").view(np.uint8)  # such as dates, of which NumPy exports no buffer


def _is_fortran(array: NDArray[Any]) -> bool:
    flags = array.flags
    return flags.f_contiguous and not flags.c_contiguous


def _header(data: bytes) -> bytes:
    """Return the part of a .npy file before its numbers."""
    # After a magic string of eight bytes, its length takes two bytes in version 1.0 and four in 2.0.
    length = 2 if data[6:7] == b"\x01" else 4
    end = 8 + length + int.from_bytes(data[8 : 8 + length], "little")
    return data[: min(end, _LONGEST_HEADER)]


@functools.lru_cache(maxsize=1024)
def _checked_layout(
    header: bytes, num_bytes: int, told_dtype: str, told_shape: tuple[int, ...]
) -> tuple[np.dtype[Any], tuple[int, ...], Literal["C", "F"], int]:
    """Return dtype, shape, order, and where the numbers start; cached, since all of this repeats every round.

    Args:
        header: The beginning of a .npy file.
        num_bytes: Length of the file.
        told_dtype: The dtype that the Flower `Array` claims.
        told_shape: The shape that it claims.

    Raises:
        ParametersError: The header cannot be read, is for another dtype or shape, or does not fit the length.
    """
    try:
        shape, is_fortran, dtype, start = _read_header(header)
    except Exception as error:  # NumPy parses the header as Python code, which may raise many types
        raise ParametersError(f"its bytes are not a .npy array ({error})") from error
    is_told = told_dtype == BFLOAT16_NAME and dtype == BFLOAT16
    if not is_told:
        _refuse_unreadable_dtype(dtype)
    if not (is_told or _same_dtype(told_dtype, dtype)) or told_shape != shape:
        raise ParametersError(
            f"declared as {told_dtype} {told_shape}, but its bytes contain {dtype} {shape}; make it with Array(ndarray)"
        )
    want = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or num_bytes - start != want:
        raise ParametersError(f"{dtype} {shape} takes {want} bytes, got {num_bytes - start}; it was cut or damaged")
    return dtype, shape, "F" if is_fortran else "C", start


def _read_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    stream = io.BytesIO(header)
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version} is for structured arrays")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, dtype = read(stream)
    if not all(type(length) is int for length in shape):  # True == 1, but NumPy refuses it
        raise ValueError(f"the shape {shape} must contain integers only")
    return shape, is_fortran, dtype, stream.tell()


def _same_dtype(name: str, dtype: np.dtype[Any]) -> bool:
    try:
        return np.dtype(name) == dtype
    except Exception:  # NumPy parses it as Python code, which may raise many types
        return False


def _refuse_unreadable_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise ParametersError("Python objects would have to be unpickled; convert it to a numeric dtype")
    if dtype.kind == "V":
        raise ParametersError(f"NumPy has no arithmetic for {dtype}; convert it, such as float8 to float32")
