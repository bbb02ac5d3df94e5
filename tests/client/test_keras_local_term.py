"""Keras: the linear part of the local term, the steps and gradients it records, and compiled steps in later rounds."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from flskew import ParametersError
from flskew._arrays.records import record_from_parameters
from flskew.client._exchange import Exchange, Request
from flskew.client.keras import LocalTerm, get_parameters, set_parameters

pytestmark = pytest.mark.tensorflow

MU, RATE = 0.7, 0.05
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 5)).astype(np.float32), np.arange(12) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

WEIGHTS = [0, 1, 2, 5, 6]
"""Positions of the trainable weights; at 3 and 4 are the mean and the variance of the BatchNorm."""

Arrays = list[NDArray[Any]]


def network(seed: int = 1, dtype: str = "float32") -> keras.Model:
    """Dense, BatchNorm, Dense; no bias before the BatchNorm, since its gradient would be rounding error."""
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(4, use_bias=False, dtype=dtype),
            keras.layers.BatchNormalization(dtype=dtype),
            keras.layers.Activation("tanh", dtype=dtype),
            keras.layers.Dense(3, dtype=dtype),
        ]
    )
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(np.abs(rng.standard_normal(tuple(weight.shape))))
    return model


def compiled(make: Callable[[], keras.optimizers.Optimizer] | None = None, **settings: Any) -> keras.Model:
    model = network()
    model.compile(make() if make else keras.optimizers.SGD(RATE), LOSS, **settings)
    return model


def slopes(model: keras.Model, seed: int = 3) -> Arrays:
    """A g for every array; that of the BatchNorm's statistics must be ignored."""
    rng = np.random.default_rng(seed)
    return [0.1 * rng.standard_normal(array.shape).astype(np.float32) for array in get_parameters(model)]


def trainable(model: keras.Model) -> Arrays:
    return [weight.numpy().copy() for weight in model.trainable_weights]


def move(model: keras.Model, seed: int = 2) -> None:
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign_add(rng.standard_normal(tuple(weight.shape)))


def fit(model: keras.Model, epochs: int = 1, batch_size: int = 6) -> None:
    model.fit(X, Y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0)


def gradients_of(model: keras.Model, rows: Any, extra: Callable[[], Any] = lambda: 0.0) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        loss = LOSS(Y[rows], model(X[rows], training=True)) + extra()
    return tape.gradient(loss, [w.value for w in model.trainable_weights])


def train_by_tape(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, mu: float, g: Sequence[Any], epochs: int = 1
) -> list[Arrays]:
    """The term as part of the loss, on the batches of `fit`; return the gradients of the loss without it."""
    anchor, seen = trainable(model), []
    slope = [g[place] for place in WEIGHTS] if len(g) else [0.0] * 5

    def term() -> Any:
        parts = zip(model.trainable_weights, anchor, slope, strict=True)
        return sum(mu / 2 * tf.reduce_sum((w - w_t) ** 2) + tf.reduce_sum(s * w.value) for w, w_t, s in parts)

    for rows in [np.arange(6), np.arange(6, 12)] * epochs:
        statistics = [w.numpy() for w in model.non_trainable_weights]
        seen.append([gradient.numpy() for gradient in gradients_of(model, rows)])
        for w, before in zip(model.non_trainable_weights, statistics, strict=True):
            w.assign(before)  # so that the BatchNorm sees each batch once
        optimizer.apply(gradients_of(model, rows, term), model.trainable_weights)
    return seen


def term_for(
    model: keras.Model, config: Mapping[str, Any], *, g: Arrays | None = None, private: Sequence[int] = ()
) -> LocalTerm:
    """The term that `fit` makes inside `client_app`."""
    names = [weight.path for weight in model.weights]
    request = Request.read(config)
    # FedDyn's g is alpha times the state, SCAFFOLD's the control variate.
    sent = {name: array / np.float32(request.alpha or 1) for name, array in zip(names, g or [], strict=bool(g))}
    exchange = Exchange(
        record_from_parameters(get_parameters(model), names),
        request,
        1,
        control={} if request.alpha else sent,
        state=sent if request.alpha else {},
        left_out=frozenset(names[place] for place in private),
    )
    with exchange.open():
        return LocalTerm.from_config(config, model)


