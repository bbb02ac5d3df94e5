"""JAX: reading and setting the arrays of a pytree, and the proximal term as pure functions."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from flax.training.train_state import TrainState

from flskew._arrays.records import ParametersError
from flskew.client.jax import LocalTerm, get_parameters, set_parameters

pytestmark = pytest.mark.jax

Tree = dict[str, Any]

MU = 0.7
X = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
Y = jax.nn.one_hot(np.arange(12) % 3, 3)


def weights(seed: int = 1) -> Tree:
    rng = np.random.default_rng(seed)
    shapes = {"hidden": {"w": (5, 4), "b": (4,)}, "out": {"w": (4, 3), "b": (3,)}, "scale": ()}
    return jax.tree_util.tree_map(
        lambda shape: jnp.array(rng.standard_normal(shape), jnp.float32), shapes, is_leaf=lambda x: isinstance(x, tuple)
    )


def data_loss(w: Tree) -> jax.Array:
    hidden = jnp.tanh(X @ w["hidden"]["w"] + w["hidden"]["b"])
    logits = w["scale"] * (hidden @ w["out"]["w"] + w["out"]["b"])
    return -jnp.mean(jnp.sum(Y * jax.nn.log_softmax(logits), axis=1))


def half_mu_squared(w: Tree, w_t: Tree, mu: float = MU) -> jax.Array:
    """The paper's term, in NumPy."""
    pairs = zip(jax.tree_util.tree_leaves(w), jax.tree_util.tree_leaves(w_t), strict=True)
    return mu / 2 * sum(((a - b) ** 2).sum() for a, b in pairs)


def assert_close(ours: Tree, theirs: Tree, atol: float) -> None:
    assert jax.tree_util.tree_structure(ours) == jax.tree_util.tree_structure(theirs)
    for a, b in zip(jax.tree_util.tree_leaves(ours), jax.tree_util.tree_leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def test_arrays_are_copies_in_the_order_of_the_leaves() -> None:
    tree = {"b": np.zeros(2, np.float32), "a": [jnp.ones((2, 3)), jnp.array(4)]}
    arrays = get_parameters(tree)
    assert [(a.shape, a.dtype.name) for a in arrays] == [((2, 3), "float32"), ((), "int32"), ((2,), "float32")]
    arrays[2] += 1
    assert tree["b"].tolist() == [0, 0]


def test_arrays_are_set_in_the_order_in_which_they_were_read() -> None:
    tree = weights(1)
    assert_close(set_parameters(weights(5), get_parameters(tree)), tree, 0)


def test_setting_changes_neither_the_tree_nor_the_arrays() -> None:
    tree = {"w": jnp.ones(3)}
    array = np.zeros(3, np.float32)
    made = set_parameters(tree, [array])
    array += 7
    assert made["w"].tolist() == [0, 0, 0]
    assert tree["w"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.int32, jnp.uint8, jnp.bool_])
def test_a_leaf_of_any_dtype_survives_the_round_trip(dtype: Any) -> None:
    tree = {"w": jnp.array([0.0, 1.0, 100.0]).astype(dtype)}
    arrays = get_parameters(tree)
    assert arrays[0].dtype == (np.float32 if dtype is jnp.bfloat16 else np.dtype(dtype))
    made = set_parameters({"w": jnp.zeros(3, dtype)}, arrays)
    assert made["w"].dtype == dtype
    assert jnp.array_equal(made["w"], tree["w"])


def test_a_leaf_stays_on_its_device() -> None:
    device = jax.devices()[-1]
    made = set_parameters({"w": jax.device_put(jnp.zeros(2), device)}, [np.ones(2)])
    assert made["w"].devices() == {device}


def test_an_array_that_does_not_fit_is_named() -> None:
    with pytest.raises(ParametersError, match=r"the model has 5 arrays, \['hidden'\]\['b'\], .*; got 4"):
        set_parameters(weights(), get_parameters(weights())[:-1])
    arrays = get_parameters(weights())
    arrays[0] = np.zeros(1)  # would broadcast
    with pytest.raises(ParametersError, match=r"\['hidden'\]\['b'\].*: the model has shape \(4,\), got \(1,\)"):
        set_parameters(weights(), arrays)


