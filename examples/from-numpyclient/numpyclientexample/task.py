"""The model, a softmax regression in NumPy; the data; how a client trains and tests."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

Images: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]
Parameters: TypeAlias = list[NDArray[np.float64]]


def initial_parameters() -> Parameters:
    """Return an untrained model: weights and biases."""
    return [np.zeros((64, 10)), np.zeros(10)]


def load_data(partition_id: int, num_partitions: int) -> tuple[Images, Images, Labels, Labels]:
    """Return this client's training and test images, then the labels of both."""
    digits = load_digits()
    rows = np.arange(partition_id, len(digits.target), num_partitions)
    images, labels = digits.data[rows] / 16, digits.target[rows]
    x_train, x_test, y_train, y_test = train_test_split(images, labels, test_size=0.2, random_state=0)
    return x_train, x_test, y_train, y_test


def probabilities(parameters: Parameters, images: Images) -> NDArray[np.float64]:
    """Return (num_images, 10) probabilities of the digits."""
    weights, biases = parameters
    odds: NDArray[np.float64] = np.exp(images @ weights + biases)
    odds /= odds.sum(axis=1, keepdims=True)
    return odds


def train(parameters: Parameters, images: Images, labels: Labels, epochs: int, learning_rate: float) -> Parameters:
    """Take one step of gradient descent per epoch."""
    weights, biases = parameters
    for _ in range(epochs):
        error = (probabilities([weights, biases], images) - np.eye(10)[labels]) / len(labels)
        weights = weights - learning_rate * images.T @ error
        biases = biases - learning_rate * error.sum(axis=0)
    return [weights, biases]


def log_loss(parameters: Parameters, images: Images, labels: Labels) -> float:
    """Return the mean cross-entropy."""
    return float(-np.log(probabilities(parameters, images)[np.arange(len(labels)), labels]).mean())


def accuracy(parameters: Parameters, images: Images, labels: Labels) -> float:
    """Return the fraction of images that are classified correctly."""
    return float((probabilities(parameters, images).argmax(axis=1) == labels).mean())
