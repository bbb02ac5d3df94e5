"""What `audit` finds by content: equal rows in several partitions, and test rows equal to training rows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from flskew.skew._audit_rows import distinct, rows_of, span
from flskew.skew._findings import Finding, found, who
from flskew.skew._given import Given

__all__ = ["leaked_contents", "shared_contents"]


def shared_contents(split: Given) -> Iterator[Finding]:
    """Equal rows held by several partitions."""
    if "content" not in split.columns:
        return
    held = split.columns["content"].codes[split.rows]
    low, high = span(held, split.owners, int(held.max(initial=-1)) + 1)
    across = low[held] < high[held]
    # A row that two partitions hold is shared, not copied.
    codes, rows = held[across], split.rows[across]
    first, last = span(codes, rows, int(codes.max(initial=-1)) + 1)
    across[across] = first[codes] < last[codes]
    if across.any():
        rows, owners = distinct(split.rows[across]), split.owners[across]
        text = (
            f"{rows_of(split, rows)} {'has' if len(rows) == 1 else 'have'} the same content as a row of another "
            f"partition, in {who(split, owners)}. Check whether these are copies of one record."
        )
        yield found("shared-contents", "note", text, split, owners, rows)


def leaked_contents(train: Given, test: Given, *, same_rows: bool) -> Iterator[Finding]:
    """Test rows whose content is also trained on, compared with how often training rows are equal by chance.

    The share of distinct training rows with an equal training row estimates how likely a further row is to have one
    (Irving John Good, The population frequencies of species and the estimation of population parameters, Biometrika
    40(3/4), 1953). Three standard deviations above that number of test rows, copies are the better explanation.
    """
    if "content" not in train.columns or "content" not in test.columns:
        return
    trained = distinct(train.rows)
    held, tested = train.columns["content"].codes[trained], test.columns["content"].codes[test.rows]
    often = np.bincount(held, minlength=int(tested.max(initial=0)) + 1)
    at = often[tested] > 0
    if same_rows:
        at &= ~np.isin(test.rows, train.rows)  # Reported as leaked rows.
    if not at.any():
        return
    rows, owners = distinct(test.rows[at]), test.owners[at]
    text = (
        f"{rows_of(test, rows)} {'has' if len(rows) == 1 else 'have'} the same content as a training row; tested by "
        f"{who(test, owners)}. "
    )
    share, size = float((often[held] > 1).mean()), len(distinct(test.rows))
    expected = share * size
    # The share itself varies: equal rows come at least in pairs.
    if len(rows) > expected + 3 * math.sqrt(expected * (1 + 2 * size / len(held))):
        text += "Test results will be too good. Remove duplicates before you split."
        yield found("leaked-contents", "warning", text, test, owners, rows)
    else:
        text += (
            f"That is not unusual here, because {share:.1%} of the training rows equal another training row. If rows "
            f"were copied before the split, such as by oversampling, split first."
        )
        yield found("leaked-contents", "note", text, test, owners, rows)
