"""Report how much the features of the partitions differ: covariate shift, also called feature skew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from flskew._util.table_report import TableReport
from flskew._util.tables import Formats
from flskew._util.words import capital, named_partitions, one_line, plural
from flskew.assignment import Assignment
from flskew.skew._columns import Column, Kind, Table, read_columns, read_table, with_missing
from flskew.skew._differences import difference
from flskew.skew._distances import Places, total_variations, wasserstein_distances
from flskew.skew._seen import check_assignment
from flskew.skew._sums import deviation
from flskew.typing import Sizes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FeatureReport", "FeatureSkew", "Kind", "Table", "feature_report"]

_CELLS: Formats = {
    "kind": str,
    "distance": "{:.3f}".format,
    "chance": "{:.3f}".format,
    "most_different": lambda name: "" if name is None else str(name),
    "difference": str,
}
# Columns that remarks describe; others are only counted.
_MOST_DESCRIBED = 3
# A distance exceeds chance if it is this many standard deviations above its mean in a random split.
_DEVIATIONS = 4


@dataclass(frozen=True, eq=False)
class FeatureSkew:
    """How much one column differs between partitions.

    Attributes:
        name: The name of the column; "bmi is missing" for the missing values of the column "bmi".
        kind: "numeric", "date", "ordinal", "categorical" or "missing".
        distance: 0 if all partitions have the same distribution, to 1 if each has a single value.
        chance: The mean distance of random splits with the same sizes.
        exceeds_chance: Whether the distance is larger than in almost all random splits.
        most_different: The name of the partition that differs most, or its id if it has no name; None if none differs.
        difference: How it differs from all rows, such as "mean 25.9 against 28.1".
        distances: (num_partitions,) the distance of each partition, >= 0; their mean, weighted by the rows that have a
            value, is `distance`. Single partitions can exceed 1.
        chances: (num_partitions,) the mean distance of each partition in random splits.

    Examples:
        >>> from flskew import Assignment, skew
        >>> halves = Assignment.from_partitions({"Bern": [0, 1], "Lyon": [2, 3]})
        >>> (age,) = skew.feature_report({"age": [30, 34, 61, 65]}, halves).columns
        >>> age.name, age.kind, age.most_different, age.difference
        ('age', 'numeric', 'Bern', 'mean 32 against 48')
    """

    name: str
    kind: Kind
    distance: float
    chance: float
    exceeds_chance: bool
    most_different: int | str | None
    difference: str
    distances: NDArray[np.float64]
    chances: NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class FeatureReport(TableReport):
    """How much the columns of a table differ between partitions, most skewed first.

    `flskew.skew.feature_report` returns one. It prints as text, displays as a table in notebooks, and converts to
    Markdown, JSON and a DataFrame.

    Attributes:
        columns: One `FeatureSkew` per column, and one for the missing values of each column that has some.
        partitions: The name of each partition, or its id if it has no name.
        sizes: (num_partitions,) rows of each partition.
        remarks: Sentences about the columns that differ more than by chance.

    Examples:
        >>> from flskew import Assignment, skew
        >>> stores = Assignment.from_partitions(
        ...     {"Bern": range(60), "Lyon": range(60, 100)}
        ... )
        >>> table = {
        ...     "age": [*range(20, 80), *range(20, 60)],
        ...     "member": ["yes"] * 50 + ["no"] * 50,
        ... }
        >>> print(skew.feature_report(table, stores))
        2 partitions, 100 rows, 2 columns
        <BLANKLINE>
        column        kind distance chance most_different difference
        member categorical    0.400  0.039 Lyon           100% no against 50%
        age        numeric    0.261  0.096 Lyon           mean 39.5 against 45.5
        <BLANKLINE>
        member differs most: Lyon has 100% no against 50%.
    """

    columns: tuple[FeatureSkew, ...]
    partitions: tuple[int, ...] | tuple[str, ...]
    sizes: Sizes
    remarks: tuple[str, ...]
    _cells: ClassVar[Formats] = _CELLS
    _left: ClassVar[tuple[str, ...]] = ("most_different", "difference")

    def to_json(self) -> str:
        """Return JSON: the remarks, and one object for every column, with the distance of each partition by name."""
        columns = [
            {"column": name, **row, "distances": distances}
            for (name, row), distances in zip(
                self.to_frame().to_dict(orient="index").items(), self.by_partition().to_dict().values(), strict=True
            )
        ]
        return json.dumps(
            {
                "num_partitions": len(self.sizes),
                "num_rows": int(self.sizes.sum()),
                "remarks": self.remarks,
                "columns": columns,
            },
            ensure_ascii=False,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per column of the table, most skewed first."""
        import pandas as pd

        index = pd.Index([one.name for one in self.columns], name="column")
        cells: dict[str, object] = {name: [getattr(one, name) for one in self.columns] for name in _CELLS}
        # With dtype object, because pandas would convert ids beside None to floats.
        cells["most_different"] = pd.Series(cells["most_different"], index=index, dtype=object)
        return pd.DataFrame(cells, index=index)

    def by_partition(self) -> pd.DataFrame:
        """Return the distance of each partition: one row per partition, one column per column of the table."""
        import pandas as pd

        named = isinstance(self.partitions[0], str) if self.partitions else False
        index = pd.Index(self.partitions, name="Partition" if named else "Partition ID")
        return pd.DataFrame({one.name: one.distances for one in self.columns}, index=index)

    def _title(self) -> str:
        counted = {"partition": len(self.sizes), "row": int(self.sizes.sum()), "column": len(self.columns)}
        return ", ".join(map(plural, counted.values(), counted))

    def _table(self) -> pd.DataFrame:
        # pandas prints the name of an index below the header, but the name of the columns in the header.
        return self.to_frame().rename_axis(index=None, columns="column")


