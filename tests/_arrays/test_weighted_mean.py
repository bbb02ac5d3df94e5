"""The weighted mean of models, in the memory of one."""

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

from flskew._arrays.bfloat16 import BFLOAT16, bfloat16_from_float32, float32_from_bfloat16
from flskew._arrays.records import ParametersError
from flskew._arrays.weighted_mean import NotFiniteError, weighted_mean

WEIGHTS = st.lists(st.integers(1, 10**6), min_size=1, max_size=6)


def mean_of(models: list[list[NDArray[Any]]], weights: list[int]) -> list[NDArray[Any]]:
    return list(weighted_mean(models, weights))


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


def test_the_mean_of_large_arrays_is_flowers_bit_for_bit_in_any_memory_order() -> None:
    rng = np.random.default_rng(0)
    models = [
        [rng.standard_normal((300, 700)).astype(np.float32), np.asfortranarray(rng.standard_normal((300, 700)))]
        for _ in range(4)
    ]
    models[2][1] = np.ascontiguousarray(models[2][1])  # one client's array has another memory layout
    weights = [1, 20, 300, 4000]
    replies = [
        RecordDict({"arrays": ArrayRecord(model), "metrics": MetricRecord({"num-examples": weight})})
        for model, weight in zip(models, weights, strict=True)
    ]
    flowers = aggregate_arrayrecords(replies, "num-examples").to_numpy_ndarrays()
    for ours, theirs in zip(mean_of(models, weights), flowers, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_keep_their_layout_in_memory(order: Any) -> None:
    models = [[np.asarray(np.arange(6.0).reshape(2, 3) * factor, order=order)] for factor in (1, 5)]
    (ours,) = mean_of(models, [3, 1])
    # (3*1 + 1*5) / 4 = 2
    np.testing.assert_array_equal(ours, [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]])
    assert ours.flags.f_contiguous == (order == "F")


@given(data=st.data(), weights=WEIGHTS)
def test_the_mean_of_float16_is_within_half_a_unit_of_the_exact_mean(data: st.DataObject, weights: list[int]) -> None:
    numbers = [data.draw(st.floats(-1000, 1000, width=16)) for _ in weights]
    (ours,) = mean_of([[np.array([number], np.float16)] for number in numbers], weights)
    exact = sum(Fraction(n) * w for n, w in zip(numbers, weights, strict=True)) / sum(weights)
    assert ours.dtype == np.float16
    # Half a unit of float16 at the mean, plus two roundings of float32 for each summand of up to 1000.
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
    # In float64, 7/3 + 7/3 + 7/3 is 7 but 7 * (1/3) * 3 is not, and 2^60 + 1 cannot be represented.
    for number in (7, 2**60 + 1):
        (ours,) = mean_of([[np.array(number)]] * 3, [1, 1, 1])
        assert ours.shape == ()
        assert int(ours) == number


def test_the_mean_of_booleans_is_the_weighted_majority_and_a_tie_is_true() -> None:
    models = [[np.array([True, True, False])], [np.array([False, True, False])], [np.array([True, False, True])]]
    # Weights 1, 3, 2: the first is True for 1 + 2 of 6, a tie; the second for 1 + 3; the third for 2.
    (ours,) = mean_of(models, [1, 3, 2])
    np.testing.assert_array_equal(ours, np.array([True, True, False]), strict=True)


def test_complex_empty_and_byte_swapped_arrays_keep_their_dtype() -> None:
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
def test_models_with_different_arrays_are_refused(other: list[NDArray[Any]]) -> None:
    with pytest.raises(ParametersError, match="the arrays must be like the first ones"):
        weighted_mean([[np.zeros(3)], other], [1, 1])


def test_text_is_refused() -> None:
    with pytest.raises(ParametersError, match="array 1: <U1 cannot be averaged; send numbers only"):
        weighted_mean([[np.zeros(1), np.array(["a"])]], [1])


@pytest.mark.parametrize("weights", [[0, 1], [-1, 3], [float("nan"), 1], [float("inf"), 1], [1e308, 1e308]])
def test_invalid_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"weights must be > 0 and their sum finite, got \["):
        weighted_mean([[np.zeros(1)], [np.zeros(1)]], weights)


@pytest.mark.parametrize("weights", [[], [1], [1, 1, 1]])
def test_a_wrong_number_of_weights_is_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must have one entry per model"):
        weighted_mean([[np.zeros(1)], [np.zeros(1)]], weights)
    with pytest.raises(ValueError, match="weights must have one entry per model, at least one, got"):
        weighted_mean([], [])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "c8", "c16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 2**16 - 1, 2**16, 2**16 + 1])
