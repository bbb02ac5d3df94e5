"""The splits of a study: who trains and who is tested on which rows, for one seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass
from typing import TypeAlias, cast

import flwr_datasets.partitioner as flower
from datasets import Dataset

from flskew._util.texts import listed
from flskew.assignment import Assignment
from flskew.partitioners import Partitioner
from flskew.partitioners._binding import BindingPartitioner
from flskew.schedule import Schedule
from flskew.shifts import Shift, View
from flskew.study._seeds import reseeded
from flskew.study.task import Task
from flskew.typing import Labels

__all__ = ["ALL_SPLITS", "FixedSplit", "Pair", "Split", "num_rows", "pair_for", "read_splits"]

FixedSplit: TypeAlias = Partitioner | Assignment | tuple[Assignment, Assignment]
"""A partitioner, drawn anew for each seed; or an assignment; or assignments of the training and the test rows."""

Split: TypeAlias = FixedSplit | Callable[[int], FixedSplit]
"""A split, or a function of the seed that returns one."""

ALL_SPLITS = "all splits"
"""The name of the mean over the splits in tables."""

_EXAMPLE = 'e.g. {"dirichlet 0.1": DirichletPartitioner(10, alpha=0.1)}'
_RULE = "it must be a partitioner, an assignment, or the assignments of the training and the test rows as a tuple"


@dataclass(frozen=True)
class Pair:
    """The rows on which the clients train, and those on which they are tested, with the same partitions."""

    train: Assignment
    test: Assignment

    @property
    def fingerprints(self) -> tuple[str, str]:
        return self.train.fingerprint, self.test.fingerprint

    @property
    def shifts(self) -> tuple[Shift | None, Shift | None]:
        """What clients see differently in the training and in the test rows: the same, unless both have a shift."""
        return self.train.shift, self.train.shift if self.test.shift is None else self.test.shift

    def view(self, partition_id: int) -> View | None:
        """Return how a client sees its training rows; None if it sees them as they are."""
        return None if self.train.shift is None else self.train.view(partition_id)

    def test_view(self, partition_id: int) -> View | None:
        """Return how a client sees its test rows."""
        _, shift = self.shifts
        return None if shift is None else self.test.with_shift(shift).view(partition_id)


def read_splits(splits: Mapping[str, Split]) -> dict[str, Split]:
    """Check the splits of a study by name.

    Raises:
        TypeError: They are not a mapping from names to splits, or a split cannot be one.
        ValueError: There are none, or a name is taken.
    """
    if not isinstance(splits, Mapping) or not all(isinstance(name, str) for name in splits):
        raise TypeError(f"splits must map names to partitioners or assignments, {_EXAMPLE}")
    if not splits:
        raise ValueError(f"splits must contain at least one split, {_EXAMPLE}")
    if ALL_SPLITS in splits:
        raise ValueError(f"splits: {ALL_SPLITS!r} is the name of the mean over the splits; choose another")
    for name, split in splits.items():
        if not (_is_fixed(split) or (callable(split) and not isinstance(split, type))):
            raise TypeError(f"splits[{name!r}]: {_refusal(split)}")
    return dict(splits)


def pair_for(name: str, split: Split, task: Task, seed: int) -> Pair:
    """Return who trains and who is tested on which rows with this seed.

    Raises:
        TypeError: What the function of a split returns is of another type.
        ValueError: It does not fit the task's rows, or cannot split them.
    """
    fixed = split if _is_fixed(split) else cast("Callable[[int], FixedSplit]", split)(seed)
    try:
        pair = _pair(fixed, task, seed)
        _check(pair, task)
    except (TypeError, ValueError) as error:
        raise type(error)(f"splits[{name!r}], seed {seed}: {error}") from error
    return pair


def _is_fixed(split: object) -> bool:
    if isinstance(split, tuple):
        return len(split) == 2 and all(isinstance(one, Assignment) for one in split)
    return isinstance(split, Partitioner | Assignment)


def _refusal(split: object) -> str:
    """Return why a split cannot be one, and what to do."""
    kind = type(split).__name__
    if isinstance(split, Schedule):
        return (
            "a Schedule, whose rows change from round to round, cannot be studied; pass the assignment of one stage, "
            "e.g. schedule.stages[1]"
        )
    if isinstance(split, BindingPartitioner | Dataset):
        return (
            f"a {kind} splits by natural ids, which a task does not have; pass the assignments of the training and the "
            "test rows: train = partitioner.assign(ids), test = partitioner.assign(test_ids, like=train), and "
            "(train, test) is the split"
        )
    if isinstance(split, flower.Partitioner):
        return (
            f"a {kind} of Flower Datasets needs a data set; pass what Assignment.from_partitioner(partitioner, "
            "dataset, label_by) returns"
        )
    got = f"a tuple of {len(split)}" if isinstance(split, tuple) else kind
    return f"{_RULE}, or a function of the seed that returns one of these, got {got}"


def _pair(split: object, task: Task, seed: int) -> Pair:
    if not _is_fixed(split):
        raise TypeError(_refusal(split))
    if isinstance(split, Partitioner):
        split = reseeded(split, seed).assign(task.labels)
    if isinstance(split, Assignment):
        _check_rows("training", split, task.labels)
        if not split.has_labels:
            raise ValueError(
                "the assignment was made without labels, so its clients cannot get test rows like their own; pass "
                "labels when you make it, or the assignments of the training and the test rows as a tuple"
            )
        return Pair(split, split.match(task.test_labels, seed=seed))
    return Pair(*cast("tuple[Assignment, Assignment]", split))


def _check(pair: Pair, task: Task) -> None:
    _check_rows("training", pair.train, task.labels)
    _check_rows("test", pair.test, task.test_labels)
    if len(pair.train) != len(pair.test) or pair.train.names != pair.test.names:
        raise ValueError(
            f"the test rows are split among other clients, {_clients(pair.test)}, than the training rows, "
            f"{_clients(pair.train)}; use assign(test_ids, like=train) or train.match(test_labels)"
        )
    if not len(pair.train.rows):
        raise ValueError("no client has a training row")


def _check_rows(kind: str, assignment: Assignment, labels: Labels) -> None:
    if assignment.num_rows != num_rows(labels):
        raise ValueError(f"it assigns {assignment.num_rows} {kind} rows, but the task has {num_rows(labels)}")


def _clients(assignment: Assignment) -> str:
    return f"{len(assignment)}" if assignment.names is None else listed(assignment.names, most=5)


def num_rows(labels: Labels) -> int:
    """Return the number of rows."""
    return len(cast("Sized", labels))
