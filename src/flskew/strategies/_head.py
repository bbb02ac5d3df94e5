"""The last layer of a classifier: its arrays, and the axis along which each has one row per class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

from flwr.app import Array, ArrayRecord

from flskew._arrays.records import numpy_from_array
from flskew._util import checks
from flskew._util.texts import listed

__all__ = ["KEPT_HEAD", "Head", "checked_head", "find_head", "resolved_head"]

Head: TypeAlias = dict[str, int]
"""Names of arrays, and the axis of each array's classes."""

_EXAMPLE: Head = {"fc2.weight": 0, "fc2.bias": 0}
KEPT_HEAD = "a last layer that stays on the clients has no mean; remove averaging, or take it out of keep_local"
"""Why a last layer that is private cannot be averaged by class."""

_TWO_OUTPUTS = "a single output for two classes has no row per class: give the model two outputs"


def checked_head(head: object) -> Head | None:
    """Return a copy of the argument `head`; None stays None.

    Raises:
        TypeError: It is neither None nor a mapping from names to integers.
        ValueError: It is empty.
    """
    if head is None:
        return None
    if not isinstance(head, Mapping) or not all(isinstance(name, str) for name in head):
        raise TypeError(f"head must map array names to the axis of their classes, got {head!r:.80}; e.g. {_EXAMPLE}")
    if not head:
        raise ValueError(f"head is empty; name the arrays of the last layer, e.g. {_EXAMPLE}, or use None")
    return {name: checks.integer(f"head[{name!r}]", axis) for name, axis in head.items()}


def resolved_head(head: Head, arrays: ArrayRecord) -> tuple[Head, int]:
    """Return the arrays named, with axes >= 0, and the number of classes.

    Raises:
        ValueError: A name or an axis does not exist, or the axes differ in length or are shorter than 2.
    """
    axes, lengths = {}, {}
    for name, axis in head.items():
        if name not in arrays:
            raise ValueError(f"head names {name!r}, but the model's arrays are [{listed(arrays)}]")
        shape = arrays[name].shape
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"head[{name!r}] = {axis}, but the array has shape {tuple(shape)}; name one of its axes")
        if shape[axis] == 0:
            raise ValueError(f"head names {name!r}, which is empty: {KEPT_HEAD}")
        axes[name] = axis % len(shape)
        lengths[name] = shape[axis]
    if len(set(lengths.values())) > 1:
        raise ValueError(f"head must have one number of classes, but its axes have lengths {lengths}")
    num_classes = next(iter(lengths.values()))
    if num_classes < 2:
        raise ValueError(
            f"head[{next(iter(head))!r}] is an axis of length {num_classes}, but there are at least two classes; "
            f"{_TWO_OUTPUTS}"
        )
    return axes, num_classes


def find_head(arrays: ArrayRecord, num_classes: int) -> Head:
    """Return the last layer by shape: a matrix with one axis of length `num_classes`, next to a bias of that length.

    Frameworks differ in the order of layers and of their arrays: JAX sorts both by name. So this does not look for the
    last arrays, but for the only ones: no other layer may have as many inputs or outputs.

    Raises:
        ValueError: No layer fits, several do, or the classes could be along more than one axis.

    Examples:
        >>> import numpy as np
        >>> body, head = (
        ...     [np.zeros((64, 32)), np.zeros(32)],
        ...     [np.zeros((32, 10)), np.zeros(10)],
        ... )
        >>> find_head(ArrayRecord([*body, *head]), 10)
        {'2': 1, '3': 0}
    """
    found = list(_candidates(arrays, num_classes))
    example = _EXAMPLE if not found else found[-1].head()
    remedy = f"name its arrays, the bias included, and the axis of their classes, e.g. ClassAware(head={example})"
    empty = [name for name, array in arrays.items() if tuple(array.shape) == (0,)]
    if empty and len(found) < 2:
        remedy += f". If the empty arrays, [{listed(empty)}], belong to it: {KEPT_HEAD}"
    if not found:
        is_binary = num_classes == 2 and any(1 in array.shape for array in arrays.values())
        raise ValueError(
            f"head=None finds no layer with an output for each of the {num_classes} classes that clients count among "
            f"[{listed(arrays.items(), show=_shown)}]; {_TWO_OUTPUTS if is_binary else remedy}"
        )
    if len(found) > 1:
        weights = listed([(each.weight, arrays[each.weight]) for each in found], show=_shown)
        raise ValueError(f"head=None finds several layers for {num_classes} classes, [{weights}]; {remedy}")
    (only,) = found
    if len(only.axes) > 1 or len(only.biases) != 1 or len(arrays[only.weight].shape) != 2:
        raise ValueError(
            f"head=None needs a matrix with one axis of length {num_classes}, the number of classes that clients "
            f"count, next to one array of shape ({num_classes},), but finds "
            f"{_shown((only.weight, arrays[only.weight]))}, next to [{listed(only.biases)}]; {remedy}"
        )
    return only.head()


class _Candidate(NamedTuple):
    """A weight that may be the last layer's, the axes that may be its classes, and the biases next to it."""

    weight: str
    axes: list[int]
    biases: list[str]

    def head(self) -> Head:
        return {self.weight: self.axes[0]} | dict.fromkeys(self.biases, 0)


def _candidates(arrays: ArrayRecord, num_classes: int) -> Iterator[_Candidate]:
    names = [name for name in arrays if numpy_from_array(arrays[name]).dtype.kind not in "biu"]
    for place, name in enumerate(names):
        shape = tuple(arrays[name].shape)
        axes = [axis for axis, length in enumerate(shape) if length == num_classes]
        beside = names[max(place - 1, 0) : place] + names[place + 1 : place + 2]
        biases = [other for other in beside if tuple(arrays[other].shape) == (num_classes,)]
        # A kernel of 3 x 3 has nothing to do with three classes.
        is_kernel = len(shape) > 2 and len(axes) > 1 and not biases
        if axes and len(shape) > 1 and not is_kernel:
            yield _Candidate(name, axes, biases)


def _shown(item: tuple[str, Array]) -> str:
    return f"{item[0]!r} {tuple(item[1].shape)}"
