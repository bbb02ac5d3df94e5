"""The features, the model, how a clinic trains it, and how it is scored."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import mean_squared_error, r2_score, roc_auc_score

from flskew.client.sklearn import get_parameters, prepare, set_parameters
from flskew.tables import TableStatistics
from flskew.tables.sklearn import TablePreparation
from flskew.typing import Parameters, RunConfig
from four_clinics.data import Targets, load_patients, split

Features: TypeAlias = NDArray[np.float64]


def preparation(statistics: str) -> TablePreparation:
    """Return what turns columns into features: standardised numbers, and a 0 or 1 for each category.

    A missing number becomes the mean of all clinics, a missing category zeros.

    Args:
        statistics: Those of all clinics, as the server sends them.
    """
    return TablePreparation(TableStatistics.from_json(statistics))


@lru_cache(maxsize=8)  # once per run of a clinic, not in every round
def features(partition_id: int, target: str, seed: int, statistics: str) -> tuple[Features, Features]:
    """Return the features of a clinic's training rows and of its test rows."""
    patients, _ = load_patients(target)
    prepared = preparation(statistics)
    training, test = (prepared.transform(patients.rows(rows).columns) for rows in split(partition_id, target, seed))
    return training, test


def create_model(num_features: int, config: RunConfig) -> SGDRegressor | SGDClassifier:
    """Return a linear regression, or for preterm birth a logistic one, with zero weights."""
    settings = {
        "alpha": float(config["penalty"]),
        "learning_rate": "constant",
        "eta0": float(config["learning-rate"]),
        "shuffle": False,
    }
    if config["target"] == "gum-index":
        model = SGDRegressor(**settings)
        prepare(model, num_features)
    else:
        model = SGDClassifier(loss="log_loss", **settings)
        prepare(model, num_features, classes=[0, 1])
    return model


def initial_parameters(num_features: int, config: RunConfig) -> Parameters:
    """Return weights of zero, one for each feature, and the intercept."""
    return get_parameters(create_model(num_features, config))


def train(
    parameters: Parameters, features: Features, targets: Targets, config: RunConfig, seed: int | tuple[int, ...]
) -> Parameters:
    """Train for `local-epochs` epochs and return the new parameters.

    Args:
        parameters: The initial parameters; not changed.
        features: (n, num_features) prepared columns.
        targets: (n,) what to predict.
        config: The run config.
        seed: Determines the order of the rows.
    """
    model = create_model(features.shape[1], config)
    set_parameters(model, parameters)
    rng = np.random.default_rng(seed)
    for _ in range(int(config["local-epochs"])):
        order = rng.permutation(len(targets))
        model.partial_fit(features[order], targets[order])
    return get_parameters(model)


def evaluate(parameters: Parameters, features: Features, targets: Targets, config: RunConfig) -> dict[str, float]:
    """Return the loss and the score: R² of the gum index, or the area under the ROC curve of preterm birth."""
    weights, intercept = parameters
    predicted = features @ weights.ravel() + intercept
    if config["target"] == "gum-index":
        return {"loss": float(mean_squared_error(targets, predicted)), "score": float(r2_score(targets, predicted))}
    # The predictions are log-odds.
    loss = np.logaddexp(0, predicted * (1 - 2 * targets)).mean()
    return {"loss": float(loss), "score": float(roc_auc_score(targets, predicted))}
