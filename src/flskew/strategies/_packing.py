"""Plain values as JSON plus numbered arrays, to be saved and loaded without pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.typing import NDArray

from flskew.strategies._forms import VALUES, has_form
from flskew.strategies.best import BestModel
from flskew.strategies.history import Failure, Reply, Round

__all__ = ["NotPlainError", "pack", "unpack"]

Arrays: TypeAlias = dict[str, NDArray[Any]]
"""What a .npz file holds."""

_JSON = "json"
_RECORDS: dict[str, type[Any]] = {
    "ArrayRecord": ArrayRecord,
    "ConfigRecord": ConfigRecord,
    "MetricRecord": MetricRecord,
    "RecordDict": RecordDict,
}
_VALUES = {"BestModel": BestModel, "Failure": Failure, "Reply": Reply, "Round": Round}
_SEQUENCES: dict[str, Callable[[list[Any]], Any]] = {"tuple": tuple, "set": set, "frozenset": frozenset}


class NotPlainError(TypeError):
    """A value is of a type that checkpoints cannot save."""


def pack(values: dict[str, object]) -> Arrays:
    """Return named values as named arrays, bit for bit. Arrays among them are not copied.

    Args:
        values: Each is None, a bool, an int, a float, a string or bytes; a NumPy array or number; a record of Flower's;
            a reply, a failure, a round or a best model; or a list, a tuple, a set or a dict of such values.

    Raises:
        NotPlainError: A value has, or contains, another type.

    Examples:
        >>> unpack(pack({"rounds": [1, 2], "mean": np.arange(3.0)}))
        {'rounds': [1, 2], 'mean': array([0., 1., 2.])}
    """
    packing = _Packing()
    try:
        text = json.dumps(packing.packed(values))
    except RecursionError:
        raise NotPlainError("cannot serialise a self-referencing object") from None
    numbered = {str(number): array for number, array in enumerate(packing.arrays)}
    return {_JSON: np.frombuffer(text.encode(), np.uint8), **numbered}


def unpack(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the values that `pack` was given.

    Raises:
        ValueError: The arrays were not made by `pack`.
    """
    try:
        values = _Unpacking(arrays).unpacked(json.loads(arrays[_JSON].tobytes()))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"its values cannot be restored: {type(error).__name__}: {error!s:.200}") from error
    if not isinstance(values, dict):
        raise ValueError("its values have no names")
    return values


class _Packing:
    """Converts values to JSON, and collects the arrays that the JSON refers to by number."""

    def __init__(self) -> None:
        self.arrays: list[NDArray[Any]] = []
        self._numbers: dict[int, int] = {}  # by id(), which is unique while the packed values are alive

    def packed(self, value: object) -> object:
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) is list:
            return [self.packed(entry) for entry in value]
        for name, record in _RECORDS.items():
            if isinstance(value, record):
                return {name: self._entries(value)}
        return {type(value).__name__: self._parts(value)}

    def _entries(self, value: Mapping[Any, Any]) -> object:
        return [[self.packed(key), self.packed(entry)] for key, entry in value.items()]

    def _parts(self, value: object) -> object:
        name = type(value).__name__
        if isinstance(value, np.generic) or type(value) in (bytes, np.ndarray):
            return self._number(value)  # type: ignore[arg-type]
        if type(value) is dict:
            return self._entries(value)
        if type(value) is _SEQUENCES.get(name):
            return [self.packed(entry) for entry in value]
        if type(value) is _VALUES.get(name):
            return [self.packed(entry) for entry in vars(value).values()]
        if type(value) is Array:
            return [value.dtype, list(value.shape), value.stype, self._number(value.data)]
        raise NotPlainError(
            f"checkpoints cannot save a {name}; return plain values, arrays and records from state_dict"
        )

    def _number(self, value: bytes | NDArray[Any] | np.generic) -> int:
        """Return the number of an array; one that occurs several times, such as the model, is stored once."""
        if id(value) not in self._numbers:
            array = np.frombuffer(value, np.uint8) if type(value) is bytes else np.asarray(value)
            if array.dtype.hasobject:
                raise NotPlainError("checkpoints cannot save an array of Python objects")
            self._numbers[id(value)] = len(self.arrays)
            self.arrays.append(array)
        return self._numbers[id(value)]


class _Unpacking:
    """The arrays that the JSON refers to; an array of bytes is copied once, however often it is used."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = arrays
        self._bytes: dict[str, bytes] = {}

    def unpacked(self, packed: Any) -> Any:
        if isinstance(packed, list):
            return [self.unpacked(entry) for entry in packed]
        if not isinstance(packed, dict):
            return packed
        ((name, parts),) = packed.items()
        if name == "dict" or name in _RECORDS:
            entries = {self.unpacked(key): self.unpacked(entry) for key, entry in parts}
            return _RECORDS.get(name, dict)(entries)
        if name in _SEQUENCES:
            return _SEQUENCES[name](self.unpacked(parts))
        if name in _VALUES:
            value = _VALUES[name](*self.unpacked(parts))
            if not has_form(vars(value), VALUES[type(value)]):
                raise ValueError(f"a {name} has unexpected attributes")
            return value
        if name == "Array":
            dtype, shape, stype, number = parts
            return Array(dtype, tuple(shape), stype, self._data(str(number)))
        if name == "bytes":
            return self._data(str(parts))
        array = self._arrays[str(parts)]
        return array if name == "ndarray" else array[()]

    def _data(self, number: str) -> bytes:
        if number not in self._bytes:
            self._bytes[number] = self._arrays[number].tobytes()
        return self._bytes[number]
