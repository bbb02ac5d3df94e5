"""Values are written to a file and read back."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import hypothesis.extra.numpy as np_strategies
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from flskew.strategies._packing import NotPlainError, pack, unpack
from flskew.strategies.best import BestModel
from flskew.strategies.history import Failure, Reply, Round

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
KEYS = st.integers() | st.text() | st.binary()
# Each NaN is a separate member of a set until it is read from a file.
MEMBERS = LEAVES.filter(lambda value: value == value)
VALUES = st.recursive(
    LEAVES,
    lambda values: (
        st.lists(values)
        | st.tuples(values, values)
        | st.dictionaries(KEYS, values)
        | st.sets(MEMBERS)
        | st.frozensets(MEMBERS)
    ),
    max_leaves=12,
)


def through_a_file(value: object) -> Any:
    file = io.BytesIO()
    np.savez(file, **pack({"value": value}))  # type: ignore[arg-type]
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        return unpack(dict(stored))["value"]


@given(VALUES)
def test_plain_values_survive_the_round_trip(value: object) -> None:
    assert shown(through_a_file(value)) == shown(value)


def shown(value: object) -> str:
    """Sets in a fixed order, and NaN equal to itself."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} {sorted(map(repr, value))}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} {[shown(entry) for entry in value]}"
    if isinstance(value, dict):
        return f"dict {[(shown(key), shown(entry)) for key, entry in value.items()]}"
    return repr(value)


@given(np_strategies.arrays(np_strategies.scalar_dtypes(), np_strategies.array_shapes(min_dims=0, min_side=0)))
def test_arrays_survive_the_round_trip_with_dtype_shape_and_every_bit(array: Any) -> None:
    back, scalar = through_a_file([array, array.dtype.type(3) if array.dtype.kind in "iuf" else 3])
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert scalar == 3
    assert isinstance(scalar, np.generic if array.dtype.kind in "iuf" else int)


def test_records_keep_the_bytes_of_arrays_of_any_serialization() -> None:
    records = RecordDict(
        {
            "arrays": ArrayRecord({"a": Array(np.arange(3.0)), "b": Array("float32", (2,), "another", b"raw bytes")}),
            "metrics": MetricRecord({"loss": 0.5, "counts": [1, 2], "nan": float("nan")}),
            "config": ConfigRecord({"name": "x", "key": b"\x00", "flags": [True, False], "empty": b""}),
        }
    )
    back = through_a_file(records)
    assert repr(back) == repr(records)
    assert [array.data for array in back["arrays"].values()] == [
        a.data for a in records.array_records["arrays"].values()
    ]


def test_an_array_that_occurs_twice_is_written_once() -> None:
    array = Array(np.arange(1000.0))
    assert len(pack({"a": ArrayRecord({"x": array}), "b": ArrayRecord({"y": array})})) == 2


def test_the_format_of_version_1_is_fixed() -> None:
    """A change here needs a new version of the files, and code that still reads this one."""
    metrics, key = MetricRecord({"loss": 0.5}), ConfigRecord({"key": b"k"})
    replies = (
        Reply(7, 3, metrics, 0.25, assignment="ab", records={"own": key}, update_norm=2.5, partition_id=4, name="Bern"),
    )
    values = {
        "model": ArrayRecord({"w": Array("float32", (1, 2), "numpy.ndarray", b"w")}),
        "records": RecordDict({"m": metrics}),
        "rounds": [Round(1, "train", replies, (Failure(8, "no disk", "Traceback", name="Lyon"),), 1.5, (9,))],
        "groups": ((1, None), {2}, frozenset({True})),
        "arrays": [np.arange(2.0), np.float64(3)],
        "best": BestModel(3, 0.5, ArrayRecord()),
    }
    metrics_text, key_text = {"MetricRecord": [["loss", 0.5]]}, {"ConfigRecord": [["key", {"bytes": 1}]]}
    reply_text = {"Reply": [7, 3, metrics_text, 0.25, "ab", {"dict": [["own", key_text]]}, 2.5, 4, "Bern"]}
    failures_text = {"tuple": [{"Failure": [8, "no disk", "Traceback", None, "Lyon"]}]}
    text = {
        "dict": [
            ["model", {"ArrayRecord": [["w", {"Array": ["float32", [1, 2], "numpy.ndarray", 0]}]]}],
            ["records", {"RecordDict": [["m", metrics_text]]}],
            ["rounds", [{"Round": [1, "train", {"tuple": [reply_text]}, failures_text, 1.5, {"tuple": [9]}]}]],
            ["groups", {"tuple": [{"tuple": [1, None]}, {"set": [2]}, {"frozenset": [True]}]}],
            ["arrays", [{"ndarray": 2}, {"float64": 3}]],
            ["best", {"BestModel": [3, 0.5, {"ArrayRecord": []}]}],
        ]
    }
    written = pack(values)
    assert json.loads(written["json"].tobytes()) == text
    assert [written[name].tobytes() for name in "0123"] == [
        b"w",
        b"k",
        np.arange(2.0).tobytes(),
        np.float64(3).tobytes(),
    ]
    assert repr(unpack(written)) == repr(values)


