"""A whole Flower app, server and clients, in this process."""

from __future__ import annotations

from collections.abc import Mapping

from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from flskew._flower import SERVER_NODE_ID, has_main
from flskew._util import checks
from flskew._util.progress import verbosity
from flskew.simulation._config import flat_config
from flskew.simulation.grid import LocalGrid, checked_client_app

__all__ = ["simulate"]


def simulate(
    server_app: ServerApp,
    client_app: ClientApp,
    num_supernodes: int,
    run_config: Mapping[str, object] | None = None,
    *,
    max_workers: int = 1,
    verbose: bool = False,
) -> Context:
    """Run a Flower app in this process and return the server's context.

    Use it to run the apps that `flwr run` starts, unchanged, in a script, a notebook or a test. `LocalGrid` describes
    how the clients run.

    Args:
        server_app: Runs once.
        client_app: Runs on every node.
        num_supernodes: Number of nodes, >= 1.
        run_config: Run config of both apps; `read_app_config(path)` reads it from an app.
        max_workers: Number of clients that run at the same time, >= 1, in threads; it does not change the result.
        verbose: Whether to show the log of Flower and flskew. Otherwise, a terminal or a notebook shows a progress bar.
            Warnings, errors, and what your own code prints or logs are always shown.

    Returns:
        The server's context, whose `state` contains what the ServerApp stored.

    Raises:
        TypeError: An app has the wrong type, a number is not an integer, or a value of `run_config` is not a bool, int,
            float or str.
        ValueError: `num_supernodes` or `max_workers` is less than 1, or the ServerApp has no main function.
        Exception: Whatever the ServerApp raises, unchanged.

    Examples:
        >>> from flwr.app import Context, MetricRecord
        >>> from flwr.clientapp import ClientApp
        >>> from flwr.serverapp import Grid, ServerApp
        >>> server_app = ServerApp()
        >>> @server_app.main()
        ... def main(grid: Grid, context: Context) -> None:
        ...     context.state["seen"] = MetricRecord(
        ...         {"nodes": len(list(grid.get_node_ids()))}
        ...     )
        >>> simulate(server_app, ClientApp(), num_supernodes=5).state["seen"]["nodes"]
        5
    """
    if not isinstance(server_app, ServerApp):
        raise TypeError(
            f"server_app must be a flwr.serverapp.ServerApp, got {type(server_app).__name__}; "
            "the order is simulate(server_app, client_app, num_supernodes)"
        )
    config = flat_config(run_config or {})
    checked = checked_client_app(client_app)
    if not has_main(server_app):
        raise ValueError(
            "server_app has nothing to run; decorate a function of grid and context with @server_app.main()"
        )
    is_verbose = checks.truth("verbose", verbose)
    with verbosity(is_verbose), LocalGrid(checked, num_supernodes, config, max_workers=max_workers) as grid:
        context = Context(
            run_id=grid.run.run_id,
            node_id=SERVER_NODE_ID,
            node_config={},
            state=RecordDict(),
            run_config=dict(config),
        )
        server_app(grid, context)
    return context
