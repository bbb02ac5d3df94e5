"""What the local term for Keras adds and records, as variables that compiled steps share."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Held", "variable"]


class Held:
    """mu, w_t, g and what was recorded, by the id of the weight.

    These are variables, so that a step compiled in an earlier round uses, and writes to, those of a later one.
    """

    def __init__(self, mu: float) -> None:
        self.mu = variable(None, np.float32(mu), "mu")
        self.steps = variable(None, np.int64(0), "steps")
        self.batches = variable(None, np.int64(0), "batches")
        self.anchor: dict[int, keras.Variable] = {}
        self.linear: dict[int, keras.Variable] = {}
        self.sums: dict[int, keras.Variable] = {}

    def can_become(self, later: Held) -> bool:
        """Return whether a step compiled with these variables can serve a later term."""
        return (
            (not later.anchor or later.anchor.keys() == self.anchor.keys())
            and (not later.linear or later.linear.keys() == self.linear.keys())
            and later.sums.keys() == self.sums.keys()
        )

    def become(self, later: Held) -> None:
        """Take over the values of a later term; without an anchor its mu is 0, without a linear part g is 0."""
        for name in ("mu", "steps", "batches"):
            getattr(self, name).assign(getattr(later, name))
        for mine, its in ((self.anchor, later.anchor), (self.linear, later.linear), (self.sums, later.sums)):
            for key, current in mine.items():
                current.assign(its[key] if its else keras.ops.zeros_like(current))

    def record(
        self, gradients: Sequence[keras.KerasTensor | None], weights: Sequence[keras.Variable], scale: float
    ) -> None:
        """Add the gradients, divided by the scale of the loss, to their sums."""
        self.batches.assign_add(1)
        for gradient, w in zip(gradients, weights, strict=True):
            total = self.sums.get(id(w))
            if total is not None and gradient is not None:
                # Operators would refuse the sparse gradient of an embedding; the functions of `keras.ops` add it.
                unscaled = keras.ops.divide(keras.ops.cast(gradient, total.dtype), scale)
                total.assign(keras.ops.add(total, unscaled))

    def added(
        self, gradients: Sequence[keras.KerasTensor | None], weights: Sequence[keras.Variable], scale: float
    ) -> list[keras.KerasTensor | None]:
        """Return the gradients plus `scale` times mu·(w - w_t) + g."""
        added = []
        for gradient, w in zip(gradients, weights, strict=True):
            w_t, g = self.anchor.get(id(w)), self.linear.get(id(w))
            if w_t is not None:
                pull = keras.ops.cast(self.mu * scale, w.dtype) * (w.value - w_t.value)
                gradient = pull if gradient is None else keras.ops.add(gradient, pull)
            if g is not None:
                push = g.value * keras.ops.cast(scale, w.dtype)
                gradient = push if gradient is None else keras.ops.add(gradient, push)
            added.append(gradient)
        return added


def variable(weight: keras.Variable | None, value: ArrayLike, name: str) -> keras.Variable:
    """Return a variable with a copy of an array, in the dtype of a weight."""
    # Through NumPy: a variable made from another's value may share its memory.
    array = np.array(value)
    dtype = array.dtype.name if weight is None else weight.dtype
    return keras.Variable(array, trainable=False, dtype=dtype, name=f"local_term_{name}")
