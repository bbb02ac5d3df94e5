"""Averages one of two arrays, and writes down what the clients report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp

from flskew import FedAvg, without_local

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    model = ArrayRecord({"shared": Array(np.zeros(2)), "own": Array(np.full(2, -1.0))})
    strategy = FedAvg(min_train_nodes=3, min_available_nodes=3, node_patience=300.0)
    result = strategy.start(grid, without_local(model, ["own"]), num_rounds=3)
    reports = [
        sorted((reply.partition_id, reply.metrics["own"]) for reply in entry.replies) for entry in strategy.history
    ]
    arrays = [array.tolist() for array in result.arrays.to_numpy_ndarrays()]
    Path(str(context.run_config["reports"])).write_text(json.dumps([reports, arrays]))
