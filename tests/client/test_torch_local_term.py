"""PyTorch: the linear part of the local term, the steps and gradients it records, and training under its strategies."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Context
from numpy.typing import NDArray
from torch import nn

from flskew import FedAvg, FedDyn, FedNova, FedProx, LocalGrid, Scaffold, client_app, partition_id
from flskew._arrays.records import ParametersError, record_from_parameters
from flskew.client._exchange import Exchange, Request
from flskew.client.torch import LocalTerm, get_parameters, set_parameters

pytestmark = pytest.mark.torch

MU, LR = 0.7, 0.05
X, Y = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)).double(), torch.arange(12) % 3

Arrays = Sequence[NDArray[Any] | None]


def network(seed: int = 1) -> nn.Sequential:
    """Linear, BatchNorm, Linear in float64: 5 parameters among 8 arrays."""
    model = nn.Sequential(nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)).double()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for w in model.parameters():
            w.copy_(torch.randn(w.shape, generator=rng))
    return model


PARAMETERS = [0, 1, 2, 6, 7]  # at 3, 4 and 5 are BatchNorm's mean, variance and counter


def slopes(model: nn.Module, seed: int = 3) -> list[NDArray[Any]]:
    """A g for every array, including the buffers, where it must be ignored."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=array.shape).astype(array.dtype) for array in get_parameters(model)]


def data_loss(model: nn.Module) -> torch.Tensor:
    return nn.functional.cross_entropy(model(X), Y)


def term_loss(model: nn.Module, anchor: nn.Module, g: Arrays, mu: float = MU) -> torch.Tensor:
    """The term as part of a loss, for autograd."""
    total = torch.zeros((), dtype=torch.float64)
    names = list(model.state_dict())
    for (name, w), w_t in zip(model.named_parameters(), anchor.parameters(), strict=True):
        total = total + mu / 2 * ((w - w_t.detach()) ** 2).sum() + (torch.tensor(g[names.index(name)]) * w).sum()
    return total


def exchange(
    model: nn.Module,
    config: Mapping[str, Any],
    control: Arrays | None = None,
    state: Arrays | None = None,
    left_out: Sequence[int] = (),
) -> Exchange:
    """What `client_app` opens around `fit`."""
    names = list(model.state_dict())
    given = [
        {name: g for name, g in zip(names, arrays or [None] * len(names), strict=True) if g is not None}
        for arrays in (control, state)
    ]
    arrays = record_from_parameters(get_parameters(model), names)
    return Exchange(arrays, Request.read(config), 1, *given, left_out=frozenset(names[place] for place in left_out))


def term_for(model: nn.Module, config: Mapping[str, Any], **settings: Any) -> LocalTerm:
    with exchange(model, config, **settings).open():
        return LocalTerm.from_config(config, model)


def scaffold_term(model: nn.Module, **settings: Any) -> LocalTerm:
    return term_for(model, {"scaffold": True}, **settings)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[list[NDArray[Any]]]:
    """Train, and return the gradients of the parameters that autograd gave in each step."""
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        data_loss(model).backward()
        seen.append([w.grad.numpy().copy() for w in model.parameters()])
        optimizer.step()
    return seen


def assert_close(ours: Sequence[NDArray[Any]], theirs: Sequence[NDArray[Any]], atol: float = 1e-12) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def numpy(tensors: Any) -> list[NDArray[Any]]:
    return [tensor.detach().numpy().copy() for tensor in tensors]


def test_the_loss_has_the_inner_product_with_the_linear_part() -> None:
    model = nn.Linear(2, 1)
    set_parameters(model, [np.zeros((1, 2)), np.array([1.0])])
    term = LocalTerm(model, mu=0.5, linear=[np.array([[3.0, -1.0]]), np.array([2.0])])
    set_parameters(model, [np.array([[1.0, 2.0]]), np.array([4.0])])
    # 0.5/2 * (1 + 4 + 9) + (3*1 - 1*2 + 2*4) = 3.5 + 9
    assert float(term.loss().detach()) == pytest.approx(12.5)


