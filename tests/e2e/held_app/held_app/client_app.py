"""A client that reports when it starts, and continues when the test allows it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from flwr.app import Context
from numpy.typing import NDArray

from flskew import client_app, partition_id

Parameters = list[NDArray[np.float64]]


class Held:
    """Adds its partition id and 1 to the parameters."""

    def __init__(self, partition: int, folder: Path) -> None:
        self.partition = partition
        self.folder = folder

    def fit(self, parameters: Parameters, config: Mapping[str, object]) -> tuple[Parameters, int, dict[str, float]]:
        name = f"{config['server-round']}-{self.partition}"
        # Written under another name and renamed, so that the file is complete once it is visible.
        written = self.folder / f"starting-{name}"
        written.write_text(str(os.getpid()))
        written.rename(self.folder / f"started-{name}")
        while (self.folder / f"hold-{name}").exists():
            time.sleep(0.1)
        return [parameters[0] + self.partition + 1], 10, {"partition": self.partition}


def client_fn(context: Context) -> Held:
    return Held(partition_id(context), Path(str(context.run_config["folder"])))


app = client_app(client_fn)
