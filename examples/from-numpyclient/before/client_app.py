"""The ClientApp: a NumPyClient."""

from __future__ import annotations

from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp
from flwr.common import Context, NDArrays, Scalar

from numpyclientexample.task import accuracy, load_data, log_loss, train


class FlowerClient(NumPyClient):
    """A client with its own images."""

    def __init__(self, context: Context) -> None:
        partition_id, num_partitions = context.node_config["partition-id"], context.node_config["num-partitions"]
        self.x_train, self.x_test, self.y_train, self.y_test = load_data(int(partition_id), int(num_partitions))
        self.epochs = int(context.run_config["local-epochs"])
        self.learning_rate = float(context.run_config["learning-rate"])

    def fit(self, parameters: NDArrays, config: dict[str, Scalar]) -> tuple[NDArrays, int, dict[str, Scalar]]:
        """Train the server's model on this client's images."""
        trained = train(parameters, self.x_train, self.y_train, self.epochs, self.learning_rate)
        return trained, len(self.x_train), {"loss": log_loss(trained, self.x_train, self.y_train)}

    def evaluate(self, parameters: NDArrays, config: dict[str, Scalar]) -> tuple[float, int, dict[str, Scalar]]:
        """Test the server's model on images that this client did not train on."""
        loss = log_loss(parameters, self.x_test, self.y_test)
        return loss, len(self.x_test), {"accuracy": accuracy(parameters, self.x_test, self.y_test)}


def client_fn(context: Context) -> Client:
    """Make the client of this node."""
    return FlowerClient(context).to_client()


app = ClientApp(client_fn=client_fn)
