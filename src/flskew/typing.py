"""Named types: an annotation says what an array contains, and its shape."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

__all__ = [
    "Alpha",
    "ClassAssignmentMode",
    "Classes",
    "Codes",
    "Config",
    "Counts",
    "Edges",
    "Features",
    "Figures",
    "GroupMode",
    "Holders",
    "Label",
    "LabelCounts",
    "Labels",
    "Layout",
    "MapDataset",
    "MetricValue",
    "MetricsAggregator",
    "Mod",
    "MultiLabels",
    "NumExamples",
    "Offsets",
    "OnExcluded",
    "OnUnknown",
    "Parameters",
    "Phase",
    "Record",
    "ReturnedParameters",
    "Rows",
    "RunConfig",
    "ServerEvaluation",
    "Shares",
    "Sizes",
    "Times",
    "Weights",
]

Label: TypeAlias = int | str | bool
"""One class: an integer, a string or a boolean."""

Rows: TypeAlias = NDArray[np.int64]
"""Positions of rows in the user's data set, each >= 0."""

Offsets: TypeAlias = NDArray[np.int64]
"""(num_partitions + 1,), non-decreasing, starting at 0: partition i lies between offsets i and i + 1."""

Sizes: TypeAlias = NDArray[np.int64]
"""(num_partitions,) or (num_classes,) numbers of rows."""

Counts: TypeAlias = NDArray[np.int64]
"""(num_classes, num_partitions) number of rows of each class in each partition; the transpose of `LabelCounts`."""

LabelCounts: TypeAlias = NDArray[np.int64]
"""(num_partitions, num_classes) number of rows of each class in each partition."""

Shares: TypeAlias = NDArray[np.float64]
"""(num_classes, num_partitions) fraction of each class in each partition: non-negative, each class summing to 1."""

Weights: TypeAlias = NDArray[np.float64]
"""(num_classes, num_partitions), or (num_partitions,) for one class: logarithms of unnormalised shares."""

Holders: TypeAlias = NDArray[np.bool_]
"""(num_classes, num_partitions) whether a partition may hold rows of a class."""

Codes: TypeAlias = NDArray[np.unsignedinteger[Any]]
"""(num_rows,) position of each row's label among the sorted classes."""

Classes: TypeAlias = NDArray[np.int64] | NDArray[np.uint64] | NDArray[np.str_] | NDArray[np.bool_]
"""(num_classes,) the distinct labels, sorted."""

Edges: TypeAlias = NDArray[np.float64] | NDArray[np.datetime64]
"""(num_classes - 1,) increasing boundaries of bins, numbers or dates: the class of a value is the number of edges that
are <= it. Dates are datetime64[us] in UTC."""

Alpha: TypeAlias = float | Sequence[float] | NDArray[np.floating[Any]] | NDArray[np.integer[Any]]
"""A Dirichlet concentration, > 0: one number for all partitions, or one per partition."""


OnExcluded: TypeAlias = Literal["redistribute", "drop"]
"""What happens to the rows that a partition must not hold: other partitions get them, or they are unassigned."""

OnUnknown: TypeAlias = Literal["error", "drop"]
"""What happens to the rows of a natural id that has no partition: they raise an error, or they are unassigned."""

ClassAssignmentMode: TypeAlias = Literal["random", "deterministic", "first-deterministic"]
"""How the classes of a partition are chosen, as in Flower Datasets' `PathologicalPartitioner`."""

GroupMode: TypeAlias = Literal["allow-smaller", "allow-bigger", "drop-reminder", "strict"]
"""What to do with natural ids that do not fill a group, as in Flower Datasets' `GroupedNaturalIdPartitioner`."""


class _ArrowColumn(Protocol):
    """The common part of a pyarrow Array and ChunkedArray."""

    @property
    def null_count(self) -> int:
        """Number of missing values."""
        ...

    def __len__(self) -> int:
        """Number of rows."""
        ...


class _ArrayLike(Protocol):
    """Anything NumPy can convert: pandas columns, tensors of any framework."""

    def __array__(self) -> NDArray[Any]: ...


class _Sparse(Protocol):
    """A SciPy sparse matrix or array of any format."""

    def tocsr(self) -> Any: ...


Labels: TypeAlias = Sequence[Label] | _ArrayLike | _ArrowColumn
"""One label per row: a list, a NumPy array, a pandas or Arrow column, a column of a Hugging Face data set."""

MultiLabels: TypeAlias = Sequence[Collection[Label]] | _ArrayLike | _ArrowColumn | _Sparse
"""Any number of labels per row: a 0/1 matrix of rows by classes, as a NumPy array, a SciPy sparse matrix or a DataFrame
with the names of the classes; or a list, set or tuple of labels for each row, an Arrow column of lists, a column of
lists of a Hugging Face data set."""

Times: TypeAlias = Sequence[date] | Sequence[np.datetime64] | Sequence[float] | _ArrayLike | _ArrowColumn
"""One time per row: dates with or without a time of day and a zone, or numbers such as years; a list, a NumPy array, a
pandas or Arrow column, a column of a Hugging Face data set."""

Features: TypeAlias = "Any"
"""One entry per row: an array of any shape, a DataFrame, or a mapping from names to columns."""

Figures: TypeAlias = NDArray[np.float64]
"""Numbers that were measured, such as accuracies; NaN where there are none. Each use gives the shape."""

Layout: TypeAlias = Literal["NHW", "NHWC", "NCHW"]
"""The axes of an array of images: N is the images, H their height, W their width, C their channels."""


class MapDataset(Protocol):
    """A data set whose entries have numbers, such as a map-style `torch.utils.data.Dataset` or a list."""

    def __getitem__(self, row: int, /) -> Any:
        """Return one entry."""
        ...

    def __len__(self) -> int:
        """Number of entries."""
        ...


Parameters: TypeAlias = list[NDArray[Any]]
"""A model's weights in a fixed order; each array has its own dtype and shape."""

Config: TypeAlias = dict[str, Any]
"""The server's settings for a round; values are bool, int, float, str, bytes, or lists of one of these."""

MetricValue: TypeAlias = int | float | list[int] | list[float]
"""A value of a Flower `MetricRecord`."""

Phase: TypeAlias = Literal["train", "evaluate"]
"""The two halves of a round."""

MetricsAggregator: TypeAlias = "Callable[[list[RecordDict], str], MetricRecord]"
"""Combines the metrics of accepted replies, given their contents and the key of their weight."""

ServerEvaluation: TypeAlias = "Callable[[int, ArrayRecord], MetricRecord | None]"
"""Evaluates the model on the server, given the round and the model."""

Record: TypeAlias = "ArrayRecord | MetricRecord | ConfigRecord"
"""A record in a message."""

ReturnedParameters: TypeAlias = Sequence[NDArray[Any]]
"""As many arrays as the client received, in the same order, with the same shapes and dtypes."""

NumExamples: TypeAlias = int | np.integer[Any]
"""Number of rows used; the weight of a reply."""

Mod: TypeAlias = "Callable[[Message, Context, Callable[[Message, Context], Message]], Message]"
"""One of Flower's modifiers, given the message, the context and the function to call next."""

RunConfig: TypeAlias = dict[str, bool | float | int | str]
"""The run config of a Flower app, as in `context.run_config`."""
