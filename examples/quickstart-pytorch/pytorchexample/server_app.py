"""The ServerApp: FedAvg or FedProx, and a test on images of all ten digits after each round."""

from __future__ import annotations

import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from flskew import FedProx
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

    strategy = FedProx(
        fraction_evaluate=float(config["fraction-evaluate"]),
        min_available_nodes=int(config["min-available-nodes"]),
        proximal_mu=float(config["proximal-mu"]),  # 0 makes it FedAvg
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
