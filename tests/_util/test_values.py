"""Values print as the call that makes them, and equal any other made by the same call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flskew._util.values import Value


class Wave(Value):
    def __init__(self, length: Any, phase: Any = 0.0, seed: int = 42) -> None:
        self.length, self.phase, self.seed = length, phase, seed


class Tide(Wave):
    pass


@pytest.mark.parametrize(
    ("wave", "shown"),
    [
        (Wave(2), "Wave(length=2, seed=42)"),
        (Wave(2, seed=7), "Wave(length=2, seed=7)"),
        (Wave(np.array([1, 2]), np.float64(0.5)), "Wave(length=[1, 2], phase=0.5, seed=42)"),
        (Wave({0: {1}}, (1, 2)), "Wave(length={0: {1}}, phase=(1, 2), seed=42)"),
    ],
)
def test_a_value_prints_as_the_call_that_makes_it(wave: Wave, shown: str) -> None:
    assert repr(wave) == shown
    assert eval(shown) == wave


@pytest.mark.parametrize("length", [2, 0.5, "long", [1, 2], {"a": [1]}, {1, 2}, np.arange(3)], ids=type)
def test_equal_calls_make_equal_values_with_equal_hashes(length: Any) -> None:
    assert Wave(length) == Wave(length)
    assert hash(Wave(length)) == hash(Wave(length))


def test_values_of_other_arguments_or_another_class_are_not_equal() -> None:
    assert Wave(2) != Wave(3)
    assert Wave(1) != Wave(True)
    assert Wave(2) != Wave(2, seed=1)
    assert Wave(2) != Tide(2)


def test_fields_are_read_only() -> None:
    wave = Wave(2)
    with pytest.raises(AttributeError, match="length of Wave is read-only; make a new one with length=3"):
        wave.length = 3
    wave.note = "other attributes are free"  # type: ignore[attr-defined]
