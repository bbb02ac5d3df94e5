"""`Assignment`: who holds which row. Every partitioner returns one, and everything else reads it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.building import Parts, deal_counts, deal_targets, with_labels
from flskew._split.labels import LabelColumn
from flskew._split.matching import match
from flskew._split.multi_label import MultiLabelColumn
from flskew._split.multi_reading import read_any_column, read_any_labels
from flskew._split.names import checked_names
from flskew._split.stored import stored_parts
from flskew._split.streams import Streams
from flskew._split.wrapping import given_counts, given_rows, joined, loaded
from flskew._util import archive, checks
from flskew._util.html import table
from flskew._util.texts import LONGEST_NAME, cut, listed
from flskew.shifts import Shift, View, Viewer
from flskew.shifts._holders import shifted_features, shifted_labels
from flskew.shifts._text import parsed
from flskew.typing import Classes, Edges, Features, LabelCounts, Labels, MultiLabels, Offsets, Rows, Sizes

if TYPE_CHECKING:
    import flwr_datasets.partitioner
    import pandas as pd
    from datasets import Dataset

__all__ = ["Assignment", "PartitionIdError"]

_VERSION = 1
_FINGERPRINT = "fingerprint"
# With more classes, a notebook shows how many of them each partition has.
_MOST_COLUMNS = 12
T = TypeVar("T")


class PartitionIdError(KeyError, IndexError):
    """No partition has this id or name. It is both a KeyError and an IndexError, so you can catch either.

    Examples:
        >>> from flskew import Assignment
        >>> try:
        ...     Assignment.from_partitions([[0, 2], [1]])[5]
        ... except IndexError as error:
        ...     print(error)
        partition_id is out of range: there are 2 partitions, 0 to 1
    """

    def __str__(self) -> str:
        """The message itself; a KeyError would quote it."""
        return str(self.args[0])


class Assignment:
    """All partitions of one data set: which rows each of them holds.

    Rows are positions in the data set that the user gave. One array contains the rows of all partitions, one partition
    after the other, and each partition is a view of it. An assignment never changes, and shares no array with the code
    that made it.

    Partitioners make assignments (`assign`). `Assignment.from_partitions` takes rows, `Assignment.from_counts` takes
    numbers of rows, `Assignment.from_partitioner` takes a partitioner of Flower Datasets, and `Assignment.load` reads a
    saved one. Calling the class itself raises a TypeError.

    Examples:
        >>> from flskew import LabelExclusionPartitioner
        >>> labels = [0, 1, 2, 0, 1, 2]
        >>> assignment = LabelExclusionPartitioner([{1}, {2}]).assign(labels)
        >>> assignment.sizes
        array([3, 3])
        >>> assignment.label_counts
        array([[1, 0, 2],
               [1, 2, 0]])
    """

    _parts: Parts

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError(
            "Assignment cannot be called; use Assignment.from_partitions, from_counts, from_partitioner or load"
        )

    @classmethod
    def _seal(cls, parts: Parts) -> Assignment:
        """Make the arrays that `_split` built read-only, and wrap them."""
        for array in parts:
            if array is not None:
                array.setflags(write=False)
        assignment = object.__new__(cls)
        vars(assignment)["_parts"] = parts
        return assignment

    @classmethod
    def from_partitions(
        cls,
        partitions: Iterable[Iterable[int]] | Mapping[str, Iterable[int]],
        labels: Labels | MultiLabels | LabelColumn | MultiLabelColumn | None = None,
        *,
        num_rows: int | None = None,
    ) -> Assignment:
        """Wrap an existing split: the rows of each partition.

        Args:
            partitions: The rows of each partition; their order is kept. A mapping from names to rows names the
                partitions, too.
            labels: One label per row of the data set, or several as in `Partitioner.assign`; or the column that
                `Partitioner.split` is given. Without labels, class counts are unavailable.
            num_rows: Number of rows in the data set. Defaults to the number of labels or, without labels, to one more
                than the largest row.

        Returns:
            An assignment; rows in no partition are `unassigned`.

        Raises:
            ValueError: A row occurs twice, is negative or is beyond the data set; or `num_rows` differs from the number
                of labels; or a name is blank or cannot be printed in one line.
            TypeError: A row is not an integer, or a name is not a string.

        Examples:
            >>> labels = ["a", "b", "a", "b", "b"]
            >>> Assignment.from_partitions([[4, 0], [2]], labels).unassigned
            array([1, 3])
            >>> Assignment.from_partitions({"Bern": [4, 0], "Lyon": [2]})["Bern"]
            array([4, 0])
        """
        column = None if labels is None else read_any_labels(labels)
        num_rows = checks.optional_integer("num_rows", num_rows, minimum=0, maximum=checks.MOST_ROWS)
        if column is not None and num_rows not in (None, len(column)):
            raise ValueError(f"num_rows={num_rows} differs from the number of labels, {len(column)}; omit num_rows")
        names = checked_names(partitions) if isinstance(partitions, Mapping) else None
        parts = joined(given_rows(partitions), num_rows if column is None else len(column))
        return cls._seal(with_labels(parts._replace(names=names), column))

    @classmethod
    def from_counts(
        cls,
        label_counts: LabelCounts | Sequence[Sequence[int]],
        labels: Labels | MultiLabels | LabelColumn | MultiLabelColumn,
        *,
        shuffle: bool = True,
        seed: int = 42,
    ) -> Assignment:
        """Draw rows at random so that each partition has a given number of each class.

        Args:
            label_counts: (num_partitions, num_classes) rows of each class in each partition, >= 0; the classes in
                sorted order. For each class, their sum must not exceed its rows.
            labels: One label per row of the data set, or several as in `Partitioner.assign`; or the column that
                `Partitioner.split` is given.
            shuffle: Whether the rows of a partition are in random order or in the order of the data set.
            seed: Any integer; draws the rows.

        Returns:
            An assignment with these `label_counts`, or close to them if rows have several labels; the remaining rows
            are `unassigned`.

        Raises:
            TypeError: The counts are not integers.
            ValueError: A count is negative or exceeds the rows of its class, or there is not one count per class.

        Examples:
            >>> Assignment.from_counts([[2, 0], [1, 3]], labels=["a", "b"] * 3).label_counts
            array([[2, 0],
                   [1, 3]])
        """
        column = read_any_labels(labels)
        counts = given_counts(label_counts, len(column.classes))
        streams, shuffle = Streams(checks.seed(seed)), checks.truth("shuffle", shuffle)
        if isinstance(column, MultiLabelColumn):
            return cls._seal(deal_targets(column, counts, streams, shuffle=shuffle))
        return cls._seal(deal_counts(column, counts, streams, shuffle=shuffle))

    @classmethod
    def from_partitioner(
        cls, partitioner: flwr_datasets.partitioner.Partitioner, dataset: Dataset, label_by: str | None = None
    ) -> Assignment:
        """Wrap the split that a partitioner of Flower Datasets makes of a data set.

        Args:
            partitioner: A partitioner that is not bound to a data set. A copy is bound, so it stays unbound.
            dataset: The data set to split. If it was shuffled or selected from, call its `flatten_indices` first:
                flwr-datasets 0.5 may split it by the underlying order otherwise.
            label_by: The column with the labels; without it, class counts are unavailable.

        Returns:
            An assignment; rows that the partitioner leaves out are `unassigned`. Partitions of a
            `NaturalIdPartitioner` are named after their natural ids.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: The partitioner is already bound, the column does not exist, or partitions overlap.

        Examples:
            >>> from datasets import Dataset
            >>> from flwr_datasets.partitioner import LinearPartitioner
            >>> dataset = Dataset.from_dict({"label": [0, 1, 0, 1, 0, 1]})
            >>> assignment = Assignment.from_partitioner(LinearPartitioner(3), dataset)
            >>> [rows.tolist() for rows in assignment]
            [[0], [1, 2], [3, 4, 5]]
        """
        parts = loaded(partitioner, dataset)
        labels = None if label_by is None else read_any_column(dataset, label_by, argument="label_by")
        return cls._seal(with_labels(parts, labels))

    def __len__(self) -> int:
        """Number of partitions."""
        return len(self.offsets) - 1

    def __getitem__(self, partition_id: int | str) -> Rows:
        """Return the rows of one partition, by its id or its name: read-only int64, without a copy.

        Raises:
            PartitionIdError: No partition has this id or name. It is both a KeyError and an IndexError.
        """
        there_are = f"there are {len(self)} partitions, 0 to {len(self) - 1}"
        # A client's error goes to the server, so the message does not quote what may be a row's label or id.
        if isinstance(partition_id, str) and self.names is not None:
            if partition_id not in self._ids_by_name:
                raise PartitionIdError(f"no partition has this name; {there_are}")
            partition_id = self._ids_by_name[partition_id]
        try:
            index = checks.integer("partition_id", partition_id)
        except TypeError:
            kind = type(partition_id).__name__
            raise PartitionIdError(f"partition_id must be an integer, got {kind}; {there_are}") from None
        if not 0 <= index < len(self):
            raise PartitionIdError(f"partition_id is out of range: {there_are}")
        return self.rows[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[Rows]:
        """Iterate over the rows of partition 0, 1, and so on."""
        return (self[partition_id] for partition_id in range(len(self)))

    @property
    def rows(self) -> Rows:
        """(number of assigned rows,) int64: the rows of partition 0, then of partition 1, and so on; read-only."""
        return self._parts.rows

    @property
    def offsets(self) -> Offsets:
        """(num_partitions + 1,) int64: partition i is `rows[offsets[i] : offsets[i + 1]]`; read-only."""
        return self._parts.offsets

    @property
    def unassigned(self) -> Rows:
        """Rows in no partition, in increasing order; empty unless you asked for rows to be dropped; read-only int64."""
        return self._parts.unassigned

    @cached_property
    def names(self) -> tuple[str, ...] | None:
        """The name of each partition, in the order of their ids; None if they have no names.

        Reports, pictures and data frames show them. `NaturalIdPartitioner` uses the natural ids as names, without
        blanks at their ends. `CrossPartitioner` adds a number to them, as in "Bern/0". `Assignment.from_partitions`
        uses the keys of a mapping.
        """
        return None if self._parts.names is None else tuple(self._parts.names.tolist())

    @property
    def sizes(self) -> Sizes:
        """(num_partitions,) number of rows in each partition."""
        return np.diff(self.offsets)

    @property
    def num_rows(self) -> int:
        """Number of rows in the data set, assigned or not."""
        return len(self.rows) + len(self.unassigned)

    @property
    def has_labels(self) -> bool:
        """Whether the assignment was made with labels, so that its classes are known."""
        return self._parts.classes is not None

    @property
    def classes(self) -> Classes:
        """(num_classes,) the distinct labels in increasing order; read-only.

        Raises:
            ValueError: The assignment was made without labels.
        """
        return cast("Classes", _known(self._parts.classes))

    @property
    def label_counts(self) -> LabelCounts:
        """(num_partitions, num_classes) number of rows of each class in each partition; read-only.

        Raises:
            ValueError: The assignment was made without labels.
        """
        return _known(self._parts.label_counts)

    @property
    def edges(self) -> Edges | None:
        """(num_classes - 1,) boundaries of the classes if they are bins of a continuous target; read-only."""
        return self._parts.edges

    @property
    def is_multi_label(self) -> bool:
        """Whether a row may have several labels, or none: the counts of a partition then do not sum to its size."""
        return self._parts.joint_labels is not None

    @property
    def label_targets(self) -> LabelCounts | None:
        """(num_partitions, num_classes) rows of each class that the scheme aimed for, if a row may have several labels.

        None if each row has one label, so that `label_counts` are met exactly, and for schemes without targets, such as
        `IidPartitioner` and natural ids; read-only.
        """
        return self._parts.label_targets

    @property
    def target_deviation(self) -> float:
        """The largest deviation from `label_targets`, as a fraction of the rows of the class; 0 without targets.

        Rows with several labels cannot always meet the targets of all classes at once. With a deviation of 0.02, no
        partition is further from the target of a class than 2 % of the rows of this class.

        Examples:
            >>> from flskew import DirichletPartitioner
            >>> reports = [["cough", "fever"], ["cough"], [], ["fever"]] * 50
            >>> DirichletPartitioner(3, alpha=1).assign(reports).target_deviation
            0.0
        """
        if self.label_targets is None:
            return 0.0
        missed = np.abs(self.label_counts - self.label_targets).max(axis=0)
        return float((missed / self._class_totals).max())

    def match(self, labels: Labels | MultiLabels, *, seed: int = 42) -> Assignment:
        """Split other rows, such as a test set, with the same shares of every class.

        A partition that holds a third of the sevens gets a third of the sevens among the other rows, rounded without
        bias. If part of a class is unassigned here, the same share of its other rows stays unassigned. Only the class
        counts of this assignment are used, so it works for any scheme, even after rows were moved to meet a minimum.

        Args:
            labels: One label per row of the other data set, in which some classes may be missing; or several, if this
                assignment was made from several. For bins of a continuous target, the target itself.
            seed: Draws the rounding and the rows.

        Returns:
            An assignment of the other rows, with the same partitions and names; some partitions may be empty.

        Raises:
            TypeError: This assignment was made with several labels per row and the others have one, or vice versa.
            ValueError: A label is not a class of this assignment, or this assignment was made without labels.

        Examples:
            >>> from flskew import LabelExclusionPartitioner
            >>> train = LabelExclusionPartitioner([{1}, {2}]).assign([0, 1, 2, 0, 1, 2])
            >>> train.match([1, 1, 2]).label_counts
            array([[0, 1],
                   [2, 0]])
        """
        streams = Streams(checks.seed(seed))
        column = read_any_labels(labels, edges=self.edges)
        if self.has_labels and isinstance(column, MultiLabelColumn) != self.is_multi_label:
            kinds = ("one label per row", "a list or a 0/1 row of labels for each row")
            raise TypeError(f"labels must be {kinds[self.is_multi_label]}, like those of the matched assignment")
        return self._seal(match(self._parts, self.classes, self.label_counts, self._class_totals, column, streams))

    @cached_property
    def shift(self) -> Shift | None:
        """What clients see differently; None if all see the data as they are."""
        if self._parts.shift is None:
            return None
        text = str(self._parts.shift)
        shift = parsed(text)
        # Otherwise, equal shifts would have several fingerprints.
        if repr(shift) != text:
            raise ValueError(f"a shift must be saved as what it prints as, {shift!r:.80}, got {text!r:.80}")
        return shift

    def with_shift(self, shift: Shift | None) -> Assignment:
        """Return the same split, in which each client sees its rows through a shift.

        The shift is part of the fingerprint, and is saved with the assignment. It replaces any other; `a | b` applies
        two. `match` does not copy it: a test set can be seen as it is, or through another shift.

        Args:
            shift: One of `flskew.shifts`, or your own; None to see the data as they are.

        Raises:
            TypeError: `shift` is not a shift.
            ValueError: The shift is for another number of partitions, or the call that it prints as does not make an
                equal shift.

        Examples:
            >>> import numpy as np
            >>> from flskew.shifts import Affine
            >>> assignment = Assignment.from_partitions([[0, 2], [1]]).with_shift(
            ...     Affine(offset=[0, 100])
            ... )
            >>> assignment.shift_features(np.array([1.0, 2.0, 3.0]))
            array([  1., 102.,   3.])
        """
        if shift is None:
            return self._seal(self._parts._replace(shift=None))
        if not isinstance(shift, Shift):
            raise TypeError(f"shift must be a shift, such as flskew.shifts.Noise(0.1), got {type(shift).__name__}")
        for link in shift._links():
            link._check_fits(len(self))
        same = parsed(repr(shift))
        if same != shift or repr(same) != repr(shift):
            raise ValueError(
                f"shift must print as the call that makes it, got {shift!r:.80}; inherit its repr, and give shifts of "
                f"your own different names"
            )
        return self._seal(self._parts._replace(shift=np.array(repr(shift))))

    def view(self, partition_id: int | str) -> View:
        """Return what one client sees, for batches of its rows or of any others.

        Args:
            partition_id: The id of the partition, or its name.

        Raises:
            PartitionIdError: No partition has this id or name.
        """
        rows = self[partition_id]
        number = self._ids_by_name[partition_id] if isinstance(partition_id, str) else int(partition_id)
        return View(self.shift, Viewer(number, len(self)), rows)

    def shift_features(self, features: Features) -> Features:
        """Return the features of the whole data set, each row as the client that holds it sees it.

        Every row is held by one client at most, so clients can use these features without knowing about the shift. For
        a test set, this is the union of what the clients see.

        Args:
            features: One entry per row of the data set: an array, a DataFrame, or a mapping from names to columns.
                Arrays may be PyTorch tensors on the CPU or JAX arrays. They are not changed.

        Returns:
            The same kind of features; unassigned rows as they are.

        Raises:
            TypeError: The features are not numbers, or a tensor is on another device or requires gradients.
            ValueError: There is not one entry per row, or a column does not exist.
        """
        return shifted_features(self.shift, features, self.rows, self.offsets, self.num_rows)

    def shift_labels(self, labels: Labels) -> NDArray[Any]:
        """Return the labels of the whole data set, each row as the client that holds it sees it.

        Args:
            labels: One label per row of the data set. They are not changed.

        Returns:
            (num_rows,) labels, as an array, or as a tensor if the labels are one; those of unassigned rows as they are.

        Raises:
            ValueError: There is not one label per row.
        """
        return shifted_labels(self.shift, labels, self.rows, self.offsets, self.num_rows)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the whole assignment: 32 hexadecimal digits, the same on every machine."""
        return archive.digest(self._arrays())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the assignment to an `.npz` file at exactly this path, without pickle.

        An existing file is replaced in one step, and keeps its permissions.

        Raises:
            FileNotFoundError: The folder does not exist.
            OSError: The file cannot be written, for example because the disk is full; an existing one stays as it was.

        Examples:
            >>> import tempfile, pathlib
            >>> path = pathlib.Path(tempfile.mkdtemp()) / "split.npz"
            >>> assignment = Assignment.from_partitions([[0, 2], [1]])
            >>> assignment.save(path)
            >>> Assignment.load(path) == assignment
            True
        """
        stamp = {_FINGERPRINT: np.array(self.fingerprint)}
        archive.write(path, "assignment", _VERSION, self._arrays() | stamp)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Assignment:
        """Read a saved assignment.

        The arrays are checked like those that you pass yourself: each row occurs at most once, and partitions and class
        counts add up. The fingerprint is compared with the one in the file. Someone who changes the file can change
        both, so if you do not trust its source, compare the fingerprint with a published one.

        Raises:
            ValueError: The file is not a saved assignment, has a newer format, or is damaged anywhere.
            FileNotFoundError: The file does not exist.
        """
        arrays = archive.read(path, "assignment", _VERSION)
        stored = arrays.pop(_FINGERPRINT, None)
        try:
            loaded = cls._seal(stored_parts(arrays))
            _ = loaded.shift
            if stored is None or stored.shape != () or stored.item() != loaded.fingerprint:
                raise ValueError("its fingerprint is that of another assignment")
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)} is not a valid assignment file: {error}") from error
        return loaded

    def to_frame(self) -> pd.DataFrame:
        """Return `label_counts` in the layout of `flwr_datasets.metrics.compute_counts`: partitions by classes.

        The index contains the names of the partitions, or their ids if they have no names.

        Raises:
            ValueError: The assignment was made without labels.
        """
        import pandas as pd

        ids = pd.Index(range(len(self)), name="Partition ID")
        index = ids if self.names is None else pd.Index(self.names, name="Partition")
        return pd.DataFrame(self.label_counts, index=index, columns=self.classes.tolist())

    def __eq__(self, other: object) -> bool:
        """Whether both have the same rows, names, natural ids, classes, counts and shift."""
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
        """A summary: partitions, rows and classes."""
        names = "" if self.names is None else f" ({listed(self.names, most=3, show=str)})"
        several = ", several labels per row" if self.is_multi_label else ""
        classes = f"{len(self.classes)} classes{several}" if self.has_labels else "no labels"
        shift = "" if self.shift is None else f", seen through {cut(repr(self.shift), LONGEST_NAME)}"
        return (
            f"Assignment({len(self)} partitions{names} of {self.sizes.min()} to {self.sizes.max()} rows, "
            f"{len(self.unassigned)} of {self.num_rows} rows unassigned, {classes}{shift})"
        )

    def _repr_html_(self) -> str:
        import pandas as pd

        partitions = list(range(len(self)) if self.names is None else self.names)
        frame = pd.DataFrame({"rows": self.sizes}, index=pd.Index(partitions, name="partition"))
        if self.has_labels and len(self.classes) <= _MOST_COLUMNS:
            frame[[f"class {name}" for name in self.classes.tolist()]] = self.label_counts
        elif self.has_labels:
            frame["classes"] = np.count_nonzero(self.label_counts, axis=1)
        return table(repr(self), frame)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse; an assignment never changes."""
        raise AttributeError(f"an Assignment is read-only, cannot set {name}; make a new one")

    def __reduce__(self) -> tuple[object, tuple[Parts]]:
        """Pickle the arrays, and seal them again when they are unpickled."""
        return Assignment._seal, (self._parts,)

    @property
    def _class_totals(self) -> Sizes:
        """(num_classes,) rows of each class, assigned or not."""
        return _known(self._parts.class_totals)

    @cached_property
    def _ids_by_name(self) -> dict[str, int]:
        return {name: partition_id for partition_id, name in enumerate(self.names or ())}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {name: array for name, array in self._parts._asdict().items() if array is not None}


def _known(value: T | None) -> T:
    if value is None:
        raise ValueError(
            "this assignment was made without labels, so its classes are unknown; "
            "name the column of labels (partition_by or label_by), or pass labels"
        )
    return value
