"""The local term for NumPy parameters."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flskew.client import LocalTerm
from flskew.client._exchange import Request

RNG = np.random.default_rng(0)
ANCHOR = [RNG.standard_normal((2, 3)), RNG.standard_normal(4), np.array(0.5)]
LINEAR = [RNG.standard_normal((2, 3)), RNG.standard_normal(4), np.array(-1.5)]
W = [np.asarray(array + RNG.standard_normal(array.shape)) for array in ANCHOR]


def flat(arrays: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate([np.ravel(array) for array in arrays])


def unflat(vector: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [vector[:6].reshape(2, 3), vector[6:10], vector[10:].reshape(())]


def copies(arrays: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    return [array.copy() for array in arrays]


def test_the_loss_is_half_mu_times_the_squared_norm_of_all_parameters_together() -> None:
    # 0.3/2 * ((1-0)^2 + (2-0)^2 + (4-1)^2) = 0.15 * 14 = 2.1, and not 0.15 * (sqrt(5) + 3).
    term = LocalTerm([np.zeros(2), np.array(1.0)], mu=0.3)
    assert term.loss([np.array([1.0, 2.0]), np.array(4.0)]) == pytest.approx(2.1)


def test_the_distance_of_complex_parameters_is_that_of_their_real_and_imaginary_parts() -> None:
    # 0.5/2 * (|3 + 4j - 0|^2 + |1j - 1|^2) = 0.25 * (25 + 2) = 6.75
    term = LocalTerm([np.array([0, 1], dtype=np.complex64)], mu=0.5)
    assert term.loss([np.array([3 + 4j, 1j], dtype=np.complex64)]) == pytest.approx(6.75)


@given(mu=st.floats(1e-3, 10))
def test_the_gradient_is_that_of_the_loss_by_finite_differences(mu: float) -> None:
    term = LocalTerm(ANCHOR, mu=mu)
    gradients = [np.ones_like(array) for array in ANCHOR]
    term.add_gradient(W, gradients)
    numeric = scipy.optimize.approx_fprime(flat(W), lambda vector: term.loss(unflat(vector)), 1e-6)
    np.testing.assert_allclose(flat(gradients) - 1, numeric, rtol=1e-4, atol=1e-4)


def test_the_loss_has_the_inner_product_with_the_linear_part() -> None:
    term = LocalTerm([np.zeros(2), np.array(1.0)], mu=0.5, linear=[np.array([3.0, -1.0]), np.array(2.0)])
    # 0.5/2 * (1 + 4 + 9) + (3*1 - 1*2 + 2*4) = 3.5 + 9
    assert term.loss([np.array([1.0, 2.0]), np.array(4.0)]) == pytest.approx(12.5)


def test_the_inner_product_of_complex_parameters_is_that_of_their_real_and_imaginary_parts() -> None:
    term = LocalTerm([np.zeros(1, np.complex64)], linear=[np.array([3 - 1j], np.complex64)])
    assert term.loss([np.array([1 + 2j], np.complex64)]) == pytest.approx(3 * 1 + -1 * 2)


@pytest.mark.parametrize("mu", [0.0, 0.7])
def test_the_gradient_with_a_linear_part_is_that_of_the_loss_by_finite_differences(mu: float) -> None:
    term = LocalTerm(ANCHOR, mu=mu, linear=LINEAR)
    gradients = [np.ones_like(array) for array in ANCHOR]
    term.add_gradient(W, gradients)
    numeric = scipy.optimize.approx_fprime(flat(W), lambda vector: term.loss(unflat(vector)), 1e-6)
    np.testing.assert_allclose(flat(gradients) - 1, numeric, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mu", [0.0, 0.7])
def test_a_step_with_a_linear_part_minimises_the_term_plus_the_distance_to_its_start(mu: float) -> None:
    learning_rate = 0.4
    term, stepped = LocalTerm(ANCHOR, mu=mu, linear=LINEAR), copies(W)
    term.step(stepped, learning_rate)

    def objective(vector: NDArray[np.float64]) -> float:
        return term.loss(unflat(vector)) + float(np.sum((vector - flat(W)) ** 2)) / (2 * learning_rate)

    np.testing.assert_allclose(flat(stepped), scipy.optimize.minimize(objective, flat(W)).x, atol=1e-4)


def test_a_linear_part_of_none_is_zero() -> None:
    term = LocalTerm(ANCHOR, linear=[None, LINEAR[1], None])
    gradients = [np.zeros_like(array) for array in ANCHOR]
    term.add_gradient(W, gradients)
    for gradient, expected in zip(gradients, [np.zeros((2, 3)), LINEAR[1], np.array(0.0)], strict=True):
        np.testing.assert_array_equal(gradient, expected, strict=True)
    assert term.loss(W) == pytest.approx(float(LINEAR[1] @ W[1]))


@pytest.mark.parametrize(
    "linear",
    [LINEAR[:2], [*LINEAR, None], [None, None], [LINEAR[0], np.zeros(1), LINEAR[2]]],
    ids=["fewer", "more", "fewer-without-arrays", "another-shape"],
)
def test_a_linear_part_for_another_model_is_refused(linear: list[NDArray[np.float64] | None]) -> None:
    with pytest.raises(ValueError, match=r"linear must have the shapes of the anchor, \[\(2, 3\), \(4,\), \(\)\], got"):
        LocalTerm(ANCHOR, linear=linear)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_linear_part_in_another_precision_keeps_the_dtypes_of_weights_and_gradients(dtype: type) -> None:
    weights, gradients = [np.ones(2, dtype)], [np.ones(2, dtype)]
    term = LocalTerm(weights, mu=1.0, linear=[np.full(2, 0.5, np.float32)])
    term.add_gradient(weights, gradients)
    np.testing.assert_array_equal(gradients[0], np.full(2, 1.5, dtype), strict=True)
    term.step(weights, 1.0)
    np.testing.assert_array_equal(weights[0], np.full(2, 0.75, dtype), strict=True)  # 1 - 0.5 / (1 + 1)


def recording(
    anchor: list[NDArray[Any]], linear: list[NDArray[Any]] | None = None, *, left_out: Sequence[int] = ()
) -> LocalTerm:
    """A term that records the gradients, as under SCAFFOLD."""
    term = LocalTerm(anchor, linear=linear)
    term._serve(Request(is_scaffold=True), left_out)
    return term


def test_the_mean_gradient_is_that_before_the_term_is_added() -> None:
    weights = copies(ANCHOR)
    term = recording(weights, LINEAR)
    given = [[RNG.standard_normal(array.shape) for array in weights] for _ in range(3)]
    for step in given:
        gradients = [np.array(gradient) for gradient in step]
        term.add_gradient(weights, gradients)
        for w, gradient in zip(weights, gradients, strict=True):
            w -= 0.1 * gradient
    assert (term.steps, term.covered()) == (3, [0, 1, 2])
    for i, mean in term.mean_gradients().items():
        assert (mean.shape, mean.dtype) == (ANCHOR[i].shape, np.float64)
        np.testing.assert_allclose(mean, np.mean([step[i] for step in given], axis=0), rtol=0, atol=1e-12)


def test_the_mean_gradient_is_scaffolds_option_two_after_plain_gradient_steps() -> None:
    weights, rate = copies(ANCHOR), 0.1
    term = recording(weights, LINEAR)
    for _ in range(4):
        gradients = [3 * (w - 1) for w in weights]
        gradients[2] = np.asarray(gradients[2])
        term.add_gradient(weights, gradients)
        for w, gradient in zip(weights, gradients, strict=True):
            w -= rate * gradient
    for i, mean in term.mean_gradients().items():
        # c_k - c + (w_t - w_k) / (K lr), where c - c_k is the linear part
        np.testing.assert_allclose(mean, -LINEAR[i] + (ANCHOR[i] - weights[i]) / (4 * rate), rtol=0, atol=1e-12)


def test_the_mean_gradient_of_a_learner_comes_from_the_changes_between_steps() -> None:
    """Each call of a learner makes several updates; the term moves the weights too, which must not count."""
    weights = copies(ANCHOR)
    term = recording(weights, LINEAR)
    given = [[RNG.standard_normal(array.shape) for array in weights] for _ in range(2)]
    for gradients, rate, num_steps in zip(given, (0.1, 0.6), (1, 3), strict=True):
        for w, gradient in zip(weights, gradients, strict=True):
            w -= rate * gradient
        term.step(weights, rate, num_steps=num_steps)
    assert term.steps == 4
    for i, mean in term.mean_gradients().items():
        np.testing.assert_allclose(mean, (given[0][i] + 3 * given[1][i]) / 4, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(), (2,)], ids=["0-d", "1-d"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gradients_in_half_precision_are_summed_in_float32(dtype: type, shape: tuple[int, ...]) -> None:
    wide = np.float64 if dtype is np.float64 else np.float32
    weights = [np.zeros(shape, dtype)]
    by_gradients, by_steps = recording(weights), recording(weights)
    for _ in range(3000):  # float16 counts no further than 2048
        by_gradients.add_gradient(weights, [np.ones(shape, dtype)])
    weights[0] -= dtype(1)
    by_steps.step(weights, 1e-5)  # 1 / 1e-5 is too large for float16
    for term, expected in ((by_gradients, 1.0), (by_steps, 1e5)):
        mean = term.mean_gradients()[0]
        assert (mean.shape, mean.dtype) == (shape, wide)
        np.testing.assert_allclose(mean, expected, rtol=1e-6)


def test_arrays_that_are_left_out_and_counters_are_not_covered() -> None:
    weights = [np.zeros(1), np.zeros(1), np.array(3)]
    term = recording(weights, [np.ones(1), np.ones(1), np.array(1)], left_out=[1])
    gradients = [np.zeros(1), np.zeros(1), np.array(0)]
    term.add_gradient(weights, gradients)
    term.step(weights, 1.0)
    assert [float(array.item()) for array in (*gradients, *weights)] == [1, 0, 0, -1, 0, 3]
    assert term.covered() == list(term.mean_gradients()) == [0]
    assert term.loss(weights) == -1


@pytest.mark.parametrize("num_steps", [0, -1, 1.5, True])
def test_an_invalid_number_of_steps_is_refused(num_steps: int) -> None:
    with pytest.raises((TypeError, ValueError), match="num_steps must be"):
        LocalTerm(ANCHOR, mu=0.1).step(copies(W), 0.1, num_steps=num_steps)


@given(mu=st.floats(0, 10), learning_rate=st.floats(0, 10))
def test_a_step_matches_the_papers_formula(mu: float, learning_rate: float) -> None:
    stepped = copies(W)
    LocalTerm(ANCHOR, mu=mu).step(stepped, learning_rate)
    strength = learning_rate * mu
    for ours, w, w_t in zip(stepped, W, ANCHOR, strict=True):
        np.testing.assert_allclose(ours, (w + strength * w_t) / (1 + strength), rtol=1e-12, atol=1e-12)


def test_a_step_minimises_the_term_plus_the_distance_to_its_start() -> None:
    mu, learning_rate = 0.7, 0.4
    term, stepped = LocalTerm(ANCHOR, mu=mu), copies(W)
    term.step(stepped, learning_rate)

    def objective(vector: NDArray[np.float64]) -> float:
        return term.loss(unflat(vector)) + float(np.sum((vector - flat(W)) ** 2)) / (2 * learning_rate)

    np.testing.assert_allclose(flat(stepped), scipy.optimize.minimize(objective, flat(W)).x, atol=1e-4)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_a_step_with_the_effective_rate_of_momentum_is_as_strong_as_the_gradient(momentum: float) -> None:
    mu, rate, optimum, curvature = 0.7, 0.01, 5.0, 2.0
    weights, velocity = [np.array([1.0])], np.zeros(1)
    term = LocalTerm(weights, mu=mu)
    for _ in range(5000):
        velocity = momentum * velocity - rate * curvature * (weights[0] - optimum)
        weights[0] += velocity
        term.step(weights, rate / (1 - momentum))
    # Where curvature / 2 * (w - optimum)^2 + mu / 2 * (w - 1)^2 is least.
    np.testing.assert_allclose(weights[0], (curvature * optimum + mu * 1.0) / (curvature + mu))


def test_steps_and_gradients_are_in_place_and_keep_the_dtype() -> None:
    anchor = [np.ones(3, np.float32)]
    w, gradients = [np.full(3, 2, np.float32)], [np.zeros(3, np.float32)]
    array, gradient = w[0], gradients[0]
    term = LocalTerm(anchor, mu=np.float64(0.5))
    term.add_gradient(w, gradients)
    term.step(w, 1.0)
    assert gradient is gradients[0]
    np.testing.assert_array_equal(gradient, np.full(3, 0.5, np.float32), strict=True)
    # 1 + (2 - 1) / 1.5
    np.testing.assert_allclose(array, np.full(3, 1 + 1 / 1.5, np.float32), rtol=1e-6)
    assert array.dtype == np.float32


def test_a_step_from_the_anchor_stays_there() -> None:
    anchor = [RNG.standard_normal(100).astype(np.float32)]
    w = [anchor[0].copy()]
    LocalTerm(anchor, mu=0.37).step(w, 0.123)
    np.testing.assert_array_equal(w[0], anchor[0])


def test_counters_among_the_parameters_are_ignored() -> None:
    term = LocalTerm([np.zeros(1), np.array(3)], mu=1.0)
    w, gradients = [np.full(1, 2.0), np.array(7)], [np.zeros(1), np.array(0)]
    assert term.loss(w) == 2.0  # 1/2 * 2^2, and not 1/2 * (2^2 + 4^2)
    term.add_gradient(w, gradients)
    term.step(w, 1.0)
    assert (int(w[1]), int(gradients[1])) == (7, 0)


def test_training_on_the_same_arrays_does_not_move_the_anchor() -> None:
    weights = [np.zeros(2)]
    term = LocalTerm(weights, mu=2.0)
    weights[0] += 3
    assert term.loss(weights) == 2 / 2 * (9 + 9)


def test_mu_zero_changes_nothing_and_copies_nothing() -> None:
    big, gradients = [np.ones(2**18)], [np.ones(1)]
    tracemalloc.start()
    term = LocalTerm(big, mu=0)
    term.step(big, 0.1)
    term.add_gradient(big, gradients)
    assert term.loss(big) == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**14
    assert gradients == [1]


@pytest.mark.parametrize(
    ("config", "mu"),
    [
        ({"proximal-mu": 0.1}, 0.1),
        ({"proximal_mu": 0.2}, 0.2),
        ({"proximal-mu": 0.3, "proximal_mu": 0.3}, 0.3),
        ({"proximal-mu": 1}, 1.0),
        ({"lr": 0.1}, 0.0),
    ],
)
def test_mu_is_read_from_the_config_under_either_name(config: dict[str, float], mu: float) -> None:
    assert LocalTerm.from_config(config, ANCHOR).mu == mu


def test_two_different_mus_are_refused() -> None:
    with pytest.raises(ValueError, match=r"config has two different values for mu, .*; keep 'proximal-mu'"):
        LocalTerm.from_config({"proximal-mu": 0.1, "proximal_mu": 0.2}, ANCHOR)


@pytest.mark.parametrize("mu", [-0.1, float("nan"), float("inf")])
def test_a_mu_that_is_negative_or_not_finite_is_refused(mu: float) -> None:
    with pytest.raises(ValueError, match=r"mu must be finite and >= 0, got .*; 0 is FedAvg"):
        LocalTerm(ANCHOR, mu=mu)
    with pytest.raises(ValueError, match=r"config\['proximal_mu'\] must be finite"):
        LocalTerm.from_config({"proximal_mu": mu}, ANCHOR)


@pytest.mark.parametrize("mu", ["0.1", None, True, 1j])
def test_a_mu_that_is_not_a_number_is_refused(mu: object) -> None:
    with pytest.raises(TypeError, match="mu must be a number >= 0, got"):
        LocalTerm(ANCHOR, mu=mu)  # type: ignore[arg-type]


@pytest.mark.parametrize("learning_rate", [-1, float("nan"), float("inf"), "0.1"])
def test_an_invalid_learning_rate_is_refused(learning_rate: float) -> None:
    with pytest.raises(ValueError, match="learning_rate must be finite and >= 0"):
        LocalTerm(ANCHOR, mu=0.1).step(W, learning_rate)


def test_a_scalar_instead_of_an_array_is_refused() -> None:
    term = LocalTerm([np.array(1.0)], mu=0.1)
    with pytest.raises(TypeError, match=r"parameters\[0\] must be an array, got float64; use numpy.asarray"):
        term.step([np.float64(2.0)], 0.1)  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"gradients\[0\] must be an array"):
        term.add_gradient([np.array(2.0)], [np.float64(0.0)])  # type: ignore[list-item]


def test_integers_that_would_be_rounded_in_place_are_refused() -> None:
    term = LocalTerm([np.zeros(2)], mu=0.1)
    with pytest.raises(TypeError, match=r"gradients\[0\] must be floating-point, got int64; use .astype\(float\)"):
        term.add_gradient([np.ones(2)], [np.zeros(2, np.int64)])
    with pytest.raises(TypeError, match=r"parameters\[0\] must be floating-point"):
        term.step([np.ones(2, np.int64)], 0.1)


def test_arrays_whose_shapes_differ_from_the_anchors_are_refused() -> None:
    term = LocalTerm([np.zeros((2, 3))], mu=0.1)
    # Both would broadcast.
    with pytest.raises(ValueError, match=r"parameters must have the shapes of the anchor, \[\(2, 3\)\], got"):
        term.loss([np.zeros(3)])
    with pytest.raises(ValueError, match="gradients must have the shapes of the anchor"):
        term.add_gradient([np.zeros((2, 3))], [np.zeros((1, 2, 3))])
