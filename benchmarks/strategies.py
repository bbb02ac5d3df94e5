"""Compare strategies under label skew: MNIST, ten clients or three hospitals, ten rounds, the same setting for all.

    python benchmarks/strategies.py --data-dir FOLDER                 # hours on one core; stop it at any time
    python benchmarks/strategies.py --data-dir FOLDER --share 0/2     # every second run, to use two processes
    python benchmarks/strategies.py --data-dir FOLDER --report        # no runs; write the results so far

Every client trains in every round: a 784-128-10 perceptron in NumPy, one epoch of plain SGD with learning rate 0.05 and
equal batches of 64 rows or slightly more. Each strategy with a hyper-parameter has a grid of three values; the value
with the best mean accuracy over the last three rounds on `TUNING_SPLITS` is used on all splits. `TUNING_SEED` is used
for nothing else. Each finished run is appended to --cache, so the same command resumes where it stopped. Writes a JSON
file to --output, from which `make pages` writes docs/strategies-compared.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord
from flwr.clientapp.typing import ClientAppCallable
from flwr.serverapp import strategy as flower
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from flskew import (
    Assignment,
    Checked,
    ClassAware,
    DirichletPartitioner,
    FedAvg,
    FedDyn,
    FedNova,
    FedProx,
    LabelExclusionPartitioner,
    LabelPrior,
    LocalGrid,
    LocalTerm,
    PathologicalPartitioner,
    QuantityPartitioner,
    Scaffold,
    client_app,
    partition_id,
)
from flskew.client import LogitTransform
from flskew.partitioners import Partitioner
from flskew.typing import Config, Parameters

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "three-hospitals"))

import records
from three_hospitals import mnist

ROUNDS, CLIENTS, CLASSES = 10, 10, 10
BATCH, LEARNING_RATE, HIDDEN = 64, 0.05, 128
SEEDS = (1, 2, 3, 4, 5)
TUNING_SEED = 100
TUNING_SPLITS = ("2 classes", "Dirichlet 0.1")
# Strategies of lesser interest run on fewer splits, to save hours.
FEWER_SPLITS = ("three hospitals", "5 classes excluded", "2 classes", "Dirichlet 0.1")

HOSPITALS = ((1, 3, 7), (2, 5, 8), (4, 6, 9))
SPLITS: dict[str, Callable[[int], Partitioner]] = {
    "three hospitals": lambda seed: LabelExclusionPartitioner(HOSPITALS, seed=seed),
    "5 classes excluded": lambda seed: LabelExclusionPartitioner.random(CLIENTS, range(CLASSES), 5, seed=seed),
    "2 classes": lambda seed: PathologicalPartitioner(CLIENTS, "label", 2, seed=seed),
    "3 classes": lambda seed: PathologicalPartitioner(CLIENTS, "label", 3, seed=seed),
    "Dirichlet 0.05": lambda seed: DirichletPartitioner(CLIENTS, "label", 0.05, seed=seed),
    "Dirichlet 0.1": lambda seed: DirichletPartitioner(CLIENTS, "label", 0.1, seed=seed),
    "Dirichlet 0.3": lambda seed: DirichletPartitioner(CLIENTS, "label", 0.3, seed=seed),
    "sizes, Dirichlet 0.5": lambda seed: QuantityPartitioner(CLIENTS, "label", alpha=0.5, seed=seed),
}

Floats: TypeAlias = NDArray[np.float32]
Loss: TypeAlias = Callable[[LabelPrior], LogitTransform]


@dataclass(frozen=True)
class Method:
    """A strategy, and the loss of its clients.

    Attributes:
        strategy: Makes it from the value of its hyper-parameter, and FedAvg's own arguments.
        parameter: Name of the hyper-parameter; empty if there is none.
        grid: Its values.
        loss: Makes the transform of a client's logits from its label counts and the value; None for the plain loss.
        is_main: Whether it runs on all splits.
    """

    strategy: Callable[..., Any]
    parameter: str = ""
    grid: tuple[float, ...] = (0.0,)
    loss: Callable[[LabelPrior, float], LogitTransform] | None = None
    is_main: bool = False


def _plain(value: float, **arguments: Any) -> FedAvg:
    return FedAvg(**arguments)


METHODS = {
    "FedAvg": Method(_plain, is_main=True),
    "FedProx": Method(lambda mu, **rest: FedProx(proximal_mu=mu, **rest), "mu", (0.001, 0.01, 0.1), is_main=True),
    "FedDyn": Method(lambda alpha, **rest: FedDyn(alpha=alpha, **rest), "alpha", (0.03, 0.1, 0.3), is_main=True),
    "SCAFFOLD": Method(lambda _, **rest: Scaffold(**rest), is_main=True),
    "FedNova": Method(lambda _, **rest: FedNova(**rest), is_main=True),
    "class-aware FedAvg": Method(lambda _, **rest: FedAvg(averaging=ClassAware(), **rest), is_main=True),
    "class-aware FedDyn": Method(
        lambda alpha, **rest: FedDyn(alpha=alpha, averaging=ClassAware(), **rest), "alpha", (0.03, 0.1, 0.3)
    ),
    "class-aware SCAFFOLD": Method(lambda _, **rest: Scaffold(averaging=ClassAware(), **rest)),
    "class-aware FedNova": Method(lambda _, **rest: FedNova(averaging=ClassAware(), **rest)),
    "Checked(FedAvgM)": Method(
        lambda momentum, **rest: Checked(flower.FedAvgM(server_momentum=momentum, **rest)),
        "server_momentum", (0.3, 0.5, 0.7),
    ),
    "Checked(FedAdagrad)": Method(
        lambda eta, **rest: Checked(flower.FedAdagrad(eta=eta, **rest)), "eta", (0.003, 0.01, 0.03)
    ),
    "Checked(FedAdam)": Method(
        lambda eta, **rest: Checked(flower.FedAdam(eta=eta, **rest)), "eta", (0.01, 0.03, 0.1)
    ),
    "FedAvg, logit adjustment": Method(
        _plain, "tau", (0.5, 1.0, 2.0), loss=lambda prior, tau: prior.logit_adjustment(tau)
    ),
    "FedAvg, FedRS": Method(_plain, "alpha", (0.5, 0.7, 0.9), loss=lambda prior, alpha: prior.fedrs(alpha)),
    "FedAvg, FedLC": Method(_plain, "tau", (0.1, 0.5, 1.0), loss=lambda prior, tau: prior.fedlc(tau)),
    "FedAvg, masking": Method(_plain, loss=lambda prior, _: prior.masking()),
}  # fmt: skip


@dataclass(frozen=True)
class Images:
    """(num_images, 784) pixels between 0 and 1, and their digits."""

    pixels: Floats
    digits: NDArray[np.int64]

    def rows(self, rows: NDArray[np.int64]) -> Images:
        """Return the images in these rows."""
        return Images(self.pixels[rows], self.digits[rows])

    def __len__(self) -> int:
        return len(self.digits)


def load(data_dir: str) -> tuple[Images, Images]:
    """Return the training and the test images."""
    pixels, digits, test_pixels, test_digits = mnist.load(data_dir)
    return Images(_scaled(pixels), digits), Images(_scaled(test_pixels), test_digits)


def _scaled(pixels: NDArray[np.uint8]) -> Floats:
    return pixels.astype(np.float32) / np.float32(255)


def initial(seed: int) -> Parameters:
    """Return weights from N(0, 1 / fan_in), and biases of 0."""
    rng = np.random.default_rng(seed)
    draws = [rng.standard_normal(shape) / np.sqrt(shape[0]) for shape in ((784, HIDDEN), (HIDDEN, CLASSES))]
    first, second = (draw.astype(np.float32) for draw in draws)
    return [first, np.zeros(HIDDEN, np.float32), second, np.zeros(CLASSES, np.float32)]


def accuracy(parameters: Parameters, images: Images) -> float:
    """Return the fraction of the images whose digit is recognised."""
    first, first_bias, second, second_bias = parameters
    logits = np.maximum(images.pixels @ first + first_bias, 0) @ second + second_bias
    return float((logits.argmax(axis=1) == images.digits).mean())


class Client:
    """Trains the perceptron on its partition; `assignment` also tells `client_app` its label counts."""

    def __init__(self, context: Context, images: Images, assignment: Assignment, seed: int, loss: Loss | None) -> None:
        self.partition_id, self.seed, self.assignment = partition_id(context), seed, assignment
        self.images, self.rows = images, assignment[self.partition_id]
        counts = assignment.label_counts[self.partition_id]
        self.transform = None if loss is None else loss(LabelPrior(counts))

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train for one epoch."""
        term = LocalTerm.from_config(config, parameters)
        rng = np.random.default_rng((self.seed, int(config["server-round"]), self.partition_id))
        order = rng.permutation(self.rows)
        # Equal batches: two images left over would move the model as far as 64 do, and FedDyn and SCAFFOLD remember it.
        for rows in np.array_split(order, max(1, len(order) // BATCH)):
            gradients = self._gradients(parameters, self.images.rows(rows))
            term.add_gradient(parameters, gradients)
            for array, gradient in zip(parameters, gradients, strict=True):
                array -= LEARNING_RATE * gradient
        return parameters, len(order), {}

    def _gradients(self, parameters: Parameters, batch: Images) -> Parameters:
        first, first_bias, second, second_bias = parameters
        hidden = np.maximum(batch.pixels @ first + first_bias, 0)
        logits = hidden @ second + second_bias
        if self.transform is not None:
            logits = logits * self.transform.scale + self.transform.offset
        slopes = np.exp(logits - logits.max(axis=1, keepdims=True))
        slopes /= slopes.sum(axis=1, keepdims=True)
        slopes[np.arange(len(batch)), batch.digits] -= 1
        slopes /= np.float32(len(batch))
        if self.transform is not None:
            slopes *= self.transform.scale
        hidden_slopes = (slopes @ second.T) * (hidden > 0)
        return [
            batch.pixels.T @ hidden_slopes, hidden_slopes.sum(axis=0), hidden.T @ slopes, slopes.sum(axis=0),
        ]  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One run."""

    split: str
    method: str
    value: float
    seed: int


def run(job: Job, train: Images, test: Images) -> dict[str, Any]:
    """Train for all rounds; return the accuracy after each, and the mean bytes of a client's messages per round."""
    method, assignment = METHODS[job.method], SPLITS[job.split](job.seed).assign(train.digits)
    make, traffic = method.loss, Traffic()
    loss = None if make is None else lambda prior: make(prior, job.value)
    app = client_app(lambda context: Client(context, train, assignment, job.seed, loss), mods=[traffic])

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({"accuracy": accuracy(arrays.to_numpy_ndarrays(), test)})

    strategy = method.strategy(job.value, fraction_evaluate=0.0)
    # Mini-batches are too small for threads.
    with threadpool_limits(1, user_api="blas"), LocalGrid(app, len(assignment)) as grid:
        result = strategy.start(grid, ArrayRecord(initial(job.seed)), num_rounds=ROUNDS, evaluate_fn=evaluate)
    evaluations = result.evaluate_metrics_serverapp
    return {
        **vars(job),
        "accuracy": [float(evaluations[number]["accuracy"]) for number in range(1, ROUNDS + 1)],
        "bytes": traffic.total / len(assignment) / ROUNDS,
    }


class Traffic:
    """A mod that adds up the bytes of the records received and sent."""

    def __init__(self) -> None:
        self.total = 0

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Count the message, answer it, and count the reply."""
        self._count(message)
        reply = call_next(message, context)
        self._count(reply)
        return reply

    def _count(self, message: Message) -> None:
        self.total += sum(record.count_bytes() for record in message.content.values())


class Cache:
    """The finished runs, in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self) -> dict[Job, dict[str, Any]]:
        """Return the runs of all processes so far."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        found = [json.loads(line) for line in lines]
        return {Job(*(record[name] for name in ("split", "method", "value", "seed"))): record for record in found}

    def add(self, record: dict[str, Any]) -> None:
        """Append a run; one short line, so that two processes can share the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")


def tuning(names: Collection[str]) -> list[Job]:
    """Return the runs that choose the hyper-parameters of these strategies."""
    return [
        Job(split, name, value, TUNING_SEED)
        for name in names
        if len(METHODS[name].grid) > 1
        for value in METHODS[name].grid
        for split in TUNING_SPLITS
    ]


def scores(name: str, done: dict[Job, dict[str, Any]]) -> dict[float, float]:
    """Return the mean accuracy of each value of the grid, over the last three rounds of all tuning splits.

    Raises:
        KeyError: A run is missing.
    """
    return {
        value: mean(mean(done[Job(split, name, value, TUNING_SEED)]["accuracy"][-3:]) for split in TUNING_SPLITS)
        for value in METHODS[name].grid
    }


def choice(name: str, done: dict[Job, dict[str, Any]]) -> float | None:
    """Return the best value of the grid; None if the runs are not finished."""
    if len(METHODS[name].grid) == 1:
        return METHODS[name].grid[0]
    try:
        measured = scores(name, done)
    except KeyError:
        return None
    return max(measured, key=lambda value: measured[value])


def comparison(names: Collection[str], done: dict[Job, dict[str, Any]]) -> list[Job]:
    """Return the runs of the comparison, without strategies whose hyper-parameter is not known yet."""
    chosen = {name: value for name in names if (value := choice(name, done)) is not None}
    return [
        Job(split, name, value, seed)
        for seed in SEEDS
        for split in SPLITS
        for name, value in chosen.items()
        if METHODS[name].is_main or split in FEWER_SPLITS
    ]


def missing(names: Collection[str], cache: Cache, share: int, shares: int) -> Iterator[Job]:
    """Yield the jobs of this process that are not done yet, the main strategies first.

    A strategy that another process is still tuning is left to the next call.
    """

    def pending(jobs: Iterable[Job]) -> Iterator[Job]:
        return (job for job in jobs if crc32(repr(job).encode()) % shares == share and job not in cache())

    for is_main in (True, False):
        group = [name for name in names if METHODS[name].is_main == is_main]
        yield from pending(tuning(group))
        yield from pending(comparison(group, cache()))


def report(done: dict[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return the content of the results file."""
    tuned = [name for name, method in METHODS.items() if len(method.grid) > 1 and choice(name, done) is not None]
    return {
        "about": records.about("flwr", "numpy"),
        "settings": {
            "rounds": ROUNDS, "local_epochs": 1, "batch_size": BATCH, "learning_rate": LEARNING_RATE,
            "tuning_seed": TUNING_SEED, "tuning_splits": TUNING_SPLITS,
        },
        "tuning": [
            {
                "strategy": name, "parameter": METHODS[name].parameter, "chosen": choice(name, done),
                "scores": {str(value): round(score, 4) for value, score in scores(name, done).items()},
            }
            for name in tuned
        ],
        "runs": [
            {"strategy": job.method, **{key: value for key, value in done[job].items() if key != "method"}}
            for job in comparison(METHODS, done)
            if job in done
        ],
    }  # fmt: skip


def main() -> None:
    """Run what is missing, then write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("FLSKEW_MNIST", ""), help="the four MNIST files")
    parser.add_argument("--share", default="0/1", help="which of how many shares of the runs; %(default)s")
    parser.add_argument(
        "--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="STRATEGY", help="%(default)s"
    )
    parser.add_argument("--report", action="store_true", help="run nothing; write the results so far")
    parser.add_argument("--cache", type=Path, default=records.RESULTS / "strategies.jsonl")
    parser.add_argument("--output", type=Path, default=records.RESULTS / "strategies.json")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    cache = Cache(arguments.cache)
    if not arguments.report:
        if not arguments.data_dir:
            sys.exit("MNIST is missing: pass --data-dir FOLDER or set FLSKEW_MNIST")
        train, test = load(arguments.data_dir)
        share, shares = map(int, arguments.share.split("/"))
        for job in missing(arguments.only, cache, share, shares):
            cache.add(finished := run(job, train, test))
            print(*vars(job).values(), f"{finished['accuracy'][-1]:.4f}", sep=", ", flush=True)
    records.write(arguments.output, report(cache()))


if __name__ == "__main__":
    main()
