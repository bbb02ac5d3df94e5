"""PyTorch tensors and JAX arrays as NumPy arrays, and back. Neither framework is imported unless you have done so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flskew.typing import Features

if TYPE_CHECKING:
    import torch

__all__ = ["as_numpy", "through_numpy"]


def through_numpy(data: Features, change: Callable[[Features], Features]) -> Features:
    """Change data of any framework as NumPy arrays.

    Args:
        data: A tensor, a mapping from names to tensors, or anything that `change` takes.
        change: Gets arrays in place of tensors, and anything else as it is.

    Returns:
        What `change` returns, as tensors where `data` has some; the same objects where it returned what it got.

    Raises:
        TypeError: A tensor is not on the CPU, or requires gradients.
    """
    if not isinstance(data, Mapping):
        array, back = as_numpy(data)
        seen = change(array)
        return data if seen is array else back(seen)
    converted = {name: as_numpy(column) for name, column in data.items()}
    arrays = {name: array for name, (array, _) in converted.items()}
    if all(arrays[name] is data[name] for name in data):
        return change(data)
    seen = change(arrays)
    if seen is arrays:
        return data
    return {
        name: data[name] if seen[name] is array else converted[name][1](seen[name]) for name, array in arrays.items()
    }


def as_numpy(value: Features) -> tuple[Features, Callable[[NDArray[Any]], Any]]:
    """Return a tensor as an array, and a function that makes an array such a tensor; other values as they are."""
    if "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor):
        return _from_torch(value, sys.modules["torch"])
    if "jax" in sys.modules and isinstance(value, sys.modules["jax"].Array):
        # A tracer has no sharding, so make the array first, which raises JAX's own error.
        jax, array, sharding = sys.modules["jax"], np.asarray(value), value.sharding
        return array, lambda seen: jax.device_put(seen, sharding)
    return value, lambda seen: seen


def _from_torch(tensor: torch.Tensor, torch: Any) -> tuple[NDArray[Any], Callable[[NDArray[Any]], torch.Tensor]]:
    if tensor.device.type != "cpu":
        raise TypeError(f"shifts need tensors on the CPU, got one on {tensor.device}; shift before moving data there")
    if tensor.requires_grad:
        raise TypeError("shifts have no gradients, got a tensor that requires them; pass tensor.detach()")
    dtype = tensor.dtype
    # NumPy lacks it, and float32 is what a shift would compute in anyway.
    array = (tensor.float() if dtype == torch.bfloat16 else tensor).numpy()

    def back(seen: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.require(seen, requirements=("C", "W"))).to(dtype)

    return array, back
