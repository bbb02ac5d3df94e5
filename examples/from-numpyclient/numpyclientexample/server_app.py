"""The ServerApp, with a strategy of the Message API, which averages metrics."""

from __future__ import annotations

import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from flskew import FedAvg
from numpyclientexample.task import initial_parameters

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; store the accuracy after each, and the last model, in `context.state`."""
    config = context.run_config
    strategy = FedAvg(
        fraction_train=float(config["fraction-fit"]),
        min_available_nodes=int(config["min-available-clients"]),
    )
    result = strategy.start(grid, ArrayRecord(initial_parameters()), num_rounds=int(config["num-server-rounds"]))

    scores = result.evaluate_metrics_clientapp
    context.state["accuracy"] = MetricRecord({f"round-{number}": scores[number]["accuracy"] for number in scores})
    context.state["arrays"] = result.arrays
    if config["model-file"]:
        np.savez(str(config["model-file"]), *result.arrays.to_numpy_ndarrays())
