"""Compare FedBN with FedAvg on MNIST where each client sees the digits turned by another angle; resumable.

    python benchmarks/reproductions/rotated_mnist.py --data-dir FOLDER   # minutes; run it again to continue

X. Li, M. Jiang, X. Zhang, M. Kamp, Q. Dou: "FedBN: Federated Learning on Non-IID Features via Local Batch
Normalization", ICLR 2021, arXiv 2102.07623: clients keep their normalisation layers, and average all others. The paper
combines five sets of digits. Here, four clients hold different images of MNIST, seen in one of two ways: turned by 0,
90, 180 and 270 degrees, as in A. Ghosh, J. Chung, D. Yin, K. Ramchandran: "An Efficient Framework for Clustered
Federated Learning", NeurIPS 2020, arXiv 2006.04088, or with different contrast and brightness. As a control, a third
way is the same for all.

Each run is written to --output when it ends, so the same command continues after the last one. It runs on one thread.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from flwr.app import ArrayRecord, Context
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from flskew import Assignment, FedAvg, IidPartitioner, LocalGrid, client_app, partition_id
from flskew.client.torch import get_parameters, set_parameters
from flskew.shifts import Affine, Rotate, Shift
from flskew.typing import Config, Parameters

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "three-hospitals"))

import records
from three_hospitals import mnist

CLIENTS = 4
SETTINGS: dict[str, Any] = {
    "clients": CLIENTS, "rows_per_client": 1000, "rounds": 30, "local_epochs": 1, "batch_size": 32,
    "learning_rate": 0.01, "momentum": 0.9, "seeds": [1, 2, 3],
}  # fmt: skip
METHODS = ("alone", "FedAvg", "FedBN")
VIEWS: dict[str, Shift | None] = {
    "rotated": Rotate([0, 90, 180, 270]),
    "contrast and brightness": Affine(gain=[1.0, 0.5, 0.25, -1.0], offset=[0.0, 0.5, 0.0, 1.0]),
    "the same": None,
}


class Net(nn.Module):
    """Two 5x5 convolutions with 16 and 32 channels, and a dense layer of 64, each with batch normalisation."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        # Skip PyTorch's initial weights, which use its global random generator.
        self.conv1 = skip_init(nn.Conv2d, 1, 16, 5)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = skip_init(nn.Conv2d, 16, 32, 5)
        self.bn2 = nn.BatchNorm2d(32)
        self.fc1 = skip_init(nn.Linear, 512, 64)
        self.bn3 = nn.BatchNorm1d(64)
        self.fc2 = skip_init(nn.Linear, 64, 10)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in (self.conv1, self.conv2, self.fc1, self.fc2):
                bound = layer.weight[0].numel() ** -0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (num_images, 10) logits."""
        features = F.relu(F.max_pool2d(self.bn1(self.conv1(images)), 2))
        features = F.relu(F.max_pool2d(self.bn2(self.conv2(features)), 2))
        return self.fc2(F.relu(self.bn3(self.fc1(features.flatten(1)))))


class Data(NamedTuple):
    """Images as one client sees them, (num_images, 1, 28, 28), and their digits."""

    images: torch.Tensor
    labels: torch.Tensor


def seen(assignment: Assignment, client: int, images: NDArray[np.float32], labels: NDArray[np.int64]) -> Data:
    """Return the rows of a client, as it sees them."""
    view = assignment.view(client)
    pixels = np.ascontiguousarray(view.features(images[view.rows]))
    return Data(torch.from_numpy(pixels), torch.from_numpy(labels[view.rows]))


class Client:
    """A client with its own view of its training and test images."""

    def __init__(self, client: int, seed: int, train: Data, test: Data) -> None:
        self.client, self.seed, self.train, self.test = client, seed, train, test
        self.net = Net(seed)

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train for the local epochs."""
        set_parameters(self.net, parameters)
        self.net.train()
        optimizer = torch.optim.SGD(self.net.parameters(), lr=SETTINGS["learning_rate"], momentum=SETTINGS["momentum"])
        key = np.random.SeedSequence((self.seed, config["server-round"], self.client)).generate_state(1)
        generator = torch.Generator().manual_seed(int(key[0]))
        count = len(self.train.labels)
        for _ in range(SETTINGS["local_epochs"]):
            order = torch.randperm(count, generator=generator)
            # Batch normalisation cannot learn from a batch of one.
            for batch in order.tensor_split(max(1, count // SETTINGS["batch_size"])):
                optimizer.zero_grad()
                F.cross_entropy(self.net(self.train.images[batch]), self.train.labels[batch]).backward()
                optimizer.step()
        return get_parameters(self.net), count, {}

    @torch.no_grad()
    def evaluate(self, parameters: Parameters, config: Config) -> tuple[float, int, dict[str, float]]:
        """Test on this client's view of its test images."""
        set_parameters(self.net, parameters)
        self.net.eval()
        logits = torch.cat([self.net(images) for images in self.test.images.split(500)])
        right = (logits.argmax(1) == self.test.labels).double().mean()
        return float(F.cross_entropy(logits, self.test.labels)), len(logits), {"accuracy": float(right)}


def alone(clients: list[Client], rounds: int) -> list[list[float]]:
    """Train each client on its own rows, for as many epochs as in the rounds; return its accuracy after each."""
    found = []
    for client in clients:
        parameters, scores = get_parameters(Net(client.seed)), []
        for server_round in range(1, rounds + 1):
            parameters, _, _ = client.fit(parameters, {"server-round": server_round})
            scores.append(client.evaluate(parameters, {})[2]["accuracy"])
        found.append(scores)
    return found


def together(clients: list[Client], rounds: int, keep_local: Sequence[str]) -> list[list[float]]:
    """Train by FedAvg; return the accuracy of each client after each round."""

    def client_fn(context: Context) -> Client:
        return clients[partition_id(context)]

    strategy = FedAvg()
    with LocalGrid(client_app(client_fn, keep_local=keep_local), len(clients)) as grid:
        initial = ArrayRecord(Net(clients[0].seed).state_dict())
        strategy.start(grid, initial, num_rounds=rounds, verbose=False)
    accuracy: list[list[float]] = strategy.history.clients("accuracy").sort_index(axis=1).to_numpy().T.tolist()
    return accuracy


def run(view: str, method: str, seed: int, data: Any, rounds: int) -> dict[str, Any]:
    """Return the record of one run: the accuracy of each client after each round."""
    train_images, train_labels, test_images, test_labels = data
    everything = IidPartitioner(CLIENTS, partition_by="label", seed=seed)
    rows = [rows[: SETTINGS["rows_per_client"]] for rows in everything.assign(train_labels)]
    train = Assignment.from_partitions(rows, train_labels).with_shift(VIEWS[view])
    test = everything.assign(test_labels).with_shift(VIEWS[view])
    clients = []
    for client in range(CLIENTS):
        mine = seen(train, client, train_images, train_labels), seen(test, client, test_images, test_labels)
        clients.append(Client(client, seed, *mine))
    keep_local = ["bn*"] if method == "FedBN" else []
    found = alone(clients, rounds) if method == "alone" else together(clients, rounds, keep_local)
    return {
        "view": view,
        "method": method,
        "seed": seed,
        "fingerprint": train.fingerprint,
        "accuracy": [[round(score, 4) for score in scores] for scores in found],
    }


def main() -> None:
    """Make the runs that the results file does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("FLSKEW_MNIST", ""), help="the four MNIST files")
    parser.add_argument("--rounds", type=int, default=SETTINGS["rounds"], help="%(default)s")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "rotated_mnist.json")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    settings = {**SETTINGS, "rounds": arguments.rounds, "views": {name: repr(shift) for name, shift in VIEWS.items()}}
    runs = records.resumed(arguments.output, settings)
    pixels, labels, test_pixels, test_labels = mnist.load(arguments.data_dir)
    images, test_images = (part.reshape(-1, 1, 28, 28).astype(np.float32) / 255 for part in (pixels, test_pixels))
    done = {(each["view"], each["method"], each["seed"]) for each in runs}
    for seed in SETTINGS["seeds"]:
        for view in VIEWS:
            for method in METHODS:
                if (view, method, seed) in done:
                    continue
                runs.append(run(view, method, seed, (images, labels, test_images, test_labels), arguments.rounds))
                last = ", ".join(f"{scores[-1]:.4f}" for scores in runs[-1]["accuracy"])
                print(f"seed {seed}, {view}, {method}: {last}", flush=True)
                about = records.about("flwr", "numpy", "torch")
                records.write(arguments.output, {"about": about, "settings": settings, "runs": runs})


if __name__ == "__main__":
    main()
