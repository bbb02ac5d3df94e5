"""Measure what a round of each strategy costs in addition to FedAvg's: time, time on the server, and memory.

    python benchmarks/rounds.py                # a minute

Whole runs: ten clients on a `LocalGrid`, each training a 784-128-10 perceptron in NumPy on 640 rows of noise. On the
server: everything that `aggregate_train` does with ten replies of 10 million float32. Timings alternate between FedAvg
and the strategy, so their ratios are robust to noise. Memory is the peak on the server in addition to the replies,
with `tracemalloc`. Writes a JSON file to --output.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from records import RESULTS, about, write

from flskew import ClassAware, FedAvg, FedDyn, FedNova, FedProx, LocalGrid, LocalTerm, Scaffold, client_app

CLIENTS, ROWS, BATCH, LEARNING_RATE = 10, 640, 64, 0.05
LAYERS = (784, 128, 10)
LARGE = ((1000, 4000), (1000, 4000), (1000, 2000 - 10), (10, 1000))

STRATEGIES: dict[str, Callable[..., FedAvg]] = {
    "FedProx": lambda **arguments: FedProx(proximal_mu=0.1, **arguments),
    "FedDyn": FedDyn,
    "SCAFFOLD": Scaffold,
    "FedNova": FedNova,
    "ClassAware": lambda **arguments: FedAvg(averaging=ClassAware({"3": 0}), **arguments),
}


class Client:
    """A perceptron in NumPy, on noise."""

    label_counts = (ROWS // 10,) * 10

    def __init__(self, context: Context) -> None:
        rng = np.random.default_rng(context.node_id)
        self.images = rng.random((ROWS, LAYERS[0]), np.float32)
        self.labels = np.eye(LAYERS[2], dtype=np.float32)[rng.integers(LAYERS[2], size=ROWS)]

    def fit(self, parameters: list[np.ndarray[Any, Any]], config: dict[str, Any]) -> Any:
        """Train for one epoch."""
        term = LocalTerm.from_config(config, parameters)
        w1, b1, w2, b2 = parameters
        for first in range(0, ROWS, BATCH):
            x, y = self.images[first : first + BATCH], self.labels[first : first + BATCH]
            hidden = np.maximum(x @ w1 + b1, 0)
            scores = np.exp(hidden @ w2 + b2)
            error = (scores / scores.sum(1, keepdims=True) - y) / len(x)
            back = (error @ w2.T) * (hidden > 0)
            gradients = [x.T @ back, back.sum(0), hidden.T @ error, error.sum(0)]
            term.add_gradient(parameters, gradients)
            for w, gradient in zip(parameters, gradients, strict=True):
                w -= LEARNING_RATE * gradient
        return parameters, ROWS, {}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=9, help="pairs of timings per strategy")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    records = [measure(name, arguments.pairs) for name in STRATEGIES]
    for record in records:
        print({key: round(value, 3) if isinstance(value, float) else value for key, value in record.items()})
    write(arguments.output / "rounds.json", {"about": about("flwr", "numpy"), "records": records})


def measure(name: str, pairs: int) -> dict[str, Any]:
    """Compare a strategy with FedAvg."""
    runs = _ratios(lambda make: _run_seconds(make), STRATEGIES[name], pairs)
    server = _ratios(lambda make: _server_seconds(make, name), STRATEGIES[name], pairs)
    return {
        "strategy": name,
        "run": statistics.median(runs), "run_from": min(runs), "run_to": max(runs),
        "server": statistics.median(server), "server_from": min(server), "server_to": max(server),
        "models": _peak_models(STRATEGIES[name], name), "fedavg_models": _peak_models(FedAvg, "FedAvg"),
    }  # fmt: skip


def _ratios(seconds: Callable[[Callable[..., FedAvg]], float], make: Callable[..., FedAvg], pairs: int) -> list[float]:
    seconds(make), seconds(FedAvg)  # warm up
    return [seconds(make) / seconds(FedAvg) for _ in range(pairs)]


def _run_seconds(make: Callable[..., FedAvg]) -> float:
    rng = np.random.default_rng(0)
    shapes = ((LAYERS[0], LAYERS[1]), (LAYERS[1],), (LAYERS[1], LAYERS[2]), (LAYERS[2],))
    start = ArrayRecord([rng.normal(0, 0.05, shape).astype(np.float32) for shape in shapes])
    with LocalGrid(client_app(Client), CLIENTS) as grid:
        begun = time.perf_counter()
        make(fraction_evaluate=0.0).start(grid, start, num_rounds=3, verbose=False)
        return time.perf_counter() - begun


def _server_seconds(make: Callable[..., FedAvg], name: str) -> float:
    """Return the seconds of `aggregate_train` in a second round, in which states exist."""
    return _aggregate(make, name, time.perf_counter)


def _peak_models(make: Callable[..., FedAvg], name: str) -> float:
    """Return the peak memory on the server in addition to the replies, in models."""

    def peak() -> float:
        tracemalloc.reset_peak()
        return float(tracemalloc.get_traced_memory()[0])

    size = 4 * sum(int(np.prod(shape)) for shape in LARGE)
    tracemalloc.start()
    try:
        used = _aggregate(make, name, peak, after=lambda: float(tracemalloc.get_traced_memory()[1]))
    finally:
        tracemalloc.stop()
    return used / size


def _aggregate(
    make: Callable[..., FedAvg], name: str, before: Callable[[], float], after: Callable[[], float] | None = None
) -> float:
    """Return the difference between what `before` and `after` return around the second round's aggregation."""
    model = [np.ones(shape, np.float32) for shape in LARGE]
    app = ClientApp()

    @app.train()
    def _(message: Message, context: Context) -> Message:
        number = int(context.node_config["partition-id"])
        metrics = {"num-examples": 10 + number, "local-steps": 10 + number}
        content = {
            "arrays": message.content["arrays"],
            "metrics": MetricRecord(metrics),
            "flskew-labels": ConfigRecord({"counts": [number + 1] * 10}),
        }
        if name in ("FedDyn", "SCAFFOLD"):
            places, state_round = list(range(len(LARGE))), message.content["config"].get("accepted-round", 0)
            content["flskew-term"] = ConfigRecord({"arrays": places, "local-steps": 10, "state-round": state_round})
            content["flskew-control"] = message.content["arrays"]
        return Message(RecordDict(content), reply_to=message)

    strategy = make(fraction_evaluate=0.0)
    aggregate, used = strategy.aggregate_train, 0.0

    def measured(server_round: int, replies: Iterable[Message]) -> Any:
        nonlocal used
        received = list(replies)
        begun = before()
        made = aggregate(server_round, received)
        used = (after or before)() - begun
        return made

    with LocalGrid(app, CLIENTS) as grid:
        strategy.aggregate_train = measured  # type: ignore[method-assign]
        strategy.start(grid, ArrayRecord(model), num_rounds=2, verbose=False)
    return used


if __name__ == "__main__":
    main()
