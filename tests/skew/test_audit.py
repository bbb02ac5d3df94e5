"""`skew.audit` finds every seeded fault, raises no false alarm on clean splits, and never fails on a broken split."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tests.partitioners.cases import CASES, Case

from flskew import (
    Assignment,
    CrossPartitioner,
    GroupedNaturalIdPartitioner,
    NaturalIdPartitioner,
    QuantityPartitioner,
    partitioners,
    skew,
)

LABELS = [row * 7 % 10 for row in range(2000)]
SITES = [f"site {label}" for label in LABELS]
Parts = list[list[int]]


class _ByLabel:
    """A partitioner of natural ids that takes the labels of the table of cases as ids."""

    def __init__(self, partitioner: NaturalIdPartitioner | GroupedNaturalIdPartitioner | CrossPartitioner) -> None:
        self.partitioner = partitioner

    def assign(self, labels: list[int]) -> Assignment:
        return self.partitioner.assign([f"site {label}" for label in labels], labels=labels)


def _listed(num_partitions: int, labels: list[int], seed: int) -> NaturalIdPartitioner:
    ids = np.random.default_rng(seed).permutation([*dict.fromkeys(SITES), "a site without rows"])
    return NaturalIdPartitioner("site", natural_ids=ids.tolist())


NATURAL = [
    Case("natural ids", lambda n, labels, seed: _ByLabel(NaturalIdPartitioner("site"))),
    Case("listed natural ids", lambda n, labels, seed: _ByLabel(_listed(n, labels, seed))),
    Case(
        "grouped natural ids",
        lambda n, labels, seed: _ByLabel(GroupedNaturalIdPartitioner("site", 1 + seed % 9, "allow-smaller")),
    ),
    Case(
        "sizes within natural ids",
        lambda n, labels, seed: _ByLabel(
            CrossPartitioner(NaturalIdPartitioner("site"), QuantityPartitioner(n, alpha=1.0, seed=seed))
        ),
    ),
]


def _no_alarm(case: Case, seeds: range) -> None:
    for seed in seeds:
        split = case.make(5, LABELS, seed).assign(LABELS)
        content = np.arange(2000.0)[:, None]
        # A client without rows cannot train, so the one warning is right: the partitioner allowed empty partitions.
        expected = {"empty-clients"} if (split.sizes == 0).any() else set()
        audits = [
            skew.audit(split, labels=LABELS, content=content),
            skew.audit(split, test=split.match(LABELS[:700]), same_rows=False),
        ]
        if not case.drops:
            audits.append(skew.audit(list(split), 2000, labels=LABELS))
        for audit in audits:
            assert {found.code for found in audit.findings if found.severity != "note"} == expected, (seed, audit)


@pytest.mark.parametrize("case", [*CASES, *NATURAL], ids=str)
def test_no_clean_split_causes_an_alarm(case: Case) -> None:
    _no_alarm(case, range(8))  # of each of the cases, more than 200 in all


@pytest.mark.long
@pytest.mark.parametrize("case", [*CASES, *NATURAL], ids=str)
def test_no_clean_split_of_200_causes_an_alarm(case: Case) -> None:
    _no_alarm(case, range(200))


def test_the_clean_splits_are_of_every_partitioner() -> None:
    made = [case.make(5, LABELS, 0) for case in [*CASES, *NATURAL]]
    kinds = {type(one.partitioner if isinstance(one, _ByLabel) else one) for one in made}
    public = {getattr(partitioners, name) for name in partitioners.__all__ if name.endswith("Partitioner")}
    assert kinds == {one for one in public if not inspect.isabstract(one)}


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
        while split is None or not split.sizes.all():
            split = cases[rng.integers(len(cases))].make(5, LABELS, int(rng.integers(1000))).assign(LABELS)
        parts = [rows.tolist() for rows in split]
        arguments = {"partitions": parts, "num_rows": 2000, "labels": LABELS, **inject(parts, int(rng.integers(5)))}
        if code in {"different-sites"}:
            arguments.pop("labels")
        found = skew.audit(**arguments)
        assert code in found.codes
        assert not found.ok


TWO = [list(range(0, 40, 2)), list(range(1, 40, 2))]
"""Two partitions of 20 rows each, which are neither tiny nor blocks of the file."""

HALVES = [row // 2 % 2 for row in range(40)]
"""Two classes, as many rows of each in both partitions of `TWO`."""


def _two(**more: object) -> dict[str, object]:
    return {"partitions": TWO, **more}


def _copied(at: int, of: int) -> np.ndarray:
    content = np.arange(40.0)
    content[at] = content[of]
    return content


# For each code, arguments that it applies to, and similar ones that it does not.
PAIRS = [
    pytest.param(
        "file-order",
        {"partitions": [range(10, 20), range(10)]},
        {"partitions": [[*range(11, 20), 10], range(10)]},
        id="blocks of the file, or nearly",
    ),
    pytest.param(
        "file-order", {"partitions": [range(2), range(2, 4)]}, {"partitions": [range(40), []]}, id="a single block"
    ),
    pytest.param(
        "file-order", {"partitions": [range(2), range(2, 4)]}, {"partitions": [[0], [1], [2, 3]]}, id="too few rows"
    ),
    pytest.param(
        "file-order",
        {"partitions": [range(10), range(10, 20)], "ids": ["Bern"] * 9 + ["Lyon"] * 11},
        {"partitions": [range(10), range(10, 20)], "ids": ["Bern"] * 10 + ["Lyon"] * 10},
        id="blocks of the file, or sites",
    ),
    pytest.param(
        "file-order",
        {"partitions": [range(10), range(10, 20)], "ids": ["Bern"] * 10 + [None] + ["Lyon"] * 9},
        {"partitions": [range(10), range(10, 20)], "ids": ["Bern", "Biel"] * 5 + ["Lyon"] * 10},
        id="a row without a site, or two sites in a partition",
    ),
    pytest.param(
        "sizes-far-apart",
        {"partitions": [range(1000), range(1000, 1010), []]},
        {"partitions": [range(999), range(1000, 1010), []]},
        id="100 times as large, or 99.9",
    ),
    pytest.param(
        "similar-names",
        {"partitions": {"St. Gallen": [0, 1], "Bern": [2], "St.  Gallen ": [3]}},
        {"partitions": {"St. Gallen": [0, 1], "Bern": [2], "St.Gallen": [3], "bern": [4]}},
        id="names that differ in spaces, or also otherwise",
    ),
    pytest.param("tiny-clients", {"partitions": [range(9)]}, {"partitions": [range(10)]}, id="9 rows or 10"),
    pytest.param("tiny-clients", {"partitions": [range(9)]}, {"partitions": [range(10), []]}, id="1 row or none"),
    pytest.param(
        "tiny-test-clients", _two(test=[range(40, 49)]), _two(test=[range(40, 50)]), id="9 test rows or 10"
    ),
    pytest.param(
        "empty-test-clients", _two(test=[range(40, 60), []]), _two(test=[range(40, 60), [60]]), id="no test rows"
    ),
    pytest.param("empty-clients", {"partitions": [range(20), []]}, {"partitions": [range(20), [20]]}, id="no rows"),
    pytest.param("no-rows", {"partitions": [[], []]}, {"partitions": [[], [0]]}, id="no rows at all"),
    pytest.param("no-rows", _two(test=[]), _two(test=[[40]]), id="no test rows at all"),
    pytest.param(
        "one-class",
        _two(labels=[row % 2 for row in range(40)]),
        _two(labels=HALVES),
        id="one class or two",
    ),
    pytest.param("one-class", _two(labels=[row % 2 for row in range(40)]), _two(labels=[0] * 40), id="no other class"),
    pytest.param(
        "absent-classes",
        {"partitions": [range(10), range(10, 20)], "labels": [0, 1] * 10 + [2]},
        {"partitions": [range(10), range(10, 21)], "labels": [0, 1] * 10 + [2]},
        id="a class nobody has",
    ),
    pytest.param(
        "absent-classes",
        {"partitions": [range(10), range(10, 20)], "labels": [0, 1] * 10 + [2]},
        {"partitions": [range(10), range(10, 20)], "labels": [0, 1] * 10 + [2], "test": [[20]]},
        id="a class that is tested has another finding",
    ),
    pytest.param(
        "untrained-classes",
        {"partitions": [range(10), range(10, 20)], "labels": [0, 1] * 10 + [2], "test": [[20]]},
        {"partitions": [range(10), range(10, 20)], "labels": [0, 1] * 10 + [1], "test": [[20]]},
        id="a class only in the test",
    ),
    pytest.param(
        "unseen-classes",
        _two(labels=[row % 2 for row in range(40)], test=[[0], [1]], test_labels=[1, 0]),
        _two(labels=[row % 2 for row in range(40)], test=[[0], [1]], test_labels=[0, 1]),
        id="classes of another client",
    ),
    pytest.param(
        "unseen-classes",
        _two(labels=[row % 2 for row in range(40)], test=[[0], [1]], test_labels=[1, 0]),
        _two(labels=[row % 2 for row in range(40)], test=[[0, 1]], test_labels=[1, 0]),
        id="a test on the server has all classes",
    ),
    pytest.param(
        "label-skew",
        _two(labels=HALVES),
        {"partitions": [range(40), []], "labels": HALVES},
        id="one client cannot differ from the others",
    ),
    pytest.param("label-skew", _two(labels=HALVES), _two(labels=[0] * 40), id="one class cannot be skewed"),
    pytest.param("label-skew", _two(labels=HALVES), _two(), id="no labels"),
    pytest.param(
        "missing-labels", _two(labels=[None, *HALVES[1:]]), _two(labels=[*HALVES, None]), id="of a row or of none"
    ),
    pytest.param(
        "missing-labels",
        _two(labels=HALVES, test=[[0]], test_labels=[None]),
        _two(labels=HALVES, test=[[0]], test_labels=[1]),
        id="of a test row",
    ),
    pytest.param(
        "shared-contents",
        _two(content=_copied(0, 1)),
        _two(content=_copied(0, 2)),
        id="equal rows in two clients or in one",
    ),
    pytest.param(
        "shared-contents",
        _two(content=_copied(0, 1)),
        {"partitions": [[0, 2], [1, 0]], "content": np.arange(3)},
        id="the same row is shared, not copied",
    ),
    pytest.param(
        "leaked-contents",
        {"partitions": [range(20)], "test": [range(20, 40)], "content": _copied(20, 0)},
        {"partitions": [range(20)], "test": [range(20, 40)], "content": _copied(20, 21)},
        id="equal to a training row or to a test row",
    ),
    pytest.param(
        "leaked-contents",
        {"partitions": [range(20)], "test": [[20]], "content": _copied(20, 0)},
        {"partitions": [range(20)], "test": [[0]], "content": np.arange(40)},
        id="the same row is leaked, not copied",
    ),
    pytest.param(
        "leaked-rows", _two(test=[[0]]), _two(test=[[0]], same_rows=False), id="the same data set or another one"
    ),
    pytest.param(
        "partition-counts", _two(test=[[40], [41], [42]]), _two(test=[[40], [41]]), id="three test sets for two clients"
    ),
    pytest.param("lost-rows", _two(num_rows=41), _two(num_rows=40), id="one row too few"),
    pytest.param(
        "lost-rows", _two(num_rows=41, test=[[40]], same_rows=False), _two(num_rows=41, test=[[40]]), id="tested rows"
    ),
    pytest.param("out-of-range", _two(num_rows=39), _two(num_rows=40), id="one row beyond"),
    pytest.param("repeated-rows", {"partitions": [[3, 0, 3]]}, {"partitions": [[3], [0, 3]]}, id="in one client"),
    pytest.param("shared-rows", {"partitions": [[3], [0, 3]]}, {"partitions": [[3, 0, 3], [1]]}, id="in two clients"),
    pytest.param(
        "different-sites",
        {"partitions": {"Bern": [0], "Lyon": [1]}, "test": {"Lyon": [0], "Bern": [1]}, "same_rows": False},
        {"partitions": {"Bern": [0], "Lyon": [1]}, "test": {"Bern": [0], "Lyon": [1]}, "same_rows": False},
        id="names in another order",
    ),
    pytest.param(
        "different-sites",
        {"partitions": {"Bern": [0], "Lyon": [1]}, "test": {"Lyon": [0]}, "same_rows": False},
        {"partitions": {"Bern": [0], "Lyon": [1]}, "test": {"server": [0]}, "same_rows": False},
        id="one test set, of a site or of all",
    ),
    pytest.param(
        "different-sites",
        {"partitions": [[0], [1]], "ids": ["Bern", "Lyon"], "test": [[0]], "test_ids": ["Lyon"]},
        {"partitions": [[0], [1]], "ids": ["Bern", "Lyon"], "test": [[0, 1]], "test_ids": ["Lyon", "Bern"]},
        id="one test set by id, of a site or of all",
    ),
    pytest.param(
        "different-sites",
        {"partitions": [[0, 1], [2]], "ids": ["B", "B", "L"], "test": [[0], [1]], "test_ids": ["L", "B"]},
        {"partitions": [[0, 2], [1]], "ids": ["B", "B", "L"], "test": [[0], [1]], "test_ids": ["B", "L"]},
        id="ids that the training split divides are not sites",
    ),
    pytest.param(
        "new-ids",
        {"partitions": [[0], [1]], "ids": ["Bern", "Lyon"], "test": [[0], [1]], "test_ids": ["Bern", "Rome"]},
        {"partitions": [[0], [1]], "ids": ["Bern", "Lyon"], "test": [[0], [1]], "test_ids": ["Bern", None]},
        id="a site only in the test, or a row without a site",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("code", "applies", "near_miss"), PAIRS)
def test_a_code_is_found_if_and_only_if_it_applies(code: str, applies, near_miss) -> None:
    assert code in skew.audit(**applies).codes
    assert code not in skew.audit(**near_miss).codes


@pytest.mark.parametrize(
    ("code", "severity", "arguments"),
    [
        pytest.param("partition-counts", "note", _two(test=[range(40, 60)]), id="a test on the server"),
        pytest.param("partition-counts", "warning", _two(test=[[40], [41], [42]]), id="a test of other clients"),
        pytest.param(
            "new-ids",
            "warning",
            {"partitions": [[0], [1]], "ids": ["Bern", "Lyon"], "test": [[0], [1]], "test_ids": ["Bern", "Rome"]},
            id="a client tested on a new site",
        ),
        pytest.param(
            "new-ids",
            "note",
            {"partitions": [[0], [1]], "ids": ["Bern", "Lyon"], "test": [[0, 1]], "test_ids": ["Bern", "Rome"]},
            id="a server testing on a new site",
        ),
        pytest.param(
            "new-ids",
            "note",
            {"partitions": [[0, 1], [2]], "ids": ["Ann", "Bob", "Eve"], "test": [[0], [1]], "test_ids": ["Zoe", "Eve"]},
            id="a new patient of a hospital",
        ),
        pytest.param("lost-rows", "warning", {"partitions": [[0]], "num_rows": 2}, id="rows lost by chance"),
        pytest.param(
            "lost-rows",
            "note",
            {"partitions": Assignment.from_partitions([[0]], num_rows=2)},
            id="rows that an Assignment leaves out",
        ),
    ],
)
def test_how_severe_a_finding_is_depends_on_the_rest(code: str, severity: str, arguments) -> None:
    (found,) = (found for found in skew.audit(**arguments).findings if found.code == code)
    assert found.severity == severity


def test_rows_far_apart_are_found_like_rows_close_together() -> None:
    far = 10**15
    found = skew.audit([[far, 5, far], [far, 7], [9]], test=[[7, far]]).findings
    assert [(one.code, one.rows, one.partitions) for one in found[:3]] == [
        ("repeated-rows", (far,), (0,)),
        ("shared-rows", (far,), (0, 1)),
        ("leaked-rows", (7, far), (0,)),
    ]


def test_affected_rows_and_partitions_equal_a_count_in_plain_python() -> None:
    rng = np.random.default_rng(3)
    parts = [rng.integers(0, 60, size).tolist() for size in (30, 0, 50, 8, 20)]
    found = {one.code: one for one in skew.audit(parts, 100).findings}
    repeated = {row for part in parts for row in part if part.count(row) > 1}
    holders = {row: [index for index, part in enumerate(parts) if row in part] for row in range(60)}
    shared = [row for row in holders if len(holders[row]) > 1]
    assert found["repeated-rows"].rows == tuple(sorted(repeated))
    assert found["shared-rows"].rows == tuple(shared)
    assert found["shared-rows"].partitions == tuple(sorted({index for row in shared for index in holders[row]}))
    lost = [row for row in range(100) if not holders.get(row)]
    assert (found["lost-rows"].rows, found["lost-rows"].count) == (tuple(lost), len(lost))


def _judged(parts: object, labels: object) -> str:
    (found,) = (found for found in skew.audit(parts, labels=labels).findings if found.code == "label-skew")
    return next(word for word in ("too few rows", "is skewed", "looks IID") if word in found.message)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.9, 0.1], [0.1] * 10], ids=["two", "rare", "ten"])
def test_of_random_splits_one_in_twenty_is_called_skewed(shares: list[float]) -> None:
    rng = np.random.default_rng(0)
    judged = []
    for _ in range(200):
        labels = rng.choice(len(shares), 300, p=shares)
        judged.append(_judged(np.split(rng.permutation(300), [20, 100, 150]), labels))
    # 10 are expected; of Binomial(200, 1/20), 99.9 % are at most 20.
    assert judged.count("is skewed") <= 20
    # Random splits are called skewed, too: the statement is not merely cautious.
    assert judged.count("is skewed") >= 2


def test_skew_is_told_from_chance_if_there_are_enough_rows() -> None:
    rng = np.random.default_rng(1)
    halves = [range(5000), range(5000, 10000)]
    assert _judged(halves, rng.integers(0, 2, 10000)) == "looks IID"
    assert _judged(halves, rng.random(10000) < np.repeat([0.45, 0.55], 5000)) == "is skewed"
    # By chance, a split of 7 rows can have any distribution.
    assert _judged([range(3), range(3, 7)], [0, 1, 0, 1, 0, 1, 0]) == "too few rows"
    assert _judged([range(3), range(3, 7)], [0, 0, 0, 0, 0, 1, 1]) == "too few rows"
    assert _judged([range(3), range(3, 7)], [0, 0, 0, 0, 0, 0, 1]) == "too few rows"
    assert _judged([range(60), range(60, 120)], [0, 1] * 60) == "too few rows"
    # Many small clients are enough, although chance alone makes each of them differ.
    clients = np.arange(10000).reshape(1000, 10)
    assert _judged(clients, rng.integers(0, 10, 10000)) == "looks IID"
    assert _judged(clients, np.repeat(np.arange(1000) % 10, 10)) == "is skewed"


def test_an_audit_says_the_same_twice() -> None:
    labels = np.random.default_rng(2).integers(0, 3, 40)
    assert str(skew.audit(TWO, labels=labels)) == str(skew.audit(TWO, labels=labels))


def _leak_severity(content: np.ndarray, train: object, test: object) -> str | None:
    found = skew.audit([train], test=[test], content=content).findings
    return next((one.severity for one in found if one.code == "leaked-contents"), None)


def test_equal_rows_are_a_warning_only_if_they_are_more_frequent_than_in_the_training_split() -> None:
    rng = np.random.default_rng(0)
    measured = rng.normal(size=(1000, 3))
    answers = rng.integers(0, 3, (1000, 5))  # 243 possible rows, so most of them occur twice.
    mixed = np.where(rng.random(1000) < 0.1, 0.0, rng.normal(size=1000))  # A tenth of the rows are equal.
    train, test = range(800), range(800, 1000)
    assert _leak_severity(measured, train, test) is None
    assert _leak_severity(answers, train, test) == "note"
    assert _leak_severity(mixed, train, test) == "note"
    for content in (measured, mixed):
        copied = content.copy()
        copied[900:960] = copied[100:160]
        assert _leak_severity(copied, train, test) == "warning"
    one = measured.copy()
    one[900] = one[100]
    assert _leak_severity(one, train, test) == "warning"


@pytest.mark.parametrize("values", [2, 30, 300, 3000], ids="{} values".format)
def test_a_discrete_table_rarely_causes_a_warning(values: int) -> None:
    rng = np.random.default_rng(values)
    warnings = 0
    for _ in range(100):
        content = (values * rng.random(600) ** 3).astype(int)  # Some values are far more frequent than others.
        warnings += _leak_severity(content, range(400), range(400, 600)) == "warning"
    assert warnings <= 3


def test_a_hugging_face_data_set_is_content() -> None:
    train = Dataset.from_dict({"text": ["a", "b", "c"], "scores": [[1, 2], [3], []]})
    test = Dataset.from_dict({"text": ["b", "b"], "scores": [[3], [4]]})
    found = skew.audit([[0, 1], [2]], test=[[0, 1]], content=train, test_content=test)
    assert "leaked-contents" in found.codes
    assert found.findings[found.codes.index("leaked-contents")].rows == (0,)


HOSTILE = ["<script>\nalert(1)</script>", "\x1b[31mred\x1b[0m", "x" * 100_000, "\u202egnol", "line\r\nbreak"]


def test_hostile_names_stay_in_one_short_line_and_are_escaped() -> None:
    parts = {name: [index, 5] for index, name in enumerate(HOSTILE)}
    ids = [HOSTILE[index] if index < 5 else None for index in range(6)]
    test = {name: [index] for index, name in enumerate(reversed(HOSTILE))}
    by_id = {"ids": ids, "test": [[0]], "test_ids": ["<i>\nRome</i>"], "test_labels": ["<i>\n"]}
    found = [
        skew.audit(parts, test=test, same_rows=False),
        skew.audit(list(parts.values()), labels=[*HOSTILE, "z"], **by_id),
    ]
    for audit in found:
        assert len([line for line in str(audit).splitlines() if not line.startswith("  ")]) == 1 + len(audit.findings)
        assert len(audit.to_markdown().splitlines()) == 2 + len(audit.findings)
        assert max(map(len, str(audit).splitlines())) < 3000
        assert not {"\x1b", "\u202e", "\r"} & set(str(audit))
        assert "<script>" not in audit._repr_html_()
        assert "<i>" not in audit._repr_html_()
    assert "&lt;script&gt; alert(1)&lt;/script&gt;" in found[0]._repr_html_()


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
