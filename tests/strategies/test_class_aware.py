"""Class-aware averaging: the rows of the last layer, how the layer is found, and counts that are missing or forged."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier

from flskew import (
    ClassAware,
    FedAvg,
    FedProx,
    LabelExclusionPartitioner,
    LocalGrid,
    RoundError,
    client_app,
    without_local,
)
from flskew._arrays.bfloat16 import bfloat16_from_float32
from flskew._arrays.records import array_from_numpy, numpy_from_array
from flskew.client.sklearn import get_parameters, prepare
from flskew.strategies._head import find_head

if TYPE_CHECKING:
    from tests.strategies.conftest import MakesFederation

Arrays = Mapping[str, NDArray[Any]]

# Three clients and three classes: how many rows of each class a client holds.
COUNTS = [[2, 0, 4], [6, 3, 0], [0, 1, 12]]
# Every array of a client has this value.
VALUES = [1.0, 5.0, 9.0]
# Row 0: (2*1 + 6*5) / 8 = 4. Row 1: (3*5 + 1*9) / 4 = 6. Row 2: (4*1 + 12*9) / 16 = 7.
ROWS = [4.0, 6.0, 7.0]
# All other arrays: (6*1 + 9*5 + 13*9) / 28 = 6.
OTHERS = 6.0


def record(arrays: Arrays) -> ArrayRecord:
    return ArrayRecord({name: array_from_numpy(array) for name, array in arrays.items()})


def reply(arrays: Arrays, counts: Any, num_examples: int | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "arrays": record(arrays),
        "metrics": MetricRecord({"num-examples": num_examples or sum(counts)}),
    }
    if counts is not None:
        content["flskew-labels"] = ConfigRecord({"counts": counts})
    return content


def averaged(start: Arrays, replies: list[dict[str, Any]], federation: MakesFederation, **options: Any) -> Arrays:
    """Return the model after one round of these replies."""
    strategy = FedAvg(fraction_evaluate=0.0, averaging=ClassAware(**options))
    result = strategy.start(federation(*replies), record(start), num_rounds=1)
    return {name: numpy_from_array(array) for name, array in result.arrays.items()}


def shaped(**shapes: tuple[int, ...]) -> Arrays:
    return {name: np.zeros(shape) for name, shape in shapes.items()}


TORCH = shaped(fc1_weight=(4, 5), fc1_bias=(4,), fc2_weight=(3, 4), fc2_bias=(3,))
KERAS = shaped(kernel=(5, 4), bias=(4,), kernel_1=(4, 3), bias_1=(3,))
SCIKIT_LEARN = shaped(coef_=(3, 5), intercept_=(3,))


def filled(like: Arrays, value: float) -> Arrays:
    return {name: np.full_like(array, value) for name, array in like.items()}


@pytest.mark.parametrize(
    ("start", "head"),
    [
        pytest.param(TORCH, {"fc2_weight": 0, "fc2_bias": 0}, id="torch"),
        pytest.param(KERAS, {"kernel_1": 1, "bias_1": 0}, id="keras"),
        pytest.param(SCIKIT_LEARN, {"coef_": 0, "intercept_": 0}, id="sklearn"),
        pytest.param(TORCH, {"fc2_bias": 0}, id="a bias alone"),
        pytest.param(KERAS, {"kernel_1": -1}, id="a negative axis"),
    ],
)
def test_each_row_of_the_head_is_the_mean_over_the_clients_that_hold_its_class(
    start: Arrays, head: dict[str, int], federation: MakesFederation
) -> None:
    replies = [reply(filled(start, value), counts) for value, counts in zip(VALUES, COUNTS, strict=True)]
    model = averaged(start, replies, federation, head=head)
    for name, array in model.items():
        want = np.moveaxis(np.empty(array.shape), head.get(name, 0), 0)
        want.T[...] = ROWS if name in head else OTHERS
        np.testing.assert_array_equal(np.moveaxis(array, head.get(name, 0), 0), want, err_msg=name)


def random_array(shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> NDArray[Any]:
    numbers = rng.normal(0, 10, shape)
    return bfloat16_from_float32(numbers.astype(np.float32)) if dtype == "bfloat16" else numbers.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4", "float16", "bfloat16", "complex64", "int64", "uint8"])
@pytest.mark.parametrize("axis", [0, 1])
def test_equal_shares_of_all_classes_are_fedavg_bit_for_bit(dtype: str, axis: int, federation: MakesFederation) -> None:
    rng = np.random.default_rng(3)
    shapes = {"weight": (3, 70) if axis == 0 else (70, 3), "bias": (3,), "other": (5,)}
    models = [{name: random_array(shape, dtype, rng) for name, shape in shapes.items()} for _ in range(4)]
    if axis == 1:  # the layout of a transposed array, as some clients send
        models = [{**model, "weight": np.asfortranarray(model["weight"])} for model in models]
    # Every client has 2 : 3 : 7, so that n_kc / n_c = n_k / n for every class c.
    replies = [reply(model, [2 * k, 3 * k, 7 * k]) for model, k in zip(models, [1, 5, 11, 3], strict=True)]
    model = averaged(models[0], replies, federation, head={"weight": axis, "bias": 0})
    plain = FedAvg(fraction_evaluate=0.0).start(federation(*replies), record(models[0]), num_rounds=1).arrays
    for name, array in model.items():
        assert array.tobytes() == numpy_from_array(plain[name]).tobytes(), name


def test_a_class_that_no_reply_holds_keeps_the_row_that_was_sent(federation: MakesFederation) -> None:
    start = filled(SCIKIT_LEARN, -1.5)
    replies = [reply(filled(start, value), [n, 0, 1]) for value, n in ((1.0, 1), (3.0, 3))]
    model = averaged(start, replies, federation)
    # Row 0: (1*1 + 3*3) / 4 = 2.5. Row 2: (1 + 3) / 2 = 2.
    np.testing.assert_array_equal(model["intercept_"], [2.5, -1.5, 2.0])
    np.testing.assert_array_equal(model["coef_"], np.repeat([[2.5], [-1.5], [2.0]], 5, axis=1))


def test_a_row_is_untouched_by_clients_without_its_class_whatever_they_send(federation: MakesFederation) -> None:
    largest = float(np.finfo(np.float64).max)
    ours, theirs = filled(SCIKIT_LEARN, 1.0), filled(SCIKIT_LEARN, 1.0)
    theirs["intercept_"][0] = largest
    model = averaged(SCIKIT_LEARN, [reply(ours, [5, 5, 5]), reply(theirs, [0, 5, 5])], federation)
    np.testing.assert_array_equal(model["intercept_"], [1.0, 1.0, 1.0])


def test_a_dropped_reply_does_not_count_for_any_row(federation: MakesFederation) -> None:
    diverged = filled(SCIKIT_LEARN, 2.0)
    diverged["coef_"][1, 1] = np.nan
    replies = [reply(filled(SCIKIT_LEARN, 1.0), [1, 0, 1]), reply(diverged, [9, 9, 9])]
    model = averaged(filled(SCIKIT_LEARN, 7.0), replies, federation)
    np.testing.assert_array_equal(model["intercept_"], [1.0, 7.0, 1.0])


def test_a_reply_with_a_large_update_does_not_count_for_any_row(federation: MakesFederation) -> None:
    # The norm is over 18 numbers: sqrt(18) = 4.2 for the first reply, 18 * 4.2 for the second.
    replies = [reply(filled(SCIKIT_LEARN, 1.0), [1, 1, 1]), reply(filled(SCIKIT_LEARN, 18.0), [1, 1, 1])]
    strategy = FedAvg(fraction_evaluate=0.0, max_update_norm=5.0, averaging=ClassAware())
    result = strategy.start(federation(*replies), record(SCIKIT_LEARN), num_rounds=1)
    np.testing.assert_array_equal(result.arrays["intercept_"].numpy(), [1.0, 1.0, 1.0])
    assert [failure.node_id for failure in strategy.history[0].failures] == [1001]
    assert strategy.history[0].replies[0].update_norm == pytest.approx(18**0.5)


def test_only_the_clients_of_the_round_count(federation: MakesFederation) -> None:
    """Two of four clients train in a round, with new values; the history says which."""
    counts = [[1, 0, 0], [2, 3, 0], [0, 4, 0], [5, 6, 0]]

    def train(index: int, message: Message) -> Mapping[str, Any]:
        server_round = float(message.content["config"]["server-round"])  # type: ignore[arg-type]
        return reply(filled(SCIKIT_LEARN, index + 10 * server_round), counts[index])

    strategy = FedAvg(0.5, fraction_evaluate=0.0, averaging=ClassAware())
    result = strategy.start(federation(train=train, nodes=4), record(SCIKIT_LEARN), num_rounds=6)
    row = np.zeros(3)
    for entry in strategy.history:
        taken = [reply.node_id - 1000 for reply in entry.replies]
        assert len(taken) == 2
        for label in range(3):
            total = sum(counts[k][label] for k in taken)
            if total:
                row[label] = sum(counts[k][label] * (k + 10 * entry.server_round) for k in taken) / total
    np.testing.assert_allclose(result.arrays["intercept_"].numpy(), row, rtol=1e-15)


# Counts that are missing or forged, and the end of the reason.
FORGED = {
    "missing": (None, "make its app with flskew.client_app"),
    "one number": (5, "make its app with flskew.client_app"),
    "text": (["5", "5", "5"], "class 0 is '5'; it must be from 0 to 2^53"),
    "negative": ([5, -1, 5], "class 1 is -1; it must be from 0 to 2^53"),
    "not a number": ([5.0, 5.0, float("nan")], "class 2 is nan; it must be from 0 to 2^53"),
    "infinite": ([float("inf"), 5.0, 5.0], "class 0 is inf; it must be from 0 to 2^53"),
    "too large": ([5, 2**53 + 1, 5], "class 1 is 9007199254740993; it must be from 0 to 2^53"),
    "booleans": ([True, True, False], "class 0 is True; it must be from 0 to 2^53"),
    "all zero": ([0, 0, 0], "all zero; it must hold at least one row"),
    "empty": ([], "0 classes; there must be at least two"),
    "too short": ([5, 5], "2 classes, but those of most clients have 3; count every class of the federation"),
}


@pytest.mark.parametrize(("counts", "reason"), FORGED.values(), ids=FORGED)
def test_a_reply_whose_counts_are_missing_or_forged_is_dropped_with_a_reason(
    counts: Any, reason: str, federation: MakesFederation
) -> None:
    good = [reply(filled(SCIKIT_LEARN, value), [1, 1, 1]) for value in (1.0, 3.0)]
    strategy = FedAvg(fraction_evaluate=0.0, averaging=ClassAware())
    bad = reply(filled(SCIKIT_LEARN, 100.0), counts, num_examples=5)
    result = strategy.start(federation(bad, *good), record(SCIKIT_LEARN), num_rounds=1)
    assert [failure.node_id for failure in strategy.history[0].failures] == [1000]
    assert strategy.history[0].failures[0].reason.endswith(reason)
    for array in result.arrays.to_numpy_ndarrays():
        np.testing.assert_array_equal(array, 2.0)  # (1 + 3) / 2


def test_counts_in_a_record_of_another_kind_are_missing(federation: MakesFederation) -> None:
    bad = reply(filled(SCIKIT_LEARN, 1.0), None, num_examples=5)
    bad["flskew-labels"] = MetricRecord({"counts": [1, 1, 1]})
    with pytest.raises(RoundError, match="no label counts"):
        averaged(SCIKIT_LEARN, [bad, bad], federation)


def test_counts_of_another_length_than_a_named_head_are_dropped(federation: MakesFederation) -> None:
    replies = [reply(filled(SCIKIT_LEARN, 1.0), [1, 1, 1, 1])] * 2
    reason = "its label counts have 4 classes, but the last layer, 'coef_', has 3"
    with pytest.raises(RoundError, match=reason):
        averaged(SCIKIT_LEARN, replies, federation, head={"coef_": 0, "intercept_": 0})


def test_with_noise_a_reply_with_counts_of_zero_counts_for_all_other_arrays(federation: MakesFederation) -> None:
    replies = [reply(filled(TORCH, 1.0), [1, 1, 1]), reply(filled(TORCH, 3.0), [0, 0, 0], num_examples=3)]
    model = averaged(TORCH, replies, federation, count_noise=1.0)
    np.testing.assert_array_equal(model["fc2_bias"], 1.0)
    np.testing.assert_array_equal(model["fc1_bias"], 2.0)


# Names, shapes and the head among them, for ten classes.
FOUND: dict[str, tuple[dict[str, tuple[int, ...]], dict[str, int]]] = {
    "torch, perceptron": (
        {"0.weight": (32, 64), "0.bias": (32,), "2.weight": (10, 32), "2.bias": (10,)},
        {"2.weight": 0, "2.bias": 0},
    ),
    "torch, convolution and batch normalisation": (
        {
            "conv.weight": (6, 3, 5, 5),
            "conv.bias": (6,),
            "bn.weight": (6,),
            "bn.bias": (6,),
            "bn.running_mean": (6,),
            "bn.num_batches_tracked": (),
            "fc.weight": (10, 84),
            "fc.bias": (10,),
        },
        {"fc.weight": 0, "fc.bias": 0},
    ),
    "torch, kernels as wide as there are classes": (
        {"conv.weight": (16, 4, 10, 10), "conv.bias": (16,), "fc.weight": (10, 64), "fc.bias": (10,)},
        {"fc.weight": 0, "fc.bias": 0},
    ),
    "keras": ({"0": (64, 32), "1": (32,), "2": (32, 10), "3": (10,)}, {"2": 1, "3": 0}),
    "jax, last layer last": ({"0": (32,), "1": (64, 32), "2": (10,), "3": (32, 10)}, {"3": 1, "2": 0}),
    "jax, last layer first": (
        {"head.b": (10,), "head.w": (32, 10), "hidden.b": (32,), "hidden.w": (64, 32)},
        {"head.w": 1, "head.b": 0},
    ),
    "sklearn, linear": ({"0": (10, 64), "1": (10,)}, {"0": 0, "1": 0}),
    "arrays that stay on the clients": (
        {"bn.weight": (0,), "fc.weight": (10, 64), "fc.bias": (10,), "bn.bias": (0,)},
        {"fc.weight": 0, "fc.bias": 0},
    ),
}


@pytest.mark.parametrize(("shapes", "head"), FOUND.values(), ids=FOUND)
def test_the_head_is_found_by_its_shape(shapes: dict[str, tuple[int, ...]], head: dict[str, int]) -> None:
    kinds = {name: np.int64 if name.endswith("tracked") else np.float32 for name in shapes}
    arrays = record({name: np.zeros(shape, kinds[name]) for name, shape in shapes.items()})
    assert find_head(arrays, 10) == head


# Shapes of models for ten classes, or as many as the key says, and a part of the error.
AMBIGUOUS: dict[str, tuple[list[tuple[int, ...]], str]] = {
    "a square layer": ([(10, 10), (10,)], "finds '0' (10, 10), next to ['1']"),
    "a hidden layer as wide as the last": ([(10, 64), (10,), (10, 10), (10,)], "'0' (10, 64), '2' (10, 10)"),
    "as many features as classes": ([(10, 32), (32,), (32, 10), (10,)], "'0' (10, 32), '2' (32, 10)"),
    "as many channels as classes": ([(10, 1, 5, 5), (10,), (10, 64), (10,)], "'0' (10, 1, 5, 5), '2' (10, 64)"),
    "only a convolution": ([(10, 32, 1, 1), (10,)], "needs a matrix"),
    "no bias": ([(32, 64), (32,), (10, 32)], "finds '2' (10, 32), next to []"),
    "two biases": ([(10,), (10, 32), (10,)], "next to ['0', '2']"),
    "no layer": ([(32, 64), (32,)], "finds no layer with an output for each of the 10 classes"),
    "integers": ([(10, 32)], "finds no layer"),
}


@pytest.mark.parametrize(("shapes", "message"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_head_that_its_shape_does_not_tell_is_refused_with_the_remedy(
    shapes: list[tuple[int, ...]], message: str
) -> None:
    dtype = np.int64 if len(shapes) == 1 else np.float64
    with pytest.raises(ValueError, match=r"axis of their classes, e\.g\. ClassAware\(head=\{'") as error:
        find_head(ArrayRecord([np.zeros(shape, dtype) for shape in shapes]), 10)
    assert message in str(error.value)


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
def test_a_binary_model_of_scikit_learn_is_refused_because_it_has_one_output(kind: type[Any]) -> None:
    model = kind()
    prepare(model, num_features=8, classes=[False, True])
    arrays = ArrayRecord(get_parameters(model))
    with pytest.raises(ValueError, match=r"\(1, 8\).*single output for two classes.*give the model two outputs"):
        find_head(arrays, 2)
    with pytest.raises(ValueError, match=r"head\['0'\] is an axis of length 1.*give the model two outputs"):
        ClassAware(head={"0": 0})._request(arrays)


def test_an_ambiguous_head_ends_the_run_and_the_model_that_was_sent_is_kept(federation: MakesFederation) -> None:
    start = shaped(weight=(3, 3), bias=(3,))
    strategy = FedAvg(fraction_evaluate=0.0, averaging=ClassAware())
    with pytest.raises(ValueError, match=r"ClassAware\(head=\{'weight': 0, 'bias': 0\}\)"):
        strategy.start(federation(*[reply(start, [1, 1, 1])] * 2), record(start), num_rounds=1)
    assert list(strategy.result.arrays) == ["weight", "bias"]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        pytest.param({"fc3.weight": 0}, "names 'fc3.weight', but the model's arrays are", id="an unknown name"),
        pytest.param({"fc2_weight": 2}, "= 2, but the array has shape", id="an axis that does not exist"),
        pytest.param({"fc2_weight": 1, "fc2_bias": 0}, "axes have lengths", id="axes of different lengths"),
        pytest.param({"local": 0}, "'local', which is empty: a last layer that stays on", id="a private array"),
        pytest.param({"fc2_bias": 0, "local": 0}, "'local', which is empty: a last layer", id="a private bias"),
    ],
)
def test_a_head_that_does_not_fit_the_model_is_refused_before_any_client_trains(
    head: dict[str, int], message: str, federation: MakesFederation
) -> None:
    def train(index: int, message: Message) -> Mapping[str, Any]:
        raise AssertionError

    strategy = FedAvg(fraction_evaluate=0.0, averaging=ClassAware(head=head))
    with pytest.raises(ValueError, match=message):
        strategy.start(federation(train=train), record({**TORCH, "local": np.zeros(0)}), num_rounds=1)


@pytest.mark.parametrize("keep_local", [["fc2*"], ["fc2_bias"]], ids=["the whole layer", "its bias"])
@pytest.mark.parametrize("head", [None, {"fc2_weight": 0, "fc2_bias": 0}], ids=["found", "named"])
@pytest.mark.parametrize("start", [lambda arrays, _: arrays, without_local], ids=["sent", "not sent"])
def test_a_last_layer_that_stays_on_the_clients_is_refused_by_name(
    start: Any, head: dict[str, int] | None, keep_local: list[str]
) -> None:
    class Holder:
        label_counts = (1, 2, 3)

        def get_parameters(self, config: Any) -> Any:
            return list(TORCH.values())

        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 6, {}

    strategy = FedAvg(fraction_evaluate=0.0, averaging=ClassAware(head=head))
    with (
        LocalGrid(client_app(lambda context: Holder(), keep_local=keep_local), 2) as grid,
        pytest.raises(ValueError, match=r"'fc2_(bias|weight)'.*: a last layer that stays on the clients has no mean")
        if start is without_local
        else pytest.raises(RoundError, match=r"it keeps 'fc2_(bias|weight)' to itself: a last layer that stays"),
    ):
        strategy.start(grid, start(record(TORCH), keep_local), num_rounds=1)


@pytest.mark.parametrize("kept", [3, [-1], ["fc2_bias"], [True], [0.5], [7]], ids=repr)
def test_positions_of_private_arrays_that_make_no_sense_are_ignored(kept: Any, federation: MakesFederation) -> None:
    forged = reply(filled(TORCH, 1.0), [1, 1, 1])
    forged["flskew-labels"]["kept"] = kept
    model = averaged(TORCH, [forged, reply(filled(TORCH, 3.0), [1, 1, 1])], federation)
    np.testing.assert_array_equal(model["fc2_bias"], 2.0)


def test_private_arrays_other_than_the_last_layer_are_left_alone() -> None:
    class Holder:
        label_counts = (1, 2, 3)

        def fit(self, parameters: Any, config: Any) -> Any:
            return [array + 1 for array in parameters], 6, {}

    with LocalGrid(client_app(lambda context: Holder(), keep_local=["fc1*"]), 2) as grid:
        strategy = FedAvg(fraction_evaluate=0.0, averaging=ClassAware())
        model = strategy.start(grid, record(TORCH), num_rounds=2).arrays
    assert {name: array.numpy().ravel()[0] for name, array in model.items()} == {
        "fc1_weight": 0, "fc1_bias": 0, "fc2_weight": 2, "fc2_bias": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param({"head": "fc2.weight"}, TypeError, "head must map array names", id="a name alone"),
        pytest.param({"head": {0: 0}}, TypeError, "head must map array names", id="a number for a name"),
        pytest.param({"head": {"fc2.weight": "0"}}, TypeError, "must be an integer", id="text for an axis"),
        pytest.param({"head": {}}, ValueError, "head is empty", id="no arrays"),
        pytest.param({"count_noise": "5"}, TypeError, "count_noise must be a number of rows", id="text for noise"),
        pytest.param({"count_noise": True}, TypeError, "count_noise must be a number of rows", id="a boolean"),
        pytest.param({"count_noise": -1}, ValueError, "from 0 to 2.53, got -1", id="negative noise"),
        pytest.param({"count_noise": 10**400}, ValueError, "from 0 to 2.53, got 1000", id="endless noise"),
        pytest.param({"count_noise": float("nan")}, ValueError, "from 0 to 2.53, got nan", id="NaN"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ClassAware(**arguments)


def test_averaging_is_a_value_of_every_strategy_that_extends_fedavg() -> None:
    strategy = FedProx(proximal_mu=0.1, averaging=ClassAware({"fc.bias": 0}, count_noise=2))
    assert repr(strategy).endswith("seed=42, averaging=ClassAware(head={'fc.bias': 0}, count_noise=2.0))")
    assert strategy.averaging == ClassAware(head={"fc.bias": 0}, count_noise=2.0) != ClassAware()
    with pytest.raises(TypeError, match=r"averaging must be ClassAware\(\.\.\.\), or None .* got <class"):
        FedAvg(averaging=ClassAware)  # type: ignore[arg-type]


IMAGES, DIGITS = load_digits(return_X_y=True)
IMAGES = IMAGES / 16
HOSPITALS = LabelExclusionPartitioner([{1, 3, 7}, {2, 5, 8}, {4, 6, 9}]).assign(DIGITS)


class Hospital:
    """Multinomial logistic regression by gradient descent, on the images of a hospital that lacks three digits."""

    def __init__(self, context: Context) -> None:
        self.assignment, self.rows = HOSPITALS, HOSPITALS[int(context.node_config["partition-id"])]

    def fit(self, parameters: Any, config: Any) -> Any:
        weight, bias = parameters
        images, targets = IMAGES[self.rows], np.eye(10)[DIGITS[self.rows]]
        for _ in range(30):
            chances = np.exp(images @ weight + bias)
            slope = (chances / chances.sum(1, keepdims=True) - targets) / len(images)
            weight -= 2.0 * images.T @ slope
            bias -= 2.0 * slope.sum(0)
        return [weight, bias], len(images), {}


def accuracy(strategy: FedAvg, rounds: int = 1, folder: Path | None = None) -> float:
    """Return the accuracy on all images after the last round."""
    start = ArrayRecord([np.zeros((64, 10)), np.zeros(10)])
    with LocalGrid(client_app(Hospital), 3) as grid:
        result = strategy.start(grid, start, rounds, checkpoint_dir=folder, resume=folder is not None)
    weight, bias = result.arrays.to_numpy_ndarrays()
    return float(((IMAGES @ weight + bias).argmax(1) == DIGITS).mean())


def test_three_hospitals_without_three_digits_each_learn_more_in_the_first_round_than_with_fedavg() -> None:
    plain = accuracy(FedAvg(fraction_evaluate=0.0))
    assert accuracy(FedAvg(fraction_evaluate=0.0, averaging=ClassAware())) > plain + 0.03


def test_a_resumed_run_equals_one_that_was_not_interrupted(tmp_path: Path) -> None:
    def strategy() -> FedAvg:
        return FedAvg(fraction_evaluate=0.0, averaging=ClassAware())

    whole, first, second = strategy(), strategy(), strategy()
    accuracy(whole, 2)
    accuracy(first, 1, tmp_path)
    accuracy(second, 2, tmp_path)
    arrays = whole.result.arrays, second.result.arrays
    assert [array.data for array in arrays[0].values()] == [array.data for array in arrays[1].values()]


def test_the_log_says_which_arrays_are_averaged_by_class_and_which_classes_are_absent(
    federation: MakesFederation, log: pytest.LogCaptureFixture
) -> None:
    strategy = FedAvg(fraction_evaluate=0.0, averaging=ClassAware())
    replies = [reply(filled(TORCH, 1.0), [1, 0, 0])] * 2
    strategy.start(federation(*replies), record(TORCH), num_rounds=1, verbose=True)
    lines = [entry.getMessage() for entry in log.records if entry.levelno == logging.INFO]
    assert "\t> Averaged by class: {'fc2_weight': 0, 'fc2_bias': 0}" in lines
    assert "\t> Kept as sent, because no client of this round holds them: classes [1, 2]" in lines


@pytest.mark.torch
def test_the_head_of_a_torch_model_is_found() -> None:
    from torch import nn

    model = nn.Sequential(nn.Conv2d(1, 6, 5), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(6, 32), nn.Linear(32, 10))
    assert find_head(ArrayRecord(model.state_dict()), 10) == {"4.weight": 0, "4.bias": 0}


@pytest.mark.tensorflow
def test_the_head_of_a_keras_model_is_found() -> None:
    import keras

    from flskew.client.keras import get_parameters

    layers = keras.layers
    body = [layers.Conv2D(6, 5), layers.BatchNormalization(), layers.Flatten(), layers.Dense(32)]
    model = keras.Sequential([keras.Input((28, 28, 1)), *body, layers.Dense(10)])
    arrays = ArrayRecord(get_parameters(model))
    (weight, axis), (bias, _) = find_head(arrays, 10).items()
    assert (arrays[weight].shape, axis, arrays[bias].shape) == ((32, 10), 1, (10,))


@pytest.mark.jax
@pytest.mark.parametrize("name", ["head", "out"])
def test_the_head_of_a_jax_model_is_found_wherever_its_name_sorts_it(name: str) -> None:
    import jax.numpy as jnp

    from flskew.client.jax import get_parameters

    tree = {
        "hidden": {"w": jnp.zeros((64, 32)), "b": jnp.zeros(32)},
        name: {"w": jnp.zeros((32, 10)), "b": jnp.zeros(10)},
    }
    arrays = ArrayRecord(get_parameters(tree))
    (weight, axis), (bias, _) = find_head(arrays, 10).items()
    assert (arrays[weight].shape, axis, arrays[bias].shape) == ((32, 10), 1, (10,))


@pytest.mark.parametrize("kind", [LogisticRegression, MLPClassifier])
def test_the_head_of_a_model_of_scikit_learn_is_found(kind: type[Any]) -> None:
    model = kind()
    prepare(model, num_features=64, classes=range(10))
    arrays = ArrayRecord(get_parameters(model))
    (weight, axis), (bias, _) = find_head(arrays, 10).items()
    assert arrays[weight].shape[axis] == 10
    assert [weight, bias] == list(arrays)[-2:]
