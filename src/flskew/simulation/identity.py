"""The one place that touches Flower's internals: who the process is, where `Run` lives, whether an app has a main.

Recent releases of Flower refuse to make a `Message` before the process has an identity, which their engines set when
they start an app. An app that runs in this process needs one as well. Releases before that have none, and need none.
"""

from __future__ import annotations

import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from flwr.serverapp import ServerApp
    from flwr.supercore.run import Run

__all__ = ["SERVER_NODE_ID", "Identity", "has_main", "new_run"]

SERVER_NODE_ID = 1
"""The node id of Flower's SuperLink, from which a ServerApp's messages come."""

_NAMES = ("run_id", "node_id", "task_id")


class Identity:
    """The identity of the ServerApp of one run, in force from its making until `release`.

    Identities may be released in any order: in force is the latest one that has not been, and after the last one what
    was there before the first. What somebody else has set in the meantime is left alone.

    Args:
        run_id: The run's number.
    """

    _lock = threading.RLock()
    _held: ClassVar[list[Identity]] = []
    _before: ClassVar[tuple[int | None, ...]] = ()

    def __init__(self, run_id: int) -> None:
        self._values: tuple[int | None, ...] = (run_id, SERVER_NODE_ID, 1)
        with self._lock:
            if not self._held:
                Identity._before = _read()
            self._held.append(self)
            _write(self._values)

    def release(self) -> None:
        """Stop being in force; a second call does nothing."""
        with self._lock:
            if self not in self._held:
                return
            self._held.remove(self)
            if _read() == self._values:
                _write(self._held[-1]._values if self._held else Identity._before)


def new_run(run_id: int, override_config: dict[str, bool | float | int | str]) -> Run:
    """Return Flower's `Run` of this number."""
    run: Run = _run_class().create_empty(run_id)
    run.override_config = dict(override_config)
    return run


def has_main(server_app: ServerApp) -> bool:
    """Return whether an app has a function to run, or the parts that Flower had before: a server_fn, a strategy."""
    parts = ("_main", "_server_fn", "_server", "_config", "_strategy", "_client_manager")
    return any(getattr(server_app, part, None) is not None for part in parts)


def _run_class() -> Any:
    try:
        return import_module("flwr.supercore.run").Run
    except ImportError:
        return import_module("flwr.common.typing").Run


def _task_identity() -> Any:
    try:
        return import_module("flwr.supercore.task_identity").TaskIdentity
    except ImportError:
        return None


def _read() -> tuple[int | None, ...]:
    identity = _task_identity()
    return tuple(_get(identity, name) for name in _NAMES)


def _get(identity: Any, name: str) -> int | None:
    try:
        value: int | None = getattr(identity, name, None)
    except RuntimeError:  # Flower's way to say that it is not set
        return None
    return value


def _write(values: tuple[int | None, ...]) -> None:
    identity = _task_identity()
    if identity is not None:
        for name, value in zip(_NAMES, values, strict=True):
            setattr(identity, name, value)
