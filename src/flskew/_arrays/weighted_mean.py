"""The weighted mean of models, block by block, in the memory of one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import bfloat16_from_float32, float32_from_bfloat16, is_bfloat16
from flskew._arrays.records import ParametersError
from flskew._util.threads import in_strips

__all__ = ["NotFiniteError", "weighted_mean"]

# Elements averaged together: the block of every model in turn is added to sums that stay in a processor's second-level
# cache, so each model is read once and no temporary is ever as large as one.
_BLOCK = 1 << 17


class NotFiniteError(ParametersError):
    """A mean is NaN or infinite, because one of the arrays is, or because their sum overflows."""


def weighted_mean(
    models: Sequence[Sequence[NDArray[Any]]],
    weights: Sequence[float],
    out: Sequence[NDArray[Any]] | None = None,
) -> list[NDArray[Any]]:
    """Return the weighted mean of models, computed on all processors; the result does not depend on their number.

    Each array keeps its dtype and its layout in memory. Floats are summed in their own dtype with weights that already
    sum to one, in the order of `models`, which for float32 and float64 is bit for bit what Flower's FedAvg computes;
    float16 and bfloat16 are summed in float32. Integers are summed in float64 as differences from the first model, so
    that equal values stay equal at any size, and the mean is rounded to the nearest, halves up. The mean of booleans is
    their weighted majority, and a tie is True.

    Args:
        models: One list of arrays each, alike in count, shapes and dtypes.
        weights: One for each model, > 0, with a finite sum.
        out: Arrays like those of a model, but not shared with one, which receive the mean and are returned; None makes
            new ones.

    Raises:
        ParametersError: The models or `out` are not alike, or a dtype has no mean.
        NotFiniteError: The mean is not finite: one of the models holds NaN or infinity.
        ValueError: `models` is empty, a weight is not positive, or their sum is not finite.

    Examples:
        >>> import numpy as np
        >>> weighted_mean([[np.array([0.0, 4.0])], [np.array([8.0, 4.0])]], weights=[3, 1])
        [array([2., 4.])]
    """
    if not models or len(models) != len(weights):
        raise ValueError(f"weights must have one entry per model, at least one, got {len(weights)} for {len(models)}")
    if not (math.isfinite(sum(weights)) and min(weights) > 0):
        raise ValueError(f"weights must be > 0 and their sum finite, got {list(weights)}")
    means = [np.empty_like(array) for array in models[0]] if out is None else list(out)
    want = [(array.dtype, array.shape) for array in models[0]]
    for model in (*models[1:], means):
        have = [(array.dtype, array.shape) for array in model]
        if have != want:
            raise ParametersError(f"the arrays must be like the first ones, {want}, got {have}")
    for index, (dtype, _) in enumerate(want):
        if dtype.kind not in "fciub" and not is_bfloat16(dtype):
            raise ParametersError(f"array {index}: {dtype} has no mean; send numbers only")
    flat = [_flat([mean, *arrays]) for mean, *arrays in zip(means, *models, strict=True)]
    # Over all arrays, because sizes differ widely.
    blocks = [(index, block) for index, (mean, *_) in enumerate(flat) for block in _blocks(mean)]

    def average(strip: range) -> None:
        for index, block in (blocks[number] for number in strip):
            mean, *arrays = (array[block] for array in flat[index])
            if mean.dtype.kind in "iub":
                _average_integers(mean, arrays, weights)
            else:
                _average_floats(mean, arrays, weights)

    in_strips(average, range(len(blocks)))
    return means


def _flat(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return one-dimensional views where all arrays are laid out alike, and else the arrays themselves."""
    if all(array.flags.c_contiguous for array in arrays):
        return [array.reshape(-1) for array in arrays]
    if all(array.flags.f_contiguous for array in arrays):
        return [array.T.reshape(-1) for array in arrays]
    return arrays


def _blocks(array: NDArray[Any]) -> Iterator[slice]:
    """Cut along the first axis."""
    rows = max(1, _BLOCK // max(1, math.prod(array.shape[1:])))
    return (slice(start, start + rows) for start in range(0, len(array), rows))


def _average_floats(mean: NDArray[Any], arrays: list[NDArray[Any]], weights: Sequence[float]) -> None:
    is_brain_float = is_bfloat16(mean.dtype)
    working = np.dtype(np.float32) if mean.dtype.itemsize == 2 else mean.dtype.newbyteorder("=")
    total_weight = sum(weights)
    product: NDArray[Any] = np.empty(mean.shape, working)
    total = mean if mean.dtype == working else np.empty(mean.shape, working)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # a result that is not finite is refused
        for index, (array, weight) in enumerate(zip(arrays, weights, strict=True)):
            numbers = float32_from_bfloat16(array) if is_brain_float else array
            np.multiply(numbers, weight / total_weight, out=product if index else total, dtype=working)
            if index:
                np.add(total, product, out=total)
        # NaN and infinity outlive every sum: a finite mean shows that all the summands are.
        if not np.isfinite(total).all():
            raise NotFiniteError("the mean is not finite")
        if total is not mean:
            mean[...] = bfloat16_from_float32(total) if is_brain_float else total


def _average_integers(mean: NDArray[Any], arrays: list[NDArray[Any]], weights: Sequence[float]) -> None:
    total_weight = sum(weights)
    high, low = _halves(arrays[0])
    high_sum, low_sum = np.zeros_like(high), np.zeros_like(low)
    for array, weight in zip(arrays[1:], weights[1:], strict=True):
        other_high, other_low = _halves(array)
        high_sum += (other_high - high) * weight
        low_sum += (other_low - low) * weight
    # What a mean of the high halves leaves over belongs to the low ones.
    high_shift = np.floor(high_sum / total_weight)
    rest = (high_sum - high_shift * total_weight) * 2.0**32 + low_sum
    low_shift = np.floor(rest / total_weight + 0.5)
    # Modulo 2^64, in which a mean of integers of 64 bits lies again.
    shift = (high_shift.astype(np.int64) << 32) + low_shift.astype(np.int64)
    mean[...] = np.add(arrays[0], shift, dtype=np.int64).astype(mean.dtype)


def _halves(integers: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the upper and the lower 32 bits; differences of 64 bits would not fit a float64 exactly."""
    if integers.dtype.itemsize < 8:
        return np.zeros(integers.shape), integers.astype(np.float64)
    return (integers >> 32).astype(np.float64), (integers & 0xFFFFFFFF).astype(np.float64)
