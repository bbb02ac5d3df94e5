"""PyTorch: reading and setting the arrays of a module, and the proximal term on its gradients."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from flskew._arrays.records import ParametersError
from flskew.client.torch import LocalTerm, get_parameters, set_parameters

pytestmark = pytest.mark.torch

MU = 0.7
X, Y = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)).double(), torch.arange(12) % 3


def network(seed: int = 1) -> nn.Sequential:
    """Linear, BatchNorm, Linear in float64, with weights from its own generator.

    There is no bias before the BatchNorm: its gradient would be pure rounding error, which Adam and similar optimizers
        amplify to a full step.
    """
    model = nn.Sequential(
        OrderedDict(hidden=nn.Linear(5, 4, bias=False), norm=nn.BatchNorm1d(4), act=nn.Tanh(), out=nn.Linear(4, 3))
    ).double()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for w in model.parameters():
            w.copy_(torch.randn(w.shape, generator=rng))
    return model


def move(model: nn.Module, seed: int = 2) -> None:
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for w in model.parameters():
            w.add_(torch.randn(w.shape, generator=rng).to(w.dtype))


def data_loss(model: nn.Module) -> torch.Tensor:
    return nn.functional.cross_entropy(model(X), Y)


def half_mu_squared(model: nn.Module, anchor: nn.Module, mu: float = MU) -> torch.Tensor:
    """The paper's term as part of a loss, for autograd."""
    pairs = zip(model.parameters(), anchor.parameters(), strict=True)
    return mu / 2 * sum(((w - w_t.detach()) ** 2).sum() for w, w_t in pairs)


def distance(model: nn.Module, anchor: nn.Module) -> float:
    return float(half_mu_squared(model, anchor, 2.0).detach()) ** 0.5


def test_arrays_are_in_the_order_of_the_state_dict_with_buffers_and_counters() -> None:
    model = network()
    model(X)
    arrays = get_parameters(model)
    assert len(arrays) == len(model.state_dict()) == 8
    for array, (name, tensor) in zip(arrays, model.state_dict().items(), strict=True):
        np.testing.assert_array_equal(array, tensor.numpy(), err_msg=name, strict=True)
    counter = arrays[list(model.state_dict()).index("norm.num_batches_tracked")]
    assert (counter.shape, counter.dtype, int(counter)) == ((), np.int64, 1)


def test_training_does_not_change_arrays_that_were_read() -> None:
    model = network()
    arrays = get_parameters(model)
    before = [array.copy() for array in arrays]
    move(model)
    model(X)
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_setting_the_arrays_of_another_model_makes_the_models_equal() -> None:
    model, other = network(1), network(5)
    model(X)
    set_parameters(other, get_parameters(model))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_parameters_are_set_in_place_so_that_an_optimizer_remains_valid() -> None:
    model = network()
    tensors = [(w, w.data_ptr()) for w in model.parameters()]
    set_parameters(model, [array + 1 for array in get_parameters(model)])
    assert all(a is b and a.data_ptr() == place for a, (b, place) in zip(model.parameters(), tensors, strict=True))


def test_training_does_not_change_arrays_that_were_set() -> None:
    model = network()
    arrays = get_parameters(model)
    set_parameters(model, arrays)
    before = [array.copy() for array in arrays]
    move(model)
    np.testing.assert_array_equal(arrays[0], before[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int8, torch.bool])
def test_a_tensor_of_any_dtype_survives_the_round_trip(dtype: torch.dtype) -> None:
    model = nn.Module()
    model.register_buffer("values", torch.tensor([[0.0, 1.0], [1.0, 127.0]]).to(dtype))
    (array,) = get_parameters(model)
    assert array.dtype == (np.float32 if dtype is torch.bfloat16 else np.dtype(str(dtype).removeprefix("torch.")))
    other = nn.Module()
    other.register_buffer("values", torch.zeros(2, 2, dtype=dtype))
    set_parameters(other, [array])
    assert other.values.dtype is dtype
    assert torch.equal(other.values, model.values)


