"""The splits of a study: who trains and who is tested on which rows, for one seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass
from typing import TypeAlias, cast

from flskew.assignment import Assignment
from flskew.partitioners import Partitioner
from flskew.shifts import View
from flskew.study._seeds import reseeded
from flskew.study.task import Task
from flskew.typing import Labels

__all__ = ["FixedSplit", "Pair", "Split", "num_rows", "pair_for", "read_splits"]

FixedSplit: TypeAlias = Partitioner | Assignment | tuple[Assignment, Assignment]
"""A partitioner, drawn anew for each seed; or an assignment; or assignments of the training and the test rows."""

Split: TypeAlias = FixedSplit | Callable[[int], FixedSplit]
"""A split, or a function of the seed that returns one."""

_EXAMPLE = 'e.g. {"dirichlet 0.1": DirichletPartitioner(10, alpha=0.1)}'


@dataclass(frozen=True)
class Pair:
    """The rows on which the clients train, and those on which they are tested, with the same partitions."""

    train: Assignment
    test: Assignment

    @property
    def fingerprints(self) -> tuple[str, str]:
        return self.train.fingerprint, self.test.fingerprint

    def view(self, partition_id: int) -> View | None:
        """Return how a client sees its training rows; None if it sees them as they are."""
        return None if self.train.shift is None else self.train.view(partition_id)

    def test_view(self, partition_id: int) -> View | None:
        """Return how a client sees its test rows."""
        return None if self.train.shift is None else self.test.with_shift(self.train.shift).view(partition_id)


def read_splits(splits: Mapping[str, Split]) -> dict[str, Split]:
    """Check the splits of a study by name.

    Raises:
        TypeError: They are not a mapping from names to splits.
        ValueError: There are none.
    """
    if not isinstance(splits, Mapping) or not all(isinstance(name, str) for name in splits):
        raise TypeError(f"splits must map names to partitioners or assignments, {_EXAMPLE}")
    if not splits:
        raise ValueError(f"splits must contain at least one split, {_EXAMPLE}")
    return dict(splits)


def pair_for(name: str, split: Split, task: Task, seed: int) -> Pair:
    """Return who trains and who is tested on which rows with this seed.

    Raises:
        TypeError: The split, or what its function returns, is of another type.
        ValueError: It does not fit the task's rows, or cannot split them.
    """
    try:
        fixed = split if isinstance(split, Partitioner | Assignment | tuple) else split(seed)
        pair = _pair(fixed, task, seed)
        _check(pair, task)
    except (TypeError, ValueError) as error:
        raise type(error)(f"splits[{name!r}], seed {seed}: {error}") from error
    return pair


def _pair(split: object, task: Task, seed: int) -> Pair:
    if isinstance(split, Partitioner):
        split = reseeded(split, seed).assign(task.labels)
    if isinstance(split, Assignment):
        return Pair(split, split.match(task.test_labels, seed=seed))
    if isinstance(split, tuple) and len(split) == 2 and all(isinstance(one, Assignment) for one in split):
        return Pair(*split)
    raise TypeError(
        f"it must be a partitioner, an assignment, or the assignments of the training and the test rows as a tuple, "
        f"got {type(split).__name__}"
    )


def _check(pair: Pair, task: Task) -> None:
    for rows, assignment, labels in (
        ("training", pair.train, task.labels),
        ("test", pair.test, task.test_labels),
    ):
        if assignment.num_rows != num_rows(labels):
            raise ValueError(f"it assigns {assignment.num_rows} {rows} rows, but the task has {num_rows(labels)}")
    if len(pair.train) != len(pair.test) or pair.train.names != pair.test.names:
        raise ValueError(
            "the test rows are split among other clients than the training rows; "
            "use assign(test_ids, like=train) or train.match(test_labels)"
        )


def num_rows(labels: Labels) -> int:
    """Return the number of rows."""
    return len(cast("Sized", labels))
