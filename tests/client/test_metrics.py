"""Metrics as Flower's record takes them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from flwr.app import MetricRecord

from flskew.client.metrics import metric_value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (1.5, 1.5),
        (True, 1),
        (np.True_, 1),
        (np.int64(-3), -3),
        (np.uint8(3), 3),
        (np.float16(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.array(2.5), 2.5),
        (np.array(True), 1),
        (Fraction(1, 2), 0.5),
        ([], []),
        ([1, True], [1, 1]),
        ((1, 2.5), [1.0, 2.5]),
        (np.array([1, 2], np.int32), [1, 2]),
        ([np.float32(0.5), np.array(1.5)], [0.5, 1.5]),
        (2**63 - 1, 2**63 - 1),
        (float("inf"), float("inf")),
    ],
)
def test_every_kind_of_number_becomes_one_that_flower_sends(value: object, expected: object) -> None:
    number = metric_value("key", value)
    assert number == expected
    assert type(number) is type(expected)
    if isinstance(number, list):
        assert [type(entry) for entry in number] == [type(entry) for entry in expected]  # type: ignore[attr-defined]
    MetricRecord({"key": number})


def test_scalars_of_a_framework_are_taken_out_of_their_tensor() -> None:
    class Tensor:
        """What torch, JAX and TensorFlow scalars have in common."""

        shape = ()

        def item(self) -> float:
            return 0.5

    assert metric_value("loss", Tensor()) == 0.5
