"""A client whose loss is curvature/2 * (w - optimum)^2."""

from __future__ import annotations

from typing import Any

from flwr.app import Context

from flskew import LocalTerm, client_app, partition_id

LOSSES = [(1.0, 4.0), (3.0, 0.0), (2.0, 9.0)]
"""Curvature and optimum of each client."""


class Site:
    def __init__(self, context: Context) -> None:
        self.curvature, self.optimum = LOSSES[partition_id(context)]

    def fit(self, parameters: Any, config: Any) -> Any:
        term = LocalTerm.from_config(config, parameters)
        for _ in range(5):
            gradients = [self.curvature * (parameters[0] - self.optimum)]
            term.add_gradient(parameters, gradients)
            parameters[0] -= 0.1 * gradients[0]
        return parameters, 10, {}


app = client_app(Site)
