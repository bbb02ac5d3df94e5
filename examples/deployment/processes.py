"""Processes and those they have started, known by their ids."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """A process, by its id and that of its group: the first alone may be given anew to another."""

    pid: int
    group: int


def family(pids: Iterable[int]) -> set[Process]:
    """Return the running ones of these processes, and of all that they have started, directly or not.

    Who has lost its parent is known by its group, where that is the group of one of these.
    """
    members, found = set(pids), set[Process]()
    table = list(_table())
    while True:
        found |= {process for process, parent in table if members & {process.pid, process.group, parent}}
        if members >= {process.pid for process in found}:
            return found
        members |= {process.pid for process in found}


def running(processes: Iterable[Process]) -> set[Process]:
    """Return those of the processes that have not ended."""
    return set(processes) & {process for process, _ in _table()}


def kill(processes: Iterable[Process]) -> None:
    """End those of the processes that run, at once."""
    for process in running(processes):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _table() -> Iterator[tuple[Process, int]]:
    """Yield every process that has not ended, and its parent's id."""
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
