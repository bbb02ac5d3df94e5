"""A run on disk, round by round, so that one that was stopped can go on."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from flwr.app import RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from flskew import archive
from flskew.strategies.checks import BadReplyError, check_arrays
from flskew.strategies.history import History
from flskew.strategies.ledger import Ledger
from flskew.strategies.packing import pack, unpack
from flskew.strategies.state import StrategyState

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
            ValueError: A file is damaged, or of a later version.
        """
        folder = Path(checkpoint_dir)
        saved = unpack(archive.read(folder / _FILE, _KIND, _VERSION))
        done = saved["server_round"]
        entries = [unpack(archive.read(_round_file(folder, number), _KIND, _VERSION)) for number in range(1, done + 1)]
        history = History(entry for of_round in entries for entry in of_round["rounds"])
        return cls(done, Result(**saved["result"]), history, saved["state"])


class RunOnDisk:
    """Writes what a run has reached into a folder: a file for each round's history, and one for all else.

    The latter is replaced last and in one go, so the folder always holds a whole round, whenever the run is stopped.

    Args:
        checkpoint_dir: The folder; it is made if it is not there.
        strategy: As it is before the run.
        ledger: Its books.
        grid: Where its nodes are.
    """

    def __init__(self, checkpoint_dir: str | os.PathLike[str], strategy: Strategy, ledger: Ledger, grid: Grid) -> None:
        self._folder = Path(checkpoint_dir)
        self._strategy = StrategyState(strategy)
        self._ledger = ledger
        self._grid = grid

    def begin(self, result: Result, num_rounds: int, resume: bool) -> int:
        """Put back what an earlier run has reached, if there is one, and return its last whole round, or 0.

        Args:
            result: Has the initial model; becomes that of the earlier run.
            num_rounds: How many rounds there shall be in all.
            resume: Whether to go on from an earlier run.

        Raises:
            FileExistsError: There is an earlier run, and this one is not to go on from it.
            ValueError: A file is damaged, or the earlier run has another model, strategy or grid, or more rounds.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / _FILE).exists():
            return 0
        where = f"checkpoint_dir={os.fspath(self._folder)!r}"
        if not resume:
            raise FileExistsError(
                f"{where} holds an earlier run; pass resume=True to go on from it, or name another folder"
            )
        checkpoint = Checkpoint.load(self._folder)
        done = checkpoint.server_round
        if done > num_rounds:
            raise ValueError(f"{where} has {done} rounds already; num_rounds={num_rounds} must be at least as many")
        try:
            check_arrays(checkpoint.result.arrays, like=result.arrays)
        except BadReplyError as error:
            raise ValueError(f"{where} has another model than initial_arrays: {error}; name another folder") from error
        self._strategy.restore(checkpoint.state["strategy"])
        self._ledger.remember(checkpoint.history, checkpoint.state["ledger"])
        if isinstance(self._grid, KeepsStates):
            self._grid.restore_node_states(checkpoint.state["nodes"])
        vars(result).update(vars(checkpoint.result))
        _logger.info("Going on from %s, which has %d of %d rounds", where, done, num_rounds)
        return done

    def save(self, server_round: int, result: Result) -> None:
        """Write what is reached after a whole round."""
        of_round = [entry for entry in self._ledger.history if entry.server_round == server_round]
        archive.write(_round_file(self._folder, server_round), _KIND, _VERSION, pack({"rounds": of_round}))
        state = {
            "strategy": self._strategy.gather(),
            "ledger": self._ledger.remembered(),
            "nodes": self._grid.node_states() if isinstance(self._grid, KeepsStates) else {},
        }
        saved = {"server_round": server_round, "result": dict(vars(result)), "state": state}
        archive.write(self._folder / _FILE, _KIND, _VERSION, pack(saved))


def _round_file(folder: Path, server_round: int) -> Path:
    return folder / f"history-{server_round:05d}.npz"
