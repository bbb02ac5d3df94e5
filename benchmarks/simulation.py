"""Compare `simulate` with Flower's `run_simulation` on Ray, and measure its cost per client.

    python benchmarks/simulation.py   # about two minutes; without the extra `simulation`, no peer is timed

The model is tiny, so that the engine dominates: three clients for three rounds on both engines, then 1,000 clients for
ten rounds, then single messages to a client that does nothing. Writes a JSON file to --output.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.update(RAY_USAGE_STATS_ENABLED="0", FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1")

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp
from records import RESULTS, about, write

from flskew import FedAvg, LocalGrid, client_app, simulate

REPEATS = 5
PEER_REPEATS = 3


class Adds:
    """A client that does almost nothing."""

    def fit(
        self, parameters: list[np.ndarray], config: dict[str, object]
    ) -> tuple[list[np.ndarray], int, dict[str, float]]:
        """Return the parameters plus one."""
        return [array + 1 for array in parameters], 10, {"loss": 0.5}

    def evaluate(self, parameters: list[np.ndarray], config: dict[str, object]) -> tuple[float, int, dict[str, float]]:
        """Return a constant loss."""
        return 0.5, 10, {"accuracy": 0.5}


def apps(rounds: int, fraction_evaluate: float = 1.0) -> tuple[ServerApp, object]:
    """Make a new server app and client app, as each process would."""
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        strategy = FedAvg(min_available_nodes=3, fraction_evaluate=fraction_evaluate)
        strategy.start(grid, ArrayRecord([np.zeros((10, 10), np.float32)]), num_rounds=rounds)

    return server, client_app(lambda context: Adds())


def seconds(action: Callable[[], object]) -> float:
    """Return the wall-clock time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def ours(clients: int, rounds: int, fraction_evaluate: float = 1.0) -> float:
    """Time a complete run in this process."""
    server, client = apps(rounds, fraction_evaluate)
    return seconds(lambda: simulate(server, client, clients))


def on_ray(clients: int, rounds: int) -> float:
    """Time the same run on Flower's simulation engine, including the startup of Ray."""
    from flwr.simulation import run_simulation

    server, client = apps(rounds)
    backend = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    return seconds(lambda: run_simulation(server, client, num_supernodes=clients, backend_config=backend))


def per_message() -> float:
    """Return the seconds for one message to a client and its reply: the median over rounds of 1,000 messages."""
    with LocalGrid(client_app(lambda context: Adds()), 1000) as grid:
        record = RecordDict({"arrays": ArrayRecord([np.zeros((10, 10), np.float32)]), "x": MetricRecord({"y": 1})})

        def one_round() -> None:
            grid.send_and_receive([Message(record, node_id, "train") for node_id in grid.get_node_ids()])

        return statistics.median(seconds(one_round) for _ in range(REPEATS)) / 1000


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    ours(3, 1)

    records: dict[str, float] = {}
    mine = [ours(3, 3) for _ in range(REPEATS)]
    records["simulate_3_clients_3_rounds_s"] = statistics.median(mine)
    if importlib.util.find_spec("ray") is None:
        print("Ray is not installed (extra `simulation`): run_simulation is not timed")
    else:
        pairs = [(ours(3, 3), on_ray(3, 3)) for _ in range(PEER_REPEATS)]
        records["run_simulation_s"] = statistics.median(peer for _, peer in pairs)
        ratios = [peer / our for our, peer in pairs]
        records["times_as_fast_as_run_simulation"] = statistics.median(ratios)
        print(f"3 clients, 3 rounds: {statistics.median(ratios):.0f} times as fast as run_simulation", end="")
        print(f" ({min(ratios):.0f} to {max(ratios):.0f})")
    records["simulate_1000_clients_10_rounds_s"] = ours(1000, 10)
    print(f"1,000 clients, 10 rounds, training and evaluation: {records['simulate_1000_clients_10_rounds_s']:.1f} s")
    records["ms_per_message"] = 1000 * per_message()
    print(f"a message to a client and its reply: {records['ms_per_message']:.2f} ms")

    write(arguments.output / "simulation.json", {"about": about("flwr", "ray", "numpy"), "records": records})


if __name__ == "__main__":
    main()
