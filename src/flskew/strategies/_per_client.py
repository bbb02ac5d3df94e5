"""One metric, client by client: which site is worst, how far from the mean, and whether the gap closes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from flskew._util.texts import listed
from flskew.typing import Phase

if TYPE_CHECKING:
    import pandas as pd

    from flskew.strategies.history import Reply, Round

__all__ = ["number", "replies_with", "spread", "table", "worst"]

_Client: TypeAlias = tuple[int, int]
"""(0, partition id) or, if that is unknown or shared by several nodes, (1, node id)."""


def number(key: str, reply: Reply) -> float:
    """Return a metric of a reply.

    Raises:
        TypeError: It is a list of numbers.
    """
    value = reply.metrics[key]
    if isinstance(value, list):
        raise TypeError(f"metric {key!r} is a list of {len(value)} numbers; use reply.metrics or to_frame")
    return value


def replies_with(entries: Sequence[Round], key: str, phase: Phase) -> Iterator[tuple[int, list[Reply]]]:
    """Yield each round and its replies that have a metric, leaving out rounds without such replies.

    Raises:
        LookupError: No reply has it; the error lists the available metrics.
    """
    of_phase = [entry for entry in entries if entry.phase == phase]
    found = [(entry.server_round, [reply for reply in entry.replies if key in reply.metrics]) for entry in of_phase]
    if not any(replies for _, replies in found):
        keys = sorted({name for entry in of_phase for reply in entry.replies for name in reply.metrics})
        raise LookupError(f"no accepted {phase} reply has the metric {key!r}; available are [{listed(keys)}]")
    return ((server_round, replies) for server_round, replies in found if replies)


def table(entries: Sequence[Round], key: str, phase: Phase) -> pd.DataFrame:
    """Return the metric with one row per round and one column per client."""
    return _tables(entries, key, phase)[0]


def worst(entries: Sequence[Round], key: str, phase: Phase, *, lower_is_better: bool) -> pd.DataFrame:
    """Return the latest number of each client, worst first, and how much worse it is than the mean of its round."""
    import pandas as pd

    values, weights = _tables(entries, key, phase)
    numbers, has_reply = values.to_numpy(), weights.notna().to_numpy()
    latest = len(has_reply) - 1 - has_reply[::-1].argmax(axis=0)
    value = numbers[latest, np.arange(numbers.shape[1])]
    gap = _worse(value, _finite(values).mean(axis=1).to_numpy()[latest], lower_is_better=lower_is_better)
    columns = {"server_round": values.index.to_numpy()[latest], "value": value, "gap": gap}
    order = np.argsort(np.where(np.isnan(value), -np.inf, value if not lower_is_better else -value), kind="stable")
    return pd.DataFrame(columns, index=values.columns).iloc[order]


def spread(entries: Sequence[Round], key: str, phase: Phase, *, lower_is_better: bool) -> pd.DataFrame:
    """Return one row per round with the distribution of a metric over the clients."""
    import pandas as pd

    values, weights = _tables(entries, key, phase)
    finite = _finite(values)
    weights = weights.where(finite.notna())
    mean = finite.mean(axis=1)
    low, q25, median, q75, high = (finite.quantile(share, axis=1) for share in (0, 0.25, 0.5, 0.75, 1))
    worst_value = high if lower_is_better else low
    # The first of the worst; None in a round without a finite number.
    is_worst = finite.eq(worst_value, axis=0).to_numpy()
    names = [values.columns[int(row.argmax())] if row.any() else None for row in is_worst]
    return pd.DataFrame(
        {
            "clients": finite.count(axis=1),
            "mean": mean,
            "weighted_mean": (finite * weights).sum(axis=1, min_count=1) / weights.sum(axis=1, min_count=1),
            "std": finite.std(axis=1, ddof=0),
            "min": low,
            "q25": q25,
            "median": median,
            "q75": q75,
            "max": high,
            "worst": pd.Series(names, index=values.index, dtype=object),
            "gap": _worse(worst_value, mean, lower_is_better=lower_is_better),
        }
    )


def _tables(entries: Sequence[Round], key: str, phase: Phase) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the metric and the weights of the replies, by round and client."""
    import pandas as pd

    by_round = dict(replies_with(entries, key, phase))
    shared = _shared_partitions(by_round.values())
    rows = {server_round: row for row, server_round in enumerate(by_round)}
    columns: dict[_Client, int] = {}
    named: dict[_Client, str] = {}
    cells: list[tuple[int, int, float, float]] = []
    for server_round, replies in by_round.items():
        for reply in replies:
            client = _client(reply, shared)
            column = columns.setdefault(client, len(columns))
            if reply.name is not None:
                named[client] = reply.name
            cells.append((rows[server_round], column, number(key, reply), reply.num_examples))
    values, weights = np.full((2, len(rows), len(columns)), np.nan)
    at_rows, at_columns, *parts = (np.array(part) for part in zip(*cells, strict=True))
    values[at_rows, at_columns], weights[at_rows, at_columns] = parts
    clients = sorted(columns)
    order = [columns[client] for client in clients]
    index = pd.Index(rows, name="server_round", dtype="int64")
    header = pd.Index(_labels(clients, named), name="client", dtype=object)
    return pd.DataFrame(values[:, order], index, header), pd.DataFrame(weights[:, order], index, header)


def _client(reply: Reply, shared: set[int]) -> _Client:
    is_known = reply.partition_id is not None and reply.partition_id not in shared
    return (0, reply.partition_id) if is_known else (1, reply.node_id)  # type: ignore[return-value]


def _shared_partitions(rounds: Iterable[list[Reply]]) -> set[int]:
    """Return the partitions that several nodes hold in one round."""
    shared: set[int] = set()
    for replies in rounds:
        counts = Counter(reply.partition_id for reply in replies if reply.partition_id is not None)
        shared.update(partition_id for partition_id, count in counts.items() if count > 1)
    return shared


def _labels(clients: list[_Client], named: dict[_Client, str]) -> list[Hashable]:
    """Return a different label for each client."""
    counts = Counter(named.values())
    # Without names, numbers are labels unless a partition and a node could share one.
    is_mixed = len({kind for kind, _ in clients}) > 1
    labels: list[Hashable] = []
    for client in clients:
        kind, number = client
        where = f"{('partition', 'node')[kind]} {number}"
        if client not in named:
            labels.append(where if is_mixed else number)
        else:
            labels.append(named[client] if counts[named[client]] == 1 else f"{named[client]} ({where})")
    return labels


def _finite(values: pd.DataFrame) -> pd.DataFrame:
    return values.where(np.isfinite(values))


def _worse(value: pd.Series, mean: pd.Series, *, lower_is_better: bool) -> pd.Series:
    """Return by how much `value` is worse than `mean`."""
    return value - mean if lower_is_better else mean - value