def test_the_loss_is_half_mu_times_the_squared_distance_of_all_leaves_together() -> None:
    term = LocalTerm({"w": jnp.zeros(2), "b": jnp.array(1.0)}, mu=0.3)
    # 0.3/2 * ((1-0)^2 + (2-0)^2 + (4-1)^2) = 0.15 * 14 = 2.1
    assert float(term.loss({"w": jnp.array([1.0, 2.0]), "b": jnp.array(4.0)})) == pytest.approx(2.1)


def test_the_gradient_is_mu_times_the_distance_and_autograds_of_the_loss() -> None:
    w_t, w = weights(1), weights(2)
    term = LocalTerm(w_t, mu=MU)
    ones = jax.tree_util.tree_map(jnp.ones_like, w)
    ours = term.add_gradient(w, ones)
    assert_close(ours, jax.tree_util.tree_map(lambda a, b: 1 + MU * (a - b), w, w_t), 1e-6)
    assert_close(term.add_gradient(w, jax.grad(data_loss)(w)), jax.grad(lambda w: data_loss(w) + term.loss(w))(w), 1e-6)
    assert_close(jax.grad(term.loss)(w), jax.grad(half_mu_squared)(w, w_t), 1e-6)


def test_the_gradient_is_that_of_the_loss_by_finite_differences() -> None:
    w_t, w = np.array([0.5, -1.0, 2.0]), np.array([1.0, 0.25, -0.75])
    term = LocalTerm([jnp.array(w_t)], mu=MU)
    (gradient,) = term.add_gradient([jnp.array(w)], [jnp.zeros(3)])
    for i, shift in enumerate(np.eye(3) * 0.5):  # exact for a square, whatever the step
        ends = [float(term.loss([jnp.array(w + s)])) for s in (shift, -shift)]
        assert float(gradient[i]) == pytest.approx(ends[0] - ends[1], abs=1e-6)


def test_at_the_anchor_the_gradient_of_the_loss_is_zero_not_nan() -> None:
    w = weights()
    assert_close(jax.grad(LocalTerm(w, mu=MU).loss)(w), jax.tree_util.tree_map(jnp.zeros_like, w), 0)


def train(term: LocalTerm | None, optimizer: Any, steps: int = 6, w: Tree | None = None) -> list[Tree]:
    w = weights(1) if w is None else w
    optimizer = optimizer if term is None else term.attach(optimizer)
    state, path = optimizer.init(w), []

    @jax.jit
    def step(w: Tree, state: Any) -> tuple[Tree, Any]:
        updates, state = optimizer.update(jax.grad(data_loss)(w), state, w)
        return optax.apply_updates(w, updates), state

    for _ in range(steps):
        w, state = step(w, state)
        path.append(w)
    return path


def train_by_autograd(optimizer: Any, mu: float, steps: int = 6, w_t: Tree | None = None) -> list[Tree]:
    w_t = weights(1) if w_t is None else w_t
    w, state, path = w_t, optimizer.init(w_t), []
    for _ in range(steps):
        gradient = jax.grad(lambda w: data_loss(w) + half_mu_squared(w, w_t, mu))(w)
        updates, state = optimizer.update(gradient, state, w)
        w = optax.apply_updates(w, updates)
        path.append(w)
    return path


OPTIMIZERS = {
    "sgd": optax.sgd(0.05),
    "momentum": optax.sgd(0.05, momentum=0.9, nesterov=True),
    "adamw": optax.adamw(0.05),
    "clipped": optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.05)),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_term_acts_in_every_step_of_any_optax_optimizer(optimizer: Any) -> None:
    ours = train(LocalTerm(weights(1), mu=MU), optimizer)
    for w, expected in zip(ours, train_by_autograd(optimizer, MU), strict=True):
        assert_close(w, expected, 2e-6)


def test_the_attached_optimizer_can_be_chained() -> None:
    w = weights(1)
    optimizer = optax.chain(optax.scale(1.0), LocalTerm(w, mu=MU).attach(optax.sgd(0.05)))
    updates, _ = optimizer.update(jax.grad(data_loss)(weights(2)), optimizer.init(w), weights(2))
    expected = LocalTerm(w, mu=MU).add_gradient(weights(2), jax.grad(data_loss)(weights(2)))
    assert_close(updates, jax.tree_util.tree_map(lambda g: -0.05 * g, expected), 1e-6)


