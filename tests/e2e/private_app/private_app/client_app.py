"""Clients that add 1 to both arrays and report the second, which they keep."""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.app import Context

from flskew import client_app, partition_id


class Keeps:
    def __init__(self, partition: int) -> None:
        self.partition = partition

    def get_parameters(self, config: Any) -> Any:
        return [np.zeros(2), np.full(2, 100.0 * self.partition)]

    def fit(self, parameters: Any, config: Any) -> Any:
        shared, own = parameters
        return [shared + 1, own + 1], 10, {"own": own.tolist()}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        return 0.0, 10, {"own": parameters[1].tolist()}


def client_fn(context: Context) -> Keeps:
    return Keeps(partition_id(context))


app = client_app(client_fn, keep_local=["own"])
