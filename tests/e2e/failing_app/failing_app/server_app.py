"""Writes down why the clients of a round failed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp

from flskew import FedAvg, RoundError

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3, node_patience=300.0)
    try:
        strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=1)
    except RoundError as error:
        reasons = sorted(failure.reason for failure in error.failures)
        Path(str(context.run_config["reasons"])).write_text(json.dumps(reasons))
