"""The ServerApp: the strategy of your choice, and a test on images of all ten digits after each round."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from flskew import ClassAware, FedAvg, FedDyn, FedNova, FedProx, Scaffold
from flskew.typing import RunConfig
from pytorchexample.task import Net, load_centralized_dataset, test

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; store the accuracy after each round and the final model in `context.state`."""
    config = context.run_config
    data_dir = str(config["data-dir"])
    net = Net(data_dir, seed=int(config["seed"]))
    testloader = load_centralized_dataset(data_dir)

    def global_evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        net.load_state_dict(arrays.to_torch_state_dict())
        loss, accuracy = test(net, testloader)
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    strategy = named_strategy(config)(
        fraction_evaluate=float(config["fraction-evaluate"]),
        min_available_nodes=int(config["min-available-nodes"]),
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(net.state_dict()),
        num_rounds=int(config["num-server-rounds"]),
        evaluate_fn=global_evaluate,
    )

    scores = result.evaluate_metrics_serverapp
    context.state["accuracy"] = MetricRecord({f"round-{number}": scores[number]["accuracy"] for number in scores})
    context.state["arrays"] = result.arrays
    if config["model-file"]:
        torch.save(result.arrays.to_torch_state_dict(), str(config["model-file"]))


def named_strategy(config: RunConfig) -> Callable[..., FedAvg]:
    """Return the strategy that the run config names; the client is the same for all of them."""
    strategies: dict[str, Callable[..., FedAvg]] = {
        "fedavg": FedAvg,
        "fedprox": partial(FedProx, proximal_mu=float(config["proximal-mu"])),
        "feddyn": partial(FedDyn, alpha=float(config["feddyn-alpha"])),
        "scaffold": Scaffold,
        "fednova": partial(FedNova, momentum=float(config["momentum"])),
        "class-aware": partial(FedAvg, averaging=ClassAware()),
    }
    if config["strategy"] not in strategies:
        raise ValueError(f"strategy must be one of {list(strategies)}, got {config['strategy']!r}")
    return strategies[str(config["strategy"])]
