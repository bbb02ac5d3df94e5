"""Metrics that users pass to a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fractions", "Numbers", "read_fractions", "read_numbers"]

Fractions: TypeAlias = Sequence[float] | NDArray[np.floating[Any]]
"""Numbers between 0 and 1; NaN stands for a missing one."""

Numbers: TypeAlias = Sequence[float] | NDArray[np.floating[Any]]
"""Finite numbers in any unit; NaN stands for a missing one."""


def read_fractions(name: str, given: object, item: str, *, first: int = 0) -> dict[Any, NDArray[np.float64]]:
    """Return the fractions of each item by name, or by position counted from `first`.

    Raises:
        TypeError: As `read_numbers`.
        ValueError: As `read_numbers`, or a number is not between 0 and 1.
    """
    return read_numbers(name, given, item, first=first, are_fractions=True)


def read_numbers(
    name: str, given: object, item: str, *, first: int = 0, are_fractions: bool = False
) -> dict[Any, NDArray[np.float64]]:
    """Return the numbers of each item by name, or by position counted from `first`.

    Args:
        name: The argument that error messages name.
        given: A mapping from items to numbers, or a sequence with the numbers of each item.
        item: What error messages call an item, such as "round".
        first: The position of the first item of a sequence.
        are_fractions: Whether numbers must be between 0 and 1; otherwise any finite number is allowed.

    Raises:
        TypeError: `given` is neither, or contains anything but numbers.
        ValueError: A number is outside the range or infinite, or an item has more than one dimension.
    """
    if isinstance(given, Mapping):
        named = dict(given)
    elif isinstance(given, Sequence | np.ndarray) and not isinstance(given, str):
        named = dict(enumerate(given, start=first))
    else:
        raise TypeError(
            f"{name} must be a mapping or a sequence with numbers for each {item}, got {type(given).__name__}"
        )
    read = {}
    for key, numbers in named.items():
        try:
            values = np.asarray(numbers, dtype=np.float64)
        except (TypeError, ValueError):
            raise TypeError(f"{name} must contain numbers, got {numbers!r:.60} for {item} {key!r}") from None
        if values.ndim > 1:
            raise ValueError(
                f"{name} must have one dimension for each {item}, got an array of shape {values.shape} for {item} "
                f"{key!r}; draw one metric at a time"
            )
        wrong = values[np.isinf(values)]
        if not are_fractions and wrong.size:
            raise ValueError(
                f"{name} must be finite, got {wrong[0]:g} for {item} {key!r}; use NaN for a missing number"
            )
        wrong = values[(values < 0) | (values > 1)]
        if are_fractions and wrong.size:
            raise ValueError(
                f"{name} must be between 0 and 1, got {wrong[0]:g} for {item} {key!r}; divide percentages by 100"
            )
        read[key] = values
    if all(np.isnan(values).all() for values in read.values()):
        raise ValueError(f"{name} must contain at least one number, got none")
    return read
