"""The weighted mean of metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flwr.app import MetricRecord, RecordDict

from flskew.strategies._metrics import aggregate_metrics


class CountedRecord(MetricRecord):
    """A record that counts how often it is read."""

    looks = 0

    def __getitem__(self, key: str) -> int | float | list[int] | list[float]:
        self.looks += 1
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.looks += 1
        return super().__contains__(key)

    def items(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        for key, value in super().items():
            self.looks += 1
            yield key, value


def looks_at(num_metrics: int) -> int:
    records = [CountedRecord({"num-examples": 1, **{str(i): float(i) for i in range(num_metrics)}}) for _ in "ab"]
    aggregated = aggregate_metrics([RecordDict({"metrics": record}) for record in records], "num-examples")
    assert aggregated == {str(i): float(i) for i in range(num_metrics)}
    return sum(record.looks for record in records)


def test_the_work_is_linear_in_the_number_of_metrics() -> None:
    """A client may well report one for each of a thousand classes."""
    assert looks_at(100) < 11 * looks_at(10)


def looks_at_clients(num_clients: int) -> int:
    records = [CountedRecord({"num-examples": 1, str(i): 1.0}) for i in range(num_clients)]
    assert (
        len(aggregate_metrics([RecordDict({"metrics": record}) for record in records], "num-examples")) == num_clients
    )
    return sum(record.looks for record in records)


def test_the_work_is_linear_in_the_number_of_clients_with_different_metrics() -> None:
    assert looks_at_clients(1000) < 11 * looks_at_clients(100)
