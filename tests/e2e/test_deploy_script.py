"""The example's script, without starting an engine."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import deploy
import pytest
from engines import Deployment, EngineError
from processes import Process, family, kill, running

# Starts two processes, the second in a new group, prints their ids, and waits.
PARENT = """
import subprocess, sys, time
for own_group in (False, True):
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    print(subprocess.Popen(command, start_new_session=own_group).pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Restore the signal handlers that the script sets."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@dataclass
class Family:
    """A process in a new group, and the ids of two that it has started: one in its group, one in another."""

    parent: subprocess.Popen[str]
    near: int
    far: int


@pytest.fixture
def started() -> Iterator[Family]:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        near, far = int(parent.stdout.readline()), int(parent.stdout.readline())
        yield Family(parent, near, far)
        for pid in (near, far, parent.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def pids(processes: set[Process]) -> set[int]:
    return {process.pid for process in processes}


def test_a_family_is_a_process_and_those_that_it_has_started(started: Family) -> None:
    assert pids(family([started.parent.pid])) == {started.parent.pid, started.near, started.far}


def test_a_family_includes_an_orphan_of_the_group(started: Family) -> None:
    started.parent.kill()
    started.parent.wait()
    assert pids(family([started.parent.pid])) == {started.near}


def test_a_killed_process_is_not_running_even_if_its_parent_has_not_waited_for_it(started: Family) -> None:
    processes = family([started.parent.pid])
    (near,) = (process for process in processes if process.pid == started.near)
    kill([near])
    deadline = time.monotonic() + 60
    while running([near]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(processes) == processes - {near}


def test_a_reused_id_is_not_killed(started: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    kill([Process(started.near, group=started.far), Process(started.far, group=started.far)])
    monkeypatch.undo()
    assert killed == [started.far]


def test_too_old_a_flower_is_an_error_that_names_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.22.0")
    with pytest.raises(EngineError, match=r"flwr 1\.22\.0 .* install flwr 1\.40 or newer"):
        Deployment(tmp_path)


def test_a_folder_that_is_not_an_app_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        deploy.main([str(tmp_path)])
    assert f"{tmp_path} is not a Flower app" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(SystemExit):
        deploy.main([str(tmp_path)])
    assert "has no [tool.flwr.app]" in capsys.readouterr().err


def test_only_a_completed_run_is_a_success(
    held_app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(deploy, "deploy", lambda *arguments, **options: "finished:failed")
    with pytest.raises(SystemExit, match=f"the logs are in {tmp_path}"):
        deploy.main([str(held_app), "--folder", str(tmp_path)])
    monkeypatch.setattr(deploy, "deploy", lambda *arguments, **options: "finished:completed")
    deploy.main([str(held_app), "--folder", str(tmp_path)])
    assert "deploy.py: finished:completed" in capsys.readouterr().out
    assert tmp_path.is_dir()


def test_a_temporary_folder_is_removed_after_a_success_and_kept_after_a_failure(
    held_app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []

    def deploys(status: str) -> None:
        monkeypatch.setattr(deploy, "deploy", lambda app, folder, *rest, **options: folders.append(folder) or status)

    deploys("finished:completed")
    deploy.main([str(held_app)])
    deploys("finished:failed")
    with pytest.raises(SystemExit, match="the logs are in"):
        deploy.main([str(held_app)])
    completed, failed = folders
    assert not completed.exists()
    assert failed.is_dir()
    failed.rmdir()


def test_the_script_cleans_up_when_it_is_terminated(
    held_app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "deploy", lambda *arguments, **options: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as left:
        deploy.main([str(held_app), "--folder", str(tmp_path)])
    assert left.value.code == 128 + signal.SIGTERM
