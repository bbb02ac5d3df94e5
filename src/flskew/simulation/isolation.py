"""Copies of what passes between server and clients, as if it had crossed a network; the bytes of arrays are shared.

Bytes cannot be changed, so a copy that shares them is as private as one that does not.
"""

from __future__ import annotations

import copy

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

__all__ = ["isolated_context", "isolated_message", "isolated_records"]


def isolated_records(records: RecordDict) -> RecordDict:
    """Return records that share no mutable object with `records`."""
    isolated = RecordDict()
    for key, record in records.items():
        isolated[key] = _isolated_record(record)
    return isolated


def isolated_message(message: Message) -> Message:
    """Return a message with metadata and content of its own."""
    isolated = copy.copy(message)
    isolated.__dict__["_metadata"] = copy.copy(message.metadata)
    # A digest that Flower has cached is that of the original.
    isolated.__dict__.pop("_object_id", None)
    if message.has_content():
        isolated.content = isolated_records(message.content)
    return isolated


def isolated_context(context: Context) -> Context:
    """Return a context with state and configs of its own."""
    isolated = copy.copy(context)
    isolated.node_config = dict(context.node_config)
    isolated.run_config = dict(context.run_config)
    isolated.state = isolated_records(context.state)
    return isolated


def _isolated_record(record: ArrayRecord | ConfigRecord | MetricRecord) -> ArrayRecord | ConfigRecord | MetricRecord:
    if isinstance(record, ArrayRecord):
        arrays = ArrayRecord()
        for name, array in record.items():
            arrays[name] = Array(array.dtype, tuple(array.shape), array.stype, array.data)
        return arrays
    values = {key: list(value) if isinstance(value, list) else value for key, value in record.items()}
    return type(record)(values)  # type: ignore[arg-type]
