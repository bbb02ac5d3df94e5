"""Measure what 0, 1 and 3 of ten clients that send finite lies do to each strategy.

    python benchmarks/bad_clients.py           # about two minutes

Ten clients hold three quarters of scikit-learn's digits, split by a Dirichlet distribution, and train a softmax
regression for 20 rounds. The error is that of the last model on the other quarter. Every strategy trains from the same
model, and every client takes the same steps. Writes a JSON file to --output.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import strategy as flower
from numpy.typing import NDArray
from records import RESULTS, about, write
from sklearn.datasets import load_digits

from flskew import Checked, DirichletPartitioner, FedAvg, LocalGrid, RoundError, client_app, partition_id

CLIENTS, ROUNDS, SEED = 10, 20, 42
EPOCHS, BATCH, LEARNING_RATE = 5, 20, 0.2
FRACTIONS = {"fraction_evaluate": 0.0}

Parameters: TypeAlias = list[NDArray[np.float32]]
Attack: TypeAlias = Callable[[Parameters, Parameters], Parameters]
"""From the parameters received and those trained to those sent."""

ATTACKS: dict[str, Attack] = {
    "3e38": lambda received, trained: [np.full_like(array, 3e38) for array in trained],
    "flipped": lambda received, trained: [old - 10 * (new - old) for old, new in zip(received, trained, strict=True)],
}


def strategies(limit: float) -> dict[str, Any]:
    """Return the strategies, by the name that the page gives them."""
    return {
        "Flower's FedAvg": flower.FedAvg(**FRACTIONS),
        "FedAvg": FedAvg(**FRACTIONS),
        "FedAvg, max_update_norm": FedAvg(**FRACTIONS, max_update_norm=limit),
        "Checked(FedMedian)": Checked(flower.FedMedian(**FRACTIONS)),
        "Checked(FedTrimmedAvg), beta=0.3": Checked(flower.FedTrimmedAvg(**FRACTIONS, beta=0.3)),
        "Checked(Krum), 3 malicious": Checked(flower.Krum(**FRACTIONS, num_malicious_nodes=3)),
        "Checked(MultiKrum), 3 malicious, 7 selected": Checked(
            flower.MultiKrum(**FRACTIONS, num_malicious_nodes=3, num_nodes_to_select=7)
        ),
        "Checked(Bulyan), 1 malicious": Checked(flower.Bulyan(**FRACTIONS, num_malicious_nodes=1)),
    }


class Digits:
    """The data, split among clients and a test set."""

    def __init__(self) -> None:
        images, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(SEED).permutation(len(labels))
        images, labels = (images[order] / 16).astype(np.float32), labels[order]
        size = 3 * len(labels) // 4
        self.rows, self.labels = images[:size], labels[:size]
        self.test_rows, self.test_labels = images[size:], labels[size:]
        self.assignment = DirichletPartitioner(CLIENTS, alpha=1.0, seed=SEED).assign(self.labels)

    def trained(self, parameters: Parameters, client: int, server_round: int) -> Parameters:
        """Return a client's parameters after its local epochs."""
        weights, bias = (array.copy() for array in parameters)
        rng = np.random.default_rng((SEED, client, server_round))
        for _ in range(EPOCHS):
            rows = rng.permutation(self.assignment[client])
            for batch in np.array_split(rows, max(1, len(rows) // BATCH)):
                slopes = probabilities(self.rows[batch], [weights, bias])
                slopes[np.arange(len(batch)), self.labels[batch]] -= 1
                weights -= LEARNING_RATE / len(batch) * self.rows[batch].T @ slopes
                bias -= LEARNING_RATE / len(batch) * slopes.sum(axis=0)
        return [weights, bias]

    def error(self, parameters: Parameters) -> float:
        """Return the fraction of the test set that is misclassified."""
        return float(np.mean(probabilities(self.test_rows, parameters).argmax(axis=1) != self.test_labels))


def probabilities(rows: NDArray[np.float32], parameters: Parameters) -> NDArray[np.float32]:
    """Return the softmax of a linear model."""
    weights, bias = parameters
    scores = rows @ weights + bias
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def run(digits: Digits, strategy: Any, attack: str, attackers: int) -> dict[str, object]:
    """Train, and return the error of the last model, how the run ended, and the largest norm of an update."""

    class Client:
        def __init__(self, context: Context) -> None:
            self.number = partition_id(context)

        def fit(self, parameters: Parameters, config: dict[str, Any]) -> tuple[Parameters, int, dict[str, float]]:
            trained = digits.trained(parameters, self.number, config["server-round"])
            if self.number < attackers:
                trained = ATTACKS[attack](parameters, trained)
            return trained, len(digits.assignment[self.number]), {}

    initial = ArrayRecord([np.zeros((64, 10), np.float32), np.zeros(10, np.float32)])
    ended = ""
    with LocalGrid(client_app(Client), CLIENTS) as grid, np.errstate(all="ignore"):
        try:
            result = strategy.start(grid, initial, num_rounds=ROUNDS)
        except RoundError as error:
            result, ended = error.result, f"round {error.server_round}"
        arrays = result.arrays.to_numpy_ndarrays()
        failed = not all(np.isfinite(array).all() for array in arrays)
        error = 0.9 if failed else digits.error(arrays)  # a tenth of the digits are zeros, which argmax finds in NaN
    norms = [reply.update_norm for entry in getattr(strategy, "history", []) for reply in entry.replies]
    return {"error": error, "is_finite": not failed, "ended": ended, "largest_norm": max(norms, default=None)}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    digits = Digits()
    honest = run(digits, FedAvg(**FRACTIONS), "3e38", 0)
    limit = 2.0 * float(honest["largest_norm"])  # type: ignore[arg-type]
    records: list[dict[str, object]] = []
    for name in strategies(limit):
        for attack, attackers in (("", 0), *((attack, count) for attack in ATTACKS for count in (1, 3))):
            outcome = run(digits, strategies(limit)[name], attack, attackers)
            records.append({"strategy": name, "attack": attack, "attackers": attackers, **outcome})
            print(*records[-1].values(), sep="  ", flush=True)
    content = {"about": about("flwr", "numpy", "scikit-learn"), "max_update_norm": limit, "records": records}
    write(arguments.output / "bad_clients.json", content)


if __name__ == "__main__":
    main()
