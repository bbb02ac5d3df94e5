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

APP = Path(__file__).with_name("stateful_app")


@pytest.mark.parametrize("strategy", ["feddyn", "scaffold"])
def test_three_rounds_on_supernodes_give_the_models_of_one_process(
    strategy: str,
    deployment: Deployment,
    tmp_path: Path,
    wait_until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(APP)
    from stateful_app import client_app, server_app

    here, there = tmp_path / "here.json", tmp_path / "there.json"
    simulate(server_app.app, client_app.app, 3, {"strategy": strategy, "models": str(here)})
    assert len(deployment.online()) == 3
    run_id = deployment.start_run(APP, f'strategy="{strategy}" models="{there}"')
    wait_until(lambda: deployment.status(run_id).startswith("finished"), "the run ends")
    # Flower draws the node ids, and with them the order in which three models are summed.
    np.testing.assert_allclose(json.loads(there.read_text()), json.loads(here.read_text()), rtol=1e-12)
