"""Several pieces of work at the same time, with results as they are ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

__all__ = ["in_threads"]

Task = TypeVar("Task")
Result = TypeVar("Result")


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
