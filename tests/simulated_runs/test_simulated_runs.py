"""Whole runs in which anything can go wrong, each drawn from a seed; `python -m tests.simulated_runs SEED` replays one.

The disk, the clocks, the threads, a second process on the same folder and the order of replies are simulated, as in the
tests of FoundationDB and SQLite. Any step at which a file is touched, a client works or a message is sent may be the
last one of a process, find the disk full, or let a rival start. laws.py lists what must still hold.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flskew._util import files
from flskew.strategies import _checks, _judgement

from . import federation, world
from .laws import BrokenLawError, check_run

QUICK, ALL, CHUNK = 100, 10_000, 100


@pytest.mark.parametrize("first", range(0, QUICK, 10))
def test_the_laws_hold(first: int, tmp_path: Path) -> None:
    check_runs(first, first + 10, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("first", range(QUICK, ALL, CHUNK))
def test_the_laws_hold_in_thousands_of_runs(first: int, tmp_path: Path) -> None:
    check_runs(first, first + CHUNK, tmp_path)


def check_runs(first: int, end: int, tmp_path: Path) -> None:
    for seed in range(first, end):
        folder = tmp_path / f"run-{seed}"
        folder.mkdir()
        check_run(seed, folder)


def lock_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "_lock", lambda descriptor: True)


def sync_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(world.Disk, "sync", lambda disk, file: file.flush())


def read_typed_views(patch: pytest.MonkeyPatch) -> None:
    check = _judgement.check_reply

    def check_reply(message: Any, *arguments: Any) -> Any:
        if message.has_content():
            assert message.content.array_records is not None  # makes a reference cycle
        return check(message, *arguments)

    patch.setattr(_judgement, "check_reply", check_reply)


def parse_by_nested_repetition(patch: pytest.MonkeyPatch) -> None:
    of_an_engine = re.compile(r"<class '([\w.]+)[^']*'>:<'(.*)'>", re.DOTALL)
    after_traceback = re.compile(r"^  File .*\n(?:[ \t]+.*\n)*(\S.*)", re.MULTILINE)

    def read_reason(text: str) -> tuple[str, str]:
        engine = of_an_engine.search(text)
        found = after_traceback.search(engine[2]) if engine else None
        return (found[1] if found else "it failed"), ""

    patch.setattr(_checks, "read_reason", read_reason)
    patch.setattr(world, "MOST_SECONDS", 2)


def send_errors_in_full(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(federation, "client_app", functools.partial(federation.client_app, errors="full"))


@pytest.mark.parametrize(
    ("reintroduce", "broken_law"),
    [
        (lock_nothing, "two processes have the folder at the same time"),
        (read_typed_views, "still alive after its round"),
        (parse_by_nested_repetition, "not done after 2 s"),
        (send_errors_in_full, "leaves the client"),
        (sync_nothing, "instead of"),
    ],
)
def test_an_earlier_fault_breaks_a_law(
    reintroduce: Callable[[pytest.MonkeyPatch], None],
    broken_law: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reintroduce(monkeypatch)
    with pytest.raises(BrokenLawError, match=broken_law):
        check_runs(0, 300, tmp_path)
