"""Write docs/record.md, who gains on which splits, from the JSON files of benchmarks/record.

python scripts/record_page.py [PAGE]   PAGE defaults to docs/record.md
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import advice_page
import numpy as np
from figures import MADE_BY, made_with, percent, table
from record_comparison import BASELINES, REFERENCE, Comparison, Split, by_kind, gain_text, last, load

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "benchmarks" / "record"

# The target of rounds and bytes: this fraction of what FedAvg reaches in the end.
TARGET = 0.9
DISTANCES = {
    "prior shift": "labels", "quantity skew": "sizes", "covariate shift": "features", "concept shift": "concepts",
}  # fmt: skip

INTRODUCTION = """
# The benchmark of record

Look up which strategies gain on clients that differ like yours, by how much, and how sure that is. For a
recommendation, see [Which strategy?](which-strategy.md).

The record has {num_runs:,} runs: {num_methods} methods and two baselines on {num_splits} splits of {num_data} data
sets, with {num_seeds} seeds each. A seed determines the split, the initial weights, and the order in which each client
sees its rows, so methods are compared seed by seed. The splits never change: benchmarks/record/splits.json contains
their fingerprints, and their distances as measured by [`skew.kinds`][flskew.skew.kinds], so you can compare them with
your own.

- **alone**: each client trains by itself. **pooled**: one client has all rows. Both take as many steps as a client of
  the federation does on average.
- "Class-aware" is `averaging=ClassAware()`. FedAvgM, FedAdam, FedAdagrad, FedYogi, FedMedian and FedTrimmedAvg are
  Flower's, in `Checked(...)`. "FedAvg, masking" and similar names mean FedAvg with a loss of
  [`LabelPrior`][flskew.LabelPrior].
- The **score** of a run, in percent, is the accuracy on the whole test set after the last round. If clients see their
  data differently, no client sees the whole test set unchanged. For such splits, and for real sites, the score is the
  mean accuracy of the clients on their own test rows, as they see them. For the four clinics, the area under the ROC
  curve replaces the accuracy.
