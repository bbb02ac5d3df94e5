"""The model, the data, and how a client trains."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from flwr.app import Context
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from flskew import PathologicalPartitioner
from flskew.client import partition
from flskew.client.sklearn import LocalTerm, prepare

Images: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]
RunConfig: TypeAlias = dict[str, bool | float | int | str]

DIGITS = range(10)


def create_model(config: RunConfig) -> SGDClassifier:
    """Return a logistic regression for all ten digits, with zero weights."""
    model = SGDClassifier(
        loss="log_loss",
        learning_rate="constant",
        eta0=float(config["learning-rate"]),
        random_state=int(config["seed"]),
    )
    prepare(model, num_features=8 * 8, classes=DIGITS)
    return model


def load_data(context: Context) -> tuple[Images, Labels, Images, Labels]:
    """Return this client's training images with their labels, and its share of the test images with theirs."""
    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        digits.data / 16, digits.target, stratify=digits.target, random_state=0
    )

    partition_id, num_partitions = partition(context)
    num_classes, seed = int(context.run_config["classes-per-client"]), int(context.run_config["seed"])
    assignment = PathologicalPartitioner(num_partitions, "label", num_classes, seed=seed).assign(y_train)
    rows, test_rows = assignment[partition_id], assignment.match(y_test)[partition_id]
    return x_train[rows], y_train[rows], x_test[test_rows], y_test[test_rows]


def train(
    model: SGDClassifier, term: LocalTerm, images: Images, labels: Labels, config: RunConfig, server_round: int
) -> None:
    """Train batch by batch, in an order drawn for this round."""
    rng = np.random.default_rng((int(config["seed"]), server_round))
    batch_size = int(config["batch-size"])
    for _ in range(int(config["local-epochs"])):
        order = rng.permutation(len(labels))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            model.partial_fit(images[batch], labels[batch])
            # scikit-learn has made one update per row, each with this learning rate.
            term.step(float(config["learning-rate"]) * len(batch), num_steps=len(batch))
