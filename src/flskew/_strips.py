"""Work on the blocks of large arrays, shared among the processors."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from flskew._processors import usable_processors

__all__ = ["in_strips"]

Result = TypeVar("Result")


def in_strips(work: Callable[[range], Result], blocks: range) -> list[Result]:
    """Cut blocks into one strip for each processor, work on all at the same time and return one result for each.

    The strips and their results are in the order of the blocks. Worth it for work that NumPy does without holding the
    interpreter's lock.

    Args:
        work: Is given the blocks of a strip.
        blocks: All of them, by their numbers or by where they start.
    """
    threads = min(usable_processors(), len(blocks))
    if threads <= 1:  # Starting a thread takes as long as a small block does.
        return [work(blocks)]
    length = -(-len(blocks) // threads)
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, (blocks[first : first + length] for first in range(0, len(blocks), length))))
