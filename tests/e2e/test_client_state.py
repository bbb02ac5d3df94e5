"""SuperNodes keep the state of FedDyn's and SCAFFOLD's clients from round to round."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from engines import Deployment

from flskew import simulate

pytestmark = pytest.mark.e2e

Waits = Callable[..., None]

APP = Path(__file__).with_name("stateful_app")


@pytest.mark.parametrize("strategy", ["feddyn", "scaffold"])
def test_three_rounds_on_supernodes_give_the_models_of_one_process(
    strategy: str,
    deployment: Deployment,
    tmp_path: Path,
    wait_until: Waits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(APP)
    from stateful_app import client_app, server_app

    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    simulate(server_app.app, client_app.app, 3, {"strategy": strategy, "folder": str(here)})
    assert len(deployment.online()) == 3
    run_id = deployment.start_run(APP, f'strategy="{strategy}" folder="{there}"')
    wait_until(lambda: deployment.status(run_id).startswith("finished"), "the run ends")
    found, expected = (json.loads((folder / "models.json").read_text()) for folder in (there, here))
    # Flower draws the node ids, and with them the order in which three models are summed. Without the clients' state,
    # the second model would differ by 0.2 (FedDyn) and 1.8 (SCAFFOLD).
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_supernode_that_restarts_between_two_rounds_loses_its_state_and_is_named(
    deployment: Deployment, tmp_path: Path, wait_until: Waits, capfd: pytest.CaptureFixture[str]
) -> None:
    before = deployment.online()
    assert len(before) == 3
    pause = tmp_path / "wait-2"
    pause.touch()
    run_id = deployment.start_run(APP, f'folder="{tmp_path}"')
    wait_until((tmp_path / "after-2").exists, "two rounds end")
    deployment.supernodes[2].terminate()
    deployment.supernodes[2].wait()
    wait_until(lambda: len(deployment.online()) == 2, "the SuperNode is gone")
    deployment.start_supernode(2)
    wait_until(lambda: len(deployment.online()) == 3, "the SuperNode is back")
    (restarted,) = deployment.online() - before  # with a new id
    pause.unlink()
    assert deployment.follow(run_id) == "finished:completed"
    assert f"The clients of node {restarted} lost their state" in capfd.readouterr().out
