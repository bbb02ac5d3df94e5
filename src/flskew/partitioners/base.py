"""The base classes of partitioners, ours and yours."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from typing import Any

from datasets import Dataset

from flskew._split.building import deal_counts, deal_targets, with_labels
from flskew._split.labels import LabelColumn
from flskew._split.multi_label import AnyColumn, MultiLabelColumn
from flskew._split.multi_reading import read_any_column, read_any_labels
from flskew._split.streams import Streams
from flskew._util import checks
from flskew.assignment import Assignment
from flskew.partitioners._binding import BindingPartitioner
from flskew.typing import Counts, Labels, MultiLabels

__all__ = ["LabelPartitioner", "Partitioner"]


class Partitioner(BindingPartitioner):
    """A rule that splits rows by their labels, with its hyper-parameters and a seed.

    Call `assign` with labels, or give it to a `FederatedDataset` like any partitioner of Flower Datasets. To write your
    own scheme, subclass this and implement `split`; or subclass `LabelPartitioner` if the scheme only decides how many
    rows of each class each partition gets.

    A partitioner is a value: it prints as the call that makes it, and equals any other made by the same call. A
    subclass therefore stores every argument of its `__init__` in an attribute of the same name.

    Args:
        num_partitions: Number of partitions, at least 1.
        partition_by: The column with the labels in a data set; not used by `assign`. None if the scheme needs no
            labels.
        seed: Any integer. The same seed, arguments and labels give the same assignment in every process.

    Examples:
        >>> import numpy as np
        >>> from flskew import Assignment
        >>> from flskew.partitioners import Partitioner
        >>> class Contiguous(Partitioner):
        ...     def split(self, column, streams):
        ...         rows = np.arange(len(column))
        ...         parts = np.array_split(rows, self.num_partitions)
        ...         return Assignment.from_partitions(parts, column)
        >>> Contiguous(2)
        Contiguous(num_partitions=2, seed=42)
        >>> assignment = Contiguous(2).assign(["cat", "dog", "cat", "cat"])
        >>> [rows.tolist() for rows in assignment]
        [[0, 1], [2, 3]]
    """

    def __init__(self, num_partitions: int, partition_by: str | None = "label", seed: int = 42) -> None:
        super().__init__()
        self._num_partitions = checks.integer("num_partitions", num_partitions, minimum=1, maximum=checks.MOST_ROWS)
        self.partition_by = None if partition_by is None else _label_column(partition_by)
        self.seed = checks.seed(seed)

    @property
    def num_partitions(self) -> int:
        """Number of partitions."""
        return self._num_partitions

    def assign(self, column: Labels | MultiLabels, /, labels: Labels | MultiLabels | None = None) -> Assignment:
        """Split rows by their labels or by another column, without a data set.

        Args:
            column: One value per row to split by, usually the label: integers, strings or booleans or, with `num_bins`,
                any numbers or dates. It may be a list, a NumPy array, a pandas or Arrow column, or a column of a
                Hugging Face data set. If rows have several labels or none, pass a 0/1 matrix of rows by classes, or a
                list of labels for each row. It is not changed.
            labels: One label per row, or several, if `column` contains something else, such as ages (covariate shift).
                The split does not depend on them; they determine only the `classes` and `label_counts` of the
                assignment.

        Returns:
            The assignment; the same arguments always give the same one.

        Raises:
            TypeError: The values or the labels have an unsupported type, or several types.
            ValueError: A value or a label is missing (None, NaN), there is not one label per row, or the scheme cannot
                split these values.

        Examples:
            >>> from flskew import LabelExclusionPartitioner
            >>> age, sick = [20, 70, 30, 80, 40, 90], [0, 1, 1, 1, 0, 0]
            >>> young_and_old = LabelExclusionPartitioner([{1}, {0}], num_bins=2)
            >>> assignment = young_and_old.assign(age, labels=sick)
            >>> [sorted(rows.tolist()) for rows in assignment]
            [[0, 2, 4], [1, 3, 5]]
            >>> assignment.label_counts.tolist()
            [[2, 1], [1, 2]]
        """
        values = read_any_labels(column, name="labels" if labels is None else "column", **self._binning())
        shown = None if labels is None else read_any_labels(labels)
        if shown is not None and len(shown) != len(values):
            raise ValueError(f"labels must be one per row, got {len(shown)} for {len(values)} rows")
        self.check_num_rows(len(values))
        assignment = self._split_any(values, Streams(self.seed))
        return assignment if shown is None else Assignment._seal(with_labels(assignment._parts, shown))

    @abstractmethod
    def split(self, column: LabelColumn, streams: Streams) -> Assignment:
        """Split the rows; the only method that your own scheme must implement.

        Called by `assign`, and when a partition of a bound data set is loaded.

        Args:
            column: The labels.
            streams: Source of all random numbers: `streams("a purpose")` is a generator for that purpose.

        Returns:
            The assignment of all rows in `column`.
        """

    def split_multi_label(self, column: MultiLabelColumn, streams: Streams) -> Assignment:
        """Split rows that may have several labels or none; override it if your scheme supports them.

        Called instead of `split` for such labels. By default, it raises an error.

        Args:
            column: The labels.
            streams: Source of all random numbers.

        Returns:
            The assignment of all rows in `column`.

        Raises:
            ValueError: The scheme needs one label per row.
        """
        if (column.indptr[1:] - column.indptr[:-1] == 1).all():
            remedy = "each row has one, so pass them as one column, e.g. matrix.argmax(axis=1)"
        else:
            remedy = (
                "use DirichletPartitioner, DistributionPartitioner, LabelExclusionPartitioner, QuantityPartitioner or "
                "IidPartitioner, or choose one label per row"
            )
        raise ValueError(f"{type(self).__name__} needs one label per row, got a list or a 0/1 row for each; {remedy}")

    def check_num_rows(self, num_rows: int) -> None:
        """Reject too few rows before any work is done; override it if your scheme needs more rows.

        Args:
            num_rows: Number of rows to split.

        Raises:
            ValueError: There are more partitions than rows.
        """
        if self.num_partitions > num_rows:
            raise ValueError(
                f"num_partitions={self.num_partitions} exceeds the number of rows, {num_rows}; lower num_partitions"
            )

    def _binning(self) -> dict[str, Any]:
        """Return the arguments of `read_labels` and `read_column` for a continuous target."""
        return {}

    def _assign_dataset(self, dataset: Dataset) -> Assignment:
        self.check_num_rows(dataset.num_rows)
        if self.partition_by is None:
            raise ValueError("partition_by must name the column with the labels, got None")
        column = read_any_column(dataset, self.partition_by, **self._binning())
        return self._split_any(column, Streams(self.seed))

    def _split_any(self, column: AnyColumn, streams: Streams) -> Assignment:
        if isinstance(column, MultiLabelColumn):
            return self.split_multi_label(column, streams)
        return self.split(column, streams)


class LabelPartitioner(Partitioner):
    """A partitioner that decides only how many rows of each class each partition gets; the rows are drawn at random.

    To write your own scheme, subclass it and implement `class_counts`.

    Args:
        num_partitions: Number of partitions, at least 1.
        partition_by: The column with the labels in a data set; not used by `assign`.
        seed: Any integer; it determines every random draw.
        shuffle: True puts the rows of a partition in random order, False in the order of the data set.
        num_bins: For a continuous target or dates, the number of quantile bins to use as classes; None for labels.

    Examples:
        >>> import numpy as np
        >>> from flskew.partitioners import LabelPartitioner, apportion_classes
        >>> class HalfForTheFirst(LabelPartitioner):
        ...     def class_counts(self, column, streams):
        ...         others = self.num_partitions - 1
        ...         weights = np.log([others] + [1] * others)
        ...         return apportion_classes(
        ...             column, self.num_partitions, lambda rng: weights, streams
        ...         )
        >>> HalfForTheFirst(3).assign(["cat", "dog"] * 40).label_counts
        array([[20, 20],
               [10, 10],
               [10, 10]])
    """

    def __init__(
        self,
        num_partitions: int,
        partition_by: str = "label",
        seed: int = 42,
        *,
        shuffle: bool = True,
        num_bins: int | None = None,
    ) -> None:
        super().__init__(num_partitions, _label_column(partition_by), seed)
        self.shuffle = checks.truth("shuffle", shuffle)
        self.num_bins = checks.optional_integer("num_bins", num_bins, minimum=1)

    def split(self, column: LabelColumn, streams: Streams) -> Assignment:
        """Draw the rows that `class_counts` asks for."""
        return Assignment._seal(deal_counts(column, self.class_counts(column, streams), streams, shuffle=self.shuffle))

    def split_multi_label(self, column: MultiLabelColumn, streams: Streams) -> Assignment:
        """Come as close as possible to what `class_counts` asks for, by iterative stratification.

        `class_counts` is given a column with one entry per label of each row.
        """
        counts = self.class_counts(column.entries, streams)
        return Assignment._seal(deal_targets(column, counts, streams, shuffle=self.shuffle))

    @abstractmethod
    def class_counts(self, column: LabelColumn, streams: Streams) -> Counts:
        """Decide how many rows of each class each partition gets; the only method that your own scheme must implement.

        Args:
            column: The labels; if rows have several, one entry for each label of each row.
            streams: Source of all random numbers: `streams("a purpose")` is a generator for that purpose, and
                `streams("a purpose", label)` one for a class.

        Returns:
            (num_classes, num_partitions) integers >= 0, classes in the order of `column.labels`. For each class, their
            sum must not exceed `column.sizes`; the remaining rows are unassigned.
        """

    def _binning(self) -> dict[str, Any]:
        return {"num_bins": self.num_bins, "can_bin": "num_bins" in inspect.signature(type(self)).parameters}


def _label_column(partition_by: object) -> str:
    # Whoever forgets it passes the next argument here.
    return checks.column_name("partition_by", partition_by, "; pass the arguments after it by name, e.g. seed=42")
