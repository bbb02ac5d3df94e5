"""JAX: the leaves of any pytree as arrays, and the local term as pure functions.

The parameters of Flax (Linen's dictionaries, the state of an NNX module), Haiku and Equinox are pytrees, so only JAX is
needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from flskew._arrays.records import ParametersError
from flskew.client._arrays import Slot, fit_into, fit_linear, private_copy
from flskew.client._base_term import BaseLocalTerm, checked_learning_rate
from flskew.client._exchange import Request
from flskew.typing import Parameters

__all__ = ["LocalTerm", "get_parameters", "set_parameters"]

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
        ParametersError: The number of arrays differs, or an array does not fit in shape, dtype or range; or a leaf of
            the tree is not a numeric array. The message names the leaf.

    Examples:
        >>> import jax.numpy as jnp, numpy as np
        >>> from flskew.client.jax import set_parameters
        >>> set_parameters(
        ...     {"w": jnp.ones(2), "b": jnp.zeros(())},
        ...     [np.array(3.0), np.array([1.0, 2.0])],
        ... )
        {'b': Array(3., dtype=float32), 'w': Array([1., 2.], dtype=float32)}
    """
    named = _named_leaves(tree)
    fitting = fit_into([_slot(name, leaf) for name, leaf in named], parameters)
    made = [_like(leaf, array) for (_, leaf), array in zip(named, fitting, strict=True)]
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(tree), made)


class Transformation(Protocol):
    """An optimizer that `LocalTerm.attach` wraps: any gradient transformation of Optax, or one with its methods."""

    init: Callable[..., PyTree]
    update: Callable[..., tuple[PyTree, PyTree]]


class GradientTransformation(NamedTuple):
    """A pair of functions as Optax defines them, usable as an Optax optimizer.

    Those of two terms around the same optimizer are equal, because the term is in the state that `init` returns. So a
    compiled step to which they are static, such as one that takes Flax's `TrainState`, is not compiled again.
    """

    init: Callable[[PyTree], PyTree]
    update: Callable[..., tuple[PyTree, PyTree]]

    def __eq__(self, other: object) -> bool:
        """Return whether the updates are equal."""
        return isinstance(other, GradientTransformation) and self.update == other.update

    def __hash__(self) -> int:
        """Return the hash of the update."""
        return hash(self.update)


