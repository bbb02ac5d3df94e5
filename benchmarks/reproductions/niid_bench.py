"""Reproduce the non-IID benchmark on MNIST: FedAvg and FedProx on five splits, resumable after every round.

    python benchmarks/reproductions/niid_bench.py --data-dir FOLDER    # hours; stop it at any time
    python benchmarks/reproductions/niid_bench.py --rounds 5 10        # all runs to round 5, then all to round 10
    python benchmarks/reproductions/niid_bench.py --splits IID         # only one split; keeps the results of the others

Q. Li, Y. Diao, Q. Chen, B. He: "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022,
arXiv 2102.02079, with the settings of Flower's reproduction, the baseline `niid_bench`: ten clients that all train in
every round; a CNN; ten local epochs of SGD with momentum, which is reset in each round; pixels between 0 and 1. As in
both implementations, a client that already holds an equal share of the rows gets no further Dirichlet share, and "k
classes a client" gives client i class i and other classes at random.

"IID with noise 0.1" is the paper's feature distribution skew. As in its code, client i of N adds noise with a standard
deviation of 0.1 · i / (N - 1); in the paper, 0.1 · i / N is a variance. As in the code, the accuracy is that on the
test images as each of the clients sees them. In the code, an image gets new noise in every epoch; here, it keeps it.

After every round, the test accuracy is written to --output and the model to --work, so the same command resumes where
it stopped. It runs on one thread; with the same versions, interruptions do not change the figures.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from flskew import (
    Assignment,
    DirichletPartitioner,
    FedAvg,
    FedProx,
    IidPartitioner,
    LocalGrid,
    PathologicalPartitioner,
    client_app,
    skew,
)
from flskew.client import partition
from flskew.client.torch import LocalTerm, get_parameters, set_parameters
from flskew.partitioners import LabelPartitioner
from flskew.shifts import Noise, Ramp
from flskew.typing import Config, Parameters

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "three-hospitals"))

import records
from three_hospitals import mnist

HERE = Path(__file__).resolve().parent
CLIENTS = 10
SETTINGS: dict[str, Any] = {
    "clients": CLIENTS, "local_epochs": 10, "batch_size": 64, "learning_rate": 0.01, "momentum": 0.9,
    "weight_decay": 1e-5, "seed": 42,
}  # fmt: skip
STAGES = (5, 10, 15, 20, 30, 40, 50)

SPLITS: dict[str, Callable[[int], LabelPartitioner | IidPartitioner]] = {
    "Dirichlet 0.5": lambda seed: DirichletPartitioner(CLIENTS, "label", 0.5, self_balancing=True, seed=seed),
    "2 classes a client": lambda seed: PathologicalPartitioner(CLIENTS, "label", 2, "first-deterministic", seed=seed),
    "3 classes a client": lambda seed: PathologicalPartitioner(CLIENTS, "label", 3, "first-deterministic", seed=seed),
    "IID": lambda seed: IidPartitioner(CLIENTS, partition_by="label", seed=seed),
    "IID with noise 0.1": lambda seed: IidPartitioner(CLIENTS, partition_by="label", seed=seed),
}
# With the other splits, all clients see the images as they are.
NOISE = {"IID with noise 0.1": Noise(Ramp(0.1), seed=SETTINGS["seed"])}
# The published figures use the best mu of .001, .01, .1 and 1; .01 is the default of Flower's reproduction.
MU = {"FedAvg": 0.0, "FedProx": 0.01}


class Net(nn.Module):
    """Two 5x5 convolutions with 6 and 16 channels, each followed by max-pooling; dense layers of 120, 84 and 10."""

    def __init__(self) -> None:
        super().__init__()
        # Skip PyTorch's initial weights, which use its global random generator.
        self.conv1 = skip_init(nn.Conv2d, 1, 6, 5)
        self.conv2 = skip_init(nn.Conv2d, 6, 16, 5)
        self.fc1 = skip_init(nn.Linear, 256, 120)
        self.fc2 = skip_init(nn.Linear, 120, 84)
        self.fc3 = skip_init(nn.Linear, 84, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (num_images, 10) logits."""
        # Max-pooling before ReLU gives the same result, and leaves a quarter of the numbers to the ReLU.
        features = F.relu(F.max_pool2d(self.conv1(images), 2))
        features = F.relu(F.max_pool2d(self.conv2(features), 2))
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(features.flatten(1))))))


