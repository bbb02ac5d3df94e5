"""The ServerApp: FedProx, or FedAvg if mu is 0."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from flskew import FedProx
from flskew.client.keras import get_parameters
from tfexample.task import load_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; store the accuracy after each round and the final model in `context.state`."""
    config = context.run_config
    model = load_model(float(config["learning-rate"]), seed=int(config["seed"]))

    strategy = FedProx(
        fraction_train=float(config["fraction-train"]),
        min_available_nodes=int(config["min-available-nodes"]),
        proximal_mu=float(config["proximal-mu"]),
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(get_parameters(model)),
        num_rounds=int(config["num-server-rounds"]),
    )

    scores = result.evaluate_metrics_clientapp
    context.state["accuracy"] = MetricRecord({f"round-{number}": scores[number]["accuracy"] for number in scores})
    context.state["arrays"] = result.arrays
