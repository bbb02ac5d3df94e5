"""Keras 3 models on TensorFlow: their parameters as arrays, and FedProx's proximal term inside `model.fit`.

Keras has no hook before an update, and a term in the loss would change the losses that `fit` and `evaluate` report. So
the term is added in the optimizer, like gradient clipping and weight decay, before its `apply`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from flskew.client._arrays import Slot, fit_into, private_copy
from flskew.client._proximal import BaseProximalTerm, checked_learning_rate
from flskew.typing import Parameters

__all__ = ["ProximalTerm", "get_parameters", "set_parameters"]


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
        model: Built; changed only if every array fits.
        parameters: One array per weight of the model, with the same shapes. Floats of another precision are rounded to
            the model's.

    Raises:
        ParametersError: The number of arrays differs, or one has another shape, or a dtype or numbers that do not fit;
            the message names the weight.
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
    slots = [Slot(weight.path, tuple(weight.shape), _numpy_dtype(weight)) for weight in weights]
    for weight, array in zip(weights, fit_into(slots, parameters), strict=True):
        weight.assign(array)


class ProximalTerm(BaseProximalTerm[keras.Model]):
    """FedProx's (mu/2)·||w - w_t||² on the trainable weights of a Keras model.

    Make one in `fit`, after setting the server's parameters and compiling the model, and attach it. Each step of
    `model.fit`, `train_on_batch` or your own `train_step` then adds mu·(w - w_t) to the gradients before the optimizer
    clips and applies them. It works with loss scaling and gradient accumulation. The losses that Keras reports do not
    include the term. mu = 0 is FedAvg and costs nothing.

    In the next round, make and attach another term: it replaces the last one without recompiling the step.

    Args:
        mu: The strength, finite and >= 0.
        anchor: The model, built and with w_t, the parameters received; they are copied.

    Raises:
        TypeError: mu is not a real number.
        ValueError: mu is negative or not finite, or the model has no weights yet.

    Examples:
        >>> import keras, numpy as np
        >>> from flskew.client.keras import ProximalTerm
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> model.compile(keras.optimizers.SGD(0.1), loss=lambda y, prediction: prediction)
        >>> ProximalTerm(mu=0.5, anchor=model).attach()
        >>> _ = model.fit(np.ones((2, 1)), np.ones((2, 1)), batch_size=1, verbose=0)
        >>> round(float(model.weights[0][0, 0]), 4)  # 1 - 0.1 * 1 = 0.9, then 0.9 - 0.1 * (1 + 0.5 * (0.9 - 1))
        0.805
    """

    def __init__(self, mu: float, anchor: keras.Model) -> None:
        super().__init__(mu, anchor)
        _weights(anchor)
        self._model = anchor
        # Variables, so that an already compiled step sees the anchor and the mu of a later round.
        self._strength = keras.Variable(self._mu, trainable=False, dtype="float32", name="proximal_mu")
        self._anchor = {
            # Through NumPy: a variable made from another's value may share its memory.
            id(weight): keras.Variable(
                np.array(weight.numpy()),
                trainable=False,
                dtype=weight.dtype,
                name="proximal_anchor",
            )
            for weight in (anchor.trainable_weights if self._mu else ())
        }

    def attach(self) -> None:
        """Add the term in every step of the model's optimizer, replacing a term attached before.

        Raises:
            ValueError: The model is not compiled, or Keras does not run on TensorFlow.
        """
        if keras.config.backend() != "tensorflow":
            raise ValueError(
                f"attach needs Keras on TensorFlow, but this is {keras.config.backend()}, where a compiled step would "
                "keep the anchor of the first round; call add_gradient in a training loop, or set "
                "KERAS_BACKEND=tensorflow"
            )
        optimizer = getattr(self._model, "optimizer", None)
        if optimizer is None:
            raise ValueError("the model has no optimizer yet; call model.compile(...) before attach")
        # Loss scaling wraps the optimizer and passes on unscaled gradients.
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        attached = getattr(optimizer.apply, "__self__", None)
        if not isinstance(attached, ProximalTerm):
            if not self._anchor:
                return
        elif attached._anchor.keys() == self._anchor.keys():
            attached._become(self)
            return
        else:
            del optimizer.apply
        if self._anchor:
            self._optimizer = optimizer
            optimizer.apply = self._apply
        # A step compiled earlier uses the optimizer's former `apply`.
        self._model.make_train_function(force=True)

    def loss(self) -> keras.KerasTensor:
        """Return (mu/2)·||w - w_t||² as a scalar tensor."""
        total = keras.ops.zeros(())
        for w, w_t in self._pairs():
            total = keras.ops.add(total, self._mu / 2 * keras.ops.sum(keras.ops.square(w - w_t)))
        return total

    def add_gradient(self, gradients: Sequence[keras.KerasTensor | None]) -> list[keras.KerasTensor | None]:
        """Return the gradients plus mu·(w - w_t), for training loops that bypass the model's optimizer.

        Args:
            gradients: Gradients of the loss with respect to `model.trainable_weights`, in that order; None for a weight
                without one.
        """
        return self._added(gradients, self._model.trainable_weights, 1.0)

    def step(self, learning_rate: float) -> None:
        """Take one exact proximal step in place: w becomes (w + lr·mu·w_t) / (1 + lr·mu).

        Args:
            learning_rate: Learning rate of the preceding update, finite and >= 0.

        Raises:
            ValueError: It is negative or not finite.
        """
        strength = checked_learning_rate(learning_rate) * self._mu
        for w, w_t in self._pairs():
            w.assign(w_t + (w - w_t) / (1 + strength))

    def _pairs(self) -> list[tuple[keras.Variable, keras.Variable]]:
        weights = self._model.trainable_weights
        return [(w, self._anchor[id(w)]) for w in weights if id(w) in self._anchor]

    def _apply(
        self, grads: Sequence[keras.KerasTensor], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        optimizer = self._optimizer
        variables = self._model.trainable_weights if trainable_variables is None else list(trainable_variables)
        scale = getattr(optimizer, "loss_scale_factor", None) or 1.0
        type(optimizer).apply(optimizer, self._added(grads, variables, scale), trainable_variables)

    def _added(
        self, gradients: Sequence[keras.KerasTensor | None], weights: Sequence[keras.Variable], scale: float
    ) -> list[keras.KerasTensor | None]:
        added = []
        for gradient, w in zip(gradients, weights, strict=True):
            w_t = self._anchor.get(id(w))
            if w_t is not None:
                pull = keras.ops.cast(self._strength * scale, w.dtype) * (w.value - w_t.value)
                gradient = pull if gradient is None else keras.ops.add(gradient, pull)
            added.append(gradient)
        return added

    def _become(self, later: ProximalTerm) -> None:
        self._mu = later._mu
        self._strength.assign(later._mu)
        for key, w_t in self._anchor.items():
            w_t.assign(later._anchor[key].value)


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
