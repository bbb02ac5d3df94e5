"""How strong a shift is at each partition: one number for all, one per partition, or a ramp."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Set
from typing import TypeAlias

import numpy as np

from flskew._util import checks
from flskew._util.values import Value
from flskew.shifts._viewer import Viewer

__all__ = [
    "Checked",
    "PerPartition",
    "Ramp",
    "Strength",
    "as_fraction",
    "as_strength",
    "finite",
    "scaled",
    "scaled_gain",
    "strength_at",
]


class Ramp(Value):
    """A strength that grows evenly from the first partition to the last.

    Partition i of N has the strength first + (last - first) · i / (N - 1). A single partition has `first`.

    Args:
        last: The strength at the last partition, finite.
        first: The strength at partition 0, finite.

    Raises:
        TypeError: A strength is not a number.
        ValueError: A strength is not finite.

    Examples:
        >>> from flskew.shifts import Noise, Ramp
        >>> Noise(Ramp(0.1))
        Noise(sigma=Ramp(last=0.1), seed=42)
    """

    def __init__(self, last: float, first: float = 0.0) -> None:
        self.last = finite("last", last)
        self.first = finite("first", first)

    def at(self, partition_id: int, num_partitions: int) -> float:
        """Return the strength at one partition."""
        # Both ends are exact, unlike with first + (last - first) * place.
        place = partition_id / (num_partitions - 1) if num_partitions > 1 else 0.0
        return self.first * (1 - place) + self.last * place


Strength: TypeAlias = float | Iterable[float] | Ramp
"""One number for all partitions, a list with one number per partition, or a `Ramp`."""


class PerPartition(tuple[float, ...]):
    """The strength at each partition; it prints like any other tuple."""


Checked: TypeAlias = float | tuple[float, ...] | Ramp
"""A checked `Strength`, as a shift stores it."""


def as_strength(name: str, value: Strength, rule: str, holds: Callable[[float], bool]) -> Checked:
    """Return a checked strength.

    Args:
        name: The argument.
        value: What the user gave.
        rule: What each number must be, e.g. "a finite number >= 0".
        holds: Whether a number is that; the ends of a ramp are checked, so it must hold between two for which it holds.

    Raises:
        TypeError: It is neither a number, a list of numbers nor a Ramp.
        ValueError: The rule does not hold for a number, or the list is empty.
    """
    if isinstance(value, Ramp):
        for end in (value.first, value.last):
            _check(name, end, rule, holds)
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, numbers.Real | np.number) and not isinstance(value, bool):
        return _check(name, value, rule, holds)
    # The order of a set says nothing about partitions, and a mapping would yield its keys.
    if isinstance(value, str | bytes | Set | Mapping) or not isinstance(value, Iterable):
        raise TypeError(
            f"{name} must be a number, a list with one number per partition, or a Ramp, got {value!r:.40} of type "
            f"{type(value).__name__}"
        )
    each = PerPartition(_check(f"{name}[{place}]", one, rule, holds) for place, one in enumerate(value))
    if not each:
        raise ValueError(f"{name} must have one number per partition, got none")
    return each


def as_fraction(name: str, value: Strength) -> Checked:
    """Return a checked strength from 0 to 1."""
    return as_strength(name, value, "a number from 0 to 1", lambda number: 0 <= number <= 1)


def strength_at(name: str, strength: Checked, viewer: Viewer) -> float:
    """Return the strength at a viewer's partition.

    Raises:
        ValueError: The list has another number of partitions.
    """
    if isinstance(strength, Ramp):
        return strength.at(viewer.partition_id, viewer.num_partitions)
    if isinstance(strength, tuple):
        if len(strength) != viewer.num_partitions:
            raise ValueError(
                f"{name} must have one number for each of {viewer.num_partitions} partitions, got {len(strength)}; "
                f"pass a Ramp, or as many numbers as there are partitions"
            )
        return strength[viewer.partition_id]
    return strength


def scaled(strength: Checked, severity: float) -> Checked:
    """Return a strength times a severity."""
    if isinstance(strength, Ramp):
        return Ramp(strength.last * severity, strength.first * severity)
    if isinstance(strength, tuple):
        return tuple(one * severity for one in strength)
    return strength * severity


def scaled_gain(gain: Checked, severity: float) -> Checked:
    """Return 1 + severity · (gain - 1)."""

    def between(one: float) -> float:
        return 1.0 - severity + severity * one

    if isinstance(gain, Ramp):
        return Ramp(between(gain.last), between(gain.first))
    return tuple(map(between, gain)) if isinstance(gain, tuple) else between(gain)


def _check(name: str, value: object, rule: str, holds: Callable[[float], bool]) -> float:
    number = finite(name, value, rule)
    if not holds(number):
        raise ValueError(f"{name} must be {rule}, got {number:g}")
    return number


def finite(name: str, value: object, rule: str = "a finite number") -> float:
    """Return a finite number as a float; the error states the rule."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real | np.number):
        raise TypeError(f"{name} must be {rule}, got {value!r:.40} of type {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be {rule}, got {value!r:.40}")
    return number


def checked_severity(severity: object) -> float:
    """Return a severity from 0 to 1 as a float."""
    return checks.within("severity must be a number from 0 to 1", severity, most=1)
