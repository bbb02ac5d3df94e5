"""`Schedule`: who holds which row in which round, and how they see it."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from flskew._split.building import labels_of, with_labels
from flskew._split.drifting import in_steps, period_starts, without_partition
from flskew._split.labels import read_times
from flskew._split.stored import stored_parts
from flskew._split.streams import Streams
from flskew._split.time_cuts import selected, times_of
from flskew._util import archive, checks
from flskew._util.html import table
from flskew._util.texts import listed
from flskew.assignment import Assignment
from flskew.shifts import Shift, View
from flskew.typing import Labels, MultiLabels, Rows, Times

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Schedule"]

_VERSION = 1
_RULE = "stages must be a mapping from the first round of each stage to its assignment, such as {1: before, 11: after}"


class Schedule:
    """Assignments over time (drift): who holds which row in which round.

    Each stage begins with a round, and its assignment holds until the next stage begins; the last one has no end. All
    assignments split the same data set among the same partitions. A schedule never changes.

    A client asks for its rows in `fit`: `schedule.rows(partition_id, config["server-round"])`. If its attribute
    `assignment` is the schedule, strategies check that all clients use the same one, and a client without rows in a
    round is absent from it.

    Args:
        stages: The assignment of each stage, by its first round, >= 1; the first stage begins with round 1.

    Raises:
        TypeError: `stages` is not a mapping from integers to Assignments.
        ValueError: No stage begins with round 1; two assignments split different data sets, or among different
            partitions; or no partition has rows in one of the stages.

    Examples:
        >>> from flskew import Assignment, Schedule
        >>> schedule = Schedule(
        ...     {
        ...         1: Assignment.from_partitions([[0, 1], [2, 3]]),
        ...         11: Assignment.from_partitions([[0], [1, 2, 3]]),
        ...     }
        ... )
        >>> schedule.rows(1, server_round=10), schedule.rows(1, server_round=11)
        (array([2, 3]), array([1, 2, 3]))
    """

    _stages: dict[int, Assignment]

    def __init__(self, stages: Mapping[int, Assignment]) -> None:
        if not isinstance(stages, Mapping):
            raise TypeError(f"{_RULE}, got {type(stages).__name__}")
        checked = {_round("a round in stages", start, minimum=1): each for start, each in stages.items()}
        if 1 not in checked:
            raise ValueError(f"{_RULE}; one must begin with round 1, got [{listed(sorted(checked))}]")
        vars(self)["_stages"] = {start: checked[start] for start in sorted(checked)}
        names = {start: f"the assignment from round {start} on" for start in self._stages}
        for start, assignment in self._stages.items():
            _checked(names[start], assignment)
            _check_alike(self._stages[1], assignment, names[start])

    @classmethod
    def between(
        cls,
        first: Assignment,
        last: Assignment,
        starts: Iterable[int],
        *,
        labels: Labels | MultiLabels | None = None,
        seed: int = 42,
    ) -> Schedule:
        """Return a schedule that leads from one assignment to another in equal steps.

        A row that the two assignments give to different partitions moves exactly once, and the order is random. At
        stage t of 0 ... T, a fraction t / T of these rows has moved, rounded down or up without bias, so the expected
        label counts change along a straight line. The first and the last stage are the two assignments themselves.

        Args:
            first: The assignment of the first stage.
            last: The assignment of the last stage, with the same partitions, names and shift.
            starts: The first round of each stage, increasing from 1, at least two: `range(1, 21)` moves some rows
                before each of the rounds 2 to 20.
            labels: One label per row of the data set, or several as in `Partitioner.assign`; without labels, the stages
                between the ends have no classes. For bins of a continuous target, the target itself.
            seed: Any integer; draws the order and the rounding.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: The two assignments split different data sets, or among different partitions; their shifts
                differ; `starts` do not increase from 1; or `labels` are not those of the two assignments.

        Examples:
            >>> from flskew import DirichletPartitioner, Schedule, skew
            >>> labels = [0, 1, 2, 3] * 300
            >>> iid, skewed = (
            ...     DirichletPartitioner(5, alpha=alpha).assign(labels)
            ...     for alpha in (1000, 0.1)
            ... )
            >>> schedule = Schedule.between(
            ...     iid, skewed, starts=[1, 11, 21, 31, 41], labels=labels
            ... )
            >>> stages = schedule.stages.values()
            >>> [round(skew.total_variation(stage), 1) for stage in stages]
            [0.0, 0.1, 0.2, 0.3, 0.4]
        """
        begins, streams = _checked_starts(starts), Streams(checks.seed(seed))
        _check_alike(first, last, "last")
        if len(begins) < 2:
            raise ValueError(f"starts must contain the first rounds of at least two stages, got {len(begins)}")
        if first.shift != last.shift:
            raise ValueError("first and last must have the same shift; call with_shift on the schedule instead")
        column = labels_of(first._parts, labels)
        labels_of(last._parts, labels)
        steps = in_steps(first._parts, last._parts, len(begins), streams("schedule between"))
        inner = (Assignment._seal(with_labels(parts, column)) for parts in steps)
        return cls(dict(zip(begins, [first, *inner, last], strict=True)))

    @classmethod
    def by_time(
        cls,
        assignment: Assignment,
        when: Times,
        starts: Iterable[int] | Mapping[int, float | date | np.datetime64],
        *,
        accumulate: bool = False,
        labels: Labels | MultiLabels | None = None,
    ) -> Schedule:
        """Return a schedule in which rows arrive in the order of a time column, each at the partition that holds it.

        Args:
            assignment: Who holds which row.
            when: One time per row of the data set: dates, such as a pandas or Arrow column of timestamps, or numbers,
                such as years. Times without a zone are taken as UTC.
            starts: A mapping from the first round of each stage to the first time of its rows, both increasing; rows
                before the first time never arrive. Or only the first rounds: then the stages have about equally many
                rows, and rows at the same time are never divided.
            accumulate: Whether partitions keep the rows of earlier stages. By default, new rows replace them.
            labels: One label per row of the data set, or several as in `Partitioner.assign`; without labels, the stages
                have no classes. For bins of a continuous target, the target itself.

        Returns:
            A schedule whose stages have the partitions and names of `assignment`.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: A time is missing, `when` or `labels` are not one per row, rounds or times do not increase, or
                no row arrives in one of the stages.

        Examples:
            >>> from flskew import Assignment, Schedule
            >>> visits = Assignment.from_partitions({"Bern": [0, 1, 2, 3], "Lyon": [4, 5]})
            >>> years = [2021, 2023, 2022, 2022, 2021, 2022]
            >>> schedule = Schedule.by_time(visits, years, {1: 2021, 6: 2022, 11: 2023})
            >>> [rows.tolist() for rows in schedule.assignment(6)]
            [[2, 3], [5]]
            >>> schedule = Schedule.by_time(
            ...     visits, years, {1: 2021, 6: 2022, 11: 2023}, accumulate=True
            ... )
            >>> [rows.tolist() for rows in schedule.assignment(6)]
            [[0, 2, 3], [4, 5]]
        """
        parts = _checked("assignment", assignment)._parts
        begins = _checked_starts(starts)
        times, column = times_of(parts, when)[parts.rows], labels_of(parts, labels)
        if not len(times):
            raise ValueError("assignment must assign rows, got none")
        if isinstance(starts, Mapping):
            since = _first_times([starts[start] for start in begins], times)
        else:
            since = period_starts(times, len(begins))
        if not (since[1:] > since[:-1]).all():
            remedy = "list them in this order" if isinstance(starts, Mapping) else "pass fewer starts"
            raise ValueError(f"the first times of the stages must increase, got {listed(since.tolist())}; {remedy}")
        period = np.searchsorted(since, times, side="right") - 1
        stages = {}
        for number, start in enumerate(begins):
            held = (period >= 0) & (period <= number) if accumulate else period == number
            stages[start] = Assignment._seal(with_labels(selected(parts, held), column))
        return cls(stages)

    @property
    def stages(self) -> Mapping[int, Assignment]:
        """The assignment of each stage, by its first round, in increasing order."""
        return MappingProxyType(self._stages)

    @property
    def starts(self) -> tuple[int, ...]:
        """The first round of each stage."""
        return tuple(self._stages)

    @property
    def num_partitions(self) -> int:
        """Number of partitions."""
        return len(self._stages[1])

    @property
    def num_rows(self) -> int:
        """Number of rows in the data set, assigned or not."""
        return self._stages[1].num_rows

    @property
    def names(self) -> tuple[str, ...] | None:
        """The name of each partition, the same in every round; None if they have no names."""
        return self._stages[1].names

    @property
    def has_labels(self) -> bool:
        """Whether all assignments were made with labels, so that their classes are known."""
        return all(assignment.has_labels for assignment in self._stages.values())

    def assignment(self, server_round: int) -> Assignment:
        """Return who holds which row in a round.

        Args:
            server_round: The round, >= 0; round 0, before training, has the assignment of round 1.
        """
        number = _round("server_round", server_round, minimum=0)
        starts = self.starts
        return self._stages[starts[max(bisect_right(starts, number) - 1, 0)]]

    def rows(self, partition_id: int | str, server_round: int) -> Rows:
        """Return the rows of one partition in a round: read-only int64, without a copy.

        Args:
            partition_id: The id of the partition, or its name.
            server_round: The round, >= 0: `config["server-round"]` in `fit` and `evaluate`.

        Raises:
            PartitionIdError: No partition has this id or name.
        """
        return self.assignment(server_round)[partition_id]

    def view(self, partition_id: int | str, server_round: int) -> View:
        """Return what one client sees in a round, with its rows.

        Args:
            partition_id: The id of the partition, or its name.
            server_round: The round, >= 0.

        Raises:
            PartitionIdError: No partition has this id or name.
        """
        return self.assignment(server_round).view(partition_id)

    def with_shift(self, shift: Shift | None, severities: Iterable[float] | None = None) -> Schedule:
        """Return the same schedule, in which clients see their rows through a shift that grows from stage to stage.

        Args:
            shift: One of `flskew.shifts`, or your own; it replaces the shifts of the assignments. None removes them.
            severities: From 0 (no shift) to 1 (this shift), one per stage; by default, they rise evenly from 0 at the
                first stage to 1 at the last.

        Raises:
            TypeError: `shift` is not a shift.
            ValueError: There is not one severity per stage, or one is not between 0 and 1.

        Examples:
            >>> import numpy as np
            >>> from flskew import Assignment, Schedule
            >>> from flskew.shifts import Affine
            >>> split = Assignment.from_partitions([[0, 1], [2]])
            >>> schedule = Schedule({1: split, 6: split, 11: split})
            >>> schedule = schedule.with_shift(Affine(offset=10.0))
            >>> views = [schedule.view(0, server_round) for server_round in (1, 6, 11)]
            >>> [view.features(np.array([1.0, 2.0])).tolist() for view in views]
            [[1.0, 2.0], [6.0, 7.0], [11.0, 12.0]]
        """
        if shift is None:
            return Schedule({start: assignment.with_shift(None) for start, assignment in self._stages.items()})
        if not isinstance(shift, Shift):
            raise TypeError(f"shift must be a shift, such as flskew.shifts.Noise(0.1), got {type(shift).__name__}")
        count = len(self._stages)
        # The last is exactly 1; a single stage has the whole shift.
        at = [step / (count - 1) for step in range(count)] if count > 1 else [1.0]
        if severities is not None:
            if isinstance(severities, str) or not isinstance(severities, Iterable):
                raise TypeError(f"severities must be a list of one number per stage, got {severities!r:.40}")
            at = list(severities)
        if len(at) != count:
            raise ValueError(f"severities must be one per stage, got {len(at)} for {count} stages")
        pairs = zip(self._stages.items(), at, strict=True)
        return Schedule({start: assignment.with_shift(shift.at(severity)) for (start, assignment), severity in pairs})

    def away(self, partition_id: int | str, since: int = 1, until: int | None = None) -> Schedule:
        """Return the same schedule, in which one partition has no rows for some rounds.

        Its rows are unassigned while it is away, and its client is absent. A client that arrives late is away `until`
        its first round, and one that leaves is away `since` the round after its last. For several partitions, call it
        once for each.

        Args:
            partition_id: The id of the partition, or its name.
            since: The first round without it, >= 1.
            until: The round in which it is back, > `since`; None for never.

        Raises:
            PartitionIdError: No partition has this id or name.
            ValueError: A round is out of range, or no partition would have rows in one of the rounds.

        Examples:
            >>> from flskew import Assignment, Schedule
            >>> split = Assignment.from_partitions(
            ...     {"Bern": [0, 1], "Lyon": [2], "Graz": [3]}
            ... )
            >>> schedule = Schedule({1: split}).away("Lyon", until=5).away("Graz", since=20)
            >>> {
            ...     start: assignment.sizes.tolist()
            ...     for start, assignment in schedule.stages.items()
            ... }
            {1: [2, 0, 1], 5: [2, 1, 1], 20: [2, 1, 0]}
        """
        first = _round("since", since, minimum=1)
        last = None if until is None else _round("until", until, minimum=first + 1)
        number = self._stages[1].view(partition_id).partition_id
        starts = sorted({*self.starts, first, *([] if last is None else [last])})
        stages = {}
        for start in starts:
            stages[start] = assignment = self.assignment(start)
            if start >= first and (last is None or start < last) and assignment.sizes[number]:
                stages[start] = Assignment._seal(without_partition(assignment._parts, number))
        return Schedule(stages)

    def after(self, num_rounds: int) -> Schedule:
        """Return the rest of the schedule, for a new run whose rounds count from 1 again.

        A run that resumes from a checkpoint continues to count its rounds, and needs the schedule itself. Use `after`
        if you pass the model of an earlier run to `start` as the initial one.

        Args:
            num_rounds: Number of rounds of the earlier run, >= 0.

        Examples:
            >>> from flskew import Assignment, Schedule
            >>> split = Assignment.from_partitions([[0, 1], [2]])
            >>> Schedule({1: split, 6: split, 11: split}).after(7).starts
            (1, 4)
        """
        done = checks.integer("num_rounds", num_rounds, minimum=0)
        later = {start - done: assignment for start, assignment in self._stages.items() if start > done}
        return Schedule({1: self.assignment(done + 1), **later})

    def match(self, labels: Labels | MultiLabels, *, seed: int = 42) -> Schedule:
        """Split other rows, such as a test set, so that each stage has the shares of every class that it has here.

        Args:
            labels: One label per row of the other data set, or several; see `Assignment.match`.
            seed: Draws the rounding and the rows.

        Raises:
            ValueError: A label is not a class of the assignments, or one was made without labels.
        """
        return Schedule({start: assignment.match(labels, seed=seed) for start, assignment in self._stages.items()})

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all stages: 32 hexadecimal digits, the same on every machine.

        That of one round is the `fingerprint` of its assignment.
        """
        fingerprints = [assignment.fingerprint for assignment in self._stages.values()]
        return archive.digest({"starts": np.array(self.starts, dtype=np.int64), "stages": np.array(fingerprints)})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the schedule to an `.npz` file at exactly this path, without pickle.

        Arrays that stages share, such as the rows of those that only differ in their shift, are written once.

        Raises:
            FileNotFoundError: The folder does not exist.
            OSError: The file cannot be written, for example because the disk is full; an existing one stays as it was.

        Examples:
            >>> import tempfile, pathlib
            >>> from flskew import Assignment, Schedule
            >>> path = pathlib.Path(tempfile.mkdtemp()) / "drift.npz"
            >>> schedule = Schedule({1: Assignment.from_partitions([[0, 2], [1]])})
            >>> schedule.save(path)
            >>> Schedule.load(path) == schedule
            True
        """
        arrays: dict[str, NDArray[Any]] = {}
        names: dict[int, str] = {}
        contents = []
        for number, assignment in enumerate(self._stages.values()):
            for part, array in assignment._arrays().items():
                name = names.setdefault(id(array), f"{number}.{part}")
                arrays[name] = array
                contents.append((str(number), part, name))
        stamp = {"fingerprint": np.array(self.fingerprint), "starts": np.array(self.starts, dtype=np.int64)}
        archive.write(path, "schedule", _VERSION, {**stamp, "contents": np.array(contents), **arrays})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Schedule:
        """Read a saved schedule.

        Its arrays and its fingerprint are checked as by `Assignment.load`.

        Raises:
            ValueError: The file is not a saved schedule, has a newer format, or is damaged anywhere.
            FileNotFoundError: The file does not exist.
        """
        arrays = archive.read(path, "schedule", _VERSION)
        try:
            starts = arrays["starts"].tolist()
            found: list[dict[str, NDArray[Any]]] = [{} for _ in starts]
            for number, part, name in arrays["contents"].tolist():
                found[int(number)][part] = arrays[name]
            assignments = [Assignment._seal(stored_parts(parts)) for parts in found]
            loaded = cls(dict(zip(starts, assignments, strict=True)))
            _ = [assignment.shift for assignment in assignments]
            if str(arrays["fingerprint"]) != loaded.fingerprint:
                raise ValueError("its fingerprint is that of another schedule")
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{os.fspath(path)} is not a valid schedule file: {error}") from error
        return loaded

    def to_frame(self) -> pd.DataFrame:
        """Return the number of rows of each partition in each stage.

        The index contains the first rounds of the stages, the columns the names of the partitions, or their ids if they
        have no names.
        """
        import pandas as pd

        columns = range(self.num_partitions) if self.names is None else self.names
        sizes = [assignment.sizes for assignment in self._stages.values()]
        return pd.DataFrame(sizes, index=pd.Index(self.starts, name="first round"), columns=list(columns))

    def __eq__(self, other: object) -> bool:
        """Whether both have equal assignments from the same rounds on."""
        if not isinstance(other, Schedule):
            return NotImplemented
        return self._stages == other._stages

    def __hash__(self) -> int:
        """Equal schedules have equal hashes."""
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        """A summary: stages, partitions and rows."""
        names = "" if self.names is None else f" ({listed(self.names, most=3, show=str)})"
        count = len(self._stages)
        return (
            f"Schedule({count} stage{'s' * (count > 1)} from round {listed(self.starts, most=5)}, "
            f"{self.num_partitions} partitions{names}, {self.num_rows} rows)"
        )

    def _repr_html_(self) -> str:
        return table(repr(self), self.to_frame())

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse; a schedule never changes."""
        raise AttributeError(f"a Schedule is read-only, cannot set {name}; make a new one")


