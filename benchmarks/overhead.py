"""Measure what a federated run costs in addition to the training itself, and how that grows with the clients.

    python benchmarks/overhead.py   # two minutes

Whole runs of `FedAvg` on a `LocalGrid`, of a 784-128-10 perceptron in NumPy on random images of MNIST's shape, against
a plain loop that trains as many clients on as many rows, takes the same mean and evaluates as often. Timings alternate,
so their ratios are robust to noise. Then runs of clients that do nothing: against Flower's own FedAvg and ClientApp on
the same grid, and with up to 100,000 clients, each in a new process that reports its peak memory. NumPy computes on one
thread, and times are those of the processor. Writes a JSON file to --output.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg
from numpy.typing import NDArray
from records import RESULTS, about, write

from flskew import FedAvg, LocalGrid, client_app

LAYERS = (784, 128, 10)
LEARNING_RATE, TEST_ROWS = 0.05, 1000
IDLE_CLIENTS, IDLE_ROUNDS = 1000, 3

Model = list[NDArray[np.float32]]


class Setting(NamedTuple):
    """A federation to train."""

    clients: int
    rows: int
    sampled: int
    batch: int
    rounds: int = 10


SETTINGS = (Setting(100, 600, 10, 32), Setting(1000, 60, 20, 10))
# Clients, rounds, clients a round.
SCALES = (
    (1000, 10, 100), (10_000, 10, 100), (100_000, 10, 100), (1000, 1, 1000), (10_000, 1, 10_000), (100_000, 1, 100_000),
)  # fmt: skip


class Data(NamedTuple):
    """Random images, rows of labels in one-hot form, and the rows to test on."""

    images: NDArray[np.float32]
    labels: NDArray[np.float32]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.int64]

    @classmethod
    def random(cls, rows: int) -> Data:
        """Draw it."""
        rng = np.random.default_rng(0)
        hot = np.eye(LAYERS[-1], dtype=np.float32)[rng.integers(LAYERS[-1], size=rows)]
        test = rng.random((TEST_ROWS, LAYERS[0]), np.float32), rng.integers(LAYERS[-1], size=TEST_ROWS)
        return cls(rng.random((rows, LAYERS[0]), np.float32), hot, *test)


def initial() -> Model:
    """Return the model to start from."""
    rng = np.random.default_rng(1)
    shapes = [(LAYERS[0], LAYERS[1]), (LAYERS[1],), (LAYERS[1], LAYERS[2]), (LAYERS[2],)]
    return [rng.normal(0, 0.05, shape).astype(np.float32) for shape in shapes]


def train(model: Model, images: NDArray[np.float32], labels: NDArray[np.float32], batch: int) -> None:
    """Train for one epoch, in place."""
    w1, b1, w2, b2 = model
    for first in range(0, len(images), batch):
        x, y = images[first : first + batch], labels[first : first + batch]
        hidden = np.maximum(x @ w1 + b1, 0)
        scores = np.exp(hidden @ w2 + b2)
        error = (scores / scores.sum(1, keepdims=True) - y) / len(x)
        back = (error @ w2.T) * (hidden > 0)
        gradients = (x.T @ back, back.sum(0), hidden.T @ error, error.sum(0))
        for weights, gradient in zip(model, gradients, strict=True):
            weights -= LEARNING_RATE * gradient


def accuracy(model: Model, data: Data) -> float:
    """Return the accuracy on the test rows."""
    w1, b1, w2, b2 = model
    scores = np.maximum(data.test_images @ w1 + b1, 0) @ w2 + b2
    return float((scores.argmax(1) == data.test_labels).mean())


def mean(trained: list[tuple[int, Model]]) -> Model:
    """Return the mean of models, weighted by the numbers of rows."""
    total = sum(rows for rows, _ in trained)
    made = [np.zeros_like(array) for array in trained[0][1]]
    for rows, model in trained:
        for sums, array in zip(made, model, strict=True):
            sums += array * np.float32(rows / total)
    return made


def plain(setting: Setting, data: Data) -> list[float]:
    """Train without a framework; return the accuracy after each round."""
    model, found = initial(), []
    rng = np.random.default_rng(2)
    for _ in range(setting.rounds):
        chosen = rng.choice(setting.clients, setting.sampled, replace=False)
        trained = []
        for client in chosen.tolist():
            mine = [array.copy() for array in model]
            rows = slice(client * setting.rows, (client + 1) * setting.rows)
            train(mine, data.images[rows], data.labels[rows], setting.batch)
            trained.append((setting.rows, mine))
        model = mean(trained)
        found.append(accuracy(model, data))
    return found


def federated(setting: Setting, data: Data) -> list[float]:
    """Train with flskew; return the accuracy after each round."""

    class Client:
        def __init__(self, context: Context) -> None:
            client = int(context.node_config["partition-id"])
            self.rows = slice(client * setting.rows, (client + 1) * setting.rows)

        def fit(self, parameters: Model, config: dict[str, object]) -> tuple[Model, int, dict[str, float]]:
            train(parameters, data.images[self.rows], data.labels[self.rows], setting.batch)
            return parameters, setting.rows, {}

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({"accuracy": accuracy(arrays.to_numpy_ndarrays(), data)})

    strategy = FedAvg(fraction_train=setting.sampled / setting.clients, fraction_evaluate=0.0)
    with LocalGrid(client_app(Client), setting.clients) as grid:
        result = strategy.start(
            grid, ArrayRecord(initial()), num_rounds=setting.rounds, evaluate_fn=evaluate, verbose=False
        )
    evaluations = result.evaluate_metrics_serverapp
    return [float(evaluations[number]["accuracy"]) for number in range(1, setting.rounds + 1)]  # type: ignore[arg-type]


class Idle:
    """A client that does nothing."""

    def fit(
        self, parameters: list[NDArray[Any]], config: dict[str, object]
    ) -> tuple[list[NDArray[Any]], int, dict[str, float]]:
        """Return the parameters."""
        return parameters, 10, {}


def flowers_idle() -> ClientApp:
    """Return the same client as an app of Flower's."""
    app = ClientApp()

    @app.train()
    def _(message: Message, context: Context) -> Message:
        arrays = message.content["arrays"].to_numpy_ndarrays()  # type: ignore[union-attr]
        content = {"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 10})}
        return Message(RecordDict(content), reply_to=message)

    return app


def idle(make: Callable[..., Any], app: ClientApp, clients: int, rounds: int, sampled: int, **options: Any) -> float:
    """Return the seconds of a run of clients that do nothing."""
    with LocalGrid(app, clients) as grid:
        start = ArrayRecord([np.zeros((10, 10), np.float32)])
        strategy = make(fraction_train=sampled / clients, fraction_evaluate=0.0)
        return seconds(lambda: strategy.start(grid, start, num_rounds=rounds, **options))


def seconds(action: Callable[[], object]) -> float:
    """Return the processor time of one call, which other processes disturb less than the time on the clock."""
    start = time.process_time()
    action()
    return time.process_time() - start


def over_the_plain_loop(setting: Setting, pairs: int) -> dict[str, Any]:
    """Compare a federated run with the plain loop."""
    data = Data.random(setting.clients * setting.rows)
    plain(setting, data), federated(setting, data)  # warm up
    timed = [(seconds(lambda: federated(setting, data)), seconds(lambda: plain(setting, data))) for _ in range(pairs)]
    ratios = [ours / peer for ours, peer in timed]
    return {
        "what": "training", **setting._asdict(),
        "ours_s": statistics.median(ours for ours, _ in timed), "peer_s": statistics.median(peer for _, peer in timed),
        "ratio": statistics.median(ratios), "ratio_from": min(ratios), "ratio_to": max(ratios),
    }  # fmt: skip


def over_flower(pairs: int) -> dict[str, Any]:
    """Compare an idle client with one of Flower's under Flower's FedAvg."""
    ours, theirs = client_app(lambda context: Idle()), flowers_idle()
    size = (IDLE_CLIENTS, IDLE_ROUNDS, IDLE_CLIENTS)
    timed = [(idle(FedAvg, ours, *size, verbose=False), idle(FlowerFedAvg, theirs, *size)) for _ in range(pairs + 1)]
    ratios = [mine / peer for mine, peer in timed[1:]]
    count = IDLE_CLIENTS * IDLE_ROUNDS
    return {
        "what": "idle",
        "ours_us": statistics.median(mine for mine, _ in timed[1:]) / count * 1e6,
        "peer_us": statistics.median(peer for _, peer in timed[1:]) / count * 1e6,
        "ratio": statistics.median(ratios), "ratio_from": min(ratios), "ratio_to": max(ratios),
    }  # fmt: skip


def at_scale(clients: int, rounds: int, sampled: int) -> dict[str, Any]:
    """Run in another process, and return the seconds and the peak memory."""
    command = [sys.executable, __file__, "--scale", str(clients), str(rounds), str(sampled)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(finished.stdout)
    return {"what": "scale", "clients": clients, "rounds": rounds, "sampled": sampled, **measured}


def scale_here(clients: int, rounds: int, sampled: int) -> dict[str, float]:
    """Return the seconds, including those to make the grid, and the peak memory in addition to that of the imports."""
    app = client_app(lambda context: Idle())
    idle(FedAvg, app, 2, 1, 2, verbose=False)  # imports
    before = _peak_bytes()
    spent = seconds(lambda: idle(FedAvg, app, clients, rounds, sampled, verbose=False))
    return {"seconds": spent, "mb": (_peak_bytes() - before) / 1e6}


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=9, help="pairs of timings")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--scale", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scale:
        print(json.dumps(scale_here(*arguments.scale)))
        return
    # First, because Linux includes the peak of this process in that of a new one.
    scales = [at_scale(*size) for size in SCALES]
    records = [over_the_plain_loop(setting, arguments.pairs) for setting in SETTINGS]
    logging.getLogger("flwr").setLevel(logging.CRITICAL)  # Flower's strategy has no other way to be silent
    records.append(over_flower(arguments.pairs))
    records += scales
    for record in records:
        print({key: round(value, 3) if isinstance(value, float) else value for key, value in record.items()})
    write(arguments.output / "overhead.json", {"about": about("flwr", "numpy"), "records": records})


if __name__ == "__main__":
    main()