@jax.tree_util.register_pytree_node_class
class LocalTerm(BaseLocalTerm[PyTree]):
    """What the server's strategy adds to a client's loss: (mu/2)·||w - w_t||² + ⟨g, w⟩, as pure functions on a pytree.

    Attach it to an Optax optimizer, and hand the optimizer's state back after training (`collect`). The same client
    then works under FedAvg, FedProx, FedDyn, SCAFFOLD and FedNova. For FedProx and FedDyn alone, you can instead add
    `loss` to the loss, or pass the gradient through `add_gradient`. Leaves that are not floats, such as counters or
    keys, are ignored.

    The term is a pytree of its arrays, with mu as part of the structure. It reaches a compiled step in the state of the
    optimizer, or as an argument, so the next round does not recompile the step. Under FedAvg it does nothing, and
    nothing is compiled.

    For SCAFFOLD, the attached optimizer also records the mean gradient of the client's own loss, before it adds
    anything. With plain SGD, this equals the paper's option II, c_k - c + (w_t - w_k) / (K·lr). With momentum, a
    learning rate schedule, weight decay or Adam, that formula no longer gives the mean gradient; the recorded mean
    still does.

    Args:
        anchor: w_t, the parameters received; copied, so a compiled step may reuse (donate) their memory.
        mu: Strength of the quadratic part, finite and >= 0; 0 leaves it out.
        linear: g, one array per leaf, of the same shape; None for a leaf, or for all, is zero.

    Raises:
        ParametersError: `linear` has another number of arrays than the tree has leaves, or one does not fit its leaf.
        TypeError: mu is not a real number.
        ValueError: mu is negative or not finite.

    Examples:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> from flskew.client.jax import LocalTerm
        >>> term = LocalTerm({"w": jnp.zeros(2)}, mu=0.5, linear=[np.array([0.0, 3.0])])
        >>> w = {"w": jnp.array([1.0, 2.0])}
        >>> term.loss(w)  # 0.5 / 2 * (1**2 + 2**2) + 3 * 2
        Array(7.25, dtype=float32)
        >>> jax.jit(lambda term, w, g: term.add_gradient(w, g))(
        ...     term, w, {"w": jnp.ones(2)}
        ... )
        {'w': Array([1.5, 5. ], dtype=float32)}
    """

    def __init__(self, anchor: PyTree, *, mu: float = 0.0, linear: Sequence[NDArray[Any] | None] | None = None) -> None:
        super().__init__(anchor, mu=mu, linear=linear)
        leaves = [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(anchor)]
        weights = {place: leaf for place, (_, leaf) in enumerate(leaves) if _is_weight(leaf)}
        slots = [] if linear is None else [_slot(name, leaf) for name, leaf in leaves]
        given = fit_linear(slots, weights, linear)
        self._given = anchor
        self._covered = tuple(weights)
        self._shapes = _shapes(anchor) if self._is_active else None
        self._anchor = [jnp.array(leaf) for leaf in weights.values()] if self._mu else []
        slope = ((_like(w, given[i]) if i in given else jnp.zeros_like(w)) for i, w in weights.items())
        self._slope = list(slope) if given else []
        self._sums: tuple[NDArray[Any], ...] = ()

    def loss(self, parameters: PyTree) -> jax.Array:
        """Return (mu/2)·||w - w_t||² + ⟨g, w⟩, a scalar that JAX can differentiate.

        Raises:
            ValueError: The parameters do not have the shapes of the anchor.
        """
        self._notice()
        total = jnp.zeros(())
        if self._shapes is None:
            return total
        leaves = self._leaves("parameters", parameters)
        weights = [leaves[place] for place in self._covered]
        if self._mu:
            squares = [jnp.sum(jnp.square(jnp.abs(w - w_t))) for w, w_t in zip(weights, self._anchor, strict=True)]
            total = self._mu / 2 * sum(squares, total)
        if self._slope:
            total = sum((jnp.vdot(g, w).real for w, g in zip(weights, self._slope, strict=True)), total)
        return total

    def add_gradient(self, parameters: PyTree, gradients: PyTree) -> PyTree:
        """Return the gradients plus mu·(w - w_t) + g.

        Unlike an attached optimizer, it counts no steps, which SCAFFOLD and FedNova need.

        Raises:
            ValueError: Parameters or gradients do not have the shapes of the anchor.
        """
        self._notice()
        if self._shapes is None:
            return gradients
        weights, added = self._leaves("parameters", parameters), self._leaves("gradients", gradients)
        for i, place in enumerate(self._covered):
            if self._mu:
                added[place] = added[place] + self._mu * (weights[place] - self._anchor[i])
            if self._slope:
                added[place] = added[place] + self._slope[i]
        return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(gradients), added)

    def step(self, parameters: PyTree, learning_rate: float) -> PyTree:
        """Return the parameters after one exact step on the term, (w - lr·g + lr·mu·w_t) / (1 + lr·mu).

        Unlike an attached optimizer, it counts no steps, which SCAFFOLD and FedNova need.

        Args:
            parameters: w.
            learning_rate: lr, the learning rate of the preceding update, finite and >= 0.

        Raises:
            ValueError: The learning rate is negative or not finite, or the parameters do not have the shapes of the
                anchor.
        """
        rate = checked_learning_rate(learning_rate)
        strength = rate * self._mu
        self._notice()
        if self._shapes is None:
            return parameters
        stepped = self._leaves("parameters", parameters)
        for i, place in enumerate(self._covered):
            if self._mu:
                stepped[place] = self._anchor[i] + (stepped[place] - self._anchor[i]) / (1 + strength)
            if self._slope:
                stepped[place] = stepped[place] - rate / (1 + strength) * self._slope[i]
        return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(parameters), stepped)

    def attach(self, optimizer: Transformation) -> GradientTransformation:
        """Return an optimizer that adds the term to the gradients before it passes them to `optimizer`.

        The term is part of the state, so call `init` in every round. `update` needs the parameters as its third
        argument. A step that was compiled with the `update` of an earlier round, or that takes it as a static argument,
        is not compiled again.

        Each call of `update` is one step. To accumulate gradients, put the attached optimizer inside
        `optax.MultiSteps`, not around it.

        Examples:
            >>> import jax.numpy as jnp, optax
            >>> from flskew.client.jax import LocalTerm
            >>> w = {"w": jnp.array([2.0])}
            >>> optimizer = LocalTerm({"w": jnp.zeros(1)}, mu=0.5).attach(optax.sgd(0.1))
            >>> updates, state = optimizer.update({"w": jnp.ones(1)}, optimizer.init(w), w)
            >>> optax.apply_updates(w, updates)  # 2 - 0.1 * (1 + 0.5 * 2)
            {'w': Array([1.8], dtype=float32)}
        """

        def init(parameters: PyTree) -> PyTree:
            # Noted here, not in `attach`: a state from an earlier round has the term of that round.
            self._notice()
            inner = optimizer.init(parameters)
            if self._shapes is None:
                return _AttachedState(self, None, (), inner)
            leaves = self._leaves("parameters", parameters)
            # Computed from a leaf, to be on its device.
            zero = jnp.count_nonzero(jnp.ravel(leaves[0])[:0]) if leaves else jnp.zeros((), int)
            covered = [leaves[place] for place in self._covered if self._records]
            # Half precision would lose the sum of many gradients.
            sums = tuple(jnp.zeros_like(leaf, jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in covered)
            return _AttachedState(self, zero, sums, inner)

        return GradientTransformation(init, _Update(optimizer))

    def collect(self, state: PyTree) -> None:
        """Take the number of steps and the mean of the gradients from the optimizer's state after training.

        Call it after training: SCAFFOLD and FedNova need these numbers, which JAX keeps only in the optimizer's state.
        Under other strategies it changes nothing.

        Args:
            state: State of the optimizer that `attach` returned, after the last update; or a pytree that contains it,
                such as Flax's `TrainState`.

        Raises:
            ValueError: The state is not from the attached optimizer, or is from an earlier round.

        Examples:
            >>> import jax.numpy as jnp, optax
            >>> from flskew.client.jax import LocalTerm
            >>> term = LocalTerm([jnp.zeros(1)], mu=0.5)
            >>> optimizer = term.attach(optax.sgd(0.1))
            >>> state = optimizer.init([jnp.zeros(1)])
            >>> _, state = optimizer.update([jnp.ones(1)], state, [jnp.zeros(1)])
            >>> term.collect(state)
            >>> term.steps
            1
        """
        parts = jax.tree_util.tree_leaves(state, is_leaf=lambda part: isinstance(part, _AttachedState))
        found = [part for part in parts if isinstance(part, _AttachedState)]
        if len(found) != 1:
            raise ValueError(
                f"state must contain one state of an optimizer with a term, got {len(found)}; pass the state that "
                "`init` and `update` of the attached optimizer return"
            )
        if not self._is_used:
            raise ValueError(
                "state is that of another term; call init of the optimizer that attach returns in every round"
            )
        if self._shapes is not None:
            (attached,) = found
            self._num_steps = int(np.asarray(attached.steps))
            self._sums = tuple(np.asarray(total) for total in attached.sums)

    def covered(self) -> list[int]:
        """Return the positions, in the order of `get_parameters`, of the arrays to which the term applies."""
        return list(self._covered)

    def mean_gradients(self) -> dict[int, NDArray[Any]]:
        """Return the mean over the steps of the gradients without the term, by position, if SCAFFOLD asked for it."""
        steps = max(self._num_steps, 1)
        return {i: np.asarray(total / steps, total.dtype) for i, total in zip(self._covered, self._sums, strict=False)}

    def tree_flatten(self) -> tuple[tuple[PyTree, PyTree], PyTree]:
        """Return the arrays and what is compiled into a step, as JAX requires of a pytree."""
        # JAX calls this in every call of a compiled step that takes the term, even if it does not run the Python code.
        self._notice()
        return (self._anchor, self._slope), (self._mu, self._covered, self._records, self._shapes)

    @classmethod
    def tree_unflatten(cls, static: PyTree, children: tuple[PyTree, PyTree]) -> LocalTerm:
        """Return the term of these arrays, which may be anything that JAX substitutes for arrays."""
        term = object.__new__(cls)
        term._num_steps = 0
        term._mu, term._covered, term._records, term._shapes = static
        term._anchor, term._slope = children
        return term

    def _serve(self, request: Request, left_out: Sequence[int]) -> None:
        super()._serve(request, left_out)
        if not self._is_active:
            return
        kept = [i for i, place in enumerate(self._covered) if place not in set(left_out)]
        self._covered = tuple(self._covered[i] for i in kept)
        self._shapes = _shapes(self._given)
        self._anchor = [self._anchor[i] for i in kept if self._anchor]
        self._slope = [self._slope[i] for i in kept if self._slope]
        if request.keeps_state and not self._slope:
            # In the first round g is zero. The step that is compiled now serves later rounds too.
            leaves = jax.tree_util.tree_leaves(self._given)
            self._slope = [jnp.zeros_like(leaves[place]) for place in self._covered]

    def _leaves(self, name: str, tree: PyTree) -> list[jax.Array]:
        # Not their structure: NNX unwraps the variables of a model before it calls an optimizer.
        if _shapes(tree) != self._shapes:
            raise ValueError(f"{name} must have the shapes of the anchor, {self._shapes}, got {_shapes(tree)}")
        leaves: list[jax.Array] = jax.tree_util.tree_leaves(tree)
        return leaves


class _AttachedState(NamedTuple):
    """State of an optimizer with a term: the term, what it recorded, and the optimizer's own state."""

    term: LocalTerm
    steps: jax.Array | None
    sums: tuple[jax.Array, ...]
    inner: PyTree


@dataclass(frozen=True)
class _Update:
    """The update of an optimizer with a term; equal for equal optimizers, because the term is in the state."""

    optimizer: Transformation

    def __call__(
        self, gradients: PyTree, state: _AttachedState, parameters: PyTree = None, **extra: PyTree
    ) -> tuple[PyTree, PyTree]:
        if parameters is None:
            raise ValueError("the term needs the parameters: call update(gradients, state, parameters)")
        term, steps, sums, inner = state
        if sums:
            leaves = term._leaves("gradients", gradients)
            sums = tuple(
                total + leaves[place].astype(total.dtype) for total, place in zip(sums, term._covered, strict=True)
            )
        updates, inner = self.optimizer.update(term.add_gradient(parameters, gradients), inner, parameters, **extra)
        return updates, _AttachedState(term, None if steps is None else steps + 1, sums, inner)


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


def _shapes(tree: PyTree) -> tuple[tuple[int, ...], ...]:
    return tuple(np.shape(leaf) for leaf in jax.tree_util.tree_leaves(tree))


def _is_weight(leaf: jax.Array) -> bool:
    return (
        bool(jnp.issubdtype(leaf.dtype, jnp.inexact)) if hasattr(leaf, "dtype") else isinstance(leaf, float | complex)
    )


def _slot(name: str, leaf: jax.Array) -> Slot:
    dtype = np.dtype(jnp.asarray(leaf).dtype)
    return Slot(name, np.shape(leaf), np.dtype(np.float32) if dtype.kind == "V" else dtype)


def _like(leaf: jax.Array, array: NDArray[Any]) -> jax.Array:
    made: jax.Array = jnp.array(array, dtype=jnp.asarray(leaf).dtype)
    # `device_put` commits an array to its device, and a compiled step is compiled again for arrays that are committed.
    if isinstance(leaf, jax.Array) and (getattr(leaf, "committed", True) or leaf.sharding != made.sharding):
        made = jax.device_put(made, leaf.sharding)
    return made
