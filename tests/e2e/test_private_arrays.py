"""Private arrays stay on SuperNodes as they do in one process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from engines import Deployment

from flskew import simulate

pytestmark = pytest.mark.e2e

APP = Path(__file__).with_name("private_app")


def test_supernodes_keep_their_private_arrays_from_round_to_round(
    deployment: Deployment, tmp_path: Path, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(APP)
    from private_app import client_app, server_app

    simulate(server_app.app, client_app.app, 3, {"reports": str(tmp_path / "here.json")})
    assert len(deployment.online()) == 3
    run_id = deployment.start_run(APP, f'reports="{tmp_path / "there.json"}"')
    wait_until(lambda: deployment.status(run_id).startswith("finished"), "the run ends")
    # In each round, evaluation comes after training, which adds 1; the server's model stays without these arrays.
    own = [[[partition, [100.0 * partition + done] * 2] for partition in range(3)] for done in (0, 1, 1, 2, 2, 3)]
    for name in ("here.json", "there.json"):
        assert json.loads((tmp_path / name).read_text()) == [own, [[3.0, 3.0], []]]
