"""Access to the examples for their tests: folders, modules, and runs."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType
from typing import Any

import numpy as np
from flwr.app import Context, RecordDict
from numpy.typing import NDArray

from flskew import read_app_config, simulate

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

Flwr = Callable[..., CompletedProcess[str]]
"""The command `flwr`, with its arguments."""


class ExampleApp:
    """An example. Its modules are imported on first use, because they need its framework."""

    def __init__(self, name: str, package: str) -> None:
        self.folder = EXAMPLES / name
        self.package = package

    def module(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.package}.{name}")

    def script(self) -> ModuleType:
        """Import run.py by its path, because several examples have one."""
        spec = importlib.util.spec_from_file_location(f"{self.package}_run", self.folder / "run.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def config(self, **settings: object) -> dict[str, bool | float | int | str]:
        return read_app_config(self.folder, {name.replace("_", "-"): value for name, value in settings.items()})

    def client(self, partition_id: int, num_partitions: int, **settings: object) -> Any:
        node_config = {"partition-id": partition_id, "num-partitions": num_partitions}
        context = Context(1, 1, node_config, RecordDict(), self.config(**settings))
        return self.module("client_app").FlowerClient(context)

    def run(self, num_supernodes: int, **settings: object) -> Outcome:
        server, client = self.module("server_app").app, self.module("client_app").app
        return Outcome(simulate(server, client, num_supernodes, self.config(**settings)))


class Outcome:
    """The server's context after a run."""

    def __init__(self, context: Context) -> None:
        self.parameters: list[NDArray[Any]] = context.state.array_records["arrays"].to_numpy_ndarrays()
        scores = context.state.metric_records["accuracy"]
        self.accuracy = {int(key.removeprefix("round-")): float(scores[key]) for key in scores}  # type: ignore[arg-type]

    def distance(self, other: Outcome) -> float:
        pairs = zip(self.parameters, other.parameters, strict=True)
        return float(np.sqrt(sum(np.square(a - b).sum() for a, b in pairs)))
