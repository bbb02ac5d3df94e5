"""How errors describe a value: by type and shape, since they are sent to the server and the value may be data."""

from __future__ import annotations

import operator
from collections.abc import Collection

__all__ = ["shape_of", "shown"]


def shown(value: object) -> str:
    """Describe a value without quoting it.

    Examples:
        >>> import numpy as np
        >>> shown(1.5), shown([1, 2]), shown(np.zeros((2, 3)))
        ('float', 'list of length 2', 'ndarray of shape (2, 3)')
    """
    name, shape = type(value).__name__, shape_of(value)
    if shape is not None:
        return f"{name} of shape {shape}"
    return f"{name} of length {len(value)}" if isinstance(value, Collection) else name


def shape_of(value: object) -> tuple[int, ...] | None:
    """Return the shape of an array of any framework; None for anything else."""
    try:
        return tuple(map(operator.index, value.shape))  # type: ignore[attr-defined]
    except Exception:  # whatever the user's object raises
        return None
