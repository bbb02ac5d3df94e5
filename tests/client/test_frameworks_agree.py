"""Three hospitals in NumPy, PyTorch, Keras, JAX and scikit-learn: the same seed and start end at the same model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from typing import Any, ClassVar, Protocol

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context
from flwr.serverapp.strategy import Result
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from flskew import (
    FedAvg,
    FedDyn,
    FedNova,
    FedProx,
    LabelExclusionPartitioner,
    LocalGrid,
    LocalTerm,
    Scaffold,
    client_app,
    partition_id,
)
from flskew._arrays.records import parameters_from_record

Arrays = list[NDArray[Any]]

SIZES = (64, 16, 10)
ROUNDS, RATE = 3, 0.3
STEPS = (4, 7, 10)
"""Of each hospital in each round."""

IMAGES, DIGITS = load_digits(return_X_y=True)
IMAGES = (IMAGES / 16).astype(np.float32)
HOSPITALS = LabelExclusionPartitioner([{1, 3, 7}, {2, 5, 8}, {4, 6, 9}], seed=5).assign(DIGITS)


def start() -> Arrays:
    """Weight (inputs, outputs) and bias, layer by layer."""
    rng = np.random.default_rng(11)
    shapes = [(SIZES[0], SIZES[1]), (SIZES[1],), (SIZES[1], SIZES[2]), (SIZES[2],)]
    return [(rng.standard_normal(shape) * 0.2).astype(np.float32) for shape in shapes]


class Hospital(Protocol):
    """Trains on its own rows, all of them in each step."""

    is_transposed: ClassVar[bool]

    def __init__(self, images: NDArray[np.float32], digits: NDArray[np.int64], steps: int) -> None: ...

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]: ...


class NumPyHospital:
    is_transposed = False

    def __init__(self, images: NDArray[np.float32], digits: NDArray[np.int64], steps: int) -> None:
        self.images, self.digits, self.steps = images, digits, steps

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]:
        term = LocalTerm.from_config(config, parameters)
        for _ in range(self.steps):
            gradients = self.gradients(parameters)
            term.add_gradient(parameters, gradients)
            self.descend(parameters, gradients)
        return parameters, len(self.digits), {}

    def gradients(self, parameters: Arrays) -> Arrays:
        w1, b1, w2, b2 = parameters
        count, targets = len(self.digits), np.eye(10, dtype=np.float32)[self.digits]
        hidden = np.maximum(self.images @ w1 + b1, 0)
        logits = hidden @ w2 + b2
        chances = np.exp(logits - logits.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        slope = (chances - targets) / np.float32(count)
        back = (slope @ w2.T) * (hidden > 0)
        return [self.images.T @ back, back.sum(0), hidden.T @ slope, slope.sum(0)]

    @staticmethod
    def descend(parameters: Arrays, gradients: Arrays) -> None:
        for w, gradient in zip(parameters, gradients, strict=True):
            w -= np.float32(RATE) * gradient


class NumPyStepHospital(NumPyHospital):
    """With the term's exact step after each update, as in scikit-learn."""

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]:
        term = LocalTerm.from_config(config, parameters)
        for _ in range(self.steps):
            self.descend(parameters, self.gradients(parameters))
            term.step(parameters, RATE)
        return parameters, len(self.digits), {}


class TorchHospital:
    is_transposed = True

    def __init__(self, images: NDArray[np.float32], digits: NDArray[np.int64], steps: int) -> None:
        self.images, self.digits, self.steps = images, digits, steps

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]:
        import torch

        from flskew.client import torch as flskew_torch

        model = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))
        flskew_torch.set_parameters(model, parameters)
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        flskew_torch.LocalTerm.from_config(config, model).attach(optimizer)
        images, digits = torch.from_numpy(self.images), torch.from_numpy(self.digits)
        for _ in range(self.steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), digits).backward()
            optimizer.step()
        return flskew_torch.get_parameters(model), len(digits), {}


class KerasHospital:
    """Keeps its model for all rounds, so that Keras compiles it once."""

    is_transposed = False

    def __init__(self, images: NDArray[np.float32], digits: NDArray[np.int64], steps: int) -> None:
        import keras

        self.images, self.digits, self.steps = images, digits, steps
        layers = keras.layers
        self.model = keras.Sequential([keras.Input((64,)), layers.Dense(16, activation="relu"), layers.Dense(10)])
        self.model.compile(keras.optimizers.SGD(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]:
        from flskew.client import keras as flskew_keras

        flskew_keras.set_parameters(self.model, parameters)
        flskew_keras.LocalTerm.from_config(config, self.model).attach()
        count = len(self.digits)
        # Sums in another order are rounded differently.
        self.model.fit(self.images, self.digits, batch_size=count, epochs=self.steps, shuffle=False, verbose=0)
        return flskew_keras.get_parameters(self.model), count, {}


class JaxHospital:
    """Keeps its step for all rounds, so that JAX compiles it once."""

    is_transposed = False

    def __init__(self, images: NDArray[np.float32], digits: NDArray[np.int64], steps: int) -> None:
        import jax
        import jax.numpy as jnp
        import optax

        self.images, self.digits, self.steps = images, digits, steps
        self.optimizer = optax.sgd(RATE)

        def loss(tree: Any) -> Any:
            (w1, b1), (w2, b2) = tree
            logs = jax.nn.log_softmax(jax.nn.relu(self.images @ w1 + b1) @ w2 + b2)
            return -logs[jnp.arange(len(self.digits)), self.digits].mean()

        @partial(jax.jit, static_argnums=0)
        def step(update: Any, tree: Any, state: Any) -> Any:
            updates, state = update(jax.grad(loss)(tree), state, tree)
            return optax.apply_updates(tree, updates), state

        self.step = step

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]:
        import jax.numpy as jnp

        from flskew.client import jax as flskew_jax

        tree = [(jnp.zeros((64, 16)), jnp.zeros(16)), (jnp.zeros((16, 10)), jnp.zeros(10))]
        tree = flskew_jax.set_parameters(tree, parameters)
        term = flskew_jax.LocalTerm.from_config(config, tree)
        init, update = term.attach(self.optimizer)
        state = init(tree)
        for _ in range(self.steps):
            tree, state = self.step(update, tree, state)
        term.collect(state)
        return flskew_jax.get_parameters(tree), len(self.digits), {}


