"""All runs: every store alone, all together, and all purchases in one place, for several seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from five_stores import client_app, server_app
from five_stores.comparison import ALL, Comparison
from five_stores.task import Purchases, evaluate, initial_parameters, load_purchases, preparation, split, train
from flskew import LocalGrid, simulate, tables
from flskew import client_app as make_app
from flskew.tables.sklearn import TablePreparation
from flskew.typing import Parameters, Rows, RunConfig


def compare(config: RunConfig, seeds: Iterable[int]) -> Comparison:
    """Run everything once for each seed, which determines the test rows and the order of the training rows."""
    purchases, assignment = load_purchases()
    shares = [purchases.labels[rows].mean() for rows in assignment]
    stores = pd.DataFrame({"purchases": assignment.sizes, "share": shares}, index=assignment.names)
    scores = [
        {"seed": seed, "model": model, "tested": tested, "auc": auc}
        for seed in seeds
        for model, tested, auc in run({**config, "seed": seed})
    ]
    return Comparison(stores, pd.DataFrame(scores))


def run(config: RunConfig) -> Iterator[tuple[str, str, float]]:
    """Train every model, and yield it with the name of each test set and its AUC there."""
    purchases, assignment = load_purchases()
    names = assignment.names or ()
    training, testing = zip(
        *(split(partition_id, int(config["seed"])) for partition_id in range(len(names))), strict=True
    )

    models = {name: train_alone(rows, config) for name, rows in zip(names, training, strict=True)}
    models["pooled"] = train_alone(np.concatenate(training), config)
    state = simulate(server_app.app, client_app.app, num_supernodes=len(names), run_config=config).state
    prepared = preparation(str(state.config_records["statistics"]["tables"]))
    models["together"] = prepared, state.array_records["arrays"].to_numpy_ndarrays()

    # Only for the comparison: in a federation, no one has the test rows of all stores.
    test_sets = {**dict(zip(names, testing, strict=True)), ALL: np.concatenate(testing)}
    for model, (prepared, parameters) in models.items():
        for tested, rows in test_sets.items():
            columns, labels = purchases.rows(rows)
            _, auc = evaluate(parameters, prepared.transform(columns), labels, config)
            yield model, tested, auc


class Alone(client_app.Store):
    """A client with any purchases, such as those of one store or of all stores in one place."""

    def __init__(self, training: Purchases) -> None:
        self.training = training


def train_alone(rows: Rows, config: RunConfig) -> tuple[TablePreparation, Parameters]:
    """Train like the stores of the federation, for as many epochs from the same start, but without averaging."""
    purchases, _ = load_purchases()
    training = purchases.rows(rows)
    prepared = TablePreparation(tables.collect(LocalGrid(make_app(lambda context: Alone(training)), 1)))
    features = prepared.transform(training.columns)
    parameters = initial_parameters(config)
    for server_round in range(1, int(config["num-server-rounds"]) + 1):
        parameters = train(parameters, features, training.labels, config, (server_round, 0))
    return prepared, parameters
