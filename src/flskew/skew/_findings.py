"""One finding of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._util.words import named_partitions
from flskew.skew._given import Given

__all__ = ["Finding", "Severity", "found", "who"]

Severity: TypeAlias = Literal["error", "warning", "note"]

# A finding keeps at most this many rows; `count` says how many there are.
_MOST_ROWS = 1000


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
        count: Number of affected rows, or of partitions or classes if the finding is about these.

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


def found(
    code: str,
    severity: Severity,
    message: str,
    split: Given,
    owners: Sequence[int] | NDArray[np.int64] = (),
    rows: Sequence[int] | NDArray[np.int64] = (),
    count: int | None = None,
) -> Finding:
    """Return a finding about some partitions and rows; it counts the rows, or else the partitions, by default."""
    names = _names(split, owners)
    if count is None:
        count = len(rows) if len(rows) else len(names)
    first = np.asarray(rows, dtype=np.int64)[:_MOST_ROWS].tolist()
    return Finding(code, severity, message, names, tuple(first), count)


def who(split: Given, owners: Sequence[int] | NDArray[np.int64]) -> str:
    """Return partitions as in a sentence, each once."""
    return named_partitions(_names(split, owners))


def _names(split: Given, owners: Sequence[int] | NDArray[np.int64]) -> tuple[int | str, ...]:
    held = np.bincount(np.asarray(owners, dtype=np.int64))
    return tuple(split.names[owner] for owner in np.flatnonzero(held).tolist())
