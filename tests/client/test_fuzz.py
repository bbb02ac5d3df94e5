"""Any message, and any value that a client returns: a clear error or a correct reply."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import hypothesis.extra.numpy as np_strategies
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import BFLOAT16
from flskew._arrays.records import array_from_numpy
from flskew._wire import does_not_evaluate
from flskew.client import client_app
from flskew.simulation import LocalGrid

KEYS = st.sampled_from(["arrays", "config", "metrics", "flskew", "", "é", "loss", "num-examples"])
SHAPES = np_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
DTYPES = (
    np_strategies.floating_dtypes(endianness="?")
    | np_strategies.integer_dtypes(endianness="?")
    | np_strategies.unsigned_integer_dtypes(endianness="?")
    | np_strategies.complex_number_dtypes(endianness="?")
    | np_strategies.boolean_dtypes()
    | np_strategies.unicode_string_dtypes()
)


@pytest.fixture(autouse=True, scope="module")
def _identity() -> Iterator[None]:
    """Flower needs a grid's identity to make messages."""
    with LocalGrid(ClientApp(), 1):
        yield


@st.composite
def ndarrays(draw: st.DrawFn) -> NDArray[Any]:
    """Arrays of any dtype a model may have, bfloat16 included, in C or Fortran order."""
    array = draw(np_strategies.arrays(draw(DTYPES), draw(SHAPES), fill=st.nothing()))
    if draw(st.booleans()) and array.dtype.itemsize == 2 and array.dtype.isnative:
        array = array.view(BFLOAT16)
    return np.array(array, order=draw(st.sampled_from("CF")))


GOOD_ARRAYS = ndarrays().map(array_from_numpy)


@st.composite
def bad_arrays(draw: st.DrawFn) -> Array:
    """Arrays with a wrong dtype or shape, damaged, or pickled."""
    good = draw(GOOD_ARRAYS)
    dtype, shape, stype, data = good.dtype, tuple(good.shape), good.stype, bytearray(good.data)
    match draw(st.sampled_from(["dtype", "shape", "stype", "cut", "longer", "byte", "noise", "pickle"])):
        case "dtype":
            dtype = draw(st.sampled_from(["float32", "bfloat16", "|V2", "O", "", "nonsense"]))
        case "shape":
            shape = draw(st.tuples(st.integers(-1, 9)) | st.just(()))
        case "stype":
            stype = draw(st.sampled_from(["", "pickle", "torch.Tensor"]))
        case "cut":
            data = data[: draw(st.integers(0, len(data)))]
        case "longer":
            data += draw(st.binary(min_size=1, max_size=9))
        case "byte":
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
        case "noise":
            data = bytearray(draw(st.binary(max_size=200)))
        case _:
            file = io.BytesIO()
            np.save(file, np.array([{}]), allow_pickle=True)
            dtype, shape, data = "object", (1,), bytearray(file.getvalue())
    return Array(dtype, shape, stype, bytes(data))


NAMES = st.text(max_size=5)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats()
ARRAY_RECORDS = st.dictionaries(NAMES, GOOD_ARRAYS | GOOD_ARRAYS | GOOD_ARRAYS | bad_arrays(), max_size=4).map(
    ArrayRecord
)
SCALARS = st.booleans() | NUMBERS | st.text(max_size=5) | st.binary(max_size=5)
LISTS = st.lists(st.integers(0, 9), max_size=3) | st.lists(st.text(max_size=3), max_size=3)
CONFIG_RECORDS = st.dictionaries(NAMES, SCALARS | LISTS, max_size=3).map(ConfigRecord)
METRIC_RECORDS = st.dictionaries(NAMES, NUMBERS | st.lists(st.floats(), max_size=3), max_size=3).map(MetricRecord)
CONTENTS = st.one_of(
    st.fixed_dictionaries({"arrays": ARRAY_RECORDS}, optional={"config": CONFIG_RECORDS}),
    st.dictionaries(KEYS, ARRAY_RECORDS | CONFIG_RECORDS | METRIC_RECORDS, max_size=4),
).map(RecordDict)