def draw_weights(net: nn.Module, seed: int) -> None:
    """Draw PyTorch's default initial weights, uniform up to 1 / sqrt(fan-in), from an explicit generator."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in net.children():
            bound = layer.weight[0].numel() ** -0.5
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)


@dataclass(frozen=True)
class Data:
    """Images between 0 and 1, (num_images, 1, 28, 28), and their digits."""

    images: torch.Tensor
    labels: torch.Tensor


def load(data_dir: str) -> tuple[Data, Data, NDArray[np.int64]]:
    """Return the training set, the test set, and the training labels as a NumPy array."""
    pixels, labels, test_pixels, test_labels = mnist.load(data_dir)
    return _data(pixels, labels), _data(test_pixels, test_labels), labels


def _data(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Data:
    return Data(_images(pixels.reshape(-1, 1, 28, 28).astype(np.float32) / 255), torch.from_numpy(labels))


def _images(images: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(images).contiguous(memory_format=torch.channels_last)


def as_seen(data: Data, test: Data, assignment: Assignment) -> tuple[Data, Data]:
    """Return the training images as their holders see them, and the test images as each client sees them."""
    if not isinstance(noise := assignment.shift, Noise):
        return data, test
    # The rows of the test images have the numbers of training images, so their noise needs another seed.
    unseen = Noise(noise.sigma, seed=noise.seed + 1)
    rows = range(len(test.labels))
    views = [unseen.view(client, CLIENTS).features(test.images.numpy(), rows) for client in range(CLIENTS)]
    return (
        Data(_images(assignment.shift_features(data.images.numpy())), data.labels),
        Data(_images(np.concatenate(views)), test.labels.repeat(CLIENTS)),
    )


class Client:
    """A client that trains the single network of this process, setting its parameters in each call."""

    def __init__(self, context: Context, net: Net, data: Data, assignment: Assignment) -> None:
        self.partition_id, _ = partition(context)
        self.net, self.data, self.assignment = net, data, assignment

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train for the local epochs on this client's rows."""
        set_parameters(self.net, parameters)
        optimizer = torch.optim.SGD(
            self.net.parameters(),
            lr=SETTINGS["learning_rate"],
            momentum=SETTINGS["momentum"],
            weight_decay=SETTINGS["weight_decay"],
        )
        LocalTerm.from_config(config, self.net).attach(optimizer)
        rows = torch.from_numpy(self.assignment[self.partition_id].copy())
        # The round counted from the start of the run, not from the last resumption.
        server_round = int(config["rounds-before"]) + int(config["server-round"])
        key = np.random.SeedSequence((SETTINGS["seed"], server_round, self.partition_id)).generate_state(1)
        generator = torch.Generator().manual_seed(int(key[0]))
        for _ in range(SETTINGS["local_epochs"]):
            order = rows[torch.randperm(len(rows), generator=generator)]
            for batch in order.split(SETTINGS["batch_size"]):
                optimizer.zero_grad()
                F.cross_entropy(self.net(self.data.images[batch]), self.data.labels[batch]).backward()
                optimizer.step()
        return get_parameters(self.net), len(rows), {}


def accuracy(net: Net, data: Data) -> float:
    """Return the accuracy of the network."""
    with torch.no_grad():
        right = [
            int((net(images).argmax(1) == labels).sum())
            for images, labels in zip(data.images.split(1000), data.labels.split(1000), strict=True)
        ]
    return sum(right) / len(data.labels)


