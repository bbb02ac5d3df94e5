"""The ServerApp: server_fn, with a strategy of `flwr.server`."""

from __future__ import annotations

from flwr.common import Context, Metrics, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from numpyclientexample.task import initial_parameters


def weighted_average(metrics: list[tuple[int, Metrics]]) -> Metrics:
    """Average the accuracies of the clients."""
    num_examples = sum(count for count, _ in metrics)
    return {"accuracy": sum(count * float(metric["accuracy"]) for count, metric in metrics) / num_examples}


def server_fn(context: Context) -> ServerAppComponents:
    """Make the components of the server."""
    config = context.run_config
    strategy = FedAvg(
        fraction_fit=float(config["fraction-fit"]),
        min_available_clients=int(config["min-available-clients"]),
        initial_parameters=ndarrays_to_parameters(initial_parameters()),
        evaluate_metrics_aggregation_fn=weighted_average,
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=int(config["num-server-rounds"])))


app = ServerApp(server_fn=server_fn)
