"""JAX: the linear part of the local term, what an attached optimizer records, and compiled steps in later rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from flskew import (
    FedAvg,
    FedDyn,
    FedNova,
    FedProx,
    LocalGrid,
    ParametersError,
    RoundError,
    Scaffold,
    client_app,
)
from flskew._arrays.records import record_from_parameters
from flskew.client._exchange import Exchange, Request
from flskew.client.jax import LocalTerm, get_parameters, set_parameters

pytestmark = pytest.mark.jax

MU, RATE = 0.7, 0.05
X = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
Y = jax.nn.one_hot(np.arange(12) % 3, 3)

Tree = dict[str, Any]
Arrays = list[NDArray[Any]]


def weights(seed: int = 1) -> Tree:
    """Four leaves: hidden.b, hidden.w, out.b and out.w."""
    rng = np.random.default_rng(seed)
    shapes = {"hidden": {"w": (5, 4), "b": (4,)}, "out": {"w": (4, 3), "b": (3,)}}
    return jax.tree.map(
        lambda shape: jnp.array(rng.standard_normal(shape), jnp.float32), shapes, is_leaf=lambda x: isinstance(x, tuple)
    )


def slopes(seed: int = 3) -> Arrays:
    return [0.1 * array for array in get_parameters(weights(seed))]


def data_loss(w: Tree) -> jax.Array:
    hidden = jnp.tanh(X @ w["hidden"]["w"] + w["hidden"]["b"])
    return optax.softmax_cross_entropy(hidden @ w["out"]["w"] + w["out"]["b"], Y).mean()


def term_by_hand(w: Tree, w_t: Tree, mu: float, g: Sequence[Any]) -> Any:
    pairs = zip(jax.tree.leaves(w), jax.tree.leaves(w_t), g or [0.0] * 4, strict=True)
    return sum(mu / 2 * ((a - b) ** 2).sum() + (c * a).sum() for a, b, c in pairs)


def term_for(
    tree: Any, config: Mapping[str, Any], *, g: Arrays | None = None, private: Sequence[int] = ()
) -> LocalTerm:
    """The term that `fit` makes inside `client_app`."""
    arrays = get_parameters(tree)
    names = [str(place) for place in range(len(arrays))]
    request = Request.read(config)
    # FedDyn's g is alpha times the state, SCAFFOLD's the control variate.
    sent = {name: array / np.float32(request.alpha or 1) for name, array in zip(names, g or [], strict=bool(g))}
    exchange = Exchange(
        record_from_parameters(arrays, names),
        request,
        1,
        control={} if request.alpha else sent,
        state=sent if request.alpha else {},
        left_out=frozenset(names[place] for place in private),
    )
    with exchange.open():
        return LocalTerm.from_config(config, tree)


def train(term: LocalTerm, optimizer: Any, steps: int = 4, w: Tree | None = None) -> Tree:
    """Train with the term attached, compiled, and hand the state back."""
    w = weights() if w is None else w
    attached = term.attach(optimizer)
    state = attached.init(w)

    @jax.jit
    def step(w: Tree, state: Any) -> tuple[Tree, Any]:
        updates, state = attached.update(jax.grad(data_loss)(w), state, w)
        return optax.apply_updates(w, updates), state

    for _ in range(steps):
        w, state = step(w, state)
    term.collect(state)
    return w


def train_by_autograd(
    optimizer: Any, mu: float, g: Sequence[Any], steps: int = 4, w: Tree | None = None
) -> tuple[Tree, Arrays]:
    """The term as part of the loss; return also the mean gradient of the loss without it."""
    w_t = w = weights() if w is None else w
    state, seen = optimizer.init(w), []
    for _ in range(steps):
        seen.append(get_parameters(jax.grad(data_loss)(w)))
        gradients = jax.grad(lambda w: data_loss(w) + term_by_hand(w, w_t, mu, g))(w)
        updates, state = optimizer.update(gradients, state, w)
        w = optax.apply_updates(w, updates)
    return w, [np.mean(arrays, axis=0) for arrays in zip(*seen, strict=True)]


def assert_close(ours: Any, theirs: Any, atol: float = 2e-6) -> None:
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def test_loss_and_gradient_are_those_of_the_formula_by_autograd() -> None:
    w_t, w, g = weights(1), weights(2), slopes()
    term = LocalTerm(w_t, mu=MU, linear=[None, *g[1:]])
    formula = partial(term_by_hand, w_t=w_t, mu=MU, g=[0.0, *g[1:]])
    assert float(term.loss(w)) == pytest.approx(float(formula(w)), rel=1e-5)
    expected = jax.grad(lambda w: data_loss(w) + formula(w))(w)
    assert_close(term.add_gradient(w, jax.grad(data_loss)(w)), expected)
    assert_close(jax.grad(lambda w: data_loss(w) + term.loss(w))(w), expected)


def test_the_gradient_is_that_of_the_loss_by_finite_differences() -> None:
    w_t, w, g = np.array([0.5, -1.0, 2.0]), np.array([1.0, 0.25, -0.75]), np.array([2.0, 0.0, -3.0])
    term = LocalTerm([jnp.array(w_t)], mu=MU, linear=[g])
    (gradient,) = term.add_gradient([jnp.array(w)], [jnp.zeros(3)])
    for i, shift in enumerate(np.eye(3) * 0.5):  # exact for a square, whatever the step
        ends = [float(term.loss([jnp.array(w + s)])) for s in (shift, -shift)]
        assert float(gradient[i]) == pytest.approx(ends[0] - ends[1], abs=1e-5)


def test_a_step_minimises_the_term_plus_the_squared_distance_over_twice_the_rate() -> None:
    w_t, start, g = weights(1), weights(2), slopes()
    w = LocalTerm(w_t, mu=MU, linear=g).step(start, 0.4)
    slope = jax.grad(lambda w: term_by_hand(w, w_t, MU, g) + term_by_hand(w, start, 1 / 0.4, []))(w)
    assert_close(slope, jax.tree.map(jnp.zeros_like, w), 1e-5)


OPTIMIZERS = {
    "sgd": optax.sgd(RATE),
    "nesterov with a schedule": optax.sgd(optax.exponential_decay(RATE, 1, 0.5), momentum=0.9, nesterov=True),
    "adamw": optax.adamw(RATE),
    "clipped": optax.chain(optax.clip_by_global_norm(0.2), optax.sgd(RATE)),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_with_any_optimizer_the_weights_are_those_of_autograd_and_the_mean_is_of_the_loss_alone(optimizer: Any) -> None:
    term = term_for(weights(), {"scaffold": True, "proximal-mu": MU}, g=slopes())
    w = train(term, optimizer)
    expected, mean = train_by_autograd(optimizer, MU, slopes())
    assert_close(w, expected, 5e-6)
    assert (term.steps, list(term.mean_gradients())) == (4, [0, 1, 2, 3])
    assert_close(list(term.mean_gradients().values()), mean)


def test_with_plain_sgd_the_mean_is_the_papers_option_two() -> None:
    term, g = term_for(weights(), {"scaffold": True}, g=slopes()), slopes()
    w = train(term, optax.sgd(RATE))
    # w_t - w_K = lr * sum(gradients + g)
    pairs = zip(get_parameters(weights()), get_parameters(w), g, strict=True)
    assert_close(list(term.mean_gradients().values()), [(w_t - end) / (4 * RATE) - c for w_t, end, c in pairs], 1e-5)


ROUNDS: dict[str, list[tuple[dict[str, Any], float, bool]]] = {
    "FedDyn": [({"feddyn-alpha": 0.3}, 0.3, False), ({"feddyn-alpha": 0.3}, 0.3, True)] * 2,
    "Scaffold": [({"scaffold": True}, 0.0, False), ({"scaffold": True}, 0.0, True)] * 2,
    "FedNova": [({"count-steps": True}, 0.0, False)] * 3,
    "FedProx": [({"proximal-mu": 0.1}, 0.1, False)] * 3,
    "FedAvg": [({}, 0.0, False)] * 3,
}


@pytest.mark.parametrize("rounds", ROUNDS.values(), ids=ROUNDS)
@pytest.mark.parametrize("style", ["earlier update", "static update", "train state"])
def test_a_step_compiled_in_the_first_round_is_right_in_every_later_one(
    style: str, rounds: list[tuple[dict[str, Any], float, bool]]
) -> None:
    optimizer, traces, updates = optax.sgd(RATE, momentum=0.5), [], []

    def step(update: Any, w: Tree, state: Any) -> tuple[Tree, Any]:
        traces.append(1)
        moves, state = update(jax.grad(data_loss)(w), state, w)
        return optax.apply_updates(w, moves), state

    @jax.jit
    def step_of_earlier(w: Tree, state: Any) -> tuple[Tree, Any]:
        return step(updates[0], w, state)

    step_of_static = jax.jit(step, static_argnums=0)

    @jax.jit
    def step_of_state(state: TrainState) -> TrainState:
        traces.append(1)
        return state.apply_gradients(grads=jax.grad(data_loss)(state.params))

    w = weights()
    for number, (config, mu, has_linear) in enumerate(rounds):
        g = slopes(number) if has_linear else []
        expected, mean = train_by_autograd(optimizer, mu, g, steps=2, w=w)
        term = term_for(w, config, g=g or None)
        attached = term.attach(optimizer)
        updates.append(attached.update)
        if style == "train state":
            state = TrainState.create(apply_fn=None, params=w, tx=attached)
            for _ in range(2):
                state = step_of_state(state)
            w = state.params
        else:
            state = attached.init(w)
            for _ in range(2):
                inputs = (w, state)
                w, state = step_of_static(attached.update, *inputs) if "static" in style else step_of_earlier(*inputs)
        term.collect(state)
        assert_close(w, expected, 5e-6)
        assert (term.steps, term.is_used) == (2 if config else 0, True)
        if "scaffold" in config:
            assert_close(list(term.mean_gradients().values()), mean)
    assert len(traces) == 1


@pytest.mark.parametrize("is_committed", [False, True], ids=["any device", "on its device"])
def test_the_first_step_and_the_later_ones_are_the_same_program(is_committed: bool) -> None:
    """JAX compiles a traced function again for arrays that are committed to a device."""
    optimizer = optax.sgd(RATE)
    step = jax.jit(lambda update, w, state: update(w, state, w), static_argnums=0)
    tree = jax.device_put(weights(), jax.devices()[0]) if is_committed else weights()
    for number in range(2):
        w = set_parameters(tree, get_parameters(tree))
        term = term_for(w, {"scaffold": True, "proximal-mu": MU}, g=slopes() if number else None)
        attached = term.attach(optimizer)
        state = attached.init(w)
        for _ in range(3):
            w, state = step(attached.update, w, state)
    assert step._cache_size() == 1


def test_an_initialisation_compiled_in_an_earlier_round_is_noticed() -> None:
    """Its state has the first round's term."""
    optimizer = optax.sgd(RATE)
    init = jax.jit(lambda tx, w: tx.init(w), static_argnums=0)
    first, second = (term_for(weights(), {"scaffold": True}) for _ in range(2))
    first.collect(init(first.attach(optimizer), weights()))
    state = init(second.attach(optimizer), weights())
    assert not second.is_used
    with pytest.raises(ValueError, match="state is that of another term; call init of the optimizer that attach"):
        second.collect(state)


