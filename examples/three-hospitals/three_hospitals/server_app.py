"""The ServerApp: averages the hospitals' models, and tests the result on images of all ten digits."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from flskew import ClassAware, FedAvg, FedDyn, FedNova, FedProx, Scaffold
from three_hospitals.settings import Settings
from three_hospitals.task import EXCLUDED, evaluate, initial_parameters, load_data

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; store the score after each round and the final parameters in `context.state`."""
    settings = Settings.from_run_config(context.run_config)
    train, test = load_data(settings.data_dir)

    def evaluate_fn(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({**evaluate(arrays.to_numpy_ndarrays(), test)})

    result = strategy(settings).start(
        grid,
        ArrayRecord(initial_parameters(train.images.shape[1], settings)),
        num_rounds=settings.num_server_rounds,
        evaluate_fn=evaluate_fn,
        checkpoint_dir=settings.checkpoint_dir or None,
        resume=bool(settings.checkpoint_dir),
    )
    scores = result.evaluate_metrics_serverapp
    for server_round, score in scores.items():
        context.state[f"round-{server_round}"] = score
    context.state["arrays"] = result.arrays
    if settings.results_file:
        by_round = [dict(scores[server_round]) for server_round in sorted(scores)]
        Path(settings.results_file).write_text(json.dumps({"rounds": by_round}, indent=2), encoding="utf-8")
    if settings.model_file:
        np.savez(settings.model_file, *result.arrays.to_numpy_ndarrays())


def strategy(settings: Settings) -> FedAvg:
    """Return the strategy that the settings name; every round needs every hospital."""
    strategies: dict[str, Callable[..., FedAvg]] = {
        "fedavg": FedAvg,
        "fedprox": partial(FedProx, proximal_mu=settings.proximal_mu),
        "feddyn": partial(FedDyn, alpha=settings.feddyn_alpha),
        "scaffold": Scaffold,
        "fednova": partial(FedNova, momentum=settings.momentum),
        # The last layer: coefs_[1], with a column per digit, and intercepts_[1].
        "class-aware": partial(FedAvg, averaging=ClassAware(head={"1": 1, "3": 0})),
    }
    return strategies[settings.strategy](
        fraction_evaluate=settings.fraction_evaluate,
        # By default, a round starts once two nodes are connected, and needs only one reply.
        min_train_nodes=len(EXCLUDED),
        min_evaluate_nodes=len(EXCLUDED),
        min_available_nodes=len(EXCLUDED),
        min_replies=len(EXCLUDED),
        seed=settings.seed,
    )
