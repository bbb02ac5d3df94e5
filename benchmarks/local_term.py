"""Measure the cost of the local term in a PyTorch training step: attached, by strategy, and as part of the loss.

    python benchmarks/local_term.py            # a minute; needs torch: pip install 'flskew[torch]'

One step is forward, backward and SGD on a batch of 64 for a 784-128-10 perceptron. Timings alternate between steps
without the term, with the term that each strategy asks for, and with (mu/2)·||w - w_t||² added to the loss, so the
ratios are robust to noise. Checks that FedProx's term and the loss reach the same weights. Writes a JSON file to
--output.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from records import RESULTS, about, write

if TYPE_CHECKING:
    import torch
    from torch import nn

LAYERS = (784, 128, 10)
BATCH = 64
MU = 0.1
LEARNING_RATE = 0.01
MOMENTUM = 0.9
CONFIGS: dict[str, dict[str, Any]] = {
    "FedProx": {"proximal-mu": MU},
    "FedDyn": {"feddyn-alpha": MU},
    "SCAFFOLD": {"scaffold": True},
    "FedNova": {"count-steps": True},
}
"""What each strategy sends, in a round in which the client already has a state."""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60, help="how often to alternate between the forms")
    parser.add_argument("--steps", type=int, default=100, help="training steps per timing")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if find_spec("torch") is None:
        sys.exit("this benchmark needs torch: pip install 'flskew[torch]'")

    content = measure(arguments.rounds, arguments.steps, arguments.threads)
    for record in content["records"]:
        print(
            f"{record['form']:9} {record['adds']:+.1%} ({record['quartiles'][0]:+.1%} to {record['quartiles'][1]:+.1%})"
        )
    write(arguments.output / "local_term.json", {"about": about("torch", "numpy"), **content})


def measure(rounds: int, steps: int, threads: int) -> dict[str, Any]:
    """Time all forms, alternating; return what each adds to a plain step: the median and the quartiles."""
    import torch

    torch.set_num_threads(threads)
    forms = {name: make_step(name) for name in ("plain", *CONFIGS, "loss")}
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
            apart = largest_difference(forms["FedProx"][1], forms["loss"][1])
            if apart > 1e-5:
                sys.exit(f"after {steps} steps, the weights with the term and with autograd differ by {apart}")
    plain = seconds.pop("plain")
    added = {name: [t / p - 1 for p, t in zip(plain, times, strict=True)] for name, times in seconds.items()}
    return {
        "layers": LAYERS, "batch": BATCH, "threads": threads, "rounds": rounds, "steps": steps,
        "plain_us": statistics.median(plain) * 1e6,
        "records": [
            {"form": name, "adds": statistics.median(adds), "quartiles": quartiles(adds)}
            for name, adds in added.items()
        ],
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

    from flskew._arrays.records import record_from_parameters
    from flskew.client._exchange import Exchange, Request
    from flskew.client.torch import LocalTerm, get_parameters

    rng = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(*LAYERS[:2]), nn.ReLU(), nn.Linear(*LAYERS[1:]))
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.05 * torch.randn(weight.shape, generator=rng))
    images, labels = torch.rand(BATCH, LAYERS[0], generator=rng), torch.randint(LAYERS[-1], (BATCH,), generator=rng)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    if form in CONFIGS:
        asked = Exchange(record_from_parameters(get_parameters(model)), Request.read(CONFIGS[form]), 2)
        asked.state = {name: 1e-4 * array for name, array in zip(asked.arrays, get_parameters(model), strict=True)}
        with asked.open():
            LocalTerm.from_config(CONFIGS[form], model).attach(optimizer)
    anchor = [weight.detach().clone() for weight in model.parameters()]

    def loss() -> torch.Tensor:
        entropy = nn.functional.cross_entropy(model(images), labels)
        if form != "loss":
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
