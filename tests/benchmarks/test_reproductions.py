"""Long reproductions resume where they stopped, with the same figures."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.torch
def test_an_interrupted_benchmark_resumes_to_the_same_figures(python: str, small_mnist: Path) -> None:
    def bench(name: str, *rounds: int) -> list[str]:
        script = ROOT / "benchmarks" / "reproductions" / "niid_bench.py"
        options = ["--data-dir", small_mnist, "--output", small_mnist / f"{name}.json", "--work", small_mnist / name]
        command = [python, script, *options, "--rounds", *map(str, rounds)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, check=True, capture_output=True, env=environment, text=True).stdout.splitlines()

    def runs(name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((small_mnist / f"{name}.json").read_text())["runs"]
        return found

    bench("at-once", 2)
    bench("stopped", 1)
    rest = bench("stopped", 1, 2)
    assert len(rest) == 7
    assert all("round 2: " in line for line in rest)
    assert runs("stopped") == runs("at-once")
    for run in runs("at-once"):
        assert run["rounds"] == 2
        assert len(run["accuracy"]) == 3
    for name in ("fedavg-2-classes-a-client.npz", "fedprox-dirichlet-0.5.npz"):
        with np.load(small_mnist / "at-once" / name) as one, np.load(small_mnist / "stopped" / name) as other:
            assert all(np.array_equal(one[key], other[key]) for key in one.files)


@pytest.mark.torch
def test_a_benchmark_does_not_resume_with_other_settings(python: str, small_mnist: Path) -> None:
    script = ROOT / "benchmarks" / "reproductions" / "niid_bench.py"
    state = small_mnist / "fedavg-iid.npz"
    np.savez(state, settings=np.array("others"), accuracy=np.array([0.5]), **{"parameters-0": np.zeros(3)})
    command = [python, script, "--data-dir", small_mnist, "--output", small_mnist / "x.json", "--work", small_mnist]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    found = subprocess.run(command, check=False, capture_output=True, env=environment, text=True)
    assert found.returncode == 1
    assert "fedavg-iid.npz has other settings: others; move it away" in found.stderr
    assert not (small_mnist / "x.json").exists()
