"""Models of one dtype under servers that send another, as Flower's adaptive strategies do from round 2 on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import flwr.serverapp.strategy as flower
import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, RecordDict
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from flskew import DirichletPartitioner, LocalGrid, client_app, partition_id
from flskew._arrays.bfloat16 import bfloat16_from_float32
from flskew._arrays.records import record_from_parameters
from flskew.client import sklearn as client_sklearn
from flskew.strategies import Checked

Arrays = list[NDArray[Any]]

IMAGES, DIGITS = load_digits(return_X_y=True)
IMAGES, DIGITS = (IMAGES[::2] / 16).astype(np.float32), DIGITS[::2]
SPLIT = DirichletPartitioner(4, alpha=0.5).assign(DIGITS)
FLOWERS: dict[str, Callable[[], Any]] = {
    "FedAdam": lambda: flower.FedAdam(eta=0.05),
    "FedYogi": lambda: flower.FedYogi(eta=0.05),
    "FedAdagrad": lambda: flower.FedAdagrad(eta=0.1),
    "QFedAvg": lambda: flower.QFedAvg(client_learning_rate=0.5, q=0.1),
}


class Softmax:
    """Softmax regression in float32, whatever dtype is received."""

    def __init__(self, context: Context) -> None:
        rows = SPLIT[partition_id(context)]
        self.images, self.one_hot = IMAGES[rows], np.eye(10, dtype=np.float32)[DIGITS[rows]]

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
        weight, bias = (array.astype(np.float32) for array in parameters)
        for _ in range(20):
            error = probabilities(weight, bias, self.images) - self.one_hot
            weight -= np.float32(0.5) * self.images.T @ error / np.float32(len(error))
            bias -= np.float32(0.5) * error.mean(axis=0)
        loss = float(-(np.log(probabilities(weight, bias, self.images) + 1e-9) * self.one_hot).sum(axis=1).mean())
        return [weight, bias], len(self.images), {"train_loss": loss}


def probabilities(weight: NDArray[Any], bias: NDArray[Any], images: NDArray[Any]) -> NDArray[Any]:
    logits = images @ weight + bias
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def train(strategy: Any, client: Any, start: Arrays, num_rounds: int = 8) -> Arrays:
    strategy.fraction_evaluate = 0.0
    with LocalGrid(client_app(client), len(SPLIT)) as grid:
        return strategy.start(grid, ArrayRecord(start), num_rounds=num_rounds).arrays.to_numpy_ndarrays()


@pytest.fixture
def _few_objects() -> Iterator[None]:
    """Flower's QFedAvg collects garbage for each record, which takes 0.3 s with all of pytest's objects."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_few_objects")
@pytest.mark.parametrize("name", FLOWERS)
def test_flowers_adaptive_strategies_train_a_float32_client_with_and_without_checked(name: str) -> None:
    start = [np.zeros((64, 10), np.float32), np.zeros(10, np.float32)]
    bare = train(FLOWERS[name](), Softmax, start)
    checked = train(Checked(FLOWERS[name]()), Softmax, start)
    if name in ("FedAdam", "QFedAvg") and np.__version__ >= "2":  # as NumPy 2 promotes dtypes
        assert {array.dtype for array in bare} == {np.dtype(np.float64)}
    assert {array.dtype for array in checked} == {np.dtype(np.float32)}
    bare_score, checked_score = (
        float((probabilities(*arrays, IMAGES).argmax(axis=1) == DIGITS).mean()) for arrays in (bare, checked)
    )
    assert checked_score > 0.8
    assert abs(bare_score - checked_score) < 0.01


def replied(sent: ArrayRecord, returned: Any) -> ArrayRecord | str:
    class Returns:
        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            return [returned], 1, {}

    with LocalGrid(client_app(lambda context: Returns()), 1) as grid:
        (reply,) = grid.send_and_receive([Message(RecordDict({"arrays": sent}), 1000, "train")])
    return reply.error.reason if reply.has_error() else reply.content["arrays"]  # type: ignore[return-value]


VALUES = [0, 1, 2]


@pytest.mark.parametrize(
    ("received", "returned"),
    [
        ("float64", "float32"), ("float64", "float16"), ("float32", "float16"), ("complex64", "float32"),
        (">f8", "<f8"), ("<f4", ">f4"), ("int64", "int32"), ("int64", "uint8"), ("float32", "int16"),
        ("float64", "int32"), ("float64", "int64"), ("float64", "uint64"), ("float32", "bool"), ("int8", "bool"),
    ],
)  # fmt: skip
def test_an_array_whose_dtype_converts_exactly_is_converted(received: str, returned: str) -> None:
    array = np.array(VALUES).astype(returned)
    arrays = replied(ArrayRecord([np.zeros(3, received)]), array)
    assert not isinstance(arrays, str), arrays
    np.testing.assert_array_equal(arrays["0"].numpy(), array.astype(received), strict=True)


