"""The weighted mean of metrics, over the clients that report them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from flwr.app import MetricRecord, RecordDict

from flskew.strategies.history import MetricValue

__all__ = ["aggregate_metrics", "weight_record"]

_logger = logging.getLogger("flwr")


def weight_record(content: RecordDict, weighted_by_key: str) -> MetricRecord | None:
    """Return the record that holds a reply's weight: the one named "metrics" if it does, else the first that does."""
    records = {key: record for key, record in content.items() if isinstance(record, MetricRecord)}
    holders = [key for key, record in records.items() if weighted_by_key in record]
    if not holders:
        return None
    return records["metrics" if "metrics" in holders else holders[0]]


def aggregate_metrics(contents: list[RecordDict], weighted_by_key: str) -> MetricRecord:
    """Return the weighted mean of each metric over the replies that have it.

    A metric that some replies lack is averaged over the others, and one that cannot be averaged, since it is a list of
    another length or a number elsewhere, is left out; the log says so either way. NaN stays NaN: it is a
    client's own word. Where all replies have the same keys this is Flower's `aggregate_metricrecords`, bit for bit.

    Args:
        contents: Of replies that were checked: each has a MetricRecord with a positive, finite weight.
        weighted_by_key: The name of the weight, which is not itself averaged.

    Example:
        >>> from flwr.app import MetricRecord, RecordDict
        >>> first = RecordDict({"metrics": MetricRecord({"num-examples": 3, "loss": 1.0})})
        >>> second = RecordDict({"metrics": MetricRecord({"num-examples": 1, "loss": 5.0})})
        >>> aggregate_metrics([first, second], "num-examples")  # (3*1 + 1*5) / 4
        {'loss': 2.0}
    """
    records = [record for content in contents if (record := weight_record(content, weighted_by_key)) is not None]
    keys = dict.fromkeys(key for record in records for key in record if key != weighted_by_key)
    aggregated = MetricRecord()
    for key in keys:
        having = [record for record in records if key in record]
        if len(having) < len(records):
            _logger.warning("Metric %r is averaged over %d of %d replies", key, len(having), len(records))
        weights = [float(record[weighted_by_key]) for record in having]  # type: ignore[arg-type]
        mean = _mean([record[key] for record in having], weights)
        if mean is None:
            _logger.warning("Metric %r is left out: the replies have lists of different lengths", key)
        else:
            aggregated[key] = mean
    return aggregated


def _mean(values: Sequence[MetricValue], weights: Sequence[float]) -> MetricValue | None:
    total = sum(weights)
    factors = [weight / total for weight in weights]
    columns = [value if isinstance(value, list) else [value] for value in values]
    if len({(isinstance(value, list), len(column)) for value, column in zip(values, columns, strict=True)}) > 1:
        return None
    means: list[float] = [
        sum(number * factor for number, factor in zip(numbers, factors, strict=True))
        for numbers in zip(*columns, strict=True)
    ]
    return means if isinstance(values[0], list) else means[0]
