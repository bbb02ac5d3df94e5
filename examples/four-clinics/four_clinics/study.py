"""All runs for one target: every clinic alone, all together, and all patients in one place, for several seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from flskew import LocalGrid, simulate, tables
from flskew import client_app as make_app
from flskew.tables.sklearn import TablePreparation
from flskew.typing import Parameters, Rows, RunConfig
from four_clinics import client_app, server_app
from four_clinics.comparison import ALL, Comparison
from four_clinics.data import Patients, load_patients, split
from four_clinics.task import evaluate, initial_parameters, preparation, train


def compare(config: RunConfig, seeds: Iterable[int]) -> Comparison:
    """Run everything once for each seed, which determines the test rows and the order of the training rows."""
    _, assignment = load_patients(str(config["target"]))
    scores = [
        {"seed": seed, "model": model, "tested": tested, "score": score}
        for seed in seeds
        for model, tested, score in run({**config, "seed": seed})
    ]
    women = pd.Series(assignment.sizes, index=assignment.names)
    return Comparison(str(config["target"]), women, pd.DataFrame(scores))


def run(config: RunConfig) -> Iterator[tuple[str, str, float]]:
    """Train every model, and yield it with the name of each test set and its score there."""
    patients, assignment = load_patients(str(config["target"]))
    names = assignment.names or ()
    target, seed = str(config["target"]), int(config["seed"])
    training, testing = zip(*(split(partition_id, target, seed) for partition_id in range(len(names))), strict=True)

    models = {name: train_alone(rows, config) for name, rows in zip(names, training, strict=True)}
    models["pooled"] = train_alone(np.concatenate(training), config)
    state = simulate(server_app.app, client_app.app, num_supernodes=len(names), run_config=config).state
    prepared = preparation(str(state.config_records["statistics"]["tables"]))
    models["together"] = prepared, state.array_records["arrays"].to_numpy_ndarrays()

    # Only for the comparison: in a federation, no one has the test rows of all clinics.
    test_sets = {**dict(zip(names, testing, strict=True)), ALL: np.concatenate(testing)}
    for model, (prepared, parameters) in models.items():
        for tested, rows in test_sets.items():
            columns, targets = patients.rows(rows)
            _, score = evaluate(parameters, prepared.transform(columns), targets, config)
            yield model, tested, score


class Alone(client_app.Clinic):
    """A client with any patients, such as those of one clinic or of all clinics in one place."""

    def __init__(self, training: Patients) -> None:
        self.training = training


def train_alone(rows: Rows, config: RunConfig) -> tuple[TablePreparation, Parameters]:
    """Train like the clinics of the federation, for as many epochs from the same start, but without averaging."""
    patients, _ = load_patients(str(config["target"]))
    training = patients.rows(rows)
    statistics = tables.collect(LocalGrid(make_app(lambda context: Alone(training)), 1))
    prepared = TablePreparation(statistics)
    features = prepared.transform(training.columns)
    parameters = initial_parameters(prepared, config)
    for server_round in range(1, int(config["num-server-rounds"]) + 1):
        parameters = train(parameters, features, training.targets, config, (server_round, 0))
    return prepared, parameters
