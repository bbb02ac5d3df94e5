"""The PyTorch quickstart on Flower's own engine: `flwr run`, offline, on Ray, with a strategy from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from .apps import ExampleApp, Flwr

APP = ExampleApp("quickstart-pytorch", "pytorchexample")

pytestmark = [pytest.mark.ray, pytest.mark.torch]


def test_flwr_run_takes_feddyn_from_the_command_line_and_agrees_with_simulate(flwr: Flwr, tmp_path: Path) -> None:
    import torch

    app = shutil.copytree(APP.folder, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    model = tmp_path / "model.pt"
    started = flwr(
        *("run", app, "--stream", "--federation-config", "num-supernodes=3 client-resources-num-cpus=1"),
        *("--run-config", f'strategy="feddyn" num-server-rounds=3 local-epochs=1 model-file="{model}"'),
    )
    # `flwr run` exits with 0 even if the run failed, so check `flwr ls`.
    runs = json.loads(flwr("ls", "--format", "json").stdout)["runs"]
    assert [one["status"] for one in runs] == ["finished:completed"], started.stdout + started.stderr
    found = torch.load(model, weights_only=True).values()
    expected = APP.run(3, strategy="feddyn", num_server_rounds=3, local_epochs=1).parameters
    for tensor, array in zip(found, expected, strict=True):
        # If clients lost their state between rounds, these would differ by 0.006 to 0.07.
        np.testing.assert_allclose(tensor.numpy(), array, atol=1e-4)
