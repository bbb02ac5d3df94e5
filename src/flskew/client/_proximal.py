"""FedProx's proximal term: the base for all frameworks, and the term for NumPy parameters.

Tian Li, Anit Kumar Sahu, Manzil Zaheer, Maziar Sanjabi, Ameet Talwalkar and Virginia Smith. Federated Optimization in
Heterogeneous Networks. Proceedings of Machine Learning and Systems 2 (MLSys 2020), pages 429 to 450. arXiv 1812.06127.
Each client minimises its own loss plus (mu/2)·||w - w_t||², where w_t are the parameters that the server sent.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from flskew._util import checks

__all__ = ["BaseProximalTerm", "ProximalTerm", "checked_learning_rate"]

# Flower's strategy sends the first; earlier releases sent the second.
_KEYS = ("proximal-mu", "proximal_mu")

Anchor = TypeVar("Anchor")


class BaseProximalTerm(Generic[Anchor]):
    """Base of the proximal terms of all frameworks: mu, and how to read it from the server's config.

    Args:
        mu: The strength, finite and >= 0.
        anchor: w_t, in the framework's own form.

    Raises:
        TypeError: mu is not a real number.
        ValueError: mu is negative or not finite.
    """

    def __init__(self, mu: float, anchor: Anchor) -> None:
        self._mu = checks.proximal_mu("mu", mu)

    @classmethod
    def from_config(cls, config: Mapping[str, object], anchor: Anchor) -> Self:
        """Return the term with the mu in the server's config, "proximal-mu" or "proximal_mu"; 0 if it has neither.

        Args:
            config: The config that `fit` received.
            anchor: The parameters that `fit` received, or the model after setting them.

        Raises:
            TypeError: mu is not a real number.
            ValueError: Both spellings are present and differ, or mu is negative or not finite.

        Examples:
            >>> from flskew import ProximalTerm
            >>> ProximalTerm.from_config({"proximal-mu": 0.1}, []).mu
            0.1
        """
        found = {key: checks.proximal_mu(f"config[{key!r}]", config[key]) for key in _KEYS if key in config}
        if len(set(found.values())) > 1:
            raise ValueError(f"config has two different values for mu, {found}; keep {_KEYS[0]!r}")
        return cls(next(iter(found.values()), 0.0), anchor)

    @property
    def mu(self) -> float:
        """The strength."""
        return self._mu


class ProximalTerm(BaseProximalTerm[Sequence[NDArray[Any]]]):
    """FedProx's (mu/2)·||w - w_t||², which keeps a client near the parameters it received.

    Make one at the start of `fit`, before the parameters change. Then, in each step, add its gradient to that of the
    loss (`add_gradient`); or, with a learner that updates its weights itself, take a proximal step after it (`step`).
    Gradient steps diverge if learning rate times mu exceeds 2: keep it well below 1, or use `step`. mu = 0 is FedAvg
    and costs nothing: the anchor is not copied.

    Unlike the code in Flower's documentation, which sums the norms of the arrays, this is the squared norm of all
    parameters together, as in the paper. Integer arrays, such as counters of batches, are not weights and are ignored.

    Args:
        mu: The strength, finite and >= 0.
        anchor: w_t, the parameters received; copied, so the same arrays can be trained in place.

    Raises:
        TypeError: mu is not a real number.
        ValueError: mu is negative or not finite.

    Examples:
        >>> import numpy as np
        >>> weights = [np.array([1.0, 2.0])]
        >>> term = ProximalTerm(mu=0.5, anchor=weights)
        >>> weights[0] += 2.0
        >>> term.loss(weights)  # 0.5 / 2 * (2**2 + 2**2)
        2.0
        >>> gradients = [np.zeros(2)]
        >>> term.add_gradient(weights, gradients)
        >>> gradients
        [array([1., 1.])]
    """

    def __init__(self, mu: float, anchor: Sequence[NDArray[Any]]) -> None:
        super().__init__(mu, anchor)
        self._anchor = [np.array(array) for array in anchor] if self._mu else []
        self._weights = [index for index, array in enumerate(self._anchor) if array.dtype.kind in "fc"]

    def loss(self, parameters: Sequence[NDArray[Any]]) -> float:
        """Return (mu/2)·||w - w_t||², summed in float64.

        Raises:
            ValueError: The parameters do not have the shapes of the anchor.
        """
        if not self._mu:
            return 0.0
        self._check("parameters", parameters)
        return self._mu / 2 * math.fsum(_squared_distance(parameters[i], self._anchor[i]) for i in self._weights)

    def add_gradient(self, parameters: Sequence[NDArray[Any]], gradients: Sequence[NDArray[Any]]) -> None:
        """Add mu·(w - w_t) to the gradients, in place.

        Raises:
            TypeError: A gradient is a scalar, or has an integer dtype.
            ValueError: Parameters or gradients do not have the shapes of the anchor.
        """
        if not self._mu:
            return
        self._check("parameters", parameters)
        self._check("gradients", gradients)
        self._check_changeable("gradients", gradients)
        for i in self._weights:
            with np.errstate(under="ignore"):
                pull = self._mu * (parameters[i] - self._anchor[i])
                gradients[i][...] += pull.astype(gradients[i].dtype, copy=False)

    def step(self, parameters: Sequence[NDArray[Any]], learning_rate: float) -> None:
        """Take one exact proximal step in place: w becomes (w + lr·mu·w_t) / (1 + lr·mu).

        This is the w' that minimises (mu/2)·||w' - w_t||² + ||w' - w||² / (2·lr). Use it after each update of a learner
        that does not expose its gradients, with the learning rate of that update.

        The step bypasses the learner's momentum m, with which each gradient eventually moves the weights by
        lr / (1 - m). Pass lr / (1 - m) to give mu the same strength as in the gradient; with lr, its strength is
        mu·(1 - m).

        Args:
            parameters: w, changed in place.
            learning_rate: lr, or lr / (1 - m); finite and >= 0.

        Raises:
            TypeError: A parameter is a scalar, or has an integer dtype where the anchor is floating-point.
            ValueError: The parameters do not have the shapes of the anchor, or the learning rate is negative or not
                finite.
        """
        strength = checked_learning_rate(learning_rate) * self._mu
        if not self._mu:
            return
        self._check("parameters", parameters)
        self._check_changeable("parameters", parameters)
        for i in self._weights:
            w, w_t = parameters[i], self._anchor[i]
            # Computed from the anchor, so that w = w_t is left exactly unchanged.
            with np.errstate(under="ignore"):
                w[...] = w_t + (w - w_t) / (1 + strength)

    def _check(self, name: str, arrays: Sequence[NDArray[Any]]) -> None:
        have = [np.shape(array) for array in arrays]
        want = [array.shape for array in self._anchor]
        if have != want:
            raise ValueError(f"{name} must have the shapes of the anchor, {want}, got {have}")

    def _check_changeable(self, name: str, arrays: Sequence[object]) -> None:
        for index, array in enumerate(arrays):
            # Arithmetic on a 0-d array returns a scalar, which cannot be changed in place.
            if not isinstance(array, np.ndarray):
                raise TypeError(f"{name}[{index}] must be an array, got {type(array).__name__}; use numpy.asarray")
            # NumPy would silently truncate the floats written into it.
            if array.dtype.kind in "iub" and index in self._weights:
                raise TypeError(f"{name}[{index}] must be floating-point, got {array.dtype}; use .astype(float)")


def checked_learning_rate(value: object) -> float:
    """Return a learning rate as a float.

    Raises:
        ValueError: It is not a number, is negative, or is not finite.
    """
    rate = float(value) if isinstance(value, numbers.Real) else math.nan
    if not (math.isfinite(rate) and rate >= 0):
        raise ValueError(f"learning_rate must be finite and >= 0, got {value!r}")
    return rate


def _squared_distance(w: NDArray[Any], w_t: NDArray[Any]) -> float:
    difference = np.subtract(w, w_t, dtype=np.result_type(w_t, np.float64)).ravel()
    with np.errstate(under="ignore"):
        return float(np.vdot(difference, difference).real)
