"""Find processes, including those that they have started, and end them by their ids."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """A process, identified by its id and its group's id, because the system may reuse the former."""

    pid: int
    group: int


def family(pids: Iterable[int]) -> set[Process]:
    """Return the running ones among these processes and all that they have started, directly or not.

    A process whose parent has ended is found through its group.
    """
    members, found = set(pids), set[Process]()
    table = list(_table())
    while True:
        found |= {process for process, parent in table if members & {process.pid, process.group, parent}}
        if members >= {process.pid for process in found}:
            return found
        members |= {process.pid for process in found}


def running(processes: Iterable[Process]) -> set[Process]:
    """Return those of the processes that are still running."""
    return set(processes) & {process for process, _ in _table()}


def kill(processes: Iterable[Process]) -> None:
    """Kill those of the processes that are still running."""
    for process in running(processes):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _table() -> Iterator[tuple[Process, int]]:
    """Yield every running process, and its parent's id."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="],
        capture_output=True,
        text=True,
        check=True,
    )
    for line in listed.stdout.splitlines():
        pid, parent, group, state = line.split()
        if not state.startswith("Z"):
            yield Process(int(pid), int(group)), int(parent)
