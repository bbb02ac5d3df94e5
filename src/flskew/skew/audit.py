"""Audit a split before training: leaks, lost rows, empty clients, ids that mean other sites."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

from flskew._util import checks
from flskew._util.lines import sentences
from flskew._util.words import plural
from flskew.assignment import Assignment
from flskew.skew._audit_contents import leaked_contents, shared_contents
from flskew.skew._audit_labels import by_class, classes_of_assignments, classes_of_columns, unlabelled
from flskew.skew._audit_rows import file_order, fit, leaked_rows, lost_rows, shared_rows, unusable_rows
from flskew.skew._audit_sites import same_sites, sizes
from flskew.skew._contents import read_contents
from flskew.skew._findings import Finding
from flskew.skew._given import Given, read_columns, read_split
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
        title: What was audited, and whether the test rows are rows of the same data set.
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
        """The findings as plain text, in lines of at most 80 columns."""
        return sentences(
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

    Use it when you are about to train on a split, above all if you made it without flskew.

    Faults of the split are findings, not exceptions. An error makes results wrong: leaks, rows used twice, ids that
    mean different sites. A warning is probably a mistake: lost rows, empty clients. A note is what many schemes do on
    purpose: missing classes, very different sizes. Time is linear in the number of rows.

    Args:
        partitions: The training rows of each client.
        num_rows: Number of rows in the data set. By default, it is taken from the `Assignment`, labels, ids or content;
            without any of these, lost rows cannot be found.
        labels: One label per row of the data set.
        test: The test rows of each client, or a single partition for a test on the server.
        test_labels: One label per row of the test data set, if that is another data set.
        content: The rows themselves, to find equal ones; they are compared by value. Test rows that equal a training
            row are a note if equal rows are just as common within the training split, and a warning if they are more
            common.
        test_content: The rows of the test data set, if that is another data set.
        ids: One natural id per row, such as the hospital, to find partitions that are different sites in the two
            splits, and sites that occur only in the test split.
        test_ids: One natural id per row of the test data set, if that is another data set.
        same_rows: Whether `test` numbers rows of the same data set as `partitions`. By default, it does unless
            `test_labels`, `test_content` or `test_ids` is given or two Assignments have different `num_rows`. The title
            of the audit says which was assumed.

    Returns:
        The findings; `ok` says whether there are neither errors nor warnings.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: `num_rows` is negative, an argument about the test rows contradicts `same_rows` or is given without
            `test`, or `content` and `test_content` have different columns.

    Examples:
        >>> from flskew import skew
        >>> skew.audit([[0, 1, 2], [2, 4]], num_rows=6, test=[[5], [1]]).codes
        ('shared-rows', 'leaked-rows', 'lost-rows', 'tiny-clients', 'tiny-test-clients')
    """
    train = read_split(partitions, "partitions", "training")
    tested = None if test is None else read_split(test, "test", "test")
    num_rows = checks.optional_integer("num_rows", num_rows, minimum=0)
    of_test = {"test_labels": test_labels, "test_content": test_content, "test_ids": test_ids}
    same_rows = _same_rows(train, tested, [name for name, value in of_test.items() if value is not None], same_rows)
    columns = {
        **read_columns(labels, test_labels, "labels"),
        **read_columns(ids, test_ids, "ids"),
        **read_contents(content, test_content),
    }
    on_request = isinstance(partitions, Assignment)

    train, findings = fit(train, num_rows, {name: one for name, one in columns.items() if name not in of_test})
    splits = [train]
    if tested is not None:
        other = train.columns if same_rows else {name: one for name, one in columns.items() if name in of_test}
        tested, more = fit(tested, train.num_rows if same_rows else None, other)
        splits, findings = [train, tested], [*findings, *more]
    for split in splits:
        findings += [*unusable_rows(split), *shared_rows(split), *sizes(split), *unlabelled(split)]
    findings += [*file_order(train), *shared_contents(train)]
    if tested is not None:
        findings += leaked_rows(train, tested) if same_rows else []
        findings += [*leaked_contents(train, tested, same_rows=same_rows), *same_sites(train, tested)]
    if train.num_rows is not None:
        findings += lost_rows(splits if same_rows else [train], train.num_rows, on_request=on_request)
    classes = classes_of_columns(train, tested) if labels is not None else classes_of_assignments(partitions, test)
    if classes is not None:
        findings += by_class(train, tested, classes, on_request=on_request)
    findings.sort(key=lambda finding: _ORDER[finding.severity])
    return Audit(_title(train, tested, same_rows, findings), tuple(findings))


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


def _title(train: Given, test: Given | None, same_rows: bool, findings: Sequence[Finding]) -> str:
    counts = [sum(found.severity == severity for found in findings) for severity in _ORDER]
    found = ", ".join(map(plural, counts, _ORDER))
    size = plural(len(train.rows), "training row")
    if train.num_rows is not None:
        size = f"{len(train.rows):,} of {plural(train.num_rows, 'row')}"
    told = ""
    if test is not None:
        told = f"; test rows are rows of {'the same data set' if same_rows else 'another data set'}"
    return f"{plural(len(train.names), 'partition')}, {size}{told}: {found}."
