"""Write docs/reproductions.md, published and reproduced figures, from the JSON files of the reproductions.

python scripts/reproductions_page.py [PAGE]   PAGE defaults to docs/reproductions.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import pairwise, product
from pathlib import Path
from statistics import mean
from typing import Any

from figures import MADE_BY, made_with, percent, table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "reproductions" / "results"
STRAGGLERS = ROOT / "docs" / "assets" / "stragglers.json"

# Accuracies in percent: two published runs, and an earlier run in plain NumPy without flskew.
HOSPITALS_ALONE = ([65.7, 68.8, 68.5], [65.7, 68.4, 68.5])
HOSPITALS_TOGETHER = (([85.5, 86.4], 82.1), ([95.1, 95.2], 95.3), ([96.1, 95.9], 96.3))
HOSPITALS_FEDPROX = {0.01: 95.0, 0.1: 89.9}

# Best of 50 rounds.
NIID = {
    ("IID", "FedAvg"): 99.1,
    ("IID with noise 0.1", "FedAvg"): 98.9,
    ("Dirichlet 0.5", "FedAvg"): 98.9,
    ("Dirichlet 0.5", "FedProx"): 99.0,
    ("2 classes a client", "FedAvg"): 96.9,
    ("2 classes a client", "FedProx"): 96.9,
    ("3 classes a client", "FedAvg"): 97.9,
    ("3 classes a client", "FedProx"): 97.9,
}
NIID_ROUNDS = 50

FCUBE_NOTE = """
The linear layer reaches 99.5 % or more with every strategy, because the same plane separates the labels at every
client. Only the first round is worse than with IID clients: a client that sees two opposite corners cannot tell which
of the three features matters. No strategy reaches 99.5 % before SCAFFOLD does. FedNova equals FedAvg, because all
clients take the same number of steps.
"""

ROTATED_NOTE = """
The claim holds: if clients see images differently, FedBN is more accurate than FedAvg for every client and seed. If all
clients see images in the same way, the two are equal. Whether training together is worthwhile is another question:

- With different contrast and brightness, FedBN is at least as accurate as a client alone, on average. FedAvg fails for
  some clients; [Keep part of the model on each site](how-to/keep-arrays-local.md) explains why.
- With rotated digits, a client alone is more accurate than with FedAvg or FedBN: the shared convolutions have to learn
  four orientations. After {rounds} rounds, FedBN is still improving.
"""

SYNTHETIC_NOTE = """
The order is as claimed, with one exception:

- With mu = 1, the accuracy changes least from round to round, the training loss is lower than with mu = 0 for every
  seed, and stragglers hardly affect the two.
- With 90 % stragglers, dropping them costs accuracy for every seed. With 50 %, it hardly does.
- The exception: for one of the seeds, mu = 0 ends about a point more accurate than mu = 1, although its training loss
  is four times as high.
"""

STRAGGLER_METHODS = {
    "FedAvg, stragglers dropped": (83, 72, 64),
    "FedProx, mu = 0": (78, 77, 80),
    "FedProx, mu = 2": (85, 85, 85),
}

INTRODUCTION = """
# Reproductions

Check whether flskew reproduces published results: this page compares published figures with flskew's at the same
settings. All accuracies are percentages, on MNIST's 10,000 test images unless a section says otherwise. Each section
gives the command that produced its figures. The JSON files under `benchmarks/reproductions/results/` (for FedProx with
stragglers on MNIST, under `docs/assets/`) contain every round, with seeds, settings and versions; this page is
generated from them. "Equal" means at most 0.5 percentage points apart. For comparison, the standard error of an
accuracy on 10,000 images is 0.5 points at 66 % and 0.2 at 96 %.
"""

HOSPITALS = """
## Three hospitals

Source: DeepLearning.AI and Flower, "Intro to Federated Learning", 2024. The 60,000 images are assigned at random to
three hospitals, and then each hospital drops the images of three digits. The model is a 784-128-10 perceptron, trained
for three rounds of FedAvg with ten local epochs of SGD, learning rate 0.01, momentum 0.9 and batches of 64.

```bash
python benchmarks/reproductions/three_hospitals.py --data-dir FOLDER  # of MNIST
```

