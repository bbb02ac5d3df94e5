"""What `audit` finds by row numbers: unusable, repeated, shared, leaked and lost rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flskew._util.words import listed, plural
from flskew.skew._findings import Finding, Severity, found, who
from flskew.skew._given import Codes, Given
from flskew.typing import Rows

__all__ = [
    "distinct",
    "file_order",
    "fit",
    "leaked_rows",
    "lost_rows",
    "rows_of",
    "shared_rows",
    "span",
    "unusable_rows",
]

# Rows up to four times their number, plus this, are counted in an array; only rows further apart are sorted.
_MOST_GAPS = 1 << 20


def unusable_rows(split: Given) -> Iterator[Finding]:
    """Entries that are not row numbers."""
    if split.unreadable:
        number = len(split.unreadable)
        text = (
            f"{plural(number, 'value')} in the {split.role} rows of {who(split, split.unreadable)} "
            f"{'is not an integer and was' if number == 1 else 'are not integers and were'} ignored. "
            f"Pass row numbers, not labels, masks or missing values."
        )
        yield found("not-integers", "error", text, split, split.unreadable, count=number)
    if split.as_floats:
        text = (
            f"The {split.role} rows of {who(split, split.as_floats)} are floating-point numbers, which often come from "
            f"empty cells in a CSV file. Convert them with astype(int)."
        )
        yield found("float-rows", "warning", text, split, split.as_floats)
    if split.negative:
        owners, rows = zip(*split.negative, strict=True)
        text = (
            f"{rows_of(split, rows)} {_is(rows)} negative, in {who(split, owners)}. NumPy counts negative numbers from "
            f"the end, so a different row would be used. Remove them."
        )
        yield found("negative-rows", "error", text, split, owners, rows)


def fit(split: Given, num_rows: int | None, columns: Mapping[str, Codes]) -> tuple[Given, list[Finding]]:
    """Return a split with its data set's columns, without rows beyond the data set, and what did not fit."""
    says = [num_rows, split.num_rows, *(len(column.codes) for column in columns.values())]
    known = next((number for number in says if number is not None), None)
    fitting, findings = {}, []
    for name, column in columns.items():
        if len(column.codes) == known:
            fitting[name.removeprefix("test_")] = column
            continue
        text = (
            f"{name} has {plural(len(column.codes), 'value')} for {plural(known or 0, 'row')} and was ignored. Pass "
            f"one value per row of the data set."
        )
        findings.append(found("wrong-length", "error", text, split, count=abs(len(column.codes) - (known or 0))))
    if split.num_rows not in (None, known):
        text = (
            f"The {split.role} Assignment was made for {plural(split.num_rows or 0, 'row')}, but the data set has "
            f"{known or 0:,}. Split this version of the data again."
        )
        findings.append(found("wrong-length", "error", text, split, count=abs((split.num_rows or 0) - (known or 0))))
    split = split._replace(num_rows=known, columns=fitting)
    beyond = split.rows >= known if known is not None else np.zeros(len(split.rows), dtype=bool)
    if beyond.any():
        rows, owners = split.rows[beyond], split.owners[beyond]
        text = (
            f"{rows_of(split, rows)} {_is(rows)} beyond the data set, which has {plural(known or 0, 'row')}, in "
            f"{who(split, owners)}. Check that the split was made for this version of the data."
        )
        findings.append(found("out-of-range", "error", text, split, owners, rows))
        split = split._replace(rows=split.rows[~beyond], owners=split.owners[~beyond])
    return split, findings


def shared_rows(split: Given) -> Iterator[Finding]:
    """Rows held more than once, by one partition or by several."""
    numbers, values = _numbered(split.rows)
    often = np.bincount(numbers, minlength=1) > 1
    if not often.any():
        return
    at = often[numbers]
    numbers, owners = numbers[at], split.owners[at]
    again = _again(numbers, owners, len(values))
    if again.any():
        rows = distinct(values[numbers[again]])
        text = (
            f"{rows_of(split, rows)} {_is(rows)} listed more than once by {who(split, owners[again])} and would "
            f"count several times in every mean. Remove the repetitions with np.unique."
        )
        yield found("repeated-rows", "error", text, split, owners[again], rows)
    low, high = span(numbers, owners, len(values))
    several = low[numbers] < high[numbers]
    if several.any():
        rows = distinct(values[numbers[several]])
        text = (
            f"{rows_of(split, rows)} {_is(rows)} held by more than one partition: {who(split, owners[several])}. "
            f"Separate sites have no rows in common. Give each row to one of them."
        )
        yield found("shared-rows", "error", text, split, owners[several], rows)


