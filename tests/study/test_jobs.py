"""Cells in several processes: the same figures, no lost cell, and no process left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Everything is defined in the script itself, as in a notebook.
SCRIPT = """
import os, signal, sys, threading, time
from functools import cached_property
import numpy as np
from flskew import DirichletPartitioner, FedAvg
from flskew.study import Study
from flskew.study._keys import key_of

def mode():
    return os.environ.get("MODE", "")  # not part of the key, unlike a global

LARGE = np.arange(300_000.0)  # 2.4 MB, which joblib maps into the memory of its processes

class OddError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")

class Site:
    def __init__(self, labels):
        self.labels = labels
    def fit(self, parameters, config):
        if mode() == "slow":
            time.sleep(0.1)
        if mode() == "bug" and config["server-round"] == 2:
            raise OddError(1, 2)
        noise = np.random.default_rng(config["seed"]).normal(size=50)
        return [parameters[0] + noise * len(self.labels) + LARGE[:50]], len(self.labels), {}

class Task:
    labels, test_labels = np.arange(100) % 4, np.arange(40) % 4
    def __init__(self):
        self.large = np.arange(200_000)
        self.scale = lambda value: value / self.large[7]
    @cached_property
    def loaded(self):
        with open(os.environ["LOADS"], "a") as stream:
            print(os.getpid(), file=stream)
        return threading.Lock() if mode() == "lock" else 1
    def initial(self, seed):
        return [np.random.default_rng(seed).normal(size=50)]
    def client(self, rows):
        return Site(self.labels[rows])
    def evaluate(self, parameters, rows):
        self.loaded
        product = np.outer(parameters[0], parameters[0])
        # The key of a task is the same here as in the first process.
        return {"accuracy": self.scale((product @ product).mean()), "key": int(key_of(self).digest[:12], 16)}

splits = {
    "dirichlet": DirichletPartitioner(3, alpha=1),
    "function": lambda seed: DirichletPartitioner(4, alpha=0.5, seed=seed).assign(Task.labels),
}
if __name__ == "__main__":
    # Jobs that a shell runs in the background ignore Ctrl-C, and so does what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    study = Study(Task(), splits, {"FedAvg": FedAvg()}, seeds=range(int(sys.argv[3])), num_rounds=2)
    results = study.run(sys.argv[1], jobs=int(sys.argv[2]))
    assert results.missing == 0
    keys = {int(key) for cell in results.cells for key in cell.curves["key"]}
    assert keys == {int(key_of(study.task).digest[:12], 16)}, keys
    for cell in results.cells[::5]:
        assert study.cell(cell.split, cell.method, cell.seed).equals(cell)
    print("done")
"""


@pytest.fixture
def start(tmp_path: Path, python: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts the study in a process group of its own; the group is killed at the end."""
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    started: list[subprocess.Popen[str]] = []

    def begin(folder: Path, jobs: int, *, seeds: int = 1, mode: str = "", **variables: str) -> subprocess.Popen[str]:
        arguments = [python, str(tmp_path / "script.py"), str(folder), str(jobs), str(seeds)]
        started.append(
            subprocess.Popen(
                arguments,
                env={**os.environ, "MODE": mode, "LOADS": str(tmp_path / "loads"), **variables},
                start_new_session=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        for one in group_of(process):
            os.kill(one, signal.SIGKILL)
        process.communicate()


def group_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the running processes of a process group."""
    listing = subprocess.run(["ps", "-e", "-o", "pid=,pgid=,stat="], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in listing.splitlines()]
    return [int(pid) for pid, group, state in rows if int(group) == process.pid and not state.startswith("Z")]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.npz")} if folder.exists() else {}


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    latest = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < latest
        time.sleep(0.05)


def finished(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert errors == ""
    return out


@pytest.mark.long
def test_two_processes_make_the_cells_that_one_makes_bit_for_bit(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """The script in the second process finds and checks the cells of the first one, made by other processes."""
    assert finished(start(tmp_path / "runs", 2, PYTHONHASHSEED="1")) == "done\n"
    made = content(tmp_path / "runs")
    assert len(made) == 6
    assert finished(start(tmp_path / "runs", 1, PYTHONHASHSEED="2")) == "done\n"
    assert content(tmp_path / "runs") == made


@pytest.mark.parametrize(
    ("jobs", "number"),
    [
        pytest.param(1, signal.SIGINT, id="Ctrl-C, one process", marks=pytest.mark.long),
        pytest.param(2, signal.SIGINT, id="Ctrl-C, two processes", marks=pytest.mark.long),
        pytest.param(2, signal.SIGKILL, id="kill -9, two processes", marks=pytest.mark.long),
    ],
)
def test_an_interrupt_loses_no_finished_cell_and_leaves_no_process(
    jobs: int, number: signal.Signals, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = tmp_path / "runs"
    process = start(folder, jobs, seeds=4, mode="slow")
    wait_until(lambda: len(content(folder)) >= 3 or process.poll() is not None)
    # A terminal sends Ctrl-C to all processes.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    process.wait(60)
    assert process.returncode in (-number, 1)
    wait_until(lambda: not group_of(process), seconds=30)
    kept = content(folder)
    assert 3 <= len(kept) < 24
    assert finished(start(folder, 1, seeds=4)) == "done\n"
    assert len(content(folder)) == 24
    assert kept.items() <= content(folder).items()


@pytest.mark.long
def test_an_exception_in_another_process_names_the_cell(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """This one cannot be copied, nor sent."""
    _, errors = start(tmp_path / "runs", 2, mode="bug").communicate(timeout=240)
    assert re.search(
        r"\nRuntimeError: OddError: 1 and 2\nin the cell 'dirichlet', '\w+', seed 0; finished cells", errors
    )


@pytest.mark.long
def test_two_runs_of_a_study_in_one_folder_at_once_do_no_harm(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    runs = [start(tmp_path / "runs", 1, seeds=4) for _ in range(2)]
    assert [finished(run) for run in runs] == ["done\n"] * 2
    assert len([*(tmp_path / "runs").iterdir()]) == 24


@pytest.mark.long
def test_a_process_loads_what_a_task_loads_lazily_once(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    assert finished(start(tmp_path / "runs", 2, seeds=4)) == "done\n"
    loads = (tmp_path / "loads").read_text().split()
    assert len(content(tmp_path / "runs")) == 24
    assert len(loads) == len(set(loads)) <= 3  # the script, and its processes


@pytest.mark.long
def test_a_task_that_cannot_be_sent_is_an_error_with_a_remedy(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """The check of the task, which comes first, has made the lock."""
    _, errors = start(tmp_path / "runs", 2, mode="lock").communicate(timeout=240)
    assert re.search(r"\nTypeError: the task cannot be sent to other processes; use jobs=1 \(.*lock", errors)
