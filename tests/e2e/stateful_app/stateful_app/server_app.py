"""Writes down the models, and waits after a round for as long as a test wants."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from flskew import FedDyn, Scaffold

app = ServerApp()

STRATEGIES = {"feddyn": FedDyn, "scaffold": Scaffold}


@app.main()
def main(grid: Grid, context: Context) -> None:
    folder = Path(str(context.run_config["folder"]))
    models = []

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        models.append(arrays.to_numpy_ndarrays()[0].tolist())
        (folder / f"after-{server_round}").touch()
        while (folder / f"wait-{server_round}").exists():
            time.sleep(0.1)
        return MetricRecord()

    make = STRATEGIES[str(context.run_config["strategy"])]
    strategy = make(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3, node_patience=300.0)
    strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=3, evaluate_fn=evaluate)
    (folder / "models.json").write_text(json.dumps(models))