def test_an_update_without_the_parameters_is_refused() -> None:
    optimizer = LocalTerm(weights(), mu=MU).attach(optax.sgd(0.1))
    with pytest.raises(ValueError, match=r"the term needs the parameters: call update\(gradients, state, parameters\)"):
        optimizer.update(weights(), optimizer.init(weights()))


def test_a_compiled_step_uses_the_anchor_of_each_round_without_recompiling() -> None:
    traces = []

    @jax.jit
    def step(term: LocalTerm, w: Tree) -> Tree:
        traces.append(1)
        gradients = term.add_gradient(w, jax.grad(data_loss)(w))
        return jax.tree_util.tree_map(lambda a, g: a - 0.05 * g, w, gradients)

    w = weights(1)
    for _ in range(3):
        expected = train_by_autograd(optax.sgd(0.05), MU, steps=2, w_t=w)[-1]
        term = LocalTerm(w, mu=MU)
        for _ in range(2):
            w = step(term, w)
        assert_close(w, expected, 1e-6)
    assert len(traces) == 1


def test_mu_zero_gives_the_weights_of_training_without_a_term_bit_for_bit() -> None:
    ours = train(LocalTerm.from_config({"proximal-mu": 0.0}, weights(1)), optax.sgd(0.05, momentum=0.9))
    assert_close(ours[-1], train(None, optax.sgd(0.05, momentum=0.9))[-1], 0)


def test_mu_zero_makes_no_copy_and_compiles_to_the_same_code_as_no_term() -> None:
    term = LocalTerm(weights(), mu=0)
    assert jax.tree_util.tree_leaves(term) == []
    gradients = weights(3)
    assert term.add_gradient(weights(), gradients) is gradients
    assert float(term.loss(weights())) == 0
    with_term = jax.make_jaxpr(lambda t, w: t.add_gradient(w, jax.grad(data_loss)(w)))(term, weights())
    assert str(with_term) == str(jax.make_jaxpr(jax.grad(data_loss))(weights()))


def test_the_distance_to_the_anchor_decreases_with_mu() -> None:
    ends = [train(LocalTerm(weights(1), mu=mu), optax.sgd(0.02), steps=30)[-1] for mu in (0.0, 0.1, 1.0, 10.0)]
    distances = [float(half_mu_squared(w, weights(1), 2.0)) ** 0.5 for w in ends]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < distances[0] / 2


def test_counters_and_keys_among_the_leaves_are_ignored() -> None:
    class State(NamedTuple):
        w: jax.Array
        count: jax.Array
        key: jax.Array

    first = State(jnp.zeros(2), jnp.array(3), jax.random.key(0))
    later = State(jnp.array([1.0, 2.0]), jnp.array(9), jax.random.key(1))
    term = LocalTerm(first, mu=2.0)
    assert float(term.loss(later)) == 5
    added = term.add_gradient(later, State(jnp.zeros(2), jnp.array(0), jax.random.key(2)))
    assert (added.w.tolist(), int(added.count)) == ([2.0, 4.0], 0)
    stepped = term.step(later, 0.5)
    assert (stepped.w.tolist(), int(stepped.count)) == ([0.5, 1.0], 9)


def test_a_proximal_step_matches_the_papers_formula() -> None:
    w_t, w, strength = weights(1), weights(2), 0.4 * MU
    expected = jax.tree_util.tree_map(lambda a, b: (a + strength * b) / (1 + strength), w, w_t)
    assert_close(LocalTerm(w_t, mu=MU).step(w, 0.4), expected, 1e-6)
    with pytest.raises(ValueError, match="learning_rate must be finite and >= 0"):
        LocalTerm(w_t, mu=MU).step(w, -0.1)


def test_the_anchor_survives_the_donation_of_the_parameters() -> None:
    w = {"w": jnp.ones(1000)}
    term = LocalTerm(w, mu=2.0)
    moved = jax.jit(lambda w: {"w": w["w"] + 1}, donate_argnums=0)(w)
    assert float(term.loss(moved)) == 1000


