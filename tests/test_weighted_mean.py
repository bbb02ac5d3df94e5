"""The weighted mean of models that arrive one at a time."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from typing import Any

import hypothesis.extra.numpy as np_strategies
import numpy as np
import pytest
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flskew.parameters import ParametersError
from flskew.weighted_mean import WeightedMean

WEIGHTS = st.lists(st.integers(1, 10**6), min_size=1, max_size=6)


def mean_of(models: list[list[NDArray[Any]]], weights: list[int]) -> list[NDArray[Any]]:
    mean = WeightedMean(sum(weights))
    for model, weight in zip(models, weights, strict=True):
        mean.add(model, weight)
    return list(mean.result())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data(), weights=WEIGHTS)
def test_the_mean_of_floats_is_flowers_bit_for_bit(dtype: type, data: st.DataObject, weights: list[int]) -> None:
    array = np_strategies.arrays(dtype, (3, 2), elements=st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0]))
    models = [[data.draw(array)] for _ in weights]
    replies = [
        RecordDict({"arrays": ArrayRecord(model), "metrics": MetricRecord({"num-examples": weight})})
        for model, weight in zip(models, weights, strict=True)
    ]
    (flowers,) = aggregate_arrayrecords(replies, "num-examples").to_numpy_ndarrays()
    (ours,) = mean_of(models, weights)
    assert ours.dtype == dtype
    assert ours.tobytes() == flowers.tobytes()


def test_a_large_mean_is_flowers_bit_for_bit_across_blocks_and_orders() -> None:
    rng = np.random.default_rng(0)
    models = [
        [rng.standard_normal((300, 700)).astype(np.float32), np.asfortranarray(rng.standard_normal((300, 700)))]
        for _ in range(4)
    ]
    models[2][1] = np.ascontiguousarray(models[2][1])  # one client's array is laid out otherwise
    weights = [1, 20, 300, 4000]
    replies = [
        RecordDict({"arrays": ArrayRecord(model), "metrics": MetricRecord({"num-examples": weight})})
        for model, weight in zip(models, weights, strict=True)
    ]
    flowers = aggregate_arrayrecords(replies, "num-examples").to_numpy_ndarrays()
    for ours, theirs in zip(mean_of(models, weights), flowers, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


@given(data=st.data(), weights=WEIGHTS)
def test_the_mean_of_float16_is_within_half_a_unit_of_the_exact_one(data: st.DataObject, weights: list[int]) -> None:
    numbers = [data.draw(st.floats(-1000, 1000, width=16)) for _ in weights]
    (ours,) = mean_of([[np.array([number], np.float16)] for number in numbers], weights)
    exact = sum(Fraction(n) * w for n, w in zip(numbers, weights, strict=True)) / sum(weights)
    assert ours.dtype == np.float16
    # Half a unit of float16 where the mean lies, and two roundings of float32 for each summand of up to 1000.
    allowed = float(np.spacing(np.abs(ours[0]))) / 2 + 2 * len(weights) * 1000 * 2.0**-24
    assert abs(Fraction(float(ours[0])) - exact) <= allowed


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", ">i4", "i8", "u8"])
@given(data=st.data(), weights=st.lists(st.integers(1, 1000), min_size=1, max_size=5))
def test_the_mean_of_integers_is_the_nearest_integer_halves_up(
    dtype: str, data: st.DataObject, weights: list[int]
) -> None:
    limits = np.iinfo(dtype)
    lowest, highest = int(limits.min), int(limits.max)
    centre = data.draw(st.sampled_from([lowest, 0, highest // 2, highest]))
    # Within a million of each other, so that the sums of differences are exact.
    numbers = [min(max(centre + data.draw(st.integers(-(10**6), 10**6)), lowest), highest) for _ in weights]
    (ours,) = mean_of([[np.array([number], dtype)] for number in numbers], weights)
    exact = sum(Fraction(n) * w for n, w in zip(numbers, weights, strict=True)) / sum(weights)
    assert ours.dtype == np.dtype(dtype)
    assert int(ours[0]) == (exact + Fraction(1, 2)).__floor__()


def test_equal_integers_stay_equal_at_any_size() -> None:
    # In float64, 7/3 + 7/3 + 7/3 is 7 but 7 * (1/3) * 3 is not, and 2^60 + 1 does not exist.
    for number in (7, 2**60 + 1):
        (ours,) = mean_of([[np.array(number)]] * 3, [1, 1, 1])
        assert ours.shape == ()
        assert int(ours) == number


def test_the_mean_of_booleans_is_the_weighted_majority_and_a_tie_is_true() -> None:
    models = [[np.array([True, True, False])], [np.array([False, True, False])], [np.array([True, False, True])]]
    # Weights 1, 3, 2: the first is True for 1 + 2 of 6, a tie; the second for 1 + 3; the third for 2.
    (ours,) = mean_of(models, [1, 3, 2])
    np.testing.assert_array_equal(ours, np.array([True, True, False]), strict=True)


def test_complex_numbers_and_empty_and_foreign_byte_orders_keep_their_dtype() -> None:
    first = [np.array([1 + 2j]), np.zeros((0, 3), np.float32), np.array([4.0], ">f4")]
    second = [np.array([3 + 4j]), np.zeros((0, 3), np.float32), np.array([8.0], ">f4")]
    expected = [np.array([2 + 3j]), np.zeros((0, 3), np.float32), np.array([6.0], ">f4")]
    for ours, array in zip(mean_of([first, second], [5, 5]), expected, strict=True):
        assert ours.dtype == array.dtype
        np.testing.assert_array_equal(ours, array)


def test_the_largest_floats_do_not_overflow() -> None:
    largest = np.finfo(np.float32).max
    (ours,) = mean_of([[np.array([largest / 2])]] * 4, [10**9] * 4)
    np.testing.assert_allclose(ours, largest / 2)


def test_the_clients_arrays_are_not_changed() -> None:
    array = np.ones(3)
    mean_of([[array], [array * 3]], [1, 1])
    np.testing.assert_array_equal(array, np.ones(3))


@pytest.mark.parametrize("other", [[np.zeros(1)], [np.zeros(3, np.float32)], [], [np.zeros(3), np.zeros(3)]])
def test_models_that_differ_in_kind_have_no_mean(other: list[NDArray[Any]]) -> None:
    mean = WeightedMean(2)
    mean.add([np.zeros(3)], 1)
    with pytest.raises(ParametersError, match="the arrays must be like the first ones"):
        mean.add(other, 1)


def test_text_has_no_mean() -> None:
    with pytest.raises(ParametersError, match="array 1: <U1 has no mean; send numbers only"):
        WeightedMean(1).add([np.zeros(1), np.array(["a"])], 1)


@pytest.mark.parametrize("total", [0, -1, float("nan"), float("inf")])
def test_the_weights_must_have_a_finite_positive_sum(total: float) -> None:
    with pytest.raises(ValueError, match="total_weight must be finite and > 0"):
        WeightedMean(total)


def test_a_mean_that_lacks_a_model_is_not_handed_out() -> None:
    mean = WeightedMean(3)
    mean.add([np.zeros(1)], 1)
    with pytest.raises(RuntimeError, match=r"weights of 1.0 were added of the 3 announced"):
        mean.result()


def test_a_mean_is_handed_out_once() -> None:
    mean = WeightedMean(1)
    mean.add([np.zeros(1)], 1)
    list(mean.result())
    with pytest.raises(RuntimeError):
        mean.result()


def test_its_memory_is_one_model_however_many_are_added() -> None:
    model = [np.ones(2**16, np.float32) for _ in range(16)]
    tracemalloc.start()
    mean = WeightedMean(50)
    for _ in range(50):
        mean.add(model, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # One sum for each array, and one block of 2^16 floats of four bytes.
    assert peak < sum(array.nbytes for array in model) + 4 * 2**16 + 2**16