def test_a_round_from_before_clients_could_be_absent_is_read_as_one_without_absences() -> None:
    text = {"dict": [["round", {"Round": [1, "train", {"tuple": []}, {"tuple": []}, 1.5]}]]}
    assert unpack({"json": json_array(json.dumps(text))}) == {"round": Round(1, "train", (), (), 1.5, absent=())}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "cannot save a object"),
        ([{"a": np.random.default_rng(0)}], "cannot save a Generator"),
        (np.array([None]), "cannot save an array of Python objects"),
        (type("Strange", (dict,), {})(), "cannot save a Strange"),
    ],
)
def test_the_error_of_any_other_value_names_its_type(value: object, message: str) -> None:
    with pytest.raises(NotPlainError, match=message):
        pack({"value": value})


def test_a_list_that_contains_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(NotPlainError, match="cannot serialise a self-referencing object"):
        pack({"value": value})


def json_array(text: str) -> Any:
    return np.frombuffer(text.encode(), np.uint8)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"dict": ' * 5_000 + "1" + "}" * 5_000,
        "no JSON",
        "[1, 2]",
        "{}",
        '{"dict": [[1]]}',
        '{"dict": [["a", {"dict": [[[], 1]]}]]}',
        '{"dict": [["a", {"set": [[]]}]]}',
        '{"dict": [["a", {"ndarray": 7}]]}',
        '{"dict": [["a", {"bytes": [0]}]]}',
        '{"dict": [["a", {"Array": ["float32", [1], "numpy.ndarray"]}]]}',
        '{"dict": [["a", {"Array": [1, ["x"], 2, 0]}]]}',
        '{"dict": [["a", {"MetricRecord": [["loss", "text"]]}]]}',
        '{"dict": [["a", {"RecordDict": [["m", 1]]}]]}',
        '{"dict": [["a", {"Reply": [1]}]]}',
        '{"dict": [["a", {"Failure": [1, 2, 3]}]]}',
        '{"dict": [["a", {"Round": [1, "train", {"tuple": [1]}, {"tuple": []}, 0.5]}]]}',
        '{"dict": [["a", 1e999999999]], "tuple": []}',
        '{"dict": [["a", ' + "9" * 5_000 + "]]}",
    ],
    ids=lambda text: text[:60],
)
def test_values_that_were_not_made_by_pack_are_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"its values cannot be restored: |its values have no names"):
        unpack({"json": json_array(text), "0": np.zeros(1, np.uint8)})


def test_arrays_without_values_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="its values cannot be restored: KeyError: 'json'"):
        unpack({"0": np.zeros(1, np.uint8)})


def test_an_array_that_is_referenced_a_thousand_times_takes_the_memory_of_one() -> None:
    many = ", ".join(['{"Array": ["uint8", [1000000], "numpy.ndarray", 0]}, {"bytes": 0}, {"ndarray": 0}'] * 1_000)
    arrays = {"json": json_array(f'{{"dict": [["a", [{many}]]]}}'), "0": np.zeros(1_000_000, np.uint8)}
    tracemalloc.start()
    try:
        assert len(unpack(arrays)["a"]) == 3_000
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "entry", ["[]", '{"set": []}', '{"Array": ["", [], "", 0]}', '{"RecordDict": []}', "0.5", '"ab"']
)
def test_a_megabyte_of_small_values_takes_tens_of_megabytes_at_most(entry: str) -> None:
    many = ",".join([entry] * (1_000_000 // (len(entry) + 1)))
    arrays = {"json": json_array(f'{{"dict": [["a", [{many}]]]}}'), "0": np.zeros(1, np.uint8)}
    tracemalloc.start()
    try:
        unpack(arrays)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
