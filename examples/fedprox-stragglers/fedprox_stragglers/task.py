"""The model, the data and its split, the stragglers, and how a client trains."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from flskew import Assignment, DistributionPartitioner, LocalTerm

Images: TypeAlias = NDArray[np.float32]
"""(num_images, num_pixels), with mean 0 and standard deviation 1."""

Labels: TypeAlias = NDArray[np.int64]
"""(num_images,) digits, 0 to 9."""

Parameters: TypeAlias = list[NDArray[np.float32]]
"""Weights (num_pixels, 10) and biases (10,) of logistic regression."""

RunConfig: TypeAlias = dict[str, bool | float | int | str]

NUM_DIGITS, DIGITS_PER_CLIENT = 10, 2


@lru_cache(maxsize=1)
def load_dataset(data_dir: str) -> tuple[Images, Images, Labels, Labels]:
    """Return training images, test images and the labels of both: the four MNIST files, or scikit-learn's digits."""
    if data_dir:
        images, test_images = (_read_idx(data_dir, f"{part}-images-idx3-ubyte") for part in ("train", "t10k"))
        labels, test_labels = (_read_idx(data_dir, f"{part}-labels-idx1-ubyte") for part in ("train", "t10k"))
    else:
        digits = load_digits()
        images, test_images, labels, test_labels = train_test_split(
            digits.data, digits.target, test_size=1 / 3, stratify=digits.target, random_state=0
        )
    mean, deviation = np.float32(images.mean()), np.float32(images.std())
    scaled, test_scaled = ((pixels.astype(np.float32) - mean) / deviation for pixels in (images, test_images))
    return scaled, test_scaled, labels.astype(np.int64), test_labels.astype(np.int64)


@lru_cache(maxsize=1)
def assign(data_dir: str, num_partitions: int, rows_per_digit: int, seed: int) -> Assignment:
    """Decide who holds which training image: two digits per client, and a log-normal number of each."""
    _, _, labels, _ = load_dataset(data_dir)
    holders = DIGITS_PER_CLIENT * num_partitions // NUM_DIGITS
    sizes = np.random.default_rng(seed).lognormal(0.0, 2.0, (NUM_DIGITS, holders))
    partitioner = DistributionPartitioner(
        sizes, num_partitions, DIGITS_PER_CLIENT, preassigned_num_samples_per_label=rows_per_digit, seed=seed
    )
    return partitioner.assign(labels)


def initial_parameters(num_pixels: int) -> Parameters:
    """Return zeros, which is fine because the loss is convex: there is no symmetry to break."""
    return [np.zeros((num_pixels, NUM_DIGITS), np.float32), np.zeros(NUM_DIGITS, np.float32)]


def epochs_done(asked: int, stragglers: float, rng: np.random.Generator) -> int:
    """Return how many epochs a client completes: a straggler completes 1 to `asked - 1`, each equally likely."""
    straggling, epochs = rng.random(2)
    return 1 + int(epochs * (asked - 1)) if straggling < stragglers else asked


def train(
    parameters: Parameters,
    images: Images,
    labels: Labels,
    term: LocalTerm,
    config: RunConfig,
    num_epochs: int,
    rng: np.random.Generator,
) -> None:
    """Train in place by SGD, batch by batch, in a random order."""
    learning_rate, weight_decay = np.float32(config["learning-rate"]), np.float32(config["weight-decay"])
    batch_size = int(config["batch-size"])
    for _ in range(num_epochs):
        order = rng.permutation(len(labels))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            gradients = _gradients(parameters, images[batch], labels[batch])
            term.add_gradient(parameters, gradients)
            for array, gradient in zip(parameters, gradients, strict=True):
                array -= learning_rate * (gradient + weight_decay * array)


def evaluate(parameters: Parameters, images: Images, labels: Labels) -> dict[str, float]:
    """Return the mean cross-entropy, "loss", and the accuracy."""
    likelihoods = _probabilities(parameters, images)
    right = likelihoods.argmax(axis=1) == labels
    own = likelihoods[np.arange(len(labels)), labels]
    loss = -np.log(own.clip(min=np.finfo(np.float32).tiny)).mean()
    return {"loss": float(loss), "accuracy": float(right.mean())}


def _gradients(parameters: Parameters, images: Images, labels: Labels) -> Parameters:
    """Return the gradient of the mean cross-entropy."""
    error = _probabilities(parameters, images)
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    return [images.T @ error, error.sum(axis=0)]


def _probabilities(parameters: Parameters, images: Images) -> NDArray[np.float32]:
    """(num_images, 10) the probability of each digit."""
    weights, biases = parameters
    logits = images @ weights
    logits += biases
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def _read_idx(data_dir: str, name: str) -> NDArray[np.uint8]:
    """Read one of the MNIST files, gzipped or not; images are flattened."""
    path = Path(data_dir).expanduser() / name
    content = path.read_bytes() if path.is_file() else gzip.decompress(path.with_name(f"{name}.gz").read_bytes())
    num_dimensions = content[3]
    num_rows = int.from_bytes(content[4:8], "big")
    pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * num_dimensions)
    return pixels.reshape(num_rows, -1) if num_dimensions > 1 else pixels
