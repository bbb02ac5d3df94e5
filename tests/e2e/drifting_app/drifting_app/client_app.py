"""A client that reports its rows of the round."""

from __future__ import annotations

from typing import Any

from flwr.app import Context

from flskew import Assignment, Schedule, client_app, partition_id

SCHEDULE = Schedule(
    {
        1: Assignment.from_partitions({"Bern": [0], "Lyon": [1, 2], "Graz": [3]}, num_rows=5),
        3: Assignment.from_partitions({"Bern": [0, 4], "Lyon": [2], "Graz": [1, 3]}),
    }
).away("Graz", until=2)


class Site:
    assignment = SCHEDULE

    def __init__(self, context: Context) -> None:
        self.number = partition_id(context)

    def fit(self, parameters: Any, config: Any) -> Any:
        rows = SCHEDULE.rows(self.number, config["server-round"])
        return [parameters[0] + rows.sum()], len(rows), {"rows": rows.tolist()}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        rows = SCHEDULE.rows(self.number, config["server-round"])
        return 0.0, len(rows), {"rows": rows.tolist()}


app = client_app(Site)