@dataclass
class Run:
    """One split and strategy; its progress is stored in a file."""

    split: str
    strategy: str
    assignment: Assignment
    work: Path

    def __post_init__(self) -> None:
        """Load the file, or start a new run."""
        self.file = self.work / f"{self.strategy} {self.split}.npz".lower().replace(" ", "-")
        self.settings = json.dumps({**SETTINGS, "mu": MU[self.strategy], "split": self.assignment.fingerprint})
        self.accuracy: list[float] = []
        self.parameters: Parameters = []
        if self.file.exists():
            with np.load(self.file) as saved:
                if str(saved["settings"]) != self.settings:
                    sys.exit(f"{self.file} has other settings: {saved['settings']}; move it away to start again")
                self.accuracy = saved["accuracy"].tolist()
                self.parameters = [saved[f"parameters-{index}"] for index in range(len(saved.files) - 2)]

    @property
    def key(self) -> tuple[str, str]:
        """Return what the run is known by in the results file."""
        return self.split, self.strategy

    def keep(self, score: float, parameters: Parameters) -> None:
        """Record a round in memory and in the file."""
        self.accuracy.append(score)
        self.parameters = parameters
        arrays = {f"parameters-{index}": array for index, array in enumerate(parameters)}
        self.work.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(".new")
        with new.open("wb") as stream:
            np.savez(stream, settings=np.array(self.settings), accuracy=np.array(self.accuracy), **arrays)
        new.replace(self.file)

    def record(self) -> dict[str, object]:
        """Return the record for the results file."""
        return {
            "about": records.about("flwr", "numpy", "torch"),
            "split": self.split,
            "strategy": self.strategy,
            "mu": MU[self.strategy],
            "fingerprint": self.assignment.fingerprint,
            "total_variation": round(skew.total_variation(self.assignment), 4),
            "rounds": max(0, len(self.accuracy) - 1),
            "accuracy": self.accuracy,
        }


def train(run: Run, rounds: int, data: Data, test: Data) -> Iterator[float]:
    """Train up to a number of rounds; yield the accuracy after each."""
    data, test = as_seen(data, test, run.assignment)
    net = Net().to(memory_format=torch.channels_last)
    if not run.accuracy:
        draw_weights(net, SETTINGS["seed"])
        run.keep(accuracy(net, test), get_parameters(net))
    while (done := len(run.accuracy) - 1) < rounds:
        mu = MU[run.strategy]
        # Every client trains in every round, and its shuffling depends on the round, so starting once per round gives
        # the same result as one start for all rounds.
        strategy = FedProx(fraction_evaluate=0.0, proximal_mu=mu) if mu else FedAvg(fraction_evaluate=0.0)
        app = client_app(lambda context: Client(context, net, data, run.assignment))
        with LocalGrid(app, CLIENTS) as grid:
            result = strategy.start(
                grid, ArrayRecord(run.parameters), num_rounds=1, train_config=ConfigRecord({"rounds-before": done})
            )
        parameters = result.arrays.to_numpy_ndarrays()
        set_parameters(net, parameters)
        run.keep(accuracy(net, test), parameters)
        yield run.accuracy[-1]


def main() -> None:
    """Train the selected runs up to each stage in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("FLSKEW_MNIST", ""), help="the four MNIST files")
    parser.add_argument("--rounds", type=int, nargs="+", default=STAGES, help="stages; %(default)s")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS), help="%(default)s")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "niid_bench.json")
    parser.add_argument("--work", type=Path, help="folder for the models; by default, beside --output")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    work = arguments.work or arguments.output.with_suffix("")
    data, test, labels = load(arguments.data_dir)
    runs = [
        Run(split, strategy, make(SETTINGS["seed"]).assign(labels).with_shift(NOISE.get(split)), work)
        for split, make in SPLITS.items()
        for strategy in MU
        if not split.startswith("IID") or strategy == "FedAvg"
    ]
    chosen = [run for run in runs if run.split in arguments.splits]
    settings = {**SETTINGS, "threads": torch.get_num_threads()}
    # The results of others, whose files in --work may be on another machine, are kept.
    elsewhere = {(each["split"], each["strategy"]): each for each in records.resumed(arguments.output, settings)}
    for rounds in arguments.rounds:
        for run in chosen:
            for score in train(run, rounds, data, test):
                print(f"{run.strategy}, {run.split}: round {len(run.accuracy) - 1}: {score:.4f}", flush=True)
                found = [each.record() if each.accuracy else elsewhere.get(each.key) for each in runs]
                records.write(arguments.output, {"settings": settings, "runs": [each for each in found if each]})


if __name__ == "__main__":
    main()
