"""A run as it was after a complete round, read from its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from flwr.serverapp.strategy import Result

from flskew._util import archive
from flskew.strategies._packing import unpack
from flskew.strategies.history import History

__all__ = ["Checkpoint"]

KIND = "checkpoint"
VERSION = 1
FILE = "checkpoint.npz"


@dataclass(frozen=True)
class Checkpoint:
    """A run as it was after a complete round.

    Attributes:
        server_round: The round, 1, 2, ...
        result: Flower's `Result` after that round: the model and the metrics.
        history: The rounds so far.
        state: What the run needs to resume.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from flwr.app import ArrayRecord
        >>> from flskew import Checkpoint, FedAvg, LocalGrid, client_app
        >>> class Adds:
        ...     def fit(self, parameters, config):
        ...         return [parameters[0] + 1], 10, {}
        >>> grid = LocalGrid(client_app(lambda context: Adds()), 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     strategy = FedAvg(fraction_evaluate=0.0)
        ...     result = strategy.start(grid, ArrayRecord([np.zeros(1)]), num_rounds=2, checkpoint_dir=folder)
        ...     checkpoint = Checkpoint.load(folder)
        >>> checkpoint.server_round, checkpoint.result.arrays["0"].numpy(), len(checkpoint.history)
        (2, array([2.]), 2)
    """

    server_round: int
    result: Result
    history: History
    state: Mapping[str, Any]

    @classmethod
    def load(cls, checkpoint_dir: str | os.PathLike[str]) -> Self:
        """Return the latest checkpoint in a folder.

        Raises:
            FileNotFoundError: The folder has no checkpoint.
            ValueError: A file is damaged, missing, from another run, or from a later version of flskew.
        """
        folder = Path(checkpoint_dir)
        saved = unpack(archive.read(folder / FILE, KIND, VERSION))
        history = History()
        for server_round in range(1, saved["server_round"] + 1):
            path = round_file(folder, server_round)
            if not path.exists():
                raise ValueError(f"{folder / FILE} is of round {saved['server_round']}, but {path.name} is missing")
            of_round = unpack(archive.read(path, KIND, VERSION))
            if (of_round["run"], of_round["server_round"]) != (saved["state"]["run"], server_round):
                raise ValueError(f"{path} is not of round {server_round} of the run in {folder / FILE}")
            history._add(of_round["rounds"])
        return cls(saved["server_round"], Result(**saved["result"]), history, saved["state"])


def round_file(folder: Path, server_round: int) -> Path:
    """Return the path of the file with the history of a round."""
    return folder / f"history-{server_round:05d}.npz"
