"""Writes down which rows each client had in each round, and who was absent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp

from flskew import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    strategy = FedAvg(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3, node_patience=300.0)
    result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=3)
    rounds = [
        {
            "round": entry.server_round,
            "phase": entry.phase,
            "rows": {reply.name: reply.metrics["rows"] for reply in entry.replies},
            "failures": len(entry.failures),
            "absent": len(entry.absent),
        }
        for entry in strategy.history
    ]
    written = {"rounds": rounds, "model": result.arrays.to_numpy_ndarrays()[0].tolist()}
    (Path(str(context.run_config["folder"])) / "rounds.json").write_text(json.dumps(written))