@pytest.mark.parametrize("mu", [0.0, MU], ids=["linear", "linear-and-quadratic"])
def test_the_gradient_is_that_of_the_loss_by_finite_differences(mu: float) -> None:
    model = network()
    term = LocalTerm(model, mu=mu, linear=slopes(model))
    set_parameters(model, [array + 1 for array in get_parameters(model)])
    term.add_gradient()
    for w in model.parameters():
        flat = w.detach().view(-1)
        for i in range(flat.numel()):
            middle = flat[i].item()
            flat[i] = middle + 1e-4
            above = term.loss().item()
            flat[i] = middle - 1e-4
            below = term.loss().item()
            flat[i] = middle
            assert w.grad.view(-1)[i].item() == pytest.approx((above - below) / 2e-4, abs=1e-7)


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda w: torch.optim.SGD(w, lr=LR),
    "momentum": lambda w: torch.optim.SGD(w, lr=LR, momentum=0.9),
    "weight-decay": lambda w: torch.optim.SGD(w, lr=LR, weight_decay=0.5),
    "adam": lambda w: torch.optim.Adam(w, lr=LR),
    "adamw": lambda w: torch.optim.AdamW(w, lr=LR, foreach=False),
}


@pytest.mark.parametrize("mu", [0.0, MU], ids=["linear", "linear-and-quadratic"])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_training_with_the_term_attached_is_training_on_the_sum_of_the_losses(
    make: Callable[[Any], torch.optim.Optimizer], mu: float
) -> None:
    model = network()
    anchor, other, g = copy.deepcopy(model), copy.deepcopy(model), slopes(model)
    ours, theirs = make(model.parameters()), make(other.parameters())
    LocalTerm(model, mu=mu, linear=g).attach(ours)
    train(model, ours, 6)
    for _ in range(6):
        theirs.zero_grad()
        (data_loss(other) + term_loss(other, anchor, g, mu)).backward()
        theirs.step()
    assert_close(get_parameters(model), get_parameters(other), atol=1e-9)


def test_a_closure_gets_both_parts_in_gradient_and_loss() -> None:
    model = network()
    anchor, other, g = copy.deepcopy(model), copy.deepcopy(model), slopes(model)
    settings: dict[str, Any] = {"lr": 0.1, "max_iter": 5, "line_search_fn": "strong_wolfe"}
    ours, theirs = torch.optim.LBFGS(model.parameters(), **settings), torch.optim.LBFGS(other.parameters(), **settings)
    LocalTerm(model, mu=MU, linear=g).attach(ours)

    def closure() -> torch.Tensor:
        ours.zero_grad()
        loss = data_loss(model)
        loss.backward()
        return loss

    def closure_by_autograd() -> torch.Tensor:
        theirs.zero_grad()
        loss = data_loss(other) + term_loss(other, anchor, g)
        loss.backward()
        return loss

    for _ in range(3):
        ours.step(closure)
        theirs.step(closure_by_autograd)
    assert_close(get_parameters(model), get_parameters(other), atol=1e-7)


def test_a_step_minimises_the_term_plus_the_distance_to_its_start() -> None:
    model = network()
    anchor, g = copy.deepcopy(model), slopes(model)
    term = LocalTerm(model, mu=MU, linear=g)
    set_parameters(model, [array + 1 for array in get_parameters(model)])
    start, rate = copy.deepcopy(model), 0.4
    term.step(rate)
    distance = sum(
        ((w - w_0.detach()) ** 2).sum() for w, w_0 in zip(model.parameters(), start.parameters(), strict=True)
    )
    (term_loss(model, anchor, g) + distance / (2 * rate)).backward()
    assert_close(numpy(w.grad for w in model.parameters()), [np.zeros(w.shape) for w in model.parameters()])


def test_a_gradient_of_none_or_a_sparse_one_gets_the_linear_part() -> None:
    model = nn.ModuleDict({"used": nn.Embedding(4, 2, sparse=True), "unused": nn.Linear(2, 1, bias=False)})
    g = slopes(model)
    term = LocalTerm(model, linear=g)
    model["used"](torch.tensor([1, 1])).sum().backward()
    term.add_gradient()
    expected = torch.tensor(g[0])
    expected[1] += 2
    assert torch.allclose(model["used"].weight.grad, expected)
    assert torch.equal(model["unused"].weight.grad, torch.tensor(g[1]))
    # Neither gradient shares its memory with g.
    for w in model.parameters():
        w.grad += 1
    model.zero_grad()
    term.add_gradient()
    assert_close(numpy(w.grad for w in model.parameters()), g)


