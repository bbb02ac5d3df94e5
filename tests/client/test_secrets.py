"""No failure of a client sends data to the server: each way to fail, with a marked secret."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.preprocessing import LabelEncoder

from flskew import (
    Assignment,
    ClientError,
    DirichletPartitioner,
    DistributionPartitioner,
    ExtendedDirichletPartitioner,
    IidPartitioner,
    InnerDirichletPartitioner,
    LabelExclusionPartitioner,
    LocalGrid,
    LocalTerm,
    NaturalIdPartitioner,
    PachinkoPartitioner,
    ParametersError,
    PartitionIdError,
    PathologicalPartitioner,
    QuantityPartitioner,
    ShardPartitioner,
    client_app,
    partition,
    partition_id,
    split_by_time,
)
from flskew.client import sklearn as client_sklearn
from flskew.client._arrays import Slot, fit_into
from flskew.skew import report

TEXT, NUMBER = "Alice-Smith", 7654321
MARKS = (TEXT, TEXT.lower(), str(NUMBER), "7.65432", "7,654,321", f"{NUMBER:x}")
MODEL = [np.zeros((2, 3), np.float32), np.array(0)]
CONTEXT = Context(
    run_id=1,
    node_id=1000,
    node_config={"partition-id": TEXT, "num-partitions": 3, "password": TEXT, "port": NUMBER},
    state=RecordDict({"kept": ConfigRecord({"name": TEXT})}),
    run_config={"path": f"/data/{TEXT}"},
)
Fails = Callable[[], object]


@pytest.fixture(autouse=True, scope="module")
def _identity() -> Iterator[None]:
    """Flower needs a grid's identity to make messages."""
    with LocalGrid(ClientApp(), 1):
        yield


def everything(reply: Message) -> str:
    """Everything in a reply, as text."""
    parts = [repr(vars(reply.metadata)), repr(reply.metadata)]
    if reply.has_error():
        parts += [str(reply.error.code), str(reply.error.reason)]
    else:
        parts += [repr((key, dict(record))) for key, record in reply.content.items()]
        parts += [repr(array.data) for record in reply.content.array_records.values() for array in record.values()]
    return "\n".join(parts)


def is_secret_in(reply: Message) -> bool:
    said = everything(reply)
    return any(mark in said for mark in MARKS)


class NoText(Exception):
    def __str__(self) -> str:
        raise ValueError(TEXT)

    __repr__ = __str__


class AllText(Exception):
    def __str__(self) -> str:
        return TEXT

    __repr__ = __str__


class WithFields(ValueError):
    def __init__(self, row: object) -> None:
        super().__init__(row, {"row": row})
        self.row = row
        self.add_note(TEXT)


@dataclasses.dataclass
class Row:
    name: str = TEXT

    def __post_init__(self) -> None:
        raise KeyError(self.name)


def raises(error: BaseException) -> Fails:
    def fail() -> None:
        raise error

    return fail


def chained(first: Exception) -> Fails:
    def fail() -> None:
        try:
            raise first
        except Exception as error:
            raise RuntimeError(f"no row {TEXT}") from error

    return fail


def in_context() -> None:
    try:
        raise ValueError(TEXT)
    except ValueError:
        raise ClientError("the labels cannot be read") from None


def noted() -> None:
    error = ClientError("the labels cannot be read")
    error.add_note(TEXT)
    raise error from KeyError(TEXT)


def too_deep() -> None:
    too_deep()


def overflow() -> None:
    model = SGDClassifier()
    client_sklearn.prepare(model, 3, classes=[0, 1], dtype=np.float32)
    client_sklearn.set_parameters(model, [np.full((1, 3), 1e300 * NUMBER), np.zeros(1)])


def fitted(label: object) -> LogisticRegression:
    model = LogisticRegression(class_weight="balanced")
    client_sklearn.prepare(model, 2, classes=[str(label), "b"])
    return model


