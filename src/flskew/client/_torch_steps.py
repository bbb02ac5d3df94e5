"""Gradients in PyTorch: adding to them, and recording them step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

__all__ = ["StepRecord", "add_to_gradients"]


class StepRecord:
    """How many steps each parameter has taken and, if asked for, the sum of its gradients over them.

    Args:
        weights: The parameters whose gradients are summed, before the first step.

    Attributes:
        counts: Number of steps of each parameter.
    """

    def __init__(self, weights: Iterable[torch.Tensor] = ()) -> None:
        self.counts: dict[torch.Tensor, int] = {}
        # Half precision would lose the sum of many gradients.
        self._sums = {
            w: torch.zeros_like(w, dtype=torch.promote_types(w.dtype, torch.float32), requires_grad=False)
            for w in weights
        }
        self._before = {w: w.detach().clone() for w in self._sums}

    @property
    def steps(self) -> int:
        """Number of steps of the parameter that has taken most."""
        return max(self.counts.values(), default=0)

    def mean(self, w: torch.Tensor) -> torch.Tensor:
        """Return the mean of a parameter's gradients over its own steps; zero if it has taken none."""
        return self._sums[w] / max(self.counts.get(w, 0), 1)

    def add_gradients(self, weights: Sequence[torch.Tensor], scale: torch.Tensor | None) -> None:
        """Record one step of these parameters by their gradients, divided by the loss scale; None is zero."""
        self._count(weights, 1)
        sums, gradients = [], []
        for w in weights if self._sums else ():
            self._before.pop(w, None)  # only needed for `add_changes`
            if w.grad is not None and w.grad.layout is torch.strided:
                sums.append(self._sums[w])
                gradients.append(w.grad)
            elif w.grad is not None:
                self._sums[w].add_(w.grad)
        if gradients:
            if scale is not None:
                gradients = torch._foreach_mul(gradients, 1 / scale)
            torch._foreach_add_(sums, gradients)

    def add_changes(self, weights: Iterable[torch.Tensor], learning_rate: float, num_steps: int) -> None:
        """Record steps whose gradients were not seen, by the change of the parameters since the last `restart`."""
        self._count(weights, num_steps)
        for w in weights:
            if w in self._before and learning_rate:
                self._sums[w].add_(self._before[w] - w, alpha=num_steps / learning_rate)

    def restart(self, weights: Iterable[torch.Tensor]) -> None:
        """Measure further changes from here."""
        for w in weights:
            if w in self._before:
                self._before[w].copy_(w)

    def _count(self, weights: Iterable[torch.Tensor], num_steps: int) -> None:
        for w in weights:
            self.counts[w] = self.counts.get(w, 0) + num_steps


def add_to_gradients(
    weights: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor], alpha: float, scale: torch.Tensor | None
) -> None:
    """Add alpha times the tensors, and times the loss scale, to the gradients; a gradient of None is zero."""
    if scale is not None:
        tensors = torch._foreach_mul(tensors, scale)
    gradients, addends = [], []
    for w, tensor in zip(weights, tensors, strict=True):
        if w.grad is None:
            w.grad = tensor * alpha
        elif w.grad.layout is torch.strided:
            gradients.append(w.grad)
            addends.append(tensor)
        else:  # PyTorch adds a sparse gradient to a dense one, but not a dense one to a sparse one.
            w.grad = (tensor * alpha).add_(w.grad)
    if gradients:
        torch._foreach_add_(gradients, addends, alpha=alpha)
