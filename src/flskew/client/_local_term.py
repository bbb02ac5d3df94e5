"""The local term for NumPy parameters, whose gradients the client computes itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks
from flskew.client._base_term import BaseLocalTerm, checked_learning_rate
from flskew.client._exchange import Request

__all__ = ["LocalTerm"]


class LocalTerm(BaseLocalTerm[Sequence[NDArray[Any]]]):
    """What the server's strategy adds to a client's loss: (mu/2)·||w - w_t||² + ⟨g, w⟩, for parameters in NumPy.

    Make one at the start of `fit`, before the parameters change. Then, in each step, add its gradient to that of the
    loss (`add_gradient`); or, with a learner that updates its weights itself, take a step after each update (`step`).
    The same client then works under FedAvg, FedProx, FedDyn, SCAFFOLD and FedNova. Gradient steps diverge if the
    learning rate times mu exceeds 2: keep this product well below 1, or use `step`. Under FedAvg the term does nothing
    and costs nothing: the anchor is not copied.

    As in FedProx's paper, the first part is the squared norm of all parameters together. The code in Flower's
    documentation sums the norms of the arrays instead. Integer arrays, such as counters of batches, are not weights and
    are ignored.

    Args:
        anchor: w_t, the parameters received; copied, so the same arrays can be trained in place.
        mu: Strength of the quadratic part, finite and >= 0; 0 leaves it out.
        linear: g, one array per parameter, of the same shape; None for a parameter, or for all, is zero.

    Raises:
        TypeError: mu is not a real number.
        ValueError: mu is negative or not finite, or `linear` does not have the shapes of the anchor.

    Examples:
        >>> import numpy as np
        >>> weights = [np.array([1.0, 2.0])]
        >>> term = LocalTerm(weights, mu=0.5, linear=[np.array([0.0, 3.0])])
        >>> weights[0] += 2.0
        >>> term.loss(weights)  # 0.5 / 2 * (2**2 + 2**2) + 3 * 4
        14.0
        >>> gradients = [np.zeros(2)]
        >>> term.add_gradient(weights, gradients)
        >>> gradients  # 0.5 * 2 + 0, 0.5 * 2 + 3
        [array([1., 4.])]
    """

    def __init__(
        self,
        anchor: Sequence[NDArray[Any]],
        *,
        mu: float = 0.0,
        linear: Sequence[NDArray[Any] | None] | None = None,
    ) -> None:
        super().__init__(anchor, mu=mu, linear=linear)
        self._shapes = [np.shape(array) for array in anchor]
        self._weights = [i for i, array in enumerate(anchor) if np.asarray(array).dtype.kind in "fc"]
        if linear is not None:
            given = [None if g is None else np.shape(g) for g in linear]
            if len(given) != len(self._shapes) or any(
                mine not in (None, shape) for mine, shape in zip(given, self._shapes, strict=True)
            ):
                raise ValueError(f"linear must have the shapes of the anchor, {self._shapes}, got {given}")
        self._anchor = [np.array(array) for array in anchor] if self._mu else []
        self._given = anchor
        self._sums: dict[int, NDArray[Any]] = {}
        self._before: dict[int, NDArray[Any]] = {}

    def loss(self, parameters: Sequence[NDArray[Any]]) -> float:
        """Return (mu/2)·||w - w_t||² + ⟨g, w⟩, summed in float64.

        Raises:
            ValueError: The parameters do not have the shapes of the anchor.
        """
        self._notice()
        if not self._is_active:
            return 0.0
        self._check("parameters", parameters)
        squares = [_squared_distance(parameters[i], self._anchor[i]) for i in self._weights] if self._mu else []
        products = [_inner_product(g, parameters[i]) for i in self._weights if (g := self._g(i)) is not None]
        return self._mu / 2 * math.fsum(squares) + math.fsum(products)

    def add_gradient(self, parameters: Sequence[NDArray[Any]], gradients: Sequence[NDArray[Any]]) -> None:
        """Add mu·(w - w_t) + g to the gradients of one step, in place.

        Raises:
            TypeError: A gradient is a scalar, or has an integer dtype.
            ValueError: Parameters or gradients do not have the shapes of the anchor.
        """
        self._notice(1)
        if not self._is_active:
            return
        self._check("parameters", parameters)
        self._check("gradients", gradients)
        self._check_changeable("gradients", gradients)
        for i in self._weights:
            with np.errstate(under="ignore"):
                if self._records:
                    self._sums[i] += gradients[i]
                if self._mu:
                    pull = self._mu * (parameters[i] - self._anchor[i])
                    gradients[i][...] += pull.astype(gradients[i].dtype, copy=False)
                g = self._g(i)
                if g is not None:
                    gradients[i][...] += g.astype(gradients[i].dtype, copy=False)

    def step(self, parameters: Sequence[NDArray[Any]], learning_rate: float, *, num_steps: int = 1) -> None:
        """Take one exact step on the term in place: w becomes (w - lr·g + lr·mu·w_t) / (1 + lr·mu).

        This is the w' that minimises (mu/2)·||w' - w_t||² + ⟨g, w'⟩ + ||w' - w||² / (2·lr). Use it after each update of
        a learner that does not expose its gradients, with the learning rate of that update.

        The step bypasses the learner's momentum m, with which each gradient eventually moves the weights by
        lr / (1 - m). Pass lr / (1 - m) to give the term the same strength as in the gradient; with lr, its strength is
        1 - m times that.

        Args:
            parameters: w, changed in place.
            learning_rate: lr, or lr / (1 - m); finite and >= 0. If the learner has made several updates since the last
                step, the sum of their learning rates.
            num_steps: Number of updates since the last step, >= 1.

        Raises:
            TypeError: A parameter is a scalar, or has an integer dtype where the anchor is floating-point; or
                `num_steps` is not an integer.
            ValueError: The parameters do not have the shapes of the anchor, or a number is out of range.
        """
        rate = checked_learning_rate(learning_rate)
        self._notice(checks.integer("num_steps", num_steps, minimum=1))
        if not self._is_active:
            return
        self._check("parameters", parameters)
        self._check_changeable("parameters", parameters)
        for i in self._weights:
            w, g = parameters[i], self._g(i)
            with np.errstate(under="ignore"):
                if self._records and rate:
                    # What the learner's own gradients, times their learning rates, have moved since the last step.
                    # The difference of half-precision weights, divided by a small rate, may need the range of float32.
                    self._sums[i] += np.subtract(self._before[i], w, dtype=self._sums[i].dtype) * (num_steps / rate)
                if self._mu:
                    # Computed from the anchor, so that w = w_t is left exactly unchanged.
                    w[...] = self._anchor[i] + (w - self._anchor[i]) / (1 + rate * self._mu)
                if g is not None:
                    w -= (g * (rate / (1 + rate * self._mu))).astype(w.dtype, copy=False)
                if self._records:
                    self._before[i][...] = w

    def covered(self) -> list[int]:
        """Return the positions of the arrays to which the term applies: those of floats."""
        return list(self._weights)

    def mean_gradients(self) -> dict[int, NDArray[Any]]:
        """Return the mean over the steps of the gradients without the term, by position, if SCAFFOLD asked for it."""
        steps = max(self._num_steps, 1)
        # In NumPy 1, a 0-d float32 array divided by an integer would be a float64.
        return {i: np.asarray(np.divide(total, steps, dtype=total.dtype)) for i, total in self._sums.items()}

    def _g(self, place: int) -> NDArray[Any] | None:
        return self._linear[place] if self._linear else None

    def _serve(self, request: Request, left_out: Sequence[int]) -> None:
        super()._serve(request, left_out)
        self._weights = [i for i in self._weights if i not in set(left_out)]
        if self._records:
            # Half precision would lose the sum of many gradients.
            dtypes = {i: np.result_type(np.asarray(self._given[i]).dtype, np.float32) for i in self._weights}
            self._sums = {i: np.zeros(self._shapes[i], dtype) for i, dtype in dtypes.items()}
            self._before = {i: np.array(self._given[i]) for i in self._weights}

    def _check(self, name: str, arrays: Sequence[NDArray[Any]]) -> None:
        have = [np.shape(array) for array in arrays]
        if have != self._shapes:
            raise ValueError(f"{name} must have the shapes of the anchor, {self._shapes}, got {have}")

    def _check_changeable(self, name: str, arrays: Sequence[object]) -> None:
        for index, array in enumerate(arrays):
            # Arithmetic on a 0-d array returns a scalar, which cannot be changed in place.
            if not isinstance(array, np.ndarray):
                raise TypeError(f"{name}[{index}] must be an array, got {type(array).__name__}; use numpy.asarray")
            # NumPy would silently truncate the floats written into it.
            if array.dtype.kind in "iub" and index in self._weights:
                raise TypeError(f"{name}[{index}] must be floating-point, got {array.dtype}; use .astype(float)")


def _squared_distance(w: NDArray[Any], w_t: NDArray[Any]) -> float:
    difference = np.subtract(w, w_t, dtype=np.result_type(w_t, np.float64)).ravel()
    with np.errstate(under="ignore"):
        return float(np.vdot(difference, difference).real)


def _inner_product(g: NDArray[Any], w: NDArray[Any]) -> float:
    wide = np.result_type(w, np.float64)
    with np.errstate(under="ignore"):
        return float(np.vdot(g.astype(wide).ravel(), w.astype(wide).ravel()).real)
