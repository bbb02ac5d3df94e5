"""The ServerApp: standardises the columns with the stores' statistics, then averages the stores' models."""

from __future__ import annotations

from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from five_stores.task import initial_parameters, load_purchases
from flskew import FedAvg, tables

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; store the last AUC of every store, the statistics and the model in `context.state`."""
    config = context.run_config
    _, assignment = load_purchases()
    num_stores = len(assignment)

    statistics = ConfigRecord({"tables": tables.collect(grid, min_nodes=num_stores).to_json()})
    strategy = FedAvg(
        # By default, a round starts once two nodes are connected, and needs only one reply.
        min_train_nodes=num_stores,
        min_evaluate_nodes=num_stores,
        min_available_nodes=num_stores,
        min_replies=num_stores,
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(initial_parameters(config)),
        num_rounds=int(config["num-server-rounds"]),
        train_config=statistics,
        evaluate_config=statistics,
    )

    last = strategy.history.clients("auc").iloc[-1]
    context.state["auc"] = MetricRecord({str(name): float(auc) for name, auc in last.items()})
    context.state["statistics"] = statistics
    context.state["arrays"] = result.arrays