def test_one_non_finite_number_is_never_lost_in_the_mean(dtype: str, bad: float, place: int) -> None:
    models = [[np.ones(2**16 + 2, dtype)] for _ in range(3)]
    models[1][0][place] = bad
    models[2][0][place] = -bad
    with pytest.raises(NotFiniteError):
        mean_of(models, [10**6, 1, 1])
    if dtype == "f4":
        with pytest.raises(NotFiniteError):
            mean_of([[bfloat16_from_float32(array)] for (array,) in models], [10**6, 1, 1])


def test_finite_numbers_that_are_too_large_for_a_mean_are_reported() -> None:
    largest = np.array([np.finfo(np.float32).max])
    with pytest.raises(NotFiniteError):
        mean_of([[largest.astype(np.float32)]] * 10, [1] * 10)  # a tenth is rounded up


def oracle(numbers: NDArray[Any], weights: NDArray[np.int64]) -> list[Any]:
    """Return the exact mean of each column, computed with fractions."""
    exact = [[Fraction(n.item()) for n in row] for row in numbers]
    total = int(weights.sum())
    return [
        sum(n * int(w) for n, w in zip(column, weights, strict=True)) / total for column in zip(*exact, strict=True)
    ]


@pytest.mark.parametrize("clients", [1, 2, 10, 100, 1000])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_the_mean_of_floats_is_as_close_to_the_exact_mean_as_the_dtype_allows(dtype: str, clients: int) -> None:
    rng = np.random.default_rng(clients)
    numbers = rng.standard_normal((clients, 20)).astype(dtype)
    weights = rng.integers(1, 10_000, clients)
    (ours,) = mean_of([[row] for row in numbers], weights.tolist())
    working = np.finfo(np.float32 if dtype == "f2" else np.dtype(dtype).newbyteorder("="))
    for index, exact in enumerate(oracle(numbers, weights)):
        # Each of n products, of n - 1 sums of numbers below 5, and the final cast has an error of at most half a unit.
        allowed = (2 * clients * 5 * float(working.eps) + float(np.spacing(np.abs(ours[index])))) / 2
        assert abs(Fraction(float(ours[index])) - exact) <= allowed


@pytest.mark.parametrize("clients", [1, 2, 10, 100, 1000])
def test_the_mean_of_bfloat16_is_the_exact_mean_rounded(clients: int) -> None:
    rng = np.random.default_rng(clients)
    numbers = bfloat16_from_float32(rng.standard_normal((clients, 20)).astype(np.float32))
    weights = rng.integers(1, 10_000, clients)
    (ours,) = mean_of([[row] for row in numbers], weights.tolist())
    assert ours.dtype == BFLOAT16
    for mean, exact in zip(float32_from_bfloat16(ours), oracle(float32_from_bfloat16(numbers), weights), strict=True):
        # With eight bits, half a unit is 2^-8 of the next lower power of two; add the errors of the sum in float32.
        half = Fraction(float(np.spacing(np.abs(mean)))) * 2**15
        assert abs(Fraction(float(mean)) - exact) <= half + Fraction(clients * 5 * 2.0**-23)


def test_a_large_mean_of_bfloat16_is_that_of_float32_rounded() -> None:
    rng = np.random.default_rng(0)
    numbers = [bfloat16_from_float32(rng.standard_normal((300, 700))) for _ in range(3)]
    numbers[1] = np.asfortranarray(numbers[1])  # one client's array has another memory layout
    (ours,) = mean_of([[array] for array in numbers], [1, 20, 300])
    (wide,) = mean_of([[float32_from_bfloat16(array)] for array in numbers], [1, 20, 300])
    assert ours.tobytes() == bfloat16_from_float32(wide).tobytes()


@pytest.mark.parametrize("clients", [1, 2, 10, 100, 1000])
@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i8"])
def test_the_mean_of_integers_of_any_size_is_the_exact_mean_rounded(dtype: str, clients: int) -> None:
    rng = np.random.default_rng(clients)
    size = np.dtype(dtype).itemsize * 20 * clients
    numbers = np.frombuffer(rng.bytes(size), np.uint8).copy()
    numbers = (numbers % 2).astype(bool) if dtype == "?" else numbers.view(dtype)
    numbers = numbers.reshape(clients, 20)
    weights = rng.integers(1, 1000, clients)
    (ours,) = mean_of([[row] for row in numbers], weights.tolist())
    assert ours.dtype == np.dtype(dtype)
    for index, exact in enumerate(oracle(numbers, weights)):
        assert int(ours[index]) == (exact + Fraction(1, 2)).__floor__()


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_the_mean_of_the_smallest_and_the_largest_integer_lies_between_them(dtype: str) -> None:
    limits = np.iinfo(dtype)
    models = [[np.array([limits.min], dtype)], [np.array([limits.max], dtype)]]
    for weights in ([1, 1], [1, 2**40], [2**40, 1]):
        (ours,) = mean_of(models, weights)
        exact = Fraction(int(limits.min) * weights[0] + int(limits.max) * weights[1], sum(weights))
        assert int(ours[0]) == (exact + Fraction(1, 2)).__floor__()


