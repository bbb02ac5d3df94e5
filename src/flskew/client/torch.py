"""PyTorch models: their parameters as arrays, and FedProx's proximal term on their gradients.

The term takes two passes over lists of tensors with `torch._foreach_*`, which `torch.optim` uses too. These names are
undocumented, but later releases of PyTorch keep them alongside the public `torch.foreach`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.hooks import RemovableHandle

from flskew._arrays.records import ParametersError
from flskew.client._arrays import Slot, fit_into
from flskew.client._proximal import BaseProximalTerm, checked_learning_rate
from flskew.typing import Parameters

__all__ = ["ProximalTerm", "get_parameters", "set_parameters"]

_NUMPY_FLOATS = {torch.float16, torch.float32, torch.float64}
# One term per optimizer: each round's term replaces the previous one.
_ATTACHED: WeakKeyDictionary[torch.optim.Optimizer, RemovableHandle] = WeakKeyDictionary()


def get_parameters(model: nn.Module) -> Parameters:
    """Return copies of the entries of `model.state_dict()` in its order, including buffers.

    bfloat16 and float8, which NumPy lacks, become float32, exactly; `set_parameters` converts them back. The names of
    the arrays are `list(model.state_dict())`.

    Raises:
        ParametersError: An entry of the state is not a tensor.

    Examples:
        >>> import torch
        >>> from flskew.client.torch import get_parameters
        >>> [array.shape for array in get_parameters(torch.nn.Linear(3, 2))]
        [(2, 3), (2,)]
    """
    return [_to_numpy(tensor) for tensor in _state(model).values()]


def set_parameters(model: nn.Module, parameters: Sequence[NDArray[Any]]) -> None:
    """Load arrays into a model in the order of its state_dict; the model keeps its devices and dtypes.

    The tensors are changed in place, so an existing optimizer remains valid.

    Args:
        model: Changed only if every array fits.
        parameters: One array per entry of the state_dict, with the same shapes. Floats of another precision are
            rounded to the model's.

    Raises:
        ParametersError: The number of arrays differs, or one has another shape, or a dtype or numbers that do not fit;
            the message names the entry.

    Examples:
        >>> import numpy as np, torch
        >>> from flskew.client.torch import set_parameters
        >>> model = torch.nn.Linear(3, 2)
        >>> set_parameters(model, [np.ones((2, 3)), np.zeros(2)])
        >>> model(torch.ones(3)).tolist()
        [3.0, 3.0]
    """
    state = _state(model)
    slots = [Slot(name, tuple(tensor.shape), _numpy_dtype(tensor)) for name, tensor in state.items()]
    arrays = fit_into(slots, parameters)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in zip(state, arrays, strict=True)})


class ProximalTerm(BaseProximalTerm[nn.Module]):
    """FedProx's (mu/2)·||w - w_t||² on a module's parameters.

    Make one in `fit`, after setting the server's parameters, and attach it to the optimizer. Each `optimizer.step()`
    then first adds mu·(w - w_t) to the gradients, with any optimizer and no change to the training loop. The gradients
    equal those of `(loss + term.loss()).backward()`, at a fraction of the cost. Buffers and frozen parameters are
    ignored. mu = 0 is FedAvg and costs nothing: no copy, no hook.

    A parameter whose gradient is None gets the gradient of the term alone, as from autograd. Gradients are clipped
    before the term is added; to clip the sum, do not attach the term, and call `add_gradient` before clipping. Autocast
    does not affect the term. With a GradScaler, the term is added to the unscaled gradients, or scaled like them for
    optimizers that unscale them.

    Args:
        mu: The strength, finite and >= 0.
        anchor: The model with w_t, the parameters received; they are copied on their devices.

    Raises:
        TypeError: mu is not a real number.
        ValueError: mu is negative or not finite.

    Examples:
        >>> import torch
        >>> from flskew.client.torch import ProximalTerm
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.ones_(model.weight)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> ProximalTerm(mu=0.5, anchor=model).attach(optimizer)
        >>> for _ in range(2):
        ...     optimizer.zero_grad()
        ...     model(torch.ones(1)).sum().backward()
        ...     optimizer.step()
        >>> round(model.weight.item(), 4)  # 1 - 0.1 * 1 = 0.9, then 0.9 - 0.1 * (1 + 0.5 * (0.9 - 1))
        0.805
    """

    def __init__(self, mu: float, anchor: nn.Module) -> None:
        super().__init__(mu, anchor)
        self._anchor: dict[torch.Tensor, torch.Tensor] = {}
        if self._mu:
            self._anchor = {w: w.detach().clone() for w in anchor.parameters()}

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Add the term in every step of an optimizer, replacing a term attached before.

        It applies to the parameters that the optimizer has at that step, so a model may have several optimizers. For
        an optimizer with a closure, such as LBFGS, the term is added to the gradients and to the loss of the closure.

        Raises:
            TypeError: The optimizer is not a `torch.optim.Optimizer`.
            ValueError: The optimizer has none of the model's parameters.
        """
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
        if self._anchor and not any(w in self._anchor for w in _parameters_of(optimizer)):
            raise ValueError(
                "the optimizer has none of the parameters of the term's model; make both from the same model"
            )
        previous = _ATTACHED.pop(optimizer, None)
        if previous is not None:
            previous.remove()
        if self._anchor:
            _ATTACHED[optimizer] = optimizer.register_step_pre_hook(self._before_step)

    def loss(self) -> torch.Tensor:
        """Return (mu/2)·||w - w_t||² as a scalar; autograd can differentiate it."""
        squares = [(w - w_t).abs().square().sum() for w, w_t in self._anchor.items() if w.requires_grad]
        return self._mu / 2 * torch.stack(squares).sum() if squares else torch.zeros(())

    def add_gradient(self) -> None:
        """Add mu·(w - w_t) to `.grad` of every parameter that requires one."""
        self._pull(self._anchor, None)

    def step(self, learning_rate: float) -> None:
        """Take one exact proximal step in place: w becomes (w + lr·mu·w_t) / (1 + lr·mu).

        Args:
            learning_rate: Learning rate of the preceding update, finite and >= 0.

        Raises:
            ValueError: It is negative or not finite.
        """
        strength = checked_learning_rate(learning_rate) * self._mu
        with torch.no_grad():
            for w, w_t in self._anchor.items():
                if w.requires_grad:
                    w.lerp_(w_t, strength / (1 + strength))

    def _before_step(
        self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        closure = kwargs.get("closure") or (args[1] if len(args) > 1 else None)
        if closure is None:
            # If the optimizer divides by the loss scale itself, its gradients are still scaled.
            self._pull(_parameters_of(optimizer), getattr(optimizer, "grad_scale", None))
            return None

        def closure_with_term() -> torch.Tensor:
            loss: torch.Tensor = closure()
            self._pull(_parameters_of(optimizer), None)
            return loss + self.loss().detach()

        return args[:1], {**kwargs, "closure": closure_with_term}

    def _pull(self, parameters: Iterable[torch.Tensor], scale: torch.Tensor | None) -> None:
        weights = [w for w in parameters if w.requires_grad and w in self._anchor]
        if not weights:
            return
        with torch.no_grad():
            pulls = torch._foreach_sub(weights, [self._anchor[w] for w in weights])
            if scale is not None:
                torch._foreach_mul_(pulls, scale)
            gradients, theirs = [], []
            for w, pull in zip(weights, pulls, strict=True):
                if w.grad is None:
                    w.grad = pull.mul_(self._mu)
                elif w.grad.layout is torch.strided:
                    gradients.append(w.grad)
                    theirs.append(pull)
                else:  # PyTorch adds a sparse gradient to a dense one, but not a dense one to a sparse one.
                    w.grad = pull.mul_(self._mu).add_(w.grad)
            if gradients:
                torch._foreach_add_(gradients, theirs, alpha=self._mu)


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise ParametersError(f"array {name!r}: {type(value).__name__} in the state_dict; only tensors can be sent")
    return state


def _numpy_dtype(tensor: torch.Tensor) -> np.dtype[Any]:
    return _to_numpy(torch.empty(0, dtype=tensor.dtype)).dtype


def _to_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    if tensor.is_floating_point() and tensor.dtype not in _NUMPY_FLOATS:
        tensor = tensor.float()
    array: NDArray[Any] = tensor.detach().to("cpu", copy=True).numpy(force=True)
    return array


def _parameters_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [w for group in optimizer.param_groups for w in group["params"]]
