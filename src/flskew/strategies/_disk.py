"""A run written to its folder, round by round, so that it can resume after an interruption."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from flwr.app import ArrayRecord, RecordDict
from flwr.serverapp import Grid

from flskew._util import archive
from flskew.strategies._checks import BadReplyError, check_arrays
from flskew.strategies._packing import pack
from flskew.strategies._record import RunRecord
from flskew.strategies.checkpoints import FILE, KIND, VERSION, Checkpoint, round_file

__all__ = ["KeepsStates", "RunOnDisk"]

_logger = logging.getLogger("flwr")


@runtime_checkable
class KeepsStates(Protocol):
    """A grid that can save and restore the states of its nodes' contexts."""

    def node_states(self) -> dict[int, RecordDict]:
        """Return the non-empty states, by node."""

    def restore_node_states(self, states: Mapping[int, RecordDict]) -> None:
        """Restore these states and clear all others."""


class RunOnDisk:
    """Writes a run into a folder: one file for each round's history, and one for everything else.

    The latter is replaced last and atomically, so the folder always holds a complete round, whenever the run stops.

    Args:
        checkpoint_dir: The folder; created if it does not exist.
        grid: Connection to the nodes.

    Raises:
        ValueError: The path is empty.
        NotADirectoryError: The path is a file.
        OSError: The folder is not writable.
    """

    def __init__(self, checkpoint_dir: str | os.PathLike[str], grid: Grid) -> None:
        self._name = f"checkpoint_dir={os.fspath(checkpoint_dir)!r}"
        if not os.fspath(checkpoint_dir):
            raise ValueError(f"{self._name} must name a folder; None writes no checkpoints")
        self._folder = Path(checkpoint_dir)
        if self._folder.exists() and not self._folder.is_dir():
            raise NotADirectoryError(f"{self._name} is not a folder; pass a folder, or a path that does not exist yet")
        self._folder.mkdir(parents=True, exist_ok=True)
        probe = self._folder / f".{os.urandom(8).hex()}.tmp"
        probe.touch()  # fail now rather than after a round
        probe.unlink()
        self._grid = grid
        self._run = os.urandom(8).hex()
        self._written = self._stamp()

    def latest(self, kinds: Sequence[str], initial: ArrayRecord, num_rounds: int, resume: bool) -> Checkpoint | None:
        """Return the checkpoint to resume from, None if the folder has none.

        Args:
            kinds: Class names of the strategy and of those inside it, outermost first.
            initial: The model before round 1.
            num_rounds: Total number of rounds.
            resume: Whether to continue an earlier run.

        Raises:
            FileExistsError: The folder has an earlier run, and `resume` is false.
            ValueError: A file is damaged, or the earlier run has another model, strategy or grid, or more rounds.
        """
        if self._written is None:
            return None
        if not resume:
            raise FileExistsError(
                f"{self._name} holds an earlier run; pass resume=True to continue it, or choose another folder"
            )
        checkpoint = Checkpoint.load(self._folder)
        done = checkpoint.server_round
        if done > num_rounds:
            raise ValueError(f"{self._name} already has {done} rounds; num_rounds={num_rounds} must be at least {done}")
        try:
            check_arrays(checkpoint.result.arrays, like=initial)
        except BadReplyError as error:
            raise ValueError(
                f"{self._name} holds another model than initial_arrays: {error}; choose another folder"
            ) from error
        have, want = (" inside ".join(reversed(names)) for names in (checkpoint.state["kinds"], kinds))
        if have != want:
            raise ValueError(
                f"{self._name} holds a run of {have}, not of {want}; resume with the same strategy, or choose another "
                "folder"
            )
        if isinstance(self._grid, KeepsStates):
            unknown = sorted(set(checkpoint.state["nodes"]) - set(self._grid.get_node_ids()))
            if unknown:
                raise ValueError(
                    f"{self._name} has the state of node {unknown[0]}, which does not exist; resume with the same "
                    "number of nodes"
                )
        return checkpoint

    def restore(self, checkpoint: Checkpoint, record: RunRecord) -> None:
        """Restore everything but the strategy's own state."""
        for left_behind in (*self._folder.glob(f".{FILE}.*.tmp"), *self._folder.glob(".history-*.tmp")):
            left_behind.unlink(missing_ok=True)
        self._run = checkpoint.state["run"]
        record.history.extend(checkpoint.history)
        record.load_state_dict(checkpoint.state["record"])
        if isinstance(self._grid, KeepsStates):
            self._grid.restore_node_states(checkpoint.state["nodes"])
        vars(record.result).update(vars(checkpoint.result))
        _logger.info("Resuming from %s after round %d", self._name, checkpoint.server_round)

    def save(self, server_round: int, record: RunRecord, kinds: Sequence[str], strategy: Mapping[str, Any]) -> None:
        """Write the state after a complete round.

        Raises:
            RuntimeError: Another run has written into the folder.
        """
        if self._stamp() != self._written:
            raise RuntimeError(f"another run is writing to {self._name}; give each run its own folder")
        of_round = [entry for entry in record.history if entry.server_round == server_round]
        packed = pack({"run": self._run, "server_round": server_round, "rounds": of_round})
        archive.write(round_file(self._folder, server_round), KIND, VERSION, packed)
        needed = {
            "run": self._run,
            "kinds": list(kinds),
            "strategy": dict(strategy),
            "record": record.state_dict(),
            "nodes": self._grid.node_states() if isinstance(self._grid, KeepsStates) else {},
        }
        saved = {"server_round": server_round, "result": dict(vars(record.result)), "state": needed}
        archive.write(self._folder / FILE, KIND, VERSION, pack(saved))
        self._written = self._stamp()

    def _stamp(self) -> tuple[int, int, int] | None:
        """Return what distinguishes the present checkpoint from any other; None if there is none."""
        try:
            found = (self._folder / FILE).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
