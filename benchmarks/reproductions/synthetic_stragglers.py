"""Reproduce FedProx on Synthetic(1, 1) with stragglers; resumable after every run.

    python benchmarks/reproductions/synthetic_stragglers.py   # minutes; run it again to continue

T. Li, A. K. Sahu, M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith: "Federated Optimization in Heterogeneous Networks",
MLSys 2020, arXiv 1812.06127, figure 1. The settings are those of the paper's code: 30 clients, of which ten train in
each of 200 rounds; multinomial logistic regression; 20 local epochs of SGD with learning rate 0.01 and batches of ten;
mu = 1. Unlike there, each client is a straggler with the given probability, rather than exactly that fraction of the
ten, and the initial model is zero. A straggler completes 1 to 19 epochs, each equally likely.

Each seed draws other data, other clients for each round, and other stragglers. Each run is written to --output when it
ends, so the same command continues after the last one.
"""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from flskew import FedAvg, FedProx, LocalGrid, LocalTerm, client_app, partition_id
from flskew.synthetic import FederatedData, SyntheticData, synthetic
from flskew.typing import Config, Parameters

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import records

SETTINGS: dict[str, Any] = {
    "alpha": 1, "beta": 1, "clients": 30, "clients_per_round": 10, "rounds": 200, "local_epochs": 20, "batch_size": 10,
    "learning_rate": 0.01, "seeds": [1, 2, 3],
}  # fmt: skip
FRACTIONS = (0.0, 0.5, 0.9)
METHODS: dict[str, dict[str, Any]] = {
    "FedAvg, stragglers dropped": {"mu": 0.0, "drop_stragglers": True},
    "FedProx, mu = 0": {"mu": 0.0, "drop_stragglers": False},
    "FedProx, mu = 1": {"mu": 1.0, "drop_stragglers": False},
}


def with_ones(data: FederatedData) -> NDArray[np.float64]:
    """Return the features and a constant, so that one array contains weights and biases."""
    return np.hstack([data.features, np.ones((len(data.labels), 1))])


def probabilities(weights: NDArray[np.float64], features: NDArray[np.float64]) -> NDArray[np.float64]:
    """(num_rows, 10) the probability of each class."""
    logits = features @ weights
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


class Client:
    """A client that does not always complete its local epochs, and reports how many it completed."""

    def __init__(self, context: Context, data: SyntheticData, seed: int, stragglers: float) -> None:
        self.client, self.seed, self.stragglers = partition_id(context), seed, stragglers
        rows = data.train.assignment[self.client]
        self.features, self.targets = with_ones(data.train)[rows], np.eye(10)[data.train.labels[rows]]

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, int]]:
        """Train for as many epochs as time allows."""
        term = LocalTerm.from_config(config, parameters)
        (weights,) = parameters
        # Whatever the method, a client draws the same numbers in a round.
        rng = np.random.default_rng((self.seed, config["server-round"], self.client))
        straggling, epochs = rng.random(2)
        asked, size = config["local-epochs"], SETTINGS["batch_size"]
        done = 1 + int(epochs * (asked - 1)) if straggling < self.stragglers else asked
        for _ in range(done):
            order = rng.permutation(len(self.targets))
            features, targets = self.features[order], self.targets[order]
            for start in range(0, len(order), size):
                batch = features[start : start + size]
                error = probabilities(weights, batch) - targets[start : start + size]
                gradient = batch.T @ error
                gradient /= len(batch)
                term.add_gradient(parameters, [gradient])
                gradient *= SETTINGS["learning_rate"]
                weights -= gradient
        return parameters, len(self.targets), {"local-epochs": done}


def run(method: str, stragglers: float, seed: int, data: SyntheticData, rounds: int) -> dict[str, Any]:
    """Return the record of one run: training loss and test accuracy before the first round and after each."""
    features, test_features = with_ones(data.train), with_ones(data.test)
    loss, accuracy = [], []

    def evaluate_fn(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        (weights,) = arrays.to_numpy_ndarrays()
        own = probabilities(weights, features)[np.arange(len(features)), data.train.labels]
        loss.append(round(float(-np.log(own.clip(min=1e-300)).mean()), 4))
        right = probabilities(weights, test_features).argmax(axis=1) == data.test.labels
        accuracy.append(round(float(right.mean()), 4))
        return MetricRecord({"accuracy": accuracy[-1]})

    mu = METHODS[method]["mu"]
    strategy = (partial(FedProx, proximal_mu=mu) if mu else FedAvg)(
        fraction_train=SETTINGS["clients_per_round"] / SETTINGS["clients"],
        fraction_evaluate=0.0,
        seed=seed,
        drop_stragglers=METHODS[method]["drop_stragglers"],
        min_replies=0,  # All clients of a round may be stragglers.
    )
    app = client_app(lambda context: Client(context, data, seed, stragglers))
    initial = ArrayRecord([np.zeros((61, 10))])
    config = ConfigRecord({"local-epochs": SETTINGS["local_epochs"]})
    with LocalGrid(app, SETTINGS["clients"]) as grid:
        strategy.start(grid, initial, num_rounds=rounds, train_config=config, evaluate_fn=evaluate_fn, verbose=False)
    return {
        "method": method,
        "stragglers": stragglers,
        "seed": seed,
        "fingerprint": data.train.assignment.fingerprint,
        "replies": sum(len(entry.replies) for entry in strategy.history),
        "loss": loss,
        "accuracy": accuracy,
    }


def main() -> None:
    """Make the runs that the results file does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=SETTINGS["rounds"], help="%(default)s")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "synthetic_stragglers.json")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    settings = {**SETTINGS, "rounds": arguments.rounds}
    runs = records.resumed(arguments.output, settings)
    done = {(each["method"], each["stragglers"], each["seed"]) for each in runs}
    for seed in SETTINGS["seeds"]:
        data = synthetic(SETTINGS["alpha"], SETTINGS["beta"], SETTINGS["clients"], seed=seed)
        for stragglers in FRACTIONS:
            for method in METHODS:
                # Without stragglers, FedAvg is FedProx with mu = 0.
                if (method, stragglers, seed) in done or (stragglers == 0 and METHODS[method]["drop_stragglers"]):
                    continue
                # On busy cores, two threads for one small matrix take longer than one.
                with threadpool_limits(1, user_api="blas"):
                    runs.append(run(method, stragglers, seed, data, arguments.rounds))
                figures = f"loss {runs[-1]['loss'][-1]:.3f}, accuracy {runs[-1]['accuracy'][-1]:.3f}"
                print(f"seed {seed}, {stragglers:.0%} stragglers, {method}: {figures}", flush=True)
                about = records.about("flwr", "numpy")
                records.write(arguments.output, {"about": about, "settings": settings, "runs": runs})


if __name__ == "__main__":
    main()