- **Intervals** are 95 % confidence intervals for the mean over the seeds (Student's t), for these splits and models.
- **Better** and **worse** are verdicts of paired t-tests at 5 %, corrected by Holm's procedure for the number of
  methods in the same list. The verdict of all other comparisons is **no evidence of a difference**. With five seeds,
  only clear differences show, so this verdict does not mean that methods are equal.

## Run it again

```bash
python benchmarks/record/run.py  # an hour; resumes
make pages                       # writes this page
```

The same versions with the same kernels of NumPy's BLAS give the same figures, bit for bit. A test runs three cells of
each data set again.
"""

# A gain over FedAvg: {method @ kind}. The tests check what the sentences claim.
SHOWS = """
## What it shows

Gains over FedAvg in percentage points, as in the tables below.

- **Label skew.** FedDyn ({FedDyn @ label skew}) and SCAFFOLD ({SCAFFOLD @ label skew}) gain most with ten clients.
  FedAdam ({FedAdam @ label skew}) and FedAvgM ({FedAvgM @ label skew}) gain nearly as much, without state on the
  clients and with half the traffic of SCAFFOLD. Where 10 of 100 clients train in a round, FedDyn gains most
  ({FedDyn @ label skew, 100 clients}), and SCAFFOLD gains more with class-aware averaging
  ({class-aware SCAFFOLD @ label skew, 100 clients}) than without ({SCAFFOLD @ label skew, 100 clients}).
- **Not all of that is skew.** FedDyn ({FedDyn @ IID}), FedAvgM ({FedAvgM @ IID}) and FedAdam ({FedAdam @ IID}) are
  better than FedAvg on IID clients, too, because they need fewer rounds. SCAFFOLD ({SCAFFOLD @ IID}) and
  class-aware FedAvg ({class-aware FedAvg @ IID}) are not, so what they gain elsewhere is due to skew.
- **Sizes alone** are no strong reason to replace FedAvg: no method gains a point. FedNova, which is made for unequal
  numbers of steps, diverged with some seeds.
- **Clients that see differently** gain with the same methods: FedDyn {FedDyn @ covariate shift}. If clients **mean
  different things** by a label, a median serves the majority (FedMedian {FedMedian @ concept shift}). But with every
  method, clients are far worse off than alone, because one model cannot be right for all. [Keep part of the model on
  each site](how-to/keep-arrays-local.md) instead.
- **Real sites.** There is no evidence that the stores or the clinics gain from training together, with any method.
  Compared with FedAvg, SCAFFOLD gains {SCAFFOLD @ real sites}, and FedDyn, FedAvgM and FedAdam gain nothing.
- **What to avoid** if clients lack most classes: medians, trimmed means, and losses that mask the missing classes.
- **FedProx** with a tuned mu is neither better nor worse than FedAvg on any split.
"""

SETTINGS = """
## Settings

All clients train by plain SGD with batches of equal size. With 100 clients, 10 of them train in each round. Otherwise,
there are ten clients or the real sites, and all of them train. The images are a fixed subset of each data set.
"""

NAMES = """
The number in the name of a split is its approximate distance. For labels, this is the total variation; for sizes, the
Gini coefficient; for features, the distance of the features; for concepts, the distance of the labels of equal
features.

| split | clients |
|:--|:--|
| labels, Dirichlet | have a share of each class that follows a Dirichlet distribution, so their sizes differ, too |
| labels, k classes | have exactly k classes |
| labels, k classes excluded | lack k classes, drawn at random |
| sizes | have shares of all rows that follow a Dirichlet distribution |
| labels and sizes | have such sizes, and classes in Dirichlet-distributed shares |
| features, rotation | see rotated images: the first client not at all, each other client further than the one before |
| features, noise | see images with noise that grows in the same way |
| features, contrast | see images that get closer to their negative in the same way |
| concepts, label noise | have wrong labels, whose fraction grows in the same way |
| concepts, other codes | use other labels, three of ten of them: 1 for 0 and 0 for 1, 3 for 2, and so on |
| five stores | are those of the [example](examples.md): which of two orange juices is bought |
| four clinics | are those of the [example](examples.md): whether a pregnancy ends before week 37 |
"""

RANKING = """
## Ranking by kind of skew

Mean rank among all {num_methods} methods, split by split and seed by seed: 1 is the best. The baselines are not ranked.
With 100 clients, Flower's strategies are left out: they sample clients with Python's global random generator, so no run
could be repeated.
"""

GAIN = """
## Gain over FedAvg

Mean difference in the score, in percentage points, ± half of its interval: the mean over the splits of a kind.
"""

VERDICTS = """
What is more than chance, best first:
"""

SPLITS = """
## Each split

The distances are means over the seeds. An IID split has some distance by chance, because clients are small. Next are
the scores of the baselines and of FedAvg, and the methods that gain most and least over FedAvg.
"""

LOSES = """
## Where each method loses

The table counts the splits on which each method is better or worse than FedAvg, and those on which it is worse than
training alone, on the clients' own test rows. The tests are corrected for the number of methods on the same split. The
last column shows the split on which the method has its largest mean loss against FedAvg.
"""

TOGETHER = """
## Alone or together?

The table shows the mean score of the clients on their own test rows, as they see them. A client alone only has to know
its own classes, so under strong label skew it is hard to beat. But its model is useless for the classes that it lacks.
"""

SPEED = """
## Rounds and bytes to a target

The target is {target:.0%} of FedAvg's accuracy after the last round, on the whole test set. The table shows the first
round that reaches it: the median over splits and seeds, and in brackets the percentage of runs that reach it. Kinds of
skew that are scored on the clients' own test rows are left out.
"""

TRAFFIC = """
This table shows all bytes sent until that round, as a multiple of FedAvg's bytes with the same split and seed: the
median of the runs that reach the target.
"""

WORST = """
## The worst client

The table shows the score of the worst client on its own test rows, as gain over FedAvg in percentage points, ± half of
its interval. This score is noisy, because small clients have few test rows.
"""

TUNING = """
## Hyper-parameters

Each hyper-parameter is the best of a small grid, by the mean score over the last {tuning_rounds} rounds. For most
splits, we tuned on two splits of the same data set, {tuning_splits}. For the splits among 100 clients and for real
sites, we tuned on these splits themselves. The seed for tuning, {tuning_seed}, is used for nothing else. If the best
value is at the end of a grid, a value outside the grid may be better still. All other settings are the same for all
methods, so a method that prefers another learning rate is at a disadvantage.
"""

LIMITS = """
## Limits

- Small models in NumPy on small data sets, {rounds} rounds, plain SGD. Deep networks, momentum and hundreds of rounds
  can change the order.
- Every client answers, and there are no stragglers, for which FedProx and FedNova were also made.
- Five seeds. The intervals include the luck of the split, except for the real sites. Their test rows are fixed, and
  with each seed, a site trains on another 80 % of its training rows.
- The columns of real sites are standardised with the statistics of all sites, even for "alone".
- With label noise, the score is the accuracy on the true labels. The class-aware methods use the numbers of true
  labels, which no client would know.
- With logistic regression, the last layer is the whole model, so class-aware FedAvg, FedDyn, SCAFFOLD and FedNova are
  nearly the same.
"""


def page(folder: Path) -> str:
    """Return the page as Markdown."""
    files, splits = load(folder)
    seeds = sorted({seed for split in splits for cells in split.cells.values() for seed in cells}, key=int)
    settings = {file["name"]: file["setting"] for file in files}
    images = next(setting for setting in settings.values() if len(setting["tuning_splits"]) > 1)
    methods = list(max((file["methods"] for file in files), key=len))
    of_kind = by_kind(splits, methods, seeds)
    sections = [
        MADE_BY,
        INTRODUCTION.format(
            num_runs=sum(len(cells) for split in splits for cells in split.cells.values()),
            num_methods=len(methods), num_splits=len(splits), num_seeds=len(seeds),
            num_data=len({setting["task"] for setting in settings.values()}),
        ),
        *_shown(of_kind),
        SETTINGS,
        _settings(files),
        made_with(files[0]["about"]),
        NAMES,
        RANKING.format(num_methods=len(methods)),
        _table(methods, of_kind, Comparison.ranks),
        GAIN,
        "<!-- --8<-- [start:gain] -->",
        _table(methods[1:], of_kind, Comparison.gains),
        "<!-- --8<-- [end:gain] -->",
        VERDICTS,
        _verdicts(of_kind),
        LOSES,
        _losses(splits, methods, seeds),
        TOGETHER,
        _alone(of_kind),
        SPEED.format(target=TARGET),
        *_speed(methods, [one for one in of_kind.values() if not one.splits[0].is_own]),
        WORST,
        _table(methods[1:], of_kind, lambda comparison: comparison.gains(Split.worst)),
        advice_page.section(),
        SPLITS,
        _each(splits, methods, seeds),
        TUNING.format(**{**images, "tuning_splits": " and ".join(f'"{name}"' for name in images["tuning_splits"])}),
        _tuned(files),
        LIMITS.format(rounds=_range(setting["num_rounds"] for setting in settings.values())),
    ]  # fmt: skip
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _table(
    methods: Iterable[str], of_kind: Mapping[str, Comparison], column: Callable[[Comparison], Mapping[str, str]]
) -> str:
    """Return a table of methods and kinds, without methods that have nothing to show."""
    columns = [column(comparison) for comparison in of_kind.values()]
    rows = [[method, *(cells.get(method, "") for cells in columns)] for method in methods]
    return table(["", *of_kind], [row for row in rows if any(row[1:])])


def _shown(of_kind: Mapping[str, Comparison]) -> Iterator[str]:
    """Yield what the record shows, if it has all kinds that the sentences are about."""
    named = re.findall(r"\{(.+?) @ (.+?)\}", SHOWS)
    if not {kind for _, kind in named} <= of_kind.keys():
        return
    gains = {kind: comparison.gains() for kind, comparison in of_kind.items()}
    yield re.sub(r"\{(.+?) @ (.+?)\}", lambda found: gains[found[2]][found[1]], SHOWS)


def _verdicts(of_kind: Mapping[str, Comparison]) -> str:
    return "\n".join(f"- **{kind}**: {comparison.in_words()}" for kind, comparison in of_kind.items())


def _settings(files: Iterable[Mapping[str, Any]]) -> str:
    rows = []
    for file in files:
        setting = file["setting"]
        model = f"{setting['hidden']} hidden units" if setting["hidden"] else "logistic regression"
        train, test = setting["num_rows"]
        rows.append(
            [
                file["name"], f"{train:,} / {test:,}", model, f"{setting['batch_size']}", f"{setting['learning_rate']}",
                f"{setting['local_epochs']}", f"{setting['num_rounds']}",
            ]
        )  # fmt: skip
    header = ["", "training / test rows", "model", "batch size", "learning rate", "epochs in a round", "rounds"]
    return table(header, rows)


def _tuned(files: Iterable[Mapping[str, Any]]) -> str:
    """Return the chosen values, and in brackets the grids."""
    files = list(files)
    entries = {
        method: entry for file in files for method, entry in file["methods"].items() if entry["parameter"]
    }  # fmt: skip
    rows = []
    for method, entry in entries.items():
        chosen = [file["methods"].get(method) for file in files]
        values = [f"{one['chosen']:g}" if one else "" for one in chosen]
        rows.append([f"{method}, {entry['parameter']}", ", ".join(f"{float(v):g}" for v in entry["scores"]), *values])
    return table(["", "grid", *(file["name"] for file in files)], rows)


def _each(splits: Iterable[Split], methods: Sequence[str], seeds: Sequence[str]) -> str:
    rows = []
    for split in splits:
        comparison = Comparison([split], methods, seeds)
        frame = comparison.frame().sort_values("gain", kind="stable")
        means = {name: fmean(split.score(name, seed) for seed in seeds) for name in (*BASELINES, REFERENCE)}
        distances = [fmean(split.severity[kind]) if kind in split.severity else np.nan for kind in DISTANCES]
        rows.append(
            [
                split.title, *("" if np.isnan(value) else f"{value:.2f}" for value in distances),
                *map(percent, means.values()),
                *(f"{frame.index[place]} {gain_text(frame.iloc[place])}" for place in (-1, 0)),
            ]
        )  # fmt: skip
    return table(["", *DISTANCES.values(), *means, "best", "worst"], rows)


def _losses(splits: Iterable[Split], methods: Sequence[str], seeds: Sequence[str]) -> str:
    found: dict[str, list[tuple[Split, Any, Any]]] = {}
    for split in splits:
        comparison = Comparison([split], methods, seeds)
        over_alone, over_reference = comparison.over_alone(), comparison.frame()
        for method in comparison.methods:
            row = over_reference.loc[method] if method != REFERENCE else None
            found.setdefault(method, []).append((split, row, over_alone.loc[method]))
    rows = []
    for method in (method for method in methods if method in found):
        verdicts = [row["verdict"] for _, row, _ in found[method] if row is not None]
        counts = [str(verdicts.count(word)) for word in ("better", "worse", "no evidence of a difference")]
        loss = ""
        if verdicts:
            where, most, _ = min(found[method], key=lambda one: one[1]["gain"])
            loss = f"{where.title}: {gain_text(most)}" if most["gain"] < 0 else "nowhere"
        alone = sum(row["verdict"] == "worse" for _, _, row in found[method])
        rows.append([method, *(counts if verdicts else [""] * 3), f"{alone} of {len(found[method])}", loss])
    return table(["", "better", "worse", "no evidence of a difference", "worse than alone", "largest mean loss"], rows)


def _alone(of_kind: Mapping[str, Comparison]) -> str:
    """Compare FedAvg and the best method with training alone, on the clients' own test rows."""
    rows = []
    for kind, comparison in of_kind.items():
        frame = comparison.over_alone()
        alone = fmean(split.own("alone", seed) for split in comparison.splits for seed in comparison.seeds)
        worse = [method for method, row in frame.iterrows() if row["verdict"] == "worse"]
        shown = [
            f"{gain_text(frame.loc[method])}, {frame.loc[method, 'verdict']}"
            for method in (REFERENCE, frame["gain"].idxmax())
        ]
        rows.append(
            [
                kind,
                percent(alone),
                shown[0],
                f"{frame['gain'].idxmax()}: {shown[1]}",
                _few(worse, len(frame)),
            ]
        )
    return table(["", "alone", "gain with FedAvg", "gain with the best method", "worse than alone"], rows)


def _few(names: Sequence[str], number: int) -> str:
    return f"all {number}" if len(names) == number > 1 else "; ".join(names) or "none"


def _speed(methods: Iterable[str], comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield a table of rounds, and one of bytes."""
    rounds: list[list[str]] = []
    traffic: list[list[str]] = []
    for method in methods:
        rounds.append([method])
        traffic.append([method])
        for comparison in comparisons:
            found = list(_runs_to_target(comparison, method)) if method in comparison.methods else []
            reached = [one for one in found if one]
            share = len(reached) / max(1, len(found))
            rounds[-1].append(f"{median(one[0] for one in reached):g} ({share:.0%})" if reached else "")
            traffic[-1].append(f"{median(one[1] for one in reached):.1f}" if reached else "")
    header = ["", *(comparison.splits[0].kind for comparison in comparisons)]
    yield table(header, rounds)
    yield TRAFFIC
    yield table(header, traffic[1:])


def _runs_to_target(comparison: Comparison, method: str) -> Iterator[tuple[int, float] | None]:
    """Yield, for each run, the first round that reaches the target and its relative bytes; None if none does."""
    for split in comparison.splits:
        for seed in comparison.seeds:
            theirs = split.cells[REFERENCE][seed]
            goal = TARGET * last(theirs["curve"])
            ours = split.cells[method][seed]
            first, reference = (_first(one["curve"], goal) for one in (ours, theirs))
            if first is None or not reference:
                yield None
                continue
            per_round = [one["bytes"] / (len(one["curve"]) - 1) for one in (ours, theirs)]
            yield first, first * per_round[0] / (reference * per_round[1])


def _first(curve: Sequence[float | None], goal: float) -> int | None:
    return next((place for place, value in enumerate(curve) if place and value is not None and value >= goal), None)


def _range(numbers: Iterable[int]) -> str:
    ordered = sorted(set(numbers))
    return f"{ordered[0]} to {ordered[-1]}" if len(ordered) > 1 else str(ordered[0])


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "record.md"
    target.write_text(page(RECORD), encoding="utf-8")
    print(f"wrote {target.name}")
