"""PyTorch models: their parameters as arrays, and the local terms of strategies on their gradients.

A term takes two or three passes over lists of tensors with `torch._foreach_*`, which `torch.optim` uses too. These
names are undocumented, but later releases of PyTorch keep them alongside the public `torch.foreach`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.hooks import RemovableHandle

from flskew._arrays.records import ParametersError
from flskew._util import checks
from flskew.client._arrays import Slot, check_linear, fit_into
from flskew.client._base_term import BaseLocalTerm, checked_learning_rate
from flskew.client._exchange import Request
from flskew.client._torch_steps import StepRecord, add_to_gradients
from flskew.typing import Parameters

__all__ = ["LocalTerm", "get_parameters", "set_parameters"]

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
        model: The model; changed only if every array fits.
        parameters: One array per entry of the state_dict, with the same shapes. Floats of another precision are
            rounded to the model's.

    Raises:
        ParametersError: The number of arrays differs, or an array does not fit in shape, dtype or range; the message
            names the entry.

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


class LocalTerm(BaseLocalTerm[nn.Module]):
    """What the server's strategy adds to a client's loss: (mu/2)·||w - w_t||² + ⟨g, w⟩, for a module's parameters.

    Make one in `fit`, after setting the server's parameters, and attach it to the optimizer. Each `optimizer.step()`
    then first adds mu·(w - w_t) + g to the gradients, with any optimizer and no change to the training loop. The
    gradients equal those of `(loss + term.loss()).backward()`, at a fraction of the cost. The same client then works
    under FedAvg, FedProx, FedDyn, SCAFFOLD and FedNova. Under FedAvg the term costs nothing: no copy, no hook.

    The term applies to the parameters that require a gradient and are in the model's state_dict: buffers and frozen
    parameters are ignored, and a parameter that several modules share counts once. A parameter whose gradient is None
    gets the gradient of the term alone, as from autograd. Gradients are clipped before the term is added; to clip the
    sum, do not attach the term, and call `add_gradient` before clipping. Autocast does not affect the term. With a
    GradScaler, the term is added to the unscaled gradients, or scaled like them for optimizers that unscale them.

    For SCAFFOLD, the term also records the mean gradient of the client's own loss, before it adds anything. With plain
    SGD, this equals the paper's option II, c_k - c + (w_t - w_k) / (K·lr). With momentum, a learning rate schedule,
    weight decay or Adam, that formula no longer gives the mean gradient; the recorded mean still does. If you clip the
    gradients, it is the mean of the clipped ones.

    Args:
        anchor: The model, with the received parameters w_t; with mu > 0, they are copied on their devices.
        mu: Strength of the quadratic part, finite and >= 0; 0 leaves it out.
        linear: g, one array per array of `get_parameters`, of the same shape; None for an array, or for all, is zero.

    Raises:
        TypeError: mu is not a real number.
        ValueError: mu is negative or not finite.
        ParametersError: `linear` has another number of arrays than the model, or one of another shape.

    Examples:
        >>> import numpy as np, torch
        >>> from flskew.client.torch import LocalTerm
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.ones_(model.weight)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> LocalTerm(model, mu=0.5, linear=[np.array([[2.0]])]).attach(optimizer)
        >>> for _ in range(2):
        ...     optimizer.zero_grad()
        ...     model(torch.ones(1)).sum().backward()
        ...     optimizer.step()
        >>> # 1 - 0.1 * (1 + 2) = 0.7, then 0.7 - 0.1 * (1 + 2 + 0.5 * (0.7 - 1))
        >>> round(model.weight.item(), 4)
        0.415
    """

    def __init__(
        self, anchor: nn.Module, *, mu: float = 0.0, linear: Sequence[NDArray[Any] | None] | None = None
    ) -> None:
        super().__init__(anchor, mu=mu, linear=linear)
        self._places = _places(anchor)
        if linear is not None:
            check_linear(linear, list(anchor.state_dict()))
        self._anchor = {w: w.detach().clone() for w in self._places} if self._mu else {}
        self._slopes = _slopes(self._linear, self._places) if self._linear else {}
        self._seen = StepRecord()

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Add the term in every step of an optimizer, replacing a term attached before.

        It applies to the parameters that the optimizer has at that step, so a model may have several optimizers. The
        number of steps, which FedNova needs, is that of the parameter with the most: two optimizers that share the
        parameters between them and take K steps each count as K steps, not 2·K.

        For an optimizer with a closure, such as LBFGS, the term is added to the gradients and to the loss in each call
        of the closure. One `optimizer.step(closure)` counts as one step, and the gradient of its first call is the one
        recorded for SCAFFOLD.

        Raises:
            TypeError: The optimizer is not a `torch.optim.Optimizer`.
            ValueError: The optimizer has none of the model's parameters.
        """
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
        if self._is_active and not any(w in self._places for w in _parameters_of(optimizer)):
            raise ValueError(
                "the optimizer has none of the parameters of the term's model; make both from the same model"
            )
        previous = _ATTACHED.pop(optimizer, None)
        if previous is not None:
            previous.remove()
        if self._is_active:
            _ATTACHED[optimizer] = optimizer.register_step_pre_hook(self._before_step)
        self._notice()

    def loss(self) -> torch.Tensor:
        """Return (mu/2)·||w - w_t||² + ⟨g, w⟩ as a scalar; autograd can differentiate it."""
        self._notice()
        squares = [(w - w_t).abs().square().sum() for w, w_t in self._anchor.items() if w.requires_grad]
        products = [torch.real(g.conj() * w).sum() for w, g in self._slopes.items() if w.requires_grad]
        parts = ([self._mu / 2 * torch.stack(squares).sum()] if squares else []) + products
        return torch.stack(parts).sum() if parts else torch.zeros(())

    def add_gradient(self) -> None:
        """Add mu·(w - w_t) + g to `.grad` of every parameter that requires one; counts as a step."""
        self._notice()
        if self._is_active:
            self._pull(self._places, None)

    def step(self, learning_rate: float, *, num_steps: int = 1) -> None:
        """Take one exact step on the term in place: w becomes (w - lr·g + lr·mu·w_t) / (1 + lr·mu).

        Use it for training that does not use the gradients in `.grad`. The mean gradient for SCAFFOLD is then computed
        from the parameters' change since the last step, divided by the learning rate.

        Args:
            learning_rate: lr, the sum of the learning rates of the updates since the last step; finite and >= 0. With
                momentum, divide it by 1 - momentum to give the term the same strength as in the gradient.
            num_steps: Number of updates since the last step, >= 1.

        Raises:
            TypeError: `num_steps` is not an integer.
            ValueError: A number is out of range.
        """
        rate = checked_learning_rate(learning_rate)
        num_steps = checks.integer("num_steps", num_steps, minimum=1)
        self._notice()
        if not self._is_active:
            return
        weights = [w for w in self._places if w.requires_grad]
        strength = rate * self._mu
        with torch.no_grad():
            self._seen.add_changes(weights, rate, num_steps)
            for w in weights:
                if w in self._anchor:
                    w.lerp_(self._anchor[w], strength / (1 + strength))
                if w in self._slopes:
                    w.sub_(self._slopes[w], alpha=rate / (1 + strength))
            self._seen.restart(weights)
        self._notice(self._seen.steps - self.steps)

    def covered(self) -> list[int]:
        """Return the positions, in the order of `get_parameters`, of the parameters to which the term applies.

        They are those that require a gradient, or did in an earlier step. A parameter that several modules share has
        several positions.
        """
        return sorted(place for places in self._trained().values() for place in places)

    def mean_gradients(self) -> dict[int, NDArray[Any]]:
        """Return the mean over the steps of the gradients without the term, by position, if SCAFFOLD asked for it.

        Each parameter's mean is over the steps of its own optimizer. A gradient of None counts as zero.
        """
        if not self._records:
            return {}
        return {place: _to_numpy(self._seen.mean(w)) for w, places in self._trained().items() for place in places}

    def _serve(self, request: Request, left_out: Sequence[int]) -> None:
        super()._serve(request, left_out)
        if left_out:
            kept = {w: [place for place in places if place not in set(left_out)] for w, places in self._places.items()}
            self._places = {w: places for w, places in kept.items() if places}
            self._anchor = {w: w_t for w, w_t in self._anchor.items() if w in self._places}
        if self._records:
            self._seen = StepRecord(self._places)

    def _trained(self) -> dict[torch.Tensor, list[int]]:
        return {w: places for w, places in self._places.items() if w.requires_grad or w in self._seen.counts}

    def _before_step(
        self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        closure = kwargs.get("closure") or (args[1] if len(args) > 1 else None)
        if closure is None:
            # Set by a GradScaler if the optimizer unscales its gradients itself, and then skips a step with infinite
            # ones. Reading the second waits for the device, so only strategies that need exact counts do.
            found_inf = getattr(optimizer, "found_inf", None)
            if found_inf is None or not (self._records or self._counts) or not found_inf.item():
                self._pull(_parameters_of(optimizer), getattr(optimizer, "grad_scale", None))
            return None
        is_first = True

        def closure_with_term() -> torch.Tensor:
            nonlocal is_first
            loss: torch.Tensor = closure()
            self._pull(_parameters_of(optimizer), None, is_step=is_first)
            is_first = False
            return loss + self.loss().detach()

        return args[:1], {**kwargs, "closure": closure_with_term}

    def _pull(self, parameters: Iterable[torch.Tensor], scale: torch.Tensor | None, *, is_step: bool = True) -> None:
        weights = [w for w in parameters if w.requires_grad and w in self._places]
        with torch.no_grad():
            if is_step:
                self._seen.add_gradients(weights, scale)
                self._notice(self._seen.steps - self.steps)
            if self._mu and weights:
                pulls = torch._foreach_sub(weights, [self._anchor[w] for w in weights])
                add_to_gradients(weights, pulls, self._mu, scale)
            sloping = [w for w in weights if w in self._slopes]
            if sloping:
                add_to_gradients(sloping, [self._slopes[w] for w in sloping], 1.0, scale)


def _places(model: nn.Module) -> dict[torch.Tensor, list[int]]:
    """Return the positions of each parameter among the arrays of `get_parameters`; a shared one has several."""
    order = {name: place for place, name in enumerate(model.state_dict())}
    places: dict[torch.Tensor, list[int]] = {}
    for name, w in model.named_parameters(remove_duplicate=False):
        if name in order:
            places.setdefault(w, []).append(order[name])
    return places


def _slopes(
    linear: Sequence[NDArray[Any] | None], places: Mapping[torch.Tensor, Sequence[int]]
) -> dict[torch.Tensor, torch.Tensor]:
    """Return g of each parameter that has one, on its device and in its dtype."""
    slopes = {}
    for w, its_places in places.items():
        for place, g in ((place, linear[place]) for place in its_places):
            if g is None:
                continue
            if np.shape(g) != tuple(w.shape):
                raise ParametersError(f"linear[{place}] must have shape {tuple(w.shape)}, got {np.shape(g)}")
            slopes[w] = torch.from_numpy(np.array(g)).to(w)
    return slopes


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