class Echo:
    """Records what it receives, and returns it."""

    def __init__(self) -> None:
        self.got: list[NDArray[Any]] = []
        self.config: dict[str, Any] = {}

    def fit(self, parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        self.got, self.config = parameters, config
        return parameters, 3, {}

    def evaluate(self, parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        self.got, self.config = parameters, config
        return 0.5, 3, {}


def answer(client: object, content: RecordDict, kind: str) -> Message:
    context = Context(run_id=1, node_id=1000, node_config={}, state=RecordDict(), run_config={})
    return client_app(lambda context: client)(Message(content, 1000, kind), context)  # type: ignore[arg-type, return-value]


def as_numpy_reads_it(array: Array) -> NDArray[Any]:
    """Read an array independently, with NumPy, and bfloat16 as the upper half of float32."""
    read: NDArray[Any] = np.load(io.BytesIO(array.data), allow_pickle=False)
    if array.dtype != "bfloat16":
        return read
    halves = np.frombuffer(read.tobytes(), np.uint16).astype(np.uint32) * 2**16
    return halves.view(np.float32).reshape(read.shape)


def shown_dtype(array: Array) -> object:
    """The dtype that an array declares."""
    return "bfloat16" if array.dtype == "bfloat16" else np.dtype(array.dtype)


def check_reason(reply: Message) -> None:
    """Check that an error is one of flskew's own, and has a message."""
    reason = reply.error.reason
    assert reason.startswith(("ClientError: ", "ParametersError: ")), reason
    assert len(reason) > 60
    assert reason.isprintable()


@given(CONTENTS, st.sampled_from(["train", "evaluate"]))
def test_any_message_gets_an_error_that_says_why_or_its_arrays_and_config_reach_the_client(
    content: RecordDict, kind: str
) -> None:
    client = Echo()
    message = answer(client, content, kind)
    if message.has_error():
        check_reason(message)
        return
    reply = message.content
    ((key, arrays),) = content.array_records.items()
    config = next((dict(record) for record in content.values() if isinstance(record, ConfigRecord)), {})
    assert repr(client.config) == repr(config)
    assert len(client.got) == len(arrays)
    for got, sent in zip(client.got, arrays.values(), strict=True):
        np.testing.assert_array_equal(got, as_numpy_reads_it(sent), strict=True)  # type: ignore[arg-type]
        assert got.flags.writeable
    assert reply["metrics"]["num-examples"] == 3
    assert set(reply) == ({key, "metrics"} if kind == "train" else {"metrics"})
    if kind == "train":
        assert list(reply[key]) == list(arrays)
        for returned, sent in zip(reply[key].values(), arrays.values(), strict=True):
            assert shown_dtype(returned) == shown_dtype(sent)
            np.testing.assert_array_equal(as_numpy_reads_it(returned), as_numpy_reads_it(sent), strict=True)


ANYTHING = st.recursive(
    st.none() | SCALARS | st.fractions() | st.complex_numbers() | ndarrays() | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
MODEL = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7)]
LIKE_MODEL = st.tuples(np_strategies.arrays(np.float32, (2, 3)), np_strategies.arrays(np.int64, ())).map(list)
METRICS = st.dictionaries(st.text(max_size=5) | st.just("local-epochs"), ANYTHING | NUMBERS, max_size=3)
RETURNED = st.tuples(LIKE_MODEL | ANYTHING, st.integers(-9, 9) | ANYTHING, METRICS | ANYTHING) | ANYTHING
EVALUATED = st.tuples(st.floats() | ANYTHING, st.integers(-9, 9) | ANYTHING, METRICS | ANYTHING) | ANYTHING


class Returns:
    """Returns a given value."""

    def __init__(self, value: object) -> None:
        self.value = value

    def fit(self, parameters: list[NDArray[Any]], config: dict[str, Any]) -> Any:
        return self.value

    evaluate = fit


def same(number: object, value: object) -> bool:
    """Whether a metric that was sent equals the one returned, in plain Python."""
    if isinstance(number, list):
        values = np.asarray(value).tolist() if isinstance(value, np.ndarray) else value
        return len(number) == len(values) and all(map(same, number, values))  # type: ignore[arg-type]
    plain = value.item() if isinstance(value, np.ndarray) else value
    if isinstance(number, float) and math.isnan(number):
        return math.isnan(plain)  # type: ignore[arg-type]
    if isinstance(number, float) and isinstance(plain, Fraction | int):
        return number == float(plain)
    return bool(number == plain)


def check_metrics(reply: RecordDict, metrics: dict[str, Any], reserved: dict[str, Any]) -> None:
    """Check that each metric is sent unchanged, or named as left out."""
    record, unsent = reply["metrics"], set(reply.get("flskew", {}).get("unsent-metrics", []))
    missing = [key for key in metrics if key not in record]
    assert len(unsent) <= len(missing) <= len(metrics)
    assert bool(unsent) == any(key not in record or not same(record[key], value) for key, value in metrics.items())
    assert all(same(record[key], reserved[key]) for key in reserved)
    assert all(key in reserved or same(record[key], value) for key, value in metrics.items() if key in record)


@given(RETURNED)
def test_any_result_of_fit_is_sent_unchanged_or_refused_with_a_reason(returned: object) -> None:
    message = answer(Returns(returned), RecordDict({"arrays": ArrayRecord(MODEL)}), "train")
    if message.has_error():
        check_reason(message)
        return
    reply = message.content
    parameters, count, metrics = returned  # type: ignore[misc]
    for sent, array, like in zip(reply["arrays"].to_numpy_ndarrays(), parameters, MODEL, strict=True):
        np.testing.assert_array_equal(sent, np.asarray(array))
        assert (sent.dtype, sent.shape) == (like.dtype, like.shape)
    check_metrics(reply, metrics, {"num-examples": count})


@given(EVALUATED)
def test_any_result_of_evaluate_is_sent_unchanged_or_refused_with_a_reason(returned: object) -> None:
    reply = answer(Returns(returned), RecordDict({"arrays": ArrayRecord(MODEL)}), "evaluate")
    assert not does_not_evaluate(reply)
    if reply.has_error():
        check_reason(reply)
        return
    loss, count, metrics = returned  # type: ignore[misc]
    check_metrics(reply.content, metrics, {"loss": loss, "num-examples": count})
