"""Clients that fail: one in client_fn, one in fit, and one that tells the server something."""

from __future__ import annotations

from typing import Any

from flwr.app import Context, MetricRecord

from flskew import ClientError, client_app, partition_id


class Fails:
    def __init__(self, partition: int) -> None:
        self.partition = partition

    def fit(self, parameters: Any, config: Any) -> Any:
        if self.partition == 1:
            {}["Alice Smith"]
        raise ClientError("no rows from this month yet")


def client_fn(context: Context) -> Fails:
    context.state["secret"] = MetricRecord({"calls": 1})
    if partition_id(context) == 0:
        raise OSError("/data/alice-smith.csv: permission denied")
    return Fails(partition_id(context))


app = client_app(client_fn)
