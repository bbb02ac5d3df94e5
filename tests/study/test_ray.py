"""The same study on joblib's Ray backend."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray

SCRIPT = """
import sys
import numpy as np
from joblib import parallel_config
from ray.util.joblib import register_ray
from flskew import DirichletPartitioner, FedAvg
from flskew.study import Study

class Site:
    def __init__(self, labels):
        self.labels = labels
    def fit(self, parameters, config):
        noise = np.random.default_rng(config["seed"]).normal(size=50)
        return [parameters[0] + noise * len(self.labels)], len(self.labels), {}

class Task:
    labels, test_labels = np.arange(100) % 4, np.arange(40) % 4
    def initial(self, seed):
        return [np.random.default_rng(seed).normal(size=50)]
    def client(self, rows):
        return Site(self.labels[rows])
    def evaluate(self, parameters, rows):
        product = np.outer(parameters[0], parameters[0])
        return {"accuracy": (product @ product).mean()}

study = Study(Task(), {"d": DirichletPartitioner(3, alpha=1)}, {"FedAvg": FedAvg()}, seeds=range(2), num_rounds=2)
register_ray()
with parallel_config(backend="ray", n_jobs=2):
    there = study.run("there", jobs=None)
here = study.run("here")
assert there.missing == here.missing == 0
print([one.equals(other) for one, other in zip(here.cells, there.cells, strict=True)])
"""


def test_a_study_on_ray_makes_the_cells_that_one_process_makes_bit_for_bit(tmp_path: Path, python: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    run = subprocess.run(
        [python, "script.py"],
        cwd=tmp_path,
        env={**os.environ},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == str([True] * 6)
