"""The ClientApp: a hospital that trains on its own images and never shares them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from flwr.app import Context

from flskew import ClientError, LocalTerm, client_app
from flskew.client import partition
from three_hospitals.settings import Settings
from three_hospitals.task import DIGITS, EXCLUDED, Parameters, evaluate, load_hospital, train


class Hospital:
    """A NumPy client with Flower's `fit` and `evaluate`; it needs no base class."""

    def __init__(self, partition_id: int, settings: Settings) -> None:
        self.partition_id = partition_id
        self.settings = settings
        self.training, self.testing = load_hospital(partition_id, settings)
        self.label_counts = np.bincount(self.training.labels, minlength=len(DIGITS))  # sent only if the strategy asks

    def fit(self, parameters: Parameters, config: Mapping[str, object]) -> tuple[Parameters, int, dict[str, float]]:
        """Train the server's parameters on this hospital's images."""
        term = LocalTerm.from_config(config, parameters)
        server_round = config["server-round"]
        if not isinstance(server_round, int):
            raise TypeError(f"server-round must be an integer, got {server_round!r}")
        parameters, loss = train(parameters, self.training, self.settings, (server_round, self.partition_id), term)
        return parameters, len(self.training), {"train-loss": loss}

    def evaluate(self, parameters: Parameters, config: Mapping[str, object]) -> tuple[float, int, dict[str, float]]:
        """Evaluate the server's parameters on the digits that this hospital holds."""
        score = evaluate(parameters, self.testing)
        return score.loss, len(self.testing), {"accuracy": score.accuracy}


def client_fn(context: Context) -> Hospital:
    """Return the hospital of this node."""
    partition_id, num_partitions = partition(context)
    if num_partitions != len(EXCLUDED):
        raise ClientError(f"num-supernodes must be {len(EXCLUDED)}, one for each hospital, got {num_partitions}")
    return Hospital(partition_id, Settings.from_run_config(context.run_config))


app = client_app(client_fn)
