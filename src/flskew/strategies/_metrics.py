"""The weighted mean of metrics, over the clients that report them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from flwr.app import MetricRecord, RecordDict

from flskew.typing import MetricValue

__all__ = ["aggregate_metrics", "shared_keys", "weight_key"]

_logger = logging.getLogger("flwr")


def weight_key(content: RecordDict, weighted_by_key: str) -> str | None:
    """Return the name of the MetricRecord with a reply's weight: "metrics" if it has it, else the first that does."""
    holders = [key for key, record in content.metric_records.items() if weighted_by_key in record]
    return "metrics" if "metrics" in holders else next(iter(holders), None)


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
        >>> first = RecordDict({"metrics": MetricRecord({"num-examples": 3, "loss": 1.0})})
        >>> second = RecordDict({"metrics": MetricRecord({"num-examples": 1, "loss": 5.0})})
        >>> aggregate_metrics([first, second], "num-examples")  # (3*1 + 1*5) / 4
        {'loss': 2.0}
    """
    holders = [(content, weight_key(content, weighted_by_key)) for content in contents]
    records = [content.metric_records[key] for content, key in holders if key is not None]
    keys = dict.fromkeys(key for record in records for key in record if key != weighted_by_key)
    aggregated = MetricRecord()
    for key in keys:
        having = [record for record in records if key in record]
        if len(having) < len(records):
            _logger.warning("Metric %r is averaged over %d of %d replies", key, len(having), len(records))
        if _are_alike(having, key):
            weights = [float(record[weighted_by_key]) for record in having]  # type: ignore[arg-type]
            aggregated[key] = _mean([record[key] for record in having], weights)
        else:
            _logger.warning("Metric %r is left out: the replies have lists of different lengths", key)
    return aggregated


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
