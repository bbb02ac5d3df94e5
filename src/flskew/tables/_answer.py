"""The client side: the answer of one site to one query."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import ConfigRecord, RecordDict

from flskew._util import checks
from flskew._util.texts import LONGEST_NAME, is_name, listed
from flskew.client import ClientError
from flskew.tables._columns import CATEGORICAL, EMPTY, NUMERIC, Numbers, Texts, check_names, read
from flskew.tables._keys import to_keys
from flskew.tables._wire import (
    ASK_KEY,
    COLUMNS_KEY,
    LARGEST_M2,
    LARGEST_MEAN,
    MOST_CATEGORIES,
    MOST_COLUMNS,
    RANKS,
    SUMMARY,
    TABLES_KEY,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["answer"]


def answer(
    frame: pd.DataFrame, content: RecordDict, *, min_count: int = 5, allow_quantiles: bool = False
) -> RecordDict:
    """Return this site's answer to a query of `collect`; call it in the method `query` of your client.

    The server learns the number of rows, and the name and kind of each column. Per column, it also learns how many
    values are missing, and either the mean and the variance of the numbers, or the name and the count of each category.
    A statistic of fewer than `min_count` rows is withheld: the server learns only for how many rows. So a unique text,
    such as a patient's id, never leaves the site. With `min_count=1`, nothing is withheld, and the statistics equal
    those of the pooled rows.

    Numbers and booleans are numeric; texts and pandas categoricals are categorical. Blanks around texts are removed,
    and a blank text is missing. Errors that reach the server quote the names of columns, but no values.

    Args:
        frame: The rows of this site, a pandas DataFrame. Pass only the columns that the server may learn about.
        content: The content of the query.
        min_count: Smallest number of rows that a category, a mean or a variance may describe, >= 1.
        allow_quantiles: Whether to also answer how many values are below a threshold. The server chooses the
            thresholds, so it can determine single values, such as the largest one.

    Returns:
        The content of the reply.

    Raises:
        ClientError: The query is not from `collect`, or quantiles are not allowed. A column is missing, or has values
            that are neither numbers, booleans nor texts. The name of a column is repeated, not text, or not printable.
        TypeError: `min_count` is not an integer, or `allow_quantiles` not a boolean.
        ValueError: `min_count` < 1.

    Examples:
        >>> import pandas as pd
        >>> from flskew import LocalGrid, client_app, tables
        >>> class Site:
        ...     frame = pd.DataFrame(
        ...         {"age": [20, 30, None], "smokes": ["no", " no", "yes"]}
        ...     )
        ...
        ...     def fit(self, parameters, config):
        ...         return parameters, len(self.frame), {}
        ...
        ...     def query(self, content):
        ...         return tables.answer(self.frame, content, min_count=1)
        >>> statistics = tables.collect(
        ...     LocalGrid(client_app(lambda context: Site()), 2)
        ... )
        >>> statistics["age"].mean, statistics["smokes"].categories
        (25.0, (('no', 4), ('yes', 2)))
    """
    min_count = checks.integer("min_count", min_count, minimum=1)
    allow_quantiles = checks.truth("allow_quantiles", allow_quantiles)
    try:
        names = check_names(frame)
    except (TypeError, ValueError) as error:
        raise ClientError(str(error)) from None
    query = content.get(TABLES_KEY)
    if not isinstance(query, ConfigRecord) or query.get(ASK_KEY) not in (SUMMARY, RANKS):
        raise ClientError("the query is not one of flskew.tables.collect; answer other queries yourself")
    asked = _asked(query, names)
    if query[ASK_KEY] == SUMMARY:
        record = _summary(frame[asked], min_count)
    elif allow_quantiles:
        record = _ranks(frame[asked], query, min_count)
    else:
        raise ClientError(
            "this site does not answer for quantiles, from which single values can be found; "
            "call answer(..., allow_quantiles=True) there, or collect without quantiles"
        )
    return RecordDict({TABLES_KEY: record})


def _asked(query: ConfigRecord, names: list[str]) -> list[str]:
    asked = query.get(COLUMNS_KEY, names)
    if not isinstance(asked, list) or not all(isinstance(name, str) for name in asked) or len(set(asked)) < len(asked):
        raise ClientError("the query must list the names of columns, each once")
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise ClientError(f"there is no column {unknown[0]!r}; the columns are {listed(names)}")
    if len(asked) > MOST_COLUMNS:
        raise ClientError(f"at most {MOST_COLUMNS:,} columns can be summarised, got {len(asked):,}; pass fewer")
    return [str(name) for name in asked]


def _column(column: pd.Series) -> tuple[str, Numbers | Texts]:
    try:
        return read(column)
    except ValueError as error:
        raise ClientError(str(error)) from None


def _summary(frame: pd.DataFrame, min_count: int) -> ConfigRecord:
    kinds, counts, missing, withheld, means, m2s = [], [], [], [], [], []
    record = ConfigRecord({"rows": len(frame)})
    for i, name in enumerate(frame.columns):
        kind, values = _column(frame[name])
        kept, held, mean, m2 = 0, 0, 0.0, 0.0
        if kind == CATEGORICAL:
            found = Counter(value for value in values if value is not None)
            named = {text: count for text, count in sorted(found.items()) if count >= min_count}
            _check_categories(name, named)
            kept, held = sum(named.values()), found.total() - sum(named.values())
            record[f"categories-{i}"], record[f"category-counts-{i}"] = list(named), list(named.values())
        elif kind == NUMERIC:
            numbers = _present(values)
            kept = len(numbers) if len(numbers) >= min_count else 0
            held = len(numbers) - kept
            mean, m2 = _moments(name, numbers) if kept else (0.0, 0.0)
        kinds.append(kind)
        counts.append(kept)
        withheld.append(held)
        missing.append(len(frame) - kept - held)
        means.append(mean)
        m2s.append(m2)
    record.update({"columns": list(frame.columns), "kinds": kinds, "counts": counts, "missing": missing})
    record.update({"withheld": withheld, "means": means, "m2": m2s})
    return record


def _present(values: Numbers | Texts) -> Numbers:
    numbers = values.astype(np.float64)
    return numbers[~np.isnan(numbers)]


def _moments(name: str, numbers: Numbers) -> tuple[float, float]:
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(numbers.mean())
        centred = numbers - mean
        m2 = max(float(centred @ centred) - float(centred.sum()) ** 2 / len(numbers), 0.0)
    if not (abs(mean) <= LARGEST_MEAN and m2 <= LARGEST_M2):  # NaN is not
        raise ClientError(f"column {name!r} has numbers too large to square; rescale it")
    return mean, m2 if len(numbers) > 1 else 0.0


def _check_categories(name: str, named: dict[str, int]) -> None:
    if len(named) > MOST_CATEGORIES:
        raise ClientError(
            f"column {name!r} has {len(named):,} categories, more than {MOST_CATEGORIES:,}; merge some, or leave it out"
        )
    if not all(map(is_name, named)):
        raise ClientError(
            f"column {name!r} has a category that is not printable or longer than {LONGEST_NAME} characters; rename it"
        )


def _ranks(frame: pd.DataFrame, query: ConfigRecord, min_count: int) -> ConfigRecord:
    record = ConfigRecord()
    for i, name in enumerate(frame.columns):
        thresholds = query.get(f"thresholds-{i}")
        if not isinstance(thresholds, list) or not all(isinstance(key, int) for key in thresholds):
            raise ClientError(f"the query has no thresholds for column {name!r}")
        kind, values = _column(frame[name])
        if kind not in (NUMERIC, EMPTY):
            raise ClientError(f"column {name!r} is {kind}; only numeric columns have quantiles")
        numbers = _present(values)
        keys = np.sort(to_keys(numbers)) if len(numbers) >= min_count else np.empty(0, np.int64)
        record[f"ranks-{i}"] = np.searchsorted(keys, np.array(thresholds, np.int64), side="right").tolist()
    return record