def test_the_gradient_of_a_complex_parameter_is_the_linear_part_by_autograd_and_by_the_term() -> None:
    model = nn.ParameterDict({"z": nn.Parameter(torch.tensor([1 + 2j, -1j]))})
    g = np.array([3 - 1j, 2 + 5j], np.complex64)
    term = LocalTerm(model, linear=[g])
    # Re(conj(3 - 1j) * (1 + 2j) + conj(2 + 5j) * (-1j)) = (3 - 2) + (-5)
    assert float(term.loss().detach()) == pytest.approx(-4)
    term.loss().backward()
    np.testing.assert_allclose(model["z"].grad.numpy(), g)
    model["z"].grad = None
    term.add_gradient()
    np.testing.assert_allclose(model["z"].grad.numpy(), g)


@pytest.mark.parametrize("fused", [False, True], ids=["scaler-unscales", "optimizer-unscales"])
def test_loss_scaling_changes_neither_the_linear_part_nor_the_recorded_gradients(fused: bool) -> None:
    results = []
    for scaling in (True, False):
        model = network().float()
        term = scaffold_term(model, control=slopes(model))
        optimizer = torch.optim.SGD(model.parameters(), lr=LR, fused=fused)
        term.attach(optimizer)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=scaling)
        for _ in range(3):
            optimizer.zero_grad()
            scaler.scale(nn.functional.cross_entropy(model(X.float()), Y)).backward()
            scaler.step(optimizer)
            scaler.update()
        results.append([*get_parameters(model), *term.mean_gradients().values()])
        assert term.steps == 3
    assert_close(*results, atol=1e-6)


