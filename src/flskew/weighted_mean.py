"""The weighted mean of models that arrive one at a time, in the memory of one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flskew.parameters import ParametersError

__all__ = ["WeightedMean"]

# Sums run over blocks that fit a processor's second-level cache: no temporary is ever as large as the model.
_BLOCK = 1 << 16
_Order = Literal["C", "F"]


class WeightedMean:
    """The weighted mean of lists of arrays that are added one at a time; its memory is one model.

    Each array keeps its dtype. Floats are summed in their own dtype with weights that already sum to one, in the
    order of `add`, which for float32 and float64 is bit for bit what Flower's FedAvg computes; float16 is summed in
    float32. Integers are summed in float64 as differences from the first array, so that equal values stay equal at
    any size, and the mean is rounded to the nearest, halves up. The mean of booleans is their weighted majority, and
    a tie is True.

    Args:
        total_weight: The sum of all the weights that will be added, finite and > 0.

    Raises:
        ValueError: `total_weight` is not finite and positive.

    Example:
        >>> import numpy as np
        >>> mean = WeightedMean(total_weight=4)
        >>> mean.add([np.array([0.0, 4.0])], weight=3)
        >>> mean.add([np.array([8.0, 4.0])], weight=1)
        >>> list(mean.result())
        [array([2., 4.])]
    """

    def __init__(self, total_weight: float) -> None:
        if not (math.isfinite(total_weight) and total_weight > 0):
            raise ValueError(f"total_weight must be finite and > 0, got {total_weight!r}")
        self._total = total_weight
        self._added = 0.0
        self._sums: list[_FloatSum | _IntegerSum] | None = None

    def add(self, parameters: Sequence[NDArray[Any]], weight: float) -> None:
        """Add one list of arrays, all finite; the first is kept by reference until `result`.

        Raises:
            ParametersError: Count, shapes or dtypes differ from the first list's, or a dtype has no mean.
        """
        if self._sums is None:
            self._sums = [_sum_for(array, index) for index, array in enumerate(parameters)]
        have = [(array.dtype, array.shape) for array in parameters]
        want = [(total.dtype, total.shape) for total in self._sums]
        if have != want:
            raise ParametersError(f"the arrays must be like the first ones, {want}, got {have}")
        for total, array in zip(self._sums, parameters, strict=True):
            total.add(array, weight, self._total)
        self._added += weight

    def result(self) -> Iterator[NDArray[Any]]:
        """Return the arrays of the mean, each let go of as it is taken, so it can be asked for once.

        Raises:
            RuntimeError: The weights added do not sum to `total_weight`, or the result was already taken.
        """
        if self._sums is None or not math.isclose(self._added, self._total, rel_tol=1e-6):
            raise RuntimeError(f"weights of {self._added} were added of the {self._total} announced")
        sums, self._sums = self._sums[::-1], None
        return (sums.pop().result(self._total) for _ in range(len(sums)))


class _FloatSum:
    def __init__(self, first: NDArray[Any]) -> None:
        self.dtype, self.shape = first.dtype, first.shape
        self._order = _order(first)
        working = np.dtype(np.float32) if first.dtype == np.float16 else first.dtype.newbyteorder("=")
        # -0.0 is the only number that changes no other, itself included, when added.
        self._sum: NDArray[Any] = np.full(first.size, -np.zeros((), working))

    def add(self, array: NDArray[Any], weight: float, total: float) -> None:
        factor = weight / total
        flat = _flat(array, self._order)
        products: NDArray[Any] = np.empty(min(_BLOCK, flat.size), self._sum.dtype)
        for start in range(0, flat.size, _BLOCK):
            part = self._sum[start : start + _BLOCK]
            product = products[: part.size]
            np.multiply(flat[start : start + _BLOCK], factor, out=product, dtype=product.dtype)
            part += product

    def result(self, total: float) -> NDArray[Any]:
        return self._sum.astype(self.dtype, copy=False).reshape(self.shape, order=self._order)


class _IntegerSum:
    def __init__(self, first: NDArray[Any]) -> None:
        self.dtype, self.shape = first.dtype, first.shape
        self._order = _order(first)
        self._first = _integers(first, self._order)
        self._sum = np.zeros(first.size, np.float64)

    def add(self, array: NDArray[Any], weight: float, total: float) -> None:
        flat = _integers(array, self._order)
        for start in range(0, flat.size, _BLOCK):
            stop = start + _BLOCK
            # Modulo 2^64, so that the difference of two large unsigned numbers is right as well.
            difference = np.subtract(flat[start:stop], self._first[start:stop], dtype=np.int64, casting="unsafe")
            part = self._sum[start:stop]
            part += difference * weight

    def result(self, total: float) -> NDArray[Any]:
        mean = np.empty(self._sum.size, self.dtype)
        for start in range(0, mean.size, _BLOCK):
            stop = start + _BLOCK
            shift = np.floor(self._sum[start:stop] / total + 0.5).astype(np.int64)
            block = np.add(self._first[start:stop], shift, dtype=np.int64, casting="unsafe")
            mean[start:stop] = block.astype(self.dtype, casting="unsafe")
        return mean.reshape(self.shape, order=self._order)


def _sum_for(array: NDArray[Any], index: int) -> _FloatSum | _IntegerSum:
    if array.dtype.kind in "fc":
        return _FloatSum(array)
    if array.dtype.kind in "iub":
        return _IntegerSum(array)
    raise ParametersError(f"array {index}: {array.dtype} has no mean; send numbers only")


def _order(array: NDArray[Any]) -> _Order:
    return "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"


def _flat(array: NDArray[Any], order: _Order) -> NDArray[Any]:
    return array.reshape(-1, order=order)


def _integers(array: NDArray[Any], order: _Order) -> NDArray[Any]:
    flat = _flat(array, order)
    return flat.view(np.uint8) if flat.dtype.kind == "b" else flat