def assert_close(ours: Sequence[Any], theirs: Sequence[Any], atol: float = 2e-6) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def test_the_loss_adds_the_inner_product_of_the_linear_part_and_the_weights() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    set_parameters(model, [np.zeros((2, 1)), np.ones(1)])
    term = LocalTerm(model, mu=0.3, linear=[np.array([[1.0], [-2.0]]), None])
    set_parameters(model, [np.array([[1.0], [2.0]]), np.array([4.0])])
    # 0.3/2 * ((1-0)^2 + (2-0)^2 + (4-1)^2) + (1 * 1 - 2 * 2) = 2.1 - 3
    assert float(term.loss()) == pytest.approx(-0.9)


def test_the_gradient_is_that_of_the_loss_by_finite_differences_and_by_the_tape() -> None:
    model = network(dtype="float64")
    term = LocalTerm(model, mu=MU, linear=slopes(model))
    move(model)
    gradients = term.add_gradient([None] * 5)
    with tf.GradientTape() as tape:
        loss = term.loss()
    assert_close(gradients, tape.gradient(loss, [w.value for w in model.trainable_weights]))
    kernel, gradient = model.trainable_weights[0], gradients[0].numpy()
    middle = kernel.numpy()
    for i in np.ndindex(middle.shape):
        ends = []
        for shift in (1e-4, -1e-4):
            moved = middle.copy()
            moved[i] += shift
            kernel.assign(moved)
            ends.append(float(term.loss()))
        kernel.assign(middle)
        assert gradient[i] == pytest.approx((ends[0] - ends[1]) / 2e-4, abs=1e-6)


OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "sgd": lambda: keras.optimizers.SGD(RATE),
    "nesterov with a schedule": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(RATE, 1, 0.5), momentum=0.9, nesterov=True
    ),
    "adamw": lambda: keras.optimizers.AdamW(RATE, weight_decay=0.01),
    "clipped": lambda: keras.optimizers.SGD(RATE, global_clipnorm=0.5),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_with_any_optimizer_the_weights_are_those_of_the_tape_and_the_mean_is_of_the_loss_alone(
    make: Callable[[], keras.optimizers.Optimizer],
) -> None:
    model, expected = compiled(make), network()
    term = term_for(model, {"scaffold": True, "proximal-mu": MU}, g=slopes(model))
    term.attach()
    fit(model, epochs=2)
    seen = train_by_tape(expected, make(), MU, slopes(model), epochs=2)
    assert_close(trainable(model), trainable(expected), 5e-6)
    assert (term.steps, list(term.mean_gradients())) == (4, WEIGHTS)
    assert_close(list(term.mean_gradients().values()), [np.mean(step, axis=0) for step in zip(*seen, strict=True)])


def test_with_plain_sgd_the_mean_is_the_papers_option_two() -> None:
    model = compiled()
    g, before = slopes(model), trainable(model)
    term = term_for(model, {"scaffold": True}, g=g)
    term.attach()
    fit(model, epochs=3)
    # w_t - w_K = lr * sum(gradients + g)
    moved = [(w_t - w) / (6 * RATE) - g[i] for i, w_t, w in zip(WEIGHTS, before, trainable(model), strict=True)]
    assert_close(list(term.mean_gradients().values()), moved, 1e-5)