@pytest.mark.parametrize("config", [{"scaffold": True}, {"count-steps": True}], ids=["Scaffold", "FedNova"])
@pytest.mark.parametrize("fused", [False, True], ids=["scaler-unscales", "optimizer-unscales"])
def test_a_step_that_the_scaler_skips_is_not_counted_and_its_gradient_not_recorded(
    fused: bool, config: dict[str, Any]
) -> None:
    model = network().float()
    term = term_for(model, config)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, fused=fused)
    term.attach(optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for factor in (1.0, float("inf"), 1.0):
        optimizer.zero_grad()
        scaler.scale(model[3].bias.sum() * factor).backward()
        scaler.step(optimizer)
        scaler.update()
    assert term.steps == 2
    if term.mean_gradients():
        np.testing.assert_array_equal(term.mean_gradients()[PARAMETERS[-1]], np.ones(3, np.float32), strict=True)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_mean_gradient_is_that_of_the_clients_own_loss_under_any_optimizer(
    make: Callable[[Any], torch.optim.Optimizer],
) -> None:
    model = network()
    term = scaffold_term(model, control=slopes(model), state=slopes(model, seed=4))
    optimizer = make(model.parameters())
    term.attach(optimizer)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    seen = []
    for _ in range(3):
        seen += train(model, optimizer, 2)
        schedule.step()
    means = term.mean_gradients()
    assert list(means) == term.covered() == PARAMETERS
    assert_close(list(means.values()), [np.mean(step, axis=0) for step in zip(*seen, strict=True)])


def option_two(make: Callable[[Any], torch.optim.Optimizer], steps: int = 6) -> tuple[list[Any], list[Any]]:
    """Return the mean gradients, and SCAFFOLD's c_k - c + (w_t - w_k) / (K lr), after training."""
    model = network()
    start, control, own = get_parameters(model), slopes(model), slopes(model, seed=4)
    term = scaffold_term(model, control=control, state=own)
    optimizer = make(model.parameters())
    term.attach(optimizer)
    train(model, optimizer, steps)
    end = get_parameters(model)
    return list(term.mean_gradients().values()), [
        own[i] - control[i] + (start[i] - end[i]) / (steps * LR) for i in PARAMETERS
    ]


def test_with_plain_sgd_the_mean_gradient_is_the_papers_option_two() -> None:
    assert_close(*option_two(OPTIMIZERS["sgd"]))


@pytest.mark.parametrize("name", ["momentum", "weight-decay", "adam", "adamw"])
def test_with_other_optimizers_the_papers_option_two_is_not_the_mean_gradient(name: str) -> None:
    ours, theirs = (np.concatenate([array.ravel() for array in arrays]) for arrays in option_two(OPTIMIZERS[name]))
    assert np.linalg.norm(ours - theirs) > 0.3 * np.linalg.norm(ours)


def test_clipped_gradients_are_recorded_as_they_are_after_clipping() -> None:
    model = network()
    term = scaffold_term(model, control=slopes(model))
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    term.attach(optimizer)
    for _ in range(2):
        optimizer.zero_grad()
        (100 * data_loss(model)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimizer.step()
    norm = np.sqrt(sum((array**2).sum() for array in term.mean_gradients().values()))
    assert 0 < norm <= 0.01


def test_gradients_that_are_added_up_over_batches_count_as_one_step() -> None:
    model = network()
    term = scaffold_term(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    term.attach(optimizer)
    for _ in range(3):
        data_loss(model).backward()
    total = numpy(w.grad for w in model.parameters())
    optimizer.step()
    assert term.steps == 1
    assert_close(list(term.mean_gradients().values()), total)


def test_one_step_with_a_closure_counts_once_and_its_first_gradient_is_recorded() -> None:
    model = network()
    term = scaffold_term(model, control=[None if place != 0 else g for place, g in enumerate(slopes(model))])
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    term.attach(optimizer)
    calls: list[list[NDArray[Any]]] = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = data_loss(model)
        loss.backward()
        calls.append(numpy(w.grad for w in model.parameters()))
        return loss

    optimizer.step(closure)
    second = len(calls)
    optimizer.step(closure)
    assert (second, term.steps) == (4, 2)
    assert_close(
        list(term.mean_gradients().values()), [(a + b) / 2 for a, b in zip(calls[0], calls[second], strict=True)]
    )


def test_a_gradient_of_none_counts_as_zero_and_a_sparse_one_is_recorded() -> None:
    model = nn.ModuleDict({"used": nn.Embedding(3, 1, sparse=True), "unused": nn.Linear(2, 1, bias=False)})
    term = scaffold_term(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    term.attach(optimizer)
    for rows in ([0, 0], [0, 2]):
        optimizer.zero_grad()
        model["used"](torch.tensor(rows)).sum().backward()
        optimizer.step()
    used, unused = term.mean_gradients().values()
    np.testing.assert_array_equal(used, [[1.5], [0.0], [0.5]])  # (2 + 1) / 2, 0, (0 + 1) / 2
    np.testing.assert_array_equal(unused, np.zeros((1, 2), np.float32), strict=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_mean_of_many_half_precision_gradients_is_summed_in_float32(dtype: torch.dtype) -> None:
    model = nn.Linear(1, 1, bias=False).to(dtype)
    term = scaffold_term(model, control=[np.full((1, 1), 0.25, np.float32)])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    term.attach(optimizer)
    for _ in range(3000):  # bfloat16 cannot count beyond 256, float16 not beyond 2048
        model.weight.grad = torch.ones_like(model.weight)
        optimizer.step()
    assert model.weight.grad.item() == 1.25
    wide = np.float64 if dtype is torch.float64 else np.float32
    np.testing.assert_array_equal(term.mean_gradients()[0], np.ones((1, 1), wide), strict=True)


def test_a_parameter_of_zero_dimensions_keeps_its_shape() -> None:
    model = nn.ParameterDict({"scale": nn.Parameter(torch.tensor(2.0))})
    term = scaffold_term(model, control=[np.array(0.5, np.float32)], state=[np.array(0.25, np.float32)])
    model["scale"].grad = torch.tensor(1.0)
    term.add_gradient()
    assert model["scale"].grad.item() == 1.25
    np.testing.assert_array_equal(term.mean_gradients()[0], np.array(1.0, np.float32), strict=True)


def test_buffers_and_frozen_parameters_are_not_covered() -> None:
    model = network()
    model[0].weight.requires_grad_(False)
    term = scaffold_term(model, control=slopes(model))
    before = get_parameters(model)[0]
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    term.attach(optimizer)
    optimizer.step()
    assert term.covered() == list(term.mean_gradients()) == PARAMETERS[1:]
    np.testing.assert_array_equal(get_parameters(model)[0], before)


def test_a_parameter_that_is_frozen_after_some_steps_stays_covered() -> None:
    """Adversarial training freezes one network while it trains the other, and one of them is frozen at the end."""
    model = network()
    term = scaffold_term(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    term.attach(optimizer)
    (seen,) = train(model, optimizer, 1)
    model[0].weight.requires_grad_(False)
    optimizer.zero_grad()
    optimizer.step()
    assert term.covered() == PARAMETERS
    # One step of its own; the others have taken two, the second with a gradient of None.
    assert_close(list(term.mean_gradients().values()), [seen[0], *(array / 2 for array in seen[1:])])


def test_arrays_that_the_client_keeps_are_not_covered() -> None:
    model = network()
    term = scaffold_term(model, control=slopes(model), left_out=(6, 7))
    start = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    term.attach(optimizer)
    optimizer.step()
    assert term.covered() == list(term.mean_gradients()) == PARAMETERS[:3]
    assert torch.equal(model[3].weight, start[3].weight)
    assert not torch.equal(model[0].weight, start[0].weight)


def test_arrays_that_the_client_keeps_do_not_count_in_the_loss() -> None:
    model = network()
    term = term_for(model, {"proximal-mu": MU}, left_out=(0, 1, 2, 6))
    set_parameters(model, [array + 1 for array in get_parameters(model)])
    assert float(term.loss().detach()) == pytest.approx(MU / 2 * 3)  # the bias of three classes has moved by 1


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Linear(2, 2, bias=False)
        self.outside = nn.Linear(2, 2, bias=False)
        self.outside.weight = self.inside.weight


def test_a_parameter_at_two_positions_counts_once_and_is_covered_at_both() -> None:
    model = Tied()
    g = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    term = scaffold_term(model, control=[g, g])
    model.inside.weight.grad = torch.full((2, 2), 0.5)
    term.add_gradient()
    np.testing.assert_array_equal(model.inside.weight.grad.numpy(), g + 0.5)
    assert term.covered() == [0, 1]
    for mean in term.mean_gradients().values():
        np.testing.assert_array_equal(mean, np.full((2, 2), 0.5, np.float32), strict=True)


def test_two_optimizers_that_share_the_parameters_count_each_step_once() -> None:
    model = network()
    term = scaffold_term(model)
    halves = [torch.optim.SGD([*model[0].parameters(), *model[1].parameters()]), torch.optim.SGD(model[3].parameters())]
    for optimizer in halves:
        term.attach(optimizer)
    for _ in range(3):
        data_loss(model).backward()
        for optimizer in halves:
            optimizer.step()
    assert term.steps == 3


def test_each_parameters_mean_is_over_the_steps_of_its_own_optimizer() -> None:
    model = network()
    term = scaffold_term(model)
    often, rarely = torch.optim.SGD(model[0].parameters(), lr=0.0), torch.optim.SGD(model[3].parameters(), lr=0.0)
    for optimizer in (often, rarely):
        term.attach(optimizer)
    for optimizer in (often, often, often, rarely):
        model.zero_grad()
        data_loss(model).backward()
        optimizer.step()
    gradients = numpy(w.grad for w in model.parameters())  # the same in every step
    means = term.mean_gradients()
    assert term.steps == 3
    assert_close([means[0], means[6], means[7]], [gradients[0], *gradients[3:]])
    assert not means[1].any()  # in no optimizer


def test_a_new_optimizer_in_each_epoch_adds_to_the_steps() -> None:
    model = network()
    term = scaffold_term(model)
    seen = []
    for _ in range(2):
        optimizer = torch.optim.SGD(model.parameters(), lr=LR)
        term.attach(optimizer)
        seen += train(model, optimizer, 2)
    assert term.steps == 4
    assert_close(list(term.mean_gradients().values()), [np.mean(step, axis=0) for step in zip(*seen, strict=True)])


def test_a_term_that_is_attached_twice_acts_and_counts_once() -> None:
    model = network()
    term = scaffold_term(model, control=slopes(model))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    term.attach(optimizer)
    term.attach(optimizer)
    before = get_parameters(model)
    optimizer.step()
    assert term.steps == 1
    np.testing.assert_allclose(get_parameters(model)[0], before[0] - slopes(model)[0])


def test_the_term_of_the_next_round_starts_its_record_anew() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    first = scaffold_term(model)
    first.attach(optimizer)
    train(model, optimizer, 2)
    second = scaffold_term(model)
    second.attach(optimizer)
    (seen,) = train(model, optimizer, 1)
    assert (first.steps, second.steps) == (2, 1)
    assert_close(list(second.mean_gradients().values()), seen)


def test_without_gradients_the_mean_gradient_comes_from_the_changes_between_steps() -> None:
    """Each update moves the weights by its rate times its own gradient; then the term takes its step."""
    model = network()
    term = scaffold_term(model, control=slopes(model))
    rng = torch.Generator().manual_seed(9)
    expected = [np.zeros(w.shape) for w in model.parameters()]
    for rate in (0.1, 0.3):
        with torch.no_grad():
            for w, mean in zip(model.parameters(), expected, strict=True):
                gradient = torch.randn(w.shape, generator=rng, dtype=torch.float64)
                mean += gradient.numpy() / 2
                w.sub_(rate * gradient)
        term.step(rate)
    assert term.steps == 2
    assert_close(list(term.mean_gradients().values()), expected)


def test_steps_that_are_taken_together_count_with_their_number() -> None:
    model = nn.Linear(1, 1, bias=False)
    term = scaffold_term(model)
    for moved, rate, steps in ((0.6, 0.3, 3), (0.4, 0.1, 1)):  # mean gradients 2 and 4
        with torch.no_grad():
            model.weight -= moved
        term.step(rate, num_steps=steps)
    assert term.steps == 4
    assert term.mean_gradients()[0].item() == pytest.approx((3 * 2 + 1 * 4) / 4, rel=1e-5)
    with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
        term.step(0.1, num_steps=0)


@pytest.mark.parametrize(
    "config",
    [{}, {"proximal-mu": 0.0}, {"count-steps": True}, {"scaffold": True}, {"feddyn-alpha": 0.0}],
    ids=["FedAvg", "FedProx-without-mu", "FedNova", "Scaffold-first-round", "FedDyn-without-alpha"],
)
def test_a_term_that_adds_nothing_leaves_the_training_unchanged_bit_for_bit(config: dict[str, Any]) -> None:
    plain, ours = network(), network()
    train(plain, torch.optim.SGD(plain.parameters(), lr=LR, momentum=0.5), 10)
    optimizer = torch.optim.SGD(ours.parameters(), lr=LR, momentum=0.5)
    term = term_for(ours, config)
    term.attach(optimizer)
    train(ours, optimizer, 10)
    assert [array.tobytes() for array in get_parameters(plain)] == [array.tobytes() for array in get_parameters(ours)]
    assert term.is_used
    assert term.covered() == PARAMETERS


def test_a_linear_part_for_another_model_is_refused_with_both_numbers() -> None:
    model = nn.Linear(2, 1)
    with pytest.raises(
        ParametersError, match=r"the model has 2 arrays, weight, bias; .* is for 3, as many as the serv"
    ):
        LocalTerm(model, linear=[np.zeros((1, 2)), np.zeros(1), np.zeros(1)])
    with pytest.raises(ParametersError, match=r"linear\[1\] must have shape \(1,\), got \(2,\)"):
        LocalTerm(model, linear=[None, np.zeros(2)])
    with exchange(network(), {"scaffold": True}).open(), pytest.raises(ParametersError, match=r"2 arrays.* is for 8"):
        LocalTerm.from_config({"scaffold": True}, model)


# Whole rounds through `client_app`, with BatchNorm, against the papers' algorithms in a few lines.

SITES, STEPS, ROUNDS = 3, 4, 3


def rows_of(site: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows with few labels of the other sites."""
    rng = torch.Generator().manual_seed(100 + site)
    labels = torch.cat([torch.full((8,), site), torch.arange(3)])
    return torch.randn(11, 5, generator=rng).double() + site, labels


def site_loss(model: nn.Module, site: int) -> torch.Tensor:
    rows, labels = rows_of(site)
    return nn.functional.cross_entropy(model(rows), labels)


class Site:
    def __init__(self, context: Context) -> None:
        self.site = partition_id(context)

    def fit(self, parameters: Any, config: Any) -> Any:
        model = network()
        set_parameters(model, parameters)
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        LocalTerm.from_config(config, model).attach(optimizer)
        for _ in range(STEPS):
            optimizer.zero_grad()
            site_loss(model, self.site).backward()
            optimizer.step()
        return get_parameters(model), 10, {}


def federated(strategy: FedAvg) -> list[NDArray[Any]]:
    model = network()
    with LocalGrid(client_app(Site), SITES) as grid:
        arrays = record_from_parameters(get_parameters(model), list(model.state_dict()))
        result = strategy.start(grid, arrays, num_rounds=ROUNDS)
    assert not any(one.failures for one in strategy.history)
    return [array.numpy() for array in result.arrays.values()]


def mean_model(models: Sequence[nn.Module]) -> nn.Sequential:
    mean = network()
    arrays = zip(*(get_parameters(model) for model in models), strict=True)
    set_parameters(mean, [np.mean(each, axis=0) for each in arrays])
    return mean


def test_scaffold_trains_a_model_with_batch_norm_as_the_paper_does() -> None:
    server, shapes = network(), [w.shape for w in network().parameters()]
    c = [torch.zeros(shape).double() for shape in shapes]
    own = [[torch.zeros(shape).double() for shape in shapes] for _ in range(SITES)]
    for _ in range(ROUNDS):
        models, new = [], []
        for site in range(SITES):
            model = copy.deepcopy(server)
            for _ in range(STEPS):
                gradients = torch.autograd.grad(site_loss(model, site), list(model.parameters()))
                with torch.no_grad():
                    for w, gradient, c_i, c_k in zip(model.parameters(), gradients, c, own[site], strict=True):
                        w -= LR * (gradient + c_i - c_k)
            pairs = zip(server.parameters(), model.parameters(), c, own[site], strict=True)
            new.append([(c_k - c_i + (w_t - w) / (STEPS * LR)).detach() for w_t, w, c_i, c_k in pairs])
            models.append(model)
        own, server = new, mean_model(models)
        c = [sum(each) / SITES for each in zip(*own, strict=True)]
    assert_close(federated(Scaffold(fraction_evaluate=0.0)), get_parameters(server), atol=1e-10)


def test_feddyn_trains_a_model_with_batch_norm_as_the_paper_does() -> None:
    alpha, server = 0.5, network()
    shapes = [w.shape for w in server.parameters()]
    h = [torch.zeros(shape).double() for shape in shapes]
    own = [[torch.zeros(shape).double() for shape in shapes] for _ in range(SITES)]
    for _ in range(ROUNDS):
        models = []
        for site in range(SITES):
            model = copy.deepcopy(server)
            w, w_t = list(model.parameters()), [w.detach() for w in server.parameters()]
            for _ in range(STEPS):
                loss = site_loss(model, site)
                for a, b, h_k in zip(w, w_t, own[site], strict=True):
                    loss = loss - (h_k * a).sum() + alpha / 2 * ((a - b) ** 2).sum()
                with torch.no_grad():
                    for a, gradient in zip(w, torch.autograd.grad(loss, w), strict=True):
                        a -= LR * gradient
            own[site] = [(h_k - alpha * (a - b)).detach() for a, b, h_k in zip(w, w_t, own[site], strict=True)]
            models.append(model)
        h = [sum(each) / SITES for each in zip(*own, strict=True)]
        server = mean_model(models)
        with torch.no_grad():
            for a, h_i in zip(server.parameters(), h, strict=True):
                a -= h_i / alpha
    assert_close(federated(FedDyn(alpha=alpha, fraction_evaluate=0.0)), get_parameters(server), atol=1e-10)


def test_fednova_with_equally_many_steps_is_fedavg_bit_for_bit() -> None:
    nova, average = federated(FedNova(fraction_evaluate=0.0)), federated(FedAvg(fraction_evaluate=0.0))
    assert [array.tobytes() for array in nova] == [array.tobytes() for array in average]


def test_the_two_lines_of_the_client_serve_every_strategy_and_each_trains_differently() -> None:
    strategies = [
        FedAvg(fraction_evaluate=0.0),
        FedProx(proximal_mu=1.0, fraction_evaluate=0.0),
        FedDyn(alpha=0.1, fraction_evaluate=0.0),
        Scaffold(fraction_evaluate=0.0),
    ]
    found = {tuple(array.tobytes() for array in federated(strategy)) for strategy in strategies}
    assert len(found) == len(strategies)
