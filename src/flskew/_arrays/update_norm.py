"""The Euclidean norm of a client's update, safe from overflow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import float32_from_bfloat16, is_bfloat16
from flskew._util.threads import in_strips

__all__ = ["Distances", "blocks", "flat", "readable", "update_norm"]

# Elements per block. The sums of a block stay in the processor's second-level cache while that block of every model is
# added to them, so each model is read once and temporaries stay small.
_BLOCK = 1 << 17
# Number of float32 squares that are summed in float32; the partial sums are added in float64. Short sums are exact to
# about 1e-6, and BLAS does not start threads for them, so that the result is the same on any number of processors.
_CHUNK = 1 << 12


def update_norm(parameters: Sequence[NDArray[Any]], sent: Sequence[NDArray[Any]]) -> float:
    """Return the Euclidean norm of `parameters - sent` over all their numbers; float32 keeps about six digits.

    The result is NaN or infinite if a number is, and infinite if the norm overflows float64.

    Args:
        parameters: Arrays of numbers.
        sent: Arrays of the same dtypes and shapes.

    Examples:
        >>> new, old = (
        ...     [np.array([3.0]), np.array([5])],
        ...     [np.array([0.0]), np.array([1])],
        ... )
        >>> update_norm(new, old)
        5.0
        >>> update_norm([np.array([3e300])], [np.array([-1e300])])
        4e+300
    """
    pairs = [flat(list(pair)) for pair in zip(parameters, sent, strict=True)]
    places = [(index, block) for index, (array, _) in enumerate(pairs) for block in blocks(array)]

    def measure(strip: range) -> list[float]:
        norms = []
        for index, block in (places[number] for number in strip):
            array, before = (array[block] for array in pairs[index])
            wide = readable(array)
            distances = Distances(1, wide)
            with np.errstate(all="ignore"):
                distances.measure(0, wide, readable(before))
            norms += distances.norms([array], [before])
        return norms

    strips = in_strips(measure, range(len(places)), 2 * sum(array.size for array in parameters))
    return math.hypot(*(norm for norms in strips for norm in norms))


class Distances:
    """Norms of the differences between a few small arrays and what each is compared with.

    Each takes two NumPy calls, while it is in the processor's cache for the mean; norms that overflow or underflow are
    computed again at the end, with scaling.

    Attributes:
        scratch: Contiguous memory of the shape of the arrays, free between the calls of `measure`.

    Args:
        count: Number of arrays.
        like: An array of their dtype and shape, at least one number.
    """

    def __init__(self, count: int, like: NDArray[Any]) -> None:
        length = min(_CHUNK, like.size)
        padded = np.empty(-(-like.size // length) * length, _working(like.dtype))
        padded[like.size :] = 0
        self.scratch = padded[: like.size].reshape(like.shape)
        numbers = padded.view(padded.real.dtype)
        self._rows = numbers.reshape(-1, 1, length)
        self._columns = self._rows.reshape(-1, length, 1)
        self._squares = np.zeros((count, len(self._rows), 1, 1), numbers.dtype)

    def measure(self, index: int, array: NDArray[Any], sent: NDArray[Any]) -> None:
        """Measure array number `index`; both must be `readable`.

        The caller ignores NumPy's errors: norms that overflow or underflow are measured again.
        """
        np.subtract(array, sent, out=self.scratch, dtype=self.scratch.dtype)
        np.matmul(self._rows, self._columns, out=self._squares[index])

    def norms(self, arrays: Sequence[NDArray[Any]], sent: Sequence[NDArray[Any]]) -> list[float]:
        """Return the norm of each, in order; the arrays are those measured, and need not be `readable`."""
        squares = self._squares.sum(axis=(1, 2, 3), dtype=np.float64)
        lowest = np.finfo(self._squares.dtype).tiny * 2.0**46
        return [
            math.sqrt(square) if lowest < square < math.inf else _scaled_norm(*map(readable, pair))
            for square, *pair in zip(squares.tolist(), arrays, sent, strict=True)
        ]


def readable(array: NDArray[Any]) -> NDArray[Any]:
    """Return half precision as float32, and any other array unchanged."""
    if is_bfloat16(array.dtype):
        return float32_from_bfloat16(array)
    return array.astype(np.float32) if array.dtype.kind == "f" and array.dtype.itemsize == 2 else array


def flat(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return one-dimensional views if all arrays have the same layout, or else the arrays themselves."""
    if all(array.flags.c_contiguous for array in arrays):
        return [array.reshape(-1) for array in arrays]
    if all(array.flags.f_contiguous for array in arrays):
        return [array.T.reshape(-1) for array in arrays]
    return arrays


def blocks(array: NDArray[Any]) -> Iterator[slice]:
    """Cut along the first axis."""
    rows = max(1, _BLOCK // max(1, math.prod(array.shape[1:])))
    return (slice(start, start + rows) for start in range(0, len(array), rows))


def _working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which to subtract."""
    return dtype.newbyteorder("=") if dtype.kind in "fc" else np.dtype(np.float64)


def _scaled_norm(array: NDArray[Any], sent: NDArray[Any]) -> float:
    """Return the same norm, computed in float64 relative to the largest difference."""
    if np.array_equal(array, sent):  # such as frozen layers
        return 0.0
    dtype = np.complex128 if array.dtype.kind == "c" else np.float64
    new, old = (np.asarray(numbers, dtype).reshape(-1).view(np.float64) for numbers in (array, sent))
    with np.errstate(all="ignore"):
        unit, difference = 1.0, new - old
        if np.isinf(difference).any():  # as the difference of two finite numbers may be
            unit, difference = 2.0, new / 2 - old / 2
        largest = float(np.abs(difference).max(initial=0.0))
        if not 0 < largest < math.inf:  # 0 for integers that are the same float64
            return largest
        scaled = difference / largest
        return unit * largest * math.sqrt(float(np.einsum("i,i->", scaled, scaled)))
