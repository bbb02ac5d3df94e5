"""Averages over three nodes, of which one is enough for a round, and writes the history to a file."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp

from flskew import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    folder = Path(str(context.run_config["folder"]))
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3, node_patience=300.0)
    checkpoints = str(context.run_config["checkpoint-dir"])
    result = strategy.start(
        grid,
        ArrayRecord([np.zeros(1)]),
        num_rounds=cast("int", context.run_config["num-server-rounds"]),
        timeout=cast("int", context.run_config["timeout"]),
        checkpoint_dir=checkpoints or None,
        resume=bool(checkpoints),
    )
    np.save(folder / "model.npy", result.arrays.to_numpy_ndarrays()[0])
    strategy.history.to_jsonl(folder / "history.jsonl")
