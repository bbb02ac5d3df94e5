"""The ServerApp: the strategy of your choice."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from flskew import FedAvg, FedDyn, FedNova, FedProx, Scaffold
from flskew.client.sklearn import get_parameters
from flskew.typing import RunConfig
from sklearnexample.task import create_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; store the accuracy after each round and the final model in `context.state`."""
    config = context.run_config

    strategy = named_strategy(config)(
        fraction_train=float(config["fraction-train"]),
        min_available_nodes=int(config["min-available-nodes"]),
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(get_parameters(create_model(config))),
        num_rounds=int(config["num-server-rounds"]),
    )

    scores = result.evaluate_metrics_clientapp
    context.state["accuracy"] = MetricRecord({f"round-{number}": scores[number]["accuracy"] for number in scores})
    context.state["arrays"] = result.arrays


def named_strategy(config: RunConfig) -> Callable[..., FedAvg]:
    """Return the strategy that the run config names; the client is the same for all of them."""
    strategies: dict[str, Callable[..., FedAvg]] = {
        "fedavg": FedAvg,
        "fedprox": partial(FedProx, proximal_mu=float(config["proximal-mu"])),
        "feddyn": partial(FedDyn, alpha=float(config["feddyn-alpha"])),
        "scaffold": Scaffold,
        "fednova": FedNova,
    }
    if config["strategy"] not in strategies:
        raise ValueError(f"strategy must be one of {list(strategies)}, got {config['strategy']!r}")
    return strategies[str(config["strategy"])]
