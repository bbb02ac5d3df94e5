"""The examples' packages, importable as in the folder of an example, and the command `flwr`."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from .apps import EXAMPLES, Flwr

EXAMPLE = EXAMPLES / "three-hospitals"

sys.path[:0] = sorted(str(project.parent) for project in EXAMPLES.glob("*/pyproject.toml"))


@pytest.fixture(scope="session")
def example() -> Path:
    """The folder of the app."""
    return EXAMPLE


@pytest.fixture(scope="session")
def run() -> ModuleType:
    """The module run.py, imported by its path."""
    spec = importlib.util.spec_from_file_location("three_hospitals_run", EXAMPLE / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True, scope="session")
def _quiet_flower() -> Iterator[None]:
    """Keep Flower's log of every round out of test reports."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Mini-batches are too small for threads: on busy cores, two threads of torch take many times as long as one."""
    if request.node.get_closest_marker("torch") is None:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def processes_of(home: Path) -> list[int]:
    """The processes with this FLWR_HOME in their command line: the local SuperLink, which `flwr run` leaves running."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if str(home) in line]


@pytest.fixture
def flwr(python: str, repository: Path, tmp_path: Path) -> Iterator[Flwr]:
    """The command `flwr` with a separate home, ports and SuperLink, which is stopped afterwards."""
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