A hospital alone trains for as many epochs as in three rounds. Its accuracy on the three digits it has never seen is
{missing}; the published accuracy is 0.

There are no published figures for FedProx, so we compare with the plain NumPy run. In PyTorch, the proximal term is
part of the gradient. In scikit-learn, it is a separate step after each update, with the learning rate divided by 1 -
0.9, the total factor by which momentum amplifies a gradient.
"""

NIID_TEXT = """
## The non-IID benchmark

Source: Q. Li, Y. Diao, Q. Chen, B. He: "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022,
arXiv 2102.02079. The published figures come from Flower's reproduction, the baseline `niid_bench`; the figure with
noise comes from the paper. All ten clients train in every round. The model is a network with two convolutions, trained
for ten local epochs of SGD with learning rate 0.01, momentum 0.9, weight decay 1e-5 and batches of 64.

```bash
python benchmarks/reproductions/niid_bench.py --data-dir FOLDER  # takes hours
```

**{rounds}**

Each figure is the best accuracy of all rounds, as in the published results.
"""

NIID_NOTE = """
Differences: the published figures of FedProx are the best of four values of mu; ours use only mu = 0.01. Our figures
are from one seed, {seed}. The splits follow the same rules but use different random numbers, and with two or three
classes per client, the result depends on which client holds which classes. Another version of the baseline's README has
figures that differ by up to 0.3. FedProx with 2 classes per client still improves in the last round; we did not test
whether another mu gets closer to the published figure.

With noise, every client has the same mix of classes, but its images are noisier than those of the client before:
`assignment.with_shift(Noise(Ramp(0.1)))`. The paper says that client i of N adds noise with a variance of 0.1 · i / N.
In its code, the standard deviation is 0.1 · i / (N - 1), for i from 0 and pixels from 0 to 1. We follow the code. As in
the code, the accuracy is the mean over the test images as each client sees them. The code draws new noise in every
epoch; in flskew, noise is part of the data, so an image keeps its noise.
"""

ROTATED_TEXT = """
## FedBN on rotated digits

Source of the method: X. Li, M. Jiang, X. Zhang, M. Kamp, Q. Dou: "FedBN: Federated Learning on Non-IID Features via
Local Batch Normalization", ICLR 2021, arXiv 2102.07623. The paper claims that, if the features of clients differ,
clients that keep their normalisation layers are more accurate than with FedAvg. It combines five sets of digits, so its
figures cannot be compared with these. Here, each of four clients holds {rows} images of MNIST, and sees them in its own
way. The model has two convolutions and a dense layer, each with batch normalisation, and trains for {rounds} rounds of
one local epoch of SGD with learning rate {rate}, momentum {momentum} and batches of {batch}. FedBN is FedAvg with
`keep_local=["bn*"]`; a client alone trains for the same number of epochs.

```bash
python benchmarks/reproductions/rotated_mnist.py --data-dir FOLDER  # resumes
```

Each client is tested on its own quarter of the test images, as it sees them. The table shows the accuracy after the
last round, averaged over clients and {seeds} seeds. The last column shows the smallest and the largest difference
between FedBN and FedAvg for any client and seed.
"""

METHODS = ("alone", "FedAvg", "FedBN")
VIEWS = {
    "rotated": "turned by 0, 90, 180 and 270 degrees",
    "contrast and brightness": "as they are; half the contrast, brighter; a quarter of the contrast; inverted",
    "the same": "the same for all",
}

FCUBE_TEXT = """
## FCUBE

Source: the non-IID benchmark, as above; [`flskew.synthetic.fcube`](how-to/synthetic.md) draws the data. Four clients
hold 1,000 points each, in opposite corners of a cube. All train in each of {rounds} rounds, for ten local epochs of SGD
with learning rate 0.01, momentum 0.9, weight decay 1e-5 and batches of 64. The benchmark's code trains a single linear
layer on FCUBE. For other tables, it has a perceptron with hidden layers of 32, 16 and 8. We could not obtain the
paper's figures for FCUBE.

```bash
python benchmarks/reproductions/fcube.py  # resumes where it stopped
```

