"""Conversion of arrays to and from Flower's records."""

from __future__ import annotations

import io
import math
import tracemalloc

import hypothesis.extra.numpy as np_strategies
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import BFLOAT16
from flskew._arrays.records import (
    Draft,
    ParametersError,
    _checked_layout,
    all_finite,
    array_from_numpy,
    numpy_from_array,
    parameters_from_record,
    record_from_parameters,
)

DTYPES = (
    np_strategies.floating_dtypes(endianness="?")
    | np_strategies.integer_dtypes(endianness="?")
    | np_strategies.unsigned_integer_dtypes(endianness="?")
    | np_strategies.complex_number_dtypes()
    | np_strategies.boolean_dtypes()
    | np_strategies.unicode_string_dtypes()
    | np_strategies.datetime64_dtypes()
)


@st.composite
def arrays(draw: st.DrawFn) -> NDArray[np.generic]:
    """Arrays of any dtype, of 0 to 3 dimensions, some of them empty, in C order, Fortran order, or neither."""
    shape = draw(np_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    # Without `fill`, because an array of equal values looks the same in every order.
    array = draw(np_strategies.arrays(draw(DTYPES), shape, fill=st.nothing()))
    layout = draw(st.sampled_from(["C", "F", "reversed"]))
    if layout == "reversed" and array.ndim:
        return array[::-1]
    return np.array(array, order="F" if layout == "F" else "C")


@given(arrays())
def test_an_array_is_written_as_flower_writes_it(array: NDArray[np.generic]) -> None:
    ours, flowers = array_from_numpy(array), Array(array)
    assert (ours.dtype, ours.shape, ours.stype, ours.data) == (
        flowers.dtype,
        flowers.shape,
        flowers.stype,
        flowers.data,
    )


@given(arrays())
def test_an_array_is_read_as_numpy_reads_it_and_cannot_be_written_to(array: NDArray[np.generic]) -> None:
    written = Array(array)
    view, numpys = numpy_from_array(written), np.load(io.BytesIO(written.data), allow_pickle=False)
    assert (view.dtype, view.shape, view.tobytes()) == (numpys.dtype, numpys.shape, numpys.tobytes())
    assert not view.flags.writeable


def test_reading_copies_nothing() -> None:
    written = Array(np.ones((512, 1024)))
    tracemalloc.start()
    view = numpy_from_array(written)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert view.nbytes == 4 * 2**20
    assert peak < 2**16
    assert np.shares_memory(view, np.frombuffer(written.data, np.uint8))


def test_writing_copies_once() -> None:
    array = np.ones((512, 1024))
    tracemalloc.start()
    array_from_numpy(array)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.1 * array.nbytes


def test_names_and_order_survive_the_round_trip() -> None:
    weight, bias = np.ones((2, 3), np.float32), np.array(2.5)
    record = record_from_parameters([weight, bias], ["z", "a"])
    assert list(record) == ["z", "a"]
    read_weight, read_bias = parameters_from_record(record)
    np.testing.assert_array_equal(read_weight, weight, strict=True)
    np.testing.assert_array_equal(read_bias, bias, strict=True)


def test_without_names_flowers_default_names_are_used() -> None:
    values = [np.zeros(2), np.ones(3)]
    assert list(record_from_parameters(values)) == list(ArrayRecord(values)) == ["0", "1"]


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"], ["a", "a"]])
def test_names_must_be_unique(names: list[str]) -> None:
    with pytest.raises(ParametersError, match="names must be unique, one per array"):
        record_from_parameters([np.zeros(1), np.zeros(1)], names)


def test_a_numpy_scalar_becomes_a_0_d_array() -> None:
    # Arithmetic on a 0-d array returns a scalar.
    assert array_from_numpy(np.array(1.0, np.float32) - np.float32(0.5)).shape == ()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{}]), "'w': Python objects would have to be unpickled"),
        (np.zeros(2, "f4,i4"), "'w': NumPy has no arithmetic for"),
        (np.ma.masked_array([1.0], [True]), "'w': a mask cannot be sent; use numpy.ma.filled"),
        ([1.0], "'w': must be a NumPy array, got list; use numpy.asarray"),
        (1.0, "'w': must be a NumPy array, got float"),
    ],
)
def test_an_error_names_what_cannot_be_sent(array: NDArray[np.generic], message: str) -> None:
    with pytest.raises(ParametersError, match=message):
        record_from_parameters([array], ["w"])


