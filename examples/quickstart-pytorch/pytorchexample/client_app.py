"""The ClientApp: a NumPy client that trains with PyTorch."""

from __future__ import annotations

from flwr.app import Context

from flskew import client_app
from flskew.client.torch import LocalTerm, get_parameters, set_parameters
from flskew.typing import Config, Parameters
from pytorchexample.task import Net, load_data, test, train


class FlowerClient:
    """A hospital with its own images."""

    def __init__(self, context: Context) -> None:
        self.config = context.run_config
        self.trainloader, self.valloader, self.assignment = load_data(context)
        self.net = Net(str(self.config["data-dir"]))

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train the server's model on this hospital's images."""
        set_parameters(self.net, parameters)
        term = LocalTerm.from_config(config, self.net)
        loss = train(self.net, self.trainloader, term, self.config, config["server-round"])
        return get_parameters(self.net), len(self.trainloader.dataset), {"train-loss": loss}

    def evaluate(self, parameters: Parameters, config: Config) -> tuple[float, int, dict[str, float]]:
        """Test the server's model on the digits that this hospital holds."""
        set_parameters(self.net, parameters)
        loss, accuracy = test(self.net, self.valloader)
        return loss, len(self.valloader.dataset), {"accuracy": accuracy}


app = client_app(FlowerClient)
