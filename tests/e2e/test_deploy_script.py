"""The script of the example, without starting anything."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import deploy
import pytest
from engines import Deployment, EngineError
from processes import Process, family, kill, running

# Starts another process, says so, and waits.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Put back the handlers of signals that the script sets."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def parent() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process in a session of its own, and the id of one that it has started."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    yield process, child
    kill(family([process.pid]))
    process.wait()
    process.stdout.close()


def pids(processes: set[Process]) -> set[int]:
    return {process.pid for process in processes}


def test_a_family_is_a_process_and_those_that_it_has_started(parent: tuple[subprocess.Popen[str], int]) -> None:
    assert pids(family([parent[0].pid])) == {parent[0].pid, parent[1]}


def test_a_family_includes_an_orphan(parent: tuple[subprocess.Popen[str], int]) -> None:
    parent[0].kill()
    parent[0].wait()
    assert pids(family([parent[0].pid])) == {parent[1]}


def test_a_process_that_was_killed_runs_no_more(parent: tuple[subprocess.Popen[str], int]) -> None:
    everybody = family([parent[0].pid])
    assert running(everybody) == everybody
    kill(everybody)
    parent[0].wait()
    assert running(everybody) == set()


def test_a_process_that_has_another_group_is_not_killed(parent: tuple[subprocess.Popen[str], int]) -> None:
    kill([Process(parent[1], group=parent[0].pid + 1)])
    assert pids(family([parent[0].pid])) == {parent[0].pid, parent[1]}


def test_a_flower_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.22.0")
    with pytest.raises(EngineError, match=r"flwr 1\.22\.0 .* install flwr 1\.40 or newer"):
        Deployment(tmp_path)


def test_a_folder_that_is_no_app_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        deploy.main([str(tmp_path)])
    assert f"{tmp_path} is no Flower app" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(SystemExit):
        deploy.main([str(tmp_path)])
    assert "has no [tool.flwr.app]" in capsys.readouterr().err


def test_only_a_run_that_completed_is_a_success(
    held_app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(deploy, "deploy", lambda *arguments, **options: "finished:failed")
    with pytest.raises(SystemExit, match=f"the logs are in {tmp_path}"):
        deploy.main([str(held_app), "--folder", str(tmp_path)])
    monkeypatch.setattr(deploy, "deploy", lambda *arguments, **options: "finished:completed")
    deploy.main([str(held_app), "--folder", str(tmp_path)])
    assert "deploy.py: finished:completed" in capsys.readouterr().out


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


def test_the_script_leaves_by_the_way_out_when_it_is_terminated(
    held_app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "deploy", lambda *arguments, **options: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as left:
        deploy.main([str(held_app), "--folder", str(tmp_path)])
    assert left.value.code == 128 + signal.SIGTERM
