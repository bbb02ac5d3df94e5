"""Answers of sites, read with suspicion: each is checked before it is merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from flwr.app import ConfigRecord, RecordDict

from flskew._util.texts import is_name, listed
from flskew.tables._statistics import Column, TableStatistics
from flskew.tables._wire import LARGEST_M2, LARGEST_MEAN, MOST_CATEGORIES, MOST_COLUMNS, MOST_ROWS, TABLES_KEY

__all__ = ["read_ranks", "read_summary"]

T = TypeVar("T")


def read_summary(content: RecordDict, asked: Sequence[str] | None) -> TableStatistics:
    """Return the statistics of one site.

    Raises:
        ValueError: The answer has another form, is inconsistent, or describes other columns than those asked for.
    """
    record = _record(content)
    names = _list(record, "columns", str)
    if len(names) > MOST_COLUMNS:
        raise ValueError(f"{len(names):,} columns, more than {MOST_COLUMNS:,}")
    if not all(map(is_name, names)):
        raise ValueError("a column must have a printable name of 1 to 200 characters")
    if asked is not None and names != list(asked):
        raise ValueError(f"columns {listed(names)} instead of {listed(asked)}")
    kinds = _list(record, "kinds", str, len(names))
    counts, missing, withheld = (_list(record, key, int, len(names)) for key in ("counts", "missing", "withheld"))
    means, m2s = (_list(record, key, float, len(names)) for key in ("means", "m2"))
    columns = [
        Column(
            name,
            kinds[i],
            counts[i],
            missing[i],
            withheld[i],
            means[i],
            m2s[i],
            categories=_categories(record, i, name),
        )
        for i, name in enumerate(names)
    ]
    if any(abs(column.mean) > LARGEST_MEAN or column.m2 > LARGEST_M2 for column in columns):
        raise ValueError(f"a mean beyond {LARGEST_MEAN:g} or a sum of squares beyond {LARGEST_M2:g}")
    rows = record.get("rows")
    if not isinstance(rows, int) or rows > MOST_ROWS:
        raise ValueError(f"'rows' is not an integer from 0 to {MOST_ROWS:,}")
    return TableStatistics(rows, tuple(columns))


def read_ranks(content: RecordDict, shape: Sequence[int], most: Sequence[int]) -> list[list[int]]:
    """Return the ranks of one site: for each column, as many as there are thresholds.

    Args:
        content: The reply.
        shape: Number of thresholds of each column; they increase.
        most: Number of values of each column at this site.

    Raises:
        ValueError: There are others, they decrease, or they are negative or larger than the number of values.
    """
    record = _record(content)
    ranks = [_list(record, f"ranks-{i}", int, length) for i, length in enumerate(shape)]
    for counts, limit in zip(ranks, most, strict=True):
        if counts != sorted(counts) or not all(0 <= count <= limit for count in counts):
            raise ValueError("ranks that decrease, or exceed the number of values; do rows change between queries?")
    return ranks


def _record(content: RecordDict) -> ConfigRecord:
    record = content.get(TABLES_KEY)
    if not isinstance(record, ConfigRecord):
        raise ValueError("the reply has no statistics; return tables.answer(frame, content) from query")
    return record


def _categories(record: ConfigRecord, index: int, column: str) -> tuple[tuple[str, int], ...]:
    names = _list(record, f"categories-{index}", str) if f"categories-{index}" in record else []
    if len(names) > MOST_CATEGORIES:
        raise ValueError(f"column {column!r} has {len(names):,} categories, more than {MOST_CATEGORIES:,}")
    counts = _list(record, f"category-counts-{index}", int, len(names)) if names else []
    return tuple(sorted(zip(names, counts, strict=True)))


def _list(record: Mapping[str, object], key: str, kind: type[T], length: int | None = None) -> list[T]:
    values = record.get(key)
    if not isinstance(values, list) or not all(type(value) is kind for value in values):
        raise ValueError(f"{key!r} is not a list of {kind.__name__}")
    if length is not None and len(values) != length:
        raise ValueError(f"{key!r} has {len(values):,} entries instead of {length:,}")
    return values
