"""The ClientApp: a hospital that trains on its own images and never shares them."""

from __future__ import annotations

import numpy as np
from flwr.app import Context

from flskew import ClientError, LocalTerm, client_app
from flskew.client import partition
from flskew.typing import Config
from three_hospitals.settings import Settings
from three_hospitals.task import DIGITS, EXCLUDED, Parameters, Split, evaluate, load_hospital, train


class Hospital:
    """A NumPy client with Flower's `fit` and `evaluate`; it needs no base class."""

    def __init__(self, training: Split, testing: Split, settings: Settings, partition_id: int = 0) -> None:
        self.training, self.testing, self.settings, self.partition_id = training, testing, settings, partition_id
        self.label_counts = np.bincount(training.labels, minlength=len(DIGITS))  # sent only if the strategy asks

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train the server's parameters on this hospital's images."""
        term = LocalTerm.from_config(config, parameters)
        # A study chooses the seed. Otherwise, the order of the images differs between rounds and hospitals, too.
        seed = config.get("seed", (self.settings.seed, config["server-round"], self.partition_id))
        parameters, loss = train(parameters, self.training, self.settings, seed, term)
        return parameters, len(self.training), {"train-loss": loss}

    def evaluate(self, parameters: Parameters, config: Config) -> tuple[float, int, dict[str, float]]:
        """Evaluate the server's parameters on the digits that this hospital holds."""
        scores = evaluate(parameters, self.testing)
        return scores["loss"], len(self.testing), {"accuracy": scores["accuracy"]}


def client_fn(context: Context) -> Hospital:
    """Return the hospital of this node."""
    partition_id, num_partitions = partition(context)
    if num_partitions != len(EXCLUDED):
        raise ClientError(f"num-supernodes must be {len(EXCLUDED)}, one for each hospital, got {num_partitions}")
    settings = Settings.from_run_config(context.run_config)
    return Hospital(*load_hospital(partition_id, settings), settings, partition_id)


app = client_app(client_fn)
