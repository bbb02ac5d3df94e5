"""Losses for missing classes: their formulas by hand, and their gradients in NumPy, PyTorch, Keras and JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flskew import LabelExclusionPartitioner, LabelPrior
from flskew.client import LogitTransform

Floats: TypeAlias = NDArray[Any]

# The client lacks the second and the last of five classes.
COUNTS = [30, 0, 4, 1, 0]
HELD = [0, 2, 3]
LABELS = [0, 2, 0, 3]
LOGITS = np.random.default_rng(0).normal(0, 2, (4, 5))

METHODS: dict[str, Callable[[LabelPrior], LogitTransform]] = {
    "logit_adjustment": lambda prior: prior.logit_adjustment(tau=0.7),
    "fedlc": lambda prior: prior.fedlc(tau=0.7),
    "fedrs": lambda prior: prior.fedrs(alpha=0.3),
    "masking": lambda prior: prior.masking(),
}
METHOD = pytest.mark.parametrize("method", METHODS)


def loss_of_the_paper(method: str, logits: Floats, label: int) -> float:
    """One row's loss, written with probabilities: a class without rows has none, except in FedRS."""
    weights = {
        "logit_adjustment": [(n / 35) ** 0.7 for n in COUNTS],
        "fedlc": [np.exp(-0.7 / n**0.25) if n else 0.0 for n in COUNTS],
        "fedrs": [1.0] * 5,
        "masking": [1.0, 0.0, 1.0, 1.0, 0.0],
    }[method]
    scale = [1, 0.3, 1, 1, 0.3] if method == "fedrs" else [1] * 5
    terms = [weight * np.exp(alpha * logit) for weight, alpha, logit in zip(weights, scale, logits, strict=True)]
    return float(-np.log(terms[label] / sum(terms)))


def mean_loss_of_the_paper(method: str, logits: Floats) -> float:
    return float(np.mean([loss_of_the_paper(method, row, label) for row, label in zip(logits, LABELS, strict=True)]))


def finite_differences(method: str, h: float = 1e-5) -> Floats:
    gradient = np.zeros_like(LOGITS)
    for place in np.ndindex(*LOGITS.shape):
        step = np.zeros_like(LOGITS)
        step[place] = h
        higher, lower = (mean_loss_of_the_paper(method, LOGITS + sign * step) for sign in (1, -1))
        gradient[place] = (higher - lower) / (2 * h)
    return gradient


def one_hot(dtype: Any = np.float64) -> Floats:
    return np.eye(5, dtype=dtype)[LABELS]


def cross_entropy(logits: Floats, transform: LogitTransform) -> float:
    """The one-hot cross entropy of the adjusted logits, in their dtype: missing classes add 0 times their log."""
    adjusted = logits * transform.scale.astype(logits.dtype) + transform.offset.astype(logits.dtype)
    adjusted = adjusted - adjusted.max(axis=1, keepdims=True)
    log_probabilities = adjusted - np.log(np.exp(adjusted).sum(axis=1, keepdims=True))
    return float(-(one_hot(logits.dtype) * log_probabilities).sum(axis=1).mean())


