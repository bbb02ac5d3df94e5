"""The ServerApp: averages the offsets in each round, and has every student test the final model."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from flskew import FedAvg
from students.task import initial_parameters

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; store the errors after each round, those of every student, by name, at the end, and the model."""
    config = context.run_config
    num_students = int(config["min-available-nodes"])

    strategy = FedAvg(
        fraction_train=float(config["fraction-train"]),
        fraction_evaluate=float(config["fraction-evaluate"]),
        min_available_nodes=num_students,
        seed=int(config["seed"]),
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(initial_parameters()),
        num_rounds=int(config["num-server-rounds"]),
    )

    # One more round, in which no one trains and every student tests.
    final = FedAvg(fraction_train=0.0, min_available_nodes=num_students)
    final.start(grid=grid, initial_arrays=result.arrays, num_rounds=1)

    for server_round, scores in result.evaluate_metrics_clientapp.items():
        context.state[f"round-{server_round}"] = scores
    for model in ("alone", "together"):
        errors = final.history.clients(model).iloc[-1]
        context.state[model] = MetricRecord({str(name): float(error) for name, error in errors.items()})
    context.state["arrays"] = result.arrays
