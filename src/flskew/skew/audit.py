"""Audit a split before training: leaks, lost rows, empty clients, ids that mean other sites."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew.assignment import Assignment
from flskew.skew import _findings as find
from flskew.skew._contents import content_codes
from flskew.skew._findings import Finding
from flskew.skew._given import Codes, Given, read_codes, read_split
from flskew.skew._words import plural
from flskew.typing import Labels

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

__all__ = ["Audit", "Content", "Finding", "Partitions", "audit"]

Partitions: TypeAlias = "Assignment | Iterable[Iterable[int]] | Mapping[str, Iterable[int]]"
"""A split: an `Assignment`, a list with the rows of each partition, or a mapping from names to rows."""

Content: TypeAlias = "NDArray[Any] | pd.DataFrame | Dataset"
"""The rows of a data set: an array, a DataFrame or a Hugging Face data set."""

_ORDER = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, repr=False)
class Audit:
    """What is wrong, or unusual, with a split.

    `flskew.skew.audit` returns one. It prints as text, displays as a list in notebooks, and converts to Markdown, JSON
    and a DataFrame.

    Attributes:
        title: What was audited, including whether test rows were taken for rows of the same data set.
        findings: The findings, errors first, then warnings, then notes.

    Examples:
        >>> from flskew import skew
        >>> audit = skew.audit([range(20), range(40, 80)], num_rows=80)
        >>> audit.ok
        False
        >>> audit.codes
        ('lost-rows', 'file-order')
    """

    title: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there are neither errors nor warnings; notes may remain."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def codes(self) -> tuple[str, ...]:
        """The code of each finding."""
        return tuple(finding.code for finding in self.findings)

    def __str__(self) -> str:
        """The findings as plain text."""
        return "\n".join(
            [self.title, *(f"{found.severity}: {found.message} [{found.code}]" for found in self.findings)]
        )

    def __repr__(self) -> str:
        """Same as `str(audit)`."""
        return str(self)

    def to_markdown(self) -> str:
        """Return the findings as a list in GitHub's Markdown."""
        lines = (f"- **{found.severity}**: {found.message} (`{found.code}`)" for found in self.findings)
        return "\n".join([self.title, "", *lines])

    def _repr_html_(self) -> str:
        items = (
            f"<li><b>{found.severity}</b>: {html.escape(found.message)} (<code>{found.code}</code>)</li>"
            for found in self.findings
        )
        return "\n".join([f"<p>{html.escape(self.title)}</p>", "<ul>", *items, "</ul>"])

    def to_json(self) -> str:
        """Return JSON: `ok`, the title, and one object per finding."""
        found = [asdict(finding) for finding in self.findings]
        return json.dumps({"ok": self.ok, "title": self.title, "findings": found}, ensure_ascii=False)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per finding: code, severity, message, partitions, rows and count."""
        import pandas as pd

        return pd.DataFrame(self.findings, columns=[field.name for field in fields(Finding)])


def audit(
    partitions: Partitions,
    num_rows: int | None = None,
    *,
    labels: Labels | None = None,
    test: Partitions | None = None,
    test_labels: Labels | None = None,
    content: Content | None = None,
    test_content: Content | None = None,
    ids: Labels | None = None,
    test_ids: Labels | None = None,
    same_rows: bool | None = None,
) -> Audit:
    """Check a split, made by flskew or by anything else, before you train on it.

    Faults of the split are findings, not exceptions. An error makes results wrong (leaks, rows used twice, ids that
    mean other sites), a warning is probably a mistake (lost rows, empty clients), and a note is what many schemes do on
    purpose (missing classes, very different sizes).

    Args:
        partitions: The training rows of each client.
        num_rows: Number of rows in the data set. By default, what the `Assignment`, labels, ids or content say; without
            any of them, lost rows cannot be found.
        labels: One label per row of the data set.
        test: The test rows of each client, or a single partition for a test on the server.
        test_labels: One label per row of the test data set, if that is another data set.
        content: The rows themselves, to find equal ones. They are compared by value, not only by digest.
        test_content: The rows of the test data set, if that is another data set.
        ids: One natural id per row, such as the hospital; they tell whether partition i is the same in both.
        test_ids: One natural id per row of the test data set, if that is another data set.
        same_rows: Whether `test` numbers rows of the same data set as `partitions`. By default, it does unless
            `test_labels`, `test_content` or `test_ids` is given or two Assignments have different `num_rows`. The title
            of the audit says which was assumed.

    Raises:
        TypeError: An argument has another type.
        ValueError: `num_rows` is negative, an argument that describes the test rows contradicts `same_rows` or lacks
            `test`, or `content` and `test_content` have different columns.

    Examples:
        >>> from flskew import skew
        >>> skew.audit([[0, 1, 2], [2, 4]], num_rows=6, test=[[5], [1]]).codes
        ('shared-rows', 'leaked-rows', 'lost-rows', 'tiny-clients', 'tiny-test-clients')
    """
    train = read_split(partitions, "partitions")
    tested = None if test is None else read_split(test, "test")
    num_rows = checks.optional_integer("num_rows", num_rows, minimum=0)
    of_test = {"test_labels": test_labels, "test_content": test_content, "test_ids": test_ids}
    given = [name for name, value in of_test.items() if value is not None]
    same_rows = _same_rows(train, tested, given, same_rows)
    label_codes, id_codes = _pair(labels, test_labels, "labels"), _pair(ids, test_ids, "ids")
    codes, test_codes = (None, None) if content is None else content_codes(content, test_content)
    if content is None and test_content is not None:
        raise ValueError("test_content needs content; pass the training rows, too")

    lengths = {"labels": label_codes[0], "ids": id_codes[0], "content": codes}
    test_lengths = {"test_labels": label_codes[1], "test_ids": id_codes[1], "test_content": test_codes}
    known = _known(num_rows, train, lengths)
    test_known = known if same_rows or tested is None else _known(None, tested, test_lengths)

    findings = [*find.readable(train, "training"), *_wrong_lengths(train, known, lengths)]
    train, beyond = find.usable(train, known, "training") if known is not None else (train, [])
    findings += [*beyond, *find.shared(train, "training"), *find.sizes(train, "training"), *find.file_order(train)]
    if tested is not None:
        findings += [
            *find.readable(tested, "test"),
            *_wrong_lengths(tested, test_known, {} if same_rows else test_lengths),
        ]
        tested, beyond = find.usable(tested, test_known, "test") if test_known is not None else (tested, [])
        findings += [
            *beyond,
            *find.shared(tested, "test"),
            *find.sizes(tested, "test"),
            *find.moved_names(train, tested),
        ]
        if same_rows:
            findings += find.leaked_rows(train, tested)
    if known is not None:
        others = [tested] if tested is not None and same_rows else []
        findings += find.unassigned(train, others, known, on_request=isinstance(partitions, Assignment))
    if codes is not None and len(codes) == known:
        findings += find.contents(train, codes)
        other = codes if same_rows else test_codes
        if tested is not None and other is not None and len(other) == test_known:
            findings += find.leaked_contents(train, tested, codes, other, same_rows=same_rows)
    findings += _by_label(
        train, tested, label_codes, (known, test_known), same_rows, isinstance(partitions, Assignment)
    )
    if labels is None and isinstance(partitions, Assignment) and partitions.has_labels:
        findings += _by_counts(train, tested, partitions, test)
    one, two = id_codes
    two = one.codes if one is not None and same_rows else two
    if tested is not None and one is not None and two is not None and (len(one.codes), len(two)) == (known, test_known):
        found = list(find.moved_ids(train, tested, one, two))
        findings += [] if "different-sites" in {each.code for each in findings} else found
    findings.sort(key=lambda finding: _ORDER[finding.severity])
    return Audit(_title(train, tested, known, same_rows, findings), tuple(findings))


def _same_rows(train: Given, test: Given | None, given: Sequence[str], same_rows: bool | None) -> bool:
    if test is None:
        if given:
            raise ValueError(f"{given[0]} describes test rows; pass test, too")
        return True
    if same_rows is None:
        return not given and (None in (train.num_rows, test.num_rows) or train.num_rows == test.num_rows)
    if checks.truth("same_rows", same_rows) and given:
        raise ValueError(f"same_rows=True contradicts {given[0]}; remove one of them")
    return same_rows


def _pair(column: object, test: object, name: str) -> tuple[Codes | None, NDArray[np.int64] | None]:
    """Number the values of two columns alike; a missing value is -1."""
    if column is None:
        if test is not None:
            raise ValueError(f"test_{name} needs {name}; pass those of the training rows, too")
        return None, None
    one = read_codes(column, name)
    if test is None:
        return one, None
    two = read_codes(test, f"test_{name}")
    numbers = {value: code for code, value in enumerate(one.values)}
    for value in two.values:
        numbers.setdefault(value, len(numbers))
    # The last entry translates -1.
    lookup = np.array([*(numbers[value] for value in two.values), -1], dtype=np.int64)
    return Codes(one.codes, list(numbers)), lookup[two.codes]


def _length(column: Codes | NDArray[np.int64]) -> int:
    return len(column.codes) if isinstance(column, Codes) else len(column)


def _known(num_rows: int | None, split: Given, columns: Mapping[str, Codes | NDArray[np.int64] | None]) -> int | None:
    """Return the number of rows, if anything says it."""
    says = [num_rows, split.num_rows, *(None if column is None else _length(column) for column in columns.values())]
    return next((number for number in says if number is not None), None)


def _wrong_lengths(
    split: Given, known: int | None, columns: Mapping[str, Codes | NDArray[np.int64] | None]
) -> Iterator[Finding]:
    for name, column in columns.items():
        if column is None or _length(column) == known:
            continue
        text = f"{name} has length {_length(column):,} for {known:,} rows, so it was not used; do they belong together?"
        yield Finding("wrong-length", "error", text, (), (), abs(_length(column) - (known or 0)))
    if split.num_rows not in (None, known):
        text = f"The Assignment was made for {split.num_rows:,} rows, but num_rows={known:,}. Is it of another version?"
        yield Finding("wrong-length", "error", text, (), (), 1)


def _by_label(
    train: Given,
    test: Given | None,
    pair: tuple[Codes | None, NDArray[np.int64] | None],
    known: tuple[int | None, int | None],
    same_rows: bool,
    on_request: bool,
) -> Iterator[Finding]:
    labels, test_codes = pair
    if labels is None or len(labels.codes) != known[0]:
        return
    test_codes = labels.codes if same_rows else test_codes
    missing = labels.codes[train.rows] < 0
    if missing.any():
        yield find.unlabelled(train, missing)
    # Classes only in the test labels are not classes of the training data.
    num_classes = len(labels.values)
    exist = np.bincount(labels.codes[labels.codes >= 0], minlength=num_classes) > 0
    counts = find.counted(train, labels.codes, num_classes)
    own = np.flatnonzero(exist)
    names = [labels.values[code] for code in own.tolist()]
    yield from find.one_class(train, counts)
    aside = np.zeros(num_classes, dtype=bool)
    if test is not None and test_codes is not None and len(test_codes) == known[1]:
        tested = find.counted(test, test_codes, num_classes)
        aside = np.asarray(tested.sum(axis=0) > 0)
        yield from find.unseen_classes(train, test, counts, tested, labels.values)
    # A class that is tested but not trained on was reported as such.
    kept = own[~aside[own]]
    absent = [labels.values[code] for code in kept.tolist()]
    yield from find.absent_classes(train, counts[:, kept], absent, on_request=on_request)
    yield from find.against_chance(train, counts[:, own], names)


def _by_counts(train: Given, test: Given | None, split: Assignment, other: object) -> Iterator[Finding]:
    """The checks for labels that an Assignment brings along."""
    classes = split.classes.tolist()
    yield from find.one_class(train, split.label_counts)
    yield from find.absent_classes(train, split.label_counts, classes, on_request=True)
    if test is not None and isinstance(other, Assignment) and other.has_labels and not (split.edges is not None):
        every = list(dict.fromkeys([*classes, *other.classes.tolist()]))
        at = {label: code for code, label in enumerate(every)}
        counts, tested = (np.zeros((len(one), len(every)), dtype=np.int64) for one in (split, other))
        counts[:, [at[label] for label in classes]] = split.label_counts
        tested[:, [at[label] for label in other.classes.tolist()]] = other.label_counts
        yield from find.unseen_classes(train, test, counts, tested, every)
    yield from find.against_chance(train, split.label_counts, classes)


def _title(train: Given, test: Given | None, known: int | None, same_rows: bool, findings: Sequence[Finding]) -> str:
    counts = [sum(found.severity == severity for found in findings) for severity in _ORDER]
    found = ", ".join(map(plural, counts, _ORDER))
    size = (
        plural(len(train.rows), "training row") if known is None else f"{len(train.rows):,} of {plural(known, 'row')}"
    )
    told = ""
    if test is not None:
        told = f"; test rows are rows of {'the same data set' if same_rows else 'another data set'}"
    return f"{plural(len(train.names), 'partition')}, {size}{told}: {found}."