def gradient(logits: Floats, transform: LogitTransform) -> Floats:
    """What a client without autograd computes: scale * (probabilities - one_hot) / rows."""
    adjusted = logits * transform.scale + transform.offset
    powers = np.exp(adjusted - adjusted.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    return np.asarray(transform.scale * (probabilities - one_hot()) / len(logits))


# By hand.


def test_logit_adjustment_adds_the_logarithm_of_the_prior() -> None:
    scale, offset = LabelPrior([3, 0, 1]).logit_adjustment()
    assert scale.tolist() == [1, 1, 1]
    # log(3/4) = -0.28768, log(1/4) = -1.38629
    np.testing.assert_allclose(offset, [-0.28768, -10_000, -1.38629], atol=1e-5)
    np.testing.assert_allclose(
        LabelPrior([3, 0, 1]).logit_adjustment(tau=2).offset, [-0.57536, -10_000, -2.77259], atol=1e-5
    )


def test_fedlc_subtracts_the_inverse_fourth_root_of_the_count() -> None:
    scale, offset = LabelPrior([16, 0, 1, 81]).fedlc(tau=0.5)
    assert scale.tolist() == [1, 1, 1, 1]
    # 0.5 / 2, 0.5 / 1, 0.5 / 3
    np.testing.assert_allclose(offset, [-0.25, -10_000, -0.5, -1 / 6], rtol=1e-6)


def test_fedrs_scales_the_logits_of_missing_classes() -> None:
    assert [array.tolist() for array in LabelPrior([16, 0, 1, 0]).fedrs(alpha=0.25)] == [[1, 0.25, 1, 0.25], [0] * 4]
    assert LabelPrior([0, 7]).fedrs().scale.tolist() == [0.5, 1]


def test_masking_takes_missing_classes_out_of_the_softmax() -> None:
    assert [array.tolist() for array in LabelPrior([16, 0, 1]).masking()] == [[1, 1, 1], [0, -10_000, 0]]


# Against the papers' losses.


@METHOD
def test_the_loss_is_that_of_the_paper(method: str) -> None:
    transform = METHODS[method](LabelPrior(COUNTS))
    assert cross_entropy(LOGITS, transform) == pytest.approx(mean_loss_of_the_paper(method, LOGITS), abs=1e-6)


@METHOD
def test_the_gradient_is_that_of_the_papers_loss(method: str) -> None:
    ours = gradient(LOGITS, METHODS[method](LabelPrior(COUNTS)))
    np.testing.assert_allclose(ours, finite_differences(method), atol=1e-7)


@pytest.mark.parametrize("method", ["logit_adjustment", "fedlc", "masking"])
def test_missing_classes_get_no_gradient_at_all(method: str) -> None:
    transform = METHODS[method](LabelPrior(COUNTS))
    for logits in (LOGITS, LOGITS + 100 * np.eye(5)[[1] * 4]):  # even if the model is sure of a missing class
        found = gradient(logits, transform)
        assert found[:, [1, 4]].tolist() == [[0, 0]] * 4
        assert np.all(found[:, HELD] != 0)


def test_fedrs_pushes_missing_classes_down_less_the_smaller_alpha_is() -> None:
    pushes = [gradient(LOGITS, LabelPrior(COUNTS).fedrs(alpha))[:, 1].sum() for alpha in (1.0, 0.5, 0.1, 0.0)]
    assert pushes == sorted(pushes, reverse=True)
    assert pushes[0] > pushes[-1] == 0


def test_classes_of_equal_counts_leave_the_gradient_of_logit_adjustment_unchanged() -> None:
    plain = LabelPrior([7] * 5).fedrs(alpha=1.0)
    adjusted = LabelPrior([7] * 5).logit_adjustment()
    assert np.all(adjusted.offset < -1)  # log(1/5) = -1.609, the same for all
    np.testing.assert_allclose(gradient(LOGITS, adjusted), gradient(LOGITS, plain), atol=1e-15)


@pytest.mark.parametrize("method", ["logit_adjustment", "fedlc"])
def test_the_rarer_a_class_the_lower_its_offset(method: str) -> None:
    offset = METHODS[method](LabelPrior([500, 50, 5, 1, 0])).offset
    assert offset.tolist() == sorted(offset.tolist(), reverse=True)
    assert len(set(offset.tolist())) == 5


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param(LabelPrior(COUNTS).logit_adjustment(tau=0), id="logit_adjustment"),
        pytest.param(LabelPrior(COUNTS).fedlc(tau=0), id="fedlc"),
        pytest.param(LabelPrior(COUNTS).fedrs(alpha=1), id="fedrs"),
        pytest.param(LabelPrior([3, 1, 4]).masking(), id="masking-of-nothing"),
    ],
)
def test_without_strength_the_logits_are_unchanged(plain: LogitTransform) -> None:
    assert set(plain.scale.tolist()) == {1.0}
    assert set(plain.offset.tolist()) == {0.0}