def _pickled() -> Array:
    file = io.BytesIO()
    np.save(file, np.array([{}]), allow_pickle=True)
    return Array("object", (1,), "numpy.ndarray", file.getvalue())


GOOD = Array(np.arange(6.0).reshape(2, 3))
RAW = Array(np.zeros(3, "V2"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (_pickled(), "Python objects would have to be unpickled"),
        (Array(GOOD.dtype, GOOD.shape, "pickle", GOOD.data), "serialized as 'pickle'"),
        (Array(GOOD.dtype, GOOD.shape, GOOD.stype, GOOD.data[:-1]), r"takes 48 bytes, got 47; it was cut or damaged"),
        (Array(GOOD.dtype, GOOD.shape, GOOD.stype, GOOD.data + b"x"), "takes 48 bytes, got 49"),
        (Array(GOOD.dtype, GOOD.shape, GOOD.stype, GOOD.data[:20]), "not a .npy array"),
        (Array(GOOD.dtype, GOOD.shape, GOOD.stype, b""), "not a .npy array"),
        (Array(GOOD.dtype, GOOD.shape, GOOD.stype, b"garbage" * 9), "not a .npy array"),
        (
            Array("float32", GOOD.shape, GOOD.stype, GOOD.data),
            r"declared as float32 \(2, 3\), but its bytes contain float64",
        ),
        (Array("nonsense", GOOD.shape, GOOD.stype, GOOD.data), "declared as nonsense"),
        (Array(GOOD.dtype, (3, 2), GOOD.stype, GOOD.data), r"declared as float64 \(3, 2\), but .* float64 \(2, 3\)"),
        (Array("|V2", (3,), "numpy.ndarray", RAW.data), r"NumPy has no arithmetic for \|V2; convert it, such as"),
        (Array("float16", (3,), "numpy.ndarray", RAW.data), "NumPy has no arithmetic for"),
        (
            Array("bfloat16", (2,), "numpy.ndarray", RAW.data),
            r"declared as bfloat16 \(2,\), but .* contain \|V2 \(3,\)",
        ),
        (Array("bfloat16", GOOD.shape, GOOD.stype, GOOD.data), "declared as bfloat16 .* but its bytes contain float64"),
    ],
)
def test_the_error_of_damaged_or_unsafe_content_names_the_array(array: Array, message: str) -> None:
    record = ArrayRecord()
    record["conv1.weight"] = array
    with pytest.raises(ParametersError, match=message) as caught:
        parameters_from_record(record)
    assert "'conv1.weight'" in str(caught.value)


def test_the_second_version_of_the_format_is_read_and_the_third_refused() -> None:
    values = np.arange(3.0)
    file = io.BytesIO()
    np.lib.format.write_array(file, values, version=(2, 0))
    np.testing.assert_array_equal(numpy_from_array(Array("float64", (3,), "numpy.ndarray", file.getvalue())), values)
    third = file.getvalue().replace(b"\x02", b"\x03", 1)
    with pytest.raises(ParametersError, match=r"format version \(3, 0\) is for structured arrays"):
        numpy_from_array(Array("float64", (3,), "numpy.ndarray", third))


def test_a_negative_shape_is_refused_even_if_its_size_fits() -> None:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (-2, -3)})
    array = Array("float64", (-2, -3), "numpy.ndarray", file.getvalue() + bytes(48))
    with pytest.raises(ParametersError, match="cut or damaged"):
        numpy_from_array(array)