def test_a_compiled_step_notices_a_term_that_is_passed_to_it_in_every_round() -> None:
    step = jax.jit(lambda term, w: term.add_gradient(w, jax.grad(data_loss)(w)))
    for seed in (1, 2):
        term = term_for(weights(seed), {"feddyn-alpha": 0.3}, g=slopes(seed))
        assert not term.is_used
        step(term, weights())
        assert term.is_used
    assert step._cache_size() == 1


def test_under_fedavg_the_state_has_no_arrays_and_collecting_it_does_nothing() -> None:
    term, w = term_for(weights(), {}), weights()
    optimizer = optax.sgd(RATE)
    attached = term.attach(optimizer)
    state = attached.init(w)
    assert jax.tree.leaves(state) == jax.tree.leaves(optimizer.init(w)) == []
    gradients = jax.grad(data_loss)
    with_term = jax.make_jaxpr(lambda w, state: attached.update(gradients(w), state, w)[0])(w, state)
    without = jax.make_jaxpr(lambda w, state: optimizer.update(gradients(w), state, w)[0])(w, optimizer.init(w))
    assert str(with_term) == str(without)
    term.collect(state)
    assert (term.steps, term.is_used, term.mean_gradients()) == (0, True, {})


@pytest.mark.parametrize(
    ("wrap", "num_steps"),
    [
        (lambda tx: optax.MultiSteps(tx, every_k_schedule=2), 2),
        (lambda tx: optax.chain(optax.identity(), tx), 5),
        (lambda tx: optax.apply_if_finite(tx, max_consecutive_errors=9), 4),
    ],
    ids=["accumulating", "chained", "skipping what is not finite"],
)
def test_only_updates_that_reach_the_attached_optimizer_are_steps(wrap: Callable[[Any], Any], num_steps: int) -> None:
    w = [jnp.zeros(1)]
    term = term_for(w, {"scaffold": True})
    optimizer = wrap(term.attach(optax.sgd(0.1)))
    state = optimizer.init(w)
    bad = jnp.inf if num_steps == 4 else 1.0
    for number in (2.0, 4.0, 2.0, 4.0, bad):
        _, state = optimizer.update([jnp.full(1, number)], state, w)
    term.collect(state)
    assert term.steps == num_steps
    # (2 + 4 + 2 + 4) / 4, also as the mean of two means of 2 and 4; with the last one, 13 / 5
    assert float(term.mean_gradients()[0][0]) == pytest.approx(13 / 5 if num_steps == 5 else 3)


