"""`skew.audit` finds every seeded fault, raises no false alarm on clean splits, and never fails on a broken split."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.partitioners.cases import CASES

from flskew import Assignment, NaturalIdPartitioner, skew

LABELS = [row * 7 % 10 for row in range(2000)]
Parts = list[list[int]]


def clean(case, seed: int) -> Assignment | None:
    """Return a split without empty partitions, which some cases allow and `audit` rightly warns of."""
    split = case.make(5, LABELS, seed).assign(LABELS)
    return split if (split.sizes > 0).all() else None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_clean_split_causes_an_alarm(case) -> None:
    splits = [split for seed in range(60) if (split := clean(case, seed)) is not None][:9]
    assert len(splits) == 9  # 9 splits of each of the cases, more than 200 in all
    content = np.arange(2000.0)[:, None]
    for split in splits:
        assert skew.audit(split, labels=LABELS, content=content).ok
        assert skew.audit(split, test=split.match(LABELS[:700]), same_rows=False).ok
        if not case.drops:
            assert skew.audit(list(split), 2000, labels=LABELS).ok


def _other(parts: Parts, at: int) -> int:
    return (at + 1) % len(parts)


def _repeat(parts: Parts, at: int) -> dict[str, object]:
    parts[at].append(parts[at][0])
    return {}


def _share(parts: Parts, at: int) -> dict[str, object]:
    parts[_other(parts, at)].append(parts[at][0])
    return {}


def _copy(parts: Parts, at: int) -> dict[str, object]:
    parts.append(list(parts[at]))
    return {}


def _test(*rows: int, **more: object) -> Callable[[Parts, int], dict[str, object]]:
    return lambda parts, at: {"test": [list(rows)], **more}


def _add(entry: object) -> Callable[[Parts, int], dict[str, object]]:
    def fault(parts: Parts, at: int) -> dict[str, object]:
        parts[at].insert(len(parts[at]) // 2, entry)  # type: ignore[arg-type]
        return {}

    return fault


def _lose(parts: Parts, at: int) -> dict[str, object]:
    parts[at].pop()
    return {}


def _lose_partition(parts: Parts, at: int) -> dict[str, object]:
    del parts[at]
    return {}


def _empty(parts: Parts, at: int) -> dict[str, object]:
    parts[_other(parts, at)] += parts[at]
    parts[at] = []
    return {}


def _floats(parts: Parts, at: int) -> dict[str, object]:
    parts[at] = [float(row) for row in parts[at]]  # type: ignore[misc]
    return {}


def _absent(parts: Parts, at: int) -> dict[str, object]:
    parts[:] = [[row for row in part if LABELS[row] != at] for part in parts]
    return {}


def _leak(parts: Parts, at: int) -> dict[str, object]:
    return {"test": [parts[at][:1]]}


def _leak_content(parts: Parts, at: int) -> dict[str, object]:
    train = np.random.default_rng(at).normal(size=(2000, 3))
    return {"content": train, "test": [[0, 1]], "test_content": np.array([[9.0, 9, 9], train[parts[at][0]]])}


def _untrained(parts: Parts, at: int) -> dict[str, object]:
    return {"test": [[0, 1]], "test_labels": [at, 77]}


def _short(parts: Parts, at: int) -> dict[str, object]:
    return {"labels": LABELS[: -1 - at]}


def _long(parts: Parts, at: int) -> dict[str, object]:
    return {"labels": [*LABELS, *range(at + 1)]}


def _unlabelled(parts: Parts, at: int) -> dict[str, object]:
    labels: list[int | None] = list(LABELS)
    labels[parts[at][0]] = None
    return {"labels": labels}


def _moved_names(parts: Parts, at: int) -> dict[str, object]:
    names = [f"site {index}" for index in range(len(parts))]
    other = [*names[1:], names[0]]
    return {
        "partitions": dict(zip(names, parts, strict=True)),
        "test": {name: [0] for name in other},
        "same_rows": False,
    }


def _moved_ids(parts: Parts, at: int) -> dict[str, object]:
    ids = np.empty(2000, dtype=np.int64)
    for index, part in enumerate(parts):
        ids[part] = index
    test_ids = [*range(1, len(parts)), 0]
    return {"ids": ids, "test_ids": test_ids, "test": [[index] for index in range(len(parts))]}


FAULTS = {
    "a row twice in one client": (_repeat, "repeated-rows"),
    "a row in two clients": (_share, "shared-rows"),
    "a client twice": (_copy, "shared-rows"),
    "a training row in the test": (_leak, "leaked-rows"),
    "a copy of a training row in another test file": (_leak_content, "leaked-contents"),
    "a lost row": (_lose, "lost-rows"),
    "a lost client": (_lose_partition, "lost-rows"),
    "a row beyond the data": (_add(2000), "out-of-range"),
    "an enormous row": (_add(2**62), "out-of-range"),
    "a negative row": (_add(-1), "negative-rows"),
    "a fraction": (_add(1.5), "not-integers"),
    "a missing value": (_add(None), "not-integers"),
    "a boolean": (_add(True), "not-integers"),
    "rows as floats": (_floats, "float-rows"),
    "an empty client": (_empty, "empty-clients"),
    "a class that no client has": (_absent, "absent-classes"),
    "a class only in the test": (_untrained, "untrained-classes"),
    "labels too short": (_short, "wrong-length"),
    "labels too long": (_long, "wrong-length"),
    "a missing label": (_unlabelled, "missing-labels"),
    "names in another order": (_moved_names, "different-sites"),
    "ids in another order": (_moved_ids, "different-sites"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault_is_found_wherever_it_is(name: str) -> None:
    inject, code = FAULTS[name]
    rng = np.random.default_rng(len(name))
    cases = [case for case in CASES if not case.drops]
    for _ in range(6):
        split = None
        while split is None:
            split = clean(cases[rng.integers(len(cases))], int(rng.integers(1000)))
        parts = [rows.tolist() for rows in split]
        arguments = {"partitions": parts, "num_rows": 2000, "labels": LABELS, **inject(parts, int(rng.integers(5)))}
        if code in {"different-sites"}:
            arguments.pop("labels")
        found = skew.audit(**arguments)
        assert code in found.codes
        assert not found.ok


@given(
    parts=st.lists(st.lists(st.integers(-3, 30) | st.integers())),
    test=st.none() | st.lists(st.lists(st.integers(-3, 30) | st.integers())),
    num_rows=st.none() | st.integers(0, 40),
    labels=st.none() | st.lists(st.sampled_from([0, 1, None])),
)
def test_a_split_is_never_an_exception(parts, test, num_rows, labels) -> None:
    found = skew.audit(parts, num_rows, labels=labels, test=test)
    # A plain reading of the definitions is the oracle.
    limit = num_rows if num_rows is not None else len(labels) if labels is not None else 2**63
    splits = [
        [{row: part.count(row) for row in part if 0 <= row < min(limit, 2**63)} for part in split]
        for split in (parts, test or [])
    ]
    twice = any(max(part.values(), default=0) > 1 for split in splits for part in split)
    assert ("repeated-rows" in found.codes) == twice
    assert ("shared-rows" in found.codes) == any(sum(map(len, split)) > len(set().union(*split)) for split in splits)
    for text in (str(found), found.to_markdown(), found._repr_html_()):
        assert all(finding.code in text for finding in found.findings)
    assert [one["code"] for one in json.loads(found.to_json())["findings"]] == found.to_frame()["code"].tolist()


def test_a_finding_names_sites_and_rows() -> None:
    found = skew.audit({"Bern": [0, 1, 2], "Lyon <b>": [2, 3]}, 4)
    shared = found.findings[0]
    assert (shared.partitions, shared.rows, shared.severity) == (("Bern", "Lyon <b>"), (2,), "error")
    assert "Bern and Lyon" in str(found)
    assert "<b>:" not in found._repr_html_()
    assert "Lyon &lt;b&gt;" in found._repr_html_()


def test_a_test_split_made_like_the_training_split_has_the_same_sites() -> None:
    ids, test_ids = ["Bern", "Lyon"] * 20, ["Lyon"] * 15
    train = NaturalIdPartitioner("h").assign(ids)
    pinned = NaturalIdPartitioner("h").assign(test_ids, like=train)
    alone = NaturalIdPartitioner("h").assign(test_ids)
    assert skew.audit(train, test=pinned).ok
    assert "different-sites" in skew.audit(train, test=alone).codes
    assert "different-sites" in skew.audit(list(train), ids=ids, test=list(alone), test_ids=test_ids).codes


@pytest.mark.parametrize(
    "kind",
    [tuple, range, np.uint8, np.uint64, pd.Series, lambda rows: pd.array(list(rows), dtype="Int64")],
    ids=["tuple", "range", "uint8", "uint64", "pandas", "nullable"],
)
def test_rows_may_be_of_any_integer_type(kind) -> None:
    rows = range(12) if kind is range else kind(list(range(12)))
    found = skew.audit([range(12) if kind is range else rows, [12]], 13)
    assert found.ok


def test_the_title_says_which_data_set_test_rows_belong_to() -> None:
    split = Assignment.from_partitions([[0, 1], [2, 3]])
    assert "rows of another data set" in skew.audit(split, test=Assignment.from_partitions([[0], [1]])).title
    assert "rows of the same data set" in skew.audit([[0, 1]], test=[[2]]).title
    assert "leaked-rows" not in skew.audit([[0, 1]], test=[[1]], same_rows=False).codes


@pytest.mark.parametrize(
    ("train", "test", "equal"),
    [
        pytest.param(np.array([[0.0, 1]]), np.array([[-0.0, 1]]), True, id="negative zero"),
        pytest.param(np.array([[np.nan]]), np.array([[-np.nan]]), True, id="NaN"),
        pytest.param(np.array([[1.0]]), np.array([[np.nextafter(1.0, 2)]]), False, id="nearly equal"),
        pytest.param(pd.DataFrame({"a": [1], "b": ["x"]}), pd.DataFrame({"b": ["x"], "a": [1.0]}), True, id="columns"),
        pytest.param(pd.DataFrame({"a": ["1"]}), pd.DataFrame({"a": [1]}), False, id="text and number"),
        pytest.param(pd.DataFrame({"a": [[1, 2]]}), pd.DataFrame({"a": [[1, 2]]}), True, id="lists"),
        pytest.param(pd.DataFrame({"a": ["ab"], "b": ["c"]}), pd.DataFrame({"a": ["a"], "b": ["bc"]}), False, id="cut"),
    ],
)
def test_contents_are_equal_by_value(train, test, equal: bool) -> None:
    found = skew.audit([[0]], test=[[0]], content=train, test_content=test)
    assert ("leaked-contents" in found.codes) == equal


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param({"partitions": 3}, TypeError, "partitions must be", id="number"),
        pytest.param({"partitions": [0, 1]}, TypeError, "partition 0 is of type int", id="flat list"),
        pytest.param({"partitions": [[0]], "num_rows": -1}, ValueError, "num_rows", id="negative size"),
        pytest.param({"partitions": [[0]], "test_labels": [0]}, ValueError, "pass test", id="labels without a test"),
        pytest.param({"partitions": [[0]], "labels": 5}, TypeError, "labels must", id="labels"),
    ],
)
def test_misuse_is_an_error(arguments, error, message: str) -> None:
    with pytest.raises(error, match=message):
        skew.audit(**arguments)
