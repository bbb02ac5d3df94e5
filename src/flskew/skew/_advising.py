"""Sentences of advice: what the record supports, how sure it is, and what it does not cover."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flskew._util.words import listed, plural
from flskew.skew._evidence import RADIUS, Evidence, gain_of
from flskew.skew._placing import Placed
from flskew.skew._record import ALONE, BASELINE, Record

__all__ = ["call_of", "points", "remarks", "verdict"]

_METRICS = {"accuracy": "accuracy", "auc": "AUC"}


def points(value: float, sign: str = "") -> str:
    """Format percentage points.

    Examples:
        >>> points(-0.04), points(1.26, "+")
        ('0.0', '+1.3')
    """
    return f"{round(value, 1) + 0.0:{sign}.1f}"  # + 0.0 makes -0.0 positive


def call_of(method: str, found: Evidence) -> str:
    """Return the call that makes a method as it was measured, with the data sets if it differs between them."""
    data: dict[str, list[str]] = {}
    for _, split in found.near:
        names = data.setdefault(split.calls[method], [])
        if split.data not in names:
            names.append(split.data)
    if len(data) == 1:
        return next(iter(data))
    return listed([f"{call} ({_listed(names)})" for call, names in data.items()], last="or")


def verdict(found: Evidence) -> str:
    """Return the advice, and on the next line what supports it."""
    if found.best is None:
        reason = "None of its splits has the same kinds of shift."
        if found.beyond:
            apart, nearest = found.beyond[0]
            reason = f"The nearest split, {nearest.title}, is {apart:.2f} away; less than {RADIUS} is near."
        return f"The record has nothing near this split, so there is no advice.\n{reason}"
    advice = f"Use {call_of(found.best, found)}."
    if found.best != BASELINE:
        return f"{advice}\n{_where(found)}, it gained {_gain(found.best, found)} over FedAvg."
    if not found.gains:
        return f"{advice}\n{_where(found)}, no other strategy was measured on all of them."
    most = max(found.gains, key=lambda method: found.gains[method].mean)
    if found.gains[most].mean <= 0:
        return f"{advice}\n{_where(found)}, no other strategy gained anything."
    return (
        f"{advice}\n{_where(found)}, {call_of(most, found)} gained most, {_gain(most, found)}, but corrected for the "
        f"{len(found.gains)} methods compared, there is no evidence of a difference between it and FedAvg."
    )


def remarks(split: Placed, found: Evidence, record: Record, shown: str | None) -> Iterator[str]:
    """Return the other sentences; `shown` is the method whose gains on the near splits are in the table."""
    if shown is not None:
        yield f"Gains: percentage points of {shown} over FedAvg ± half of the 95% interval."
    yield _measured(split, found)
    if found.best is not None and found.best != BASELINE:
        yield from _how_sure(found)
    yield from _alone(found)
    yield from _unlike(split, found)
    if not split.has_features:
        yield (
            "Features were not compared: if they differ between clients, pass features and labels, or the "
            "covariate_shift that skew.kinds measured."
        )
    data = {one.data for one in record.splits}
    yield (
        f"Version {record.version} of the record has {plural(len(record.splits), 'split')} of "
        f"{plural(len(data), 'data set')} ({_listed(data)}) and small models: compare with FedAvg on your own data."
    )


def _measured(split: Placed, found: Evidence) -> str:
    position = split.position
    known = [
        f"total variation {split.total_variation:.2f}{' (the labels look IID)' * split.looks_iid}",
        f"effective clients {position.effective_clients:.2f}",
        *([f"covariate shift {position.covariate_shift:.2f}"] if position.covariate_shift else []),
        *([f"concept shift {position.concept_shift:.2f}"] if position.concept_shift else []),
    ]
    clients = plural(position.num_clients, "client")
    numbers = sorted({one.position.num_clients for _, one in found.near or found.beyond} - {position.num_clients})
    others = f" Splits in the table have {listed(numbers, last='or')} clients." if numbers else ""
    return f"This split has {clients} and {plural(split.num_classes, 'class')}: {', '.join(known)}.{others}"


def _how_sure(found: Evidence) -> Iterator[str]:
    assert found.best is not None
    gain, count = found.gains[found.best], len(found.near)
    if gain.num_better < count:
        yield f"{found.best} was better than FedAvg on {gain.num_better} of the {count} near splits."
    others = [f"{method} ({points(found.gains[method].mean, '+')})" for method in found.alike if method != found.best]
    if others:
        yield (
            f"There is no evidence of a difference between {found.best} and {listed(others)}; over the whole record, "
            f"{found.best} gained most."
        )


def _alone(found: Evidence) -> Iterator[str]:
    """Whether clients that train alone do better, where they are tested on what they see."""
    own = [split for _, split in found.near if split.is_own and ALONE in split.gains]
    if found.best is None or not own:
        return
    ahead = gain_of(own, ALONE, over=found.best)
    if ahead.low > 0:
        interval = f"95% interval {points(ahead.low)} to {points(ahead.high)}"
        yield (
            f"On the {plural(len(own), 'near split')} where each client was tested on its own data, training alone was "
            f"{points(ahead.mean)} points better than {found.best} ({interval})."
        )


def _unlike(split: Placed, found: Evidence) -> Iterator[str]:
    """What differs from the near splits, although the distance does not show it."""
    near = [one for _, one in found.near]
    classes = sorted({one.num_classes for one in near} - {split.num_classes})
    if classes:
        numbers = listed(classes, last="or")
        yield (
            f"The near splits have {numbers} classes, this one has {split.num_classes}: label skew is "
            f"compared as a fraction of the largest total variation with that many classes."
        )
    sampled = [one.fraction_train for one in near if one.fraction_train < 1]
    if sampled:
        which = "all" if len(sampled) == len(near) else f"{len(sampled)} of the {len(near)}"
        yield f"On {which} near splits, {min(sampled):.0%} of the clients trained in each round."
    if split.unit == "label":
        yield "Rows of this split may have several labels; those of the record have one each."


def _where(found: Evidence) -> str:
    data, count = _listed({split.data for _, split in found.near}), len(found.near)
    if count == 1:
        return f"On the one split of the record near this one ({data})"
    return f"On the {count} splits of the record near this one ({data}), weighted by nearness"


def _gain(method: str, found: Evidence) -> str:
    gain, split = found.gains[method], found.near[0].split
    metrics = sorted({_METRICS[one.metric] for _, one in found.near})
    interval = f"95% interval {points(gain.low)} to {points(gain.high)}, {plural(len(split.gains[method]), 'seed')}"
    return f"{points(gain.mean)} points of {listed(metrics, last='or')} ({interval})"


def _listed(data: Iterable[str]) -> str:
    names = sorted(data, key=str.casefold)
    return listed(names)