def test_every_bfloat16_survives_the_round_trip_through_float32() -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    every = every[every.isfinite()]
    model = nn.Module()
    model.register_buffer("values", every.clone())
    arrays = get_parameters(model)
    model.values.zero_()
    set_parameters(model, arrays)
    assert torch.equal(model.values, every)


def test_an_averaged_counter_is_rounded_not_truncated() -> None:
    model = nn.BatchNorm1d(1)
    arrays = get_parameters(model)
    arrays[-1] = np.array(6.999999999)
    set_parameters(model, arrays)
    assert int(model.num_batches_tracked) == 7


@pytest.mark.parametrize("order", ["C", "F"])
def test_read_only_arrays_of_either_order_can_be_set(order: str) -> None:
    model = nn.Linear(3, 2, bias=False)
    array = np.array(np.arange(6).reshape(2, 3), np.float32, order=order)
    array.setflags(write=False)
    set_parameters(model, [array])
    assert model.weight.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_too_few_arrays_are_refused_with_all_expected_names() -> None:
    with pytest.raises(ParametersError, match=r"the model has 2 arrays, weight, bias; got 1; start the server from"):
        set_parameters(nn.Linear(3, 2), [np.zeros((2, 3))])


def test_an_array_that_does_not_fit_is_named_and_nothing_is_changed() -> None:
    model = network()
    before = get_parameters(model)
    arrays = [array + 1 for array in before]
    arrays[-1] = np.zeros(1)  # would broadcast
    with pytest.raises(ParametersError, match=r"array 'out.bias': the model has shape \(3,\), got \(1,\)"):
        set_parameters(model, arrays)
    arrays[-1] = np.array(["a", "b", "c"])
    with pytest.raises(ParametersError, match=r"array 'out.bias': the model has dtype float64, got <U1"):
        set_parameters(model, arrays)
    for array, old in zip(get_parameters(model), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_a_state_entry_that_is_not_a_tensor_is_named() -> None:
    class WithExtra(nn.Linear):
        def get_extra_state(self) -> dict[str, int]:
            return {"calls": 3}

    with pytest.raises(ParametersError, match="array '_extra_state': dict in the state_dict; only tensors can be sent"):
        get_parameters(WithExtra(2, 2))


def test_the_loss_is_half_mu_times_the_squared_distance_of_all_parameters_together() -> None:
    model = nn.Linear(2, 1, bias=True)
    set_parameters(model, [np.zeros((1, 2)), np.array([1.0])])
    term = LocalTerm(model, mu=0.3)
    set_parameters(model, [np.array([[1.0, 2.0]]), np.array([4.0])])
    # 0.3/2 * ((1-0)^2 + (2-0)^2 + (4-1)^2) = 0.15 * 14 = 2.1
    assert float(term.loss().detach()) == pytest.approx(2.1)


def test_the_gradient_is_mu_times_the_distance_from_the_anchor() -> None:
    model = network()
    anchor = copy.deepcopy(model)
    term = LocalTerm(model, mu=MU)
    move(model)
    for w in model.parameters():
        w.grad = torch.ones_like(w)
    term.add_gradient()
    for w, w_t in zip(model.parameters(), anchor.parameters(), strict=True):
        np.testing.assert_allclose(w.grad.numpy(), 1 + MU * (w - w_t).detach().numpy(), rtol=0, atol=1e-12)


def test_the_gradient_equals_autograds_of_the_loss() -> None:
    model = network()
    anchor = copy.deepcopy(model)
    term = LocalTerm(model, mu=MU)
    move(model)
    other = copy.deepcopy(model)
    data_loss(model).backward()
    term.add_gradient()
    (data_loss(other) + half_mu_squared(other, anchor)).backward()
    for w, theirs in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(w.grad.numpy(), theirs.grad.numpy(), rtol=0, atol=1e-12)


def test_the_gradient_is_that_of_the_loss_by_finite_differences() -> None:
    model = network()
    term = LocalTerm(model, mu=MU)
    move(model)
    term.add_gradient()
    for w in model.parameters():
        flat = w.detach().view(-1)
        for i in range(flat.numel()):
            middle = flat[i].item()
            flat[i] = middle + 1e-5
            above = term.loss().item()
            flat[i] = middle - 1e-5
            below = term.loss().item()
            flat[i] = middle
            assert w.grad.view(-1)[i].item() == pytest.approx((above - below) / 2e-5, abs=1e-6)


def test_autograd_can_differentiate_the_loss() -> None:
    model = network()
    term = LocalTerm(model, mu=MU)
    move(model)
    term.loss().backward()
    by_autograd = [w.grad for w in model.parameters()]
    for w in model.parameters():
        w.grad = None
    term.add_gradient()
    for w, theirs in zip(model.parameters(), by_autograd, strict=True):
        np.testing.assert_allclose(w.grad.numpy(), theirs.numpy(), rtol=0, atol=1e-12)


OPTIMIZERS: dict[str, Callable[[list[torch.Tensor]], torch.optim.Optimizer]] = {
    "sgd": lambda w: torch.optim.SGD(w, lr=0.05),
    "momentum": lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda w: torch.optim.Adam(w, lr=0.05),
    "adamw without foreach": lambda w: torch.optim.AdamW(w, lr=0.05, foreach=False),
    "adagrad": lambda w: torch.optim.Adagrad(w, lr=0.05),
    "rmsprop": lambda w: torch.optim.RMSprop(w, lr=0.05),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_term_acts_in_every_step_of_any_optimizer(
    make: Callable[[list[torch.Tensor]], torch.optim.Optimizer],
) -> None:
    """In Flower's documentation the anchor is a generator, which is empty after the first step, where the term is 0."""
    model = network()
    anchor, other = copy.deepcopy(model), copy.deepcopy(model)
    ours, theirs = make(list(model.parameters())), make(list(other.parameters()))
    LocalTerm(model, mu=MU).attach(ours)
    for step in range(6):
        ours.zero_grad()
        data_loss(model).backward()
        ours.step()
        theirs.zero_grad()
        (data_loss(other) + half_mu_squared(other, anchor)).backward()
        theirs.step()
        for w, expected in zip(model.parameters(), other.parameters(), strict=True):
            np.testing.assert_allclose(
                w.detach().numpy(), expected.detach().numpy(), rtol=0, atol=1e-9, err_msg=f"step {step}"
            )


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
@pytest.mark.parametrize("as_keyword", [True, False])
def test_an_optimizer_that_calls_a_closure_gets_the_term_in_gradient_and_loss(
    line_search: str | None, as_keyword: bool
) -> None:
    model = network()
    anchor, other = copy.deepcopy(model), copy.deepcopy(model)
    ours = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=5, line_search_fn=line_search)
    theirs = torch.optim.LBFGS(other.parameters(), lr=0.1, max_iter=5, line_search_fn=line_search)
    LocalTerm(model, mu=MU).attach(ours)

    def closure() -> torch.Tensor:
        ours.zero_grad()
        loss = data_loss(model)
        loss.backward()
        return loss

    def closure_by_autograd() -> torch.Tensor:
        theirs.zero_grad()
        loss = data_loss(other) + half_mu_squared(other, anchor)
        loss.backward()
        return loss

    for _ in range(3):
        if as_keyword:
            ours.step(closure=closure)
        else:
            ours.step(closure)
        theirs.step(closure_by_autograd)
    for w, expected in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(w.detach().numpy(), expected.detach().numpy(), rtol=0, atol=1e-7)


def train(model: nn.Module, term: LocalTerm | None, steps: int = 20) -> nn.Module:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.5)
    if term is not None:
        term.attach(optimizer)
    for _ in range(steps):
        optimizer.zero_grad()
        data_loss(model).backward()
        optimizer.step()
    return model


