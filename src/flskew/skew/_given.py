"""Read the rows of a split that may be broken, so that `audit` can report what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew.assignment import Assignment
from flskew.typing import Rows

__all__ = ["Codes", "Given", "read_columns", "read_split"]


class Codes(NamedTuple):
    """One value per row as a number: (num_rows,) codes, -1 where it is missing, and the distinct values."""

    codes: NDArray[np.int64]
    values: list[Any]


class Given(NamedTuple):
    """A split as it was given.

    Attributes:
        role: "training" or "test".
        rows: (num_read,) the entries that are integers >= 0, one partition after the other.
        owners: (num_read,) the partition of each of them.
        names: The name of each partition, or its id.
        named: Whether the partitions have names.
        negative: (partition, row) of entries below 0.
        unreadable: The partition of each entry that is not an integer.
        as_floats: Partitions whose rows are whole numbers stored as floats.
        num_rows: Rows of the data set, if anything says it.
        columns: The labels, ids and content of its rows, as far as they were given.
    """

    role: str
    rows: Rows
    owners: Rows
    names: tuple[int | str, ...]
    named: bool
    negative: list[tuple[int, int]]
    unreadable: list[int]
    as_floats: list[int]
    num_rows: int | None
    columns: Mapping[str, Codes]


# Unsigned integers that fit into int64.
_SMALL = (np.uint8, np.uint16, np.uint32)


def read_split(split: object, argument: str, role: str) -> Given:
    """Read a split; only a type that cannot be a split is an error.

    Raises:
        TypeError: `split` is not an Assignment, a mapping, or a list with the rows of each partition.
    """
    if isinstance(split, Assignment):
        owners = np.repeat(np.arange(len(split)), split.sizes)
        names: tuple[int | str, ...] = tuple(range(len(split))) if split.names is None else split.names
        named = split.names is not None
        return Given(role, split.rows, owners, names, named, [], [], [], split.num_rows, {})
    wanted = f"{argument} must be an Assignment, a list of the rows of each partition, or a mapping from names to rows"
    if isinstance(split, str | bytes) or not isinstance(split, Iterable):
        raise TypeError(f"{wanted}, got {type(split).__name__}")
    named = isinstance(split, Mapping)
    parts = list(split.values() if isinstance(split, Mapping) else split)
    names = tuple(map(str, split)) if isinstance(split, Mapping) else tuple(range(len(parts)))
    held: list[Rows] = []
    negative: list[tuple[int, int]] = []
    unreadable: list[int] = []
    as_floats: list[int] = []
    for index, part in enumerate(parts):
        if isinstance(part, str | bytes | Mapping) or not isinstance(part, Iterable):
            raise TypeError(f"{wanted}; partition {index} is of type {type(part).__name__}")
        rows, length, floats = _read_rows(part)
        unreadable += [index] * (length - len(rows))
        if floats:
            as_floats.append(index)
        below = rows < 0
        if below.any():
            negative += [(index, row) for row in rows[below].tolist()]
            rows = rows[~below]
        held.append(rows)
    owners = np.repeat(np.arange(len(parts)), list(map(len, held)))
    every = np.concatenate([np.empty(0, dtype=np.int64), *held])
    return Given(role, every, owners, names, named, negative, unreadable, as_floats, None, {})


def _read_rows(part: Iterable[object]) -> tuple[Rows, int, bool]:
    """Return the entries that are integers, how many entries there are, and whether whole floats are among them."""
    if hasattr(part, "__array__"):  # A pandas column, a tensor.
        part = np.asarray(part)
    if isinstance(part, np.ndarray) and part.ndim == 1 and (part.dtype.kind == "i" or part.dtype in _SMALL):
        return part.astype(np.int64, copy=False), len(part), False
    entries = list(part)
    kinds = set(map(type, entries))
    if kinds <= {int} and all(-(2**63) <= entry < 2**63 for entry in entries):  # type: ignore[operator]
        return np.array(entries, dtype=np.int64), len(entries), False
    rows, floats = [], False
    for entry in entries:
        whole = isinstance(entry, float | np.floating) and float(entry).is_integer()
        integer = isinstance(entry, int | np.integer) and not isinstance(entry, bool)
        if (whole or integer) and -(2**63) <= int(entry) < 2**63:  # type: ignore[call-overload]
            rows.append(int(entry))  # type: ignore[call-overload]
            floats = floats or whole
    return np.array(rows, dtype=np.int64), len(entries), floats


def read_columns(column: object, test: object, name: str) -> dict[str, Codes]:
    """Number the values of a column and of its test column alike, as `name` and `test_name`.

    Raises:
        TypeError: A column is not a list, array or column with one value per row.
        ValueError: There is only a test column.
    """
    if column is None:
        if test is not None:
            raise ValueError(f"test_{name} needs {name}; pass those of the training rows, too")
        return {}
    one = _read_codes(column, name)
    if test is None:
        return {name: one}
    two = _read_codes(test, f"test_{name}")
    numbers = {value: code for code, value in enumerate(one.values)}
    for value in two.values:
        numbers.setdefault(value, len(numbers))
    # The last entry translates -1.
    lookup = np.array([*(numbers[value] for value in two.values), -1], dtype=np.int64)
    values = list(numbers)
    return {name: Codes(one.codes, values), f"test_{name}": Codes(lookup[two.codes], values)}


def _read_codes(column: object, argument: str) -> Codes:
    """Number the distinct values of a column, of any type; missing values are -1."""
    import pandas as pd

    if isinstance(column, str | bytes | Mapping) or not isinstance(column, Iterable):
        raise TypeError(f"{argument} must have one value per row, got {type(column).__name__}")
    values = column if isinstance(column, np.ndarray | pd.Series) else pd.Series(list(column), dtype=_kind(column))
    try:
        codes, distinct = pd.factorize(values)
    except (TypeError, ValueError):
        raise TypeError(f"{argument} must be one-dimensional and contain one value per row") from None
    return Codes(np.asarray(codes, dtype=np.int64), list(distinct))


def _kind(column: Iterable[object]) -> type | None:
    # Without a dtype, pandas converts integers beside None to floats, which renames the classes.
    kinds = set(map(type, column)) if isinstance(column, list | tuple) else {object}
    return None if kinds <= {int} else object
