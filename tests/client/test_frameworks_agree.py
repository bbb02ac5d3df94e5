"""Three hospitals in NumPy, PyTorch, Keras and JAX: the same seed and start end at the same model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context
from flwr.serverapp.strategy import Result
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from flskew import FedAvg, FedProx, LabelExclusionPartitioner, LocalGrid, LocalTerm, client_app, partition_id
from flskew._arrays.records import parameters_from_record

Arrays = list[NDArray[Any]]

SIZES = (64, 16, 10)
STEPS, ROUNDS, RATE = 10, 3, 0.5

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

    def __init__(self, images: NDArray[np.float32], digits: NDArray[np.int64]) -> None: ...

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]: ...


class NumPyHospital:
    def __init__(self, images: NDArray[np.float32], digits: NDArray[np.int64]) -> None:
        self.images, self.digits = images, digits

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]:
        term = LocalTerm.from_config(config, parameters)
        w1, b1, w2, b2 = parameters
        count, targets = len(self.digits), np.eye(10, dtype=np.float32)[self.digits]
        for _ in range(STEPS):
            hidden = np.maximum(self.images @ w1 + b1, 0)
            logits = hidden @ w2 + b2
            chances = np.exp(logits - logits.max(1, keepdims=True))
            chances /= chances.sum(1, keepdims=True)
            slope = (chances - targets) / np.float32(count)
            back = (slope @ w2.T) * (hidden > 0)
            gradients = [self.images.T @ back, back.sum(0), hidden.T @ slope, slope.sum(0)]
            term.add_gradient(parameters, gradients)
            for w, gradient in zip(parameters, gradients, strict=True):
                w -= np.float32(RATE) * gradient
        return parameters, count, {}


class TorchHospital:
    def __init__(self, images: NDArray[np.float32], digits: NDArray[np.int64]) -> None:
        self.images, self.digits = images, digits

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]:
        import torch

        from flskew.client import torch as flskew_torch

        model = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))
        # The weight of PyTorch's Linear is transposed.
        flskew_torch.set_parameters(model, [array.T for array in parameters])
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        flskew_torch.LocalTerm.from_config(config, model).attach(optimizer)
        images, digits = torch.from_numpy(self.images), torch.from_numpy(self.digits)
        for _ in range(STEPS):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), digits).backward()
            optimizer.step()
        return [array.T for array in flskew_torch.get_parameters(model)], len(digits), {}


class KerasHospital:
    """Keeps its model for all rounds, so that Keras compiles it once."""

    def __init__(self, images: NDArray[np.float32], digits: NDArray[np.int64]) -> None:
        import keras

        self.images, self.digits = images, digits
        layers = keras.layers
        self.model = keras.Sequential([keras.Input((64,)), layers.Dense(16, activation="relu"), layers.Dense(10)])
        self.model.compile(keras.optimizers.SGD(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]:
        from flskew.client import keras as flskew_keras

        flskew_keras.set_parameters(self.model, parameters)
        flskew_keras.LocalTerm.from_config(config, self.model).attach()
        count = len(self.digits)
        # Sums in another order are rounded differently.
        self.model.fit(self.images, self.digits, batch_size=count, epochs=STEPS, shuffle=False, verbose=0)
        return flskew_keras.get_parameters(self.model), count, {}


class JaxHospital:
    def __init__(self, images: NDArray[np.float32], digits: NDArray[np.int64]) -> None:
        self.images, self.digits = images, digits

    def fit(self, parameters: Arrays, config: Mapping[str, Any]) -> tuple[Arrays, int, dict[str, float]]:
        import jax
        import jax.numpy as jnp

        from flskew.client import jax as flskew_jax

        tree = [(jnp.zeros((64, 16)), jnp.zeros(16)), (jnp.zeros((16, 10)), jnp.zeros(10))]
        tree = flskew_jax.set_parameters(tree, parameters)
        term = flskew_jax.LocalTerm.from_config(config, tree)

        def loss(tree: Any) -> Any:
            (w1, b1), (w2, b2) = tree
            logs = jax.nn.log_softmax(jax.nn.relu(self.images @ w1 + b1) @ w2 + b2)
            return -logs[jnp.arange(len(self.digits)), self.digits].mean()

        @jax.jit
        def step(tree: Any, term: Any) -> Any:
            gradients = term.add_gradient(tree, jax.grad(loss)(tree))
            return jax.tree_util.tree_map(lambda w, g: w - RATE * g, tree, gradients)

        for _ in range(STEPS):
            tree = step(tree, term)
        return flskew_jax.get_parameters(tree), len(self.digits), {}


def train(hospital: Callable[..., Hospital], strategy: FedAvg) -> Arrays:
    hospitals = [hospital(IMAGES[rows], DIGITS[rows]) for rows in HOSPITALS]

    def client_fn(context: Context) -> Hospital:
        return hospitals[partition_id(context)]

    result: Result = strategy.start(LocalGrid(client_app(client_fn), 3), ArrayRecord(start()), num_rounds=ROUNDS)
    return [np.array(array) for array in parameters_from_record(result.arrays)]


STRATEGIES = {
    "FedAvg": partial(FedAvg, fraction_evaluate=0.0),
    "FedProx": partial(FedProx, fraction_evaluate=0.0, proximal_mu=0.1),
}
FRAMEWORKS = [
    pytest.param(TorchHospital, marks=pytest.mark.torch),
    pytest.param(KerasHospital, marks=pytest.mark.tensorflow),
    pytest.param(JaxHospital, marks=pytest.mark.jax),
]


@pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES)
@pytest.mark.parametrize("hospital", FRAMEWORKS)
def test_every_framework_ends_at_the_same_model_as_numpy(
    hospital: Callable[..., Hospital], make: Callable[[], FedAvg]
) -> None:
    for ours, numpys in zip(train(hospital, make()), train(NumPyHospital, make()), strict=True):
        np.testing.assert_allclose(ours, numpys, rtol=0, atol=1e-4)


def test_the_numpy_hospitals_learn_and_the_term_matters() -> None:
    """Otherwise their agreement would prove nothing."""
    averaged, proximal = (train(NumPyHospital, make()) for make in STRATEGIES.values())
    for w1, b1, w2, b2 in (averaged, proximal):
        guesses = (np.maximum(IMAGES @ w1 + b1, 0) @ w2 + b2).argmax(1)
        assert (guesses == DIGITS).mean() > 0.6
    assert max(np.abs(a - b).max() for a, b in zip(averaged, proximal, strict=True)) > 0.01


@pytest.mark.parametrize("hospital", [NumPyHospital, *FRAMEWORKS])
def test_fedprox_with_mu_zero_gives_fedavgs_model_bit_for_bit(hospital: Callable[..., Hospital]) -> None:
    fedprox = FedProx(fraction_evaluate=0.0, proximal_mu=0.0)
    for ours, fedavgs in zip(train(hospital, fedprox), train(hospital, STRATEGIES["FedAvg"]()), strict=True):
        np.testing.assert_array_equal(ours, fedavgs, strict=True)
