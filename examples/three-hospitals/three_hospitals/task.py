"""The task: who holds which images, the model, its local training and its score.

The model is scikit-learn's MLPClassifier; its parameters are the list `[*coefs_, *intercepts_]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from flskew import Assignment, LabelExclusionPartitioner, LocalTerm
from three_hospitals import mnist
from three_hospitals.settings import Settings

Images: TypeAlias = NDArray[np.float32]
"""(num_images, num_pixels), each pixel between -1 and 1."""

Labels: TypeAlias = NDArray[np.int64]
"""(num_images,) digits, 0 to 9."""

Parameters: TypeAlias = list[NDArray[np.float32]]
"""The weights of the hidden and the output layer, then their biases."""

DIGITS = np.arange(10)

EXCLUDED = ((1, 3, 7), (2, 5, 8), (4, 6, 9))
"""The digits that each hospital has never seen."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels; read-only, because they are loaded once and shared."""

    images: Images
    labels: Labels

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        self.images.setflags(write=False)
        self.labels.setflags(write=False)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    def rows(self, rows: NDArray[np.int64]) -> Split:
        """The images in these rows."""
        return Split(self.images[rows], self.labels[rows])


@lru_cache(maxsize=1)
def load_data(data_dir: str) -> tuple[Split, Split]:
    """Load the training and the test images, the same in every run.

    Args:
        data_dir: The folder with the four MNIST files; or empty for scikit-learn's 1,797 digits of 8 x 8 pixels, a
            fixed third of which is the test set.
    """
    if data_dir:
        pixels, labels, test_pixels, test_labels = mnist.load(data_dir)
        return Split(_scaled(pixels, 255), labels), Split(_scaled(test_pixels, 255), test_labels)
    digits = load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)), test_size=1 / 3, stratify=digits.target, random_state=0
    )
    everything = Split(_scaled(digits.data, 16), digits.target.astype(np.int64))
    return everything.rows(train), everything.rows(test)


def _scaled(pixels: NDArray[np.uint8] | NDArray[np.float64], white: float) -> Images:
    return pixels.astype(np.float32) / np.float32(white / 2) - np.float32(1)


def assign(labels: Labels, settings: Settings) -> Assignment:
    """Decide which hospital holds which training images; none holds a digit in its entry of `EXCLUDED`."""
    partitioner = LabelExclusionPartitioner(EXCLUDED, on_excluded=settings.on_excluded, seed=settings.seed)
    return partitioner.assign(labels)


@lru_cache(maxsize=len(EXCLUDED))
def load_hospital(partition_id: int, settings: Settings) -> tuple[Split, Split]:
    """Load a hospital's training images, and its share of the test images of the digits it holds."""
    train, test = load_data(settings.data_dir)
    assignment = assign(train.labels, settings)
    matched = assignment.match(test.labels, seed=settings.seed)
    return train.rows(assignment[partition_id]), test.rows(matched[partition_id])


def initial_parameters(num_pixels: int, settings: Settings) -> Parameters:
    """Draw the initial weights, which are the same for all."""
    # The first call of partial_fit draws the weights and takes a step, which is too small to change them here.
    model = _new_model(num_pixels, settings.hidden_units, seed=settings.seed, learning_rate=1e-30)
    return weights(model)


def weights(model: MLPClassifier) -> Parameters:
    """The model's own arrays, in the order in which they are sent."""
    return [*model.coefs_, *model.intercepts_]


def train(
    parameters: Parameters,
    data: Split,
    settings: Settings,
    seed: int | tuple[int, ...],
    term: LocalTerm | None = None,
) -> tuple[Parameters, float]:
    """Train on a hospital's images for `local-epochs` epochs, starting with zero momentum.

    Args:
        parameters: The initial parameters; not changed.
        data: The hospital's own images.
        settings: Learning rate, momentum, batch size and epochs.
        seed: Determines the order of the images.
        term: The strategy's local term, which takes its step after each call of `partial_fit`.

    Returns:
        The trained parameters, and the mean loss in the last epoch.
    """
    rng = np.random.default_rng(seed)
    model = _model(parameters, learning_rate=settings.learning_rate, momentum=settings.momentum)
    changes_steps = term is not None and (term.mu > 0 or settings.strategy == "scaffold")
    # One call of partial_fit trains on all mini-batches of its rows; a term that changes each step needs one at a time.
    rows_per_call = settings.batch_size if changes_steps else len(data)
    # In total, momentum amplifies a gradient by this factor. The term is outside of it, so it is scaled here.
    term_rate = settings.learning_rate / (1 - settings.momentum)
    loss = 0.0
    # Mini-batches are too small for threads: on busy cores, two threads take many times as long as one.
    with threadpool_limits(1, user_api="blas"):
        for _ in range(settings.local_epochs):
            order = rng.permutation(len(data))
            loss = 0.0
            for start in range(0, len(data), rows_per_call):
                batch = data.rows(order[start : start + rows_per_call])
                model.batch_size = min(settings.batch_size, len(batch))
                model.partial_fit(batch.images, batch.labels)
                if term is not None:
                    num_steps = math.ceil(len(batch) / settings.batch_size)
                    term.step(weights(model), term_rate * num_steps, num_steps=num_steps)
                loss += model.loss_ * len(batch) / len(data)
    return weights(model), float(loss)


def evaluate(parameters: Parameters, data: Split) -> dict[str, float]:
    """Return the loss and the accuracy on a split."""
    probabilities = _model(parameters).predict_proba(data.images)
    right = probabilities.argmax(axis=1) == data.labels
    likelihoods = probabilities[np.arange(len(data)), data.labels]
    tiny = np.finfo(likelihoods.dtype).tiny
    return {"loss": float(-np.log(likelihoods.clip(min=tiny)).mean()), "accuracy": float(right.mean())}


def _new_model(
    num_pixels: int, hidden_units: int, *, learning_rate: float = 0.01, momentum: float = 0.0, seed: int = 0
) -> MLPClassifier:
    """Make an MLP with random weights and outputs for all ten digits, even if it will be trained on seven."""
    model = MLPClassifier(
        (hidden_units,),
        solver="sgd",
        alpha=0.0,
        learning_rate_init=learning_rate,
        momentum=momentum,
        nesterovs_momentum=False,
        shuffle=False,
        batch_size=1,
        random_state=seed,
    )
    return model.partial_fit(np.zeros((1, num_pixels), np.float32), DIGITS[:1], classes=DIGITS)


def _model(parameters: Parameters, *, learning_rate: float = 0.01, momentum: float = 0.0) -> MLPClassifier:
    """Make an MLP with the given weights."""
    num_pixels, hidden_units = parameters[0].shape
    model = _new_model(num_pixels, hidden_units, learning_rate=learning_rate, momentum=momentum)
    # In place, because scikit-learn's optimizer may have references to these arrays.
    for array, value in zip(weights(model), parameters, strict=True):
        array[...] = value
    # The step that created the arrays also created momentum. Without an optimizer, the next step starts with none.
    del model._optimizer
    return model