def test_nnx_optimizers_are_compiled_once_and_their_state_can_be_collected() -> None:
    model, optimizer, traces = nnx.Linear(5, 3, rngs=nnx.Rngs(0)), optax.sgd(RATE), []

    @nnx.jit
    def step(model: nnx.Linear, optimizer: nnx.Optimizer[nnx.Linear]) -> None:
        traces.append(1)
        optimizer.update(model, nnx.grad(lambda model: model(jnp.asarray(X)).sum())(model))

    for _ in range(2):
        state = nnx.state(model, nnx.Param)
        term = term_for(state, {"scaffold": True}, g=[np.full(a.shape, 5, np.float32) for a in get_parameters(state)])
        before = get_parameters(state)
        attached = nnx.Optimizer(model, term.attach(optimizer), wrt=nnx.Param)
        for _ in range(3):
            step(model, attached)
        term.collect(attached.opt_state)
        # The gradient of the sum of the outputs is the number of rows for a bias.
        bias = [array.shape for array in before].index((3,))
        assert term.steps == 3
        np.testing.assert_array_equal(term.mean_gradients()[bias], np.full(3, 12, np.float32))
        moved = before[bias] - get_parameters(nnx.state(model, nnx.Param))[bias]
        np.testing.assert_allclose(moved, 3 * RATE * (12 + 5), rtol=1e-5)
    assert len(traces) == 1


