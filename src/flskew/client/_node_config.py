"""Which partition a client holds, from the node config of Flower's engines."""

from __future__ import annotations

from flwr.app import Context

from flskew.client._protocols import ClientError

__all__ = ["partition", "partition_id"]

_REMEDY = 'start the SuperNode with --node-config "partition-id=0 num-partitions=3"'


def partition(context: Context) -> tuple[int, int]:
    """Return this client's partition id and the number of partitions.

    Flower's simulation, `LocalGrid` and `simulate` set both. On a SuperNode, they come from its option `--node-config`.

    Args:
        context: What Flower passes to `client_fn`.

    Raises:
        ClientError: "partition-id" or "num-partitions" is missing from the node config or is not an integer, or the id
            is not one of 0 ... num_partitions - 1. The message quotes nothing from the node config, which may contain
            secrets.

    Examples:
        >>> from flwr.app import Context, RecordDict
        >>> node_config = {"partition-id": 1, "num-partitions": 3}
        >>> context = Context(1, 2, node_config, state=RecordDict(), run_config={})
        >>> partition(context)
        (1, 3)
    """
    number, count = (_setting(context, key) for key in ("partition-id", "num-partitions"))
    if not 0 <= number < count:
        raise ClientError(f"partition-id must be one of 0 ... num-partitions - 1; {_REMEDY}, each with its own id")
    return number, count


def partition_id(context: Context) -> int:
    """Return this client's partition id.

    Args:
        context: What Flower passes to `client_fn`.

    Raises:
        ClientError: "partition-id" is missing from the node config, not an integer, negative, or >= num-partitions if
            that is set. The message quotes nothing from the node config, which may contain secrets.

    Examples:
        >>> from flwr.app import Context, RecordDict
        >>> node_config = {"partition-id": 1}
        >>> context = Context(1, 2, node_config, state=RecordDict(), run_config={})
        >>> partition_id(context)
        1
    """
    if "num-partitions" in context.node_config:
        return partition(context)[0]
    number = _setting(context, "partition-id")
    if number < 0:
        raise ClientError(f"partition-id must be at least 0; {_REMEDY}, each with its own id")
    return number


def _setting(context: Context, key: str) -> int:
    value = context.node_config.get(key)
    if value is None:
        raise ClientError(f"{key} is not in this node's config; {_REMEDY}")
    if isinstance(value, bool) or not isinstance(value, int):
        kind = type(value).__name__
        raise ClientError(f"{key} must be an integer, got {kind}; write it without quotes in --node-config")
    return value
