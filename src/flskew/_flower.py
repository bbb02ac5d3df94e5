"""The only module that touches Flower's internals.

- In recent releases, a process can only make a `Message` if it has an identity. Flower's engines set it when they start
  an app; for an app in this process, we set it. Earlier releases have no identity.
- `Run` is in different modules in different releases.
- A message's metadata is read-only, but a grid has to write it.
- The typed views of a `RecordDict`, such as `array_records`, refer to themselves: each access keeps all its records in
  memory until the garbage collector runs.
- Each value that is put into a record is checked, which takes most of the time of a round of small models. Records of
  checked values are made here without that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

if TYPE_CHECKING:
    from flwr.serverapp import ServerApp
    from flwr.supercore.run import Run as Run

__all__ = [
    "SERVER_NODE_ID",
    "FreedRecords",
    "Identity",
    "copied_arrays",
    "has_main",
    "isolated_context",
    "isolated_message",
    "isolated_records",
    "new_array",
    "new_arrays",
    "new_config",
    "new_metrics",
    "new_records",
    "new_run",
    "stamp",
]

SERVER_NODE_ID = 1
"""The node id of Flower's SuperLink, from which a ServerApp's messages come."""

_PLAIN: dict[type, Callable[[Any], Any]] = {
    bool: bool,
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    bytes: bytes.__bytes__,
}
_PLAIN_TYPES, _INTEGERS = frozenset(_PLAIN), frozenset([int])
_NAMES = ("run_id", "node_id", "task_id")

_NO_ARRAYS, _NO_CONFIG, _NO_METRICS, _NO_RECORDS = ArrayRecord(), ConfigRecord(), MetricRecord(), RecordDict()

T = TypeVar("T")
Record = TypeVar("Record", ArrayRecord, ConfigRecord, MetricRecord, RecordDict)


class Identity:
    """The identity of the ServerApp of one run, active until `release`.

    Identities may be released in any order: the latest unreleased one is active, and once all are released, the state
    before the first is restored. An identity that other code has set in the meantime is not changed.

    Args:
        run_id: The number of the run.
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
        """Deactivate the identity; a second call does nothing."""
        with self._lock:
            if self not in self._held:
                return
            self._held.remove(self)
            if _read() == self._values:
                _write(self._held[-1]._values if self._held else Identity._before)


class FreedRecords(RecordDict):
    """A `RecordDict` to pass to third-party code; its typed views do not keep it in memory."""

    @property
    def array_records(self) -> Any:
        """Its ArrayRecords."""
        return _without_cycle(super().array_records, ArrayRecord)

    @property
    def metric_records(self) -> Any:
        """Its MetricRecords."""
        return _without_cycle(super().metric_records, MetricRecord)

    @property
    def config_records(self) -> Any:
        """Its ConfigRecords."""
        return _without_cycle(super().config_records, ConfigRecord)


def new_run(run_id: int, override_config: dict[str, bool | float | int | str]) -> Run:
    """Return a `Run` of Flower with this number."""
    run: Run = _run_class().create_empty(run_id)
    run.override_config = dict(override_config)
    return run


def has_main(server_app: ServerApp) -> bool:
    """Return whether an app has a main function or, like older apps, a server_fn, a strategy, and so on."""
    parts = ("_main", "_server_fn", "_server", "_config", "_strategy", "_client_manager")
    return any(getattr(server_app, part, None) is not None for part in parts)


def stamp(
    message: Message, *, run_id: int | None = None, src_node_id: int | None = None, message_id: str | None = None
) -> None:
    """Write a message's metadata as a grid does; None leaves an entry unchanged."""
    entries = {"_run_id": run_id, "_src_node_id": src_node_id, "_message_id": message_id}
    message.metadata.__dict__.update({name: value for name, value in entries.items() if value is not None})


def new_array(dtype: str, shape: tuple[int, ...], stype: str, data: bytes) -> Array:
    """Return a Flower `Array` of values that have the right types; its constructor would check them."""
    array = Array.__new__(Array)
    array.__dict__.update({"dtype": dtype, "shape": shape, "stype": stype, "data": data})
    return array


def new_arrays(arrays: dict[str, Array]) -> ArrayRecord:
    """Return an `ArrayRecord` that takes over these arrays; its constructor would check and copy them."""
    return _filled(_NO_ARRAYS, arrays)


