"""Which partition a client holds, read from the node config of Flower's engines."""

from __future__ import annotations

from flwr.app import Context

__all__ = ["partition", "partition_id"]


def partition(context: Context) -> tuple[int, int]:
    """Return this client's partition id and how many partitions there are.

    Flower's simulation, `LocalGrid` and `simulate` set both; on a SuperNode they come from its command line.

    Args:
        context: What Flower hands to `client_fn`.

    Raises:
        LookupError: One of the two is not set; the message shows the option of `flower-supernode` that sets them.
        ValueError: The id is not one of 0 ... num_partitions - 1.

    Examples:
        >>> from flwr.app import Context, RecordDict
        >>> node_config = {"partition-id": 1, "num-partitions": 3}
        >>> partition(Context(run_id=1, node_id=2, node_config=node_config, state=RecordDict(), run_config={}))
        (1, 3)
    """
    number, count = (_setting(context, key) for key in ("partition-id", "num-partitions"))
    if not 0 <= number < count:
        raise ValueError(f"partition-id must be one of 0 ... {count - 1}, got {number} of num-partitions={count}")
    return number, count


def partition_id(context: Context) -> int:
    """Return this client's partition id.

    Args:
        context: What Flower hands to `client_fn`.

    Raises:
        LookupError: It is not set; the message shows the option of `flower-supernode` that sets it.
        ValueError: The id is negative or >= num-partitions.

    Examples:
        >>> from flwr.app import Context, RecordDict
        >>> node_config = {"partition-id": 1}
        >>> partition_id(Context(run_id=1, node_id=2, node_config=node_config, state=RecordDict(), run_config={}))
        1
    """
    if "num-partitions" in context.node_config:
        return partition(context)[0]
    number = _setting(context, "partition-id")
    if number < 0:
        raise ValueError(f"partition-id must be at least 0, got {number}")
    return number


def _setting(context: Context, key: str) -> int:
    value = context.node_config.get(key)
    if value is None:
        raise LookupError(
            f"{key} is not in this node's config, {dict(context.node_config)}; start the SuperNode with "
            '--node-config "partition-id=0 num-partitions=3"'
        )
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key} must be an integer, got {value!r}; write it without quotes in --node-config")
    return value
