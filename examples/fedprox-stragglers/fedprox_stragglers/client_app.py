"""The ClientApp: a client that does not always complete its local epochs, and reports how many it completed."""

from __future__ import annotations

from flwr.app import Context

from fedprox_stragglers.task import Parameters, epochs_done, load_data, train
from flskew import LocalTerm, client_app
from flskew.client import partition
from flskew.typing import Config


class FlowerClient:
    """A client with images of two digits."""

    def __init__(self, context: Context) -> None:
        self.config = context.run_config
        self.partition_id, _ = partition(context)
        self.images, self.labels = load_data(context)

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, int]]:
        """Train the server's model for as many epochs as time allows."""
        term = LocalTerm.from_config(config, parameters)
        key = (int(self.config["seed"]), config["server-round"], self.partition_id)
        done = epochs_done(config["local-epochs"], float(self.config["stragglers"]), key)
        train(parameters, self.images, self.labels, term, self.config, done, key)
        return parameters, len(self.labels), {"local-epochs": done}


app = client_app(FlowerClient)
