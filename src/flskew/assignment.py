"""Who holds which row: a value that every partitioner makes and everything else reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.allocation import apportion
from flskew._split.dealing import deal
from flskew._split.labels import LabelColumn, read_column, read_labels, shown
from flskew._split.streams import Streams
from flskew._split.wrapping import given_rows, joined, loaded_rows
from flskew._util import archive, checks
from flskew.typing import Classes, Counts, Edges, LabelCounts, Labels, Offsets, Rows, Sizes

if TYPE_CHECKING:
    import flwr_datasets.partitioner
    import pandas as pd
    from datasets import Dataset

__all__ = ["Assignment", "PartitionIdError"]

_VERSION = 1
T = TypeVar("T")


class PartitionIdError(KeyError, IndexError):
    """A partition id that no partition has; caught as a KeyError and as an IndexError alike.

    Examples:
        >>> from flskew import Assignment
        >>> try:
        ...     Assignment.from_partitions([[0, 2], [1]])[5]
        ... except IndexError as error:
        ...     print(error)
        partition_id=5 is out of range: there are 2 partitions, 0 to 1
    """

    def __str__(self) -> str:
        """The message as it is: a KeyError would show it in quotes."""
        return str(self.args[0])


@dataclass(frozen=True, eq=False, repr=False)
class Assignment:
    """All the partitions of one data set together: which rows each of them holds.

    Rows are positions in the data set that the user gave. All partitions lie end to end in one array, so a partition
    is a view of it. Nothing in an assignment can be changed.

    Partitioners make assignments (`assign`), `Assignment.from_partitions` wraps rows from elsewhere, and
    `Assignment.load` reads a saved one.

    Attributes:
        rows: (rows held,) int64: the rows of partition 0, then of partition 1, and so on; read-only.
        offsets: (num_partitions + 1,) int64: partition i is `rows[offsets[i]:offsets[i + 1]]`; read-only.
        unassigned: int64 rows that nobody holds, rising; empty unless the scheme was asked to drop rows; read-only.

    Examples:
        >>> from flskew import LabelExclusionPartitioner
        >>> assignment = LabelExclusionPartitioner([{1}, {2}]).assign([0, 1, 2, 0, 1, 2])
        >>> assignment.sizes
        array([3, 3])
        >>> assignment.label_counts
        array([[1, 0, 2],
               [1, 2, 0]])
    """

    rows: Rows
    offsets: Offsets
    unassigned: Rows
    _classes: Classes | None = field(default=None)
    _label_counts: LabelCounts | None = field(default=None)
    _class_totals: Sizes | None = field(default=None)
    _edges: Edges | None = field(default=None)

    def __post_init__(self) -> None:
        """Seal the arrays."""
        for array in self._arrays().values():
            array.setflags(write=False)

    @classmethod
    def from_partitions(
        cls, partitions: Iterable[Iterable[int]], labels: Labels | None = None, *, num_rows: int | None = None
    ) -> Assignment:
        """Wrap partitions that were made elsewhere.

        Args:
            partitions: For each partition its rows, in the order they shall have.
            labels: One label per row of the data set; without them, class counts are not to be had.
            num_rows: Rows of the data set, where no labels tell; by default, one more than the largest row held. Beside
                labels it must be their number.

        Returns:
            An assignment; rows that no partition names are `unassigned`.

        Raises:
            ValueError: A row is held twice, is negative, or lies beyond the data set; or `num_rows` is not the number
                of labels.
            TypeError: A row is not an integer.

        Examples:
            >>> Assignment.from_partitions([[4, 0], [2]], labels=["a", "b", "a", "b", "b"]).unassigned
            array([1, 3])
        """
        column = None if labels is None else read_labels(labels)
        num_rows = checks.optional_integer("num_rows", num_rows, minimum=0, maximum=checks.MOST_ROWS)
        if column is not None and num_rows not in (None, len(column)):
            raise ValueError(f"num_rows={num_rows} is not the number of labels, {len(column)}; leave one of them out")
        arrays = given_rows(partitions)
        return cls._from_rows(*joined(arrays, num_rows if column is None else len(column)), column)

    @classmethod
    def from_partitioner(
        cls, partitioner: flwr_datasets.partitioner.Partitioner, dataset: Dataset, label_by: str | None = None
    ) -> Assignment:
        """Find out what any partitioner of Flower Datasets makes of a data set.

        Args:
            partitioner: Not bound to a data set; it stays so, a copy of it does the work.
            dataset: The data set to split. One that was shuffled or selected from is flattened first, as its
                `flatten_indices` does; flwr-datasets 0.5 can split it otherwise, by the order beneath.
            label_by: The column with the labels; without it, class counts are not to be had.

        Returns:
            An assignment; rows that the partitioner leaves out are `unassigned`.

        Raises:
            TypeError: One of them is something else.
            ValueError: The partitioner is bound already, there is no such column, or partitions overlap.

        Examples:
            >>> from datasets import Dataset
            >>> from flwr_datasets.partitioner import LinearPartitioner
            >>> dataset = Dataset.from_dict({"label": [0, 1, 0, 1, 0, 1]})
            >>> [rows.tolist() for rows in Assignment.from_partitioner(LinearPartitioner(3), dataset)]
            [[0], [1, 2], [3, 4, 5]]
        """
        arrays = loaded_rows(partitioner, dataset)
        labels = None if label_by is None else read_column(dataset, label_by, argument="label_by")
        return cls._from_rows(*joined(arrays, dataset.num_rows), labels)

    @classmethod
    def _from_rows(cls, rows: Rows, offsets: Offsets, unassigned: Rows, column: LabelColumn | None) -> Assignment:
        """Count the labels of rows that are dealt already."""
        if column is None:
            return cls(rows, offsets, unassigned)
        counts = np.empty((len(offsets) - 1, len(column.classes)), dtype=np.int64)
        for partition_id, (start, stop) in enumerate(pairwise(offsets)):
            counts[partition_id] = np.bincount(column.codes[rows[start:stop]], minlength=len(column.classes))
        return cls(rows, offsets, unassigned, column.classes, counts, column.sizes, column.edges)

    @classmethod
    def _from_counts(cls, column: LabelColumn, counts: Counts, streams: Streams, *, shuffle: bool) -> Assignment:
        """Deal the rows that (num_classes, num_partitions) counts ask for."""
        dealt = deal(column, counts, streams, shuffle=shuffle)
        return cls(*dealt, column.classes, np.ascontiguousarray(counts.T), column.sizes, column.edges)

    @classmethod
    def _from_sizes(
        cls, num_rows: int, sizes: Counts, column: LabelColumn | None, streams: Streams, *, shuffle: bool
    ) -> Assignment:
        """Deal (1, num_partitions) numbers of rows as if all were of one class, then count the classes they have."""
        one_class = LabelColumn(np.zeros(num_rows, dtype=np.uint8), np.array([0]))
        return cls._from_rows(*deal(one_class, sizes, streams, shuffle=shuffle), column)

    def __len__(self) -> int:
        """The number of partitions."""
        return len(self.offsets) - 1

    def __getitem__(self, partition_id: int) -> Rows:
        """Return the rows of one partition: read-only int64, no copy.

        Raises:
            PartitionIdError: There is no such partition; both a KeyError and an IndexError.
        """
        try:
            index = checks.integer("partition_id", partition_id, minimum=0)
        except (TypeError, ValueError) as error:
            raise PartitionIdError(f"{error}; there are partitions 0 to {len(self) - 1}") from None
        if index >= len(self):
            raise PartitionIdError(
                f"partition_id={index} is out of range: there are {len(self)} partitions, 0 to {len(self) - 1}"
            )
        return self.rows[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[Rows]:
        """Iterate over the rows of partition 0, 1, and so on."""
        return (self[partition_id] for partition_id in range(len(self)))

    @property
    def sizes(self) -> Sizes:
        """(num_partitions,) rows of each partition."""
        return np.diff(self.offsets)

    @property
    def num_rows(self) -> int:
        """Rows of the data set: those that partitions hold, and the unassigned."""
        return len(self.rows) + len(self.unassigned)

    @property
    def classes(self) -> Classes:
        """(num_classes,) the distinct labels in rising order; read-only.

        Raises:
            ValueError: The assignment was made without labels.
        """
        return cast("Classes", _known(self._classes))

    @property
    def label_counts(self) -> LabelCounts:
        """(num_partitions, num_classes) rows of each class in each partition; read-only.

        Raises:
            ValueError: The assignment was made without labels.
        """
        return _known(self._label_counts)

    def match(self, labels: Labels, *, seed: int = 42) -> Assignment:
        """Split other rows, such as a test set, as these are split: the same shares of every class.

        A partition that holds a third of all the sevens here gets a third of the sevens there, rounded without bias;
        what is unassigned here stays unassigned there, in the same proportion. It works on what the partitions hold,
        so on any scheme, and after rows were moved to meet a minimum.

        Args:
            labels: One label per row of the other data set, which may lack classes; where this one was split by the
                bins of a continuous target, the target.
            seed: Draws the rounding and the rows.

        Returns:
            An assignment of the other rows, with the same number of partitions. A partition may be empty there.

        Raises:
            ValueError: A label is unknown here, or this assignment was made without labels.

        Examples:
            >>> from flskew import LabelExclusionPartitioner
            >>> train = LabelExclusionPartitioner([{1}, {2}]).assign([0, 1, 2, 0, 1, 2])
            >>> train.match([1, 1, 2]).label_counts
            array([[0, 1],
                   [2, 0]])
        """
        streams = Streams(checks.seed(seed))
        column = read_labels(labels, edges=self._edges)
        here = {label: code for code, label in enumerate(self.classes.tolist())}
        unknown = [label for label in column.labels if label not in here]
        if unknown:
            raise ValueError(
                f"labels hold {unknown[0]!r}, a class that the matched assignment has never seen; "
                f"it has {shown(list(here))}"
            )
        matched = [here[label] for label in column.labels]
        held = self.label_counts[:, matched].T
        totals = _known(self._class_totals)[matched]
        shares = np.hstack([held, (totals - held.sum(axis=1))[:, None]]) / totals[:, None]
        offsets = np.array([streams("match", label).random() for label in column.labels])
        counts = apportion(shares, column.sizes, offsets)[:, :-1]
        return self._from_counts(column, counts, streams, shuffle=True)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the whole assignment, 32 characters, equal on every machine."""
        return archive.digest(self._arrays())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the assignment to one `.npz` file, without pickle, under exactly this path.

        Examples:
            >>> import tempfile, pathlib
            >>> path = pathlib.Path(tempfile.mkdtemp()) / "split.npz"
            >>> assignment = Assignment.from_partitions([[0, 2], [1]])
            >>> assignment.save(path)
            >>> Assignment.load(path) == assignment
            True
        """
        archive.write(path, "assignment", _VERSION, self._arrays())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Assignment:
        """Read a saved assignment.

        Raises:
            ValueError: The file is not a saved assignment, is of a later version, or is damaged in any byte.
            FileNotFoundError: There is no such file.
        """
        return cls(**archive.read(path, "assignment", _VERSION))

    def to_frame(self) -> pd.DataFrame:
        """Return `label_counts` as `flwr_datasets.metrics.compute_counts` lays them out: partitions by classes.

        Raises:
            ValueError: The assignment was made without labels.
        """
        import pandas as pd

        index = pd.Index(range(len(self)), name="Partition ID")
        return pd.DataFrame(self.label_counts, index=index, columns=self.classes.tolist())

    def __eq__(self, other: object) -> bool:
        """Whether both say the same of the same classes."""
        if not isinstance(other, Assignment):
            return NotImplemented
        mine, theirs = self._arrays(), other._arrays()
        return mine.keys() == theirs.keys() and all(
            mine[name].dtype.kind == theirs[name].dtype.kind and np.array_equal(mine[name], theirs[name])
            for name in mine
        )

    def __hash__(self) -> int:
        """Equal assignments have equal hashes."""
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        """What one wants to know at a glance."""
        classes = "no labels" if self._classes is None else f"{len(self._classes)} classes"
        return (
            f"Assignment({len(self)} partitions of {self.sizes.min()} to {self.sizes.max()} rows, "
            f"{len(self.unassigned)} of {self.num_rows} rows unassigned, {classes})"
        )

    def __reduce__(self) -> tuple[partial[Assignment], tuple[()]]:
        """Pickle the arrays alone, and seal them again on the other side."""
        return partial(Assignment, **self._arrays()), ()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        named = {
            "rows": self.rows,
            "offsets": self.offsets,
            "unassigned": self.unassigned,
            "_classes": self._classes,
            "_label_counts": self._label_counts,
            "_class_totals": self._class_totals,
            "_edges": self._edges,
        }
        return {name: array for name, array in named.items() if array is not None}


def _known(value: T | None) -> T:
    if value is None:
        raise ValueError(
            "this assignment was made without labels, so its classes are unknown; "
            "name their column with partition_by, or pass labels"
        )
    return value