class SklearnHospital:
    is_transposed = False

    def __init__(self, images: NDArray[np.float32], digits: NDArray[np.int64], steps: int) -> None:
        self.images, self.digits, self.steps = images, digits, steps

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]:
        from sklearn.neural_network import MLPClassifier

        from flskew.client import sklearn as flskew_sklearn

        count = len(self.digits)
        plain = {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False, "alpha": 0.0}
        model = MLPClassifier((16,), **plain, learning_rate_init=RATE, batch_size=count, shuffle=False, random_state=0)
        flskew_sklearn.prepare(model, num_features=64, classes=range(10), dtype=np.float32)
        flskew_sklearn.set_parameters(model, parameters)
        term = flskew_sklearn.LocalTerm.from_config(config, model)
        for _ in range(self.steps):
            model.partial_fit(self.images, self.digits)
            term.step(RATE)
        return flskew_sklearn.get_parameters(model), count, {}


def train(hospital: type[Hospital], strategy: FedAvg) -> Arrays:
    hospitals = [hospital(IMAGES[rows], DIGITS[rows], count) for rows, count in zip(HOSPITALS, STEPS, strict=True)]

    def client_fn(context: Context) -> Hospital:
        return hospitals[partition_id(context)]

    def turned(arrays: Arrays) -> Arrays:
        return [array.T for array in arrays] if hospital.is_transposed else arrays

    initial = ArrayRecord(turned(start()))
    result: Result = strategy.start(LocalGrid(client_app(client_fn), 3), initial, num_rounds=ROUNDS)
    return turned([np.array(array) for array in parameters_from_record(result.arrays)])


STRATEGIES = {
    "FedAvg": partial(FedAvg, fraction_evaluate=0.0),
    "FedProx": partial(FedProx, fraction_evaluate=0.0, proximal_mu=0.1),
    "FedDyn": partial(FedDyn, fraction_evaluate=0.0, alpha=0.1),
    "Scaffold": partial(Scaffold, fraction_evaluate=0.0),
    "FedNova": partial(FedNova, fraction_evaluate=0.0),
}
MARKS = {TorchHospital: pytest.mark.torch, KerasHospital: pytest.mark.tensorflow, JaxHospital: pytest.mark.jax}
HOSPITAL_TYPES = [
    NumPyHospital,
    SklearnHospital,
    *(pytest.param(hospital, marks=mark) for hospital, mark in MARKS.items()),
]


@pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES)
@pytest.mark.parametrize("hospital", HOSPITAL_TYPES[1:])
def test_every_framework_ends_at_the_same_model_as_numpy(hospital: type[Hospital], make: Callable[[], FedAvg]) -> None:
    # An exact step on the term ends at another model than its gradient.
    numpys = NumPyStepHospital if hospital is SklearnHospital else NumPyHospital
    for ours, theirs in zip(train(hospital, make()), train(numpys, make()), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_the_numpy_hospitals_learn_and_each_strategy_matters() -> None:
    """Otherwise their agreement would prove nothing."""
    ends = [train(NumPyHospital, make()) for make in STRATEGIES.values()]
    for w1, b1, w2, b2 in ends:
        guesses = (np.maximum(IMAGES @ w1 + b1, 0) @ w2 + b2).argmax(1)
        assert (guesses == DIGITS).mean() > 0.5
    for one, other in combinations(ends, 2):
        assert max(np.abs(a - b).max() for a, b in zip(one, other, strict=True)) > 0.005


@pytest.mark.parametrize("hospital", HOSPITAL_TYPES)
def test_fedprox_with_mu_zero_gives_fedavgs_model_bit_for_bit(hospital: type[Hospital]) -> None:
    fedprox = FedProx(fraction_evaluate=0.0, proximal_mu=0.0)
    for ours, fedavgs in zip(train(hospital, fedprox), train(hospital, STRATEGIES["FedAvg"]()), strict=True):
        np.testing.assert_array_equal(ours, fedavgs, strict=True)