def new_config(values: dict[str, Any]) -> ConfigRecord:
    """Return a `ConfigRecord` that takes over these values, which must be of Python's own types."""
    return _filled(_NO_CONFIG, values)


def new_metrics(values: dict[str, Any]) -> MetricRecord:
    """Return a `MetricRecord` that takes over these values, which must be of Python's own types."""
    return _filled(_NO_METRICS, values)


def new_records(records: dict[str, ArrayRecord | ConfigRecord | MetricRecord]) -> RecordDict:
    """Return a `RecordDict` that takes over these records; its constructor would check them."""
    return _filled(_NO_RECORDS, records)


def copied_arrays(arrays: ArrayRecord) -> ArrayRecord:
    """Return a separate record of separate arrays, which share only their bytes, and these are immutable."""
    copies = {}
    for name, array in arrays.items():
        dtype, shape, stype, data = array.dtype, array.shape, array.stype, array.data
        are_plain = type(name) is type(dtype) is type(stype) is str and type(data) is bytes and type(shape) is tuple
        if are_plain and _INTEGERS.issuperset(map(type, shape)):
            copies[name] = new_array(dtype, shape, stype, data)
        else:  # the constructor refuses what a network could not deliver
            copies[_plain(name)] = Array(dtype, tuple(shape), stype, data)
    return new_arrays(copies)


def isolated_records(records: RecordDict) -> RecordDict:
    """Return records that share no mutable object with `records`, with the types that a network would deliver."""
    return new_records({_plain(key): _isolated_record(record) for key, record in records.items()})


def isolated_message(message: Message) -> Message:
    """Return a message that shares no mutable metadata or content."""
    isolated = _shallow(message)
    isolated.__dict__["_metadata"] = _shallow(message.metadata)
    # Flower's cached digest belongs to the original.
    isolated.__dict__.pop("_object_id", None)
    if message.has_content():
        isolated.content = isolated_records(message.content)
    return isolated


def isolated_context(context: Context) -> Context:
    """Return a context that shares no mutable state or configs."""
    isolated = _shallow(context)
    isolated.node_config = dict(context.node_config)
    isolated.run_config = dict(context.run_config)
    isolated.state = isolated_records(context.state)
    return isolated


def _isolated_record(record: ArrayRecord | ConfigRecord | MetricRecord) -> ArrayRecord | ConfigRecord | MetricRecord:
    if isinstance(record, ArrayRecord):
        return copied_arrays(record)
    if _PLAIN_TYPES.issuperset(map(type, record.keys())) and _PLAIN_TYPES.issuperset(map(type, record.values())):
        return record.copy()
    values = {
        _plain(key): [_plain(entry) for entry in value] if isinstance(value, list) else _plain(value)
        for key, value in record.items()
    }
    return type(record)(values)


def _filled(empty: Record, entries: dict[str, Any]) -> Record:
    filled = _shallow(empty)
    filled.__dict__["_data"] = entries
    return filled


def _shallow(value: T) -> T:
    """Return what `copy.copy` does, for an object of Flower's, in a third of the time."""
    shallow = object.__new__(type(value))
    shallow.__dict__.update(value.__dict__)
    return shallow


def _plain(value: Any) -> Any:
    """Return a value of a subclass, such as an IntEnum or NumPy's str_, as one of Python's own type."""
    if type(value) in _PLAIN:
        return value
    return next((convert(value) for kind, convert in _PLAIN.items() if isinstance(value, kind)), value)


def _without_cycle(view: Any, kind: type) -> Any:
    def check(value: object) -> None:
        if not isinstance(value, kind):
            raise TypeError(f"Expected `{kind.__name__}`, but received `{type(value).__name__}` for the value.")

    view.__dict__["_check_value_fn"] = check  # Flower's is a method of the view
    return view


def _run_class() -> Any:
    try:
        return import_module("flwr.supercore.run").Run
    except ImportError:
        return import_module("flwr.common.typing").Run


@cache
def _task_identity() -> Any:
    # Cached, because the garbage collector may release an identity in the middle of another import, and CPython's
    # import lock fails if one thread then starts a second import that finds no module.
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
    except RuntimeError:  # not set
        return None
    return value


def _write(values: tuple[int | None, ...]) -> None:
    identity = _task_identity()
    if identity is not None:
        for name, value in zip(_NAMES, values, strict=True):
            setattr(identity, name, value)
