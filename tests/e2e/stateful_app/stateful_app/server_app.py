"""Writes down the model after each round."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from flskew import FedDyn, Scaffold

app = ServerApp()

STRATEGIES = {"feddyn": FedDyn, "scaffold": Scaffold}


@app.main()
def main(grid: Grid, context: Context) -> None:
    models = []

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        models.append(arrays.to_numpy_ndarrays()[0].tolist())
        return MetricRecord()

    make = STRATEGIES[str(context.run_config["strategy"])]
    strategy = make(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3, node_patience=300.0)
    strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=3, evaluate_fn=evaluate)
    Path(str(context.run_config["models"])).write_text(json.dumps(models))
