"""A perceptron in NumPy, or logistic regression without its hidden layer, as the task of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flskew import LabelPrior, LocalTerm
from flskew.client import LogitTransform
from flskew.shifts import View
from flskew.typing import Config, Parameters, Rows

Floats: TypeAlias = NDArray[np.float32]
Classes: TypeAlias = NDArray[np.int64]

# The clients of a split.
MOST_SEEN = 10


@dataclass(frozen=True, eq=False)
class Table:
    """Features, (num_rows, ...) float32, and classes, (num_rows,) from 0."""

    features: Floats
    classes: Classes

    def __len__(self) -> int:
        return len(self.classes)

    def seen(self, rows: Rows, view: View | None) -> Table:
        """Return these rows with flat features, as a client sees them."""
        features, classes = self.features[rows], self.classes[rows]
        if view is not None:
            features, classes = view.features(features, rows), view.labels(classes, rows)
        return Table(features.reshape(len(rows), -1), classes)


@dataclass(frozen=True)
class Recipe:
    """How a client trains: plain SGD, with equal batches of this size or slightly more."""

    hidden: int
    batch_size: int
    learning_rate: float
    local_epochs: int


class Perceptron:
    """A task of a study: softmax cross entropy on `hidden` rectified units or, if it is 0, on the features.

    Args:
        name: What it is called.
        train: The training rows.
        test: The test rows.
        recipe: The model, and how to train it.
        sites: Numbers of training and of test rows by real site, in the order of the rows; empty without sites.
    """

    def __init__(
        self,
        name: str,
        train: Table,
        test: Table,
        recipe: Recipe,
        sites: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        self.name, self.train, self.test, self.recipe, self.sites = name, train, test, recipe, dict(sites or {})
        self.num_classes = int(train.classes.max()) + 1

    @property
    def labels(self) -> Classes:
        """(num_rows,) class of each training row."""
        return self.train.classes

    @property
    def test_labels(self) -> Classes:
        """(num_test_rows,) class of each test row."""
        return self.test.classes

    @cached_property
    def digest(self) -> str:
        """Digest of the data: 16 hexadecimal digits."""
        state = blake2b(digest_size=8)
        for table in (self.train, self.test):
            for array in (table.features, table.classes):
                state.update(f"{array.shape}{array.dtype}".encode())
                state.update(np.ascontiguousarray(array).data)
        return state.hexdigest()

    def __repr__(self) -> str:
        return f"Perceptron({self.name!r}, {self.recipe!r}, data={self.digest!r})"

    def initial(self, seed: int) -> Parameters:
        """Return weights from N(0, 1 / fan_in) and biases of 0 or, for logistic regression, zeros."""
        num_features = int(np.prod(self.train.features.shape[1:]))
        if not self.recipe.hidden:
            return [np.zeros((num_features, self.num_classes), np.float32), np.zeros(self.num_classes, np.float32)]
        rng = np.random.default_rng(seed)
        parameters: Parameters = []
        for shape in ((num_features, self.recipe.hidden), (self.recipe.hidden, self.num_classes)):
            weights = rng.standard_normal(shape) / np.sqrt(shape[0])
            parameters += [weights.astype(np.float32), np.zeros(shape[1], np.float32)]
        return parameters

    def client(self, rows: Rows, view: View | None = None) -> Client:
        """Return a client that trains on these rows."""
        return Client(self._train(rows, view), self.num_classes, self.recipe)

    def evaluate(self, parameters: Parameters, rows: Rows, view: View | None = None) -> dict[str, float]:
        """Return the accuracy, the mean cross entropy and, with two classes, the area under the ROC curve.

        The area is NaN if all rows are of one class.
        """
        table = self.test.seen(rows, view)
        with np.errstate(over="ignore", invalid="ignore"):  # of a model that diverges
            logits = forward(parameters, table.features)[-1]
            above = logits - logits.max(axis=1, keepdims=True)
            losses = np.log(np.exp(above).sum(axis=1)) - above[np.arange(len(table)), table.classes]
        found = {"accuracy": float((logits.argmax(axis=1) == table.classes).mean()), "loss": float(losses.mean())}
        if self.num_classes == 2:
            found["auc"] = area_under_curve(logits[:, 1] - logits[:, 0], table.classes == 1)
        return found

    @cached_property
    def _seen(self) -> dict[tuple[object, ...], Table]:
        """What clients see through a shift: it takes long to compute, and each asks for it in every round."""
        return {}

    def _train(self, rows: Rows, view: View | None) -> Table:
        if view is None or type(view) is not View:  # the pooled client's view depends on the whole split
            return self.train.seen(rows, view)
        key = (repr(view.shift), view.partition_id, view.num_partitions, rows.tobytes())
        if key not in self._seen:
            if len(self._seen) >= MOST_SEEN:
                self._seen.clear()
            self._seen[key] = self.train.seen(rows, view)
        return self._seen[key]


class Client:
    """Trains the perceptron on its rows.

    `config["loss"]` is the name of a method of `LabelPrior` and `config["strength"]` its argument; without them, the
    loss is the plain cross entropy.
    """

    def __init__(self, table: Table, num_classes: int, recipe: Recipe) -> None:
        self.table, self.recipe = table, recipe
        self.label_counts = np.bincount(table.classes, minlength=num_classes)

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, Any]]:
        """Train for the local epochs."""
        term = LocalTerm.from_config(config, parameters)
        transform = self._transform(config)
        rng = np.random.default_rng(int(config["seed"]))
        # Equal batches: a few rows left over would move the model as far as a batch does, and FedDyn and SCAFFOLD
        # remember it.
        num_batches = max(1, len(self.table) // self.recipe.batch_size)
        with np.errstate(over="ignore", invalid="ignore"):  # a server drops replies that are not finite
            for _ in range(self.recipe.local_epochs):
                for rows in np.array_split(rng.permutation(len(self.table)), num_batches):
                    features, classes = self.table.features[rows], self.table.classes[rows]
                    gradients = gradients_of_loss(parameters, features, classes, transform)
                    term.add_gradient(parameters, gradients)
                    for array, gradient in zip(parameters, gradients, strict=True):
                        array -= np.float32(self.recipe.learning_rate) * gradient
        return parameters, len(self.table), {}

    def _transform(self, config: Config) -> LogitTransform | None:
        if "loss" not in config:
            return None
        strengths = [float(config["strength"])] if "strength" in config else []
        transform: LogitTransform = getattr(LabelPrior(self.label_counts), str(config["loss"]))(*strengths)
        return transform


def forward(parameters: Parameters, features: Floats) -> list[Floats]:
    """Return the outputs of the layers, the features first and the logits last."""
    outputs = [features]
    for place in range(0, len(parameters), 2):
        weights, biases = parameters[place : place + 2]
        inputs = outputs[-1] if place == 0 else np.maximum(outputs[-1], 0)
        outputs.append(inputs @ weights + biases)
    return outputs


def gradients_of_loss(
    parameters: Parameters, features: Floats, classes: Classes, transform: LogitTransform | None
) -> Parameters:
    """Return the gradients of the mean cross entropy of `logits * scale + offset`."""
    outputs = forward(parameters, features)
    logits = outputs.pop()
    if transform is not None:
        logits = logits * transform.scale + transform.offset
    slopes = np.exp(logits - logits.max(axis=1, keepdims=True))
    slopes /= slopes.sum(axis=1, keepdims=True)
    slopes[np.arange(len(classes)), classes] -= 1
    slopes /= np.float32(len(classes))
    if transform is not None:
        slopes *= transform.scale
    gradients: Parameters = []
    for place in range(len(parameters) - 2, -1, -2):
        inputs = outputs.pop()
        inputs = inputs if place == 0 else np.maximum(inputs, 0)
        gradients = [inputs.T @ slopes, slopes.sum(axis=0), *gradients]
        if place:
            slopes = (slopes @ parameters[place].T) * (inputs > 0)
    return gradients


def area_under_curve(scores: Floats, is_positive: NDArray[np.bool_]) -> float:
    """Return the probability that a positive row scores higher than a negative one, ties counted half."""
    num_positive = int(is_positive.sum())
    pairs = num_positive * (len(scores) - num_positive)
    if not pairs:
        return float("nan")
    _, ranks, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2  # the mean rank of equal scores, from 1
    return float((middle[ranks[is_positive]].sum() - num_positive * (num_positive + 1) / 2) / pairs)
