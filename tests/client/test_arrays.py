"""Fitting arrays into the dtypes of a model, and the errors if they do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flskew._arrays.records import ParametersError
from flskew.client._arrays import Slot, fit_into


def fit(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    (made,) = fit_into([Slot("layer", array.shape, np.dtype(dtype))], [array])
    return made


@pytest.mark.parametrize("target", ["bool", "int8", "uint8", "int32", "int64", "uint64"])
def test_the_limits_of_a_dtype_fit_and_values_beyond_them_do_not(target: str) -> None:
    low, high = (0, 1) if target == "bool" else (int(np.iinfo(target).min), int(np.iinfo(target).max))
    # The highest float64 that `target` can represent.
    ends = np.array([low, min(high, np.nextafter(float(high + 1), 0))], dtype=np.float64)
    assert fit(ends, target).astype(object).tolist() == [low, int(ends[1])]
    for beyond in (float(high + 1), np.nextafter(float(low), -np.inf) - 1, np.nan, np.inf, -np.inf):
        with pytest.raises(
            ParametersError, match=f"^array 'layer' has numbers outside the range of the model's dtype, {target}$"
        ):
            fit(np.array([0.0, beyond]), target)


@pytest.mark.parametrize(
    ("given", "target", "value"),
    [("int64", "int8", 128), ("int64", "int8", -129), ("uint64", "int64", 2**63), ("uint8", "int8", 255)],
)
def test_integers_never_wrap_around(given: str, target: str, value: int) -> None:
    with pytest.raises(
        ParametersError, match=f"^array 'layer' has numbers outside the range of the model's dtype, {target}$"
    ):
        fit(np.array([1, value], dtype=given), target)
    assert fit(np.array([1, 100], dtype=given), target).tolist() == [1, 100]


@pytest.mark.parametrize(
    ("given", "target", "value"),
    [("float64", "float32", 1e39), ("float32", "float16", -7e4), ("int64", "float16", 70000)],
)
def test_finite_numbers_never_become_infinite(given: str, target: str, value: float) -> None:
    with pytest.raises(
        ParametersError, match=f"^array 'layer' has numbers outside the range of the model's dtype, {target}$"
    ):
        fit(np.array([1, value], dtype=given), target)


def test_floats_keep_nan_and_infinity() -> None:
    np.testing.assert_array_equal(
        fit(np.array([np.nan, np.inf, -np.inf, 0.5]), "float16"), [np.nan, np.inf, -np.inf, 0.5]
    )


def test_floats_are_rounded_to_the_nearest_integer_and_halves_to_even() -> None:
    assert fit(np.array([6.999999999999999, 2.5, -0.4], dtype=np.float64), "int64").tolist() == [7, 2, 0]
    assert fit(np.array([3.0], dtype=np.float16), "int64").tolist() == [3]
    assert fit(np.zeros((0, 2)), "int32").shape == (0, 2)


def test_a_dtype_that_would_lose_more_than_precision_is_refused() -> None:
    for given, target in (("complex64", "float32"), ("int64", "bool"), ("<U3", "float32")):
        with pytest.raises(ParametersError, match=f"array 'layer': the model has dtype {target}, got {given}"):
            fit(np.zeros(2, dtype=given), target)
