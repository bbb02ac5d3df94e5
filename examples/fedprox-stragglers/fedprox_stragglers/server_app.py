"""The ServerApp: FedAvg or FedProx, which drop the work of stragglers or use it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from fedprox_stragglers.task import RunConfig, evaluate, initial_parameters, load_dataset
from flskew import FedAvg, FedProx

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; store the accuracy of every round and the model in `context.state`."""
    config = context.run_config
    _, test_images, _, test_labels = load_dataset(str(config["data-dir"]))

    def evaluate_fn(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({**evaluate(arrays.to_numpy_ndarrays(), test_images, test_labels)})

    result = strategy(config).start(
        grid,
        ArrayRecord(initial_parameters(test_images.shape[1])),
        num_rounds=int(config["num-server-rounds"]),
        train_config=ConfigRecord(
            {"local-epochs": int(config["local-epochs"]), "stragglers": float(config["stragglers"])}
        ),
        evaluate_fn=evaluate_fn,
    )

    scores = result.evaluate_metrics_serverapp
    context.state["accuracy"] = MetricRecord({f"round-{number}": scores[number]["accuracy"] for number in scores})
    context.state["arrays"] = result.arrays


def strategy(config: RunConfig) -> FedAvg:
    """Return the strategy that the settings choose."""
    make: Callable[..., FedAvg] = FedAvg
    if float(config["proximal-mu"]) > 0:
        make = partial(FedProx, proximal_mu=float(config["proximal-mu"]))
    return make(
        fraction_train=float(config["fraction-train"]),
        fraction_evaluate=0.0,
        min_available_nodes=int(config["min-available-nodes"]),
        seed=int(config["seed"]),
        drop_stragglers=bool(config["drop-stragglers"]),
        # All clients of a round may be stragglers.
        min_replies=0,
    )
