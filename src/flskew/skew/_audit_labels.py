"""What `audit` finds by labels: missing ones, clients and splits that lack classes, and skew compared with chance."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew._util.words import capital, listed
from flskew.assignment import Assignment
from flskew.skew._audit_rows import rows_of
from flskew.skew._findings import Finding, Severity, found, who
from flskew.skew._given import Given
from flskew.skew.chance import iid_total_variation
from flskew.skew.measures import total_variation
from flskew.skew.tally import Tally
from flskew.typing import LabelCounts

__all__ = ["Classes", "by_class", "classes_of_assignments", "classes_of_columns", "unlabelled"]

# The split is called skewed if it is more skewed than all of these, which happens to 1 of 20 random splits.
_RANDOM_SPLITS = 19
# If there are fewer rows, or random splits differ more among themselves, chance hides moderate skew.
_FEWEST_ROWS = 100
_TOO_VARIED = 0.05
# With several labels per row, the split is called skewed if its skew exceeds that of a random split by this factor.
_ABOVE_CHANCE = 1.5


class Classes(NamedTuple):
    """The rows of each class.

    Attributes:
        names: The classes of both splits.
        known: (num_classes,) whether the training data set has the class.
        train: (num_partitions, num_classes) training rows.
        test: (num_test_partitions, num_classes) test rows, if they have labels.
        chance: The mean total variation of an IID split, if rows may have several labels.
    """

    names: Sequence[Any]
    known: NDArray[np.bool_]
    train: LabelCounts
    test: LabelCounts | None
    chance: float | None = None


def classes_of_columns(train: Given, test: Given | None) -> Classes | None:
    """Count the labels given for each row."""
    if "labels" not in train.columns:
        return None
    codes, names = train.columns["labels"]
    known = np.bincount(codes[codes >= 0], minlength=len(names)) > 0
    tested = None if test is None or "labels" not in test.columns else _counted(test, len(names))
    return Classes(names, known, _counted(train, len(names)), tested)


def classes_of_assignments(train: object, test: object) -> Classes | None:
    """Take the counts that Assignments bring along."""
    if not (isinstance(train, Assignment) and train.has_labels):
        return None
    names = train.classes.tolist()
    chance = iid_total_variation(train) if train.is_multi_label and train.label_counts.any() else None
    if not (isinstance(test, Assignment) and test.has_labels) or train.edges is not None or test.edges is not None:
        return Classes(names, np.ones(len(names), dtype=bool), train.label_counts, None, chance)
    every = list(dict.fromkeys([*names, *test.classes.tolist()]))
    at = {name: code for code, name in enumerate(every)}
    trained, tested = (np.zeros((len(split), len(every)), dtype=np.int64) for split in (train, test))
    for split, counts in ((train, trained), (test, tested)):
        counts[:, [at[name] for name in split.classes.tolist()]] = split.label_counts
    return Classes(every, np.arange(len(every)) < len(names), trained, tested, chance)


def unlabelled(split: Given) -> Iterator[Finding]:
    """Rows without a label."""
    if "labels" not in split.columns:
        return
    missing = split.columns["labels"].codes[split.rows] < 0
    if missing.any():
        rows, owners = split.rows[missing], split.owners[missing]
        text = (
            f"{rows_of(split, rows)} {'has' if len(rows) == 1 else 'have'} no label, in {who(split, owners)}. Label or "
            f"remove {'it' if len(rows) == 1 else 'them'}."
        )
        yield found("missing-labels", "error", text, split, owners, rows)


def by_class(train: Given, test: Given | None, classes: Classes, *, on_request: bool) -> Iterator[Finding]:
    """All findings about classes and their skew."""
    tested = np.zeros(len(classes.names), dtype=bool)
    if test is not None and classes.test is not None:
        tested = np.count_nonzero(classes.test, axis=0) > 0
        yield from _only_tested(train, test, classes.train, classes.test, classes.names)
    single = np.flatnonzero(np.count_nonzero(classes.train, axis=1) == 1)
    if len(single) and np.count_nonzero(classes.known) > 1:
        verb = "has" if len(single) == 1 else "have"
        text = f"{capital(who(train, single))} {verb} training rows of one class only."
        yield found("one-class", "note", text, train, single)
    # A class that is tested but not trained on has its own finding.
    absent = np.flatnonzero(classes.known & ~classes.train.any(axis=0) & ~tested).tolist()
    if absent:
        them = "it" if len(absent) == 1 else "them"
        text = f"No client has training rows of {_named(classes.names, absent)}, so no model can learn {them}."
        severity: Severity = "note" if on_request else "warning"
        yield found("absent-classes", severity, text, train, count=len(absent))
    yield from _against_chance(train, classes.train[:, classes.known], classes.chance)


def _only_tested(
    train: Given, test: Given, trained: LabelCounts, tested: LabelCounts, names: Sequence[Any]
) -> Iterator[Finding]:
    """Classes that are tested but not trained on: by all clients, or by the same one."""
    never = np.flatnonzero(~trained.any(axis=0) & tested.any(axis=0)).tolist()
    if never:
        text = (
            f"The test split has rows of {_named(names, never)}, but no client trains on "
            f"{'it' if len(never) == 1 else 'them'}, so every prediction for these rows is wrong. Check that both "
            f"splits spell labels alike."
        )
        owners = np.flatnonzero(tested[:, never].any(axis=1))
        yield found("untrained-classes", "warning", text, test, owners, count=len(never))
    if len(train.names) != len(test.names):
        return
    unseen = (trained == 0) & (tested > 0) & (np.count_nonzero(trained, axis=1) > 0)[:, None]
    unseen[:, never] = False
    owners = np.flatnonzero(unseen.any(axis=1))
    if len(owners):
        verbs = ("is", "it does") if len(owners) == 1 else ("are", "they do")
        text = f"{capital(who(test, owners))} {verbs[0]} tested on classes that {verbs[1]} not train on."
        yield found("unseen-classes", "note", text, test, owners)


def _against_chance(split: Given, counts: LabelCounts, chance: float | None) -> Iterator[Finding]:
    """How skewed the labels are, compared with random splits."""
    if np.count_nonzero(counts.any(axis=1)) < 2 or np.count_nonzero(counts.any(axis=0)) < 2:
        return
    value = _distance(counts)
    if chance is not None:
        # Labels of a row stay together, so they cannot be shuffled one by one.
        judged = "the split is skewed" if value > _ABOVE_CHANCE * chance else "the split looks IID"
        text = (
            f"The total variation of the labels is {value:.3f}. In random splits with these sizes, it is {chance:.3f} "
            f"on average, so {judged}."
        )
        yield found("label-skew", "note", text, split, count=0)
        return
    owners = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
    labels = np.repeat(np.arange(counts.shape[1]), counts.sum(axis=0))
    # Two audits of one split say the same, but each split is compared with other random ones.
    rng = np.random.default_rng(zlib.crc32(counts.tobytes()))
    random = []
    for _ in range(_RANDOM_SPLITS):
        rng.shuffle(labels)
        cells = np.bincount(owners * counts.shape[1] + labels, minlength=counts.size)
        random.append(_distance(cells.reshape(counts.shape)))
    if value > max(random) + 1e-9:
        judged = "so the split is skewed"
    elif max(random) - min(random) <= _TOO_VARIED and counts.sum() >= _FEWEST_ROWS:
        judged = "so the split looks IID. If you meant to skew it, check the labels"
    else:
        judged = "so there are too few rows to tell whether the split is skewed"
    text = (
        f"The total variation of the labels is {value:.3f}. In {_RANDOM_SPLITS} random splits with these sizes, it is "
        f"{min(random):.3f} to {max(random):.3f}, {judged}."
    )
    yield found("label-skew", "note", text, split, count=0)


def _distance(counts: LabelCounts) -> float:
    return total_variation(Tally(counts, tuple(range(counts.shape[1]))))


def _counted(split: Given, num_classes: int) -> LabelCounts:
    held = split.columns["labels"].codes[split.rows]
    cells = split.owners[held >= 0] * num_classes + held[held >= 0]
    return np.bincount(cells, minlength=len(split.names) * num_classes).reshape(len(split.names), num_classes)


def _named(names: Sequence[Any], codes: Sequence[int]) -> str:
    return f"class{'es' * (len(codes) > 1)} {listed([names[code] for code in codes])}"