# Finite, everywhere.


@given(
    counts=st.lists(st.integers(0, 2**62), min_size=1, max_size=5).filter(any),
    tau=st.floats(0, 100),
    alpha=st.floats(0, 1),
)
@example(counts=[3, 0, 1], tau=5e-324, alpha=5e-324)
def test_no_counts_and_no_strength_give_infinities_or_nan_even_in_float16(
    counts: list[int], tau: float, alpha: float
) -> None:
    prior = LabelPrior(counts)
    with np.errstate(all="raise"):
        transforms = [prior.logit_adjustment(tau), prior.fedlc(tau), prior.fedrs(alpha), prior.masking()]
    held = np.array(counts) > 0
    for scale, offset in transforms:
        assert (scale.shape, scale.dtype, offset.shape, offset.dtype) == (held.shape, "float32", held.shape, "float32")
        assert np.isfinite([scale.astype(np.float16), offset.astype(np.float16)]).all()
        assert np.all(offset[held] > -4_400)  # far above a missing class


@METHOD
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_one_hot_cross_entropy_is_finite_in_every_precision(method: str, dtype: Any) -> None:
    transform = METHODS[method](LabelPrior(COUNTS))
    loss = cross_entropy(LOGITS.astype(dtype), transform)
    assert loss == pytest.approx(mean_loss_of_the_paper(method, LOGITS), rel=4 * float(np.finfo(dtype).eps) + 1e-6)


# Against autograd, with labels as integers and as one-hot vectors.


@METHOD
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.torch
def test_autograd_in_pytorch(method: str, dtype: Any) -> None:
    import torch

    # A read-only array would be a warning here, and so an error.
    scale, offset = map(torch.from_numpy, METHODS[method](LabelPrior(COUNTS)))
    logits = torch.from_numpy(LOGITS.astype(dtype)).requires_grad_()
    adjusted = logits * scale.to(logits.dtype) + offset.to(logits.dtype)
    for targets in (torch.tensor(LABELS), torch.from_numpy(one_hot(dtype))):
        (found,) = torch.autograd.grad(torch.nn.functional.cross_entropy(adjusted, targets), logits, retain_graph=True)
        assert_is_gradient(method, found.numpy(), dtype)


@METHOD
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.tensorflow
def test_autograd_in_keras(method: str, dtype: Any) -> None:
    import keras
    import tensorflow as tf

    scale, offset = METHODS[method](LabelPrior(COUNTS))
    logits = tf.constant(LOGITS.astype(dtype))
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype=dtype.__name__)
    dense = keras.losses.CategoricalCrossentropy(from_logits=True, dtype=dtype.__name__)
    for loss, targets in ((sparse, np.array(LABELS)), (dense, one_hot(dtype))):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(targets, logits * scale.astype(dtype) + offset.astype(dtype))
        assert_is_gradient(method, tape.gradient(value, logits).numpy(), dtype)


@METHOD
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.jax
def test_autograd_in_jax(method: str, dtype: Any) -> None:
    import jax
    import optax

    scale, offset = (array.astype(dtype) for array in METHODS[method](LabelPrior(COUNTS)))

    def sparse(logits: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(logits * scale + offset, np.array(LABELS)).mean()

    def dense(logits: Any) -> Any:
        return optax.softmax_cross_entropy(logits * scale + offset, one_hot(dtype)).mean()

    for loss in (sparse, dense):
        assert_is_gradient(method, np.asarray(jax.jit(jax.grad(loss))(LOGITS.astype(dtype))), dtype)


def assert_is_gradient(method: str, found: Floats, dtype: Any) -> None:
    assert found.dtype == dtype
    np.testing.assert_allclose(found, finite_differences(method), rtol=0, atol=2 * float(np.finfo(dtype).eps) + 1e-6)
    if method != "fedrs":
        assert found[:, [1, 4]].tolist() == [[0, 0]] * 4


# A value.


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param([3, 0, 1], id="list"),
        pytest.param((3, 0, 1), id="tuple"),
        pytest.param(np.array([3, 0, 1], np.uint8), id="uint8"),
        pytest.param(LabelExclusionPartitioner([{1}, {2}]).assign([0, 2, 0, 1, 0, 1, 0]).label_counts[0] * 3, id="row"),
    ],
)
def test_counts_may_be_any_integers(counts: Any) -> None:
    prior = LabelPrior(counts)
    assert prior.counts.tolist() == list(counts)
    assert prior.counts.dtype == np.int64


