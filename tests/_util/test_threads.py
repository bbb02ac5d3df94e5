"""Work is shared among the processors that there are for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flskew._util.threads import usable_processors


def test_there_is_a_processor() -> None:
    assert usable_processors() >= 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to some processors")
def test_a_process_that_is_held_to_one_processor_works_on_one(python: str) -> None:
    """In a process of its own, as threads of this one stay where they are held."""
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code += "from flskew._util.threads import usable_processors; print(usable_processors())"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
