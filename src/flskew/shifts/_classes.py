"""The classes that a shift names, found among labels and put in their place; errors do not quote labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew._util.texts import listed
from flskew.typing import Label

__all__ = ["PlainClasses", "checked_classes", "place_of_each", "with_classes"]

PlainClasses: TypeAlias = tuple[int, ...] | tuple[str, ...] | tuple[bool, ...]
"""Distinct classes, which are Python's integers, strings or booleans."""

_NAMES: dict[type, str] = {int: "integers", str: "strings", bool: "booleans"}


def checked_classes(name: str, classes: Iterable[Label]) -> PlainClasses:
    """Return classes in the order given.

    Raises:
        TypeError: They are not integers, strings or booleans, or not all of the same type.
    """
    plain: Any = tuple(one.item() if isinstance(one, np.generic) else one for one in classes)
    kinds = {type(one) for one in plain}
    if len(kinds) != 1 or not kinds <= _NAMES.keys():
        got = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
        raise TypeError(f"{name} must be integers, strings or booleans, all of one type, got {got}")
    return plain  # type: ignore[no-any-return]


def place_of_each(labels: NDArray[Any], classes: PlainClasses | range, by: str) -> NDArray[np.int64]:
    """Return (num_rows,) the place of each label among classes in increasing order, and -1 for others.

    If the classes are 0, 1, 2, ..., pass a range: there may be many, and few labels in a batch.

    Raises:
        TypeError: The labels have another type than the classes, or there is not one per row.
    """
    kind, dtype = type(classes[0]), labels.dtype
    if labels.ndim != 1:
        raise TypeError(f"{by} needs one label per row, got an array of shape {labels.shape}")
    if dtype.kind in "OT":
        # Such as strings of pandas, among which some may be missing.
        places = {one: place for place, one in enumerate(classes)}
        plain = (one.item() if isinstance(one, np.generic) else one for one in labels.tolist())
        found = [places.get(one, -1) if type(one) is kind else -1 for one in plain]
        return np.array(found, dtype=np.int64)
    if dtype.kind not in {int: "iu", str: "U", bool: "b"}[kind]:
        raise TypeError(f"{by} names classes that are {_NAMES[kind]}, but labels contain {dtype}")
    if isinstance(classes, range):
        return np.where((labels >= 0) & (labels < classes.stop), labels.astype(np.int64), -1)
    lower = 0
    known: Any = classes
    if kind is int:
        limits = np.iinfo(dtype)
        lower = sum(one < limits.min for one in known)
        known = [one for one in known if limits.min <= one <= limits.max]
    known = np.array(known, dtype if kind is int else None)
    if not len(known):
        return np.full(len(labels), -1)
    places_among = np.minimum(np.searchsorted(known, labels), len(known) - 1)
    return np.where(known[places_among] == labels, places_among + lower, -1)


def with_classes(
    labels: NDArray[Any], chosen: NDArray[np.bool_], places: NDArray[np.int64], classes: Sequence[Any], by: str
) -> NDArray[Any]:
    """Return labels in which the chosen ones have become others; only strings get longer.

    Args:
        labels: (num_rows,) not changed.
        chosen: (num_rows,) which labels to replace.
        places: (num_chosen,) the place of each new label among `classes`.
        classes: Classes of the type of the labels.
        by: The name of the shift, for error messages.

    Raises:
        ValueError: The dtype of the labels cannot represent a class.
    """
    dtype = labels.dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        ends = classes[-1:] if isinstance(classes, range) else classes
        large = [one for one in ends if not limits.min <= one <= limits.max]
        if large:
            raise ValueError(f"{by}: labels are {dtype}, which cannot represent {listed(large)}; convert them first")
    elif dtype.kind == "U":
        # Whatever labels are in the batch, so that the dtype is the same in all of them.
        dtype = np.promote_types(dtype, np.array(classes).dtype)
    seen = labels.astype(dtype)
    seen[chosen] = places if isinstance(classes, range) else np.array(classes, dtype)[places]
    return seen
