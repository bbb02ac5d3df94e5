"""Three hospitals on Flower's own engine: `flwr run`, offline, on Ray."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

Flwr = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.ray


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def processes_of(home: Path) -> list[int]:
    """The processes whose command line names this FLWR_HOME: the local SuperLink that `flwr run` leaves behind."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if str(home) in line]


@pytest.fixture
def flwr(python: str, repository: Path, tmp_path: Path) -> Iterator[Flwr]:
    """The command `flwr` with a home, ports and a SuperLink of its own, which is ended afterwards."""
    home = tmp_path / "flwr-home"
    http_port, control_port = free_ports(2)
    scripts = Path(python).parent
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(repository / "src"),
        "FLWR_HOME": str(home),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(http_port),
        "FLWR_LOCAL_CONTROL_API_PORT": str(control_port),
        "OMP_NUM_THREADS": "1",
    }

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [scripts / "flwr", *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    yield call
    left_behind = processes_of(home)
    assert left_behind, "the local SuperLink was not found, and may run on"
    for process in left_behind:
        os.kill(process, signal.SIGTERM)
    for _ in range(100):
        if not processes_of(home):
            return
        time.sleep(0.2)
    pytest.fail(f"the local SuperLink did not end: {processes_of(home)}")


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
    # `flwr run` exits with 0 even when the run failed, so Flower's own list is asked.
    runs = json.loads(flwr("ls", "--format", "json").stdout)["runs"]
    assert [one["status"] for one in runs] == ["finished:completed"], log
    rounds = json.loads(results.read_text())["rounds"]
    together = run.compare(run.run_config(overrides={"num-server-rounds": 3})).together
    assert len(rounds) == len(together) == 4
    for there, here in zip(rounds, together, strict=True):
        assert there["accuracy"] == pytest.approx(here.accuracy, abs=0.02)
    assert (app / "pyproject.toml").read_bytes() == (example / "pyproject.toml").read_bytes()
