"""Measure the cost of the proximal term in a PyTorch training step, attached and as part of the loss.

    python benchmarks/proximal.py              # half a minute; needs torch: pip install 'flskew[torch]'

One step is forward, backward and SGD on a batch of 64 for a 784-128-10 perceptron. Timings alternate between steps
without the term, with the attached term, and with (mu/2)·||w - w_t||² added to the loss, so the ratios are robust to
noise. Checks that the last two reach the same weights. Writes a JSON file to --output.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from records import RESULTS, about, write

if TYPE_CHECKING:
    import torch
    from torch import nn

LAYERS = (784, 128, 10)
BATCH = 64
MU = 0.1
LEARNING_RATE = 0.01
MOMENTUM = 0.9


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60, help="how often to alternate between the three forms")
    parser.add_argument("--steps", type=int, default=100, help="training steps per timing")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if find_spec("torch") is None:
        sys.exit("this benchmark needs torch: pip install 'flskew[torch]'")

    record = measure(arguments.rounds, arguments.steps, arguments.threads)
    for name, value in record.items():
        print(f"{name}: {value:.3g}" if isinstance(value, float) else f"{name}: {value}")
    write(arguments.output / "proximal.json", {"about": about("torch", "numpy"), "records": [record]})


def measure(rounds: int, steps: int, threads: int) -> dict[str, object]:
    """Time the three forms, alternating; return the medians over the rounds and the quartiles of each ratio."""
    import torch

    torch.set_num_threads(threads)
    forms = {"plain": make_step("plain"), "term": make_step("term"), "autograd": make_step("autograd")}
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(rounds + 1):
        names = list(forms) if turn % 2 else list(forms)[::-1]
        for name in names:
            step, _ = forms[name]
            start = time.perf_counter()
            for _ in range(steps):
                step()
            if turn:  # the first turn warms up
                seconds[name].append((time.perf_counter() - start) / steps)
        if not turn:
            apart = largest_difference(forms["term"][1], forms["autograd"][1])
            if apart > 1e-5:
                sys.exit(f"after {steps} steps, the weights with the term and with autograd differ by {apart}")
    plain, term, autograd = (seconds[name] for name in ("plain", "term", "autograd"))
    adds = [t / p - 1 for p, t in zip(plain, term, strict=True)]
    autograd_adds = [a / p - 1 for p, a in zip(plain, autograd, strict=True)]
    shares = [ours / theirs for ours, theirs in zip(adds, autograd_adds, strict=True)]
    return {
        "layers": LAYERS, "batch": BATCH, "threads": threads, "rounds": rounds, "steps": steps,
        "plain_us": statistics.median(plain) * 1e6,
        "term_adds": statistics.median(adds), "term_adds_quartiles": quartiles(adds),
        "autograd_adds": statistics.median(autograd_adds), "autograd_adds_quartiles": quartiles(autograd_adds),
        "term_over_autograd": statistics.median(shares), "term_over_autograd_quartiles": quartiles(shares),
        "largest_difference": apart,
    }  # fmt: skip


def largest_difference(ours: nn.Module, theirs: nn.Module) -> float:
    """Return the largest absolute difference between corresponding weights."""
    return max((a - b).abs().max().item() for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def quartiles(values: list[float]) -> tuple[float, float]:
    """Return the first and third quartile."""
    first, _, third = statistics.quantiles(values, n=4)
    return round(first, 3), round(third, 3)


def make_step(form: str) -> tuple[Callable[[], None], nn.Module]:
    """Return a training step and its model; all forms start from the same weights and use the same batch."""
    import torch
    from torch import nn

    from flskew.client.torch import LocalTerm

    rng = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(*LAYERS[:2]), nn.ReLU(), nn.Linear(*LAYERS[1:]))
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.05 * torch.randn(weight.shape, generator=rng))
    images, labels = torch.rand(BATCH, LAYERS[0], generator=rng), torch.randint(LAYERS[-1], (BATCH,), generator=rng)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    if form == "term":
        LocalTerm(model, mu=MU).attach(optimizer)
    anchor = [weight.detach().clone() for weight in model.parameters()]

    def loss() -> torch.Tensor:
        entropy = nn.functional.cross_entropy(model(images), labels)
        if form != "autograd":
            return entropy
        distance = sum(((w - w_t) ** 2).sum() for w, w_t in zip(model.parameters(), anchor, strict=True))
        return entropy + MU / 2 * distance

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step, model


if __name__ == "__main__":
    main()
