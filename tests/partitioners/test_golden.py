"""The same arguments and labels give the same assignment, with every version of NumPy under test."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from . import golden


def test_the_fingerprints_are_the_committed_ones():
    """Checked with the installed NumPy: the newest in `make test`, the oldest in `make test-oldest`."""
    committed = golden.read()
    assert len(committed) >= 500
    found = dict(golden.fingerprints())
    assert found.keys() == committed.keys()
    assert {name: (found[name], committed[name]) for name in found if found[name] != committed[name]} == {}


def test_the_fingerprints_do_not_depend_on_the_processors_vector_instructions(python: str, repository: Path):
    """Checked in another process, with the optional instruction sets of NumPy disabled."""
    environment = {
        "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "src"), os.environ.get("PYTHONPATH", "")]),
        "NPY_DISABLE_CPU_FEATURES": " ".join(golden.dispatched()),
    }
    command = [python, "-m", "tests.partitioners.golden", "--sample"]
    run = subprocess.run(
        command, cwd=repository, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 changed with the instruction sets []" in run.stdout
