"""Checks on arguments, shared by several packages; each error names argument, rule, value and remedy."""

from __future__ import annotations

import math
import numbers
import operator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from datasets import Dataset

T = TypeVar("T")

MOST_ROWS = np.iinfo(np.int64).max // 8
"""Maximum number of 64-bit numbers in one array, and so an upper bound for rows and partitions."""


def integer(name: str, value: object, *, minimum: int | None = None, maximum: int | None = None) -> int:
    """Return `value` as an int; it may have any integer type except bool."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}") from None
    if minimum is not None and number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got {number}")
    return number


def optional_integer(name: str, value: object, *, minimum: int, maximum: int | None = None) -> int | None:
    """Return None unchanged, and anything else as `integer` does."""
    return None if value is None else integer(name, value, minimum=minimum, maximum=maximum)


def positive(name: str, value: object, remedy: str) -> float:
    """Return a finite number > 0 as a float."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a finite number > 0, got {value!r} of type {type(value).__name__}; {remedy}")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be a finite number > 0, got {value!r:.40}; {remedy}")
    return number


def finite(name: str, value: object, remedy: str) -> float:
    """Return a finite number as a float.

    Raises:
        TypeError: It is not a real number.
        ValueError: It is not finite.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r:.40} of type {type(value).__name__}; {remedy}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r:.40}; {remedy}")
    return float(value)


def within(rule: str, value: object, *, most: float) -> float:
    """Return a number from 0 to `most` as a float; errors begin with `rule`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{rule}, got {value!r} of type {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not 0 <= number <= most:
        raise ValueError(f"{rule}, got {value!r:.40}")
    return number


def seed(
    value: object, *, otherwise: str = "each client process would draw a different split, and they would overlap"
) -> int:
    """Return a seed as an int; the error for None says what would go wrong."""
    if value is None:
        raise TypeError(f"seed must be an integer, got None: {otherwise}; pass any integer, the default is 42")
    return integer("seed", value)


def enough_rows(min_partition_size: int, num_partitions: int, num_rows: int) -> None:
    """Refuse a minimum that the rows cannot meet."""
    needed = min_partition_size * num_partitions
    if needed > num_rows:
        raise ValueError(
            f"min_partition_size={min_partition_size} for {num_partitions} partitions needs {needed} rows, "
            f"got {num_rows}; lower min_partition_size or num_partitions"
        )


def sizes_fit(partition_sizes: NDArray[np.int64], num_rows: int) -> None:
    """Refuse sizes that the rows cannot meet."""
    needed = sum(partition_sizes.tolist())
    if needed > num_rows:
        raise ValueError(f"partition_sizes sum to {needed}, but there are only {num_rows} rows; lower the sizes")


def truth(name: str, value: object) -> bool:
    """Return `value` as a bool; refuse 1, "yes" and other values that Python treats as true."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def choice(name: str, value: T, allowed: tuple[T, ...]) -> T:
    """Return `value` if it is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def column_name(name: str, value: object, remedy: str = "") -> str:
    """Return `value` if it can be the name of a column; otherwise the error ends with `remedy`."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} must be the name of a column, got {value!r}{remedy}")
    return value


def dataset(value: object) -> Dataset:
    """Return `value` if it is a `datasets.Dataset`, so that its rows have positions."""
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

    if isinstance(value, DatasetDict | IterableDatasetDict):
        splits = list(value)
        raise TypeError(
            f"dataset must be one split, got a {type(value).__name__} of {', '.join(map(repr, splits))}; "
            f"pass one of them, e.g. dataset[{(splits or ['train'])[0]!r}]"
        )
    if isinstance(value, IterableDataset):
        raise TypeError(
            "dataset must be a Dataset, got a stream (IterableDataset), whose rows have no positions; "
            "load it without streaming=True"
        )
    if not isinstance(value, Dataset):
        raise TypeError(
            f"dataset must be a datasets.Dataset, got {type(value).__name__}; "
            "make one with Dataset.from_dict or Dataset.from_pandas, or call assign(labels)"
        )
    return value


def concentration(
    value: object, count: int | None, *, name: str = "alpha", per: str = "partition"
) -> NDArray[np.float64]:
    """Return a Dirichlet concentration as (count,) finite numbers > 0.

    If `count` is None, any length is accepted, and one number becomes (1,).
    """
    rule = f"{name} must be a finite number > 0, or one such number per {per}"
    try:
        # NumPy would store a Fraction as an object.
        array = np.asarray(float(value) if isinstance(value, numbers.Rational) else value)
    except ValueError:
        raise TypeError(f"{rule}, got {value!r}") from None
    except OverflowError:
        array = np.array(np.inf)
    if array.dtype.kind not in "iuf" or isinstance(value, bool):
        raise TypeError(f"{rule}, got {value!r} of type {type(value).__name__}")
    if array.size == 0 or (array.ndim > 0 and array.shape != (count or array.size,)):
        raise ValueError(
            f"{rule}, got an array of shape {array.shape}; pass {count or 'as many'} numbers, or one for all"
        )
    values = array.astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(wrong):
        place = "" if array.ndim == 0 else f" for {per} {wrong[0]}"
        raise ValueError(f"{rule}, got {float(values.flat[wrong[0]])!r}{place}; smaller is more skewed, e.g. 0.1")
    # A view, because `count` may be huge: whether there are enough rows for it is checked later.
    return np.broadcast_to(values, count or array.size)


def not_negative(name: str, value: object, remedy: str) -> float:
    """Return a finite number >= 0 as a float.

    Raises:
        TypeError: It is not a real number.
        ValueError: It is negative or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number >= 0, got {value!r} of type {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be finite and >= 0, got {value!r:.40}; {remedy}")
    return number


def proximal_mu(name: str, value: object) -> float:
    """Return the strength of a proximal term as a float; see `not_negative`."""
    return not_negative(name, value, "0 is FedAvg, typical values are 0.001 to 1")
