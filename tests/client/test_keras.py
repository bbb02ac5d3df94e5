"""Keras on TensorFlow: reading and setting the arrays of a model, and the proximal term inside `model.fit`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from flskew._arrays.records import ParametersError
from flskew.client.keras import LocalTerm, get_parameters, set_parameters

pytestmark = pytest.mark.tensorflow

MU = 0.7
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 5)).astype(np.float32), np.arange(12) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(seed: int = 1, dtype: str = "float32") -> keras.Model:
    """Dense, BatchNorm, Dense, with weights from its own generator.

    There is no bias before the BatchNorm: its gradient would be pure rounding error, which Adam and similar optimizers
        amplify to a full step.
    """
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(4, use_bias=False, dtype=dtype, name="hidden"),
            keras.layers.BatchNormalization(dtype=dtype, name="norm"),
            keras.layers.Activation("tanh", dtype=dtype),
            keras.layers.Dense(3, dtype=dtype, name="out"),
        ]
    )
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(np.abs(rng.standard_normal(tuple(weight.shape))))
    return model


def move(model: keras.Model, seed: int = 2) -> None:
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign_add(rng.standard_normal(tuple(weight.shape)))


def trainable(model: keras.Model) -> list[NDArray[np.float32]]:
    return [weight.numpy().copy() for weight in model.trainable_weights]


def fit(model: keras.Model, epochs: int = 1, batch_size: int = 12) -> keras.callbacks.History:
    return model.fit(X, Y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0)


def train_by_autograd(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, mu: float, steps: int, batches: int = 1
) -> keras.Model:
    """The paper's term as part of the loss, for TensorFlow's tape, on the same batches as `fit`."""
    anchor = trainable(model)
    for step in range(steps):
        rows = np.split(np.arange(12), batches)[step % batches]
        with tf.GradientTape() as tape:
            loss = LOSS(Y[rows], model(X[rows], training=True))
            for w, w_t in zip(model.trainable_weights, anchor, strict=True):
                loss += mu / 2 * tf.reduce_sum((w - w_t) ** 2)
        optimizer.apply(tape.gradient(loss, [w.value for w in model.trainable_weights]), model.trainable_weights)
    return model


def assert_close(ours: Sequence[NDArray[np.float32]], theirs: Sequence[NDArray[np.float32]], atol: float) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def test_arrays_are_in_the_order_of_the_weights_including_non_trainable_ones() -> None:
    model = network()
    arrays = get_parameters(model)
    assert len(arrays) == 7
    for array, weight in zip(arrays, model.weights, strict=True):
        np.testing.assert_array_equal(array, weight.numpy(), err_msg=weight.path, strict=True)


def test_training_does_not_change_arrays_that_were_read_or_set() -> None:
    model = network()
    taken, given = get_parameters(model), [array + 1 for array in get_parameters(model)]
    before = [array.copy() for array in taken]
    set_parameters(model, given)
    move(model)
    assert_close(taken, before, 0)
    assert_close(given, [array + 1 for array in before], 0)


def test_setting_the_arrays_of_another_model_makes_the_models_equal() -> None:
    model, other = network(1), network(5)
    set_parameters(other, get_parameters(model))
    assert_close(get_parameters(other), get_parameters(model), 0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_weights_of_another_dtype_survive_the_round_trip(dtype: str) -> None:
    model, other = network(1, dtype), network(5, dtype)
    arrays = get_parameters(model)
    # Batch normalization keeps its statistics in float32.
    assert arrays[0].dtype == (np.float32 if dtype == "bfloat16" else np.dtype(dtype))
    set_parameters(other, arrays)
    assert [w.dtype for w in other.weights] == [w.dtype for w in model.weights]
    assert_close(get_parameters(other), arrays, 0)


def test_an_array_that_does_not_fit_is_named_and_nothing_is_changed() -> None:
    model = network()
    before = get_parameters(model)
    arrays = [array + 1 for array in before]
    with pytest.raises(ParametersError, match=r"the model has 7 arrays, .*hidden/kernel.*; got 6"):
        set_parameters(model, arrays[:-1])
    arrays[-1] = np.zeros(1, np.float32)  # would broadcast
    with pytest.raises(ParametersError, match=r"out/bias': the model has shape \(3,\), got \(1,\)"):
        set_parameters(model, arrays)
    assert_close(get_parameters(model), before, 0)


def test_a_model_that_is_not_built_is_refused() -> None:
    model = keras.Sequential([keras.layers.Dense(2)])
    for action in (lambda: get_parameters(model), lambda: set_parameters(model, []), lambda: LocalTerm(model, mu=MU)):
        with pytest.raises(ValueError, match=r"no weights yet; give it a keras.Input, or call model.build"):
            action()


def test_the_loss_is_half_mu_times_the_squared_distance_of_all_trainable_weights_together() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    set_parameters(model, [np.zeros((2, 1)), np.ones(1)])
    term = LocalTerm(model, mu=0.3)
    set_parameters(model, [np.array([[1.0], [2.0]]), np.array([4.0])])
    # 0.3/2 * ((1-0)^2 + (2-0)^2 + (4-1)^2) = 0.15 * 14 = 2.1
    assert float(term.loss()) == pytest.approx(2.1)


def test_the_gradient_is_mu_times_the_distance_and_the_tapes_of_the_loss() -> None:
    model = network()
    anchor = trainable(model)
    term = LocalTerm(model, mu=MU)
    move(model)
    ours = term.add_gradient([tf.ones(w.shape) for w in model.trainable_weights])
    expected = [1 + MU * (w - w_t) for w, w_t in zip(trainable(model), anchor, strict=True)]
    assert_close([g.numpy() for g in ours], expected, 1e-6)
    with tf.GradientTape() as tape:
        loss = term.loss()
    by_tape = tape.gradient(loss, [w.value for w in model.trainable_weights])
    assert_close([g.numpy() - 1 for g in ours], [g.numpy() for g in by_tape], 1e-6)


def test_the_gradient_is_that_of_the_loss_by_finite_differences() -> None:
    model = network(dtype="float64")
    term = LocalTerm(model, mu=MU)
    move(model)
    (kernel, *_), (gradient, *_) = model.trainable_weights, term.add_gradient([None] * len(model.trainable_weights))
    middle = kernel.numpy()
    for i in np.ndindex(middle.shape):
        ends = []
        for shift in (1e-4, -1e-4):
            moved = middle.copy()
            moved[i] += shift
            kernel.assign(moved)
            ends.append(float(term.loss()))
        kernel.assign(middle)
        assert gradient.numpy()[i] == pytest.approx((ends[0] - ends[1]) / 2e-4, abs=1e-6)


OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "sgd": lambda: keras.optimizers.SGD(0.05),
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.05),
    "adamw": lambda: keras.optimizers.AdamW(0.05, weight_decay=0.01),
    "clipped": lambda: keras.optimizers.SGD(0.05, global_clipnorm=0.5),
    "accumulating": lambda: keras.optimizers.SGD(0.05, gradient_accumulation_steps=2),
    "scaled loss": lambda: keras.optimizers.SGD(0.05, loss_scale_factor=64.0),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_term_acts_in_every_step_of_fit_with_any_optimizer(
    make: Callable[[], keras.optimizers.Optimizer],
) -> None:
    model = network()
    model.compile(make(), LOSS)
    LocalTerm(model, mu=MU).attach()
    fit(model, epochs=3, batch_size=6)
    scale = make().loss_scale_factor or 1.0
    other = keras.optimizers.SGD(0.05) if scale != 1.0 else make()
    expected = train_by_autograd(network(), other, MU, steps=6, batches=2)
    assert_close(trainable(model), trainable(expected), 2e-6)


@pytest.mark.parametrize("compiled", [{"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 3}])
def test_the_term_acts_however_the_step_is_compiled(compiled: dict[str, bool]) -> None:
    model = network()
    model.compile(keras.optimizers.SGD(0.05), LOSS, **compiled)
    LocalTerm(model, mu=MU).attach()
    fit(model, epochs=3)
    expected = train_by_autograd(network(), keras.optimizers.SGD(0.05), MU, steps=3)
    assert_close(trainable(model), trainable(expected), 2e-6)


def test_the_term_acts_with_the_loss_scaling_of_mixed_precision() -> None:
    model = network(dtype="mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=256.0)
    model.compile(optimizer, lambda y, prediction: 0.0 * keras.ops.mean(prediction))
    anchor = trainable(model)
    LocalTerm(model, mu=MU).attach()
    move(model)
    start = trainable(model)
    fit(model)
    expected = [w - 0.5 * MU * (w - w_t) for w, w_t in zip(start, anchor, strict=True)]
    assert_close(trainable(model), expected, 1e-5)


def test_the_term_acts_in_a_custom_train_step() -> None:
    class Own(keras.Model):
        def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
            x, y = data
            with tf.GradientTape() as tape:
                loss = LOSS(y, self(x, training=True))
            weights = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, [w.value for w in weights]), weights)
            return {"loss": loss}

    inner = network()
    model = Own(inner.inputs, inner.outputs)
    model.compile(keras.optimizers.SGD(0.05))
    LocalTerm(model, mu=MU).attach()
    fit(model, epochs=3)
    expected = train_by_autograd(network(), keras.optimizers.SGD(0.05), MU, steps=3)
    assert_close(trainable(model), trainable(expected), 2e-6)


def test_a_step_compiled_once_uses_the_anchor_and_mu_of_each_round() -> None:
    model = network()
    traces = []

    def counting_loss(y: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
        traces.append(1)
        return LOSS(y, prediction)

    model.compile(keras.optimizers.SGD(0.05), counting_loss)
    expected, optimizer = network(), keras.optimizers.SGD(0.05)
    for mu in (0.3, 0.9, 0.6):
        LocalTerm(model, mu=mu).attach()
        fit(model, epochs=3)
        train_by_autograd(expected, optimizer, mu, steps=3)
        assert_close(trainable(model), trainable(expected), 5e-6)
        if mu == 0.3:
            first = len(traces)
    assert len(traces) == first


def test_a_round_without_a_term_removes_the_term_of_the_previous_round() -> None:
    model, expected = network(), network()
    model.compile(keras.optimizers.SGD(0.05), LOSS)
    optimizer = keras.optimizers.SGD(0.05)
    for mu in (0.0, 0.9, 0.0, 0.5):
        LocalTerm(model, mu=mu).attach()
        fit(model, epochs=3)
        train_by_autograd(expected, optimizer, mu, steps=3)
        assert_close(trainable(model), trainable(expected), 5e-6)


def test_a_step_compiled_before_the_term_is_attached_gets_it_too() -> None:
    model, expected, optimizer = network(), network(), keras.optimizers.SGD(0.05)
    model.compile(keras.optimizers.SGD(0.05), LOSS)
    fit(model)
    train_by_autograd(expected, optimizer, 0.0, steps=1)
    LocalTerm(model, mu=MU).attach()
    fit(model, epochs=3)
    train_by_autograd(expected, optimizer, MU, steps=3)
    assert_close(trainable(model), trainable(expected), 5e-6)


def test_after_freezing_weights_the_term_applies_to_the_others() -> None:
    model = network()
    model.compile(keras.optimizers.SGD(0.05), LOSS)
    LocalTerm(model, mu=MU).attach()
    fit(model)
    model.get_layer("hidden").trainable = False
    model.compile(keras.optimizers.SGD(0.05), LOSS)
    frozen = model.get_layer("hidden").kernel.numpy()
    expected = keras.models.clone_model(model)
    expected.set_weights(model.get_weights())
    expected.get_layer("hidden").trainable = False
    LocalTerm(model, mu=MU).attach()
    fit(model, epochs=3)
    train_by_autograd(expected, keras.optimizers.SGD(0.05), MU, steps=3)
    assert_close(trainable(model), trainable(expected), 5e-6)
    np.testing.assert_array_equal(model.get_layer("hidden").kernel.numpy(), frozen)


def test_mu_zero_gives_the_weights_of_training_without_a_term_bit_for_bit() -> None:
    plain, proximal = network(), network()
    for model in (plain, proximal):
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), LOSS)
    LocalTerm.from_config({}, proximal).attach()
    for model in (plain, proximal):
        fit(model, epochs=10)
    for a, b in zip(get_parameters(plain), get_parameters(proximal), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def test_mu_zero_changes_neither_the_optimizer_nor_the_compiled_step() -> None:
    model = network()
    model.compile(keras.optimizers.SGD(0.05), LOSS)
    fit(model)
    step, apply = model.train_function, model.optimizer.apply
    LocalTerm(model, mu=0).attach()
    assert model.train_function is step
    assert model.optimizer.apply == apply


def test_the_distance_to_the_anchor_decreases_with_mu() -> None:
    distances = []
    for mu in (0.0, 0.1, 1.0, 10.0):
        model = network()
        model.compile(keras.optimizers.SGD(0.02), LOSS)
        LocalTerm(model, mu=mu).attach()
        fit(model, epochs=20)
        gaps = zip(trainable(model), trainable(network()), strict=True)
        distances.append(sum(float(((w - w_t) ** 2).sum()) for w, w_t in gaps) ** 0.5)
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < distances[0] / 2


def test_the_losses_of_fit_and_evaluate_do_not_include_the_term() -> None:
    model = network()
    model.compile(keras.optimizers.SGD(0.0), LOSS)
    before = model.evaluate(X, Y, verbose=0)
    trained = fit(model).history["loss"][0]
    LocalTerm(model, mu=100.0).attach()
    move(model)
    moved = float(LOSS(Y, model(X)))
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(moved, rel=1e-5)
    set_parameters(model, get_parameters(network()))
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(before, rel=1e-5)
    assert fit(model).history["loss"][0] == pytest.approx(trained, rel=1e-5)


def test_an_embedding_whose_gradient_is_sparse_gets_the_term() -> None:
    model = keras.Sequential([keras.Input((1,), dtype="int32"), keras.layers.Embedding(4, 2)])
    anchor = trainable(model)
    model.compile(keras.optimizers.SGD(1.0), lambda y, prediction: keras.ops.sum(prediction))
    LocalTerm(model, mu=MU).attach()
    move(model)
    (before,) = trainable(model)
    model.fit(np.array([[1]]), np.zeros(1), verbose=0)
    expected = before - MU * (before - anchor[0])
    expected[1] -= 1
    np.testing.assert_allclose(trainable(model)[0], expected, atol=1e-6)


def test_a_weight_without_a_gradient_gets_that_of_the_term() -> None:
    model = network()
    anchor = trainable(model)
    term = LocalTerm(model, mu=MU)
    move(model)
    gradients = term.add_gradient([None] * len(anchor))
    assert_close(
        [g.numpy() for g in gradients], [MU * (a - b) for a, b in zip(trainable(model), anchor, strict=True)], 1e-6
    )


def test_a_proximal_step_matches_the_papers_formula() -> None:
    model = network()
    anchor = trainable(model)
    term = LocalTerm(model, mu=MU)
    move(model)
    before, strength = trainable(model), 0.4 * MU
    term.step(0.4)
    expected = [(w + strength * w_t) / (1 + strength) for w, w_t in zip(before, anchor, strict=True)]
    assert_close(trainable(model), expected, 1e-6)
    with pytest.raises(ValueError, match="learning_rate must be finite and >= 0"):
        term.step(-0.1)


def test_a_model_that_is_not_compiled_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no optimizer yet; call model.compile"):
        LocalTerm(network(), mu=MU).attach()


def test_a_backend_that_would_compile_the_anchor_into_the_step_is_refused(python: str) -> None:
    code = (
        "import os; os.environ['KERAS_BACKEND'] = 'jax'\n"
        "import keras\n"
        "from flskew.client.keras import LocalTerm\n"
        "model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "model.compile('sgd', 'mse')\n"
        "LocalTerm(model, mu=0.1).attach()\n"
    )
    result = subprocess.run([python, "-c", code], capture_output=True, text=True)
    assert "attach needs Keras on TensorFlow, but this is jax" in result.stderr
