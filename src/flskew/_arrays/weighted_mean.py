"""The weighted mean of models, block by block, with memory for one model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import bfloat16_from_float32, is_bfloat16
from flskew._arrays.records import ParametersError
from flskew._arrays.update_norm import Distances, blocks, flat, readable
from flskew._util.threads import in_strips

__all__ = ["NotFiniteError", "weighted_mean"]


class NotFiniteError(ParametersError):
    """A mean is NaN or infinite, because one of the arrays is, or because their sum overflows."""


def weighted_mean(
    models: Sequence[Sequence[NDArray[Any]]],
    weights: Sequence[float],
    out: Sequence[NDArray[Any]] | None = None,
    *,
    sent: Sequence[Sequence[NDArray[Any]]] | None = None,
    norms: NDArray[np.float64] | None = None,
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
        out: Arrays that receive the mean and are returned: like those of a model, but sharing no memory with one. None
            makes new ones.
        sent: The model that each one updates, in the same form as `models`; None measures no updates.
        norms: (len(models),), receives the norm of each update, measured while the blocks are in the processor's cache.

    Raises:
        ParametersError: The models, `out` or `sent` are not alike, or a dtype cannot be averaged.
        NotFiniteError: The mean is not finite: one of the models holds NaN or infinity.
        ValueError: `models` is empty, a weight is not positive, or their sum is not finite.

    Examples:
        >>> import numpy as np
        >>> weighted_mean(
        ...     [[np.array([0.0, 4.0])], [np.array([8.0, 4.0])]], weights=[3, 1]
        ... )
        [array([2., 4.])]
    """
    if not models or len(models) != len(weights):
        raise ValueError(f"weights must have one entry per model, at least one, got {len(weights)} for {len(models)}")
    if not (math.isfinite(sum(weights)) and min(weights) > 0):
        raise ValueError(f"weights must be > 0 and their sum finite, got {list(weights)}")
    means = [np.empty_like(array) for array in models[0]] if out is None else list(out)
    want = [(array.dtype, array.shape) for array in models[0]]
    # Most models are updates of the same one.
    distinct = list({id(start): start for start in sent or ()}.values())
    numbers = {id(start): number for number, start in enumerate(distinct)}
    starts = [numbers[id(start)] for start in sent or ()]
    for model in (*models[1:], means, *distinct):
        have = [(array.dtype, array.shape) for array in model]
        if have != want:
            raise ParametersError(f"the arrays must be like the first ones, {want}, got {have}")
    for index, (dtype, _) in enumerate(want):
        if dtype.kind not in "fciub" and not is_bfloat16(dtype):
            raise ParametersError(f"array {index}: {dtype} cannot be averaged; send numbers only")
    flattened = [flat(list(arrays)) for arrays in zip(means, *models, *distinct, strict=True)]
    # Blocks of all arrays together, because their sizes differ widely.
    places = [(index, block) for index, (mean, *_) in enumerate(flattened) for block in blocks(mean)]
    # One row per block, so that the sums do not depend on the number of processors.
    measured = np.zeros((len(places), len(starts)))

    def average(strip: range) -> None:
        for number in strip:
            index, block = places[number]
            mean, *arrays = (array[block] for array in flattened[index])
            before = arrays[len(models) :]
            combine = _average_integers if mean.dtype.kind in "iub" else _average_floats
            combine(mean, arrays[: len(models)], weights, [before[which] for which in starts], measured[number])

    in_strips(average, range(len(places)), len(models) * sum(array.size for array in means))
    if norms is not None:
        norms[:] = [math.hypot(*column) for column in measured.T]
    return means


def _average_floats(
    mean: NDArray[Any],
    arrays: list[NDArray[Any]],
    weights: Sequence[float],
    sent: list[NDArray[Any]],
    norms: NDArray[np.float64],
) -> None:
    is_brain_float, is_half = is_bfloat16(mean.dtype), mean.dtype.itemsize == 2
    working = np.dtype(np.float32) if is_half else mean.dtype.newbyteorder("=")
    total_weight = sum(weights)
    total = mean if mean.dtype == working else np.empty(mean.shape, working)
    distances = Distances(len(sent), total)
    product = distances.scratch
    before = start = None
    with np.errstate(all="ignore"):  # results that are not finite are refused below
        for index, (array, weight) in enumerate(zip(arrays, weights, strict=True)):
            numbers = readable(array) if is_half else array
            if sent:
                if start is not sent[index] or before is None:
                    start = sent[index]
                    before = readable(start)
                distances.measure(index, numbers, before)
            np.multiply(numbers, weight / total_weight, out=product if index else total, dtype=working)
            if index:
                np.add(total, product, out=total)
        # NaN and infinity survive every sum, so a finite mean has only finite summands.
        if not np.isfinite(total).all():
            raise NotFiniteError("the mean is not finite")
        norms[:] = distances.norms(arrays[: len(sent)], sent)
        if total is not mean:
            mean[...] = bfloat16_from_float32(total) if is_brain_float else total


def _average_integers(
    mean: NDArray[Any],
    arrays: list[NDArray[Any]],
    weights: Sequence[float],
    sent: list[NDArray[Any]],
    norms: NDArray[np.float64],
) -> None:
    distances = Distances(len(sent), mean)
    with np.errstate(all="ignore"):
        for index, before in enumerate(sent):
            distances.measure(index, arrays[index], before)
    norms[:] = distances.norms(arrays[: len(sent)], sent)
    total_weight = sum(weights)
    high, low = _halves(arrays[0])
    high_sum, low_sum = np.zeros_like(high), np.zeros_like(low)
    for array, weight in zip(arrays[1:], weights[1:], strict=True):
        other_high, other_low = _halves(array)
        high_sum += (other_high - high) * weight
        low_sum += (other_low - low) * weight
    # Carry the remainder of the mean of the high halves to the low ones.
    high_shift = np.floor(high_sum / total_weight)
    rest = (high_sum - high_shift * total_weight) * 2.0**32 + low_sum
    low_shift = np.floor(rest / total_weight + 0.5)
    # Arithmetic modulo 2^64 is enough, because the mean of 64-bit integers fits 64 bits.
    shift = (high_shift.astype(np.int64) << 32) + low_shift.astype(np.int64)
    mean[...] = np.add(arrays[0], shift, dtype=np.int64).astype(mean.dtype)


def _halves(integers: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the upper and the lower 32 bits; a float64 cannot represent all 64-bit differences exactly."""
    if integers.dtype.itemsize < 8:
        return np.zeros(integers.shape), integers.astype(np.float64)
    return (integers >> 32).astype(np.float64), (integers & 0xFFFFFFFF).astype(np.float64)
