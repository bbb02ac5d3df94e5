"""The ClientApp: a NumPy client that trains with JAX."""

from __future__ import annotations

import numpy as np
from flwr.app import Context

from flskew import client_app
from flskew.client.jax import LocalTerm, get_parameters, set_parameters
from flskew.typing import Config, Parameters
from jaxexample.task import create_params, evaluate, load_data, train


class FlowerClient:
    """A client with its own images."""

    def __init__(self, context: Context) -> None:
        self.config = context.run_config
        self.x_train, self.y_train, self.x_test, self.y_test = load_data(context)
        self.label_counts = np.bincount(self.y_train, minlength=10)  # sent only if the strategy asks

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train the server's model on this client's images."""
        params = set_parameters(create_params(), parameters)
        term = LocalTerm.from_config(config, params)
        params, loss = train(params, term, self.x_train, self.y_train, self.config, config["server-round"])
        return get_parameters(params), len(self.x_train), {"train-loss": loss}

    def evaluate(self, parameters: Parameters, config: Config) -> tuple[float, int, dict[str, float]]:
        """Test the server's model on this client's share of the test images."""
        params = set_parameters(create_params(), parameters)
        loss, accuracy = evaluate(params, self.x_test, self.y_test)
        return loss, len(self.x_test), {"accuracy": accuracy}


app = client_app(FlowerClient)
