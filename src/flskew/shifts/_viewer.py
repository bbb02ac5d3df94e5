"""Who looks at the rows, and the random numbers of each row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew.typing import Rows

__all__ = ["RowStreams", "Viewer"]

_PART = 256
"""Most random numbers in a part of a stream that rows share. Changing it changes all random numbers of narrow rows."""

_PARTS = 256
"""Number of parts in memory at the same time."""


class Viewer(NamedTuple):
    """The client that sees the rows.

    Attributes:
        partition_id: Its partition, 0 ... num_partitions - 1.
        num_partitions: Number of partitions.
        place: Position of the shift in a chain of shifts. Random numbers depend on it, so two equal shifts in a chain
            draw different numbers.

    Examples:
        >>> from flskew.shifts import Viewer
        >>> Viewer(partition_id=2, num_partitions=10)
        Viewer(partition_id=2, num_partitions=10, place=0)
    """

    partition_id: int
    num_partitions: int
    place: int = 0

    def streams(self, seed: int, purpose: str) -> RowStreams:
        """Return the random numbers of each row for this client.

        Args:
            seed: Any integer; it determines every random draw.
            purpose: What the numbers are for; numbers for different purposes are independent.
        """
        return RowStreams(f"flskew:1:{seed}:shift:{purpose}:{self.place}:{self.partition_id}")


class RowStreams:
    """Random numbers that depend only on the row, in any batch and in any process.

    `Viewer.streams` makes one. Philox is a random generator whose position in its stream can be set; its key is a
    digest of `name`, and each row reads its own part of the stream. Rows that need only a few numbers share a part,
    because setting the position takes longer than drawing them.

    J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.

    Args:
        name: Identifies the stream.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import Viewer
        >>> streams = Viewer(0, 10).streams(seed=42, purpose="noise")
        >>> both = streams.normal(np.array([7, 3]), (2,))
        >>> one = streams.normal(np.array([3]), (2,))
        >>> bool((both[1] == one[0]).all())
        True
    """

    def __init__(self, name: str) -> None:
        self._bits = np.random.Philox(key=int.from_bytes(blake2b(name.encode(), digest_size=16).digest(), "little"))
        self._generator = np.random.Generator(self._bits)
        # Of a new generator, so its buffers are empty.
        self._start: dict[str, Any] = {**self._bits.state}

    def normal(self, rows: Rows, shape: tuple[int, ...], dtype: type[np.floating[Any]] = np.float64) -> NDArray[Any]:
        """Return (len(rows), *shape) standard normal numbers.

        Args:
            rows: Row numbers, each >= 0.
            shape: Shape of the numbers of one row; another shape draws different numbers.
            dtype: float32 or float64; the two draw different numbers.
        """
        return self._drawn(rows, np.empty((len(rows), *shape), dtype), self._generator.standard_normal)

    def uniform(self, rows: Rows, shape: tuple[int, ...] = ()) -> NDArray[np.float64]:
        """Return (len(rows), *shape) numbers, uniform in [0, 1)."""
        return self._drawn(rows, np.empty((len(rows), *shape), np.float64), self._generator.random)

    def _drawn(self, rows: Rows, numbers: NDArray[Any], draw: Callable[..., Any]) -> NDArray[Any]:
        """Fill `numbers`, and return it."""
        if not numbers.size:
            return numbers
        size = math.prod(numbers.shape[1:])
        self._start["state"]["counter"][3] = size
        flat, shared = numbers.reshape(len(rows), size), _PART // size
        if shared <= 1:
            self._draw_each(rows, flat, draw)
            return numbers
        parts = rows // shared
        places = rows - parts * shared
        order = None
        if np.any(parts[1:] < parts[:-1]):
            # NumPy sorts short integers much faster.
            order = np.argsort(parts.astype(np.min_scalar_type(parts.max())), kind="stable")
            parts, places = parts[order], places[order]
        edges = np.append(np.flatnonzero(np.diff(parts, prepend=-1)), len(rows))
        drawn = np.empty((_PARTS, shared, size), flat.dtype)
        for first in range(0, len(edges) - 1, _PARTS):
            some = edges[first : first + _PARTS + 1]
            starts, within = some[:-1], slice(some[0], some[-1])
            # What comes after the last place is not needed.
            counts = np.maximum.reduceat(places[within], starts - some[0]) + 1
            outs = (out[:count] for out, count in zip(drawn, counts.tolist(), strict=False))
            self._draw_each(parts[starts], outs, draw)
            chosen = places[within] + np.repeat(np.arange(len(starts)) * shared, np.diff(some))
            flat[within if order is None else order[within]] = drawn.reshape(-1, size).take(chosen, axis=0)
        return numbers

    def _draw_each(self, parts: NDArray[np.int64], outs: Iterable[NDArray[Any]], draw: Callable[..., Any]) -> None:
        """Fill each array from the beginning of its part."""
        counter = self._start["state"]["counter"]
        for part, out in zip(parts.tolist(), outs, strict=False):
            counter[2] = part  # Each part has 2^128 blocks of four numbers.
            self._bits.state = self._start  # type: ignore[assignment]
            draw(dtype=out.dtype, out=out)