@pytest.mark.parametrize(
    ("received", "returned"),
    [
        ("float32", "float64"), ("float16", "float32"), ("int32", "int64"), ("int64", "uint64"), ("uint8", "int8"),
        ("int64", "float32"), ("float32", "int32"), ("float32", "complex64"), ("bool", "int8"), ("<U3", "int8"),
        ("float32", "<U3"),
    ],
)  # fmt: skip
def test_an_array_whose_conversion_may_lose_digits_is_refused(received: str, returned: str) -> None:
    reason = replied(ArrayRecord([np.zeros(3, received)]), np.array(VALUES).astype(returned))
    assert isinstance(reason, str)
    assert f"array '0' was received as {np.dtype(received)} and returned as {np.dtype(returned)}" in reason


@pytest.mark.parametrize(
    ("value", "is_exact"), [(2**53 - 1, True), (1 - 2**53, True), (2**53 + 1, False), (2**62, False)]
)
def test_a_counter_becomes_a_float_only_below_two_to_the_53(value: int, is_exact: bool) -> None:
    arrays = replied(ArrayRecord([np.zeros((), np.float64)]), np.array(value))
    assert isinstance(arrays, ArrayRecord) == is_exact


@pytest.mark.parametrize("received", ["float32", "float64"])
def test_bfloat16_widens_exactly(received: str) -> None:
    values = np.array([1.0, 1.0078125], np.float32)
    arrays = replied(ArrayRecord([np.zeros(2, received)]), bfloat16_from_float32(values))
    assert not isinstance(arrays, str), arrays
    np.testing.assert_array_equal(arrays["0"].numpy(), values.astype(received), strict=True)


def test_only_float32_becomes_bfloat16() -> None:
    sent = record_from_parameters([bfloat16_from_float32(np.zeros(1, np.float32))])
    assert isinstance(replied(sent, np.zeros(1, np.float32)), ArrayRecord)
    for dtype in ("float16", "float64", "int8"):
        assert "use .astype('float32')" in replied(sent, np.zeros(1, dtype))


# Weights of a float32 model after a step in float64 on the server, which float32 does not represent.
STEP = 1e-3 / 3


def test_a_float32_scikit_learn_model_accepts_float64_and_rounds_to_the_nearest() -> None:
    model = MLPClassifier((8,), random_state=0)
    client_sklearn.prepare(model, 64, classes=range(10), dtype=np.float32)
    sent = [array.astype(np.float64) + STEP for array in client_sklearn.get_parameters(model)]
    client_sklearn.set_parameters(model, sent)
    check_rounded(client_sklearn.get_parameters(model), sent)
    model.partial_fit(IMAGES, DIGITS)
    assert {array.dtype for array in client_sklearn.get_parameters(model)} == {np.dtype(np.float32)}


def check_rounded(arrays: Arrays, sent: Arrays) -> None:
    for array, wide in zip(arrays, sent, strict=True):
        if array.dtype.kind == "i":
            assert array == np.rint(wide)
        else:
            np.testing.assert_array_equal(array, wide.astype(np.float32), strict=True)
            assert np.any(array != wide)


@pytest.mark.torch
def test_a_pytorch_model_with_batchnorm_trains_under_bare_fedadam() -> None:
    import torch

    from flskew.client.torch import get_parameters, set_parameters

    def network() -> Any:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 10))

    model = network()
    sent = [array.astype(np.float64) + STEP for array in get_parameters(model)]
    set_parameters(model, sent)
    check_rounded(get_parameters(model), sent)

    class Torch:
        def __init__(self, context: Context) -> None:
            rows = SPLIT[partition_id(context)]
            self.images, self.digits = torch.from_numpy(IMAGES[rows]), torch.from_numpy(DIGITS[rows])

        def fit(self, parameters: Arrays, config: dict[str, Any]) -> Any:
            model = network()
            set_parameters(model, parameters)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
            for _ in range(20):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(self.images), self.digits).backward()
                optimizer.step()
            return get_parameters(model), len(self.images), {}

    def score(arrays: Arrays) -> float:
        model = network().eval()
        set_parameters(model, arrays)
        return float((model(torch.from_numpy(IMAGES)).argmax(1).numpy() == DIGITS).mean())

    start = get_parameters(network())
    bare = score(train(flower.FedAdam(eta=0.05), Torch, start))
    checked = score(train(Checked(flower.FedAdam(eta=0.05)), Torch, start))
    assert checked > 0.6
    assert abs(bare - checked) < 0.05


@pytest.mark.jax
def test_a_float32_jax_model_accepts_float64_and_rounds_to_the_nearest() -> None:
    import jax.numpy as jnp

    from flskew.client.jax import get_parameters, set_parameters

    tree = {"w": jnp.ones((3, 2)), "steps": jnp.array(3)}
    sent = [array.astype(np.float64) + STEP for array in get_parameters(tree)]
    check_rounded(get_parameters(set_parameters(tree, sent)), sent)


@pytest.mark.tensorflow
def test_a_float32_keras_model_accepts_float64_and_rounds_to_the_nearest() -> None:
    import keras

    from flskew.client.keras import get_parameters, set_parameters

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])
    sent = [array.astype(np.float64) + STEP for array in get_parameters(model)]
    set_parameters(model, sent)
    check_rounded(get_parameters(model), sent)