def feature_report(frame: Table, assignment: Assignment) -> FeatureReport:
    """Measure how much each column of a table differs between partitions (covariate shift, feature skew).

    Use it when you have a table, and want to know which columns differ between clients.

    Numbers, dates and ordered categories are compared by the Wasserstein distance between a partition and all rows. It
    is divided by the mean difference of two random rows (Gini's mean difference), so it does not depend on the unit:
    Σ_k w_k W1(P_k, P) / E|X - X'|. Ordered categories count as 0, 1, 2, ... Text, booleans and other categories are
    compared by the total variation Σ_k w_k ½ Σ_c |p_k(c) - p(c)|. Both are 0 if all partitions have the same
    distribution. The weight w_k is the partition's share of the rows that have a value.

    If a column has missing values, they are compared as a separate column. Blanks around text are ignored, and text
    that consists of blanks only is missing. Integers are numbers: if they are codes, convert them first, e.g. with
    `.astype("category")`. Columns are compared one at a time, so differences that only show in several columns together
    go unnoticed. The time is proportional to N log N for each column, for any number of partitions.

    Args:
        frame: One row per row of the data set, in the same order: a DataFrame, a mapping from names to columns, an
            array of numbers, or anything that has `to_pandas`, such as a Hugging Face data set. The columns contain
            numbers, dates, text, booleans or pandas categories.
        assignment: The split; rows in no partition are ignored.

    Returns:
        The distance of each column, most skewed first, and what differs.

    Raises:
        TypeError: `frame` is not a table, a column has another type of values, or `assignment` is not an Assignment.
        ValueError: The number of rows is not that of the data set, a number is infinite, two columns have the same
            name, or no partition has rows.

    Examples:
        >>> from flskew import Assignment, skew
        >>> halves = Assignment.from_partitions(
        ...     {"Bern": range(50), "Lyon": range(50, 100)}
        ... )
        >>> report = skew.feature_report(
        ...     {"age": range(100), "weight": [60, 80, 70, 90] * 25}, halves
        ... )
        >>> report.to_frame()["distance"].round(2).to_dict()
        {'age': 0.75, 'weight': 0.02}
        >>> report.remarks
        ('age differs most: Bern has mean 24 against 49.',)
    """
    table = read_table(frame, check_assignment(assignment).num_rows)
    partitions = tuple(range(len(assignment))) if assignment.names is None else assignment.names
    all_rows = Places(assignment.sizes)
    columns = [
        _skew(one, places, partitions)
        for column in read_columns(table, assignment.rows)
        for one, places in _parts(column, all_rows)
    ]
    columns.sort(key=lambda one: one.chance - one.distance)
    return FeatureReport(tuple(columns), partitions, assignment.sizes, tuple(_remarks(columns)))


def _parts(column: Column, all_rows: Places) -> Iterator[tuple[Column, Places]]:
    """Yield a column, and its missing values as another if it has some."""
    lost = np.bincount(all_rows.owners, column.missing, len(all_rows.sizes)).astype(np.int64)
    for part in with_missing(column):
        yield part, Places(all_rows.sizes - lost) if part.missing.any() else all_rows


def _skew(column: Column, places: Places, partitions: tuple[int, ...] | tuple[str, ...]) -> FeatureSkew:
    if column.kind in ("categorical", "missing"):
        distances = total_variations(column.values, len(column.categories), places)
    else:
        distances = wasserstein_distances(column.values.astype(np.float64), places)
    weights = places.sizes / max(places.num_rows, 1)
    distance, chance = (float(weights @ values) for values in distances[:2])
    most, how = None, ""
    if distance > 0:
        most = int(by_difference(places.sizes, *distances[:2])[0])
        start = int(places.sizes[:most].sum())
        own = slice(start, start + int(places.sizes[most]))
        how = difference(column, own, float(distances.measured[most]) * distances.unit)
    return FeatureSkew(
        name=column.name,
        kind=column.kind,
        distance=distance,
        chance=chance,
        exceeds_chance=distance > chance + _DEVIATIONS * deviation(weights * distances.by_chance),
        most_different=None if most is None else partitions[most],
        difference=how,
        distances=distances.measured,
        chances=distances.by_chance,
    )


def by_difference(sizes: Sizes, distances: NDArray[np.float64], chances: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the partitions, most different first.

    The excess over chance is multiplied by the root of the size, as in the Kolmogorov-Smirnov test. Otherwise,
    partitions with a single row would nearly always come first.
    """
    surplus = np.where(sizes > 0, np.sqrt(sizes) * (distances - chances), -np.inf)
    return np.argsort(-surplus, kind="stable")


def _remarks(columns: Sequence[FeatureSkew]) -> Iterator[str]:
    """Yield one sentence for each of the most skewed columns, and how many there are."""
    skewed = [one for one in columns if one.exceeds_chance]
    for number, one in enumerate(skewed[:_MOST_DESCRIBED]):
        partition = capital(named_partitions([one.most_different]))
        most = " differs most" if number == 0 and len(columns) > 1 else ""
        yield f"{one_line(one.name)}{most}: {partition} has {one.difference}."
    if len(skewed) > _MOST_DESCRIBED:
        yield f"{len(skewed):,} of {len(columns):,} columns differ more than by chance."
    if not skewed:
        yield "Over all partitions together, no column differs more than by chance; a small partition still may."
