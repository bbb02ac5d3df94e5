"""What a strategy remembers from round to round, as plain values: momenta, the latest model, a mu that changes."""

from __future__ import annotations

import copy
import functools
import logging
import types
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from flwr.serverapp.strategy import Strategy

from flskew.strategies._packing import NotPlainError, pack

__all__ = ["StrategyState"]

# What an attribute may hold that is no state; strategies have attributes of their own.
_NO_STATE = (
    Strategy, type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType,
    functools.partial, logging.Logger,
)  # fmt: skip
_FIELDS = "fields of"
_logger = logging.getLogger("flwr")


class StrategyState:
    """The attributes of a strategy and of those that it wraps, by their names with dots.

    A setting is no state: a number, a string, a boolean or None, or a tuple of them, that stays what it was for the
    whole run. A run that goes on may have other settings.

    Args:
        strategy: As it is before the run.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._before = dict(self._attributes())
        self._after: dict[str, object] = {}
        self._changed: set[str] = set()
        self._left_out: set[str] = set()

    def gather(self) -> dict[str, Any]:
        """Return the state. The log names, once, what cannot be written to files and is left out."""
        now = dict(self._attributes())
        self._changed |= {name for name, value in now.items() if not self._is_setting(name, value)}
        state = {}
        for name in sorted(self._changed & set(now)):
            try:
                state[name] = _plain(now[name], self._before.get(name))
            except NotPlainError as error:
                if name not in self._left_out:
                    _logger.warning("Checkpoints leave out %r of %s: %s", name, type(self._strategy).__name__, error)
                    self._left_out.add(name)
        return {"strategies": self._names(), "values": state}

    def check(self, saved: Mapping[str, Any]) -> None:
        """Refuse the state of another strategy.

        Raises:
            ValueError: It is that of another.
        """
        if saved["strategies"] != self._names():
            have, want = (" around ".join(reversed(names.values())) for names in (saved["strategies"], self._names()))
            raise ValueError(f"is a run of {have}, not of {want}; go on with the same strategy")

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Put a state back that was checked."""
        now = dict(self._attributes())
        self._changed |= set(saved["values"])
        self._put({name: _restored(value, now.get(name)) for name, value in saved["values"].items()})

    def end(self) -> None:
        """Note what the run has left behind, whatever has ended it."""
        self._after = dict(self._attributes())

    def rewind(self) -> None:
        """Put back what was there before the run, where the run has replaced it and nobody since."""
        now = dict(self._attributes())
        untouched = {name for name, value in now.items() if value is self._after.get(name)}
        self._put({name: value for name, value in self._before.items() if name in untouched})

    def _is_setting(self, name: str, value: object) -> bool:
        if name not in self._before or not _may_be_setting(value):
            return False
        before = self._before[name]
        return before is value or (type(before) is type(value) and before == value)

    def _owners(self) -> Iterator[tuple[str, Strategy]]:
        """Yield the strategy and those that it wraps, each after the one that holds it."""
        owners: list[tuple[str, Strategy]] = [("", self._strategy)]
        for name, owner in owners:
            yield name, owner
            for attribute, value in _fields(owner).items():
                if isinstance(value, Strategy) and all(value is not known for _, known in owners):
                    owners.append((f"{name}.{attribute}".lstrip("."), value))

    def _names(self) -> dict[str, str]:
        return {name: type(owner).__name__ for name, owner in self._owners()}

    def _attributes(self) -> Iterator[tuple[str, object]]:
        """Yield name and value of each attribute that may be a setting or state."""
        for prefix, owner in self._owners():
            for attribute, value in _fields(owner).items():
                # The books of a strategy of this package are written elsewhere.
                if attribute != "_ledger" and not isinstance(value, _NO_STATE):
                    yield f"{prefix}.{attribute}".lstrip("."), value

    def _put(self, values: Mapping[str, object]) -> None:
        owners = dict(self._owners())
        for name, value in values.items():
            prefix, _, attribute = name.rpartition(".")
            setattr(owners[prefix], attribute, value)


def _fields(value: object) -> dict[str, Any]:
    """Return the attributes of an object itself, those of slots included."""
    # A class holds its slots under the names that Python gives them, private ones included.
    members = [vars(kind).items() for kind in type(value).__mro__]
    slots = [name for items in members for name, member in items if isinstance(member, types.MemberDescriptorType)]
    named = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return {**named, **getattr(value, "__dict__", {})}


def _may_be_setting(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_may_be_setting, value))
    return value is None or isinstance(value, bool | int | float | str)


def _plain(value: object, before: object) -> object:
    """Return a value of which a dataclass is the dict of its fields; it must have been there before the run.

    Raises:
        NotPlainError: It was not, and whoever goes on could not make it.
    """
    try:
        pack({"value": value})
    except NotPlainError:
        if not is_dataclass(value) or isinstance(value, type):
            raise
        if type(before) is not type(value):
            raise NotPlainError(f"a {type(value).__name__} that was not there before the run cannot be made") from None
        old, new = _fields(before), _fields(value)
        try:
            return {_FIELDS: {name: _plain(entry, old.get(name)) for name, entry in new.items()}}
        except RecursionError:
            raise NotPlainError("what holds itself is not written to files") from None
    return value


def _restored(value: object, present: object) -> object:
    """Return a saved value; a dataclass is a copy of the present one with the fields saved."""
    if not (isinstance(value, dict) and set(value) == {_FIELDS}):
        return value
    restored, fields = copy.copy(present), _fields(present)
    for name, entry in value[_FIELDS].items():
        object.__setattr__(restored, name, _restored(entry, fields.get(name)))
    return restored
