"""JAX: the leaves of any pytree as arrays, and FedProx's proximal term as pure functions.

The parameters of Flax (Linen's dictionaries, the state of an NNX module), Haiku and Equinox are pytrees, so only JAX is
needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from flskew._arrays.records import ParametersError
from flskew.client._arrays import Slot, fit_into, private_copy
from flskew.client._proximal import BaseProximalTerm, checked_learning_rate
from flskew.typing import Parameters

__all__ = ["ProximalTerm", "get_parameters", "set_parameters"]

PyTree: TypeAlias = Any
"""Arrays in any nesting that JAX supports."""


def get_parameters(tree: PyTree) -> Parameters:
    """Return copies of the leaves of a pytree, in JAX's order.

    bfloat16 and float8 become float32, exactly; `set_parameters` converts them back.

    Raises:
        ParametersError: A leaf is not a numeric array, such as a random key or a function; the message names it.

    Examples:
        >>> import jax.numpy as jnp
        >>> from flskew.client.jax import get_parameters
        >>> get_parameters({"w": jnp.ones(2), "b": jnp.zeros(())})
        [array(0., dtype=float32), array([1., 1.], dtype=float32)]
    """
    return [private_copy(np.asarray(leaf)) for _, leaf in _named_leaves(tree)]


def set_parameters(tree: PyTree, parameters: Sequence[NDArray[Any]]) -> PyTree:
    """Return a pytree like `tree` with other arrays, in the same order; it keeps dtypes and devices.

    Args:
        tree: Defines the structure; it is not changed.
        parameters: One array per leaf of the tree, with the same shapes. Floats of another precision are rounded to
            the tree's.

    Raises:
        ParametersError: The number of arrays differs, or one has another shape, or a dtype or numbers that do not fit;
            or a leaf of the tree is not a numeric array. The message names the leaf.

    Examples:
        >>> import jax.numpy as jnp, numpy as np
        >>> from flskew.client.jax import set_parameters
        >>> set_parameters({"w": jnp.ones(2), "b": jnp.zeros(())}, [np.array(3.0), np.array([1.0, 2.0])])
        {'b': Array(3., dtype=float32), 'w': Array([1., 2.], dtype=float32)}
    """
    named = _named_leaves(tree)
    slots = [Slot(name, np.shape(leaf), _numpy_dtype(leaf)) for name, leaf in named]
    made = [_like(leaf, array) for (_, leaf), array in zip(named, fit_into(slots, parameters), strict=True)]
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(tree), made)


class Transformation(Protocol):
    """An optimizer that `ProximalTerm.attach` wraps: any gradient transformation of Optax, or one with its methods."""

    init: Callable[..., PyTree]
    update: Callable[..., tuple[PyTree, PyTree]]


class GradientTransformation(NamedTuple):
    """A pair of functions as Optax defines them, usable as an Optax optimizer."""

    init: Callable[[PyTree], PyTree]
    update: Callable[..., tuple[PyTree, PyTree]]


@jax.tree_util.register_pytree_node_class
class ProximalTerm(BaseProximalTerm[PyTree]):
    """FedProx's (mu/2)·||w - w_t||² on a pytree of parameters, as pure functions.

    Attach it to an Optax optimizer, add `loss` to the loss, or pass the gradient through `add_gradient`. All three can
    be compiled. The term is itself a pytree of its anchor, with mu as part of the structure: pass it to a compiled step
    as an argument, and the next round does not recompile it. With mu = 0, which is FedAvg, nothing is compiled. Leaves
    that are not floats, such as counters or keys, are ignored.

    Args:
        mu: The strength, finite and >= 0.
        anchor: w_t, the parameters received; copied, so their memory may be donated.

    Raises:
        TypeError: mu is not a real number.
        ValueError: mu is negative or not finite.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from flskew.client.jax import ProximalTerm
        >>> term = ProximalTerm(mu=0.5, anchor={"w": jnp.zeros(2)})
        >>> w = {"w": jnp.array([1.0, 2.0])}
        >>> term.loss(w)  # 0.5 / 2 * (1**2 + 2**2)
        Array(1.25, dtype=float32)
        >>> jax.jit(lambda term, w, g: term.add_gradient(w, g))(term, w, {"w": jnp.ones(2)})
        {'w': Array([1.5, 2. ], dtype=float32)}
    """

    def __init__(self, mu: float, anchor: PyTree) -> None:
        super().__init__(mu, anchor)
        self._anchor = jax.tree_util.tree_map(_copy_of_weight, anchor) if self._mu else None

    def loss(self, parameters: PyTree) -> jax.Array:
        """Return (mu/2)·||w - w_t||², a scalar that JAX can differentiate.

        Raises:
            ValueError: The parameters do not have the shapes of the anchor.
        """
        if not self._mu:
            return jnp.zeros(())
        pulls = jax.tree_util.tree_leaves(self._mapped(_squares, parameters, self._anchor))
        return self._mu / 2 * sum(pulls, jnp.zeros(()))

    def add_gradient(self, parameters: PyTree, gradients: PyTree) -> PyTree:
        """Return the gradients plus mu·(w - w_t).

        Raises:
            ValueError: Parameters or gradients do not have the shapes of the anchor.
        """
        if not self._mu:
            return gradients
        return self._mapped(
            lambda w, w_t, g: g + self._mu * (w - w_t) if _is_weight(w) else g, parameters, self._anchor, gradients
        )

    def step(self, parameters: PyTree, learning_rate: float) -> PyTree:
        """Return the parameters after one exact proximal step, (w + lr·mu·w_t) / (1 + lr·mu).

        Args:
            parameters: w.
            learning_rate: Learning rate of the preceding update, finite and >= 0.

        Raises:
            ValueError: The learning rate is negative or not finite, or the parameters do not have the shapes of the
                anchor.
        """
        strength = checked_learning_rate(learning_rate) * self._mu
        if not self._mu:
            return parameters
        return self._mapped(
            lambda w, w_t: w_t + (w - w_t) / (1 + strength) if _is_weight(w) else w, parameters, self._anchor
        )

    def attach(self, optimizer: Transformation) -> GradientTransformation:
        """Return an optimizer that adds the term to the gradients before it passes them to `optimizer`.

        The anchor is part of the optimizer's state, so a compiled step needs no other argument. `update` needs the
        parameters as its third argument.

        Examples:
            >>> import jax.numpy as jnp, optax
            >>> from flskew.client.jax import ProximalTerm
            >>> w = {"w": jnp.array([2.0])}
            >>> optimizer = ProximalTerm(mu=0.5, anchor={"w": jnp.zeros(1)}).attach(optax.sgd(0.1))
            >>> updates, state = optimizer.update({"w": jnp.ones(1)}, optimizer.init(w), w)
            >>> optax.apply_updates(w, updates)  # 2 - 0.1 * (1 + 0.5 * 2)
            {'w': Array([1.8], dtype=float32)}
        """

        def init(parameters: PyTree) -> PyTree:
            return self, optimizer.init(parameters)

        def update(
            gradients: PyTree, state: PyTree, parameters: PyTree = None, **extra: PyTree
        ) -> tuple[PyTree, PyTree]:
            term, inner = state
            if parameters is None:
                raise ValueError("the term needs the parameters: call update(gradients, state, parameters)")
            updates, inner = optimizer.update(term.add_gradient(parameters, gradients), inner, parameters, **extra)
            return updates, (term, inner)

        return GradientTransformation(init, update)

    def tree_flatten(self) -> tuple[tuple[PyTree], float]:
        """Return the anchor and mu, as JAX requires of a pytree."""
        return (self._anchor,), self._mu

    @classmethod
    def tree_unflatten(cls, mu: float, children: tuple[PyTree]) -> ProximalTerm:
        """Return the term of an anchor, which may contain anything that JAX substitutes for arrays."""
        term = object.__new__(cls)
        term._mu = mu
        (term._anchor,) = children
        return term

    def _mapped(self, function: Callable[..., PyTree], parameters: PyTree, *others: PyTree) -> PyTree:
        want = _layout(self._anchor)
        for name, tree in zip(("parameters", "anchor", "gradients"), (parameters, *others), strict=False):
            if _layout(tree) != want:
                raise ValueError(
                    f"{name} must have the shapes of the anchor, {_shown(want)}, got {_shown(_layout(tree))}"
                )
        return jax.tree_util.tree_map(function, parameters, *others)


def _named_leaves(tree: PyTree) -> list[tuple[str, jax.Array]]:
    named = [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]]
    for name, leaf in named:
        # np.asarray would copy an array from its device.
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        is_key = jnp.issubdtype(dtype, jax.dtypes.prng_key)
        if is_key or dtype.kind in "OUS":
            raise ParametersError(
                f"leaf {name}: {'a random key' if is_key else type(leaf).__name__} cannot be sent; take the weights "
                "alone, e.g. nnx.state(model, nnx.Param) or equinox.filter(model, equinox.is_inexact_array)"
            )
    return named


def _layout(tree: PyTree) -> tuple[jax.tree_util.PyTreeDef, list[tuple[int, ...]]]:
    leaves, structure = jax.tree_util.tree_flatten(tree)
    return structure, [np.shape(leaf) for leaf in leaves]


def _shown(layout: tuple[jax.tree_util.PyTreeDef, list[tuple[int, ...]]]) -> str:
    structure, shapes = layout
    return f"{structure} of shapes {shapes}"


def _is_weight(leaf: jax.Array) -> bool:
    return bool(jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.inexact))


def _copy_of_weight(leaf: jax.Array) -> jax.Array:
    return jnp.array(leaf) if _is_weight(leaf) else leaf


def _squares(w: jax.Array, w_t: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(jnp.abs(w - w_t))) if _is_weight(w) else jnp.zeros(())


def _numpy_dtype(leaf: jax.Array) -> np.dtype[Any]:
    dtype = np.dtype(jnp.asarray(leaf).dtype)
    return np.dtype(np.float32) if dtype.kind == "V" else dtype


def _like(leaf: jax.Array, array: NDArray[Any]) -> jax.Array:
    made: jax.Array = jnp.array(array, dtype=jnp.asarray(leaf).dtype)
    if isinstance(leaf, jax.Array):
        made = jax.device_put(made, leaf.sharding)
    return made
