"""Write docs/strategies-compared.md, how the strategies do under label skew, from benchmarks/results/strategies.json.

python scripts/strategies_page.py [PAGE]   PAGE defaults to docs/strategies-compared.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, median_high, stdev
from typing import Any, TypeAlias

from figures import MADE_BY, made_with, percent, table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "strategies.json"

Scores: TypeAlias = Mapping[int, Sequence[float]]
"""By seed, the accuracies after each round."""

# How many of the last rounds show whether the accuracy holds.
LATE = 5

# 97.5 % quantiles of Student's t distribution, by the number of seeds.
T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}

INTRODUCTION = """
# Strategies compared

Look up how much a strategy gains under label skew on all of MNIST, from the first round on. [The benchmark of
record](record.md) compares more strategies under every kind of skew, on five data sets with fewer rows. For a
recommendation, see [Which strategy?](which-strategy.md).

Every strategy trains the same model on the same splits of MNIST: a 784-128-10 perceptron, {rounds} rounds. In each
round, every client trains for one epoch of plain SGD, with learning rate {learning_rate} and equal batches of
{batch_size} rows or slightly more. There are ten clients, or three hospitals. All accuracies are percentages on the
10,000 test images.

```bash
python benchmarks/strategies.py --data-dir FOLDER   # the four files of MNIST; hours; resumes where it stopped
```

| split | each client holds |
|:--|:--|
| three hospitals | 7 of 10 digits: one lacks 1, 3 and 7, one 2, 5 and 8, one 4, 6 and 9 |
| 5 classes excluded | 5 of 10 digits, drawn at random |
| 2 classes, 3 classes | exactly that many digits |
| Dirichlet 0.05, 0.1, 0.3 | a share of each digit that follows a Dirichlet distribution with this alpha |
| sizes, Dirichlet 0.5 | all digits, but a share of the rows that follows a Dirichlet distribution |

There are {seeds} seeds. A seed determines the split, the initial weights and the order of the rows, so strategies are
compared seed by seed. An interval is a 95 % confidence interval for the mean of the seeds (Student's t).

"Class-aware" is `averaging=ClassAware()`. The strategies in `Checked(...)` are Flower's. The last rows are FedAvg with
the losses of `LabelPrior`. An empty cell was not measured.
"""

FINAL = """
## After the last round

Mean accuracy ± half of its interval.
"""

GAIN = """
## Compared with FedAvg

Mean difference from FedAvg with the same seed after the last round, in percentage points, ± half of its interval.
"""

# docs/which-strategy.md includes it.
GAIN_SNIPPET = "<!-- --8<-- [start:gain] -->\n{table}\n<!-- --8<-- [end:gain] -->"

FIRST = """
## After the first round

Mean accuracy ± half of its interval. SCAFFOLD has no control variates yet, so its first round is FedAvg's. FedDyn's
clients train as in FedProx with mu = alpha, and then the model moves twice as far as the mean of their updates.
"""

LOWEST = """
## Does it hold?

Accuracy can drop from one round to the next. The table has the lowest accuracy in the last {late}
rounds, mean over the seeds.
"""

SPEED = """
## Rounds and bytes

The first round whose accuracy is at least 90 % of what FedAvg reaches after the last round with the same seed; the
median of the seeds. The column `traffic` counts the bytes of all records that a client receives and sends per round.
"""

TUNING = """
## Hyper-parameters

Each strategy with a hyper-parameter has a grid of three values. We tried them on two splits, {splits}, with a
seed that is used for nothing else. The value with the best mean accuracy over the last three rounds is used on all
splits.
"""


def page(path: Path) -> str:
    """Return the page as Markdown."""
    content = json.loads(path.read_text(encoding="utf-8"))
    settings, runs = content["settings"], _runs(content["runs"])
    fedavg = runs["FedAvg"]
    others = {name: by_split for name, by_split in runs.items() if name != "FedAvg"}
    kilobytes = {
        name: f"{mean(run['bytes'] for run in content['runs'] if run['strategy'] == name) / 1000:,.0f} kB"
        for name in runs
    }
    sections = [
        MADE_BY,
        INTRODUCTION.format(**settings, seeds=max(map(len, fedavg.values()))),
        FINAL,
        _compare(runs, fedavg, lambda ours, _: _interval([scores[-1] for scores in ours.values()])),
        made_with(content["about"]),
        GAIN,
        GAIN_SNIPPET.format(table=_compare(others, fedavg, _gain)),
        FIRST,
        _compare(runs, fedavg, lambda ours, _: _interval([scores[0] for scores in ours.values()])),
        LOWEST.format(late=LATE),
        _compare(runs, fedavg, lambda ours, _: percent(mean(min(s[-LATE:]) for s in ours.values()))),
        SPEED,
        _compare(runs, fedavg, _speed, traffic=kilobytes),
        TUNING.format(splits=" and ".join(settings["tuning_splits"])),
        table(["", "grid, with accuracy", "chosen"], [_tuned(entry) for entry in content["tuning"]]),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _runs(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, dict[int, Sequence[float]]]]:
    """Return the accuracies by strategy, split and seed."""
    runs: dict[str, dict[str, dict[int, Sequence[float]]]] = {}
    for record in records:
        by_split = runs.setdefault(record["strategy"], {})
        by_split.setdefault(record["split"], {})[record["seed"]] = record["accuracy"]
    return runs


def _compare(
    runs: Mapping[str, Mapping[str, Scores]],
    fedavg: Mapping[str, Scores],
    cell: Callable[[Scores, Scores], str],
    **columns: Mapping[str, str],
) -> str:
    """Return a table of strategies and splits, whose cells compare a strategy with FedAvg, of the seeds of both."""
    rows = []
    for name, by_split in runs.items():
        cells = []
        for split, theirs in fedavg.items():
            ours = {seed: scores for seed, scores in by_split.get(split, {}).items() if seed in theirs}
            cells.append(cell(ours, theirs) if ours else "")
        rows.append([name, *cells, *(column[name] for column in columns.values())])
    return table(["", *fedavg, *columns], rows)


def _interval(values: Sequence[float], sign: str = "") -> str:
    """Format the mean and half of its 95 % confidence interval, in percent."""
    middle = f"{round(100 * mean(values), 1) + 0.0:{sign}.1f}"  # + 0.0 makes -0.0 positive
    return f"{middle} ± {percent(T[len(values)] * stdev(values) / sqrt(len(values)))}" if len(values) > 1 else middle


def _gain(ours: Scores, theirs: Scores) -> str:
    return _interval([scores[-1] - theirs[seed][-1] for seed, scores in ours.items()], "+")


def _speed(ours: Scores, theirs: Scores) -> str:
    """Return the median of the first rounds that reach 90 % of FedAvg's final accuracy."""
    goals = {seed: 0.9 * theirs[seed][-1] for seed in ours}
    last = max(map(len, ours.values()))
    rounds = median_high(
        next((place for place, score in enumerate(scores, 1) if score >= goals[seed]), last + 1)
        for seed, scores in ours.items()
    )
    return str(rounds) if rounds <= last else f"more than {last}"


def _tuned(entry: Mapping[str, Any]) -> list[str]:
    scores = ", ".join(f"{value}: {percent(score)}" for value, score in entry["scores"].items())
    return [f"{entry['strategy']}, {entry['parameter']}", scores, str(entry["chosen"])]


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "strategies-compared.md"
    target.write_text(page(RESULTS), encoding="utf-8")
    print(f"wrote {target.name}")