The table shows the accuracy on 1,000 test points with FCUBE's own split and with an IID split: the mean of {seeds}
seeds, with the smallest and the largest value.
"""

SYNTHETIC_TEXT = """
## FedProx with stragglers on Synthetic(1, 1)

Source: the same paper, figure 1. [`flskew.synthetic.synthetic`](how-to/synthetic.md) draws the data: 30 clients, each
with its own linear model. Ten train in each of {rounds} rounds, for 20 local epochs of SGD with learning rate 0.01 and
batches of ten. The paper shows curves, not numbers, so we compare their order. The paper claims that convergence is
"significantly more stable and accurate" with FedProx than with FedAvg, which drops stragglers.

```bash
python benchmarks/reproductions/synthetic_stragglers.py  # resumes
```

The figures are means of the last ten rounds and of {seeds} seeds; each seed draws other data. The training loss is the
loss of the global model on the training rows of all clients. The accuracy is its accuracy on all their test rows.
"Steps" is the mean absolute change of the accuracy from one round to the next in the second half of the run. Without
stragglers, FedAvg and FedProx with mu = 0 are the same.
"""

STRAGGLER_TEXT = """
## FedProx with stragglers

Source: T. Li, A. K. Sahu, M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith: "Federated Optimization in Heterogeneous
Networks", MLSys 2020, arXiv 1812.06127. The published figures are read off the plots of Flower's reproduction. A
thousand clients hold two digits each, and ten train in each of {rounds} rounds. The model is logistic regression. In
each round, 0, 50 or 90 % of these run out of time. Our figures are means of the last ten rounds over {seeds}
seeds; [Stragglers](stragglers.md) explains where the figures differ, and why. Run the example `fedprox-stragglers`:

