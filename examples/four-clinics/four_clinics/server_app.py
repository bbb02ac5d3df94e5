"""The ServerApp: prepares the columns with the clinics' statistics, then averages the clinics' models."""

from __future__ import annotations

from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from flskew import FedAvg, tables
from four_clinics.data import load_patients
from four_clinics.task import initial_parameters, preparation

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; store the last score of every clinic, the statistics and the model in `context.state`."""
    config = context.run_config
    _, assignment = load_patients(str(config["target"]))
    num_clinics = len(assignment)

    statistics = ConfigRecord({"tables": tables.collect(grid, min_nodes=num_clinics).to_json()})
    num_features = len(preparation(str(statistics["tables"])).get_feature_names_out())
    strategy = FedAvg(
        # By default, a round starts once two nodes are connected, and needs only one reply.
        min_train_nodes=num_clinics,
        min_evaluate_nodes=num_clinics,
        min_available_nodes=num_clinics,
        min_replies=num_clinics,
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(initial_parameters(num_features, config)),
        num_rounds=int(config["num-server-rounds"]),
        train_config=statistics,
        evaluate_config=statistics,
    )

    last = strategy.history.clients("score").iloc[-1]
    context.state["scores"] = MetricRecord({str(name): float(score) for name, score in last.items()})
    context.state["statistics"] = statistics
    context.state["arrays"] = result.arrays
