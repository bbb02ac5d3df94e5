"""Work is distributed over the usable processors."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from flskew._util.threads import in_strips, in_threads, usable_processors


@pytest.fixture
def blocked() -> Iterator[Callable[[int], int]]:
    """A task that returns its number, and does not end while the test runs if that is above 1."""
    released = threading.Event()

    def work(number: int) -> int:
        if number > 1:
            released.wait()
        if number == 1:
            raise ValueError("one")
        return number

    yield work
    released.set()
    for thread in threading.enumerate():
        if thread.name.startswith("flskew"):
            thread.join()


def test_at_least_one_processor_is_usable() -> None:
    assert usable_processors() >= 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux restricts a process to some processors")
def test_a_process_restricted_to_one_processor_uses_one(python: str) -> None:
    """In a separate process, since the threads of this one would stay restricted."""
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code += "from flskew._util.threads import usable_processors; print(usable_processors())"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(("num_elements", "threads"), [(10, 1), (10**9, 4)])
def test_only_large_work_is_distributed(num_elements: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flskew._util.threads.usable_processors", lambda: 4)
    strips = in_strips(lambda strip: list(strip), range(8), num_elements)
    assert len(strips) == threads
    assert [block for strip in strips for block in strip] == list(range(8))


def test_every_task_runs_once_and_the_threads_end() -> None:
    assert sorted(in_threads(lambda number: -number, range(100), 4)) == list(range(-99, 1))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("flskew")]


def test_tasks_may_take_longer_than_one_wait_for_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(SimpleQueue[Any]):
        waits = 0

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            Impatient.waits += 1
            if Impatient.waits == 1:
                raise Empty
            return super().get(block, timeout)

    monkeypatch.setattr("flskew._util.threads.SimpleQueue", Impatient)
    assert sorted(in_threads(abs, [-1, 0], 2)) == [0, 1]


def test_a_task_that_raises_does_not_wait_for_running_tasks(blocked: Callable[[int], int]) -> None:
    with pytest.raises(ValueError, match="one"):
        list(in_threads(blocked, [2, 1], 2))


def test_a_consumer_that_stops_does_not_wait_for_running_tasks(blocked: Callable[[int], int]) -> None:
    results = in_threads(blocked, [2, 0], 2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]


COMPUTING = """
import threading, time
from flskew._util.threads import in_threads

started = threading.Event()

def work(number):
    if number == 1:
        started.wait()
        raise ValueError("one")
    started.set()
    while True:
        time.sleep(0.001)

try:
    list(in_threads(work, [0, 1], 2))
except ValueError:
    for thread in threading.enumerate():
        if thread.name.startswith("flskew"):
            thread.join()
    print("ended")
"""


def test_running_python_tasks_are_interrupted_when_another_raises(python: str) -> None:
    """In a separate process, since nothing is interrupted under a debugger or coverage."""
    run = subprocess.run([python, "-c", COMPUTING], capture_output=True, text=True, check=False, timeout=60)
    assert (run.stdout, run.stderr) == ("ended\n", "")


def test_no_task_starts_after_one_has_raised(blocked: Callable[[int], int]) -> None:
    started = []

    def work(number: int) -> int:
        started.append(number)
        return blocked(number)

    with pytest.raises(ValueError, match="one"):
        list(in_threads(work, [2, 1, *range(3, 100)], 2))
    assert len(started) <= 3  # the thread that raised may have taken one more before the consumer saw it
