"""What a failed client tells the server is the same on SuperNodes as in one process; the rest is in the node's log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from engines import Deployment

from flskew import simulate

pytestmark = pytest.mark.e2e

APP = Path(__file__).with_name("failing_app")


def test_supernodes_send_the_reasons_of_one_process_and_log_the_messages(
    deployment: Deployment, tmp_path: Path, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(APP)
    from failing_app import client_app, server_app

    simulate(server_app.app, client_app.app, 3, {"reasons": str(tmp_path / "here.json")})
    assert len(deployment.online()) == 3
    run_id = deployment.start_run(APP, f'reasons="{tmp_path / "there.json"}"')
    wait_until(lambda: deployment.status(run_id).startswith("finished"), "the run ends")
    here, there = (json.loads((tmp_path / name).read_text()) for name in ("here.json", "there.json"))
    assert there == here
    assert [reason.partition(" (")[0].partition("; ")[0] for reason in there] == [
        "ClientError: no rows from this month yet",
        "KeyError at client_app.py:18 in Fails.fit",
        "OSError at client_app.py:25 in client_fn",
    ]
    # The logs of the nodes, which stay where they are.
    logs = "".join(log.read_text("utf-8", errors="replace") for log in deployment.folder.glob("supernode-*.log"))
    for reason in there:
        assert f"failed, id {re.findall(r'id ([0-9a-f]{8})', reason)[0]};" in logs
    assert "KeyError: 'Alice Smith'" in logs
    assert "OSError: /data/alice-smith.csv: permission denied" in logs
    superlink = (deployment.folder / "superlink.log").read_text("utf-8", errors="replace")
    assert "alice" not in superlink.lower()