def _check_alike(first: object, other: object, name: str) -> None:
    """Refuse an assignment that differs from the first one in more than who holds which row."""
    one, this = _checked("first", first), _checked(name, other)
    numbers = (("num_rows", one.num_rows, this.num_rows), ("num_partitions", len(one), len(this)))
    differing = [f"{what} {theirs}, not {ours}" for what, ours, theirs in numbers if ours != theirs]
    if one.names != this.names:
        differing.append("other names")
    if one.has_labels and this.has_labels and not _have_the_same_labels(one, this):
        differing.append("other labels")
    if differing:
        raise ValueError(
            f"all stages must split the same data set among the same partitions, but {name} has {', '.join(differing)}"
        )
    if not len(this.rows):
        raise ValueError(f"{name} assigns no rows, so no client could train; begin the stage elsewhere")


def _checked(name: str, assignment: object) -> Assignment:
    if not isinstance(assignment, Assignment):
        raise TypeError(f"{name} must be an Assignment, got {type(assignment).__name__}; make one with a partitioner")
    return assignment


def _round(name: str, value: object, *, minimum: int) -> int:
    return checks.integer(name, value, minimum=minimum, maximum=checks.MOST_ROWS)


def _checked_starts(starts: object) -> list[int]:
    if isinstance(starts, str | bytes) or not isinstance(starts, Iterable):
        raise TypeError(f"starts must be a list of the first round of each stage, got {starts!r:.40}")
    begins = [_round("a round in starts", start, minimum=1) for start in starts]
    if begins[:1] != [1] or any(later <= earlier for earlier, later in pairwise(begins)):
        raise ValueError(f"starts must increase from 1, got [{listed(begins)}]")
    return begins


def _first_times(first_times: list[Any], times: NDArray[Any]) -> NDArray[Any]:
    since = read_times(first_times, "the times in starts")
    if (since.dtype.kind == "M") != (times.dtype.kind == "M"):
        kind = "dates" if times.dtype.kind == "M" else "numbers"
        raise TypeError(f"the times in starts must be {kind} like those in when, got {first_times[0]!r:.40}")
    return since


def _have_the_same_labels(one: Assignment, other: Assignment) -> bool:
    names = ("classes", "class_totals", "joint_labels")
    return all(np.array_equal(getattr(one._parts, name), getattr(other._parts, name)) for name in names)