LABELS: list[Any] = [
    [1, TEXT],
    [TEXT, None],
    [NUMBER, float("nan")],
    [[TEXT], [TEXT]],
    np.array([[NUMBER, NUMBER]]),
    pa.array([TEXT, None]),
    pa.array([{"name": TEXT}]),
    [object(), TEXT],
    [b"x", TEXT],
    np.array([NUMBER + 0.5, TEXT], dtype=object),
    [TEXT],
    [NUMBER],
    {TEXT: NUMBER},
    TEXT,
    NUMBER,
]
PARTITIONERS = [
    IidPartitioner(3),
    DirichletPartitioner(3, alpha=0.5, min_partition_size=NUMBER % 10),
    LabelExclusionPartitioner([{TEXT}, {NUMBER}, set()]),
    PathologicalPartitioner(3, "label", 2),
    ExtendedDirichletPartitioner(3, "label", 2, 0.1),
    ShardPartitioner(3, num_shards_per_partition=2),
    QuantityPartitioner(3, alpha=0.2),
    InnerDirichletPartitioner([3, 3], "label", 0.1),
    PachinkoPartitioner(3, {TEXT: NUMBER}),
    DistributionPartitioner(np.ones((2, 3)), 3),
    NaturalIdPartitioner("name"),
]
SPLIT = Assignment.from_partitions([[0], [1], [2]])
SITES = Assignment.from_partitions({TEXT: [0]})
NAMED = DirichletPartitioner(2, alpha=100.0, min_partition_size=0).assign([TEXT, "b"] * 10)

WAYS: dict[str, Fails] = {
    "value error": raises(ValueError(f"no such label: {TEXT}")),
    "key": lambda: {}[TEXT],  # type: ignore[index]
    "attribute": lambda: getattr(object(), TEXT),
    "environment": lambda: os.environ[TEXT],
    "path": lambda: Path(f"/{TEXT}/{NUMBER}.csv").read_bytes(),
    "number": lambda: int(TEXT),
    "json": lambda: json.loads(f'{{"{TEXT}": '),
    "unicode": lambda: TEXT.encode().join([b"\xff"] * 2).decode(),
    "syntax": lambda: compile(f"{TEXT} {TEXT}", TEXT, "exec"),
    "generated code": lambda: exec(f"raise ValueError('{TEXT}')"),
    "arrow": lambda: pa.array([1, TEXT]),
    "numpy": lambda: np.array([TEXT]).astype(float),
    "encoder": lambda: LabelEncoder().fit(["a"]).transform([TEXT]),
    "assertion": lambda: (_ for _ in ()).throw(AssertionError(TEXT)),
    "stop": raises(StopIteration(TEXT)),
    "group": raises(ExceptionGroup(TEXT, [ValueError(TEXT)])),
    "control characters": raises(ValueError(f"\x1b[31m\r\n{TEXT}\x00")),
    "no text": raises(NoText(TEXT)),
    "all text": raises(AllText()),
    "fields": raises(WithFields(np.array([NUMBER]))),
    "dataclass": Row,
    "chain": chained(KeyError(TEXT)),
    "client error from another": noted,
    "client error in context": in_context,
    "chain of no text": chained(NoText(TEXT)),
    "recursion": too_deep,
    "memory": lambda: np.zeros(10**15),
    "partition": lambda: partition(CONTEXT),
    "partition_id": lambda: partition_id(CONTEXT),
    "a text as a partition": lambda: SPLIT[TEXT],  # type: ignore[index]
    "a number as a partition": lambda: SPLIT[NUMBER],
    "a negative number as a partition": lambda: SPLIT[-NUMBER],
    "a name as a partition": lambda: SITES[NUMBER],
    "an unknown name as a partition": lambda: SITES[f"not {TEXT}"],
    "a number as a name": lambda: Assignment.from_partitions({NUMBER: [0]}),  # type: ignore[dict-item]
    "an unknown natural id": lambda: NaturalIdPartitioner("name").assign([f"not {TEXT}"], like=SITES),
    "a listed natural id": lambda: NaturalIdPartitioner("name", natural_ids=[TEXT, TEXT]),
    "a time": lambda: split_by_time(SITES, [TEXT], test=0.5),  # type: ignore[arg-type]
    "a first time": lambda: split_by_time(SITES, [1], test=-NUMBER),
    "a mu": lambda: LocalTerm.from_config({"proximal-mu": TEXT}, []),
    "two mus": lambda: LocalTerm.from_config({"proximal-mu": NUMBER, "proximal_mu": 1.0}, []),
    "weights": overflow,
    "classes": lambda: client_sklearn.prepare(LogisticRegression(), 2, classes=TEXT),
    "one class": lambda: client_sklearn.prepare(LogisticRegression(), 2, classes=[TEXT]),
    "an unknown class": lambda: client_sklearn.complete_classes(fitted("a"), np.eye(2), [TEXT, "b"]),
    "a balanced class": lambda: client_sklearn.complete_classes(fitted(TEXT), np.eye(2), ["b", "b"]),
    "match": lambda: NAMED.match([TEXT, "other"]),
    "from_partitions": lambda: Assignment.from_partitions([[NUMBER], [TEXT]]),  # type: ignore[list-item]
    "load": lambda: Assignment.load(f"/{TEXT}.npz"),
    "report": lambda: report(SPLIT, [TEXT, None, NUMBER]),  # type: ignore[arg-type]
} | {
    f"{type(partitioner).__name__} of labels {index}": lambda partitioner=partitioner, labels=labels: [
        partitioner.assign(labels).match(labels),
        partitioner.assign(labels)[NUMBER],
    ]
    for partitioner in PARTITIONERS
    for index, labels in enumerate(LABELS)
}


