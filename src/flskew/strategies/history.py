"""History of a run, client by client."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from flskew._util import checks
from flskew._util.html import table
from flskew.strategies import _per_client
from flskew.strategies._reasons import grouped
from flskew.strategies._sites import UNKNOWN_SITE, names_of, sites_of
from flskew.strategies._summary import in_one_line, per_phase
from flskew.typing import MetricValue, Phase, Record

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Failure", "History", "Reply", "Round"]

_NO_RECORDS: Mapping[str, Record] = {}
"""The records of a reply without any: shared, since there may be a million replies."""

_COLUMNS = (
    "server_round", "phase", "node_id", "counted", "absent", "num_examples", "seconds", "round_seconds", "assignment",
    "reason", "update_norm", "partition_id", "name",
)  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """An accepted reply.

    Attributes:
        node_id: The sender.
        num_examples: Its weight, > 0.
        metrics: Everything it reported, including the weight.
        seconds: Time from the creation of the server's message to that of the reply, by the clocks of the two machines;
            at least 0, and NaN if the message is unknown.
        assignment: Fingerprint of the client's split, if it reports one.
        records: Additional records of the reply, by key, as the client sent them. Kept for the latest round only; see
            `History`.
        update_norm: Euclidean norm of the difference between all its parameters and those it was sent; infinite if it
            overflows float64, NaN for evaluations and if unknown.
        partition_id: Number of the client's partition, >= 0, if it reports one.
        name: Name of the client's partition, such as a hospital's, if it reports one.

    Examples:
        >>> from flskew import Reply
        >>> reply = Reply(
        ...     node_id=1000,
        ...     num_examples=20.0,
        ...     metrics={"num-examples": 20, "loss": 0.5},
        ...     seconds=1.5,
        ... )
        >>> reply.metrics["loss"]
        0.5
    """

    node_id: int
    num_examples: float
    metrics: Mapping[str, MetricValue]
    seconds: float
    assignment: str | None = None
    records: Mapping[str, Record] = field(default_factory=dict)
    update_norm: float = math.nan
    partition_id: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "update_norm"):
            if math.isnan(getattr(self, name)):  # NaN equals itself only as one object
                object.__setattr__(self, name, math.nan)

    def __eq__(self, other: object) -> bool:
        """Whether all attributes are equal, where NaN equals NaN."""
        if not isinstance(other, Reply):
            return NotImplemented
        # Tuples compare identity first; since Python 3.13, the comparison that a dataclass generates does not.
        return tuple(vars(self).values()) == tuple(vars(other).values())


@dataclass(frozen=True)
class Failure:
    """A node whose reply was dropped, or that sent none.

    Attributes:
        node_id: The node, or 1 (the server) if the lost message is unknown.
        reason: Why, in one line of at most 400 characters.
        traceback: The engine's text, such as a traceback, if it is longer than one line: its first and last 8 KiB.
            Kept for the latest round only; see `History`.
        partition_id: Number of the node's partition, if this or an earlier reply reported it.
        name: Name of the node's partition, if this or an earlier reply reported it.

    Examples:
        >>> from flskew import Failure
        >>> print(Failure(node_id=1000, reason="ValueError: no data"))
        node 1000: ValueError: no data
        >>> print(Failure(1001, "Node Unavailable", partition_id=1, name="Bern"))
        Bern (node 1001): Node Unavailable
    """

    node_id: int
    reason: str
    traceback: str = ""
    partition_id: int | None = None
    name: str | None = None

    def __str__(self) -> str:
        names = {} if self.name is None else {self.node_id: self.name}
        return grouped([(self.node_id, self.reason)], names)[0]


@dataclass(frozen=True, repr=False)
class Round:
    """The training or the evaluation of one round.

    Attributes:
        server_round: 1, 2, ...
        phase: "train" or "evaluate".
        replies: The accepted replies, in the order of their nodes.
        failures: The nodes whose replies were dropped or missing.
        seconds: Time from the creation of the messages until all replies were checked.
        absent: The nodes that replied that they take no part in this round; see `AbsentError`.

    Examples:
        >>> from flskew import Failure, Reply, Round
        >>> entry = Round(
        ...     1,
        ...     "train",
        ...     (Reply(1000, 20.0, {}, 1.5),),
        ...     (Failure(1001, "Node Unavailable"),),
        ...     2.0,
        ... )
        >>> len(entry.replies), len(entry.failures)
        (1, 1)
    """

    server_round: int
    phase: Phase
    replies: tuple[Reply, ...]
    failures: tuple[Failure, ...]
    seconds: float
    absent: tuple[int, ...] = ()

    def __repr__(self) -> str:
        """A summary; the replies are in `replies`."""
        absent = f", {len(self.absent)} absent" if self.absent else ""
        return (
            f"<Round {self.server_round}, {self.phase}: {len(self.replies)} replies, {len(self.failures)} "
            f"failures{absent}>"
        )


class History(list[Round]):
    """The rounds of one run: training and, unless disabled, evaluation.

    A history grows by about half a kilobyte for each reply or failure, plus the metrics. To save memory, the `records`
    of replies and the `traceback` of failures are emptied once the next round begins. If you need those of all rounds,
    read them in `should_stop` or `evaluate_fn`, or from the files of a checkpoint.

    Examples:
        >>> from flskew import Failure, History, Reply, Round
        >>> reply = Reply(1000, 20.0, {"num-examples": 20, "loss": 0.5}, 1.5)
        >>> history = History(
        ...     [Round(1, "train", (reply,), (Failure(1001, "Node Unavailable"),), 2.0)]
        ... )
        >>> history.to_frame()[["node_id", "counted", "metrics.loss"]]
           node_id  counted  metrics.loss
        0     1000     True           0.5
        1     1001    False           NaN
    """

    def __repr__(self) -> str:
        """A summary; the rounds are in the list, and every reply is in `to_frame()`."""
        return f"<History: {in_one_line(self)}>"

    def _repr_html_(self) -> str:
        return table(in_one_line(self), per_phase(self))

    def _add(self, entries: Iterable[Round]) -> None:
        """Append entries, and empty the records and the tracebacks of earlier rounds."""
        for entry in entries:
            # Entries before the latest round were emptied when it began.
            latest = self[-1].server_round if self else entry.server_round
            place = len(self)
            while latest != entry.server_round and place and self[place - 1].server_round == latest:
                place -= 1
                self[place] = _without_details(self[place])
            self.append(entry)

    def metric(self, key: str, phase: Phase = "evaluate") -> dict[int, list[float]]:
        """Return the numbers that the clients reported under `key`, by round, as `flskew.plots.accuracy` takes them.

        Args:
            key: The name of a metric; replies without it are left out.
            phase: "train" or "evaluate".

        Returns:
            One list, in the order of the nodes, for each round with an accepted reply that has this metric.

        Raises:
            LookupError: No reply has this metric; the error lists the available ones.
            TypeError: The metric is a list of numbers.

        Examples:
            >>> from flskew import History, Reply, Round
            >>> replies = [
            ...     Reply(1000 + node, 20.0, {"accuracy": 0.5 + node / 10}, 1.5)
            ...     for node in range(2)
            ... ]
            >>> History([Round(1, "evaluate", tuple(replies), (), 2.0)]).metric("accuracy")
            {1: [0.5, 0.6]}
        """
        by_round: dict[int, list[float]] = {}
        for server_round, replies in _per_client.replies_with(self, key, phase):
            by_round.setdefault(server_round, []).extend(_per_client.number(key, reply) for reply in replies)
        return by_round

    def clients(self, key: str, phase: Phase = "evaluate") -> pd.DataFrame:
        """Return one metric of each client: one row per round, one column per client.

        A client is recognised by its partition, so a SuperNode that was restarted with a new node id keeps its column.
        If the partition is unknown, the node id counts. A column is called by the name of the partition, or else its
        number, or else the node id.

        Args:
            key: The name of a metric.
            phase: "train" or "evaluate".

        Returns:
            The numbers, by "server_round" and "client"; NaN where a client has no accepted reply with the metric.

        Raises:
            LookupError: No reply has this metric; the error lists the available ones.
            TypeError: The metric is a list of numbers.

        Examples:
            >>> from flskew import History, Reply, Round
            >>> bern = Reply(
            ...     1000, 20.0, {"accuracy": 0.5}, 1.5, partition_id=0, name="Bern"
            ... )
            >>> lyon = Reply(
            ...     1001, 60.0, {"accuracy": 0.75}, 1.5, partition_id=1, name="Lyon"
            ... )
            >>> history = History([Round(1, "evaluate", (bern, lyon), (), 2.0)])
            >>> history.clients("accuracy").loc[1].to_dict()
            {'Bern': 0.5, 'Lyon': 0.75}
        """
        return _per_client.table(self, key, phase)

    def worst(
        self, key: str, phase: Phase = "evaluate", *, lower_is_better: bool = False, num_clients: int = 5
    ) -> pd.DataFrame:
        """Return the clients with the worst latest results, worst first.

        Args:
            key: The name of a metric.
            phase: "train" or "evaluate".
            lower_is_better: True for losses and errors, False for accuracies and scores.
            num_clients: Maximum number of rows, >= 1.

        Returns:
            One row per "client": the latest `server_round` in which it reported the metric, the `value`, and the `gap`,
            by which it is worse than the mean of that round's clients (negative if it is better). Clients whose latest
            value is NaN come first.

        Raises:
            LookupError: No reply has this metric; the error lists the available ones.
            TypeError: The metric is a list of numbers, or `num_clients` is not an integer.
            ValueError: `num_clients` is less than 1.

        Examples:
            >>> from flskew import History, Reply, Round
            >>> bern = Reply(
            ...     1000, 20.0, {"accuracy": 0.5}, 1.5, partition_id=0, name="Bern"
            ... )
            >>> lyon = Reply(
            ...     1001, 60.0, {"accuracy": 0.75}, 1.5, partition_id=1, name="Lyon"
            ... )
            >>> history = History([Round(1, "evaluate", (bern, lyon), (), 2.0)])
            >>> history.worst("accuracy", num_clients=1).to_dict("index")
            {'Bern': {'server_round': 1, 'value': 0.5, 'gap': 0.125}}
        """
        checks.integer("num_clients", num_clients, minimum=1)
        return _per_client.worst(self, key, phase, lower_is_better=lower_is_better).head(num_clients)

    def spread(self, key: str, phase: Phase = "evaluate", *, lower_is_better: bool = False) -> pd.DataFrame:
        """Return how a metric differs between the clients in each round.

        Args:
            key: The name of a metric.
            phase: "train" or "evaluate".
            lower_is_better: True for losses and errors, False for accuracies and scores.

        Returns:
            One row per "server_round". `clients` is the number of clients with a finite value. Over these, there are
            `mean`, `weighted_mean` (by number of rows), `std` (population), `min`, `q25`, `median`, `q75` and `max`.
            `worst` is the worst client, and `gap` says by how much it is worse than the mean.

        Raises:
            LookupError: No reply has this metric; the error lists the available ones.
            TypeError: The metric is a list of numbers.

        Examples:
            >>> from flskew import History, Reply, Round
            >>> bern = Reply(
            ...     1000, 20.0, {"accuracy": 0.5}, 1.5, partition_id=0, name="Bern"
            ... )
            >>> lyon = Reply(
            ...     1001, 60.0, {"accuracy": 0.75}, 1.5, partition_id=1, name="Lyon"
            ... )
            >>> history = History([Round(1, "evaluate", (bern, lyon), (), 2.0)])
            >>> columns = ["mean", "weighted_mean", "worst", "gap"]
            >>> history.spread("accuracy").loc[1, columns].to_dict()
            {'mean': 0.625, 'weighted_mean': 0.6875, 'worst': 'Bern', 'gap': 0.125}
        """
        return _per_client.spread(self, key, phase, lower_is_better=lower_is_better)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per node and phase of a round.

        Columns: server_round, phase, node_id, counted, absent, num_examples, seconds (the reply's), round_seconds,
        assignment, reason, update_norm, partition_id, name, and `metrics.<key>` for each metric that any reply has. A
        failure or an absent node has the partition_id and the name of the other replies of its node.
        """
        import pandas as pd

        rows = [{**row, **{f"metrics.{key}": value for key, value in metrics.items()}} for row, metrics in self._rows()]
        metrics = dict.fromkeys(key for row in rows for key in row if key not in _COLUMNS)
        return pd.DataFrame(rows, columns=[*_COLUMNS, *metrics]).astype({"partition_id": "Int64"})

    def to_jsonl(self, path: str | PathLike[str]) -> None:
        """Write the rows of `to_frame` into a file, each one JSON object per line, with the metrics nested.

        NaN and infinity, which JSON lacks, become null.

        Args:
            path: The file; an existing one is replaced.
        """
        lines = (
            json.dumps(_strict({**row, "metrics": dict(metrics)}), allow_nan=False) for row, metrics in self._rows()
        )
        Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def dropped(self) -> list[str]:
        """Return lines about the nodes with dropped replies: how many were dropped, and the latest reason."""
        asked: Counter[tuple[Phase, int]] = Counter()
        failures: dict[tuple[Phase, int], list[Failure]] = {}
        for entry in self:
            asked.update((entry.phase, reply.node_id) for reply in entry.replies)
            asked.update((entry.phase, failure.node_id) for failure in entry.failures)
            for failure in entry.failures:
                failures.setdefault((entry.phase, failure.node_id), []).append(failure)
        lines = (
            (node_id, f"{len(dropped)} of {asked[phase, node_id]} {phase} replies dropped; {dropped[-1].reason}")
            for (phase, node_id), dropped in failures.items()
        )
        return grouped(lines, names_of(sites_of(self)))

    def _rows(self) -> Iterator[tuple[dict[str, object], Mapping[str, MetricValue]]]:
        sites = sites_of(self)
        for entry in self:
            answers: list[Reply | Failure | int] = [*entry.replies, *entry.failures, *entry.absent]
            for answer in answers:
                node_id = answer if isinstance(answer, int) else answer.node_id
                reply = answer if isinstance(answer, Reply) else None
                known = sites.get(node_id, UNKNOWN_SITE) if reply is None else (reply.partition_id, reply.name)
                row: dict[str, object] = {
                    "server_round": entry.server_round,
                    "phase": entry.phase,
                    "node_id": node_id,
                    "counted": reply is not None,
                    "absent": isinstance(answer, int),
                    "num_examples": reply.num_examples if reply else math.nan,
                    "seconds": reply.seconds if reply else math.nan,
                    "round_seconds": entry.seconds,
                    "assignment": reply.assignment if reply else None,
                    "reason": answer.reason if isinstance(answer, Failure) else None,
                    "update_norm": reply.update_norm if reply else math.nan,
                    "partition_id": known[0],
                    "name": known[1],
                }
                yield row, reply.metrics if reply else {}


def _without_details(entry: Round) -> Round:
    """Return an entry whose replies have no additional records, and its failures no tracebacks."""
    return replace(
        entry,
        replies=tuple(replace(reply, records=_NO_RECORDS) if reply.records else reply for reply in entry.replies),
        failures=tuple(replace(failure, traceback="") if failure.traceback else failure for failure in entry.failures),
    )


def _strict(value: object) -> object:
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_strict(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
