"""What `audit` finds about partitions as sites: their names and sizes, and whether an id is one site in both splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flskew._util.words import capital, listed, named_partitions, plural
from flskew.skew._audit_rows import span
from flskew.skew._findings import Finding, Severity, found, who
from flskew.skew._given import Given

__all__ = ["same_sites", "similar_names", "sizes"]

_TINY = 10
_FAR_APART = 100
_REMEDY = "Make the test split with assign(test_ids, like=train)"


def sizes(split: Given) -> Iterator[Finding]:
    """Partitions that are empty, tiny, or far smaller than others."""
    held = np.bincount(split.owners, minlength=len(split.names))
    if not held.any():
        text = f"The {split.role} split has no rows. Check the filter or the file it comes from."
        yield found("no-rows", "error", text, split, np.arange(len(held)))
        return
    train = split.role == "training"
    empty = np.flatnonzero(held == 0)
    if len(empty):
        text = f"{capital(who(split, empty))} {_has(empty)} no {split.role} rows."
        if train:
            text += " A client cannot train without rows. Leave it out, or set min_partition_size=1 in the partitioner."
            yield found("empty-clients", "warning", text, split, empty)
        else:
            text += " Expect no test result from it." if len(empty) == 1 else " Expect no test results from them."
            yield found("empty-test-clients", "note", text, split, empty)
    tiny = np.flatnonzero((held > 0) & (held < _TINY))
    if len(tiny):
        text = (
            f"{capital(who(split, tiny))} {_has(tiny)} fewer than {_TINY} {split.role} rows, so results there vary "
            f"widely by chance."
        )
        yield found("tiny-clients" if train else "tiny-test-clients", "note", text, split, tiny)
    most, least = int(held.argmax()), int(np.where(held > 0, held, held.max()).argmin())
    if train and held[most] >= _FAR_APART * held[least]:
        text = (
            f"{capital(who(split, [most]))} has {plural(int(held[most]), 'row')}, {who(split, [least])} only "
            f"{int(held[least]):,}. If clients are weighted by rows, small ones hardly affect the model."
        )
        yield found("sizes-far-apart", "note", text, split, [most, least])


def similar_names(split: Given) -> Iterator[Finding]:
    """Names that look the same, because they differ only in spaces."""
    alike = defaultdict(list)
    for owner, name in enumerate(split.names if split.named else ()):
        alike[" ".join(str(name).split())].append(owner)
    pairs = [owners for owners in alike.values() if len(owners) > 1]
    if pairs:
        spelled = listed([repr(split.names[owner]) for owner in pairs[0]])
        text = (
            f"The names {spelled} differ only in spaces, so they are probably one site. Clean the column and split "
            f"again, with pandas for example by column.str.strip()."
        )
        yield found("similar-names", "warning", text, split, [owner for owners in pairs for owner in owners])


def same_sites(train: Given, test: Given) -> Iterator[Finding]:
    """Partition ids that are different sites in the two splits, and sites that are only tested on."""
    on_server = _on_server(train, test)
    if len(train.names) != len(test.names):
        text = (
            f"The training split has {plural(len(train.names), 'partition')}, the test split "
            f"{plural(len(test.names), 'partition')}"
        )
        number = abs(len(train.names) - len(test.names))
        if on_server:
            yield found("partition-counts", "note", f"{text}, as for a test on the server.", train, count=number)
        else:
            text += f", so an id may mean two different sites. {_REMEDY}."
            yield found("partition-counts", "warning", text, train, count=number)
    moved = [] if on_server else list(_moved_names(train, test))
    yield from moved
    if "ids" in train.columns and "ids" in test.columns:
        yield from _by_ids(train, test, on_server=on_server, moved=bool(moved))


def _on_server(train: Given, test: Given) -> bool:
    """Whether the test split is a single partition for all sites, and not for one of them."""
    if len(test.names) > 1 or len(train.names) == 1:
        return False
    if train.named and test.named:
        return test.names[0] not in train.names
    return "ids" not in test.columns or len(np.unique(test.columns["ids"].codes[test.rows])) > 1


def _moved_names(train: Given, test: Given) -> Iterator[Finding]:
    if not (train.named and test.named):
        return
    pairs = zip(train.names, test.names, strict=False)
    moved = [index for index, (one, other) in enumerate(pairs) if one != other]
    if moved:
        one, other = (named_partitions([split.names[moved[0]]]) for split in (train, test))
        text = (
            f"Partition {moved[0]} is {one} in the training split but {other} in the test split"
            f"{_and_others(len(moved) - 1)}. {_REMEDY}, or list the sites in the same order."
        )
        yield found("different-sites", "error", text, train, moved)


def _by_ids(train: Given, test: Given, *, on_server: bool, moved: bool) -> Iterator[Finding]:
    values = test.columns["ids"].values
    held, tested = train.columns["ids"].codes[train.rows], test.columns["ids"].codes[test.rows]
    first, last = span(held[held >= 0], train.owners[held >= 0], len(values))
    together = not (first < last).any()  # Otherwise a partition is not a site.
    elsewhere = (tested >= 0) & (last[tested] >= 0) & (last[tested] != test.owners)
    if together and elsewhere.any() and not (on_server or moved):
        owners, code = test.owners[elsewhere], int(tested[elsewhere][0])
        text = (
            f"{listed([values[code]])} is in {who(train, [int(last[code])])} of the training split but in "
            f"{who(test, owners[:1])} of the test split{_and_others(len(np.unique(owners)) - 1)}. {_REMEDY}."
        )
        yield found("different-sites", "error", text, test, owners)
    new = (tested >= 0) & (last[tested] < 0)
    if new.any():
        codes = np.flatnonzero(np.bincount(tested[new])).tolist()
        text = (
            f"The test split has rows of {listed([values[code] for code in codes])}, but the training split has none. "
            f"The model has never seen {'this site' if len(codes) == 1 else 'these sites'}. Remove the rows unless you "
            f"want to measure that."
        )
        trained = last[last >= 0]
        # If each partition is one site, the client is tested on rows of another one.
        one_each = together and len(np.unique(trained)) == len(trained)
        severity: Severity = "warning" if one_each and not on_server else "note"
        yield found("new-ids", severity, text, test, test.owners[new], test.rows[new])


def _and_others(number: int) -> str:
    return f", and {plural(number, 'other partition')} {'differs' if number == 1 else 'differ'}, too" if number else ""


def _has(owners: NDArray[np.int64]) -> str:
    return "has" if len(owners) == 1 else "have"
