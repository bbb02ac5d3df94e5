"""A run on disk, round by round, so that one that was stopped can go on."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from flwr.app import ArrayRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from flskew._util import archive
from flskew.strategies._checks import BadReplyError, check_arrays
from flskew.strategies._ledger import Ledger
from flskew.strategies._packing import pack, unpack
from flskew.strategies._state import StrategyState
from flskew.strategies.history import History

__all__ = ["Checkpoint", "KeepsStates", "RunOnDisk"]

_KIND = "checkpoint"
_VERSION = 1
_FILE = "checkpoint.npz"
_logger = logging.getLogger("flwr")


@runtime_checkable
class KeepsStates(Protocol):
    """A grid that can tell the states of its nodes' contexts, and put them back."""

    def node_states(self) -> dict[int, RecordDict]:
        """Return the states that are not empty, by node."""

    def restore_node_states(self, states: Mapping[int, RecordDict]) -> None:
        """Put states back."""


@dataclass(frozen=True)
class Checkpoint:
    """What a run had reached after a whole round.

    Attributes:
        server_round: The round, 1, 2, ...
        result: Flower's `Result` up to then: the model and the metrics.
        history: The rounds up to then.
        state: What the run needs to go on.

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
            FileNotFoundError: There is none.
            ValueError: A file is damaged or missing, of another run, or of a later version.
        """
        folder = Path(checkpoint_dir)
        saved = unpack(archive.read(folder / _FILE, _KIND, _VERSION))
        history = History()
        for server_round in range(1, saved["server_round"] + 1):
            path = _round_file(folder, server_round)
            if not path.exists():
                raise ValueError(f"{folder / _FILE} is of round {saved['server_round']}, but there is no {path.name}")
            of_round = unpack(archive.read(path, _KIND, _VERSION))
            if (of_round["run"], of_round["server_round"]) != (saved["state"]["run"], server_round):
                raise ValueError(f"{path} is not of round {server_round} of the run in {folder / _FILE}")
            history.extend(of_round["rounds"])
        return cls(saved["server_round"], Result(**saved["result"]), history, saved["state"])


class RunOnDisk:
    """Writes what a run has reached into a folder: a file for each round's history, and one for all else.

    The latter is replaced last and in one go, so the folder always holds a whole round, whenever the run is stopped.

    Args:
        checkpoint_dir: The folder; it is made if it is not there.
        grid: Where the nodes are.

    Raises:
        ValueError: The folder has no name.
        NotADirectoryError: It is a file.
        OSError: It cannot be written to.
    """

    def __init__(self, checkpoint_dir: str | os.PathLike[str], grid: Grid) -> None:
        self._name = f"checkpoint_dir={os.fspath(checkpoint_dir)!r}"
        if not os.fspath(checkpoint_dir):
            raise ValueError(f"{self._name} must name a folder; None writes no checkpoints")
        self._folder = Path(checkpoint_dir)
        if self._folder.exists() and not self._folder.is_dir():
            raise NotADirectoryError(f"{self._name} is no folder; name one, or one that is not there yet")
        self._folder.mkdir(parents=True, exist_ok=True)
        probe = self._folder / f".{os.urandom(8).hex()}.tmp"
        probe.touch()  # better now than after a round
        probe.unlink()
        self._grid = grid
        self._run = os.urandom(8).hex()
        self._written = self._stamp()

    def latest(self, strategy: Strategy, initial: ArrayRecord, num_rounds: int, resume: bool) -> Checkpoint | None:
        """Return the checkpoint to go on from, None if there is none.

        Args:
            strategy: Goes on.
            initial: The model of round 0.
            num_rounds: How many rounds there shall be in all.
            resume: Whether to go on from an earlier run.

        Raises:
            FileExistsError: There is an earlier run, and this one is not to go on from it.
            ValueError: A file is damaged, or the earlier run has another model, strategy or grid, or more rounds.
        """
        if self._written is None:
            return None
        if not resume:
            raise FileExistsError(
                f"{self._name} holds an earlier run; pass resume=True to go on from it, or name another folder"
            )
        checkpoint = Checkpoint.load(self._folder)
        done = checkpoint.server_round
        if done > num_rounds:
            raise ValueError(
                f"{self._name} has {done} rounds already; num_rounds={num_rounds} must be at least as many"
            )
        try:
            check_arrays(checkpoint.result.arrays, like=initial)
            StrategyState(strategy).check(checkpoint.state["strategy"])
        except BadReplyError as error:
            raise ValueError(
                f"{self._name} has another model than initial_arrays: {error}; name another folder"
            ) from error
        except ValueError as error:
            raise ValueError(f"{self._name} {error}, or name another folder") from error
        if isinstance(self._grid, KeepsStates):
            unknown = sorted(set(checkpoint.state["nodes"]) - set(self._grid.get_node_ids()))
            if unknown:
                raise ValueError(
                    f"{self._name} has the state of node {unknown[0]}, which is not there; go on with as many nodes"
                )
        return checkpoint

    def go_on(self, checkpoint: Checkpoint, ledger: Ledger, state: StrategyState) -> None:
        """Put back what an earlier run has reached."""
        for left_behind in (*self._folder.glob(f".{_FILE}.*.tmp"), *self._folder.glob(".history-*.tmp")):
            left_behind.unlink(missing_ok=True)
        self._run = checkpoint.state["run"]
        state.restore(checkpoint.state["strategy"])
        ledger.remember(checkpoint.history, checkpoint.state["ledger"])
        if isinstance(self._grid, KeepsStates):
            self._grid.restore_node_states(checkpoint.state["nodes"])
        vars(ledger.result).update(vars(checkpoint.result))
        _logger.info("Going on from %s, which has %d rounds", self._name, checkpoint.server_round)

    def save(self, server_round: int, ledger: Ledger, state: StrategyState) -> None:
        """Write what is reached after a whole round.

        Raises:
            RuntimeError: Another run has written into the folder.
        """
        if self._stamp() != self._written:
            raise RuntimeError(f"another run writes into {self._name}; give each a folder of its own")
        of_round = [entry for entry in ledger.history if entry.server_round == server_round]
        packed = pack({"run": self._run, "server_round": server_round, "rounds": of_round})
        archive.write(_round_file(self._folder, server_round), _KIND, _VERSION, packed)
        needed = {
            "run": self._run,
            "strategy": state.gather(),
            "ledger": ledger.remembered(),
            "nodes": self._grid.node_states() if isinstance(self._grid, KeepsStates) else {},
        }
        saved = {"server_round": server_round, "result": dict(vars(ledger.result)), "state": needed}
        archive.write(self._folder / _FILE, _KIND, _VERSION, pack(saved))
        self._written = self._stamp()

    def _stamp(self) -> tuple[int, int, int] | None:
        """Return what tells the checkpoint that is there from any other; None if there is none."""
        try:
            found = (self._folder / _FILE).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _round_file(folder: Path, server_round: int) -> Path:
    return folder / f"history-{server_round:05d}.npz"