def test_it_prints_as_the_call_that_makes_it_and_equals_another_made_by_the_same_call() -> None:
    assert repr(LabelPrior(np.array([3, 0, 1]))) == "LabelPrior(counts=[3, 0, 1])"
    assert LabelPrior([3, 0, 1]) == LabelPrior((3, 0, 1)) != LabelPrior([3, 1, 0])
    assert len({LabelPrior([3, 0, 1]), LabelPrior(np.array([3, 0, 1]))}) == 1


def test_it_is_frozen_and_leaves_the_given_counts_alone() -> None:
    counts = np.array([3, 0, 1])
    prior = LabelPrior(counts)
    counts[1] = 9
    assert prior.counts.tolist() == [3, 0, 1]
    with pytest.raises(ValueError, match="read-only"):
        prior.counts[1] = 9
    with pytest.raises(AttributeError, match="counts of LabelPrior is read-only"):
        prior.counts = counts


@METHOD
def test_what_you_do_to_the_arrays_does_not_change_the_prior(method: str) -> None:
    prior = LabelPrior(COUNTS)
    for array in METHODS[method](prior):
        array[...] = 77
    assert 77 not in np.array(METHODS[method](prior))


# Refusals. The texts may leave the client, so none quotes a count.


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ([0.25, 0.75], TypeError, "counts must be integers, got an array of float64; pass the number of rows of each"),
        ([True, False], TypeError, "counts must be integers, got an array of bool"),
        (["31", "17"], TypeError, "counts must be integers, got an array of <U2"),
        ([[31, 17], [0, 31]], ValueError, r"shape \(num_classes,\), got \(2, 2\); pass one row of label_counts"),
        ([[31, 17], [31]], ValueError, "counts must be one integer per class, got rows of several lengths"),
        (31, ValueError, r"counts must have the shape \(num_classes,\), got \(\)"),
        ([], ValueError, r"counts must have the shape \(num_classes,\), got \(0,\)"),
        ([31, -17], ValueError, "counts must be >= 0, but at least one is negative"),
        ([0, 0], ValueError, "counts must not all be 0: this client has no training rows"),
    ],
)
def test_bad_counts_are_refused_without_quoting_them(counts: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        LabelPrior(counts)
    assert "31" not in str(caught.value)
    assert "17" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda prior: prior.logit_adjustment(-1), ValueError, "tau must be a number from 0 to 100, got -1"),
        (lambda prior: prior.fedlc(float("nan")), ValueError, "tau must be a number from 0 to 100, got nan"),
        (lambda prior: prior.fedlc(101), ValueError, "tau must be a number from 0 to 100, got 101"),
        (lambda prior: prior.fedlc(10**400), ValueError, "tau must be a number from 0 to 100, got 1000"),
        (lambda prior: prior.fedlc("1"), TypeError, "tau must be a number from 0 to 100, got '1' of type str"),
        (lambda prior: prior.fedrs(1.5), ValueError, "alpha must be a number from 0 to 1, got 1.5"),
        (lambda prior: prior.fedrs(True), TypeError, "alpha must be a number from 0 to 1, got True of type bool"),
    ],
    ids=["negative", "nan", "large", "endless", "text", "above-1", "bool"],
)
def test_a_bad_strength_is_refused(call: Callable[[LabelPrior], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(LabelPrior(COUNTS))