def file_order(split: Given) -> Iterator[Finding]:
    """Partitions that are blocks of the file."""
    within = split.owners[1:] == split.owners[:-1]
    blocks = np.count_nonzero(~within) + 1
    in_order = blocks >= 2 and len(split.rows) >= 2 * blocks and (np.diff(split.rows) == 1)[within].all()
    if in_order and not _are_sites(split):
        text = (
            "Each partition is one block of consecutive rows of the file. If the file is sorted by class or by date, "
            "that alone makes the clients differ. Shuffle the rows first unless you want this."
        )
        yield found("file-order", "note", text, split, np.arange(len(split.names)))


def _are_sites(split: Given) -> bool:
    """Whether the natural ids explain the partitions: each id has all its rows in one of them."""
    if "ids" not in split.columns:
        return False
    ids = split.columns["ids"]
    held = ids.codes[split.rows]
    low, high = span(held[held >= 0], split.owners[held >= 0], len(ids.values))
    return bool((held >= 0).all() and (low >= high).all())


def leaked_rows(train: Given, test: Given) -> Iterator[Finding]:
    """Rows of one data set that are both trained and tested on."""
    at = np.isin(test.rows, train.rows)
    if at.any():
        rows, owners = distinct(test.rows[at]), test.owners[at]
        text = (
            f"{rows_of(test, rows)} {_is(rows)} also in the training split; tested by {who(test, owners)}. Test "
            f"results will be too good. Remove the rows from one of the splits, or pass same_rows=False if the test "
            f"rows belong to another data set."
        )
        yield found("leaked-rows", "error", text, test, owners, rows)


def lost_rows(splits: Sequence[Given], num_rows: int, *, on_request: bool) -> Iterator[Finding]:
    """Rows of the data set that are in no split."""
    rows = np.concatenate([split.rows for split in splits])
    lost = num_rows - len(distinct(rows))
    if lost:
        # The first 1,000 lost rows are below this number, because the held ones cannot fill it.
        free = np.ones(min(num_rows, len(rows) + 1000), dtype=bool)
        free[rows[rows < len(free)]] = False
        remedy = (
            "The partitioner dropped them as requested."
            if on_request
            else "Ignore this if you left them out on purpose; otherwise look for a filter or a lost partition."
        )
        text = f"{lost:,} of {plural(num_rows, 'row')} {'is' if lost == 1 else 'are'} in no partition. {remedy}"
        severity: Severity = "note" if on_request else "warning"
        yield found("lost-rows", severity, text, splits[0], rows=np.flatnonzero(free), count=lost)


def rows_of(split: Given, rows: Sequence[int] | Rows) -> str:
    """Return the subject of a sentence about some rows of a split."""
    return f"{plural(len(rows), f'{split.role} row')} ({listed(rows)})"  # type: ignore[arg-type]


def span(codes: Rows, owners: Rows, num_codes: int) -> tuple[Rows, Rows]:
    """Return the first and the last partition that holds each code; -1 as the last one if none does."""
    low, high = np.full(num_codes, np.iinfo(np.int64).max), np.full(num_codes, -1, dtype=np.int64)
    np.minimum.at(low, codes, owners)
    np.maximum.at(high, codes, owners)
    return low, high


def _is(rows: Sequence[int] | Rows) -> str:
    return "is" if len(rows) == 1 else "are"


def _numbered(rows: Rows) -> tuple[Rows, Rows]:
    """Replace rows by small numbers; also return the row of each number."""
    highest = int(rows.max(initial=-1))
    if highest > 4 * len(rows) + _MOST_GAPS:
        values, numbers = np.unique(rows, return_inverse=True)
        return numbers, values
    return rows, np.arange(highest + 1)


def distinct(rows: Rows) -> Rows:
    """Return the distinct rows in increasing order."""
    numbers, values = _numbered(rows)
    return values[np.bincount(numbers, minlength=len(values)) > 0]


def _again(numbers: Rows, owners: Rows, num_numbers: int) -> NDArray[np.bool_]:
    """Return which entries are repeated later in the same partition, in linear time."""
    last = np.empty(num_numbers, dtype=np.int64)
    places = np.arange(len(numbers))
    again = np.zeros(len(numbers), dtype=bool)
    for start, end in pairwise([0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(numbers)]):
        # If a number occurs several times, NumPy assigns the last of its places.
        last[numbers[start:end]] = places[start:end]
        again[start:end] = last[numbers[start:end]] != places[start:end]
    return again
