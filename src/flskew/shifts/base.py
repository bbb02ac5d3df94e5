"""The base classes of shifts, ours and yours."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew._util.values import Value, fields
from flskew.shifts._columns import checked_columns, each_array
from flskew.shifts._numbers import changed_numbers, read_only
from flskew.shifts._strengths import PerPartition, Ramp, strength_at
from flskew.shifts._viewer import Viewer
from flskew.shifts.view import View
from flskew.typing import Features, Rows

__all__ = ["Chain", "FeatureShift", "LabelShift", "Shift"]


class Shift(Value, ABC):
    """What clients see differently: a pure function of the seed, the partition and the row.

    A shift is a value: it prints as the call that makes it, and equals any other made by the same call. `a | b` applies
    `a`, then `b`. To write your own, subclass `FeatureShift` or `LabelShift`.

    Give it to `Assignment.with_shift`, or ask it for the `view` of one client.

    Args:
        partitions: The partitions that see the shift; None for all. The others see the data as they are.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import Affine, Noise
        >>> scanner = Affine(gain=[1.0, 1.2]) | Noise([0.0, 0.1])
        >>> view = scanner.view(1, num_partitions=2)
        >>> view.features(np.ones((3, 8, 8), dtype=np.float32), rows=[0, 5, 7]).shape
        (3, 8, 8)
    """

    partitions: tuple[int, ...] | None
    _classes: ClassVar[dict[str, type[Value]]] = {Ramp.__name__: Ramp}

    def __init_subclass__(cls, **options: Any) -> None:
        """Remember the class, so that a saved assignment can make its shift again."""
        super().__init_subclass__(**options)
        if inspect.isabstract(cls):
            return
        known = Shift._classes.get(cls.__name__)
        if known is not None and known.__module__.startswith("flskew.") and known.__module__ != cls.__module__:
            raise TypeError(f"{cls.__name__} is the name of a class of flskew.shifts; choose another for your shift")
        Shift._classes[cls.__name__] = cls

    def __init__(self, *, partitions: Iterable[int] | None = None) -> None:
        self.partitions = None if partitions is None else _checked_partitions(partitions)

    def view(self, partition_id: int, num_partitions: int) -> View:
        """Return what one client sees.

        Raises:
            TypeError: A number is not an integer.
            ValueError: There is no such partition.
        """
        count = checks.integer("num_partitions", num_partitions, minimum=1, maximum=checks.MOST_ROWS)
        return View(self, Viewer(checks.integer("partition_id", partition_id, minimum=0, maximum=count - 1), count))

    @abstractmethod
    def at(self, severity: float) -> Self:
        """Return the same shift, but weaker.

        Args:
            severity: Number from 0 (no shift) to 1 (this shift).
        """

    def __or__(self, other: object) -> Chain:
        """Apply this shift, then the other."""
        if not isinstance(other, Shift):
            return NotImplemented
        return Chain(self, other)

    def _links(self) -> tuple[Shift, ...]:
        """The shifts that are applied one after the other."""
        return (self,)

    def _see_features(self, features: Features, rows: Rows, viewer: Viewer) -> Features:
        return features

    def _see_labels(self, labels: NDArray[Any], rows: Rows, viewer: Viewer) -> NDArray[Any]:
        return labels

    def _changes(self, what: Literal["features", "labels"]) -> bool:
        """Whether it can change them; what it never changes need not be loaded."""
        method = f"_see_{what}"
        return getattr(type(self), method) is not getattr(Shift, method)

    def _is_seen_by(self, viewer: Viewer) -> bool:
        if self.partitions is None:
            return True
        # They are sorted, and there may be as many as clients.
        if self.partitions and self.partitions[-1] >= viewer.num_partitions:
            raise ValueError(
                f"partitions of {type(self).__name__} must be in 0 ... {viewer.num_partitions - 1}, "
                f"got {self.partitions[-1]}"
            )
        place = bisect_left(self.partitions, viewer.partition_id)
        return self.partitions[place : place + 1] == (viewer.partition_id,)

    def _check_fits(self, num_partitions: int) -> None:
        """Refuse `partitions` that do not exist, and lists of strengths of another length."""
        viewer = Viewer(0, num_partitions)
        self._is_seen_by(viewer)
        for parameter, field in fields(self):
            if isinstance(field, PerPartition):
                strength_at(parameter.name, field, viewer)


class FeatureShift(Shift):
    """A shift of features: images, tables or any other arrays with one entry per row.

    To write your own, subclass it and implement `change` and `at`. `change` gets floats, whatever the dtype of the
    features, and its results are converted back. For integer features, they are rounded and clipped to the range of the
    dtype, and integers beyond 2**53 lose their last digits. `change` is called for blocks of rows, so that temporary
    arrays stay small.

    Args:
        columns: The columns of a table to change, by name, or by position for an array; None for the whole array, or
            for all columns of floating-point numbers of a table, which must have at least one.
        partitions: The partitions that see the shift; None for all.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import FeatureShift
        >>> class Fade(FeatureShift):
        ...     def __init__(self, amount, *, columns=None, partitions=None):
        ...         super().__init__(columns=columns, partitions=partitions)
        ...         self.amount = amount
        ...
        ...     def change(self, values, rows, viewer, column):
        ...         return values * (1 - self.amount) if self.amount else values
        ...
        ...     def at(self, severity):
        ...         return Fade(
        ...             severity * self.amount,
        ...             columns=self.columns,
        ...             partitions=self.partitions,
        ...         )
        >>> view = Fade(0.5).view(0, num_partitions=1)
        >>> view.features(np.array([[1.0, 3.0]]), rows=[0])
        array([[0.5, 1.5]])
    """

    columns: tuple[str | int, ...] | None

    def __init__(self, *, columns: Iterable[str | int] | None = None, partitions: Iterable[int] | None = None) -> None:
        super().__init__(partitions=partitions)
        self.columns = None if columns is None else checked_columns(columns)

    @abstractmethod
    def change(self, values: NDArray[Any], rows: Rows, viewer: Viewer, column: str) -> NDArray[Any]:
        """Return what the client sees.

        Args:
            values: (num_rows, ...) float32 or float64: the whole array, or (num_rows,) one column; not to be changed.
            rows: (num_rows,) int64, the number of each row in the data set.
            viewer: The client, and the source of random numbers.
            column: The name of the column, or its position; empty for a whole array. Make it part of the purpose of
                random numbers, so that columns are independent.

        Returns:
            Values of the same shape; the same object if nothing changes.
        """

    def _see_features(self, features: Features, rows: Rows, viewer: Viewer) -> Features:
        if not self._is_seen_by(viewer):
            return features

        name = type(self).__name__

        def changed(values: NDArray[Any], column: str) -> NDArray[Any]:
            def change(floats: NDArray[Any], some: Rows) -> NDArray[Any]:
                return self.change(floats, some, viewer, column)

            return changed_numbers(values, rows, change, name, column)

        return each_array(features, self.columns, changed, name)


class LabelShift(Shift):
    """A shift of labels: the same features mean something else to some clients (concept shift).

    To write your own, subclass it and implement `relabel` and `at`.

    Args:
        partitions: The partitions that see the shift; None for all.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import LabelShift
        >>> class Coarse(LabelShift):
        ...     def relabel(self, labels, rows, viewer):
        ...         return labels // 2
        ...
        ...     def at(self, severity):
        ...         return Coarse(partitions=self.partitions if severity else ())
        >>> view = Coarse(partitions=[1]).view(1, num_partitions=3)
        >>> view.labels([0, 3, 5], rows=[0, 1, 2])
        array([0, 1, 2])
    """

    @abstractmethod
    def relabel(self, labels: NDArray[Any], rows: Rows, viewer: Viewer) -> NDArray[Any]:
        """Return the labels that the client sees.

        Args:
            labels: (num_rows,) integers, strings or booleans; not to be changed.
            rows: (num_rows,) int64, the number of each row in the data set.
            viewer: The client, and the source of random numbers.
        """

    def _see_labels(self, labels: NDArray[Any], rows: Rows, viewer: Viewer) -> NDArray[Any]:
        if not self._is_seen_by(viewer):
            return labels
        as_they_are = read_only(labels)
        seen = self.relabel(as_they_are, rows, viewer)
        if np.shape(seen) != labels.shape:
            name = type(self).__name__
            raise ValueError(f"{name} must return labels of shape {labels.shape}, got {np.shape(seen)}")
        return labels if seen is as_they_are else seen


class Chain(Shift):
    """Several shifts, applied one after the other; `a | b` makes one.

    Args:
        shifts: At least one shift, in the order in which they are applied. Chains among them are joined.

    Raises:
        TypeError: An argument is not a shift.
        ValueError: No shift is given.

    Examples:
        >>> from flskew.shifts import Affine, Noise
        >>> Affine(2.0) | Noise(0.1, seed=7)
        Affine(gain=2.0) | Noise(sigma=0.1, seed=7)
    """

    def __init__(self, *shifts: Shift) -> None:
        super().__init__()
        for shift in shifts:
            if not isinstance(shift, Shift):
                raise TypeError(f"shifts must be shifts, such as Noise(0.1), got {shift!r:.40}")
        self.shifts = tuple(link for shift in shifts for link in shift._links())
        if not self.shifts:
            raise ValueError("shifts must contain at least one shift, got none")

    def at(self, severity: float) -> Chain:
        """Return a chain in which every shift is weaker."""
        return Chain(*(shift.at(severity) for shift in self.shifts))

    def __repr__(self) -> str:
        """The expression that makes it."""
        return " | ".join(map(repr, self.shifts)) if len(self.shifts) > 1 else f"Chain({self.shifts[0]!r})"

    def _links(self) -> tuple[Shift, ...]:
        return self.shifts

    def _see_features(self, features: Features, rows: Rows, viewer: Viewer) -> Features:
        for place, shift in enumerate(self.shifts):
            features = shift._see_features(features, rows, viewer._replace(place=place))
        return features

    def _see_labels(self, labels: NDArray[Any], rows: Rows, viewer: Viewer) -> NDArray[Any]:
        for place, shift in enumerate(self.shifts):
            labels = shift._see_labels(labels, rows, viewer._replace(place=place))
        return labels


def _checked_partitions(partitions: Iterable[int]) -> tuple[int, ...]:
    if isinstance(partitions, str | bytes) or not isinstance(partitions, Iterable):
        raise TypeError(f"partitions must be a list of partition ids, got {partitions!r:.40}")
    ids = list(partitions)
    if any(isinstance(one, str) for one in ids):
        raise TypeError(
            "partitions must be partition ids, which are integers, got a string; a shift does not know the names of an "
            "assignment, so pass assignment.names.index(name)"
        )
    return tuple(sorted({checks.integer("partitions", one, minimum=0) for one in ids}))
