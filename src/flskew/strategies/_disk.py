"""A run written to its folder, round by round, so that it can resume after an interruption."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from flwr.app import ArrayRecord, RecordDict
from flwr.serverapp import Grid

from flskew._util import archive, files
from flskew.strategies._checks import BadReplyError, check_arrays
from flskew.strategies._packing import pack
from flskew.strategies._record import RunRecord
from flskew.strategies.checkpoints import (
    KIND,
    LAST_ROUND,
    VERSION,
    Checkpoint,
    check_folder,
    check_key,
    checkpoint_file,
    history_file,
    saved_rounds,
)

__all__ = ["KeepsStates", "RunOnDisk"]

_logger = logging.getLogger("flwr")

_LOCK = ".lock"
_UNFINISHED = re.compile(r"\.(checkpoint|history)-\d+\.npz\..*\.tmp")


@runtime_checkable
class KeepsStates(Protocol):
    """A grid that can save and restore the states of its nodes' contexts."""

    def node_states(self) -> dict[int, RecordDict]:
        """Return the non-empty states, by node."""

    def restore_node_states(self, states: Mapping[int, RecordDict]) -> None:
        """Restore these states and clear all others."""


class RunOnDisk:
    """Writes a run into a folder: one file for each round's history, and one for everything else after that round.

    A round is complete once the second file has its final name. The last two of these files are kept, so that a run can
    resume if one is damaged. The folder is locked until `close`.

    Args:
        checkpoint_dir: The folder; created if it does not exist.
        grid: Connection to the nodes.
        key: Seals the files; None for files that are checked for damage only.

    Attributes:
        name: How errors name the folder.

    Raises:
        ValueError: The path is empty, or the key too short.
        TypeError: The path is not a path, or the key is not bytes.
        NotADirectoryError: The path is a file.
        RuntimeError: Another run is using the folder.
        OSError: The folder is not writable.
    """

    def __init__(self, checkpoint_dir: str | os.PathLike[str], grid: Grid, key: bytes | None) -> None:
        check_folder(checkpoint_dir)
        self.name = f"checkpoint_dir={os.fspath(checkpoint_dir)!r}"
        if not os.fspath(checkpoint_dir):
            raise ValueError(f"{self.name} must name a folder; None writes no checkpoints")
        check_key("checkpoint_key", key)
        self._folder, self._grid, self._key = Path(checkpoint_dir).absolute(), grid, key
        if self._folder.exists() and not self._folder.is_dir():
            raise NotADirectoryError(f"{self.name} is not a folder; pass a folder, or a path that does not exist yet")
        files.make_folder(self._folder)
        self._owner, self._run = files.identity(), files.token()
        self._lock = self._locked()  # also fails now rather than after a round if the folder is not writable
        try:
            self._clear()
        except BaseException:
            self.close()
            raise

    @property
    def keeps_node_states(self) -> bool:
        """Whether a checkpoint has the states of the nodes."""
        return isinstance(self._grid, KeepsStates)

    def close(self) -> None:
        """Release the folder."""
        files.unlock(self._lock)

    def latest(
        self, kinds: Sequence[str], initial: ArrayRecord, num_rounds: int, resume: bool, noise: str | None
    ) -> Checkpoint | None:
        """Return the checkpoint to resume from, or None if the folder has none.

        Args:
            kinds: Class names of the strategy and of those inside it, outermost first.
            initial: The model before round 1.
            num_rounds: Total number of rounds.
            resume: Whether to continue an earlier run.
            noise: Class name of a strategy that draws noise from a global generator, if one does.

        Raises:
            FileExistsError: The folder has an earlier run, and `resume` is false.
            ValueError: Every checkpoint is damaged; the earlier run has another key, model, strategy or grid, or more
                rounds; or the strategy draws noise.
        """
        if num_rounds > LAST_ROUND:
            raise ValueError(f"num_rounds={num_rounds} is more than checkpoint_dir can hold; use {LAST_ROUND} at most")
        if not saved_rounds(self._folder):
            if resume:
                _logger.info("Nothing to resume: %s has no complete round yet", self.name)
            if noise is not None:
                _logger.warning("This run can be loaded but not resumed: %s adds random noise", noise)
            return None
        if not resume:
            raise FileExistsError(
                f"{self.name} holds an earlier run; pass resume=True to continue it, or choose another folder"
            )
        if noise is not None:
            raise ValueError(
                f"{self.name} cannot be resumed by {noise}: it draws its noise from NumPy's global generator, which "
                "checkpoints do not save, so a resumed run could repeat earlier noise and lose its privacy guarantee; "
                "start a new run in another folder"
            )
        checkpoint = Checkpoint.load(self._folder, key=self._key)
        done = checkpoint.server_round
        if done > num_rounds:
            raise ValueError(f"{self.name} already has {done} rounds; num_rounds={num_rounds} must be at least {done}")
        try:
            check_arrays(checkpoint.result.arrays, like=initial)
            if checkpoint.result.best is not None:
                check_arrays(checkpoint.result.best.arrays, like=initial)
        except BadReplyError as error:
            raise ValueError(
                f"{self.name} holds a different model from initial_arrays: {error}; choose another folder"
            ) from error
        have, want = (" inside ".join(reversed(names)) for names in (checkpoint.state["kinds"], kinds))
        if have != want:
            raise ValueError(
                f"{self.name} holds a run of {have}, not of {want}; resume with the same strategy, or choose another "
                "folder"
            )
        if isinstance(self._grid, KeepsStates):
            unknown = sorted(set(checkpoint.state["nodes"]) - set(self._grid.get_node_ids()))
            if unknown:
                raise ValueError(
                    f"{self.name} has the state of node {unknown[0]}, which does not exist; resume with the same "
                    "number of nodes"
                )
        return checkpoint

    def restore(self, checkpoint: Checkpoint, record: RunRecord) -> None:
        """Restore everything but the strategy's own state."""
        self._run = checkpoint.state["run"]
        record.history.extend(checkpoint.history)
        record.load_state_dict(checkpoint.state["record"])
        if isinstance(self._grid, KeepsStates):
            self._grid.restore_node_states(checkpoint.state["nodes"])
        vars(record.result).update(vars(checkpoint.result))
        _logger.info("Resuming from %s after round %d", self.name, checkpoint.server_round)

    def save(
        self,
        server_round: int,
        record: RunRecord,
        kinds: Sequence[str],
        strategy: Mapping[str, Any],
        best: Mapping[str, object],
    ) -> None:
        """Write the state after a complete round, and remove files older than the previous checkpoint.

        Raises:
            RuntimeError: Another run has taken over the folder.
            OSError: A file cannot be written, for example because the disk is full; earlier rounds are unaffected.
        """
        if files.owner(self._folder / _LOCK) != self._owner:
            raise RuntimeError(f"another run has taken over {self.name}, or removed it; give each run its own folder")
        of_round = [entry for entry in record.history if entry.server_round == server_round]
        history = pack({"run": self._run, "server_round": server_round, "rounds": of_round})
        needed = {
            "run": self._run,
            "kinds": list(kinds),
            "strategy": dict(strategy),
            "record": record.state_dict(),
            "best": dict(best),
            "nodes": self._grid.node_states() if isinstance(self._grid, KeepsStates) else {},
        }
        saved = pack({"server_round": server_round, "result": dict(vars(record.result)), "state": needed})
        try:
            archive.write(history_file(self._folder, server_round), KIND, VERSION, history, self._key)
            archive.write(checkpoint_file(self._folder, server_round), KIND, VERSION, saved, self._key)
            for older in saved_rounds(self._folder):
                if older < server_round - 1:
                    with suppress(PermissionError):  # on Windows, while it is being read; the next round tries again
                        files.remove(checkpoint_file(self._folder, older))
        except OSError as error:
            raise OSError(
                error.errno,
                f"{self.name} could not save round {server_round}: {error.strerror or error}; free some space or fix "
                "the folder, then continue after the last saved round with resume=True",
            ) from error

    def _locked(self) -> files.Lock:
        path = self._folder / _LOCK
        try:
            lock = files.lock(path, self._owner)
        except BlockingIOError as error:
            raise RuntimeError(
                f"another run is using {self.name}: {files.owner(path) or 'it has just begun'}; wait until it ends, "
                "or give each run its own folder"
            ) from error
        except OSError as error:
            raise OSError(error.errno, f"{self.name} is not writable: {error.strerror or error}", str(path)) from error
        if not lock.is_exclusive:
            _logger.warning(
                "The file system of %s does not support locks; make sure that no other run uses this folder", self.name
            )
        return lock

    def _clear(self) -> None:
        """Remove unfinished files of a run that was killed."""
        for name in files.names(self._folder):
            if _UNFINISHED.fullmatch(name):
                files.remove(self._folder / name)