@pytest.mark.parametrize("weights", [[0.3, 0.1, 0.7], [1e-300, 1e-310, 1e-300], [2.0**52, 2.0**53, 3.0]])
def test_equal_integers_stay_equal_under_any_weights(weights: list[float]) -> None:
    for number in (7, -(2**63), 2**62 + 12345):
        (ours,) = list(weighted_mean([[np.array([number])]] * 3, weights))
        assert int(ours[0]) == number


@pytest.mark.parametrize("clients", [10, 100])
def test_memory_is_one_model_and_one_block_per_processor_whatever_the_number_of_models(
    clients: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flskew._util.threads.usable_processors", lambda: 2)
    model = [np.ones(2**18, np.float32), np.ones((2**9, 2**9), np.float32, order="F"), np.ones(2**18, np.int8)]
    models = [[model[0], model[1] if index else np.ascontiguousarray(model[1]), model[2]] for index in range(clients)]
    tracemalloc.start()
    weighted_mean(models, [1] * clients)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Each of two processors has at most twelve arrays of 2^17 float64.
    assert peak < sum(array.nbytes for array in model) + 2 * 12 * 8 * 2**17


def test_on_one_processor_the_mean_of_floats_takes_one_additional_block_of_products(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flskew._util.threads.usable_processors", lambda: 1)
    models = [[np.ones(2**19, np.float32)] for _ in range(3)]
    tracemalloc.start()
    weighted_mean(models, [1, 1, 1])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A block of 2^17 numbers takes four bytes each, plus one boolean each for the check that they are finite.
    assert peak < models[0][0].nbytes + 2**17 * (4 + 1) + 2**16


def test_norms_take_no_memory_beyond_that_of_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flskew._util.threads.usable_processors", lambda: 1)
    models = [[np.full(2**19, value, np.float32)] for value in (1, 2, 3)]
    norms = np.zeros(3)
    tracemalloc.start()
    weighted_mean(models, [1, 1, 1], sent=[models[0]] * 3, norms=norms)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A block of products, and then of a boolean each.
    assert peak < models[0][0].nbytes + 2**17 * (4 + 1) + 2**16
    np.testing.assert_allclose(norms, [0, 2**9.5, 2**10.5], rtol=1e-6)


@pytest.mark.parametrize("processors", [1, 2, 3])
def test_the_number_of_processors_makes_no_difference(processors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    models = [[rng.standard_normal(400_001), np.float32(rng.standard_normal((3, 5)))] for _ in range(3)]
    models = [[*model, rng.integers(-9, 9, 300_000)] for model in models]
    weights = [3.0, 0.5, 11.0]
    monkeypatch.setattr("flskew._util.threads.usable_processors", lambda: 1)
    alone = weighted_mean(models, weights)
    monkeypatch.setattr("flskew._util.threads.usable_processors", lambda: processors)
    for ours, other in zip(weighted_mean(models, weights), alone, strict=True):
        np.testing.assert_array_equal(ours, other, strict=True)


def test_a_non_finite_number_is_found_in_any_block() -> None:
    for place in (0, 131_071, 131_072, 399_999):
        broken = np.zeros(400_000)
        broken[place] = np.inf
        with pytest.raises(NotFiniteError):
            weighted_mean([[np.zeros(400_000)], [broken]], [1, 1])


def test_the_mean_is_written_to_the_given_arrays() -> None:
    out = [np.empty(2), np.empty((), np.int8)]
    means = weighted_mean([[np.array([1.0, 2.0]), np.array(3, np.int8)]] * 2, [1, 2], out)
    assert [mean is place for mean, place in zip(means, out, strict=True)] == [True, True]
    assert out[0].tolist() == [1.0, 2.0]
    assert out[1] == 3


def test_output_arrays_that_do_not_match_the_models_are_refused() -> None:
    with pytest.raises(ParametersError, match="like the first ones"):
        weighted_mean([[np.zeros(2)]], [1], [np.zeros(3)])
