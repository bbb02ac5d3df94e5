"""Labels as users have them, turned into codes once and for all, never through Python objects."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from flskew.typing import Classes, Codes, Edges, Label, Labels, Sizes

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

__all__ = ["LabelColumn", "read_column", "read_labels"]

# Rows that are encoded at a time, so that the working memory does not grow with the data set.
_BLOCK = 1 << 20
_ALLOWED = "labels may be integers, strings or booleans"


@dataclass(frozen=True, eq=False)
class LabelColumn:
    """One label per row, as positions in the sorted classes.

    Attributes:
        codes: (num_rows,) unsigned, of the smallest width that holds them.
        classes: (num_classes,) the distinct labels in rising order: int64 (uint64 where one is too large), bool or str.
        edges: Where the classes are bins of a continuous target, the values between them.
    """

    codes: Codes
    classes: Classes
    edges: Edges | None = None

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.codes)

    @cached_property
    def labels(self) -> list[Label]:
        """The classes as Python values."""
        return cast("list[Label]", self.classes.tolist())

    @cached_property
    def sizes(self) -> Sizes:
        """(num_classes,) rows of each class, each >= 1."""
        sizes = np.zeros(len(self.classes), dtype=np.int64)
        # Block by block, for bincount makes a copy of eight bytes a row.
        for start in range(0, len(self.codes), max(_BLOCK, len(sizes))):
            sizes += np.bincount(self.codes[start : start + max(_BLOCK, len(sizes))], minlength=len(sizes))
        return sizes

    def take(self, rows: NDArray[np.integer[Any]]) -> LabelColumn:
        """Return the labels of some rows, 64-bit positions, and of the classes those that they have."""
        chosen = LabelColumn(np.take(self.codes, rows.view(np.int64)), self.classes)
        found = np.flatnonzero(chosen.sizes)
        if len(found) == len(self.classes):
            return chosen
        rank = np.zeros(len(self.classes), dtype=np.min_scalar_type(max(len(found) - 1, 0)))
        rank[found] = np.arange(len(found))
        return LabelColumn(rank[chosen.codes], _canonical(self.classes[found]))


def read_labels(
    labels: Labels, *, name: str = "labels", num_bins: int | None = None, edges: Edges | None = None
) -> LabelColumn:
    """Read one label per row from a list, a NumPy array, a pandas or Arrow column, or any other array.

    Args:
        labels: Integers, strings or booleans in any order, with gaps; one dimension. With `num_bins` or `edges`,
            numbers.
        name: What error messages call them.
        num_bins: Number of quantile bins to make classes of: each has as many rows as the next, but equal values are
            in one bin, so there are fewer bins where there are many equal values.
        edges: Edges of the bins to make classes of.

    Raises:
        TypeError: Labels of another type, nested, mixed, or no sequence at all.
        ValueError: A label is missing (None, NaN), or there are no rows.

    Example:
        >>> read_labels(["b", "a", "b"]).codes
        array([1, 0, 1], dtype=uint8)
    """
    if _is_datasets_column(labels):
        return _read_selected(labels.source, labels.column_name, name, num_bins, edges)  # type: ignore[union-attr]
    column = _integers_or_arrow(labels, name)
    if len(column) == 0:
        raise ValueError(f"{name} must hold at least one row, got none")
    if num_bins is not None or edges is not None:
        return _encode_bins(_numbers(column, name), num_bins, edges)
    if isinstance(column, np.ndarray):
        return _encode_integers(column)
    return _encode_arrow(column, name)


def read_column(
    dataset: Dataset, column: str, *, argument: str = "partition_by", num_bins: int | None = None
) -> LabelColumn:
    """Read the labels in one column of a Hugging Face data set, off the Arrow table beneath it.

    Raises:
        ValueError: There is no such column, or `read_labels` refuses what is in it.
        TypeError: `read_labels` refuses the type of what is in it.
    """
    if column not in dataset.column_names:
        raise ValueError(
            f"{argument}={column!r} is not a column of the data set; it has {', '.join(dataset.column_names)}"
        )
    return _read_selected(dataset, column, f"column {column!r}", num_bins)


def _read_selected(
    dataset: Dataset, column: str, name: str, num_bins: int | None, edges: Edges | None = None
) -> LabelColumn:
    """Read a column off the table beneath a data set, its rows selected as the data set selects them.

    What `shuffle` and `select` leave behind is a list of rows. Any public way through it gathers them one by one: a
    million take five seconds, and `FederatedDataset` shuffles every data set it loads.
    """
    import pyarrow as pa

    table: pa.Table = dataset.data
    values = table.column(column)
    if dataset._indices is None:
        return read_labels(values, name=name, num_bins=num_bins, edges=edges)
    selection: pa.Table = dataset._indices
    rows = selection.column(0)
    # Codes are a byte or two where values are eight, so it is they that are gathered; unless few rows are selected, or
    # those that are not could change what the others are: missing labels, and the edges of bins.
    binned = num_bins is not None or edges is not None
    if binned or values.null_count or pa.types.is_floating(values.type) or 8 * len(rows) < len(values):
        return read_labels(values.combine_chunks().take(rows), name=name, num_bins=num_bins, edges=edges)
    return read_labels(values, name=name).take(rows.to_numpy())


def _integers_or_arrow(labels: Labels, name: str) -> NDArray[Any] | pa.ChunkedArray:
    """Return integers and booleans as a NumPy array, all else as an Arrow column."""
    import pyarrow as pa

    if isinstance(labels, pa.Array):
        return pa.chunked_array([labels])
    if isinstance(labels, pa.ChunkedArray):
        return labels
    _refuse_dataset(labels, name)
    if isinstance(labels, str | bytes | Mapping | Set) or not hasattr(labels, "__len__"):
        raise TypeError(f"{name} must be a sequence with one label per row, got {_kind(labels)}")
    dtype = getattr(labels, "dtype", None)
    if dtype is not None and not isinstance(dtype, np.dtype) and hasattr(labels, "to_numpy"):
        # A pandas column of a type of pandas' own (nullable, categorical, string): Arrow knows them all.
        return pa.chunked_array([pa.Array.from_pandas(labels)])
    if not isinstance(labels, np.ndarray) and hasattr(labels, "__array__"):
        labels = np.asarray(labels)
    if isinstance(labels, np.ndarray):
        if labels.ndim != 1:
            raise TypeError(
                f"{name} must have one dimension, got an array of shape {labels.shape}; "
                f"one-hot labels become classes with .argmax(axis=1)"
            )
        labels = labels.astype(labels.dtype.newbyteorder("="), copy=False)
        # What a mask hides is missing, and Arrow knows masks.
        if labels.dtype.kind in "iub" and not isinstance(labels, np.ma.MaskedArray):
            return labels
    try:
        if isinstance(labels, np.ndarray) and labels.dtype.kind == "S":
            labels = labels.astype(np.str_)
        if isinstance(labels, np.ndarray) and labels.dtype.kind == "U":
            labels = labels.astype(object)  # Arrow would cut NumPy's strings at their first NUL.
        # from_pandas: NaN among objects is a missing label, not a float.
        return pa.chunked_array([pa.array(labels, from_pandas=True)])
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, ValueError) as error:
        raise TypeError(f"{name} must all be of one type; {_ALLOWED}: {error}") from None


def _refuse_dataset(labels: object, name: str) -> None:
    if "datasets" in sys.modules:
        from datasets import Dataset, DatasetDict

        if isinstance(labels, Dataset | DatasetDict):
            raise TypeError(
                f"{name} must be the labels alone, got a whole {type(labels).__name__}; "
                f'pass one column, e.g. dataset["label"], or set it as the partitioner\'s dataset'
            )


def _is_datasets_column(labels: object) -> bool:
    """Whether this is what `dataset["label"]` gives since datasets 4: a lazy view, slow to walk through."""
    return type(labels).__module__.startswith("datasets.") and hasattr(labels, "column_name")


def _present(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return the column with no dictionary, once it is clear that no value is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    # Only fractions can be NaN, which to Arrow is a value and to us a missing label.
    if column.null_count or pa.types.is_floating(column.type):
        missing = pc.is_null(column, nan_is_null=True)
        if pc.any(missing).as_py():
            raise ValueError(
                f"{name} has no label (None or NaN) at row {pc.index(missing, True).as_py()}, "
                f"{pc.sum(missing).as_py()} such rows in all; drop these rows or give them a label first"
            )
    return column


def _numbers(column: NDArray[Any] | pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    import pyarrow as pa

    if not isinstance(column, np.ndarray):
        column = _present(column, name)
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise TypeError(f"{name} is of type {column.type}, and only numbers can be binned; leave out num_bins")
        column = np.concatenate([chunk.to_numpy() for chunk in column.chunks])
    return column.astype(np.float64)


def _encode_bins(values: NDArray[np.float64], num_bins: int | None, edges: Edges | None) -> LabelColumn:
    if edges is None:
        count = min(num_bins or 1, len(values))
        places = np.arange(1, count) * len(values) // count
        quantiles = np.partition(values, places)[places]
        # An edge at the lowest value, of which there are then many, would have nothing below it.
        above = values[values > values.min()]
        edges = np.unique(np.maximum(quantiles, above.min())) if len(above) else quantiles[:0]
    codes = np.searchsorted(edges, values, side="right")
    found = np.flatnonzero(np.bincount(codes, minlength=len(edges) + 1))
    return LabelColumn(np.searchsorted(found, codes).astype(np.min_scalar_type(len(found) - 1)), found, edges)


def _encode_arrow(column: pa.ChunkedArray, name: str) -> LabelColumn:
    import pyarrow as pa

    column = _present(column, name)
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _encode_integers(np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks]))
    if str(kind) in ("string", "large_string", "string_view"):
        encoded = column.cast(pa.large_string()).combine_chunks().dictionary_encode()
        return _sort_classes(encoded.indices.to_numpy(), encoded.dictionary.to_pylist(), name)
    if pa.types.is_floating(kind):
        raise TypeError(
            f"{name} holds fractions ({kind}), and {_ALLOWED}; "
            f"cast whole numbers with .astype(int), or pass num_bins for a continuous target"
        )
    if pa.types.is_nested(kind):
        raise TypeError(f"{name} holds several values per row ({kind}), and {_ALLOWED}, one per row; choose one")
    raise TypeError(f"{name} is of type {kind}, and {_ALLOWED}; convert it first")


def _encode_integers(values: NDArray[Any]) -> LabelColumn:
    """Encode integers or booleans of any width: by a table where their range is small, else by hashing."""
    if values.dtype.kind == "b":
        column = _encode_integers((values.view(np.uint8) != 0).view(np.uint8))
        return LabelColumn(column.codes, column.classes.astype(np.bool_))
    low, high = int(values.min()), int(values.max())
    canonical = np.int64 if high <= np.iinfo(np.int64).max else np.uint64
    if high - low >= max(4 * len(values), 1 << 16):
        import pyarrow as pa

        encoded = pa.array(values).dictionary_encode()
        return _sort_classes(encoded.indices.to_numpy(), encoded.dictionary.to_numpy().astype(canonical), "labels")
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(values), _BLOCK)]
    present = np.zeros(high - low + 1, dtype=np.bool_)
    for block in blocks:
        present[values[block].astype(canonical) - canonical(low)] = True
    found = np.flatnonzero(present)
    table = np.zeros(len(present), dtype=np.min_scalar_type(len(found) - 1))
    table[found] = np.arange(len(found))
    codes = np.empty_like(values, dtype=table.dtype)
    for block in blocks:
        codes[block] = table[values[block].astype(canonical) - canonical(low)]
    return LabelColumn(codes, found.astype(canonical) + canonical(low))


def _canonical(classes: Classes) -> Classes:
    """Return integers as int64 where that holds them, so that equal classes are of one type."""
    if classes.dtype == np.uint64 and int(classes[-1]) <= np.iinfo(np.int64).max:
        return classes.astype(np.int64)
    return classes


def _sort_classes(codes: NDArray[Any], found: list[str] | NDArray[Any], name: str) -> LabelColumn:
    """Turn codes that follow the order of appearance into codes that follow the sorted classes."""
    classes = np.array(found)
    if isinstance(found, list) and classes.tolist() != found:
        raise ValueError(f"{name} holds a string that ends in a NUL character, which NumPy drops; strip it first")
    order = np.argsort(classes, kind="stable")
    rank = np.empty(len(order), dtype=np.min_scalar_type(len(order) - 1))
    rank[order] = np.arange(len(order))
    return LabelColumn(rank[codes], classes[order])


def _kind(value: object) -> str:
    return f"{value!r:.40} of type {type(value).__name__}"