```bash
python examples/fedprox-stragglers/stragglers.py --data-dir FOLDER
```
"""

# In percentage points. On 10,000 images, the standard error is 0.5 at an accuracy of 66 %, and 0.2 at 96 %.
CLOSE = 0.5


def page(results: Path, stragglers: Path) -> str:
    """Return the page, with a section for each file that exists."""
    sections = [MADE_BY, INTRODUCTION]
    for path, section in (
        (results / "three_hospitals.json", three_hospitals),
        (results / "niid_bench.json", niid_bench),
        (results / "fcube.json", fcube),
        (results / "rotated_mnist.json", rotated_mnist),
        (stragglers, fedprox_stragglers),
        (results / "synthetic_stragglers.json", synthetic_stragglers),
    ):
        if path.exists():
            sections.append(section(json.loads(path.read_text(encoding="utf-8"))))
    return "\n\n".join(section.strip() for section in sections) + "\n"


def three_hospitals(content: dict[str, Any]) -> str:
    """Return the section."""
    runs = content["fedavg"]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    rows = []
    for hospital, (published, reference) in enumerate(zip(*HOSPITALS_ALONE, strict=True)):
        ours = [run["alone"][hospital] for run in runs]
        rows.append(_row(f"hospital {hospital + 1} alone", [published], f"{reference:.1f}", ours))
    for index, (published, reference) in enumerate(HOSPITALS_TOGETHER, start=1):
        ours = [run["federated"][index] for run in runs]
        rows.append(_row(f"together, round {index}", published, f"{reference:.1f}", ours))
    for form, where in (("gradient", "in the gradient"), ("step", "as a step")):
        for mu, reference in HOSPITALS_FEDPROX.items():
            ours = [run["federated"][3] for run in content["fedprox"] if (run["form"], run["mu"]) == (form, mu)]
            if ours:
                name = f"together, round 3, FedProx with mu = {mu} {where}"
                rows.append(_row(name, [], f"{reference:.1f}", ours, [reference]))
    missing = max(value for run in runs for value in run["alone_on_missing"])
    text = HOSPITALS.format(missing=f"at most {percent(missing)}" if missing else "0")
    header = ("", "published", "plain NumPy, one seed", f"flskew, seeds {seeds}", "difference")
    return f"{text.strip()}\n\n{table(header, rows)}\n\n{made_with(content['about'])}"


def niid_bench(content: dict[str, Any]) -> str:
    """Return the section."""
    runs = [run for run in content["runs"] if run["rounds"]]
    done = sorted({run["rounds"] for run in runs})
    if done == [NIID_ROUNDS]:
        rounds = f"All {NIID_ROUNDS} rounds are done."
    else:
        so_far = f"{done[0]} to {done[-1]}" if len(done) > 1 else f"{done[0]}"
        rounds = f"Only {so_far} of the {NIID_ROUNDS} rounds are done, so our figures may still improve."
    best = []
    for run in runs:
        published = NIID[run["split"], run["strategy"]]
        ours = max(run["accuracy"])
        word = _in_a_word([ours], [published])
        so_far = " so far" if word.endswith("lower") and run["rounds"] < NIID_ROUNDS else ""
        best.append(
            (
                f"{run['split']}, {run['strategy']}", f"{published}", percent(ours),
                f"{run['accuracy'].index(ours)} of {run['rounds']}", word + so_far,
            )
        )  # fmt: skip
    shown = [number for number in (1, 5, 10, 20, 30, 50) if number <= done[-1]]
    growth = [
        (
            f"{run['split']}, {run['strategy']}",
            *(percent(run["accuracy"][number]) if number <= run["rounds"] else "" for number in shown),
        )
        for run in runs
    ]
    text = NIID_TEXT.format(rounds=rounds)
    return "\n\n".join(
        [
            text.strip(),
            table(("", "published", "flskew", "best round", "difference"), best),
            "Accuracy after a given number of rounds:",
            table(("rounds", *map(str, shown)), growth),
            NIID_NOTE.strip().format(seed=content["settings"]["seed"]),
            *_made_with_each({f"{run['split']}, {run['strategy']}": run["about"] for run in runs}),
        ]
    )


def _made_with_each(about: dict[str, dict[str, Any]]) -> list[str]:
    """Return one line for the runs that were made together last, and one for those made before."""
    together: dict[str, list[str]] = {}
    for name, each in about.items():
        together.setdefault(made_with(each), []).append(name)
    if len(together) == 1:
        return list(together)
    rest = max(together, key=lambda line: len(together[line]))
    others = [f"{'; '.join(names)}: {line}" for line, names in together.items() if line != rest]
    return [*others, f"The others: {rest}"]


def fcube(content: dict[str, Any]) -> str:
    """Return the section."""
    found: dict[tuple[str, str, str], list[list[float]]] = {}
    for run in content["runs"]:
        found.setdefault((run["model"], run["strategy"], run["partition"]), []).append(run["accuracy"])
    rows = []
    for model, strategy in dict.fromkeys((model, strategy) for model, strategy, _ in found):
        each = [found.get((model, strategy, partition), []) for partition in ("FCUBE", "IID")]
        first = (_mean_and_range([accuracy[1] for accuracy in runs]) for runs in each)
        best = (_mean_and_range([max(accuracy) for accuracy in runs]) for runs in each)
        rows.append((f"{model}, {strategy}", *first, *best))
    seeds = len({run["seed"] for run in content["runs"]})
    text = FCUBE_TEXT.format(rounds=content["settings"]["rounds"], seeds=seeds)
    header = ("", "FCUBE, round 1", "IID, round 1", "FCUBE, best round", "IID, best round")
    return "\n\n".join([text.strip(), table(header, rows), FCUBE_NOTE.strip(), made_with(content["about"])])


def rotated_mnist(content: dict[str, Any]) -> str:
    """Return the section."""
    settings, runs = content["settings"], content["runs"]
    last = {(run["view"], run["method"], run["seed"]): [scores[-1] for scores in run["accuracy"]] for run in runs}
    # Of a run that was interrupted, only the seeds that are complete.
    seeds = [seed for seed in settings["seeds"] if all((*each, seed) in last for each in product(VIEWS, METHODS))]
    rows = []
    for view, words in VIEWS.items():
        each = {method: [last[view, method, seed] for seed in seeds] for method in METHODS}
        gains = [
            100 * (ours - theirs)
            for of_seed in zip(each["FedBN"], each["FedAvg"], strict=True)
            for ours, theirs in zip(*of_seed, strict=True)
        ]
        averages = (percent(mean(map(mean, scores))) for scores in each.values())
        rows.append((words, *averages, f"{min(gains):+.1f} to {max(gains):+.1f}"))
    text = ROTATED_TEXT.format(
        rows=f"{settings['rows_per_client']:,}",
        rounds=settings["rounds"],
        rate=settings["learning_rate"],
        momentum=settings["momentum"],
        batch=settings["batch_size"],
        seeds=len(seeds),
    )
    header = ("clients see the images", *METHODS, "FedBN - FedAvg")
    return "\n\n".join(
        [
            text.strip(),
            table(header, rows),
            ROTATED_NOTE.strip().format(rounds=settings["rounds"]),
            made_with(content["about"]),
        ]
    )


def synthetic_stragglers(content: dict[str, Any]) -> str:
    """Return the section."""
    runs = content["runs"]
    rows = []
    for fraction, method in dict.fromkeys((run["stragglers"], run["method"]) for run in runs):
        own = [run for run in runs if (run["stragglers"], run["method"]) == (fraction, method)]
        accuracy = [mean(run["accuracy"][-10:]) for run in own]
        steps = [mean(abs(after - before) for before, after in pairwise(_second_half(run["accuracy"]))) for run in own]
        rows.append(
            (
                f"{fraction:.0%} stragglers, {method}", f"{mean(mean(run['loss'][-10:]) for run in own):.2f}",
                percent(mean(accuracy)), f"{percent(min(accuracy))} to {percent(max(accuracy))}", percent(mean(steps)),
            )
        )  # fmt: skip
    text = SYNTHETIC_TEXT.format(rounds=content["settings"]["rounds"], seeds=len({run["seed"] for run in runs}))
    header = ("", "training loss", "accuracy", "range of seeds", "steps")
    return "\n\n".join([text.strip(), table(header, rows), SYNTHETIC_NOTE.strip(), made_with(content["about"])])


def _second_half(scores: list[float]) -> list[float]:
    return scores[len(scores) // 2 :]


def _mean_and_range(scores: list[float]) -> str:
    if not scores:
        return ""
    return f"{percent(mean(scores))} ({percent(min(scores))} to {percent(max(scores))})"


def fedprox_stragglers(content: dict[str, Any]) -> str:
    """Return the section."""
    fractions = sorted({run["stragglers"] for run in content["runs"]})
    seeds = {run["seed"] for run in content["runs"]}
    rows = []
    for method, published in STRAGGLER_METHODS.items():
        for fraction, figure in zip(fractions, published, strict=True):
            ours = [
                mean(run["accuracy"][-10:])
                for run in content["runs"]
                if (run["method"], run["stragglers"]) == (method, fraction)
            ]
            rows.append(
                (
                    f"{method}, {fraction:.0%} stragglers", f"{figure}", percent(mean(ours)),
                    f"{percent(min(ours))} to {percent(max(ours))}", _in_a_word(ours, [figure]),
                )
            )  # fmt: skip
    text = STRAGGLER_TEXT.format(rounds=content["config"]["num-server-rounds"], seeds=len(seeds))
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return (
        f"{text.strip()}\n\n{table(('', 'published', 'flskew', 'range of seeds', 'difference'), rows)}\n\n{versions}."
    )


def _row(
    name: str, published: list[float], reference: str, ours: list[float], compared: list[float] | None = None
) -> tuple[str, ...]:
    return (
        name,
        " / ".join(f"{figure:.1f}" for figure in published),
        reference,
        " / ".join(percent(figure) for figure in ours),
        _in_a_word(ours, compared or published),
    )


def _in_a_word(ours: Iterable[float], published: Iterable[float]) -> str:
    """Compare the mean of our fractions with the mean of the published percentages."""
    # Rounded as on the page, so that the reader can check the difference.
    apart = round(100 * mean(ours), 1) - mean(published)
    if abs(apart) <= CLOSE + 1e-9:
        return "equal"
    return f"{abs(apart):.1f} {'higher' if apart > 0 else 'lower'}"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "reproductions.md"
    target.write_text(page(RESULTS, STRAGGLERS), encoding="utf-8")
    print(f"wrote {target.name}")
