"""Objects that print as the call that makes them, and equal any other made by the same call."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterator, Mapping, Set
from typing import Any

import numpy as np

__all__ = ["Value", "call_repr", "fields"]

# Shown even with their default: a log should show what a result depends on.
_ALWAYS_SHOWN = ("seed",)


def fields(value: object) -> Iterator[tuple[inspect.Parameter, object]]:
    """Yield each parameter of an object's `__init__` and the attribute of the same name."""
    for name, parameter in inspect.signature(type(value)).parameters.items():
        yield parameter, getattr(value, name)


def call_repr(value: object) -> str:
    """Return the call that makes an object, without arguments that have their default.

    Every argument of its `__init__` must be an attribute of the same name.

    Examples:
        >>> class Wave(Value):
        ...     def __init__(self, length, phase=0.0, seed=42):
        ...         self.length, self.phase, self.seed = length, phase, seed
        >>> Wave(2)
        Wave(length=2, seed=42)
    """
    shown = [
        f"{parameter.name}={_plain(field)!r}"
        for parameter, field in fields(value)
        if parameter.name in _ALWAYS_SHOWN or _key(field) != _key(parameter.default)
    ]
    return f"{type(value).__name__}({', '.join(shown)})"


class Value:
    """An object defined by its arguments: it prints as the call that makes it, and equal calls make equal objects.

    Every argument of `__init__` becomes a read-only attribute of the same name.
    """

    def __repr__(self) -> str:
        """The call that makes it."""
        return call_repr(self)

    def __eq__(self, other: object) -> bool:
        """Whether the same call would make both."""
        if type(other) is not type(self):
            return NotImplemented
        return self._fields_key() == other._fields_key()

    def __hash__(self) -> int:
        """Equal objects have equal hashes."""
        return hash((type(self), self._fields_key()))

    def __setattr__(self, name: str, field: object) -> None:
        """Set an attribute; one named like an argument can only be set once."""
        if name in vars(self) and name in inspect.signature(type(self)).parameters:
            raise AttributeError(f"{name} of {type(self).__name__} is read-only; make a new one with {name}={field!r}")
        super().__setattr__(name, field)

    def _fields_key(self) -> tuple[Hashable, ...]:
        return tuple(_key(field) for _, field in fields(self))


def _plain(field: Any) -> Any:
    """Return a value whose repr is what a user would write."""
    return field.tolist() if isinstance(field, np.ndarray | np.generic) else field


def _key(field: Any) -> Hashable:
    """Return a hashable value that is equal for equal arguments."""
    field = _plain(field)
    if isinstance(field, Mapping):
        return frozenset((_key(name), _key(entry)) for name, entry in field.items())
    if isinstance(field, Set):
        return frozenset(map(_key, field))
    if isinstance(field, list | tuple):
        return tuple(map(_key, field))
    return (type(field), field) if isinstance(field, bool) else field
