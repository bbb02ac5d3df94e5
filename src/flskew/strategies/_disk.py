"""Checkpoints of a running run: a file for each round's history, and one for everything else."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from flwr.app import ArrayRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from flskew._util import archive
from flskew.strategies._checks import BadReplyError, check_arrays
from flskew.strategies._packing import pack
from flskew.strategies._record import RunRecord
from flskew.strategies._state import read_state, strategy_names, write_state
from flskew.strategies.checkpoints import FILE, KIND, VERSION, Checkpoint, round_file

__all__ = ["KeepsStates", "RunOnDisk"]

_logger = logging.getLogger("flwr")


@runtime_checkable
class KeepsStates(Protocol):
    """A grid that can tell the states of its nodes' contexts, and put them back."""

    def node_states(self) -> dict[int, RecordDict]:
        """Return the states that are not empty, by node."""

    def restore_node_states(self, states: Mapping[int, RecordDict]) -> None:
        """Put states back."""


class RunOnDisk:
    """Writes what a run has reached into a folder: a file for each round's history, and one for all else.

    The latter is replaced last and in one go, so the folder always holds a whole round, whenever the run is stopped.

    Args:
        checkpoint_dir: The folder; it is made if it is not there.
        grid: Reaches the nodes.
        strategy: Makes the run.

    Raises:
        ValueError: The folder has no name.
        NotADirectoryError: It is a file.
        OSError: It cannot be written to.
    """

    def __init__(self, checkpoint_dir: str | os.PathLike[str], grid: Grid, strategy: Strategy) -> None:
        self._name = f"checkpoint_dir={os.fspath(checkpoint_dir)!r}"
        if not os.fspath(checkpoint_dir):
            raise ValueError(f"{self._name} must name a folder; None writes no checkpoints")
        self._folder = Path(checkpoint_dir)
        if self._folder.exists() and not self._folder.is_dir():
            raise NotADirectoryError(f"{self._name} is not a folder; name one, or one that does not exist yet")
        pack({"state": read_state(strategy)})
        self._folder.mkdir(parents=True, exist_ok=True)
        probe = self._folder / f".{os.urandom(8).hex()}.tmp"
        probe.touch()  # better now than after a round
        probe.unlink()
        self._grid = grid
        self._strategy = strategy
        self._run = os.urandom(8).hex()
        self._written = self._stamp()

    def latest(self, initial: ArrayRecord, num_rounds: int, resume: bool) -> Checkpoint | None:
        """Return the checkpoint to go on from, None if there is none.

        Args:
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
        except BadReplyError as error:
            raise ValueError(
                f"{self._name} has another model than initial_arrays: {error}; name another folder"
            ) from error
        saved, own = checkpoint.state["strategies"], strategy_names(self._strategy)
        if saved != own:
            raise ValueError(
                f"{self._name} is a run of {' around '.join(saved)}, not of {' around '.join(own)}; resume it with the "
                "same strategy, or name another folder"
            )
        if isinstance(self._grid, KeepsStates):
            unknown = sorted(set(checkpoint.state["nodes"]) - set(self._grid.get_node_ids()))
            if unknown:
                raise ValueError(
                    f"{self._name} has the state of node {unknown[0]}, which is not there; go on with as many nodes"
                )
        return checkpoint

    def restore(self, checkpoint: Checkpoint, record: RunRecord, result: Result) -> None:
        """Put back what an earlier run has reached."""
        for left_behind in (*self._folder.glob(f".{FILE}.*.tmp"), *self._folder.glob(".history-*.tmp")):
            left_behind.unlink(missing_ok=True)
        self._run = checkpoint.state["run"]
        write_state(self._strategy, checkpoint.state["strategy"])
        record.load(checkpoint.history, checkpoint.state["record"])
        if isinstance(self._grid, KeepsStates):
            self._grid.restore_node_states(checkpoint.state["nodes"])
        vars(result).update(vars(checkpoint.result))
        _logger.info("Resuming %s after round %d", self._name, checkpoint.server_round)

    def save(self, server_round: int, record: RunRecord, result: Result) -> None:
        """Write what is reached after a whole round.

        Raises:
            RuntimeError: Another run has written into the folder.
        """
        if self._stamp() != self._written:
            raise RuntimeError(f"another run writes into {self._name}; give each a folder of its own")
        of_round = [entry for entry in record.history if entry.server_round == server_round]
        packed = pack({"run": self._run, "server_round": server_round, "rounds": of_round})
        archive.write(round_file(self._folder, server_round), KIND, VERSION, packed)
        needed = {
            "run": self._run,
            "strategies": strategy_names(self._strategy),
            "strategy": read_state(self._strategy),
            "record": record.state_dict(),
            "nodes": self._grid.node_states() if isinstance(self._grid, KeepsStates) else {},
        }
        saved = {"server_round": server_round, "result": dict(vars(result)), "state": needed}
        archive.write(self._folder / FILE, KIND, VERSION, pack(saved))
        self._written = self._stamp()

    def _stamp(self) -> tuple[int, int, int] | None:
        """Return what tells the checkpoint that is there from any other; None if there is none."""
        try:
            found = (self._folder / FILE).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
