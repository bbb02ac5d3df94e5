"""Names of partitions, such as "Bern": strings that identify a partition and are safe to print in one line."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from flskew._util.texts import LONGEST_NAME, is_name, printable
from flskew.typing import Classes

__all__ = ["checked_names", "is_partition_name", "names_of_ids", "names_within"]


def is_partition_name(name: object) -> bool:
    """Whether a value can name a partition: a printable string in one line that is not blank."""
    return is_name(name) and not str(name).isspace()


def checked_names(names: Collection[object]) -> NDArray[np.str_]:
    """Return (num_partitions,) names as a new array; they are the keys of a mapping, so they are distinct.

    Raises:
        TypeError: A name is not a string.
        ValueError: A name is blank, too long, or cannot be printed in one line.
    """
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"names of partitions must be strings, got {name!r:.40} of type {type(name).__name__}; convert them "
                f"with str, or pass a list of the mapping's values if partitions have no names"
            )
        if not is_partition_name(name):
            raise ValueError(
                f"names of partitions must be printable, in one line and of 1 to {LONGEST_NAME} characters, "
                f"got {name!r:.60}; rename this partition"
            )
    return np.array(list(names), dtype=np.str_)


def names_of_ids(natural_ids: Classes) -> NDArray[np.str_] | None:
    """Return the names of partitions that hold one natural id each: the id as text, without blanks at its ends.

    A string that cannot be a name is written as Python writes it, in quotes and with escapes. None if that gives names
    that are equal or too long.
    """
    texts: list[str] = natural_ids.astype(np.str_).tolist()
    # Tables often pad their strings. Ids that only differ in blanks stay as they are.
    stripped = [text.strip() or text for text in texts]
    if len(set(stripped)) == len(texts):
        texts = stripped
    # One look at all texts, because there may be 100,000 of them.
    together = "".join(texts)
    if printable(together) == together and all(map(_is_short, texts)) and not any(map(str.isspace, texts)):
        return np.array(texts)
    names = [text if is_partition_name(text) else ascii(text) for text in texts]
    distinct = len(set(names)) == len(names) and all(map(_is_short, names))
    return np.array(names) if distinct else None


def names_within(names: NDArray[np.str_], num_each: int) -> NDArray[np.str_] | None:
    """Return the names of the partitions within each part, such as "Bern/0" and "Bern/1"; None if one is too long.

    The only partition of a part has the name of the part.
    """
    if num_each == 1:
        return names
    within = [f"{name}/{number}" for name in names.tolist() for number in range(num_each)]
    return np.array(within) if all(map(_is_short, within)) else None


def _is_short(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME
