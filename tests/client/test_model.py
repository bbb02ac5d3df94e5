"""The model on its way to the client and back: names, shapes and dtypes, including bfloat16."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from flskew import LocalGrid, client_app
from flskew._arrays.bfloat16 import bfloat16_from_float32, bits, float32_from_bfloat16
from flskew._arrays.records import numpy_from_array, record_from_parameters

Arrays = list[NDArray[Any]]

DTYPES = ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "uint64", "bool", ">f4", "complex64"]


def test_names_shapes_and_dtypes_are_kept_by_a_client_that_works_in_place() -> None:
    names = [f"block.{dtype}{shape}" for dtype in DTYPES for shape in ((), (3,), (2, 0), (2, 3))]
    sent = [np.ones(shape, dtype) for dtype in DTYPES for shape in ((), (3,), (2, 0), (2, 3))]

    class Client:
        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            for array, original in zip(parameters, sent, strict=True):
                np.testing.assert_array_equal(array, original, strict=True)
                array[...] = 0
            return parameters, 1, {}

    content = RecordDict({"model": record_from_parameters(sent, names)})
    with LocalGrid(client_app(lambda context: Client()), 1) as grid:
        (reply,) = grid.send_and_receive([Message(content, 1000, "train")])
    assert not reply.has_error(), reply.error.reason
    assert list(reply.content["model"]) == names
    for array, original in zip(reply.content["model"].to_numpy_ndarrays(), sent, strict=True):
        np.testing.assert_array_equal(array, np.zeros_like(original), strict=True)


@pytest.fixture
def bfloat16_message() -> Iterator[Message]:
    """A message with a model of one bfloat16 array, [1, 1.0078125], and one float32 array."""
    weight = bfloat16_from_float32(np.array([1.0, 1.0078125], np.float32))
    with LocalGrid(ClientApp(), 1):
        record = record_from_parameters([weight, np.ones(1, np.float32)], ["weight", "bias"])
        yield Message(RecordDict({"arrays": record}), 1000, "train")


def returned_for(message: Message, change: Callable[[Arrays], Iterable[Any]]) -> ArrayRecord:
    class Client:
        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            return list(change(parameters)), 1, {}

    context = Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})
    reply = client_app(lambda context: Client())(message, context)
    assert not reply.has_error(), reply.error.reason
    return reply.content["arrays"]  # type: ignore[return-value]


def test_bfloat16_is_float32_in_the_client_and_bfloat16_in_the_reply(bfloat16_message: Message) -> None:
    def change(parameters: Arrays) -> Arrays:
        weight, bias = parameters
        np.testing.assert_array_equal(weight, np.array([1.0, 1.0078125], np.float32), strict=True)
        weight += np.float32(0.005)  # 1.005 is nearer to 1.0078125 than to 1, and 1.0128125 nearer to 1.015625
        return [weight, bias]

    reply = returned_for(bfloat16_message, change)
    assert [array.dtype for array in reply.values()] == ["bfloat16", "float32"]
    weight = float32_from_bfloat16(numpy_from_array(reply["weight"]))
    np.testing.assert_array_equal(weight, np.array([1.0078125, 1.015625], np.float32))


def test_unchanged_bfloat16_is_returned_bit_for_bit(bfloat16_message: Message) -> None:
    before = bfloat16_message.content["arrays"]["weight"]
    for change in (lambda p: p, lambda p: [bfloat16_from_float32(p[0]), p[1]]):
        after = returned_for(bfloat16_message, change)["weight"]
        assert (after.dtype, after.shape, after.data) == (before.dtype, before.shape, before.data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: [p[0].astype(float), p[1]], r"'weight' was .* bfloat16 .* float64, .* use .astype\('float32'\)"),
        (lambda p: [p[0].astype(np.float16), p[1]], "'weight' was received as bfloat16 and returned as float16; use"),
        (lambda p: [bits(bfloat16_from_float32(p[0])), p[1]], "'weight' was received as bfloat16 and returned as uint"),
        (lambda p: [np.ma.masked_array(p[0], [True, False]), p[1]], "'weight': a mask cannot be sent"),
        (lambda p: [p[0][:1], p[1]], r"'weight' was received with shape \(2,\) and returned with \(1,\)"),
    ],
)
def test_an_array_unlike_the_bfloat16_received_is_named(bfloat16_message: Message, change: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        returned_for(bfloat16_message, change)


@pytest.mark.torch
def test_a_bfloat16_model_is_rounded_as_pytorch_rounds() -> None:
    import torch

    state = {"weight": torch.randn(4, 3, dtype=torch.bfloat16), "bias": torch.tensor(0.5, dtype=torch.bfloat16)}
    sent = record_from_parameters([bfloat16_from_float32(t.float().numpy()) for t in state.values()], state)
    with LocalGrid(ClientApp(), 1):
        reply = returned_for(Message(RecordDict({"arrays": sent}), 1000, "train"), lambda p: [a / 3 for a in p])
    for name, tensor in state.items():
        patterns = torch.from_numpy(bits(numpy_from_array(reply[name])).view(np.int16).copy()).reshape(tensor.shape)
        assert torch.equal(patterns.view(torch.bfloat16), (tensor.float() / 3).bfloat16())