@pytest.mark.parametrize(
    "settings",
    [{"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 2}],
    ids=["eager", "XLA", "two steps at a time"],
)
def test_steps_are_counted_however_the_step_is_compiled(settings: dict[str, Any]) -> None:
    model, expected = compiled(**settings), network()
    term = term_for(model, {"scaffold": True}, g=slopes(model))
    term.attach()
    fit(model)
    seen = train_by_tape(expected, keras.optimizers.SGD(RATE), 0.0, slopes(model))
    assert term.steps == 2
    assert_close(trainable(model), trainable(expected))
    assert_close(list(term.mean_gradients().values()), [np.mean(step, axis=0) for step in zip(*seen, strict=True)])


def test_while_gradients_accumulate_only_updates_are_steps() -> None:
    model = compiled(lambda: keras.optimizers.SGD(RATE, gradient_accumulation_steps=2))
    g = slopes(model)
    for batch_size, steps in ((6, 1), (4, 1), (4, 2)):  # 2 batches; 3, so that one is left over; and 1 + 3
        before = trainable(model)
        term = term_for(model, {"scaffold": True}, g=g)
        term.attach()
        fit(model, batch_size=batch_size)
        assert term.steps == steps
        if batch_size == 6:
            moved = [(w_t - w) / RATE - g[i] for i, w_t, w in zip(WEIGHTS, before, trainable(model), strict=True)]
            assert_close(list(term.mean_gradients().values()), moved, 1e-5)


def test_a_scaled_loss_is_recorded_unscaled() -> None:
    model, expected = compiled(lambda: keras.optimizers.SGD(RATE, loss_scale_factor=64.0)), network()
    term = term_for(model, {"scaffold": True}, g=slopes(model))
    term.attach()
    fit(model)
    seen = train_by_tape(expected, keras.optimizers.SGD(RATE), 0.0, slopes(model))
    assert_close(trainable(model), trainable(expected), 5e-6)
    assert_close(list(term.mean_gradients().values()), [np.mean(step, axis=0) for step in zip(*seen, strict=True)])


def test_a_batch_whose_scaled_loss_overflows_is_not_a_step() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=4.0)
    model.compile(optimizer, lambda y, prediction: y * prediction)
    term = term_for(model, {"scaffold": True})
    term.attach()
    model.fit(np.ones((3, 1)), np.array([[1.0], [np.inf], [3.0]]), batch_size=1, shuffle=False, verbose=0)
    assert term.steps == 2
    assert term.mean_gradients()[0].tolist() == [[2.0]]  # (1 + 3) / 2


def test_the_mean_of_half_precision_is_in_single_precision() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, dtype="bfloat16")])
    model.compile(keras.optimizers.SGD(0.0), lambda y, prediction: y * prediction)
    term = term_for(model, {"scaffold": True}, g=[np.zeros((1, 1), np.float32)])
    term.attach()
    model.fit(np.ones((600, 1)), np.ones((600, 1)), batch_size=1, verbose=0)
    # In bfloat16, a sum of ones ends at 256.
    np.testing.assert_array_equal(term.mean_gradients()[0], np.ones((1, 1), np.float32), strict=True)


def test_the_sparse_gradient_of_an_embedding_is_recorded() -> None:
    model = keras.Sequential([keras.Input((1,), dtype="int32"), keras.layers.Embedding(3, 1)])
    model.compile(keras.optimizers.SGD(1.0), lambda y, prediction: keras.ops.sum(prediction))
    term = term_for(model, {"scaffold": True}, g=[np.ones((3, 1), np.float32)])
    (before,) = trainable(model)
    term.attach()
    model.fit(np.array([[1], [1], [2]]), np.zeros(3), verbose=0)
    assert term.mean_gradients()[0].tolist() == [[0], [2], [1]]
    assert_close(trainable(model), [before - [[1], [3], [2]]])


ROUNDS: dict[str, list[tuple[dict[str, Any], float, bool]]] = {
    "FedDyn": [({"feddyn-alpha": 0.3}, 0.3, False), ({"feddyn-alpha": 0.3}, 0.3, True)] * 2,
    "Scaffold": [({"scaffold": True}, 0.0, False), ({"scaffold": True}, 0.0, True)] * 2,
    "FedNova": [({"count-steps": True}, 0.0, False)] * 3,
    "FedProx with an adaptive mu": [
        ({"proximal-mu": 0.1}, 0.1, False),
        ({}, 0.0, False),
        ({"proximal-mu": 1}, 1, False),
    ],
}


