"""bfloat16 arrays: their bits and their values."""

from __future__ import annotations

from fractions import Fraction

import hypothesis.extra.numpy as np_strategies
import numpy as np
import pytest
from flwr.app import Array
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import BFLOAT16, bfloat16_from_float32, bits, float32_from_bfloat16, is_bfloat16
from flskew._arrays.records import all_finite, array_from_numpy, numpy_from_array

ALL = np.arange(2**16, dtype=np.uint16).view(BFLOAT16)
NUMBERS = float32_from_bfloat16(ALL)
FINITE = np.isfinite(NUMBERS)


def halves(seed: int = 0) -> NDArray[np.float32]:
    """Every bfloat16, every midpoint between two, the neighbours of these, and a million random float32."""
    high = np.arange(2**16, dtype=np.uint32) << 16
    near = np.concatenate([high + low for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)])
    anywhere = np.random.default_rng(seed).integers(0, 2**32, 10**6, dtype=np.uint32)
    return np.concatenate([near, anywhere]).view(np.float32)


def test_every_bfloat16_survives_conversion_to_float32_and_back_bit_for_bit() -> None:
    np.testing.assert_array_equal(bits(bfloat16_from_float32(NUMBERS)), np.arange(2**16))


@pytest.mark.parametrize(
    ("pattern", "number"),
    [(0x3F80, 1.0), (0xC000, -2.0), (0x3EAB, 0.333984375), (0x0001, 2.0**-133), (0x7F7F, (2 - 2**-7) * 2.0**127)],
)
def test_the_bits_are_sign_eight_of_exponent_and_seven_of_mantissa(pattern: int, number: float) -> None:
    assert NUMBERS[pattern] == number
    assert bits(bfloat16_from_float32(np.array(number, np.float32))) == pattern


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_rounding_is_to_the_nearest_and_halves_go_to_even(number: float) -> None:
    pattern = int(bits(bfloat16_from_float32(np.array([number], np.float32)))[0])
    magnitude = pattern & 0x7FFF

    def exact(magnitude: int) -> Fraction:
        # The next number after the largest would be 2^128, whose bits mean infinity.
        return Fraction(2) ** 128 if magnitude == 0x7F80 else Fraction(float(NUMBERS[magnitude]))

    distance = abs(exact(magnitude) - abs(Fraction(number)))
    for neighbour in (magnitude - 1, magnitude + 1):
        if 0 <= neighbour <= 0x7F80:
            other = abs(exact(neighbour) - abs(Fraction(number)))
            assert distance < other or (distance == other and magnitude % 2 == 0)
    assert (pattern >> 15) == np.signbit(np.float32(number))


def test_nan_and_infinity_keep_their_sign() -> None:
    patterns = np.array([0x7F800001, 0xFFFFFFFF, 0x7FC00000, 0x7F800000, 0xFF800000], np.uint32)
    wide = float32_from_bfloat16(bfloat16_from_float32(patterns.view(np.float32)))
    assert np.isnan(wide[:3]).all()
    np.testing.assert_array_equal(wide[3:], [np.inf, -np.inf])
    np.testing.assert_array_equal(np.signbit(wide), [False, True, False, False, True])


@pytest.mark.parametrize("shape", [(), (1,), (0, 2), (2, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_shape_and_order_are_kept_and_the_result_is_new(shape: tuple[int, ...], order: str) -> None:
    numbers = np.zeros(shape, np.float32, order=order)  # type: ignore[call-overload]
    narrow = bfloat16_from_float32(numbers)
    wide = float32_from_bfloat16(narrow)
    for array in (narrow, wide):
        assert isinstance(array, np.ndarray)
        assert array.shape == shape
        assert array.flags.f_contiguous == numbers.flags.f_contiguous
        assert array.flags.writeable
    assert not np.shares_memory(narrow, wide)
    assert not np.shares_memory(narrow, numbers)


def test_an_array_is_sent_as_two_bytes_per_number_and_read_without_a_copy() -> None:
    sent = bfloat16_from_float32(np.array([[1.0, -2.0, 3.5]], np.float32))
    array = array_from_numpy(sent)
    assert (array.dtype, array.shape, array.stype, array.data[-6:]) == (
        "bfloat16",
        (1, 3),
        "numpy.ndarray",
        b"\x80\x3f\x00\xc0\x60\x40",
    )
    view = numpy_from_array(array)
    assert view.dtype == BFLOAT16
    assert np.shares_memory(view, np.frombuffer(array.data, np.uint8))
    np.testing.assert_array_equal(float32_from_bfloat16(view), [[1.0, -2.0, 3.5]])


@given(np_strategies.arrays(np.uint16, st.integers(0, 9)))
def test_an_array_is_finite_if_its_values_are(patterns: NDArray[np.uint16]) -> None:
    array = patterns.view(BFLOAT16)
    assert all_finite(array) == bool(np.isfinite(float32_from_bfloat16(array)).all())


@pytest.mark.parametrize("position", [0, 65_535, 65_536, 199_999])
@pytest.mark.parametrize("pattern", [0x7F80, 0xFF80, 0x7FC1])
def test_one_bad_number_anywhere_in_a_large_array_is_found(position: int, pattern: int) -> None:
    patterns = np.full(200_000, 0x7F7F, np.uint16)
    assert all_finite(patterns.view(BFLOAT16))
    patterns[position] = pattern
    assert not all_finite(patterns.view(BFLOAT16))


@pytest.mark.torch
def test_rounding_and_widening_are_those_of_pytorch() -> None:
    import torch

    numbers = halves()
    theirs = torch.from_numpy(numbers).to(torch.bfloat16)
    is_number = ~np.isnan(numbers)
    ours = bits(bfloat16_from_float32(numbers))
    np.testing.assert_array_equal(ours[is_number], theirs.view(torch.uint16).numpy()[is_number])
    assert torch.equal(torch.isnan(theirs), torch.from_numpy(np.isnan(float32_from_bfloat16(ours.view(BFLOAT16)))))
    np.testing.assert_array_equal(theirs.float().numpy()[is_number], float32_from_bfloat16(ours[is_number]))


@pytest.mark.jax
def test_rounding_bytes_and_dtype_are_those_of_ml_dtypes() -> None:
    """ml_dtypes is installed with JAX."""
    import ml_dtypes

    numbers = halves(1)
    with np.errstate(all="ignore"):
        theirs = numbers.astype(ml_dtypes.bfloat16)
    is_number = ~np.isnan(numbers)
    ours = bfloat16_from_float32(numbers)
    np.testing.assert_array_equal(bits(ours)[is_number], bits(theirs)[is_number])
    np.testing.assert_array_equal(np.isnan(float32_from_bfloat16(ours)), np.isnan(numbers))
    assert is_bfloat16(theirs.dtype)
    assert not is_bfloat16(np.dtype(ml_dtypes.float8_e5m2))
    for array in (theirs[:6].reshape(2, 3), np.asfortranarray(theirs[:6].reshape(2, 3)), theirs[:1].reshape(())):
        flowers, written = Array(array), array_from_numpy(array)
        assert (written.dtype, written.shape, written.stype, written.data) == (
            flowers.dtype,
            flowers.shape,
            flowers.stype,
            flowers.data,
        )
        assert bits(numpy_from_array(flowers)).tobytes() == bits(array).tobytes()
