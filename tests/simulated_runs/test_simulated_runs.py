"""Whole runs with everything that can go wrong, each drawn from a seed; `python -m tests.simulated_runs SEED` replays one.

The disk, the clocks, the threads, a second process on the same folder and the order of replies are simulated, as in the
tests of FoundationDB and SQLite. Every step at which a file is touched, a client works or a message is sent may be the
last of a process, find the disk full, or let a rival start. The laws are in laws.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flskew._util import files
from flskew.client import _app
from flskew.strategies import _checks, _reasons

from .laws import BrokenLawError, check_run

QUICK, ALL = 150, 10_000
CHUNK = 250


@pytest.mark.parametrize("seed", range(QUICK))
def test_the_laws_hold(seed: int, tmp_path: Path) -> None:
    check_run(seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("first", range(QUICK, ALL, CHUNK))
def test_the_laws_hold_in_thousands_of_runs(first: int, tmp_path: Path) -> None:
    for seed in range(first, min(first + CHUNK, ALL)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        check_run(seed, folder)
