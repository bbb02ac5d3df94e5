"""Train on FCUBE with four strategies; resumable after every run.

    python benchmarks/reproductions/fcube.py   # minutes; run it again to continue

Q. Li, Y. Diao, Q. Chen, B. He: "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022,
arXiv 2102.02079, with the settings of its code: all of the four clients train in each of 50 rounds, for ten local
epochs of SGD with learning rate 0.01, momentum 0.9, weight decay 1e-5 and batches of 64; mu = 0.01. For tables, the
code has a perceptron with hidden layers of 32, 16 and 8, but for FCUBE it takes a single linear layer. Here, the linear
layer is trained with every strategy, and the perceptron with FedAvg, each on the partition that FCUBE comes with and on
an IID one.

Each run is written to --output when it ends, so the same command continues after the last one.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from torch import nn
from torch.nn import functional as F

from flskew import FedAvg, FedNova, FedProx, IidPartitioner, LocalGrid, Scaffold, client_app, partition_id
from flskew.client.torch import LocalTerm, get_parameters, set_parameters
from flskew.synthetic import FcubeData, fcube
from flskew.typing import Config, Parameters, Rows

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import records

SETTINGS: dict[str, Any] = {
    "clients": 4, "rounds": 50, "local_epochs": 10, "batch_size": 64, "learning_rate": 0.01, "momentum": 0.9,
    "weight_decay": 1e-5, "mu": 0.01, "seeds": [1, 2, 3],
}  # fmt: skip
MODELS = {"linear": (3, 2), "perceptron": (3, 32, 16, 8, 2)}
PARTITIONS = ("FCUBE", "IID")
STRATEGIES: dict[str, Callable[..., FedAvg]] = {
    "FedAvg": FedAvg,
    "FedProx": lambda **arguments: FedProx(proximal_mu=SETTINGS["mu"], **arguments),
    "SCAFFOLD": Scaffold,
    "FedNova": FedNova,
}


def network(model: str, seed: int) -> nn.Sequential:
    """Return a network with initial weights uniform up to 1 / sqrt(fan-in), as is PyTorch's default."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(MODELS[model]):
        layer = torch.nn.utils.skip_init(nn.Linear, inputs, outputs)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Client:
    """A client that trains the single network of this process."""

    def __init__(self, client: int, seed: int, net: nn.Module, points: torch.Tensor, labels: torch.Tensor) -> None:
        self.client, self.seed, self.net, self.points, self.labels = client, seed, net, points, labels

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train for the local epochs."""
        set_parameters(self.net, parameters)
        optimizer = torch.optim.SGD(
            self.net.parameters(),
            lr=SETTINGS["learning_rate"],
            momentum=SETTINGS["momentum"],
            weight_decay=SETTINGS["weight_decay"],
        )
        LocalTerm.from_config(config, self.net).attach(optimizer)
        key = np.random.SeedSequence((self.seed, config["server-round"], self.client)).generate_state(1)
        generator = torch.Generator().manual_seed(int(key[0]))
        for _ in range(SETTINGS["local_epochs"]):
            for batch in torch.randperm(len(self.labels), generator=generator).split(SETTINGS["batch_size"]):
                optimizer.zero_grad()
                F.cross_entropy(self.net(self.points[batch]), self.labels[batch]).backward()
                optimizer.step()
        return get_parameters(self.net), len(self.labels), {}


def run(model: str, partition: str, strategy: str, seed: int, data: FcubeData, rounds: int) -> dict[str, Any]:
    """Return the record of one run: the test accuracy before the first round and after each."""
    train, test = data
    assignment = IidPartitioner(4, seed=seed).assign(train.labels) if partition == "IID" else train.assignment
    net, accuracy = network(model, seed), []
    test_points, test_labels = torch.from_numpy(test.features).float(), torch.from_numpy(test.labels)

    def client_fn(context: Context) -> Client:
        rows: Rows = assignment[partition_id(context)]
        points, labels = torch.from_numpy(train.features[rows]).float(), torch.from_numpy(train.labels[rows])
        return Client(partition_id(context), seed, net, points, labels)

    @torch.no_grad()
    def evaluate_fn(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        set_parameters(net, arrays.to_numpy_ndarrays())
        accuracy.append(round(float((net(test_points).argmax(1) == test_labels).double().mean()), 4))
        return MetricRecord({"accuracy": accuracy[-1]})

    initial = ArrayRecord(net.state_dict())
    with LocalGrid(client_app(client_fn), 4) as grid:
        STRATEGIES[strategy](fraction_evaluate=0.0).start(
            grid, initial, num_rounds=rounds, train_config=ConfigRecord(), evaluate_fn=evaluate_fn, verbose=False
        )
    return {
        "model": model,
        "partition": partition,
        "strategy": strategy,
        "seed": seed,
        "fingerprint": assignment.fingerprint,
        "accuracy": accuracy,
    }


def main() -> None:
    """Make the runs that the results file does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=SETTINGS["rounds"], help="%(default)s")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "fcube.json")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    settings = {**SETTINGS, "rounds": arguments.rounds}
    runs = records.resumed(arguments.output, settings)
    done = {(each["model"], each["partition"], each["strategy"], each["seed"]) for each in runs}
    for seed in SETTINGS["seeds"]:
        data = fcube(seed=seed)
        for model in MODELS:
            for partition in PARTITIONS:
                for strategy in STRATEGIES if model == "linear" else ("FedAvg",):
                    if (model, partition, strategy, seed) in done:
                        continue
                    runs.append(run(model, partition, strategy, seed, data, arguments.rounds))
                    last = runs[-1]["accuracy"][-1]
                    print(f"seed {seed}, {model}, {partition}, {strategy}: {last:.3f}", flush=True)
                    about = records.about("flwr", "numpy", "torch")
                    records.write(arguments.output, {"about": about, "settings": settings, "runs": runs})


if __name__ == "__main__":
    main()