@pytest.mark.parametrize("rounds", ROUNDS.values(), ids=ROUNDS)
def test_a_step_compiled_in_the_first_round_is_right_in_every_later_one(
    rounds: list[tuple[dict[str, Any], float, bool]],
) -> None:
    model, expected, optimizer, traces = network(), network(), keras.optimizers.SGD(RATE), []

    def counting_loss(y: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
        traces.append(1)
        return LOSS(y, prediction)

    model.compile(keras.optimizers.SGD(RATE), counting_loss)
    counts = []
    for number, (config, mu, has_linear) in enumerate(rounds):
        g = slopes(model, number) if has_linear else []
        term = term_for(model, config, g=g or None)
        term.attach()
        fit(model)
        seen = train_by_tape(expected, optimizer, mu, g)
        assert_close(trainable(model), trainable(expected), 5e-6)
        if config:
            assert term.steps == 2
        means = list(term.mean_gradients().values())
        if means:
            assert_close(means, [np.mean(step, axis=0) for step in zip(*seen, strict=True)])
        counts.append(len(traces))
    assert len(set(counts)) == 1


def test_another_strategy_on_the_same_model_is_right_even_if_its_step_is_compiled_again() -> None:
    model, expected, optimizer = compiled(), network(), keras.optimizers.SGD(RATE)
    configs: list[tuple[dict[str, Any], float]] = [
        ({}, 0.0),
        ({"scaffold": True}, 0.0),
        ({}, 0.0),
        ({"proximal-mu": 0.2}, 0.2),
        ({"feddyn-alpha": 0.3}, 0.3),
        ({"count-steps": True}, 0.0),
    ]
    for config, mu in configs:
        has_linear = Request.read(config).keeps_state
        g = slopes(model) if has_linear else []
        term = term_for(model, config, g=g or None)
        term.attach()
        assert term.is_used
        fit(model)
        train_by_tape(expected, optimizer, mu, g)
        assert_close(trainable(model), trainable(expected), 5e-6)
        assert term.steps == (2 if config else 0), config


def test_frozen_weights_and_arrays_that_the_client_keeps_have_no_term() -> None:
    model = network()
    model.layers[0].trainable = False
    model.compile(keras.optimizers.SGD(RATE), LOSS)
    before = [weight.numpy().copy() for weight in model.weights]
    g = [np.full_like(array, 5) for array in before]
    term = term_for(model, {"scaffold": True, "proximal-mu": MU}, g=g, private=[1, 2])
    term.attach()
    assert term.covered() == [5, 6]  # 0 is frozen, 1 and 2 are kept, 3 and 4 are statistics
    assert float(term.loss()) == pytest.approx(5 * (before[5].sum() + before[6].sum()), rel=1e-5)
    fit(model)
    assert list(term.mean_gradients()) == [5, 6]
    expected = network()
    expected.layers[0].trainable = False
    for rows in (np.arange(6), np.arange(6, 12)):
        for w, gradient in zip(expected.trainable_weights, gradients_of(expected, rows), strict=True):
            place = [v is w for v in expected.weights].index(True)
            pull = MU * (w - before[place]) + 5 if place in (5, 6) else 0.0
            w.assign_sub(RATE * (gradient + pull))
    assert_close(trainable(model), trainable(expected), 5e-6)


def test_add_gradient_counts_and_records_each_call() -> None:
    model = network()
    term = term_for(model, {"scaffold": True}, g=[np.full_like(array, 5) for array in get_parameters(model)])
    for number in (1.0, 2.0, 6.0):
        added = term.add_gradient([None, *(tf.fill(w.shape, number) for w in model.trainable_weights[1:])])
        assert_close(added, [np.full(w.shape, 5 + number * (i > 0)) for i, w in enumerate(model.trainable_weights)])
    assert term.steps == 3
    assert [float(np.mean(array)) for array in term.mean_gradients().values()] == [0, 3, 3, 3, 3]


def test_a_step_minimises_the_term_plus_the_squared_distance_over_twice_the_rate() -> None:
    model = network()
    g, w_t = slopes(model), trainable(model)
    term = LocalTerm(model, mu=MU, linear=g)
    move(model)
    before = trainable(model)
    term.step(0.4)
    # The gradient of the sum, mu * (w - w_t) + g + (w - before) / lr, is zero.
    for place, w, start, anchor in zip(WEIGHTS, trainable(model), before, w_t, strict=True):
        np.testing.assert_allclose(MU * (w - anchor) + g[place] + (w - start) / 0.4, 0, atol=1e-5)


def test_steps_after_the_updates_record_what_the_updates_moved() -> None:
    model = network()
    start = trainable(model)
    term = term_for(model, {"scaffold": True}, g=[np.full_like(array, 5) for array in get_parameters(model)])
    for gradient, num_steps in ((1.0, 1), (2.0, 3)):
        for w in model.trainable_weights:
            w.assign_sub(tf.fill(w.shape, np.float32(num_steps * RATE * gradient)))
        term.step(num_steps * RATE, num_steps=num_steps)
    assert term.steps == 4
    for mean in term.mean_gradients().values():
        np.testing.assert_allclose(mean, (1.0 + 3 * 2.0) / 4, atol=1e-4)
    # 0.05 * (1 + 5) + 3 * 0.05 * (2 + 5) = 1.35
    assert_close(trainable(model), [w - 1.35 for w in start])


@pytest.mark.parametrize("value", [0, -1, 1.5], ids=str)
def test_a_number_of_steps_that_is_not_a_positive_integer_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="num_steps must be"):
        LocalTerm(network(), mu=MU).step(0.1, num_steps=value)


