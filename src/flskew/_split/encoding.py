"""Encode labels: the label of each row becomes its position among the sorted classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from flskew._split.columns import ALLOWED, present, read_numbers
from flskew.typing import Classes, Codes, Edges, Label, Sizes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LabelColumn", "encode", "encode_bins", "subset"]

# Rows encoded at a time: few enough to stay in the cache, so working memory does not grow with the data set.
_BLOCK = 1 << 16
# NumPy stores every string in as many bytes as the longest needs. Labels never reach this limit, but a column of texts
# does, and the system would kill the process without a message.
_MOST_BYTES = 1 << 32


@dataclass(frozen=True, eq=False)
class LabelColumn:
    """One label per row, as positions among the sorted classes.

    Attributes:
        codes: (num_rows,) unsigned integers of the smallest sufficient width.
        classes: (num_classes,) the distinct labels in increasing order: int64 (uint64 if needed), bool or str.
        edges: (num_classes - 1,) boundaries if the classes are bins of a continuous target, otherwise None.

    Examples:
        >>> from flskew.partitioners import read_labels
        >>> column = read_labels(["dog", "cat", "dog"])
        >>> len(column), column.labels, column.sizes, column.codes
        (3, ['cat', 'dog'], array([1, 2]), array([1, 0, 1], dtype=uint8))
    """

    codes: Codes
    classes: Classes
    edges: Edges | None = None
    _sizes: Sizes | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.codes)

    @cached_property
    def labels(self) -> list[Label]:
        """The distinct labels in increasing order, as Python values."""
        return cast("list[Label]", self.classes.tolist())

    @cached_property
    def sizes(self) -> Sizes:
        """(num_classes,) rows of each class, each >= 1."""
        return _count(self.codes, len(self.classes)) if self._sizes is None else self._sizes


def encode(
    values: NDArray[Any] | pa.ChunkedArray, name: str, *, rows: pa.ChunkedArray | None = None, can_bin: bool = False
) -> LabelColumn:
    """Encode the labels of some rows, or of all.

    Args:
        values: One label per row: integers or booleans in NumPy, anything else in Arrow.
        name: What error messages call them.
        rows: Which values to encode, at least one, in the order of the result; None for all.
        can_bin: Whether an error may recommend the argument `num_bins`.

    Raises:
        TypeError: The values cannot be labels.
        ValueError: A value is missing, even if its row is not selected.
    """
    if isinstance(values, np.ndarray):
        return _encode_integers(values, rows)
    import pyarrow as pa

    values = present(values, name)
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _encode_integers(values, rows)
    if str(kind) in ("string", "large_string", "string_view"):
        encoded = values.cast(pa.large_string()).combine_chunks().dictionary_encode()
        return _sorted(encoded.indices.to_numpy(), encoded.dictionary.to_pylist(), name, rows)
    if pa.types.is_floating(kind):
        remedy = "pass num_bins for a continuous target" if can_bin else "bin the values first, e.g. with np.digitize"
        raise TypeError(
            f"{name} {ALLOWED}, got floating-point numbers ({kind}); cast whole numbers with .astype(int), or {remedy}"
        )
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        remedy = "pass num_bins to split by time" if can_bin else "group them first, e.g. by year"
        raise TypeError(f"{name} {ALLOWED}, got dates ({kind}); {remedy}")
    if pa.types.is_nested(kind):
        raise TypeError(f"{name} {ALLOWED}, one per row, got several per row ({kind}); choose one of them")
    raise TypeError(f"{name} {ALLOWED}, got {kind}; convert it first")


def encode_bins(
    column: NDArray[Any] | pa.ChunkedArray, name: str, num_bins: int | None, edges: Edges | None
) -> LabelColumn:
    """Encode numbers or dates by their bin: `num_bins` quantile bins, or bins with the given `edges`."""
    values = read_numbers(column, name, "omit num_bins" if edges is None else "pass the values of which bins were made")
    if values.dtype.kind != "M":
        values = values.astype(np.float64)
    if edges is not None and edges.dtype.kind != values.dtype.kind:
        wanted, got = ("dates", "numbers") if edges.dtype.kind == "M" else ("numbers", "dates")
        raise TypeError(f"{name} must be {wanted}, like those that were binned before, got {got}")
    if edges is None:
        count = min(num_bins or 1, len(values))
        places = np.arange(1, count) * len(values) // count
        quantiles = np.partition(values, places)[places]
        # A quantile at the lowest value would make an empty bin below it.
        above = values[values > values.min()]
        edges = np.unique(np.maximum(quantiles, above.min())) if len(above) else quantiles[:0]
    codes = np.searchsorted(edges, values, side="right").view(np.uint64)
    narrow = codes.astype(np.min_scalar_type(len(edges)))
    return replace(_narrowed(narrow, np.arange(len(edges) + 1), None), edges=edges)


def subset(column: LabelColumn, rows: NDArray[np.int64]) -> LabelColumn:
    """Return the labels of some rows, at least one, with only the classes that occur; bins are plain classes."""
    return _narrowed(column.codes[rows], column.classes, None)


def _blocks(values: NDArray[Any] | pa.ChunkedArray) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield values, none missing, block by block without copying them all: where each block lies, and the block."""
    for start in range(0, len(values), _BLOCK):
        place = slice(start, start + _BLOCK)
        yield place, _as_numpy(values[place])


