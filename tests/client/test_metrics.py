"""Metrics in the form that Flower's record accepts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from flwr.app import MetricRecord
from numpy.typing import NDArray

from flskew.client import ClientError
from flskew.client._metrics import loss_value, metric_value, num_examples


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
def test_every_type_of_number_becomes_one_that_flower_sends(value: object, expected: object) -> None:
    number = metric_value("key", value)
    assert number == expected
    assert type(number) is type(expected)
    if isinstance(number, list):
        assert [type(entry) for entry in number] == [type(entry) for entry in expected]  # type: ignore[attr-defined]
    MetricRecord({"key": number})


class WithToList:
    """Like a tensor of PyTorch or JAX."""

    shape = ()

    def __init__(self, value: object) -> None:
        self.value = value

    def tolist(self) -> object:
        return self.value


class WithArray:
    """Like a tensor of TensorFlow."""

    shape = ()

    def __init__(self, value: object) -> None:
        self.value = value

    def __array__(self, dtype: object = None, copy: object = None) -> NDArray[np.float32]:
        return np.array(self.value, np.float32)


@pytest.mark.parametrize("wrap", [WithToList, WithArray])
def test_numbers_are_extracted_from_a_frameworks_tensor(wrap: Callable[[object], object]) -> None:
    assert metric_value("loss", wrap(0.5)) == 0.5
    assert metric_value("losses", wrap([0.5, 2.0])) == [0.5, 2.0]
    assert metric_value("losses", [wrap(0.5), 2]) == [0.5, 2.0]
    assert loss_value(wrap(0.5)) == 0.5
    assert num_examples(wrap(3), "fit") == 3


@dataclasses.dataclass
class Row:
    """Has a repr with its value."""

    value: float


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.full((2, 3), 0.123), "ndarray of shape (2, 3)"),
        ([[0.123], [0.123]], "list of length 2"),
        ({"row": 0.123}, "dict of length 1"),
        ({0.123}, "set of length 1"),
        (b"0.123", "bytes of length 5"),
        ("a row of text, 0.123", "str of length 20"),
        (np.array("a row of text, 0.123"), "ndarray of shape ()"),
        (Row(0.123), "Row;"),
    ],
)
def test_an_error_describes_a_value_by_type_and_shape(value: object, shown: str) -> None:
    for ask in (lambda: metric_value("rows", value), lambda: loss_value(value), lambda: num_examples(value, "fit")):
        with pytest.raises(ClientError) as caught:
            ask()
        assert "0.123" not in str(caught.value)
    assert f"must be a whole number, got {shown}" in str(caught.value)


@pytest.mark.torch
def test_tensors_of_pytorch_are_numbers_with_any_dtype_and_graph() -> None:
    import torch

    loss = torch.tensor([0.25, 0.75], dtype=torch.bfloat16, requires_grad=True)
    assert metric_value("losses", loss) == [0.25, 0.75]
    assert loss_value(loss.mean()) == 0.5
    assert num_examples(torch.tensor(3), "fit") == 3
