"""The state of a run after a complete round, read from its folder."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from flskew._util import archive, files
from flskew.strategies._forms import CHECKPOINT, HISTORY, Form, has_form
from flskew.strategies._packing import unpack
from flskew.strategies.best import RunResult
from flskew.strategies.history import History

__all__ = ["Checkpoint"]

_logger = logging.getLogger("flwr")

KIND = "checkpoint"
VERSION = 1
LAST_ROUND = 999_999
"""The largest number of rounds in a folder."""
_SHORTEST_KEY = 16


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after a complete round.

    Attributes:
        server_round: The round, 1, 2, ...
        result: The result after that round: the latest model, the metrics and, with `keep_best`, the best model.
        history: The rounds so far, except `lost_rounds`.
        state: What the run needs to resume.
        lost_rounds: The rounds missing from the history because their file is damaged or missing; usually empty. The
            model, the metrics and the state are complete in any case.

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
        ...     result = strategy.start(
        ...         grid,
        ...         ArrayRecord([np.zeros(1)]),
        ...         num_rounds=2,
        ...         checkpoint_dir=folder,
        ...     )
        ...     checkpoint = Checkpoint.load(folder)
        >>> checkpoint
        Checkpoint(server_round=2, lost_rounds=())
        >>> checkpoint.result.arrays["0"].numpy(), len(checkpoint.history)
        (array([2.]), 2)
    """

    server_round: int
    result: RunResult = field(repr=False)
    history: History = field(repr=False)
    state: Mapping[str, Any] = field(repr=False)
    lost_rounds: tuple[int, ...] = ()

    @classmethod
    def load(cls, checkpoint_dir: str | os.PathLike[str], *, key: bytes | None = None) -> Self:
        """Return the latest checkpoint in a folder.

        If the latest one is damaged, the previous one is returned. If a file of the history is damaged or missing, its
        round is left out. The log says what is lost.

        Args:
            checkpoint_dir: The folder.
            key: The `checkpoint_key` of the run, if it had one: files that were changed or written without the key are
                then rejected. Without a key, files are checked for damage only.

        Raises:
            TypeError: `checkpoint_dir` is not a path, or the key is not bytes.
            FileNotFoundError: The folder does not exist, or has no checkpoint.
            NotADirectoryError: `checkpoint_dir` is a file.
            ValueError: Every checkpoint is damaged, or a file was sealed with another key or without one, or has a
                later version.
        """
        check_folder(checkpoint_dir)
        folder = Path(checkpoint_dir)
        if folder.is_file():
            raise NotADirectoryError(f"checkpoint_dir={str(folder)!r} is a file; pass the folder of the run")
        check_key("key", key)
        server_round, saved = _latest(folder, key)
        history, lost = _history(folder, server_round, saved["state"]["run"], key)
        return cls(server_round, RunResult(**saved["result"]), history, saved["state"], lost)


def checkpoint_file(folder: Path, server_round: int) -> Path:
    """Return the path of the file with everything but the history."""
    return folder / f"checkpoint-{server_round:05d}.npz"


def history_file(folder: Path, server_round: int) -> Path:
    """Return the path of the file with the history of a round."""
    return folder / f"history-{server_round:05d}.npz"


def saved_rounds(folder: Path) -> list[int]:
    """Return the rounds that have a checkpoint, in order.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    found = [re.fullmatch(r"checkpoint-(\d{5}|[1-9]\d{5})\.npz", name) for name in files.names(folder)]
    rounds = sorted(int(match[1]) for match in found if match)
    return [server_round for server_round in rounds if server_round > 0]


def check_folder(checkpoint_dir: object) -> None:
    """Refuse anything but a path."""
    if not isinstance(checkpoint_dir, str | os.PathLike):
        raise TypeError(f"checkpoint_dir must be the path of a folder, got {type(checkpoint_dir).__name__}")


def check_key(name: str, key: object) -> None:
    """Refuse a key that is not bytes, or is too short."""
    if key is None:
        return
    if not isinstance(key, bytes):
        raise TypeError(f"{name} must be bytes, got a {type(key).__name__}; secrets.token_bytes(32) makes a key")
    if len(key) < _SHORTEST_KEY:
        raise ValueError(
            f"{name} must have at least {_SHORTEST_KEY} bytes, got {len(key)}; secrets.token_bytes(32) makes a key"
        )


def _latest(folder: Path, key: bytes | None) -> tuple[int, dict[str, Any]]:
    """Return the latest undamaged checkpoint, and its round."""
    rounds = saved_rounds(folder)
    if not rounds:
        raise FileNotFoundError(f"{folder} has no checkpoint; pass the checkpoint_dir of a run that completed a round")
    damage: list[archive.DamagedError] = []
    for server_round in reversed(rounds):
        try:
            saved = _read(checkpoint_file(folder, server_round), CHECKPOINT, server_round, key)
        except archive.DamagedError as error:
            damage.append(error)
        except FileNotFoundError as error:
            if saved_rounds(folder) != rounds:  # a run in progress has just removed it
                return _latest(folder, key)
            damage.append(archive.DamagedError(f"{error.filename} is a link to nothing"))
        else:
            for damaged in damage:
                _logger.warning("%s. Everything after round %d is lost", damaged, server_round)
            return server_round, saved
    raise archive.DamagedError("; ".join(map(str, damage)))


def _history(folder: Path, last_round: int, run: str, key: bytes | None) -> tuple[History, tuple[int, ...]]:
    """Return the history of a run up to a round, and the rounds that it lacks."""
    history, lost, reasons = History(), [], []
    for server_round in range(1, last_round + 1):
        path = history_file(folder, server_round)
        try:
            if not path.is_file():
                raise archive.DamagedError(f"{path} is missing")
            of_round = _read(path, HISTORY, server_round, key)
            if of_round["run"] != run or any(entry.server_round != server_round for entry in of_round["rounds"]):
                raise archive.DamagedError(f"{path} belongs to another run")
        except archive.DamagedError as error:
            lost.append(server_round)
            reasons.append(error)
        else:
            history._add(of_round["rounds"])
    if lost:
        shown = ", ".join(map(str, lost[:10])) + (", ..." if len(lost) > 10 else "")
        _logger.warning("The history of round %s is lost, but the model is intact: %s", shown, reasons[0])
    return history, tuple(lost)


def _read(path: Path, form: Form, server_round: int, key: bytes | None) -> dict[str, Any]:
    """Return the values in a file of a run, after checking their form."""
    arrays = archive.read(path, KIND, VERSION, key)
    try:
        values = unpack(arrays)
    except ValueError as error:
        raise archive.DamagedError(f"{path} is not a valid {KIND} file: {error}") from error
    if not has_form(values, form):
        raise archive.DamagedError(f"{path} is not a valid {KIND} file: it has unexpected values")
    if values["server_round"] != server_round:
        raise archive.DamagedError(f"{path} contains round {values['server_round']}, not the round in its name")
    return values
