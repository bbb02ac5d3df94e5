"""What a strategy remembers from round to round, as plain values: momenta, the latest model, a mu that changes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass

from flwr.serverapp.strategy import Strategy

from flskew.strategies.packing import NotPlainError, pack

__all__ = ["StrategyState"]

# What the run itself looks after.
_ELSEWHERE = ("_ledger", "result")
_logger = logging.getLogger("flwr")


class StrategyState:
    """The attributes of a strategy, of those that it wraps and of dataclasses in them, by their names with dots.

    A setting, which is a number, a string, a boolean or None and stays what it was, is no state: a run that goes on may
    have other settings. Whatever else an attribute holds may change in place and is taken for state.

    Args:
        strategy: As it is before the run.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._settings = {name: value for name, value in self._attributes() if _is_setting(value)}
        self._at_the_end: dict[str, object] = {}
        self._left_out: set[str] = set()

    def gather(self) -> dict[str, object]:
        """Return the state. The log names, once, what cannot be written to files and is left out."""
        state = {
            name: value
            for name, value in self._attributes()
            if not (_is_setting(value) and name in self._settings and self._settings[name] == value)
        }
        return {name: value for name, value in state.items() if self._is_plain(name, value)}

    def restore(self, state: Mapping[str, object]) -> None:
        """Put a state back.

        Raises:
            ValueError: It is that of a strategy which holds other objects.
        """
        owners = dict(self._owners())
        for name in state:
            if name.rpartition(".")[0] not in owners:
                raise ValueError(
                    f"the strategy has no attribute {name.rpartition('.')[0]!r}; go on with the one that was saved"
                )
        self._put(state)

    def end(self) -> None:
        """Note what the run has left behind, whatever has ended it."""
        self._at_the_end = dict(self._attributes())

    def rewind(self) -> None:
        """Put back what had the look of a setting before the run, where the run has changed it and nobody since."""
        now = dict(self._attributes())
        self._put(
            {
                name: value
                for name, value in self._settings.items()
                if name in now and now[name] is not value and now[name] is self._at_the_end.get(name)
            }
        )

    def _put(self, values: Mapping[str, object]) -> None:
        owners = dict(self._owners())
        for name, value in values.items():
            prefix, _, attribute = name.rpartition(".")
            object.__setattr__(owners[prefix], attribute, value)

    def _owners(self) -> Iterator[tuple[str, object]]:
        """Yield the strategy, those it wraps and the dataclasses in them, each after whatever holds it."""
        owners: list[tuple[str, object]] = [("", self._strategy)]
        for name, owner in owners:
            yield name, owner
            for attribute, value in vars(owner).items():
                is_new = all(value is not known for _, known in owners)
                if attribute not in _ELSEWHERE and _is_owner(value) and is_new:
                    owners.append((f"{name}.{attribute}".lstrip("."), value))

    def _attributes(self) -> Iterator[tuple[str, object]]:
        """Yield name and value of each attribute that may be a setting or state."""
        for prefix, owner in self._owners():
            for attribute, value in vars(owner).items():
                if attribute not in _ELSEWHERE and not _is_owner(value) and not callable(value):
                    yield f"{prefix}.{attribute}".lstrip("."), value

    def _is_plain(self, name: str, value: object) -> bool:
        try:
            pack({name: value})
        except NotPlainError as error:
            if name not in self._left_out:
                _logger.warning("Checkpoints leave out %r of %s: %s", name, type(self._strategy).__name__, error)
                self._left_out.add(name)
            return False
        return True


def _is_setting(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _is_owner(value: object) -> bool:
    is_value = is_dataclass(value) and not isinstance(value, type) and hasattr(value, "__dict__")
    return isinstance(value, Strategy) or is_value
