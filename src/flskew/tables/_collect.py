"""The server side: query every site, check the answers, and merge them."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from flskew._util import checks
from flskew._util.texts import is_name, one_line
from flskew._wire import FLSKEW_KEY, PARTITION_NAME_KEY
from flskew.strategies._reasons import grouped, read_reason
from flskew.strategies._sampling import available_nodes
from flskew.strategies.history import Failure
from flskew.tables._bisection import with_quantiles
from flskew.tables._columns import NUMERIC
from flskew.tables._merge import check_kinds, merge
from flskew.tables._replies import read_ranks, read_summary
from flskew.tables._statistics import TableStatistics
from flskew.tables._wire import ASK_KEY, COLUMNS_KEY, RANKS, SUMMARY, TABLES_KEY

__all__ = ["TableError", "collect"]

T = TypeVar("T")
Reader: TypeAlias = Callable[[int, RecordDict], T]


class TableError(RuntimeError):
    """The statistics cannot be collected, because a site did not answer, or its answer is wrong.

    The message lists each reason once, with the sites that share it.

    Examples:
        >>> from flskew import LocalGrid, client_app, tables
        >>> class OnlyFits:
        ...     def fit(self, parameters, config):
        ...         return parameters, 10, {}
        >>> try:
        ...     tables.collect(LocalGrid(client_app(lambda context: OnlyFits()), 2))
        ... except tables.TableError as error:
        ...     print([failure.node_id for failure in error.failures])
        [1000, 1001]

    Attributes:
        failures: The nodes, by name where it is known, with the reasons.
    """

    def __init__(self, failures: Sequence[Failure]) -> None:
        names = {failure.node_id: failure.name for failure in failures if failure.name is not None}
        lines = grouped(((failure.node_id, failure.reason) for failure in failures), names)
        super().__init__("\n  ".join(("no statistics without the answer of every site:", *lines)))
        self.failures = tuple(failures)


def collect(
    grid: Grid,
    columns: Iterable[str] | None = None,
    *,
    quantiles: Iterable[float] = (),
    min_nodes: int = 1,
    timeout: float = 3600.0,
) -> TableStatistics:
    """Return the statistics of the tables of all nodes, without collecting their rows.

    Sends Flower's query messages, which clients answer with `answer`. Counts, means and variances come from one query.
    Means and variances are merged without cancellation (Chan, Golub and LeVeque, "Algorithms for Computing the Sample
    Variance", The American Statistician 37(3), 1983), and equal those of the pooled rows to rounding, except for rows
    that a site withholds. Quantiles are found by bisection, with at most eight more queries: sites answer how many
    values are at most a threshold, and never send values. They equal `numpy.nanquantile` of the pooled rows to
    rounding.

    Every node must answer, because the statistics would otherwise depend on which nodes happened to be online.

    Args:
        grid: Flower's grid, or a `LocalGrid`.
        columns: Names of the columns; None for all. Every site must have the same ones.
        quantiles: Probabilities in [0, 1], such as [0.25, 0.5, 0.75], for every numeric column.
        min_nodes: Number of nodes to wait for, >= 1.
        timeout: Seconds to wait for the nodes, and for the answers to each query.

    Raises:
        TableError: A node does not answer; an answer is malformed, not finite or inconsistent; or sites disagree on
            the columns or their kinds. The message names node, site and column.
        TimeoutError: Too few nodes are connected.
        TypeError: `columns` is a string, or an argument has the wrong type.
        ValueError: A probability lies outside [0, 1], or a name is repeated.

    Examples:
        >>> import numpy as np, pandas as pd
        >>> from flskew import LocalGrid, client_app, partition_id, tables
        >>> class Site:
        ...     def __init__(self, context):
        ...         ages = np.arange(10.0) + 100 * partition_id(context)
        ...         self.frame = pd.DataFrame({"age": ages})
        ...
        ...     def fit(self, parameters, config):
        ...         return parameters, len(self.frame), {}
        ...
        ...     def query(self, content):
        ...         return tables.answer(self.frame, content, allow_quantiles=True)
        >>> age = tables.collect(LocalGrid(client_app(Site), 2), quantiles=[0.5])["age"]
        >>> age.count, age.mean, age.quantile(0.5)  # 0 to 9, and 100 to 109
        (20, 54.5, 54.5)
    """
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names, got {columns!r}; e.g. columns=[{columns!r}]")
    asked = None if columns is None else [checks.column_name("columns", name) for name in columns]
    if asked is not None and len(set(asked)) < len(asked):
        raise ValueError(f"columns must be unique, got {asked!r}")
    probabilities = sorted({_probability(value) for value in quantiles})
    seconds = checks.positive("timeout", timeout, "the default is 3600 seconds")
    min_nodes = checks.integer("min_nodes", min_nodes, minimum=1)
    node_ids = available_nodes(grid, min_nodes, seconds)
    query = ConfigRecord({ASK_KEY: SUMMARY})
    if asked is not None:
        query[COLUMNS_KEY] = asked
    site_names: dict[int, str] = {}

    def ask(record: ConfigRecord, read: Reader[T]) -> dict[int, T]:
        return _ask(grid, node_ids, record, read, seconds, site_names)

    sites = ask(query, lambda _, content: read_summary(content, asked))
    disagreements = check_kinds(sites)
    if disagreements:
        raise _error(disagreements, site_names)
    statistics = merge(list(sites.values()))
    numeric = [column.name for column in statistics.columns if column.kind == NUMERIC and column.count]
    if not (probabilities and numeric):
        return statistics

    def ranks(thresholds: list[list[int]]) -> list[list[int]]:
        record = ConfigRecord({ASK_KEY: RANKS, COLUMNS_KEY: numeric})
        for i, keys in enumerate(thresholds):
            record[f"thresholds-{i}"] = keys
        shape = [len(keys) for keys in thresholds]
        answers = ask(
            record,
            lambda node_id, content: read_ranks(content, shape, [sites[node_id][name].count for name in numeric]),
        )
        return [[sum(counts) for counts in zip(*column, strict=True)] for column in zip(*answers.values(), strict=True)]

    return with_quantiles(statistics, numeric, probabilities, ranks)


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"quantiles must be probabilities in [0, 1], got {value!r}")
    if not 0 <= float(value) <= 1:
        raise ValueError(f"quantiles must be probabilities in [0, 1], got {value!r}; 0.5 is the median")
    return float(value)


def _ask(
    grid: Grid,
    node_ids: Sequence[int],
    record: ConfigRecord,
    read: Reader[T],
    seconds: float,
    site_names: dict[int, str],
) -> dict[int, T]:
    """Return what `read` makes of each node's reply, in the order of `node_ids`; note the names of the sites."""
    messages = [Message(RecordDict({TABLES_KEY: record}), node_id, "query") for node_id in node_ids]
    replies = {reply.metadata.src_node_id: reply for reply in grid.send_and_receive(messages, timeout=seconds)}
    answers: dict[int, T] = {}
    reasons: dict[int, str] = {}
    for node_id in node_ids:
        reply = replies.get(node_id)
        if reply is None:
            reasons[node_id] = f"no reply within {seconds:g} seconds"
        elif reply.has_error():
            reasons[node_id] = read_reason(reply.error.reason or "an error without a reason")[0]
        else:
            content = reply.content
            said = content.get(FLSKEW_KEY)
            name = said.get(PARTITION_NAME_KEY) if isinstance(said, ConfigRecord) else None
            if is_name(name):
                site_names[node_id] = str(name)
            try:
                answers[node_id] = read(node_id, content)
            except ValueError as error:
                reasons[node_id] = str(error)
    if reasons:
        raise _error(reasons, site_names)
    return answers


def _error(reasons: Mapping[int, str], site_names: Mapping[int, str]) -> TableError:
    return TableError(
        [Failure(node_id, one_line(reason), name=site_names.get(node_id)) for node_id, reason in reasons.items()]
    )
