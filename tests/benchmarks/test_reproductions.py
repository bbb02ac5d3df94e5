"""The reproductions that take long go on where they were stopped, to the same figures."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    """Files like MNIST's: a digit is a bar, at a height of its own."""
    for part, count in (("train", 300), ("t10k", 100)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 3 : 2 * label + 6] = 255
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">4I", 0x803, count, 28, 28) + images.tobytes()
        )
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels.tobytes())
    return tmp_path


@pytest.mark.torch
def test_a_benchmark_that_is_stopped_goes_on_to_the_same_figures(python: str, small_mnist: Path) -> None:
    def bench(name: str, *rounds: int) -> dict[str, object]:
        output = small_mnist / f"{name}.json"
        script = ROOT / "benchmarks" / "reproductions" / "niid_bench.py"
        options = ["--data-dir", small_mnist, "--output", output, "--work", small_mnist / name]
        command = [python, script, *options, "--rounds", *map(str, rounds)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        found: dict[str, object] = json.loads(output.read_text())
        return found

    at_once = bench("at-once", 2)
    bench("stopped", 1)
    stopped = bench("stopped", 2)
    assert stopped["runs"] == at_once["runs"]
    runs = {(run["split"], run["strategy"]): run for run in at_once["runs"]}  # type: ignore[attr-defined]
    assert len(runs) == 7
    for run in runs.values():
        assert run["rounds"] == 2
        assert len(run["accuracy"]) == 3
    for name in ("fedavg-2-classes-a-client.npz", "fedprox-dirichlet-0.5.npz"):
        with np.load(small_mnist / "at-once" / name) as one, np.load(small_mnist / "stopped" / name) as other:
            assert all(np.array_equal(one[key], other[key]) for key in one.files)