def test_mu_zero_gives_the_weights_of_training_without_a_term_bit_for_bit() -> None:
    plain, proximal = network(), network()
    train(plain, None)
    train(proximal, LocalTerm.from_config({}, proximal))
    for a, b in zip(get_parameters(plain), get_parameters(proximal), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def test_mu_zero_makes_no_copy_and_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("mu = 0 must cost nothing")

    monkeypatch.setattr(torch.Tensor, "clone", refuse)
    monkeypatch.setattr(torch.optim.Optimizer, "register_step_pre_hook", refuse)
    term = LocalTerm(model, mu=0)
    term.attach(optimizer)
    term.add_gradient()
    assert all(w.grad is None for w in model.parameters())
    assert float(term.loss()) == 0


def test_the_distance_to_the_anchor_decreases_with_mu() -> None:
    distances = []
    for mu in (0.0, 0.1, 1.0, 10.0):
        model = network()
        distances.append(distance(train(model, LocalTerm(model, mu=mu)), network()))
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < distances[0] / 2


def test_the_term_of_the_next_round_replaces_the_previous_one() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    LocalTerm(model, mu=0.3).attach(optimizer)
    move(model)
    anchor = copy.deepcopy(model)
    LocalTerm(model, mu=0.5).attach(optimizer)
    move(model)
    before = copy.deepcopy(model)
    optimizer.step()  # no gradients except the term's
    for w, old, w_t in zip(model.parameters(), before.parameters(), anchor.parameters(), strict=True):
        np.testing.assert_allclose(w.detach().numpy(), (old - 0.5 * (old - w_t)).detach().numpy(), atol=1e-12)
    LocalTerm(model, mu=0.0).attach(optimizer)
    optimizer.zero_grad()
    before = copy.deepcopy(model)
    optimizer.step()
    assert distance(model, before) == 0


def test_frozen_parameters_are_ignored() -> None:
    model = network()
    model.hidden.weight.requires_grad_(False)
    term = LocalTerm(model, mu=MU)
    move(model)
    term.add_gradient()
    anchor, frozen = network(), model.hidden.weight
    assert frozen.grad is None
    # All but the frozen ones.
    expected = half_mu_squared(model, anchor) - MU / 2 * ((frozen - anchor.hidden.weight) ** 2).sum()
    assert float(term.loss().detach()) == pytest.approx(float(expected.detach()))


def test_a_parameter_unfrozen_during_a_round_is_pulled_to_its_anchor() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.weight.requires_grad_(False)
    term = LocalTerm(model, mu=1.0)
    model.weight.add_(2.0)
    model.weight.requires_grad_(True)
    term.add_gradient()
    assert model.weight.grad.item() == pytest.approx(2.0)


def test_a_parameter_without_a_gradient_gets_that_of_the_term() -> None:
    model = network()
    term = LocalTerm(model, mu=MU)
    move(model)
    model.out.bias.grad = torch.ones(3).double()
    term.add_gradient()
    shift = [(w - w_t).detach() for w, w_t in zip(model.parameters(), network().parameters(), strict=True)]
    assert torch.allclose(model.hidden.weight.grad, MU * shift[0])
    assert torch.allclose(model.out.bias.grad, 1 + MU * shift[-1])


def test_a_sparse_gradient_becomes_dense_as_in_autograd() -> None:
    model = nn.Embedding(4, 2, sparse=True)
    term = LocalTerm(model, mu=MU)
    start = model.weight.detach().clone()
    move(model)
    model(torch.tensor([1, 1])).sum().backward()
    term.add_gradient()
    expected = MU * (model.weight.detach() - start)
    expected[1] += 2
    assert torch.allclose(model.weight.grad, expected)


def test_each_of_two_optimizers_adds_the_term_to_its_own_parameters_once() -> None:
    model = network()
    anchor = copy.deepcopy(model)
    term = LocalTerm(model, mu=MU)
    move(model)
    before = copy.deepcopy(model)
    halves = [torch.optim.SGD(part.parameters(), lr=1.0) for part in (model.hidden, model.out)]
    for optimizer in halves:
        term.attach(optimizer)
    for optimizer in halves:
        optimizer.step()
    for part in ("hidden", "out"):
        w, old, w_t = (getattr(m, part).weight.detach() for m in (model, before, anchor))
        assert torch.allclose(w, old - MU * (old - w_t))
    assert model.norm.weight.grad is None


def test_parameters_of_another_model_in_the_optimizer_are_ignored() -> None:
    model, head = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD([*model.parameters(), *head.parameters()], lr=1.0)
    LocalTerm(model, mu=MU).attach(optimizer)
    before = head.weight.item()
    optimizer.step()
    assert head.weight.item() == before


def test_an_optimizer_without_the_models_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="the optimizer has none of the parameters of the term"):
        LocalTerm(network(), mu=MU).attach(torch.optim.SGD(network().parameters(), lr=0.1))


