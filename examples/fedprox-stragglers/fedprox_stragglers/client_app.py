"""The ClientApp: a client that does not always complete its local epochs, and reports how many it completed."""

from __future__ import annotations

import numpy as np
from flwr.app import Context

from fedprox_stragglers.task import Images, Labels, Parameters, RunConfig, assign, epochs_done, load_dataset, train
from flskew import LocalTerm, client_app
from flskew.client import partition
from flskew.typing import Config


class FlowerClient:
    """A client with images of two digits."""

    def __init__(self, images: Images, labels: Labels, config: RunConfig, partition_id: int = 0) -> None:
        self.images, self.labels, self.config, self.partition_id = images, labels, config, partition_id

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, int]]:
        """Train the server's model for as many epochs as time allows."""
        term = LocalTerm.from_config(config, parameters)
        # A study chooses a seed for each client and round. The strategy has no influence on what a client draws.
        seed = config.get("seed", (int(self.config["seed"]), config["server-round"], self.partition_id))
        rng = np.random.default_rng(seed)
        done = epochs_done(int(self.config["local-epochs"]), config.get("stragglers", 0.0), rng)
        train(parameters, self.images, self.labels, term, self.config, done, rng)
        return parameters, len(self.labels), {"local-epochs": done}


def client_fn(context: Context) -> FlowerClient:
    """Return the client of this node."""
    config = context.run_config
    partition_id, num_partitions = partition(context)
    data_dir = str(config["data-dir"])
    rows = assign(data_dir, num_partitions, int(config["rows-per-digit"]), int(config["seed"]))[partition_id]
    images, _, labels, _ = load_dataset(data_dir)
    return FlowerClient(images[rows], labels[rows], config, partition_id)


app = client_app(client_fn)
