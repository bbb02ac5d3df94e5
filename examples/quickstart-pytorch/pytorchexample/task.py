"""The model, the data and its split, and how a hospital trains and tests."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from flwr.app import Context
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from flskew import Assignment, ClientError, DirichletPartitioner, LabelExclusionPartitioner
from flskew.client import partition
from flskew.client.torch import LocalTerm

Labels: TypeAlias = NDArray[np.int64]
RunConfig: TypeAlias = dict[str, bool | float | int | str]

EXCLUDED = ((1, 3, 7), (2, 5, 8), (4, 6, 9))
"""The digits that each of the three hospitals has never seen."""


class Net(nn.Module):
    """A perceptron with 128 hidden units, for MNIST's images or for scikit-learn's."""

    def __init__(self, data_dir: str, seed: int = 0) -> None:
        super().__init__()
        # Layers draw their weights from torch's global generator, whose state is restored afterwards.
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.fc1 = nn.Linear(28 * 28 if data_dir else 8 * 8, 128)
            self.fc2 = nn.Linear(128, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (num_images, 10) logits."""
        return self.fc2(F.relu(self.fc1(images)))


@lru_cache(maxsize=1)
def load_dataset(data_dir: str) -> tuple[NDArray[np.float32], NDArray[np.float32], Labels, Labels]:
    """Return training images, test images and the labels of both: the four MNIST files, or scikit-learn's digits."""
    if data_dir:
        images, test_images = (_read_idx(data_dir, f"{part}-images-idx3-ubyte") / 255 for part in ("train", "t10k"))
        labels, test_labels = (_read_idx(data_dir, f"{part}-labels-idx1-ubyte") for part in ("train", "t10k"))
    else:
        digits = load_digits()
        images, test_images, labels, test_labels = train_test_split(
            digits.data / 16, digits.target, test_size=1 / 3, stratify=digits.target, random_state=0
        )
    return _scaled(images), _scaled(test_images), labels.astype(np.int64), test_labels.astype(np.int64)


def load_data(context: Context) -> tuple[DataLoader[Any], DataLoader[Any], Assignment]:
    """Return this client's training images, its share of the test images, and the split of the training images."""
    config = context.run_config
    partition_id, num_partitions = partition(context)
    images, test_images, labels, test_labels = load_dataset(str(config["data-dir"]))

    assignment = assign(labels, num_partitions, config)
    rows, test_rows = assignment[partition_id], assignment.match(test_labels)[partition_id]

    trainloader = _loader(images[rows], labels[rows], int(config["batch-size"]), shuffle=True)
    return trainloader, _loader(test_images[test_rows], test_labels[test_rows]), assignment


def load_centralized_dataset(data_dir: str) -> DataLoader[Any]:
    """Return the test images of all ten digits."""
    _, test_images, _, test_labels = load_dataset(data_dir)
    return _loader(test_images, test_labels)


def assign(labels: Labels, num_partitions: int, config: RunConfig) -> Assignment:
    """Split the training images with the partitioner named in the run config."""
    seed = int(config["seed"])
    if config["partitioner"] == "dirichlet":
        return DirichletPartitioner(num_partitions, "label", float(config["alpha"]), seed=seed).assign(labels)
    if config["partitioner"] != "three-hospitals":
        raise ClientError(f"partitioner must be 'three-hospitals' or 'dirichlet', got {config['partitioner']!r}")
    if num_partitions != len(EXCLUDED):
        raise ClientError(f"num-supernodes must be {len(EXCLUDED)}, one for each hospital, got {num_partitions}")
    return LabelExclusionPartitioner(EXCLUDED, on_excluded="drop", seed=seed).assign(labels)


def train(net: Net, trainloader: DataLoader[Any], term: LocalTerm, config: RunConfig, server_round: int) -> float:
    """Train by SGD with momentum, with a new order in each round, and return the mean loss."""
    trainloader.generator.manual_seed(int(config["seed"]) + server_round)
    optimizer = torch.optim.SGD(net.parameters(), float(config["learning-rate"]), float(config["momentum"]))
    term.attach(optimizer)
    net.train()
    losses = []
    for _ in range(int(config["local-epochs"])):
        for images, labels in trainloader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return float(np.mean(losses))


def test(net: Net, testloader: DataLoader[Any]) -> tuple[float, float]:
    """Return the mean loss and the accuracy."""
    net.eval()
    loss, correct, num_images = 0.0, 0, len(testloader.dataset)
    with torch.no_grad():
        for images, labels in testloader:
            logits = net(images)
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            correct += (logits.argmax(1) == labels).sum().item()
    return loss / num_images, correct / num_images


def _loader(
    images: NDArray[np.float32], labels: Labels, batch_size: int = 1000, *, shuffle: bool = False
) -> DataLoader[Any]:
    dataset = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    # Without a generator, it would draw from torch's global one, even if it does not shuffle.
    return DataLoader(dataset, batch_size, shuffle=shuffle, generator=torch.Generator())


def _scaled(images: NDArray[np.float64]) -> NDArray[np.float32]:
    return ((images - 0.5) / 0.5).astype(np.float32)


def _read_idx(data_dir: str, name: str) -> NDArray[np.uint8]:
    """Read one of the MNIST files, gzipped or not; images are flattened."""
    path = Path(data_dir, name)
    content = path.read_bytes() if path.is_file() else gzip.decompress(path.with_name(f"{name}.gz").read_bytes())
    num_dimensions = content[3]
    num_rows = int.from_bytes(content[4:8], "big")
    pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * num_dimensions)
    return pixels.reshape(num_rows, -1) if num_dimensions > 1 else pixels