def answer(client_fn: Any, kind: str, **arguments: Any) -> Message:
    arrays, config = ArrayRecord(MODEL), ConfigRecord({"lr": 0.1})
    message = Message(RecordDict({"arrays": arrays, "config": config}), 1000, kind)
    return client_app(client_fn, **arguments)(message, CONTEXT)


@pytest.mark.parametrize("way", WAYS)
def test_an_error_in_client_fn_fit_evaluate_or_a_mod_sends_no_secret(way: str) -> None:
    def fail(*_: object) -> object:
        return WAYS[way]()

    class Client:
        fit = evaluate = fail

    for kind in ("train", "evaluate"):
        for client_fn, mods in ((lambda context: Client(), []), (fail, []), (lambda context: Client(), [fail])):
            reply = answer(client_fn, kind, mods=mods)
            assert reply.has_error()
            assert not is_secret_in(reply), reply.error.reason
            assert " in the node's log" in reply.error.reason or "the node's log has" in reply.error.reason
            assert reply.error.reason.isprintable()


@pytest.mark.parametrize("way", ["value error", "partition_id", "no text", "chain"])
def test_full_mode_sends_the_whole_error(way: str) -> None:
    reply = answer(lambda context: WAYS[way](), "train", errors="full")
    assert "Traceback (most recent call last)" in reply.error.reason
    assert (TEXT in reply.error.reason) == (way in ("value error", "chain"))


ROWS = np.full((4, 3), NUMBER, np.float32)
SECRETS: list[Any] = [
    TEXT, TEXT.encode(), NUMBER, float(NUMBER), -NUMBER, 2**70 * NUMBER, complex(NUMBER), None, True,
    ROWS, ROWS[0], ROWS[0, 0], ROWS.tolist(), [TEXT], (NUMBER, TEXT), {TEXT: NUMBER}, {NUMBER: TEXT}, {TEXT}, {},
    np.array(TEXT), np.array([TEXT], object), np.array([(TEXT, NUMBER)], "U20,i8"), np.array(NUMBER),
    np.ma.masked_array(ROWS, ROWS > 0), pa.array([TEXT]), io.StringIO(TEXT), Path(TEXT), AllText(), NoText(),
    type("Shaped", (), {"shape": TEXT, "tolist": lambda self: TEXT, "__len__": lambda self: NUMBER})(),
    type("Breaks", (), {"__array__": raises(ValueError(TEXT)), "shape": (1,)})(),
]  # fmt: skip
# What a client sends on purpose: numbers where numbers belong, and names of metrics.
MEANT = (int, float, np.integer, np.floating)


def returned(first: object, count: object = 3, metrics: object = None) -> list[object]:
    metrics = {} if metrics is None else metrics
    return [(first, count, metrics), [first, count, metrics], (first, count), first]


