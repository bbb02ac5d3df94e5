"""Three hospitals on Flower's own engine: `flwr run`, offline, on Ray."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from three_hospitals import client_app, server_app

from flskew import simulate

from .apps import Flwr

pytestmark = pytest.mark.ray


def test_flwr_run_completes_and_agrees_with_simulate(
    run: ModuleType, example: Path, flwr: Flwr, tmp_path: Path
) -> None:
    app = shutil.copytree(example, tmp_path / "app", ignore=shutil.ignore_patterns("results", "__pycache__"))
    results = tmp_path / "results.json"
    started = flwr(
        *("run", app, "--stream", "--federation-config", "num-supernodes=3 client-resources-num-cpus=1"),
        *("--run-config", f'num-server-rounds=3 results-file="{results}"'),
    )
    log = started.stdout + started.stderr
    # `flwr run` exits with 0 even if the run failed, so check `flwr ls`.
    runs = json.loads(flwr("ls", "--format", "json").stdout)["runs"]
    assert [one["status"] for one in runs] == ["finished:completed"], log
    rounds = json.loads(results.read_text())["rounds"]
    state = simulate(server_app.app, client_app.app, 3, run.run_config(overrides={"num-server-rounds": 3})).state
    assert len(rounds) == 4
    for server_round, there in enumerate(rounds):
        here = state.metric_records[f"round-{server_round}"]
        assert there["accuracy"] == pytest.approx(here["accuracy"], abs=0.02)
    assert (app / "pyproject.toml").read_bytes() == (example / "pyproject.toml").read_bytes()