@pytest.mark.parametrize("shape", [(2, True), (0, 2**70), (0, 2**62), (0,) * 65, (False, 3)])
def test_a_shape_that_numpy_does_not_support_is_refused(shape: tuple[int, ...]) -> None:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    body = bytes(8 * math.prod(shape))
    with pytest.raises(ParametersError):
        numpy_from_array(Array("float64", shape, "numpy.ndarray", file.getvalue() + body))


def test_a_dtype_that_is_not_a_name_is_refused() -> None:
    with pytest.raises(ParametersError, match="declared as f8,, "):
        numpy_from_array(Array("f8,,", GOOD.shape, "numpy.ndarray", GOOD.data))


def test_empty_strings_survive() -> None:
    assert numpy_from_array(array_from_numpy(np.array(["", ""]))).tolist() == ["", ""]


def test_a_header_that_claims_to_be_huge_is_refused() -> None:
    claim = b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little") + b" " * 100_000
    with pytest.raises(ParametersError, match=r"not a \.npy array"):
        numpy_from_array(Array("float64", (3,), "numpy.ndarray", claim))


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_a_header_is_read_once_and_each_array_has_its_own_numbers(version: tuple[int, int]) -> None:
    misses = []
    for numbers in ([1.0, 2.0, 3.5], [4.0, 5.0, 6.5]):
        file = io.BytesIO()
        np.lib.format.write_array(file, np.array(numbers), version=version)
        read = numpy_from_array(Array("float64", (3,), "numpy.ndarray", file.getvalue()))
        assert read.tolist() == numbers
        misses.append(_checked_layout.cache_info().misses)
    assert misses[0] == misses[1]


@given(arrays())
def test_a_draft_becomes_an_array_of_the_numbers_written_to_it(array: NDArray[np.generic]) -> None:
    draft = Draft(array)
    assert (draft.numbers.shape, draft.numbers.dtype) == (array.shape, array.dtype)
    draft.numbers[...] = array
    written = draft.finish()
    assert (written.data, written.dtype) == (array_from_numpy(array).data, str(array.dtype))


def test_a_draft_has_the_memory_layout_of_its_model() -> None:
    draft = Draft(np.zeros((3, 4), order="F"))
    assert draft.numbers.flags.f_contiguous
    assert Draft(np.zeros(3, BFLOAT16)).finish().dtype == "bfloat16"


def test_a_finished_draft_cannot_be_changed_through_old_references() -> None:
    draft = Draft(np.zeros(3))
    held = draft.numbers
    held[...] = 1.0
    array = draft.finish()
    held[...] = 2.0
    assert array.numpy().tolist() == [1.0] * 3


def test_a_draft_needs_only_the_memory_of_its_array() -> None:
    like = np.empty(10**6)
    tracemalloc.start()
    draft = Draft(like)
    draft.numbers[...] = 1.0
    draft.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.01 * like.nbytes


@given(np_strategies.arrays(np_strategies.floating_dtypes() | np_strategies.complex_number_dtypes(), st.integers(0, 9)))
def test_the_finiteness_check_agrees_with_numpy(array: NDArray[np.generic]) -> None:
    assert all_finite(array) == bool(np.isfinite(array).all())


@pytest.mark.parametrize("position", [0, 65_535, 65_536, 199_999])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_anywhere_in_a_large_array_is_found(position: int, bad: float) -> None:
    array = np.zeros((2, 100_000), np.float32, order="F")
    assert all_finite(array)
    array.ravel(order="K")[position] = bad
    assert not all_finite(array)


@pytest.mark.parametrize("array", [np.array([1, 2]), np.array([True]), np.array(["nan"])])
def test_arrays_other_than_floats_are_always_finite(array: NDArray[np.generic]) -> None:
    assert all_finite(array)


def test_the_finiteness_check_needs_no_memory_of_the_models_size() -> None:
    array = np.ones(2**20, np.float32)
    tracemalloc.start()
    all_finite(array)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < array.size / 8
