"""The section of docs/record.md that evaluates `skew.advise` on splits that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import sqrt
from statistics import mean, stdev
from typing import TypeAlias

from figures import table

from flskew.skew._evidence import LEVEL, evidence
from flskew.skew._record import ALONE, BASELINE, MeasuredSplit, Record, kept_record
from flskew.skew._student import quantile

Rule: TypeAlias = Callable[[Sequence[MeasuredSplit], MeasuredSplit], str | None]
"""From the other splits and the one to advise on to a method; None if it has no advice."""

INTRODUCTION = """
## How good is the advice?

[`skew.advise`][flskew.skew.advise] looks up strategies in this record. Here, it advises on each split of the record
without having seen it. The **regret** is how many points the recommended strategy is behind the best strategy on the
split. Some regret is unavoidable, because the best of many strategies owes something to luck. If the record has no
split near, FedAvg counts as the advice.

"Always the overall best" is the strategy with the largest mean gain on the other splits. The tables show means ± half
of the 95 % confidence interval over the splits (Student's t). These intervals are somewhat too narrow, because the
splits of a data set are not independent. The differences are paired, and below 0 if the advice is better.

### Without the split
"""

BY_DATA = """
### Without the data set

Splits of the same data set are alike in more than their skew. Here, the advice uses no split of the same data set, so
it is about new data, like yours:
"""

TRIED = """
### Rules tried

The table shows the mean regret of some rules that we compared. We chose among about forty combinations of radius,
weights and tests, with parts of the same figures, so our choice looks better than it is. On other splits, expect a
larger regret. Only a new version of the record, with new splits, can tell how much larger.
"""


def advised(others: Sequence[MeasuredSplit], split: MeasuredSplit) -> str | None:
    """What `skew.advise` says."""
    return evidence(others, split.position).best


def nearest(others: Sequence[MeasuredSplit], split: MeasuredSplit) -> str | None:
    """The same rule on the nearest split alone."""
    return evidence([min(others, key=lambda one: split.position.distance(one.position))], split.position).best


def largest_mean(others: Sequence[MeasuredSplit], split: MeasuredSplit) -> str | None:
    """The method with the largest mean gain on the near splits, significant or not."""
    found = evidence(others, split.position)
    means = {BASELINE: 0.0} | {method: gain.mean for method, gain in found.gains.items()}
    return max(means, key=lambda method: means[method]) if found.near else None


def largest_near(others: Sequence[MeasuredSplit], split: MeasuredSplit) -> str | None:
    """Of the methods that are better than FedAvg, the one with the largest gain on the near splits."""
    found = evidence(others, split.position)
    return None if not found.near else found.alike[0] if found.alike else BASELINE


def overall_best(others: Sequence[MeasuredSplit], split: MeasuredSplit) -> str:
    """The method with the largest mean gain on all other splits on which it was measured."""
    means = {BASELINE: 0.0}
    for method in split.gains:
        gains = [float(one.gains[method].mean()) for one in others if method in one.gains]
        if gains and method != ALONE:
            means[method] = mean(gains)
    return max(means, key=lambda method: means[method])


def equally(others: Sequence[MeasuredSplit], split: MeasuredSplit) -> str | None:
    """The same rule, with all near splits counting the same."""
    return evidence(others, split.position, equal=True).best


def within(radius: float) -> Rule:
    """The same rule with another radius."""
    return lambda others, split: evidence(others, split.position, radius).best


def never_silent(others: Sequence[MeasuredSplit], split: MeasuredSplit) -> str:
    """What `skew.advise` says or, if nothing is near, the overall best."""
    return advised(others, split) or overall_best(others, split)


ADVICE, FEDAVG, OVERALL = "`skew.advise`", "always FedAvg", "always the overall best"
RULES: Mapping[str, Rule] = {ADVICE: advised, FEDAVG: lambda others, split: BASELINE, OVERALL: overall_best}
OTHERS: Mapping[str, Rule] = {
    "the overall best where nothing is near": never_silent,
    "the largest gain on the near splits, if significant": largest_near,
    "the largest gain on the near splits, significant or not": largest_mean,
    "the nearest split alone": nearest,
    "all near splits count the same": equally,
    "less than 0.2 is near": within(0.2),
    "less than 0.4 is near": within(0.4),
}


@dataclass(frozen=True)
class Outcome:
    """What a rule says about a split that it has not seen.

    Attributes:
        split: The split.
        method: The method; None if the rule has no advice.
        gain: Its mean gain over FedAvg on the split, in points; without advice, that of FedAvg.
        regret: How much less that is than the largest mean gain on the split.
    """

    split: MeasuredSplit
    method: str | None
    gain: float
    regret: float


def outcomes(record: Record, rule: Rule, *, by_data: bool) -> list[Outcome]:
    """Apply a rule to each split, without it or without all splits of its data set."""
    found = []
    for split in record.splits:
        gains = {BASELINE: 0.0} | {name: float(values.mean()) for name, values in split.gains.items() if name != ALONE}
        others = [
            # What was not measured on the split can be neither right nor wrong.
            replace(one, gains={name: values for name, values in one.gains.items() if name in split.gains})
            for one in record.splits
            if (one.data != split.data if by_data else one is not split)
        ]
        method = rule(others, split) if others else None
        gain = gains[method or BASELINE]
        found.append(Outcome(split, method, gain, max(gains.values()) - gain))
    return found


@cache
def section(record: Record | None = None) -> str:
    """Return the section as Markdown: by default, for the record that comes with the package."""
    record = record or kept_record()
    without_split = {name: outcomes(record, rule, by_data=False) for name, rule in (RULES | OTHERS).items()}
    without_data = {name: outcomes(record, rule, by_data=True) for name, rule in (RULES | OTHERS).items()}
    parts = [
        INTRODUCTION, _by_kind(without_split), _in_words(without_split),
        BY_DATA, _by_kind(without_data), _in_words(without_data),
        TRIED, _tried(without_split, without_data),
    ]  # fmt: skip
    return "\n\n".join(part.strip() for part in parts)


def _by_kind(found: Mapping[str, Sequence[Outcome]]) -> str:
    """Return a table of the regrets, and of how they differ, by kind of skew."""
    kinds = list(dict.fromkeys(one.split.kind for one in found[ADVICE]))
    rows = []
    for kind in ("", *kinds):
        chosen = {name: [one for one in found[name] if kind in ("", one.split.kind)] for name in RULES}
        regrets = {name: [one.regret for one in outcomes] for name, outcomes in chosen.items()}
        num_advised = sum(one.method is not None for one in chosen[ADVICE])
        rows.append(
            [
                {"": "all", "none": "IID"}.get(kind, kind),
                f"{num_advised} of {len(chosen[ADVICE])}",
                *(_interval(values) for values in regrets.values()),
                *(_interval(_less(regrets[ADVICE], regrets[name]), "+") for name in (FEDAVG, OVERALL)),
            ]
        )
    return table(["splits", "with advice", *RULES, "advice minus FedAvg", "advice minus overall best"], rows)


def _in_words(found: Mapping[str, Sequence[Outcome]]) -> str:
    """Say whether the advice is better than the two other rules, and how often it is right."""
    regrets = {name: [one.regret for one in outcomes] for name, outcomes in found.items()}
    other = [one for one in found[ADVICE] if one.method not in (None, BASELINE)]
    better = sum(one.gain > 0 for one in other)
    return (
        f"- Against {FEDAVG}: {_verdict(_less(regrets[ADVICE], regrets[FEDAVG]))}.\n"
        f"- Against {OVERALL}: {_verdict(_less(regrets[ADVICE], regrets[OVERALL]))}.\n"
        f"- On {len(other)} splits it recommends another strategy than FedAvg, which is better than FedAvg on {better} "
        f"of them."
    )


def _verdict(differences: Sequence[float]) -> str:
    low, high = _ends(differences)
    if low <= 0 <= high:
        return f"no evidence of a difference ({_interval(differences, '+')} points)"
    return f"the advice is {'better' if high < 0 else 'worse'} ({_interval(differences, '+')} points)"


def _tried(*found: Mapping[str, Sequence[Outcome]]) -> str:
    names = [ADVICE, *OTHERS]
    rows = [[name, *(_interval([one.regret for one in each[name]]) for each in found)] for name in names]
    return table(["rule", "without the split", "without the data set"], rows)


def _less(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one - two for one, two in zip(ours, theirs, strict=True)]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the confidence interval of a mean, which is infinitely wide for a single value."""
    half = quantile(LEVEL, len(values) - 1) * stdev(values) / sqrt(len(values)) if len(values) > 1 else float("inf")
    return mean(values) - half, mean(values) + half


def _interval(values: Sequence[float], sign: str = "") -> str:
    """Format a mean and half of its confidence interval."""
    middle = f"{round(mean(values), 1) + 0.0:{sign}.1f}"  # + 0.0 makes -0.0 positive
    low, high = _ends(values)
    return middle if len(values) == 1 else f"{middle} ± {(high - low) / 2:.1f}"
