"""Who looks at the rows, and the random numbers of each row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flskew.typing import Rows

__all__ = ["RowStreams", "Viewer"]


class Viewer(NamedTuple):
    """The client that sees the rows.

    Attributes:
        partition_id: Its partition, 0 ... num_partitions - 1.
        num_partitions: Number of partitions.
        place: Position of the shift in a chain of shifts. Random numbers depend on it, so that two equal shifts in a
            chain do not add up to one that is twice as strong.

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
            seed: Any integer.
            purpose: What the numbers are for; numbers for different purposes are independent.
        """
        return RowStreams(f"flskew:1:{seed}:shift:{purpose}:{self.place}:{self.partition_id}")


class RowStreams:
    """Random numbers that depend on the row alone, whatever batch it is in, and in whatever process.

    Each row has its own part of a Philox stream, a generator whose position can be set, whose key is the digest of a
    name. Made by `Viewer.streams`.

    J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.

    Args:
        name: Identifies the stream.

    Examples:
        >>> import numpy as np
        >>> from flskew.shifts import Viewer
        >>> streams = Viewer(0, 10).streams(seed=42, purpose="noise")
        >>> both, one = streams.normal(np.array([7, 3]), (2,)), streams.normal(np.array([3]), (2,))
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
            shape: Shape of the numbers of one row.
            dtype: float32 or float64; the two draw different numbers.
        """
        numbers = np.empty((len(rows), *shape), dtype=dtype)
        for out in self._at_each(rows, numbers):
            self._generator.standard_normal(dtype=dtype, out=out)
        return numbers

    def uniform(self, rows: Rows, shape: tuple[int, ...] = ()) -> NDArray[np.float64]:
        """Return (len(rows), *shape) numbers, uniform in [0, 1)."""
        numbers = np.empty((len(rows), *shape), dtype=np.float64)
        for out in self._at_each(rows, numbers):
            self._generator.random(out=out)
        return numbers

    def _at_each(self, rows: Rows, numbers: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Move to the part of each row, and yield where its numbers belong."""
        counter = self._start["state"]["counter"]
        # One number per row would be a scalar, to which nothing can be written.
        for row, out in zip(rows.tolist(), numbers.reshape(len(rows), math.prod(numbers.shape[1:])), strict=True):
            counter[2] = row  # Each row has 2^128 blocks of four numbers.
            self._bits.state = self._start  # type: ignore[assignment]
            yield out