def test_the_numbers_of_arrays_are_named_if_they_differ() -> None:
    for linear in ([None] * 6, slopes(network())[:6]):
        with pytest.raises(ParametersError, match=r"the model has 7 arrays, .* for 6, as many as the server sent"):
            LocalTerm(network(), linear=linear)


def test_a_linear_part_of_another_shape_is_named() -> None:
    linear = slopes(network())
    linear[6] = np.zeros(1, np.float32)  # would broadcast
    with pytest.raises(ParametersError, match=r"bias': the model has shape \(3,\), got \(1,\)"):
        LocalTerm(network(), linear=linear)


def test_fedavg_adds_no_hook_and_no_copy_whatever_the_rounds_before() -> None:
    model = compiled()
    term_for(model, {"scaffold": True}).attach()
    term = term_for(model, {})
    term.attach()
    assert "apply" not in vars(model.optimizer)
    assert (term.is_used, term.steps, term.mean_gradients()) == (True, 0, {})


def test_a_term_that_is_not_attached_is_not_used() -> None:
    assert not term_for(compiled(), {"proximal-mu": MU}).is_used


def test_a_model_with_several_replicas_is_refused(python: str) -> None:
    """Each replica would add the term, and their gradients are summed."""
    code = (
        "import keras, tensorflow as tf\n"
        "from flskew.client.keras import LocalTerm\n"
        "(cpu,) = tf.config.list_physical_devices('CPU')\n"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "with tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']).scope():\n"
        "    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "    model.compile('sgd', 'mse')\n"
        "LocalTerm(model).attach()  # FedAvg\n"
        "print('so far, so good')\n"
        "LocalTerm(model, mu=0.1).attach()\n"
    )
    result = subprocess.run([python, "-c", code], capture_output=True, text=True)
    assert "so far, so good" in result.stdout
    assert "attach needs a model on one device, but this one has 2 replicas" in result.stderr
