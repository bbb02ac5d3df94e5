"""The model, the data, and how a client trains."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import keras
import numpy as np
from flwr.app import Context
from keras import layers
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from flskew import DirichletPartitioner
from flskew.client import partition

Images: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]


def load_model(learning_rate: float, seed: int = 0) -> keras.Model:
    """Return a compiled convolutional network for images of 8 x 8 pixels."""
    # Without a seed, an initializer would draw one from Python's global generator.
    glorot = keras.initializers.GlorotUniform(seed)
    model = keras.Sequential(
        [
            keras.Input(shape=(8, 8, 1)),
            layers.Conv2D(16, kernel_size=(3, 3), activation="relu", kernel_initializer=glorot),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dense(10, activation="softmax", kernel_initializer=glorot),
        ]
    )
    model.compile(keras.optimizers.SGD(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@lru_cache(maxsize=1)
def client_model(learning_rate: float) -> keras.Model:
    """Return the model that all clients in this process share, so that its steps are compiled only once."""
    return load_model(learning_rate)


def load_data(context: Context) -> tuple[Images, Labels, Images, Labels]:
    """Return this client's training images with their labels, and its share of the test images with theirs."""
    digits = load_digits()
    images = (digits.images[..., np.newaxis] / 16).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(images, digits.target, stratify=digits.target, random_state=0)

    partition_id, num_partitions = partition(context)
    alpha, seed = float(context.run_config["alpha"]), int(context.run_config["seed"])
    assignment = DirichletPartitioner(num_partitions, "label", alpha, seed=seed).assign(y_train)
    rows, test_rows = assignment[partition_id], assignment.match(y_test)[partition_id]
    return x_train[rows], y_train[rows], x_test[test_rows], y_test[test_rows]


def train(
    model: keras.Model, images: Images, labels: Labels, config: dict[str, bool | float | int | str], server_round: int
) -> float:
    """Train on the images in an order drawn for this round, and return the loss in the last epoch."""
    # Shuffle here, because Keras would use a global generator.
    order = np.random.default_rng((int(config["seed"]), server_round)).permutation(len(labels))
    history = model.fit(
        images[order],
        labels[order],
        batch_size=int(config["batch-size"]),
        epochs=int(config["local-epochs"]),
        shuffle=False,
        verbose=0,
    )
    return float(history.history["loss"][-1])
