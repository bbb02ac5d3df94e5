"""Read labels from the types that users have, without a Python object per row."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.columns import ALLOWED, read_numbers
from flskew._split.encoding import LabelColumn, encode, encode_bins
from flskew.typing import Edges, Label, Labels, Times

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

__all__ = ["LabelColumn", "is_datasets_column", "read_column", "read_labels", "read_times", "shown"]

# Arrow has days, seconds and fractions of a second; only NaT has no unit.
_ARROWS_UNIT = {"Y": "M8[D]", "M": "M8[D]", "W": "M8[D]", "h": "M8[s]", "m": "M8[s]", "generic": "M8[s]"}


def read_labels(
    labels: Labels | LabelColumn,
    *,
    name: str = "labels",
    num_bins: int | None = None,
    edges: Edges | None = None,
    can_bin: bool = False,
) -> LabelColumn:
    """Read one label per row from a list, a NumPy array, a pandas or Arrow column, or any other array.

    Args:
        labels: One-dimensional integers, strings or booleans, in any order and with gaps; any numbers or dates if they
            are binned. A `LabelColumn` is returned unchanged.
        name: What error messages call them.
        num_bins: Number of quantile bins to use as classes. Bins have equal numbers of rows, except that equal values
            share a bin, so many equal values make fewer bins.
        edges: Boundaries of the bins to use as classes.
        can_bin: Whether an error may recommend `num_bins`.

    Raises:
        TypeError: The labels have an unsupported type or several types, are nested, or are not a sequence.
        ValueError: A label is missing (None, NaN), or there are no rows.

    Examples:
        >>> from flskew.partitioners import read_labels
        >>> read_labels(["b", "a", "b"]).codes
        array([1, 0, 1], dtype=uint8)
    """
    if isinstance(labels, LabelColumn):
        return labels
    if is_datasets_column(labels, name):
        return _read_selected(labels.source, labels.column_name, name, num_bins, edges, can_bin)  # type: ignore[union-attr]
    column = _integers_or_arrow(labels, name)
    if len(column) == 0:
        raise ValueError(f"{name} must contain at least one row, got none")
    if num_bins is not None or edges is not None:
        return encode_bins(column, name, num_bins, edges)
    return encode(column, name, can_bin=can_bin)


def read_column(
    dataset: Dataset,
    column: str,
    *,
    argument: str = "partition_by",
    num_bins: int | None = None,
    can_bin: bool = False,
) -> LabelColumn:
    """Read the labels in one column of a Hugging Face data set from the underlying Arrow table.

    Labels are read as stored; `set_transform` and `with_transform` do not apply.

    Raises:
        ValueError: The column does not exist, or `read_labels` rejects its values.
        TypeError: `read_labels` rejects the type of its values.
    """
    if column not in dataset.column_names:
        raise ValueError(
            f"{argument}={column!r} is not a column of the data set; it has {', '.join(dataset.column_names)}"
        )
    return _read_selected(dataset, column, f"column {column!r}", num_bins, None, can_bin)


def read_times(times: Times, name: str) -> NDArray[Any]:
    """Return one number per row as it is, or one date per row as datetime64[us] in UTC.

    Raises:
        TypeError: The values are neither numbers nor dates.
        ValueError: A value is missing.
    """
    if is_datasets_column(times, name):
        dataset, column = times.source, times.column_name  # type: ignore[union-attr]
        values = dataset.data.column(column)
        column = values if dataset._indices is None else values.combine_chunks().take(dataset._indices.column(0))
    else:
        column = times
    return read_numbers(_integers_or_arrow(column, name), name, "parse strings, e.g. with pandas.to_datetime")


def shown(labels: Collection[Label], most: int = 10) -> str:
    """Format labels for an error: the first few, and how many there are.

    Examples:
        >>> shown(range(12), most=3)
        '0, 1, 2, … (12 in total)'
    """
    # Sets are unordered, but an error should read the same each time.
    words = sorted(map(repr, labels)) if isinstance(labels, Set) else list(map(repr, labels))
    return ", ".join(words[:most]) + (f", … ({len(words)} in total)" if len(words) > most else "")


def _read_selected(
    dataset: Dataset, column: str, name: str, num_bins: int | None, edges: Edges | None, can_bin: bool
) -> LabelColumn:
    """Read a column of the table underlying a data set, selecting the rows that the data set selects.

    `shuffle` and `select` store a list of rows. The public ways to follow it gather rows one by one, which takes five
    seconds per million, and `FederatedDataset` shuffles every data set it loads.
    """
    import pyarrow as pa

    table: pa.Table = dataset.data
    values = table.column(column)
    if dataset._indices is None:
        labels = read_labels(values, name=name, num_bins=num_bins, edges=edges, can_bin=can_bin)
        return _without_unlabelled(labels, dataset, column)
    selection: pa.Table = dataset._indices
    rows = selection.column(0)
    # Codes take one or two bytes and values eight, so encode all rows, then select codes. But if few rows are selected,
    # or the other rows could affect the result (missing labels, edges of bins), select values first.
    binned = num_bins is not None or edges is not None
    if binned or values.null_count or pa.types.is_floating(values.type) or 8 * len(rows) < len(values):
        taken = values.combine_chunks().take(rows)
        chosen = read_labels(taken, name=name, num_bins=num_bins, edges=edges, can_bin=can_bin)
    else:
        chosen = encode(values, name, rows=rows, can_bin=can_bin)
    return _without_unlabelled(chosen, dataset, column)


def _without_unlabelled(labels: LabelColumn, dataset: Dataset, column: str) -> LabelColumn:
    """Refuse -1, which means "no label" in a `ClassLabel` column of Hugging Face."""
    from datasets import ClassLabel

    if isinstance(dataset.features[column], ClassLabel) and labels.edges is None and labels.labels[0] == -1:
        raise ValueError(
            f"column {column!r} has a missing label (-1 in a ClassLabel column) at row "
            f"{int(np.argmin(labels.codes))} ({labels.sizes[0]} in total); drop these rows or fill them in first"
        )
    return labels


def _integers_or_arrow(labels: Labels | Times, name: str) -> NDArray[Any] | pa.ChunkedArray:
    """Return integers and booleans as a NumPy array, anything else as an Arrow column."""
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
        # A pandas extension type (nullable, categorical, string): Arrow supports nearly all of them.
        try:
            return pa.chunked_array([pa.Array.from_pandas(labels)])
        except pa.ArrowException as error:
            raise TypeError(
                f"{name} is a column of type {dtype}, which Arrow does not support; "
                f"pass its values, e.g. {name}.to_numpy(): {error}"
            ) from None
    if hasattr(labels, "columns"):
        raise TypeError(
            f"{name} must be one column, got a whole {type(labels).__name__} of shape {getattr(labels, 'shape', '?')}; "
            f'pass the one with the labels, e.g. df["label"]'
        )
    # Arrow does not convert a list of NumPy's dates.
    has_numpys = isinstance(labels, Sequence) and len(labels) > 0 and isinstance(labels[0], np.datetime64)
    if has_numpys or (not isinstance(labels, np.ndarray) and hasattr(labels, "__array__")):
        labels = np.asarray(labels)
    if isinstance(labels, np.ndarray):
        if labels.ndim != 1:
            # Keras loads CIFAR's labels as a single column, for which argmax would return a single class.
            is_column = labels.shape[1:] == (1,)
            remedy = "flatten a single column" if is_column else "convert one-hot labels to classes"
            raise TypeError(
                f"{name} must have one dimension, got an array of shape {labels.shape}; "
                f"{remedy} with {'.ravel()' if is_column else '.argmax(axis=1)'}"
            )
        if not labels.dtype.isnative:
            labels = labels.astype(labels.dtype.newbyteorder("="))
        # Masked values are missing, and Arrow understands masks.
        if labels.dtype.kind in "iub" and not isinstance(labels, np.ma.MaskedArray):
            return labels
    try:
        if isinstance(labels, np.ndarray) and labels.dtype.kind == "S":
            labels = labels.astype(np.str_)
        if isinstance(labels, np.ndarray) and labels.dtype.kind == "M":
            labels = labels.astype(_ARROWS_UNIT.get(np.datetime_data(labels.dtype)[0], labels.dtype))
        if isinstance(labels, np.ndarray) and labels.dtype.kind in "UT":
            # Arrow would cut NumPy's strings at the first NUL, and does not support those of variable width.
            labels = labels.astype(object)
        # from_pandas: NaN among objects is a missing label rather than a float.
        try:
            array = pa.array(labels, from_pandas=True)
        except OverflowError:  # Arrow infers signed integers.
            array = pa.array(labels, type=pa.uint64(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError, TypeError, ValueError) as error:
        raise TypeError(f"{name} {ALLOWED}, all of the same type and integers of 64 bits: {error}") from None
    is_typed = isinstance(labels, np.ndarray) and labels.dtype != object
    # Arrow takes an integer among dates for a number of days or microseconds.
    if pa.types.is_temporal(array.type) and not is_typed and int in set(map(type, cast("Sequence[object]", labels))):
        raise TypeError(f"{name} must be all dates or all numbers, got both")
    return pa.chunked_array([array])


def _refuse_dataset(labels: object, name: str) -> None:
    if "datasets" in sys.modules:
        from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

        if isinstance(labels, Dataset | DatasetDict | IterableDataset | IterableDatasetDict):
            raise TypeError(
                f"{name} must be only the labels, got a whole {type(labels).__name__}; "
                f'pass one column, e.g. dataset["label"], or set it as the partitioner\'s dataset'
            )


def is_datasets_column(labels: object, name: str) -> bool:
    """Whether this is the lazy column that `dataset["label"]` returns since datasets 4, which is slow to iterate."""
    if not (type(labels).__module__.startswith("datasets.") and hasattr(labels, "column_name")):
        return False
    if type(labels).__name__ == "IterableColumn":
        raise TypeError(
            f"{name} is a column of a stream (IterableDataset), whose rows have no positions; "
            f"load the data set without streaming=True"
        )
    if hasattr(labels.source, "column_name"):  # type: ignore[attr-defined]
        raise TypeError(f"{name} is a column within a column; pass its values, e.g. dataset['meta']['label'][:]")
    return True


def _kind(value: object) -> str:
    return f"{value!r:.40} of type {type(value).__name__}"
