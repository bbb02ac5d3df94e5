"""Work on several processors at once."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

__all__ = ["in_strips", "in_threads", "usable_processors"]

# Starting a thread takes as long as averaging a few hundred thousand elements, and more on a busy machine.
_ELEMENTS_PER_THREAD = 1 << 21

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


def in_strips(work: Callable[[range], Result], blocks: range, num_elements: int) -> list[Result]:
    """Cut blocks into one strip per processor, process the strips in parallel and return one result each.

    The strips and their results are in the order of the blocks. This helps where NumPy releases the interpreter's lock.

    Args:
        work: Called with the blocks of a strip.
        blocks: All blocks, by number or by start.
        num_elements: Total number of array elements that `work` reads. Small work runs in this thread, because it
            takes less time than starting another.
    """
    threads = min(usable_processors(), len(blocks), num_elements // _ELEMENTS_PER_THREAD)
    if threads <= 1:
        return [work(blocks)]
    length = -(-len(blocks) // threads)
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, (blocks[first : first + length] for first in range(0, len(blocks), length))))


def in_threads(work: Callable[[Task], Result], tasks: Sequence[Task], max_workers: int) -> Iterator[Result]:
    """Run the tasks and yield each result when it is ready; one worker runs them in this thread, in order.

    If a task raises, or the consumer stops or is interrupted, no further task starts, and those that run are
    interrupted. A thread in a long call outside Python is interrupted only when the call returns; neither this function
    nor the end of the program waits for it.
    """
    workers = min(max_workers, len(tasks))
    if workers <= 1:
        yield from map(work, tasks)
        return
    waiting = deque(tasks)
    finished: SimpleQueue[Future[Result]] = SimpleQueue()

    def work_until_done() -> None:
        with contextlib.suppress(KeyboardInterrupt, IndexError):  # interrupted, or another thread took the last task
            while waiting:
                finished.put(_attempted(work, waiting.popleft()))

    # Python joins the threads of a ThreadPoolExecutor when it exits, so a client that takes a minute would delay Ctrl-C
    # by a minute. Daemon threads end with the program.
    threads = [Thread(target=work_until_done, name=f"flskew-{number}", daemon=True) for number in range(workers)]
    try:
        for thread in threads:
            thread.start()
        for _ in tasks:
            yield _next(finished).result()
        for thread in threads:
            thread.join()
    finally:
        waiting.clear()
        _interrupt([thread for thread in threads if thread.is_alive()])


def _attempted(work: Callable[[Task], Result], task: Task) -> Future[Result]:
    """Return what a task returned or raised; a separate function, so that the thread keeps neither alive."""
    future: Future[Result] = Future()
    try:
        future.set_result(work(task))
    except BaseException as error:  # the consumer raises it
        future.set_exception(error)
    return future


def _next(finished: SimpleQueue[Future[Result]]) -> Future[Result]:
    while True:
        try:
            return finished.get(timeout=0.5)
        except Empty:  # On Windows, Ctrl-C cannot interrupt a wait, only what follows it.
            continue


def _interrupt(threads: Sequence[Thread]) -> None:
    """Raise KeyboardInterrupt in each thread, as Ctrl-C does in the main one, and give them a moment to end.

    A thread that is still computing when Python exits may abort the process, as in PyTorch.
    """
    # Under a debugger or coverage, Python 3.11 would not continue until a thread that is blocked has raised.
    if sys.gettrace() is None:
        for thread in threads:
            number, error = ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(number, error)
    latest = time.monotonic() + 0.5
    for thread in threads:
        thread.join(max(0.0, latest - time.monotonic()))