def _as_numpy(values: NDArray[Any] | pa.ChunkedArray) -> NDArray[Any]:
    return values if isinstance(values, np.ndarray) else values.to_numpy()


def _encode_integers(values: NDArray[Any] | pa.ChunkedArray, rows: pa.ChunkedArray | None) -> LabelColumn:
    """Encode integers or booleans of any width: by their distance from the lowest if the range is small, or by hashing.

    Rows are selected after encoding, because codes take one or two bytes and values take eight.
    """
    low, high, is_bool = _range(values)
    canonical = np.int64 if high <= np.iinfo(np.int64).max else np.uint64
    if high - low >= max(len(values), _BLOCK):
        import pyarrow as pa

        encoded = (pa.array(values) if isinstance(values, np.ndarray) else values.combine_chunks()).dictionary_encode()
        return _sorted(encoded.indices.to_numpy(), encoded.dictionary.to_numpy().astype(canonical), "labels", rows)
    codes = np.empty(len(values), dtype=np.min_scalar_type(high - low))
    for place, block in _blocks(values):
        codes[place] = block.astype(canonical, copy=False) - canonical(low)
    classes = np.arange(high - low + 1, dtype=canonical) + canonical(low)
    return _narrowed(codes, classes.astype(np.bool_) if is_bool else classes, rows)


def _range(values: NDArray[Any] | pa.ChunkedArray) -> tuple[int, int, bool]:
    """Return the lowest and the highest value of integers or booleans, and whether they are booleans."""
    if isinstance(values, np.ndarray):
        return int(values.min()), int(values.max()), values.dtype.kind == "b"
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = pc.min_max(values).as_py()
    return int(ends["min"]), int(ends["max"]), pa.types.is_boolean(values.type)


def _sorted(
    codes: NDArray[Any], found: list[str] | NDArray[Any], name: str, rows: pa.ChunkedArray | None
) -> LabelColumn:
    """Convert codes in order of appearance to codes in the order of the sorted classes."""
    if isinstance(found, list):
        longest = max(map(len, found))
        if 4 * longest * len(found) > _MOST_BYTES:
            raise ValueError(
                f"{name} contains {len(found):,} different strings of up to {longest:,} characters, which look like "
                f"texts rather than classes; choose the column with the labels, or number the classes"
            )
    classes = np.array(found)
    if isinstance(found, list) and classes.tolist() != found:
        raise ValueError(f"{name} contains a string that ends with a NUL character, which NumPy drops; strip it first")
    order = np.argsort(classes, kind="stable")
    rank = np.empty(len(order), dtype=np.min_scalar_type(len(order) - 1))
    rank[order] = np.arange(len(order))
    return _narrowed(rank[codes], classes[order], rows)


def _narrowed(codes: Codes, classes: Classes, rows: pa.ChunkedArray | None) -> LabelColumn:
    """Select some rows, and drop the classes that none of them has."""
    if rows is not None:
        chosen = np.empty(len(rows), dtype=codes.dtype)
        for place, block in _blocks(rows):
            # No index is out of range; mode="clip" lets NumPy write directly to the output.
            np.take(codes, block.view(np.int64), out=chosen[place], mode="clip")
        codes = chosen
    sizes = _count(codes, len(classes))
    found = np.flatnonzero(sizes)
    if len(found) < len(classes):
        rank = np.zeros(len(classes), dtype=np.min_scalar_type(len(found) - 1))
        rank[found] = np.arange(len(found))
        codes, classes, sizes = rank[codes], _canonical(classes[found]), sizes[found]
    return LabelColumn(codes, classes, None, sizes)


def _canonical(classes: Classes) -> Classes:
    """Return integers as int64 if they fit, so that equal classes have the same type."""
    if classes.dtype == np.uint64 and int(classes[-1]) <= np.iinfo(np.int64).max:
        return classes.astype(np.int64)
    return classes


def _count(codes: Codes, num_classes: int) -> Sizes:
    """(num_classes,) number of rows with each code."""
    sizes = np.zeros(num_classes, dtype=np.int64)
    # Block by block, because bincount makes a copy of eight bytes per row.
    step = max(_BLOCK, num_classes)
    for start in range(0, len(codes), step):
        sizes += np.bincount(codes[start : start + step], minlength=num_classes)
    return sizes
