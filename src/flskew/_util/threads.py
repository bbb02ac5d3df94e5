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

    Cluster jobs and containers may be limited to fewer processors than the machine has; additional threads would only
    wait.
    """
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_strips(work: Callable[[range], Result], blocks: range) -> list[Result]:
    """Cut blocks into one strip per processor, process the strips in parallel and return one result each.

    The strips and their results are in the order of the blocks. It pays for work that NumPy does without the
    interpreter's lock.

    Args:
        work: Called with the blocks of a strip.
        blocks: All blocks, by number or by start.
    """
    threads = min(usable_processors(), len(blocks))
    if threads <= 1:  # Starting a thread takes as long as a small block does.
        return [work(blocks)]
    length = -(-len(blocks) // threads)
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, (blocks[first : first + length] for first in range(0, len(blocks), length))))


def in_threads(work: Callable[[Task], Result], tasks: Sequence[Task], max_workers: int) -> Iterator[Result]:
    """Do the tasks and yield each result when it is ready; with one worker in this thread, in the order of the tasks.

    If a task raises, or the consumer stops, no further task starts.
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