def test_counters_and_arrays_that_the_client_keeps_have_no_term() -> None:
    w = [jnp.ones(2), jnp.array(3), jnp.ones(3)]
    g = [np.full(2, 5, np.float32), np.array(5), np.full(3, 5, np.float32)]
    term = term_for(w, {"scaffold": True, "proximal-mu": MU}, g=g, private=[0])
    assert term.covered() == [2]
    assert float(term.loss(w)) == 15
    added = term.add_gradient(w, [jnp.zeros(2), jnp.array(0), jnp.zeros(3)])
    assert [array.tolist() for array in added] == [[0, 0], 0, [5, 5, 5]]
    attached = term.attach(optax.sgd(0.1))
    _, state = attached.update([jnp.ones(2), jnp.array(0), jnp.ones(3)], attached.init(w), w)
    term.collect(state)
    assert {place: array.tolist() for place, array in term.mean_gradients().items()} == {2: [1, 1, 1]}


def test_half_precision_keeps_its_dtype_and_its_mean_is_in_single_precision() -> None:
    w = [jnp.ones(1, jnp.bfloat16)]
    term = term_for(w, {"scaffold": True, "proximal-mu": MU}, g=[np.ones(1, np.float32)])
    attached = term.attach(optax.sgd(0.0))
    state = attached.init(w)
    step = jax.jit(lambda state: attached.update([jnp.ones(1, jnp.bfloat16)], state, w))
    for _ in range(600):
        updates, state = step(state)
    assert updates[0].dtype == term.step(w, 0.1)[0].dtype == jnp.bfloat16
    term.collect(state)
    # In bfloat16, a sum of ones ends at 256.
    np.testing.assert_array_equal(term.mean_gradients()[0], np.ones(1, np.float32), strict=True)


