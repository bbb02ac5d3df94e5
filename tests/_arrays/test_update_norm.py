"""The norm of an update, for every dtype and for very large and very small numbers."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import bfloat16_from_float32, float32_from_bfloat16
from flskew._arrays.update_norm import update_norm
from flskew._arrays.weighted_mean import NotFiniteError, weighted_mean

DTYPES = ["f2", "f4", "f8", ">f4", "c8", "c16", "i1", "u1", "i4", "i8", "u8", "?"]


def exact(parameters: list[NDArray[Any]], sent: list[NDArray[Any]]) -> float:
    """Return the norm by exact sums."""
    numbers = [
        [part for value in array.reshape(-1).tolist() for part in (complex(value).real, complex(value).imag)]
        for array in (np.concatenate([array.reshape(-1) for array in arrays]) for arrays in (parameters, sent))
    ]
    square = sum((Fraction(new) - Fraction(old)) ** 2 for new, old in zip(*numbers, strict=True))
    return float((Decimal(square.numerator) / Decimal(square.denominator)).sqrt())  # infinite if it overflows


def in_the_mean(models: list[list[NDArray[Any]]], sent: list[NDArray[Any]]) -> list[float]:
    """Return the norms that are measured while the mean is computed."""
    norms = np.full(len(models), np.nan)
    with_norms = weighted_mean(models, [1] * len(models), sent=[sent] * len(models), norms=norms)
    for measured, plain in zip(with_norms, weighted_mean(models, [1] * len(models)), strict=True):
        assert measured.tobytes() == plain.tobytes()
    return [float(norm) for norm in norms]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_norm_is_the_euclidean_norm_of_the_difference(dtype: str) -> None:
    rng = np.random.default_rng(0)
    high = 2 if dtype == "?" else 100
    sent, *models = ([np.asarray(rng.integers(0, high, (7, 11))).astype(dtype) for _ in range(2)] for _ in range(4))
    for model, norm in zip(models, in_the_mean(models, sent), strict=True):
        assert norm == pytest.approx(exact(model, sent), rel=1e-6)
        assert update_norm(model, sent) == norm


def test_the_norm_of_bfloat16_is_that_of_its_values() -> None:
    rng = np.random.default_rng(0)
    sent, model = ([bfloat16_from_float32(rng.standard_normal(50).astype(np.float32))] for _ in range(2))
    expected = exact(*([float32_from_bfloat16(array) for array in arrays] for arrays in (model, sent)))
    assert update_norm(model, sent) == pytest.approx(expected, rel=1e-6)
    assert in_the_mean([model, sent], sent) == [pytest.approx(expected, rel=1e-6), 0.0]


@pytest.mark.parametrize(
    ("dtype", "new", "old"),
    [
        ("f4", 3e38, 0.0), ("f4", 3e38, -3e38), ("f4", 1e-44, 0.0), ("f4", 3e-30, 1e-30), ("f4", 1.0, 1.0),
        ("f8", 1e308, 0.0), ("f8", 1e308, -5e307), ("f8", 5e-324, 0.0), ("f8", 1e-200, -1e-200), ("c16", 1e308, -1e307),
        ("f2", 65504, -65504), ("i8", 2**62, 0), ("i8", -(2**63), 0), ("u8", 2**64 - 1, 0), ("u1", 0, 255), ("?", 0, 1),
    ],
)  # fmt: skip
def test_the_norm_neither_overflows_nor_underflows(dtype: str, new: float, old: float) -> None:
    sent, model = [np.full(1, old, dtype)], [np.full(1, new, dtype)]
    expected = exact(model, sent)
    with np.errstate(all="raise"):
        assert update_norm(model, sent) == pytest.approx(expected, rel=1e-6, abs=0)
    if new not in (3e38, 1e308):  # the mean of these and of what was sent is finite, but the sum is near the limit
        assert in_the_mean([model], sent) == [pytest.approx(expected, rel=1e-6, abs=0)]


def test_a_norm_that_overflows_is_infinite_and_one_of_nan_is_nan() -> None:
    sent = [np.zeros(100)]
    assert update_norm([np.full(100, 1e308)], sent) == math.inf
    assert math.isinf(update_norm([np.full(100, np.inf)], sent))
    assert math.isnan(update_norm([np.full(100, np.nan)], sent))


@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_any_finite_float64_is_measured_to_within_rounding(numbers: list[float]) -> None:
    model, sent = [np.array(numbers)], [np.array(numbers[::-1])]
    assert update_norm(model, sent) == pytest.approx(exact(model, sent), rel=1e-9, abs=1e-323)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (400_003,), (400, 1003)])
@pytest.mark.parametrize("order", ["C", "F", "mixed"])
def test_shape_and_layout_make_no_difference(shape: tuple[int, ...], order: str) -> None:
    rng = np.random.default_rng(0)
    sent, *models = (
        [np.asarray(np.float32(rng.standard_normal(shape)), order="F" if order == "F" else "C")] for _ in range(3)
    )
    if order == "mixed":
        models[1] = [np.asarray(models[1][0], order="F")]
    for model, norm in zip(models, in_the_mean(models, sent), strict=True):
        expected = float(np.linalg.norm((model[0].astype(np.float64) - sent[0]).reshape(-1)))
        assert norm == pytest.approx(expected, rel=1e-6)
        assert update_norm(model, sent) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("processors", [1, 2, 3])
def test_the_number_of_processors_makes_no_difference(processors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    sent, model = ([np.float32(rng.standard_normal(500_000)), rng.standard_normal(7)] for _ in range(2))
    monkeypatch.setattr("flskew._util.threads.usable_processors", lambda: 1)
    alone = update_norm(model, sent)
    monkeypatch.setattr("flskew._util.threads.usable_processors", lambda: processors)
    assert update_norm(model, sent) == alone
    assert in_the_mean([model], sent) == [alone]


def test_models_that_are_not_finite_have_no_mean_but_their_updates_are_measured() -> None:
    norms = np.zeros(2)
    with pytest.raises(NotFiniteError):
        weighted_mean([[np.array([np.nan])], [np.ones(1)]], [1, 1], sent=[[np.ones(1)]] * 2, norms=norms)
    largest = [np.array([np.finfo(np.float32).max], np.float32)]
    with pytest.raises(NotFiniteError):
        weighted_mean([largest] * 10, [1] * 10, sent=[largest] * 10, norms=np.zeros(10))


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_integers_that_no_float64_tells_apart_hide_no_other_update(dtype: str) -> None:
    sent = [np.array([2**60], dtype), np.zeros(1)]
    update = [np.array([2**60 + 1], dtype), np.array([3e38])]
    assert update_norm(update, sent) == 3e38
    assert in_the_mean([update], sent) == [3e38]
