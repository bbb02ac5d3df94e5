"""What one client sees of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from flskew._util import checks
from flskew._util.texts import LONGEST_NAME, cut
from flskew.shifts._columns import label_array, num_entries
from flskew.shifts._frameworks import through_numpy
from flskew.shifts._hugging_face import SeenColumns, mapped, transformed
from flskew.shifts._rows import row_numbers
from flskew.shifts._viewer import Viewer
from flskew.typing import Features, Labels, Rows

if TYPE_CHECKING:
    import datasets

    from flskew.shifts.base import Shift

__all__ = ["View"]


class View:
    """What one client sees: its shift, applied to any rows in any batches.

    `Assignment.view` and `Shift.view` make one. What it returns for a row depends only on the seed, the partition and
    the row: batches may have any size and order, and every process gets the same numbers.

    Examples:
        >>> import numpy as np
        >>> from flskew import Assignment
        >>> from flskew.shifts import Affine
        >>> assignment = Assignment.from_partitions([[0, 2], [1, 3]])
        >>> assignment = assignment.with_shift(Affine(offset=[0.0, 10.0]))
        >>> ages = np.array([31.0, 42.0, 53.0, 64.0])
        >>> view = assignment.view(1)
        >>> view.features(ages[view.rows])
        array([52., 74.])
    """

    def __init__(self, shift: Shift | None, viewer: Viewer, rows: Rows | None = None) -> None:
        self._shift, self._viewer, self._rows = shift, viewer, rows

    @property
    def shift(self) -> Shift | None:
        """The client's shift; None if it sees the data as they are."""
        return self._shift

    @property
    def partition_id(self) -> int:
        """The client's partition."""
        return self._viewer.partition_id

    @property
    def num_partitions(self) -> int:
        """Number of partitions."""
        return self._viewer.num_partitions

    @property
    def rows(self) -> Rows:
        """The rows of the client's partition, int64.

        Raises:
            AttributeError: The view was made without an assignment.
        """
        if self._rows is None:
            raise AttributeError("this view was made from a shift alone, without rows; make it with assignment.view")
        return self._rows

    def features(self, features: Features, rows: Iterable[int] | None = None) -> Features:
        """Return features as this client sees them.

        Args:
            features: One entry per row: an array of any shape, or a table, as a DataFrame or a mapping from names to
                columns. Arrays may be PyTorch tensors on the CPU or JAX arrays. They are not changed.
            rows: The number of each row in the data set; None for the rows of the client's partition, in their order.

        Returns:
            The same kind of features, with the same shapes and dtypes; the same object if this client sees the data as
            they are.

        Raises:
            TypeError: Rows are not integers, the features are not numbers, or a tensor is on another device or requires
                gradients.
            ValueError: There is not one row number per row, one is negative, or a column does not exist.
        """

        def see(arrays: Features) -> Features:
            numbers = self._numbers(num_entries(arrays), rows)
            return arrays if self._shift is None else self._shift._see_features(arrays, numbers, self._viewer)

        return through_numpy(features, see)

    def labels(self, labels: Labels, rows: Iterable[int] | None = None) -> NDArray[Any]:
        """Return labels as this client sees them.

        Args:
            labels: (num_rows,) integers, strings or booleans. They are not changed.
            rows: The number of each row in the data set; None for the rows of the client's partition, in their order.

        Returns:
            (num_rows,) labels, as an array, or as a tensor if the labels are one.

        Raises:
            TypeError: Rows are not integers, or a tensor is on another device.
            ValueError: There is not one row number per row, or one is negative.
        """

        def see(labels: Labels) -> NDArray[Any]:
            values = label_array(labels)
            numbers = self._numbers(len(values), rows)
            return values if self._shift is None else self._shift._see_labels(values, numbers, self._viewer)

        seen: NDArray[Any] = through_numpy(labels, see)
        return seen

    def dataset(
        self,
        partition: datasets.Dataset,
        rows: Iterable[int] | None = None,
        *,
        feature_by: str | None = None,
        label_by: str | None = "label",
        lazy: bool = False,
        transform: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> datasets.Dataset:
        """Return a Hugging Face data set as this client sees it.

        The result has the same columns, types and format, so you can select, shuffle, split or transform it like the
        data set that you pass. Do so afterwards, because `rows` must be in the order of the rows that you pass. Images
        change in the same way as an array of images.

        Args:
            partition: The client's rows, such as `load_partition` returns them, or any others with `rows`.
            rows: The number of each row in the data set of all clients; None for the rows of the client's partition, in
                their order.
            feature_by: The column of features, if they are images or other arrays; None for a table, in which all
                columns except the labels are features.
            label_by: The column of labels; None if there are none.
            lazy: Whether to shift rows whenever they are read, instead of once. This takes no space on the disk, but
                costs time in every epoch, adds the column "flskew.row", and replaces `with_transform`, so pass your own
                transform here. Read rows or batches, because a single column lacks the row numbers.
            transform: With `lazy`, called with each batch after the shift, as by `with_transform`.

        Raises:
            AttributeError: The view was made without an assignment, and `rows` is None.
            TypeError: `partition` is not a `datasets.Dataset`, has a format although `lazy` is true, or has features
                that cannot be shifted; or `transform` is given without `lazy`.
            ValueError: There is not one row number per row, or a column does not exist.

        Examples:
            >>> from datasets import Dataset
            >>> from flskew.shifts import Relabel
            >>> hospital = Dataset.from_dict({"age": [31.0, 42.0], "label": [0, 1]})
            >>> view = Relabel({1: 2}).view(0, num_partitions=1)
            >>> view.dataset(hospital, rows=[0, 1], lazy=True)[:]
            {'age': [31.0, 42.0], 'label': [0, 2]}
        """
        numbers = self._numbers(len(checks.dataset(partition)), rows)
        if transform is not None and not lazy:
            raise TypeError("transform needs lazy=True; without it, call with_transform on the result")
        seen = SeenColumns(self, partition, feature_by, label_by)
        return transformed(seen, partition, numbers, transform) if lazy else mapped(seen, partition, numbers)

    def __repr__(self) -> str:
        """Whose view it is."""
        seen = "the data as they are" if self._shift is None else cut(repr(self._shift), LONGEST_NAME)
        return f"View(partition {self.partition_id} of {self.num_partitions}: {seen})"

    def _numbers(self, count: int, rows: Iterable[int] | None) -> Rows:
        """Return the number of each of `count` rows."""
        numbers = self.rows if rows is None else row_numbers(rows)
        if count != len(numbers):
            remedy = "pass the row number of each with rows=" if rows is None else "pass one for each"
            raise ValueError(f"there must be one entry per row, got {count} entries and {len(numbers)} rows; {remedy}")
        return numbers