def is_meant(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim <= 1 and value.dtype.kind in "if" and not isinstance(value, np.ma.MaskedArray)
    return isinstance(value, MEANT)


def is_named(value: object) -> bool:
    return isinstance(value, dict) and TEXT in value


RETURNS = (
    [("train", value) for secret in SECRETS for value in returned(secret)]
    + [("train", value) for secret in SECRETS for value in returned([secret, MODEL[1]])]
    + [("train", (MODEL, secret, {})) for secret in SECRETS if not is_meant(secret)]
    + [("train", (MODEL, secret, {})) for secret in (ROWS[0], NUMBER + 0.5, 2**70 * NUMBER, float("nan"))]
    + [("train", (MODEL, 3, {"local-epochs": secret})) for secret in (-NUMBER, -float(NUMBER), 2**70 * NUMBER)]
    + [("train", (MODEL, 3, secret)) for secret in SECRETS if not is_named(secret)]
    + [("train", (MODEL, 3, {"name": secret})) for secret in SECRETS if not is_meant(secret)]
    + [("train", (MODEL, 3, {"rows": [[secret]], "row": [secret, "x"]})) for secret in SECRETS]
    + [("train", (MODEL, 3, {(TEXT, NUMBER): secret, NUMBER: 1})) for secret in SECRETS]
    + [("train", (MODEL, 3, {"local-epochs": secret})) for secret in SECRETS if not is_meant(secret)]
    + [("train", (MODEL, NUMBER, {"num-examples": 4}))]
    + [("evaluate", value) for secret in SECRETS if not is_meant(secret) for value in returned(secret)]
    + [("evaluate", (0.5, secret, {})) for secret in SECRETS if not is_meant(secret)]
    + [("evaluate", (float(NUMBER), 3, {"loss": 1.0}))]
    + [("evaluate", (0.5, 3, secret)) for secret in SECRETS if not is_named(secret)]
)


@pytest.mark.parametrize(("kind", "value"), RETURNS)
def test_values_returned_in_a_wrong_place_are_not_sent(kind: str, value: object) -> None:
    class Client:
        def fit(self, parameters: Any, config: Any) -> Any:
            return value

        evaluate = fit

    reply = answer(lambda context: Client(), kind)
    assert not is_secret_in(reply), everything(reply)
    reply = answer(lambda context: value, kind)
    assert reply.has_error()
    assert not is_secret_in(reply), everything(reply)


@pytest.mark.parametrize("kind", [ClientError, ParametersError, PartitionIdError])
def test_the_message_of_a_client_error_is_sent_unchanged(kind: type[Exception]) -> None:
    class Mine(kind):  # type: ignore[valid-type, misc]
        pass

    for error in (kind, Mine):

        def client_fn(context: Context, error: type[Exception] = error) -> object:
            raise error("only 3 of 10 classes")

        reply = answer(client_fn, "train")
        assert reply.error.reason.startswith(f"{error.__name__}: only 3 of 10 classes (test_secrets.py:")


KEYS = ("accuracy", "num-examples", "loss", "local-epochs")
NESTED = st.recursive(
    # Hypothesis shows an example that fails by its repr.
    st.sampled_from([secret for secret in SECRETS if not isinstance(secret, Exception)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner)
        | st.fixed_dictionaries(
            {}, optional={"accuracy": inner, "num-examples": inner, "loss": inner, "local-epochs": inner}
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(["train", "evaluate"]), NESTED | st.tuples(NESTED, st.just(3), NESTED))
def test_no_error_quotes_any_part_of_what_a_client_returned(kind: str, value: object) -> None:
    class Client:
        def fit(self, parameters: Any, config: Any) -> Any:
            return value

        evaluate = fit
        assignment = value

    reply = answer(lambda context: Client(), kind)
    assert reply.has_error()  # if nothing else, the assignment is invalid
    assert not is_secret_in(reply), reply.error.reason


DTYPES = st.sampled_from(["bool", "int8", "int64", "uint16", "float16", "float32", "float64", "complex64", "U20"])


@given(st.lists(st.tuples(DTYPES, DTYPES, st.sampled_from([NUMBER, -NUMBER, NUMBER * 1e300, np.nan])), max_size=3))
def test_no_error_quotes_the_numbers_of_an_array_that_does_not_fit_a_model(arrays: list[tuple[str, str, Any]]) -> None:
    slots = [Slot(f"layer {index}", (1,), np.dtype(dtype)) for index, (dtype, _, _) in enumerate(arrays)]
    with np.errstate(all="ignore"):
        given_arrays = [np.array([value]).astype(float).astype(dtype) for _, dtype, value in arrays]

    def client_fn(context: Context) -> object:
        fit_into(slots, given_arrays)
        raise ClientError("all fit")

    reply = answer(client_fn, "train")
    assert reply.error.reason.startswith(("ParametersError: array 'layer ", "ClientError: all fit"))
    assert not is_secret_in(reply), reply.error.reason


@given(
    st.sampled_from([ClientError, ParametersError, PartitionIdError]),
    st.text(max_size=3000),
)
def test_a_reason_is_one_short_printable_line(kind: type[Exception], text: str) -> None:
    reply = answer(lambda context: raises(kind(text))(), "train")
    assert reply.error.reason.isprintable()
    assert len(reply.error.reason) < 1200
    reply.error.reason.encode()