def test_a_numpy_anchor_is_copied() -> None:
    array = np.zeros(2, np.float32)
    term = LocalTerm([array], mu=2.0)
    array += 3
    assert float(term.loss([jnp.zeros(2)])) == 0


def test_trees_whose_shapes_differ_from_the_anchors_are_refused() -> None:
    term = LocalTerm({"w": jnp.zeros((2, 3))}, mu=MU)
    with pytest.raises(
        ValueError, match=r"parameters must have the shapes of the anchor, \(\(2, 3\),\), got \(\(3,\),\)"
    ):
        term.loss({"w": jnp.zeros(3)})  # would broadcast
    with pytest.raises(ValueError, match="gradients must have the shapes of the anchor"):
        term.add_gradient({"w": jnp.zeros((2, 3))}, {"w": jnp.zeros(3)})
    with pytest.raises(ValueError, match="parameters must have the shapes of the anchor"):
        term.step({"w": jnp.zeros((2, 3)), "b": jnp.zeros(3)}, 0.1)


def test_a_pytree_may_be_a_user_defined_class() -> None:
    @jax.tree_util.register_pytree_node_class
    class Layer:
        """Compares by identity."""

        def __init__(self, w: jax.Array) -> None:
            self.w = w

        def tree_flatten(self) -> tuple[tuple[jax.Array], None]:
            return (self.w,), None

        @classmethod
        def tree_unflatten(cls, _: None, children: tuple[jax.Array]) -> Layer:
            return cls(*children)

    term = LocalTerm(Layer(jnp.zeros(2)), mu=MU)
    assert_close(term.add_gradient(Layer(jnp.ones(2)), Layer(jnp.ones(2))).w, jnp.full(2, 1 + MU), 1e-6)


def test_flax_linen_parameters_and_train_states_are_pytrees() -> None:
    model = linen.Dense(3)
    parameters = model.init(jax.random.key(0), X)
    state = TrainState.create(
        apply_fn=model.apply, params=parameters, tx=LocalTerm(parameters, mu=MU).attach(optax.sgd(0.1))
    )
    moved = set_parameters(parameters, [array + 1 for array in get_parameters(parameters)])
    zero = jax.tree_util.tree_map(jnp.zeros_like, parameters)
    after = state.replace(params=moved).apply_gradients(grads=zero).params
    assert_close(after, jax.tree_util.tree_map(lambda a: a - 0.1 * MU, moved), 1e-6)


def test_flax_nnx_models_are_read_and_set_by_their_state() -> None:
    model = nnx.Linear(5, 3, rngs=nnx.Rngs(0))
    state = nnx.state(model, nnx.Param)
    arrays = get_parameters(state)
    assert sorted(array.shape for array in arrays) == [(3,), (5, 3)]
    optimizer = nnx.Optimizer(model, LocalTerm(state, mu=MU).attach(optax.sgd(0.1)), wrt=nnx.Param)
    nnx.update(model, set_parameters(state, [array + 1 for array in arrays]))
    zero = jax.tree_util.tree_map(jnp.zeros_like, nnx.state(model, nnx.Param))
    optimizer.update(model, zero)
    for array, old in zip(get_parameters(nnx.state(model, nnx.Param)), arrays, strict=True):
        np.testing.assert_allclose(array, old + 1 - 0.1 * MU, atol=1e-6)


class Dropping(nnx.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        self.linear = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
        self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (nnx.state(Dropping()), r"leaf \['dropout'\].*: a random key cannot be sent; take the weights alone"),
        ({"w": jnp.ones(2), "activation": jnp.tanh}, r"leaf \['activation'\]: PjitFunction cannot be sent"),
        ({"w": jnp.ones(2), "kind": "dense"}, r"leaf \['kind'\]: str cannot be sent"),
    ],
    ids=["key", "function", "text"],
)
def test_a_leaf_that_is_not_a_numeric_array_is_named(tree: Any, message: str) -> None:
    with pytest.raises(ParametersError, match=message):
        get_parameters(tree)
    with pytest.raises(ParametersError, match=message):
        set_parameters(tree, [np.ones(2)] * 9)
