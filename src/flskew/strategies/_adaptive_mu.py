"""FedProx's rule for an adaptive mu.

Tian Li, Anit Kumar Sahu, Manzil Zaheer, Maziar Sanjabi, Ameet Talwalkar and Virginia Smith. Federated Optimization in
Heterogeneous Networks. Proceedings of Machine Learning and Systems 2 (MLSys 2020), pages 429 to 450. arXiv 1812.06127,
section 5.3.2, figure 3 and appendix C.3.3: mu grows by 0.1 whenever the loss increases, and shrinks by 0.1 whenever it
has decreased for five rounds in a row.

The paper does not define a sixth decrease. Here it is the first of the next five.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["AdaptiveMu"]

_STEP = 0.1
_FALLS = 5


@dataclass(frozen=True)
class AdaptiveMu:
    """The current mu, and what the rule remembers about earlier losses.

    Attributes:
        mu: The mu of the next round, >= 0.
        loss: The latest loss; None before the first.
        falls: Number of consecutive decreases since mu last changed, 0 ... 4.

    Examples:
        >>> state = AdaptiveMu(mu=0.0)
        >>> for loss in [2.0, 2.5, 2.4, 2.3, 2.6]:  # two rises
        ...     state = state.after(loss)
        >>> state
        AdaptiveMu(mu=0.2, loss=2.6, falls=0)
    """

    mu: float
    loss: float | None = None
    falls: int = 0

    def after(self, loss: float) -> AdaptiveMu:
        """Return the state after a round with this finite loss; an equal loss is neither a rise nor a fall."""
        if self.loss is None or loss == self.loss:
            return replace(self, loss=loss, falls=0)
        if loss > self.loss:
            return AdaptiveMu(_tidy(self.mu + _STEP), loss)
        if self.falls + 1 < _FALLS:
            return replace(self, loss=loss, falls=self.falls + 1)
        return AdaptiveMu(max(0.0, _tidy(self.mu - _STEP)), loss)


def _tidy(mu: float) -> float:
    """Undo the rounding of 0.1, so that as many steps down as up restore the same mu."""
    return round(mu, 12)
