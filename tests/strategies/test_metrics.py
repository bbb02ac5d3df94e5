"""The weighted mean of metrics."""

from __future__ import annotations

from flwr.app import MetricRecord, RecordDict

from flskew.strategies._metrics import aggregate_metrics


class CountedRecord(MetricRecord):
    """A record that counts how often it is looked into."""

    looks = 0

    def __getitem__(self, key: str) -> int | float | list[int] | list[float]:
        self.looks += 1
        return super().__getitem__(key)


def looks_at(num_metrics: int) -> int:
    records = [CountedRecord({"num-examples": 1, **{str(i): float(i) for i in range(num_metrics)}}) for _ in "ab"]
    aggregated = aggregate_metrics([RecordDict({"metrics": record}) for record in records], "num-examples")
    assert aggregated == {str(i): float(i) for i in range(num_metrics)}
    return sum(record.looks for record in records)


def test_ten_times_the_metrics_are_ten_times_the_work() -> None:
    """A client may well report one for each of a thousand classes."""
    assert looks_at(100) < 11 * looks_at(10)
