"""What a strategy adds to a client's loss: the base of the local terms of all frameworks.

The term is (mu/2)·||w - w_t||² + ⟨g, w⟩, where w_t are the parameters that the server sent. FedProx uses the first part
(Tian Li et al., MLSys 2020, arXiv 1812.06127), SCAFFOLD the second, with g = c - c_k (Sai Praneeth Karimireddy et al.,
ICML 2020, arXiv 1910.06378), and FedDyn both, with g = -h_k (Durmus Alp Emre Acar et al., ICLR 2021, arXiv 2111.04263).
"""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

from numpy.typing import NDArray

from flskew._util import checks
from flskew.client._exchange import Request, current
from flskew.client._protocols import ClientError

__all__ = ["BaseLocalTerm", "checked_learning_rate"]

Anchor = TypeVar("Anchor")


class BaseLocalTerm(ABC, Generic[Anchor]):
    """Base of the local terms of all frameworks: mu, g, and how to read them from the server's config.

    A subclass extends `_serve`, checks `_is_active` before it does any work, calls `_notice` whenever it is used, and,
    if `_records` is set, sums the gradients that it sees.

    Args:
        anchor: w_t, in the framework's own form.
        mu: The strength, finite and >= 0.
        linear: g, one array per array of the model, in the order of `get_parameters`; None for an array is zero.

    Raises:
        TypeError: mu is not a real number.
        ValueError: mu is negative or not finite.
    """

    def __init__(self, anchor: Anchor, *, mu: float = 0.0, linear: Sequence[NDArray[Any] | None] | None = None) -> None:
        self._mu = checks.proximal_mu("mu", mu)
        self._linear = [] if linear is None or all(g is None for g in linear) else list(linear)
        self.request = Request(mu=self._mu)
        self._records = False
        self._counts = False
        self._num_steps = 0
        self._is_used = False

    @classmethod
    def from_config(cls, config: Mapping[str, object], anchor: Anchor) -> Self:
        """Return the term that the server's strategy asks for.

        Call it in `fit`. Under FedAvg, the term does nothing and costs nothing. `client_app` keeps the client's state
        and sends the strategy what it needs. For FedProx, including Flower's own, no `client_app` is needed:
        "proximal-mu" or "proximal_mu" in the config is enough.

        Args:
            config: The config that `fit` received.
            anchor: The parameters that `fit` received, or the model after setting them.

        Raises:
            ClientError: The strategy keeps state on its clients, but `fit` is not called by `client_app`; or it counts
                steps or keeps state, and this `fit` has made a term before.
            TypeError: mu is not a real number.
            ValueError: Both spellings of mu are present and differ, or mu is negative or not finite.

        Examples:
            >>> from flskew import LocalTerm
            >>> LocalTerm.from_config({"proximal-mu": 0.1}, []).mu
            0.1
        """
        request, exchange = Request.read(config), current()
        if exchange is None and request.keeps_state:
            raise ClientError(
                f"{request.strategy} keeps state on its clients, which only client_app can do; run this client with "
                "flskew.client_app"
            )
        if exchange is not None and exchange.term is not None and (request.keeps_state or request.counts_steps):
            raise ClientError(
                f"{request.strategy} needs one local term for all steps of fit; call LocalTerm.from_config once, "
                "before the first step"
            )
        linear = exchange.linear() if exchange is not None and request.keeps_state else None
        term = cls(anchor, mu=request.strength, linear=linear)
        term._serve(request, () if exchange is None else exchange.left_out_places())
        if exchange is not None:
            exchange.term = term
        return term

    @property
    def mu(self) -> float:
        """The strength mu of the quadratic part; 0 if there is none."""
        return self._mu

    @property
    def steps(self) -> int:
        """Number of optimizer steps to which the term was added so far; not counted under FedAvg."""
        return self._num_steps

    @property
    def is_used(self) -> bool:
        """Whether it was attached to an optimizer, or any of its methods was called."""
        return self._is_used

    @abstractmethod
    def covered(self) -> list[int]:
        """Return the positions, in the order of `get_parameters`, of the arrays to which the term applies."""

    @abstractmethod
    def mean_gradients(self) -> dict[int, NDArray[Any]]:
        """Return the mean over the steps of the gradients without the term, by position, if SCAFFOLD asked for it."""

    @property
    def _is_active(self) -> bool:
        return bool(self._mu or self._linear or self._records or self._counts)

    def _serve(self, request: Request, left_out: Sequence[int]) -> None:
        """Prepare for what a strategy asks, before the first step.

        Args:
            request: What it asks.
            left_out: Positions of arrays to which the term does not apply.
        """
        self.request = request
        self._records = request.is_scaffold
        self._counts = request.counts_steps

    def _notice(self, num_steps: int = 0) -> None:
        """Note that the term was used, and for how many steps."""
        self._is_used = True
        self._num_steps += num_steps


def checked_learning_rate(value: object) -> float:
    """Return a learning rate as a float.

    Raises:
        ValueError: It is not a number, is negative, or is not finite.
    """
    rate = float(value) if isinstance(value, numbers.Real) else math.nan
    if not (math.isfinite(rate) and rate >= 0):
        raise ValueError(f"learning_rate must be finite and >= 0, got {value!r}")
    return rate