def test_an_object_that_is_not_an_optimizer_is_refused() -> None:
    with pytest.raises(TypeError, match=r"optimizer must be a torch.optim.Optimizer, got Sequential"):
        LocalTerm(network(), mu=MU).attach(network())  # type: ignore[arg-type]


@pytest.mark.parametrize("fused", [False, True])
def test_loss_scaling_does_not_change_the_strength_of_the_term(fused: bool) -> None:
    """A fused optimizer receives scaled gradients and unscales them itself."""
    results = []
    for scaling in (True, False):
        model = network().float()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, fused=fused)
        LocalTerm(model, mu=MU).attach(optimizer)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=scaling)
        for _ in range(3):
            optimizer.zero_grad()
            scaler.scale(nn.functional.cross_entropy(model(X.float()), Y)).backward()
            scaler.step(optimizer)
            scaler.update()
        results.append(get_parameters(model))
    for scaled, plain in zip(*results, strict=True):
        np.testing.assert_allclose(scaled, plain, rtol=0, atol=1e-6)


def test_a_step_that_the_scaler_skips_does_not_change_the_weights() -> None:
    model = network().float()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    term = LocalTerm(model, mu=MU)
    term.attach(optimizer)
    move(model)
    before = get_parameters(model)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(model.out.bias.sum() * float("inf")).backward()
    scaler.step(optimizer)
    for array, old in zip(get_parameters(model), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_autocast_leaves_the_term_in_the_dtype_of_the_parameters() -> None:
    model = network().float()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    LocalTerm(model, mu=MU).attach(optimizer)
    move(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        nn.functional.cross_entropy(model(X.float()), Y).backward()
        optimizer.step()
    assert {w.grad.dtype for w in model.parameters()} == {torch.float32}


def test_a_proximal_step_matches_the_papers_formula() -> None:
    model = network()
    term = LocalTerm(model, mu=MU)
    move(model)
    before = copy.deepcopy(model)
    term.step(0.4)
    strength = 0.4 * MU
    for w, old, w_t in zip(model.parameters(), before.parameters(), network().parameters(), strict=True):
        expected = (old + strength * w_t) / (1 + strength)
        np.testing.assert_allclose(w.detach().numpy(), expected.detach().numpy(), atol=1e-12)
    with pytest.raises(ValueError, match="learning_rate must be finite and >= 0"):
        term.step(-0.1)


def test_training_the_model_does_not_change_the_anchor() -> None:
    model = nn.Linear(1, 1, bias=False)
    term = LocalTerm(model, mu=2.0)
    with torch.no_grad():
        model.weight += 3
    assert float(term.loss().detach()) == pytest.approx(9)
