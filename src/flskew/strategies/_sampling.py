"""Sampling of the nodes that take part in a round."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from flwr.serverapp import Grid

from flskew._split.streams import Streams
from flskew.strategies._reasons import named
from flskew.typing import Phase

__all__ = ["available_nodes", "sample"]

_POLL_SECONDS = 1.0
_logger = logging.getLogger("flwr")


def available_nodes(grid: Grid, minimum: int, patience: float) -> list[int]:
    """Return the ids of all nodes, sorted, once there are `minimum` of them.

    Args:
        grid: Flower's grid; if its attribute `nodes_are_fixed` is true, this does not wait.
        minimum: Number of nodes needed.
        patience: Seconds to wait for them.

    Raises:
        TimeoutError: Too few nodes are connected; the message names them.
    """
    deadline = time.monotonic() + patience
    while len(node_ids := sorted(grid.get_node_ids())) < minimum:
        if getattr(grid, "nodes_are_fixed", False) or time.monotonic() >= deadline:
            present = (
                f"only {named(node_ids)} {'is' if len(node_ids) == 1 else 'are'} connected"
                if node_ids
                else "none is connected"
            )
            raise TimeoutError(
                f"a round needs {minimum} nodes, but {present}; start more nodes or lower "
                "min_available_nodes, min_train_nodes and min_evaluate_nodes"
            )
        _logger.info("Waiting for nodes to connect: %d connected, %d needed", len(node_ids), minimum)
        time.sleep(_POLL_SECONDS)
    return node_ids


def sample(node_ids: Sequence[int], size: int, *, seed: int, server_round: int, phase: Phase) -> list[int]:
    """Return `size` nodes, drawn uniformly without replacement, in the order of `node_ids`.

    The choice depends only on the arguments, not on earlier rounds or a global generator, so a resumed run samples the
    same nodes.
    """
    if size >= len(node_ids):
        return list(node_ids)
    rng = Streams(seed)(f"nodes to {phase}", server_round)
    return [node_ids[index] for index in sorted(rng.choice(len(node_ids), size, replace=False))]
