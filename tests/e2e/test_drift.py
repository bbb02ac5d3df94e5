"""On SuperNodes, clients have the rows of the round, and one without any is absent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from engines import Deployment

from flskew import simulate

pytestmark = pytest.mark.e2e

Waits = Callable[..., None]

APP = Path(__file__).with_name("drifting_app")


def test_supernodes_follow_the_schedule_as_one_process_does(
    deployment: Deployment, tmp_path: Path, wait_until: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(APP)
    from drifting_app import client_app, server_app

    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    simulate(server_app.app, client_app.app, 3, {"folder": str(here)})
    assert len(deployment.online()) == 3
    run_id = deployment.start_run(APP, f'folder="{there}"')
    wait_until(lambda: deployment.status(run_id).startswith("finished"), "the run ends")
    found, expected = (json.loads((folder / "rounds.json").read_text()) for folder in (there, here))
    assert found == {**expected, "model": pytest.approx(expected["model"], rel=1e-12)}
    assert [(entry["round"], entry["absent"], entry["failures"]) for entry in found["rounds"]] == [
        (1, 1, 0), (1, 1, 0), (2, 0, 0), (2, 0, 0), (3, 0, 0), (3, 0, 0),
    ]  # fmt: skip
    assert found["rounds"][4]["rows"] == {"Bern": [0, 4], "Lyon": [2], "Graz": [1, 3]}
