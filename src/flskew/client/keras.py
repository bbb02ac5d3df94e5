"""Keras 3 models on TensorFlow: their parameters as arrays, and the local term inside `model.fit`.

Keras has no hook before an update, and a term in the loss would change the losses that `fit` and `evaluate` report. So
the term is added in the optimizer, like gradient clipping and weight decay, before its `apply`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from flskew._arrays.bfloat16 import wide_float
from flskew._util import checks
from flskew.client._arrays import Slot, fit_into, fit_linear, private_copy
from flskew.client._base_term import BaseLocalTerm, checked_learning_rate
from flskew.client._exchange import Request
from flskew.client._keras_variables import Held, variable
from flskew.typing import Parameters

__all__ = ["LocalTerm", "get_parameters", "set_parameters"]


def get_parameters(model: keras.Model) -> Parameters:
    """Return copies of `model.weights` in their order, including non-trainable ones.

    bfloat16 becomes float32, exactly; `set_parameters` converts it back. The state of the optimizer is not included.

    Raises:
        ValueError: The model has no weights yet.

    Examples:
        >>> import keras
        >>> from flskew.client.keras import get_parameters
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> [array.shape for array in get_parameters(model)]
        [(3, 2), (2,)]
    """
    return [private_copy(weight.numpy()) for weight in _weights(model)]


def set_parameters(model: keras.Model, parameters: Sequence[NDArray[Any]]) -> None:
    """Load arrays into `model.weights` in their order; the model keeps its dtypes.

    Args:
        model: The model, which must be built; it is changed only if every array fits.
        parameters: One array per weight of the model, with the same shapes. Floats of another precision are rounded to
            the model's.

    Raises:
        ParametersError: The number of arrays differs, or an array does not fit in shape, dtype or range; the message
            names the weight.
        ValueError: The model has no weights yet.

    Examples:
        >>> import keras, numpy as np
        >>> from flskew.client.keras import set_parameters
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> set_parameters(model, [np.ones((3, 2)), np.zeros(2)])
        >>> model.predict(np.ones((1, 3)), verbose=0).tolist()
        [[3.0, 3.0]]
    """
    weights = _weights(model)
    for weight, array in zip(weights, fit_into([_slot(weight) for weight in weights], parameters), strict=True):
        weight.assign(array)


class LocalTerm(BaseLocalTerm[keras.Model]):
    """What the server's strategy adds to a client's loss: (mu/2)·||w - w_t||² + ⟨g, w⟩, on a Keras model's weights.

    Make one in `fit`, after setting the server's parameters and compiling the model, and attach it. Each step of
    `model.fit`, `train_on_batch` or your own `train_step` then adds mu·(w - w_t) + g to the gradients before the
    optimizer clips and applies them. The same client then works under FedAvg, FedProx, FedDyn, SCAFFOLD and FedNova.
    The losses that Keras reports do not include the term, and it does not apply to frozen weights. Under FedAvg it does
    nothing and costs nothing.

    In the next round, make and attach another term: it replaces the last one without recompiling the step.

    For SCAFFOLD, the term also records the mean gradient of the client's own loss, before it adds anything. With plain
    SGD, this equals the paper's option II, c_k - c + (w_t - w_k) / (K·lr). With momentum, a learning rate schedule,
    weight decay or Adam, that formula no longer gives the mean gradient; the recorded mean still does.

    Steps are updates of the optimizer. With gradient accumulation, several batches make one step. With loss scaling, a
    batch that overflows does not count, and gradients are recorded unscaled.

    Args:
        anchor: The built model, with the received parameters w_t, which are copied.
        mu: Strength of the quadratic part, finite and >= 0; 0 leaves it out.
        linear: g, one array per array of `get_parameters`, of the same shape; None for an array, or for all, is zero.

    Raises:
        ParametersError: `linear` has another number of arrays than the model, or one does not fit its weight.
        TypeError: mu is not a real number.
        ValueError: mu is negative or not finite, or the model has no weights yet.

    Examples:
        >>> import keras, numpy as np
        >>> from flskew.client.keras import LocalTerm
        >>> model = keras.Sequential(
        ...     [keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")]
        ... )
        >>> model.compile(
        ...     keras.optimizers.SGD(0.1), loss=lambda y, prediction: prediction
        ... )
        >>> LocalTerm(model, mu=0.5).attach()
        >>> _ = model.fit(np.ones((2, 1)), np.ones((2, 1)), batch_size=1, verbose=0)
        >>> # 1 - 0.1 * 1 = 0.9, then 0.9 - 0.1 * (1 + 0.5 * (0.9 - 1))
        >>> round(float(model.weights[0][0, 0]), 4)
        0.805
    """

    def __init__(
        self, anchor: keras.Model, *, mu: float = 0.0, linear: Sequence[NDArray[Any] | None] | None = None
    ) -> None:
        super().__init__(anchor, mu=mu, linear=linear)
        self._model = anchor
        weights = _weights(anchor)
        trainable = {id(w) for w in anchor.trainable_weights}
        self._covered = {place: w for place, w in enumerate(weights) if id(w) in trainable}
        given = fit_linear([_slot(w) for w in weights], self._covered, linear)
        self._held = Held(self._mu)
        if self._mu:
            self._held.anchor = {id(w): variable(w, w.numpy(), "anchor") for w in self._covered.values()}
        if given:
            self._held.linear = {
                id(w): variable(w, given.get(place, np.zeros(w.shape)), "linear") for place, w in self._covered.items()
            }
        # For `step`: the weights as they were after the last one.
        self._before: dict[int, NDArray[Any]] = {}

    def attach(self) -> None:
        """Add the term in every step of the model's optimizer, replacing a term attached before.

        Raises:
            ValueError: The model is not compiled, has several replicas, or Keras does not run on TensorFlow.
        """
        self._notice()
        if keras.config.backend() != "tensorflow":
            raise ValueError(
                f"attach needs Keras on TensorFlow, but this is {keras.config.backend()}, where a compiled step would "
                "keep the anchor of the first round; call add_gradient in a training loop, or set "
                "KERAS_BACKEND=tensorflow"
            )
        optimizer = getattr(self._model, "optimizer", None)
        if optimizer is None:
            raise ValueError("the model has no optimizer yet; call model.compile(...) before attach")
        replicas = self._model.distribute_strategy.num_replicas_in_sync
        if self._is_active and replicas > 1:
            raise ValueError(
                f"attach needs a model on one device, but this one has {replicas} replicas, each of which would add "
                "the whole term; make and compile it outside of tf.distribute's strategy.scope()"
            )
        self._before = {}
        # Loss scaling wraps the optimizer and passes on unscaled gradients.
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        attached = getattr(optimizer.apply, "__self__", None)
        if not isinstance(attached, LocalTerm):
            if not self._is_active:
                return
        elif attached._held.can_become(self._held):
            attached._held.become(self._held)
            self._held = attached._held
            return
        else:
            del optimizer.apply
        if self._is_active:
            self._optimizer = optimizer
            optimizer.apply = self._apply
        # A step compiled earlier uses the optimizer's former `apply`.
        self._model.make_train_function(force=True)

    def loss(self) -> keras.KerasTensor:
        """Return (mu/2)·||w - w_t||² + ⟨g, w⟩ as a scalar tensor."""
        self._notice()
        total = keras.ops.zeros(())
        for w in self._covered.values():
            w_t, g = self._held.anchor.get(id(w)), self._held.linear.get(id(w))
            if w_t is not None:
                total = keras.ops.add(total, self._mu / 2 * keras.ops.sum(keras.ops.square(w - w_t)))
            if g is not None:
                total = keras.ops.add(total, keras.ops.sum(keras.ops.multiply(g, w)))
        return total

    def add_gradient(self, gradients: Sequence[keras.KerasTensor | None]) -> list[keras.KerasTensor | None]:
        """Return the gradients plus mu·(w - w_t) + g, for training loops that bypass the model's optimizer.

        Call it once per step, on the gradients of the client's own loss. A function that you compile with `tf.function`
        keeps the term that it was compiled with: make a new one in each round, or attach the term.

        Args:
            gradients: Gradients of the loss with respect to `model.trainable_weights`, in that order; None for a weight
                without one.
        """
        self._notice()
        weights = self._model.trainable_weights
        if self._is_active:
            self._held.record(gradients, weights, 1.0)
            self._held.steps.assign_add(1)
        return self._held.added(gradients, weights, 1.0)

    def step(self, learning_rate: float, *, num_steps: int = 1) -> None:
        """Take one exact step on the term in place: w becomes (w - lr·g + lr·mu·w_t) / (1 + lr·mu).

        Use it after each update of a training loop that does not expose its gradients. If the loop uses momentum m,
        pass lr / (1 - m), by which each gradient eventually moves the weights.

        Args:
            learning_rate: lr, the learning rate of the preceding update, finite and >= 0. After several updates, the
                sum of their learning rates.
            num_steps: Number of updates since the last step, >= 1.

        Raises:
            TypeError: `num_steps` is not an integer.
            ValueError: A number is out of range.
        """
        rate = checked_learning_rate(learning_rate)
        count = checks.integer("num_steps", num_steps, minimum=1)
        self._notice()
        if not self._is_active:
            return
        strength, held = rate * self._mu, self._held
        for w in self._covered.values():
            key = id(w)
            if rate and key in held.sums and key in self._before:
                # What the updates, without the term, have moved since the last step.
                moved = keras.ops.subtract(self._before[key], keras.ops.cast(w, held.sums[key].dtype))
                held.sums[key].assign_add(moved * (count / rate))
            if key in held.anchor:
                # Computed from the anchor, so that w = w_t is left exactly unchanged.
                w.assign(held.anchor[key] + (w - held.anchor[key]) / (1 + strength))
            if key in held.linear:
                w.assign_sub(held.linear[key] * (rate / (1 + strength)))
            if key in self._before:
                self._before[key] = _wide(w)
        held.steps.assign_add(count)
        held.batches.assign_add(count)

    @property
    def steps(self) -> int:
        """Number of updates of the optimizer to which the term was added so far; not counted under FedAvg."""
        return int(self._held.steps.numpy())

    def covered(self) -> list[int]:
        """Return the positions, in the order of `get_parameters`, of the arrays to which the term applies."""
        return list(self._covered)

    def mean_gradients(self) -> dict[int, NDArray[Any]]:
        """Return the mean over the steps of the gradients without the term, by position, if SCAFFOLD asked for it."""
        batches = max(int(self._held.batches.numpy()), 1)
        sums = {place: self._held.sums[id(w)].numpy() for place, w in self._covered.items() if self._records}
        return {place: np.asarray(total / batches, total.dtype) for place, total in sums.items()}

    def _serve(self, request: Request, left_out: Sequence[int]) -> None:
        super()._serve(request, left_out)
        self._covered = {place: w for place, w in self._covered.items() if place not in set(left_out)}
        held, weights = self._held, list(self._covered.values())
        held.anchor = {id(w): held.anchor[id(w)] for w in weights if id(w) in held.anchor}
        held.linear = {id(w): held.linear[id(w)] for w in weights if id(w) in held.linear}
        if request.keeps_state and not held.linear:
            # In the first round g is zero. The step that is compiled now serves later rounds too.
            held.linear = {id(w): variable(w, np.zeros(w.shape), "linear") for w in weights}
        if self._records:
            self._before = {id(w): _wide(w) for w in weights}
            held.sums = {key: variable(None, np.zeros_like(w), "sum") for key, w in self._before.items()}

    def _apply(
        self, grads: Sequence[keras.KerasTensor], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        optimizer = self._optimizer
        variables = self._model.trainable_weights if trainable_variables is None else list(trainable_variables)
        scale = getattr(optimizer, "loss_scale_factor", None) or 1.0
        self._held.record(grads, variables, scale)
        updates = keras.ops.add(optimizer.iterations, 0)
        type(optimizer).apply(optimizer, self._held.added(grads, variables, scale), trainable_variables)
        # While gradients accumulate, the optimizer makes no update.
        self._held.steps.assign_add(keras.ops.cast(optimizer.iterations - updates, "int64"))


def _slot(weight: keras.Variable) -> Slot:
    return Slot(weight.path, tuple(weight.shape), _numpy_dtype(weight))


def _wide(weight: keras.Variable) -> NDArray[Any]:
    """Return a copy; of half precision, in which the sum of many gradients would be lost, as float32."""
    return np.array(wide_float(weight.numpy()))


def _weights(model: keras.Model) -> list[keras.Variable]:
    weights: list[keras.Variable] = model.weights
    if not weights:
        raise ValueError("the model has no weights yet; give it a keras.Input, or call model.build(input_shape)")
    return weights


def _numpy_dtype(weight: keras.Variable) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(weight.dtype)
    except TypeError:  # NumPy does not know bfloat16 and float8
        dtype = np.dtype(np.float32)
    return dtype if dtype.kind != "V" else np.dtype(np.float32)
