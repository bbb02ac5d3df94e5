"""The ServerApp: FedAvg or FedProx, which drop the work of stragglers or use it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from fedprox_stragglers.task import evaluate, initial_parameters, load_dataset
from flskew import FedAvg, FedProx

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; store accuracy and number of accepted replies per round, and the model, in `context.state`."""
    config = context.run_config
    _, test_images, _, test_labels = load_dataset(str(config["data-dir"]))

    def evaluate_fn(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        loss, accuracy = evaluate(arrays.to_numpy_ndarrays(), test_images, test_labels)
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    make: Callable[..., FedAvg] = FedAvg
    if float(config["proximal-mu"]) > 0:
        make = partial(FedProx, proximal_mu=float(config["proximal-mu"]))
    strategy = make(
        fraction_train=float(config["fraction-train"]),
        fraction_evaluate=0.0,
        min_available_nodes=int(config["min-available-nodes"]),
        seed=int(config["seed"]),
        drop_stragglers=bool(config["drop-stragglers"]),
        # All clients of a round may be stragglers.
        min_replies=0,
    )
    result = strategy.start(
        grid,
        ArrayRecord(initial_parameters(test_images.shape[1])),
        num_rounds=int(config["num-server-rounds"]),
        train_config=ConfigRecord({"local-epochs": int(config["local-epochs"])}),
        evaluate_fn=evaluate_fn,
    )

    scores = result.evaluate_metrics_serverapp
    context.state["accuracy"] = MetricRecord({f"round-{number}": scores[number]["accuracy"] for number in scores})
    context.state["counted"] = MetricRecord(
        {f"round-{entry.server_round}": len(entry.replies) for entry in strategy.history}
    )
    context.state["arrays"] = result.arrays
