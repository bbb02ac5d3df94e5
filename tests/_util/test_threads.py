"""Work is shared among the processors that the process may use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flskew._util.threads import usable_processors


def test_there_is_at_least_one_processor() -> None:
    assert usable_processors() >= 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to some processors")
def test_a_process_restricted_to_one_processor_uses_one(python: str) -> None:
    """In a separate process, because the restriction would stay on the threads of this one."""
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code += "from flskew._util.threads import usable_processors; print(usable_processors())"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
