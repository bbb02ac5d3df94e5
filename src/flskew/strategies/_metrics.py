"""The weighted mean of metrics, over the clients that report them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from flwr.app import MetricRecord, RecordDict

from flskew._util.texts import listed
from flskew.typing import MetricValue

__all__ = ["aggregate_metrics", "shared_keys", "weight_holder"]

_logger = logging.getLogger("flwr")


def weight_holder(content: RecordDict, weighted_by_key: str) -> tuple[str | None, MetricRecord]:
    """Return the key and the MetricRecord with a reply's weight: "metrics" if it has one, else the first that does.

    If none does, the key is None and the record is empty.
    """
    # Not `content.metric_records`, which keeps the reply in memory until the garbage collector runs.
    holders = {
        key: record for key, record in content.items() if isinstance(record, MetricRecord) and weighted_by_key in record
    }
    key = "metrics" if "metrics" in holders else next(iter(holders), None)
    return (None, MetricRecord()) if key is None else (key, holders[key])


def shared_keys(records: Sequence[MetricRecord]) -> list[str]:
    """Return the metrics that all records have and that can be averaged: numbers, or lists of one length."""
    first, *others = records
    shared = [key for key in first if all(key in record for record in others)]
    return [key for key in shared if _are_alike(records, key)]


def aggregate_metrics(contents: list[RecordDict], weighted_by_key: str) -> MetricRecord:
    """Return the weighted mean of each metric over the replies that have it.

    A metric that some replies lack is averaged over the others. A metric whose values have different lengths is left
    out. The log reports both. NaN stays NaN. If all replies have the same keys, the result equals Flower's
    `aggregate_metricrecords` bit for bit.

    Args:
        contents: Contents of accepted replies: each has a MetricRecord with a positive, finite weight.
        weighted_by_key: Key of the weight, which is not averaged.

    Examples:
        >>> from flwr.app import MetricRecord, RecordDict
        >>> first = RecordDict(
        ...     {"metrics": MetricRecord({"num-examples": 3, "loss": 1.0})}
        ... )
        >>> second = RecordDict(
        ...     {"metrics": MetricRecord({"num-examples": 1, "loss": 5.0})}
        ... )
        >>> aggregate_metrics([first, second], "num-examples")  # (3*1 + 1*5) / 4
        {'loss': 2.0}
    """
    held = (weight_holder(content, weighted_by_key) for content in contents)
    records = [record for key, record in held if key is not None]
    columns: dict[str, list[MetricValue]] = {}
    weights: dict[str, list[float]] = {}
    for record in records:
        weight = float(record[weighted_by_key])  # type: ignore[arg-type]
        for key, value in record.items():
            if key != weighted_by_key:
                columns.setdefault(key, []).append(value)
                weights.setdefault(key, []).append(weight)
    partial = {key: len(values) for key, values in columns.items() if len(values) < len(records)}
    uneven = [key for key, values in columns.items() if len({_length(value) for value in values}) > 1]
    if partial:
        shown = listed(partial.items(), show=lambda item: f"{item[0]!r} ({item[1]})")
        _logger.warning("\t> Metrics averaged over only some of the %d replies: %s", len(records), shown)
    if uneven:
        _logger.warning("\t> Metrics left out, as the replies have lists of different lengths: %s", listed(uneven))
    left_out = frozenset(uneven)
    return MetricRecord({key: _mean(values, weights[key]) for key, values in columns.items() if key not in left_out})


def _mean(values: Sequence[MetricValue], weights: Sequence[float]) -> MetricValue:
    total = sum(weights)
    factors = [weight / total for weight in weights]
    columns = [value if isinstance(value, list) else [value] for value in values]
    means: list[float] = [
        sum(number * factor for number, factor in zip(numbers, factors, strict=True))
        for numbers in zip(*columns, strict=True)
    ]
    return means if isinstance(values[0], list) else means[0]


def _are_alike(records: Sequence[MetricRecord], key: str) -> bool:
    """Return whether a metric that all records have is a number in all of them, or a list of one length."""
    return len({_length(record[key]) for record in records}) == 1


def _length(value: MetricValue) -> int | None:
    return len(value) if isinstance(value, list) else None