def test_the_state_of_a_client_that_took_no_step_can_be_collected() -> None:
    term = term_for(weights(), {"scaffold": True})
    term.collect(term.attach(optax.sgd(RATE)).init(weights()))
    assert (term.steps, term.is_used) == (0, True)


def test_a_state_without_a_term_is_refused_under_every_strategy() -> None:
    for config in ({}, {"scaffold": True}):
        with pytest.raises(ValueError, match="state must contain one state of an optimizer with a term, got 0"):
            term_for(weights(), config).collect(optax.sgd(RATE).init(weights()))


def test_the_numbers_of_arrays_are_named_if_they_differ() -> None:
    for linear in ([None] * 3, slopes()[:3]):
        with pytest.raises(ParametersError, match=r"the model has 4 arrays, .* for 3, as many as the server sent"):
            LocalTerm(weights(), linear=linear)


def test_a_linear_part_of_another_shape_is_named() -> None:
    linear = slopes()
    linear[0] = np.zeros(1, np.float32)  # would broadcast
    with pytest.raises(ParametersError, match=r"\['hidden'\]\['b'\].: the model has shape \(4,\), got \(1,\)"):
        LocalTerm(weights(), linear=linear)


class Site:
    """Gradient steps on (w - 3)**2 / 2, with or without the lines that a strategy needs."""

    def __init__(self, lines: str) -> None:
        self.lines = lines

    def fit(self, parameters: Any, config: Any) -> Any:
        w = [jnp.asarray(parameters[0])]
        term = LocalTerm.from_config(config, w)
        optimizer: Any = optax.sgd(0.1)
        if "attach" in self.lines:
            optimizer = term.attach(optimizer)
        state = optimizer.init(w)
        for _ in range(4):
            gradients = [w[0] - 3]
            if "add_gradient" in self.lines:
                gradients = term.add_gradient(w, gradients)
            updates, state = optimizer.update(gradients, state, w)
            w = optax.apply_updates(w, updates)
        if "collect" in self.lines:
            term.collect(state)
        return get_parameters(w), 10, {}


COMPLETE = ["attach, collect"]
STRATEGIES = {
    "FedAvg": (FedAvg, {}, ["", "attach", "add_gradient", *COMPLETE]),
    "FedProx": (FedProx, {"proximal_mu": 0.1}, ["attach", "add_gradient", *COMPLETE]),
    "FedDyn": (FedDyn, {"alpha": 0.1}, ["attach", "add_gradient", *COMPLETE]),
    "Scaffold": (Scaffold, {}, COMPLETE),
    "FedNova": (FedNova, {}, COMPLETE),
}


@pytest.mark.parametrize("lines", ["", "attach", "add_gradient", "attach, collect"])
@pytest.mark.parametrize(("make", "settings", "enough"), STRATEGIES.values(), ids=STRATEGIES)
def test_a_client_that_lacks_a_line_which_the_strategy_needs_is_refused(
    make: Callable[..., FedAvg], settings: dict[str, Any], enough: list[str], lines: str
) -> None:
    strategy, start = make(fraction_evaluate=0.0, **settings), ArrayRecord([np.zeros(1, np.float32)])
    with LocalGrid(client_app(lambda _: Site(lines)), 2) as grid:
        if lines in enough:
            assert strategy.start(grid, start, num_rounds=2).arrays["0"].numpy()[0] > 0.5
            return
        with pytest.raises(RoundError, match="needs the local term") as caught:
            strategy.start(grid, start, num_rounds=2)
    assert ("made it but did not use it" if not lines else "call term.collect(state) after training") in str(
        caught.value
    )
