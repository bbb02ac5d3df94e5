"""The ClientApp: a NumPy client that trains with scikit-learn."""

from __future__ import annotations

from flwr.app import Context
from sklearn.metrics import log_loss

from flskew import client_app
from flskew.client.sklearn import LocalTerm, get_parameters, set_parameters
from flskew.typing import Config, Parameters
from sklearnexample.task import DIGITS, create_model, load_data, train


class FlowerClient:
    """A client that has images of a few digits, and a model of all ten."""

    def __init__(self, context: Context) -> None:
        self.config = context.run_config
        self.x_train, self.y_train, self.x_test, self.y_test = load_data(context)
        self.model = create_model(self.config)

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train the server's model on this client's images."""
        set_parameters(self.model, parameters)
        term = LocalTerm.from_config(config, self.model)
        train(self.model, term, self.x_train, self.y_train, self.config, config["server-round"])
        return get_parameters(self.model), len(self.x_train), {}

    def evaluate(self, parameters: Parameters, config: Config) -> tuple[float, int, dict[str, float]]:
        """Test the server's model on this client's share of the test images."""
        set_parameters(self.model, parameters)
        loss = log_loss(self.y_test, self.model.predict_proba(self.x_test), labels=DIGITS)
        return loss, len(self.x_test), {"accuracy": self.model.score(self.x_test, self.y_test)}


app = client_app(FlowerClient)
