"""The checks of `audit`: each yields what it finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew.skew._given import Codes, Given
from flskew.skew._words import capital, listed, named_partitions, plural
from flskew.skew.chance import iid_total_variation
from flskew.skew.measures import total_variation
from flskew.skew.tally import Tally
from flskew.typing import LabelCounts

__all__ = [
    "Finding",
    "absent_classes",
    "against_chance",
    "contents",
    "counted",
    "file_order",
    "leaked_contents",
    "leaked_rows",
    "moved_ids",
    "moved_names",
    "one_class",
    "readable",
    "shared",
    "sizes",
    "unassigned",
    "unlabelled",
    "unseen_classes",
    "usable",
]  # fmt: skip

Severity: TypeAlias = Literal["error", "warning", "note"]

# A finding keeps at most this many rows; `count` says how many there are.
_MOST_ROWS = 1000
_TINY = 10
_FAR_APART = 100
# Row numbers may leave this many gaps, and more in a large split, before they are sorted instead of counted.
_MOST_GAPS = 1 << 20


@dataclass(frozen=True)
class Finding:
    """One fact about a split that you should know before you train.

    Attributes:
        code: What was found, such as "shared-rows"; it does not change between versions.
        severity: "error" if results would be wrong, "warning" if the split is probably not what you meant, "note" for
            facts that many schemes cause on purpose.
        message: One or two sentences with numbers, names and a remedy.
        partitions: The affected partitions: their names, or their ids.
        rows: The affected rows, at most the first 1,000.
        count: Number of affected entries.

    Examples:
        >>> from flskew import skew
        >>> finding = skew.audit({"Bern": [0, 1], "Lyon": [1]}, num_rows=2).findings[0]
        >>> finding.code, finding.severity, finding.partitions, finding.rows
        ('shared-rows', 'error', ('Bern', 'Lyon'), (1,))
    """

    code: str
    severity: Literal["error", "warning", "note"]
    message: str
    partitions: tuple[int | str, ...] = ()
    rows: tuple[int, ...] = ()
    count: int = 0


def _found(
    code: str,
    severity: Severity,
    message: str,
    split: Given,
    owners: Sequence[int] | NDArray[np.int64] = (),
    rows: Sequence[int] | NDArray[np.int64] = (),
    count: int | None = None,
) -> Finding:
    distinct = np.unique(np.asarray(owners, dtype=np.int64)).tolist()
    names = tuple(split.names[owner] for owner in distinct)
    affected = tuple(np.asarray(rows, dtype=np.int64)[:_MOST_ROWS].tolist())
    most = len(rows) if len(rows) else len(names)
    text = message.replace("{who}", named_partitions(names)).replace("{Who}", capital(named_partitions(names)))
    return Finding(code, severity, text, names, affected, most if count is None else count)


def _rows_are(count: int, name: str) -> str:
    """Return the start of a sentence about some rows of a split."""
    return f"{plural(count, 'row')} of the {name} split {'is' if count == 1 else 'are'}"


def readable(split: Given, name: str) -> Iterator[Finding]:
    """Entries that are not row numbers."""
    if split.unreadable:
        amount = plural(len(split.unreadable), "entry").replace("entrys", "entries")
        text = (
            f"{amount} of the {name} split {'is' if len(split.unreadable) == 1 else 'are'} not an integer, in {{who}}; "
            f"they were left out. Give row numbers, not labels, masks or missing values."
        )
        yield _found("not-integers", "error", text, split, split.unreadable, count=len(split.unreadable))
    if split.as_floats:
        text = (
            f"The {name} rows of {{who}} are floating-point numbers, often due to empty cells in a CSV file; "
            f"convert them with astype(int)."
        )
        yield _found("float-rows", "warning", text, split, split.as_floats)
    if split.negative:
        owners, rows = zip(*split.negative, strict=True)
        text = (
            f"{_rows_are(len(rows), name)} below 0 ({listed(rows)}), in {{who}}. NumPy counts "
            f"negative rows from the end, so another row is used; remove them."
        )
        yield _found("negative-rows", "error", text, split, owners, rows)


def usable(split: Given, num_rows: int, name: str) -> tuple[Given, list[Finding]]:
    """Return the split without rows beyond the data set, and what was left out."""
    beyond = split.rows >= num_rows
    if not beyond.any():
        return split, []
    rows = split.rows[beyond]
    text = (
        f"{_rows_are(len(rows), name)} beyond the data set, which has {plural(num_rows, 'row')} "
        f"({listed(rows[:6].tolist())}), in {{who}}. Was the split made for another version of the data?"
    )
    found = _found("out-of-range", "error", text, split, split.owners[beyond], rows)
    return split._replace(rows=split.rows[~beyond], owners=split.owners[~beyond]), [found]


def shared(split: Given, name: str) -> Iterator[Finding]:
    """Rows held twice, by one partition or by several."""
    numbers = split.rows
    if numbers.max(initial=0) > 4 * len(numbers) + _MOST_GAPS:  # Too far apart to count in an array.
        numbers = np.unique(numbers, return_inverse=True)[1]
    often = np.bincount(numbers) > 1
    if not often.any():
        return
    at = often[numbers]
    rows, owners = split.rows[at], split.owners[at]
    order = np.lexsort((owners, rows))
    rows, owners = rows[order], owners[order]
    same = np.zeros(len(rows), dtype=bool)
    same[1:] = (rows[1:] == rows[:-1]) & (owners[1:] == owners[:-1])
    if same.any():
        text = (
            f"{_rows_are(len(np.unique(rows[same])), name)} listed more than once in the same "
            f"partition ({listed(np.unique(rows[same])[:6].tolist())}), in {{who}}, so it counts several times in the "
            f"mean. Remove duplicates with np.unique."
        )
        yield _found("repeated-rows", "error", text, split, owners[same], np.unique(rows[same]))
    rows, owners = rows[~same], owners[~same]
    several = np.isin(rows, rows[1:][rows[1:] == rows[:-1]])
    if several.any():
        distinct = np.unique(rows[several])
        text = (
            f"{_rows_are(len(distinct), name)} held by more than one partition "
            f"({listed(distinct[:6].tolist())}): {{who}}. Clients with rows in common are not separate sites; give "
            f"each row to one of them."
        )
        yield _found("shared-rows", "error", text, split, owners[several], distinct)


def unassigned(split: Given, others: Sequence[Given], num_rows: int, *, on_request: bool) -> Iterator[Finding]:
    """Rows that nobody trains on or is tested on."""
    parts = (split, *others)
    read = sum(len(part.rows) for part in parts)
    # The first rows that are lost lie in a prefix that the other rows cannot fill.
    held = np.zeros(min(num_rows, read + _MOST_ROWS), dtype=bool)
    for part in parts:
        held[part.rows[part.rows < len(held)]] = True
    beyond = np.concatenate([part.rows[part.rows >= len(held)] for part in parts])
    lost = num_rows - int(held.sum()) - len(np.unique(beyond))
    if lost:
        remedy = (
            "The partitioner dropped them on request."
            if on_request
            else "If that is intended, ignore this; otherwise look for a filter or a lost partition."
        )
        text = f"{plural(lost, 'row')} of {num_rows:,} {'is' if lost == 1 else 'are'} in no partition. {remedy}"
        severity: Severity = "note" if on_request else "warning"
        yield _found("lost-rows", severity, text, split, rows=np.flatnonzero(~held), count=lost)


def sizes(split: Given, name: str) -> Iterator[Finding]:
    """Partitions that are empty, tiny, or far smaller than others."""
    held = np.bincount(split.owners, minlength=len(split.names))
    train = name == "training"
    if len(held) == 0 or not held.any():
        yield _found("no-rows", "error", f"The {name} split has no rows.", split, np.arange(len(held)))
        return
    empty = np.flatnonzero(held == 0)
    if len(empty):
        verb = "have" if len(empty) > 1 else "has"
        remedy = "A client cannot train on nothing; leave it out, or ask for min_partition_size=1." if train else ""
        code, severity = ("empty-clients", "warning") if train else ("empty-test-clients", "note")
        yield _found(code, severity, f"{{Who}} {verb} no {name} rows. {remedy}".strip(), split, empty)  # type: ignore[arg-type]
    tiny = np.flatnonzero((held > 0) & (held < _TINY))
    if len(tiny):
        verb = "have" if len(tiny) > 1 else "has"
        text = f"{{Who}} {verb} fewer than {_TINY} {name} rows; their results vary widely by chance."
        yield _found("tiny-clients" if train else "tiny-test-clients", "note", text, split, tiny)
    smallest = held[held > 0].min()
    if train and held.max() >= _FAR_APART * smallest:
        owners = [int(np.argmax(held)), int(np.flatnonzero(held == smallest)[0])]
        largest, least = (named_partitions([split.names[owner]]) for owner in owners)
        text = (
            f"{capital(largest)} has {plural(int(held.max()), 'row')}, {least} {plural(int(smallest), 'row')}: a mean "
            f"weighted by rows is mostly the model of the large clients."
        )
        yield _found("sizes-far-apart", "note", text, split, owners)


def file_order(split: Given) -> Iterator[Finding]:
    """Partitions that are blocks of the file, one after the other."""
    if len(split.names) < 2 or len(split.rows) < 2 * len(split.names):
        return
    steps = np.diff(split.rows) == 1
    within = split.owners[1:] == split.owners[:-1]
    if steps[within].all():
        text = (
            "Every partition is one block of consecutive rows in the order of the file. If the file is sorted by "
            "class or date, clients differ for that reason alone; shuffle first unless this is intended."
        )
        yield _found("file-order", "note", text, split, np.arange(len(split.names)))


def leaked_rows(train: Given, test: Given) -> Iterator[Finding]:
    """Rows of one data set that are both trained and tested on."""
    at = np.isin(test.rows, train.rows)
    if at.any():
        rows = np.unique(test.rows[at])
        text = (
            f"{plural(len(rows), 'row')} {'is' if len(rows) == 1 else 'are'} in both the training and the test split "
            f"({listed(rows[:6].tolist())}; tested by {{who}}), so the test results are too good. Remove them from one "
            f"of the two; if the test rows belong to another data set, pass same_rows=False."
        )
        yield _found("leaked-rows", "error", text, test, test.owners[at], rows)


def contents(split: Given, codes: NDArray[np.int64]) -> Iterator[Finding]:
    """Equal rows held by several clients."""
    held, owners = codes[split.rows], split.owners
    often = np.bincount(held, minlength=1) > 1
    at = often[held]
    rows, held, owners = split.rows[at], held[at], owners[at]
    low, high = np.full(len(often), len(split.names)), np.full(len(often), -1)
    np.minimum.at(low, held, owners)
    np.maximum.at(high, held, owners)
    across = low[held] < high[held]
    if across.any():
        distinct = np.unique(rows[across])
        text = (
            f"{plural(len(distinct), 'row')} {'has' if len(distinct) == 1 else 'have'} the same content as a row of "
            f"another partition ({listed(distinct[:6].tolist())}), in {{who}}. Are they copies of one record?"
        )
        yield _found("shared-contents", "note", text, split, owners[across], distinct)


def leaked_contents(
    train: Given, test: Given, codes: NDArray[np.int64], test_codes: NDArray[np.int64], *, same_rows: bool
) -> Iterator[Finding]:
    """Test rows whose content is also trained on."""
    trained = np.zeros(max(codes.max(initial=0), test_codes.max(initial=0)) + 1, dtype=bool)
    trained[codes[train.rows]] = True
    at = trained[test_codes[test.rows]]
    if same_rows:
        at &= ~np.isin(test.rows, train.rows)  # Reported as leaked rows.
    if at.any():
        rows = np.unique(test.rows[at])
        text = (
            f"{plural(len(rows), 'test row')} {'has' if len(rows) == 1 else 'have'} the same content as a training row "
            f"({listed(rows[:6].tolist())}; tested by {{who}}). Remove duplicates before you split."
        )
        yield _found("leaked-contents", "warning", text, test, test.owners[at], rows)


def counted(split: Given, codes: NDArray[np.int64], num_classes: int) -> LabelCounts:
    """Return the rows of each class in each partition; unlabelled rows are left out."""
    held = codes[split.rows]
    known = held >= 0
    cells = split.owners[known] * num_classes + held[known]
    return np.bincount(cells, minlength=len(split.names) * num_classes).reshape(len(split.names), num_classes)


def unlabelled(split: Given, missing: NDArray[np.bool_]) -> Finding:
    """Training rows without a label."""
    rows = split.rows[missing]
    text = (
        f"{plural(len(rows), 'training row')} {'has' if len(rows) == 1 else 'have'} no label "
        f"({listed(rows[:6].tolist())}), in {{who}}; remove them or label them."
    )
    return _found("missing-labels", "error", text, split, split.owners[missing], rows)


def one_class(split: Given, counts: LabelCounts) -> Iterator[Finding]:
    """Clients with a single class."""
    single = np.flatnonzero(np.count_nonzero(counts, axis=1) == 1)
    if len(single) and counts.shape[1] > 1:
        verb = "have" if len(single) > 1 else "has"
        yield _found("one-class", "note", f"{{Who}} {verb} training rows of a single class only.", split, single)


def absent_classes(split: Given, counts: LabelCounts, exist: Sequence[Any], *, on_request: bool) -> Iterator[Finding]:
    """Classes of the data set that no client trains on."""
    absent = np.flatnonzero(counts.sum(axis=0) == 0).tolist()
    if absent:
        names = [exist[code] for code in absent]
        noun = f"class{'es' * (len(names) > 1)} {listed(names)}"
        text = f"No client has training rows of {noun}, so no model can learn {'them' if len(names) > 1 else 'it'}."
        yield _found("absent-classes", "note" if on_request else "warning", text, split, count=len(names))


def unseen_classes(
    train: Given, test: Given, counts: LabelCounts, tested: LabelCounts, names: Sequence[Any]
) -> Iterator[Finding]:
    """Classes that are tested but not trained on: by all clients, or by the same one."""
    never = np.flatnonzero((counts.sum(axis=0) == 0) & (tested.sum(axis=0) > 0)).tolist()
    if never:
        noun = f"class{'es' * (len(never) > 1)} {listed([names[code] for code in never])}"
        text = f"The test split has {noun}, which no client trains on: every answer there is wrong. Check the labels."
        owners = np.flatnonzero(tested[:, never].sum(axis=1))
        yield _found("untrained-classes", "warning", text, test, owners, count=len(never))
    if len(train.names) == len(test.names):
        own = (counts == 0) & (tested > 0) & (counts.sum(axis=1) > 0)[:, None]
        own[:, never] = False
        owners = np.flatnonzero(own.any(axis=1))
        if len(owners):
            verbs = ("are", "they never train") if len(owners) > 1 else ("is", "it never trains")
            text = f"{{Who}} {verbs[0]} tested on classes that {verbs[1]} on."
            yield _found("unseen-classes", "note", text, test, owners)


def against_chance(split: Given, counts: LabelCounts, names: Sequence[Any]) -> Iterator[Finding]:
    """How skewed the labels are, compared with a random split."""
    if not counts.any() or len(split.names) < 2 or counts.shape[1] < 2:
        return
    tally = Tally(counts, tuple(names))
    value, chance = total_variation(tally), iid_total_variation(tally)
    judged = (
        "the split looks IID; if you meant to make it skewed, check the labels"
        if value <= 1.2 * chance
        else "it is skewed"
    )
    text = f"The total variation of the labels is {value:.3f}; a random split has {chance:.3f} on average, so {judged}."
    yield _found("label-skew", "note", text, split, count=0)


def moved_names(train: Given, test: Given) -> Iterator[Finding]:
    """Partition ids that mean other sites in the test split than in the training split."""
    if train.named and test.named:
        pairs = zip(train.names, test.names, strict=False)
        moved = [index for index, (one, other) in enumerate(pairs) if one != other]
        if moved:
            first = moved[0]
            text = (
                f"Partition {first} is {train.names[first]} in training but {test.names[first]} in the test split, and "
                f"{plural(len(moved), 'partition')} in total {'is' if len(moved) == 1 else 'are'} different sites. "
                f"Make the test split with NaturalIdPartitioner.assign(ids, like=train), or order both alike."
            )
            yield _found("different-sites", "error", text, train, moved)
    if len(train.names) != len(test.names):
        text = (
            f"The training split has {plural(len(train.names), 'partition')}, the test split {len(test.names)}: "
            f"partition ids cannot mean the same clients. A test split for one server model is fine as such."
        )
        yield _found(
            "partition-counts",
            "note" if len(test.names) == 1 else "warning",
            text,
            train,
            count=abs(len(train.names) - len(test.names)),
        )


def moved_ids(train: Given, test: Given, ids: Codes, test_ids: NDArray[np.int64]) -> Iterator[Finding]:
    """Natural ids that are in one partition for training and in another for testing."""
    size = max(int(ids.codes.max(initial=-1)), int(test_ids.max(initial=-1))) + 1
    low, high = np.full(size, len(train.names)), np.full(size, -1)
    known = ids.codes[train.rows] >= 0
    held, owners = ids.codes[train.rows][known], train.owners[known]
    np.minimum.at(low, held, owners)
    np.maximum.at(high, held, owners)
    if (low < high)[np.unique(held)].any():
        return  # The training split does not keep ids together, so a partition is not a site.
    tested = test_ids[test.rows]
    at = tested >= 0
    tested, owners = tested[at], test.owners[at]
    wrong = (high[tested] >= 0) & (high[tested] != owners)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        affected = np.unique(owners[wrong])
        text = (
            f"{ids.values[tested[first]]} is {named_partitions([train.names[high[tested[first]]]])} in training but "
            f"{named_partitions([test.names[owners[first]]])} in the test split; {plural(len(affected), 'partition')} "
            f"{'is' if len(affected) == 1 else 'are'} affected. Use NaturalIdPartitioner.assign(ids, like=train)."
        )
        yield _found("different-sites", "error", text, test, affected)
