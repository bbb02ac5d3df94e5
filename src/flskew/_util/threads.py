"""Work on several processors at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

__all__ = ["in_strips", "in_threads", "usable_processors"]

Task = TypeVar("Task")
Result = TypeVar("Result")


def usable_processors() -> int:
    """Return how many processors this process may use, at least 1.

    A job of a cluster, and a container held to some processors, may use fewer than the machine has; more threads than
    those wait for each other.
    """
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


def in_threads(work: Callable[[Task], Result], tasks: Sequence[Task], max_workers: int) -> Iterator[Result]:
    """Do the tasks and yield each result when it is ready; with one worker in this thread, in the order of the tasks.

    Once a task raises, or whoever takes the results stops or is interrupted, no further task is begun.
    """
    workers = min(max_workers, len(tasks))
    if workers <= 1:
        yield from map(work, tasks)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="flskew-client")
    try:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
