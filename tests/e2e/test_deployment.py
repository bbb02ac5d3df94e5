"""The three hospitals on each of Flower's engines, and the script that starts and stops the engines."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import deploy
import numpy as np
import pytest
from engines import Deployment, EngineError
from processes import family, kill, running
from three_hospitals import client_app, server_app

from flskew import simulate
from flskew.simulation import read_app_config

pytestmark = pytest.mark.e2e

Waits = Callable[..., None]

ROUNDS = 3
# Flower draws the node ids, and with them the order in which three float32 models are summed. Between the three
# different orders, the parameters after three rounds differ by at most 2.4e-7.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def simulated(three_hospitals: Path) -> list[np.ndarray]:
    """The parameters that the hospitals learn in this process."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    config = read_app_config(three_hospitals, {"num-server-rounds": ROUNDS})
    context = simulate(server_app.app, client_app.app, num_supernodes=3, run_config=config)
    return context.state.array_records["arrays"].to_numpy_ndarrays()


@pytest.fixture
def ray(tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(tmp_path, simulation=True) as started:
        yield started


@pytest.mark.parametrize("engine", ["deployment", pytest.param("ray", marks=pytest.mark.ray)])
def test_the_hospitals_learn_the_same_parameters_as_in_simulate(
    engine: str,
    request: pytest.FixtureRequest,
    three_hospitals: Path,
    simulated: list[np.ndarray],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    started: Deployment = request.getfixturevalue(engine)
    before = (three_hospitals / "pyproject.toml").read_bytes()
    model = tmp_path / "model.npz"
    run_id = started.start_run(three_hospitals, f'num-server-rounds={ROUNDS} model-file="{model}"')
    assert started.follow(run_id) == "finished:completed"
    assert f"[ROUND {ROUNDS}/{ROUNDS}]" in capfd.readouterr().out  # the server log was shown
    with np.load(model) as archive:
        learned = [archive[name] for name in archive.files]
    assert [array.shape for array in learned] == [array.shape for array in simulated]
    apart = max(float(np.abs(there - here).max()) for there, here in zip(learned, simulated, strict=True))
    with capfd.disabled():
        print(f"\n{engine}: at most {apart:.1e} from simulate after {ROUNDS} rounds")
    assert apart <= TOLERANCE
    # Flower did not rewrite the app's own file.
    assert (three_hospitals / "pyproject.toml").read_bytes() == before


def test_a_failing_server_app_is_a_failed_run(deployment: Deployment, held_app: Path) -> None:
    run_id = deployment.start_run(held_app, "timeout=-1")
    assert deployment.follow(run_id) == "finished:failed"


def test_an_unknown_setting_is_reported_with_flowers_message(deployment: Deployment, held_app: Path) -> None:
    with pytest.raises(EngineError, match="rounds"):
        deployment.start_run(held_app, "rounds=3")


@pytest.fixture
def script(held_app: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The script, with a run in which partition 0 is paused."""
    (tmp_path / "hold-1-0").touch()
    command = [sys.executable, deploy.__file__, str(held_app), "--folder", str(tmp_path / "logs")]
    # A shell may make background jobs ignore Ctrl-C, and child processes would inherit that.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([*command, "--run-config", f'folder="{tmp_path}"'])
    signal.signal(signal.SIGINT, handler)
    yield process
    kill(family([process.pid]))
    process.wait()


def test_ctrl_c_in_a_round_stops_everything_that_the_script_started(
    deployment: Deployment, script: subprocess.Popen[bytes], tmp_path: Path, wait_until: Waits
) -> None:
    nodes = deployment.online()
    wait_until((tmp_path / "started-1-0").exists, "a client trains")
    # The SuperLink, three SuperNodes, a SuperExec for each, the ServerApp, the paused ClientApp, and `flwr log`.
    processes = family([script.pid])
    assert len(processes) >= 10
    script.send_signal(signal.SIGINT)
    assert script.wait(60) == 1
    assert running(processes) == set()
    # Another deployment keeps running.
    assert deployment.online() == nodes


OPTION = re.compile(r"--[a-z][a-z-]+")


@pytest.mark.parametrize("program", ["flower-superlink", "flower-supernode", "flwr run", "flwr supernode register"])
def test_flower_has_the_options_on_the_page(program: str, repository: Path) -> None:
    page = (repository / "docs" / "deployment.md").read_text("utf-8")
    lines = [line for line in page.splitlines() if line.startswith(f"{program} ")]
    assert lines
    name, *words = program.split()
    command = [Path(sysconfig.get_path("scripts")) / name, *words, "--help"]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert {option for line in lines for option in OPTION.findall(line)} <= set(OPTION.findall(shown))
