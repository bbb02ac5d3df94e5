"""One process of a simulated run: its steps, its disk, its clocks, its threads, and a rival."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import pkgutil
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any
from unittest import mock

from flwr.app import Array, ArrayRecord

import flskew.simulation
import flskew.strategies
from flskew import BestModel, History, KeepBest, RoundError, RunResult
from flskew._util import files, threads
from flskew.simulation import grid as grid_module

from .federation import INITIAL, Network
from .plan import Life, Plan

# Far more than any run takes.
MOST_STEPS, MOST_SECONDS = 5_000, 60
# A file is written in dozens of pieces, and a fault between any two of them has the same effect.
WRITES_PER_STEP = 8

MODULES = [
    importlib.import_module(f"{package.__name__}.{found.name}")
    for package in (flskew.strategies, flskew.simulation)
    for found in pkgutil.iter_modules(package.__path__)
]


class Killed(KeyboardInterrupt):
    """The process ends here. Like an interrupt, it passes through every `except Exception`."""


class HungError(AssertionError):
    """The process does not end."""


@dataclass(frozen=True)
class Story:
    """The result of a run, without times.

    Attributes:
        error: The error that the clients caused, if they did.
        result: The model, the best model and the metrics.
        history: The entries of each round.
    """

    error: str | None
    result: tuple[object, ...]
    history: dict[int, str]


@dataclass
class Outcome:
    """How a process ended, and what was observed of it.

    Attributes:
        story: The result, without times; None if the process did not finish.
        error: What ended the process, unless the clients did.
        asked: The partitions that were asked, by phase and round.
        replied: Every text in a reply, as the client sent it.
        kept: Every text that the server keeps or prints.
        outlived: What was still alive after its round.
        model: The model at the end.
        best: The best model, if the run keeps it.
        losses: The loss of each evaluated round.
    """

    story: Story | None = None
    error: BaseException | None = None
    asked: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    replied: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    outlived: list[str] = field(default_factory=list)
    model: list[Any] = field(default_factory=list)
    best: BestModel | None = None
    losses: dict[int, float] = field(default_factory=dict)


class World:
    """One process.

    Args:
        plan: The plan of the seed.
        life: What happens to this process.
        resumes: Whether it passes resume=True.
    """

    def __init__(self, plan: Plan, life: Life, *, resumes: bool = False, number: int = 0) -> None:
        self.plan, self._life, self._resumes = plan, life, resumes
        self._rng = random.Random(f"{plan.seed} {number}")
        self._steps = 0
        self._is_dead = self._is_rival = False
        self._lock = threading.RLock()
        self._folder: Path | None = None
        self.disk = Disk(self)
        self.rival: BaseException | str | None = None
        self.rotten: str | None = None

    def run(self, folder: Path | None) -> Outcome:
        """Start or resume the run, until the process ends."""
        self._folder = folder
        with self._simulated():
            outcome = self._process(self._resumes)
        if self._is_dead:
            self.disk.lose_power()
        if folder is not None and self._life.rots and outcome.story is None:
            self.rotten = self.disk.rot(folder)
        return outcome

    def step(self, name: str) -> None:
        """Count a step, which may end the process or start a rival; a killed process is ended again."""
        if self._is_rival:
            return
        with self._lock:
            if self._is_dead:
                raise Killed(name)
            self._steps += 1
            if self._steps > MOST_STEPS:
                raise HungError(f"{MOST_STEPS} steps, the last one: {name}")
            if self._steps == self._life.dies_at:
                self._is_dead = True
                raise Killed(name)
            if self._steps == self._life.rival_at and self._folder is not None:
                self._start_rival()

    def is_full(self) -> bool:
        """Return whether the disk has no space left."""
        return not self._is_rival and self._life.full_at is not None and self._steps >= self._life.full_at

    @property
    def is_dead(self) -> bool:
        """Whether the process has been killed."""
        return self._is_dead and not self._is_rival

    @property
    def speaker(self) -> str:
        """The process of the current step."""
        return "rival" if self._is_rival else "first"

    def _start_rival(self) -> None:
        self._is_rival = True
        try:
            outcome = self._process(self._life.rival_resumes)
            self.rival = outcome.error or "won"
        finally:
            self._is_rival = False

    def _process(self, resumes: bool) -> Outcome:
        outcome, strategy = Outcome(), self.plan.make_strategy()
        options: dict[str, Any] = {} if self._folder is None else {"checkpoint_dir": self._folder, "resume": resumes}
        if self.plan.patience is not None:
            options |= {"keep_best": KeepBest("loss", lower_is_better=True), "stop_after": self.plan.patience}
        initial = ArrayRecord({name: Array(array) for name, array in INITIAL.items()})
        with Network(self) as network:
            try:
                result = strategy.start(network, initial, self.plan.num_rounds, **options)
                outcome.story = _story(None, result, strategy.history)
            except RoundError as error:
                result = error.result
                outcome.story = _story(str(error), result, strategy.history)
                outcome.kept.append(str(error))
            except LookupError as error:
                if not str(error).startswith("keep_best='loss': no round has been evaluated"):
                    raise
                result = strategy.result
                outcome.story = _story(str(error), result, strategy.history)
            except (Killed, OSError, ValueError, RuntimeError) as error:
                outcome.error = error
                return outcome
            finally:
                outcome.asked, outcome.replied, outcome.outlived = network.asked, network.replied, network.outlived
        outcome.kept += [failure.reason + failure.traceback for entry in strategy.history for failure in entry.failures]
        outcome.kept += strategy.history.dropped()
        outcome.model, outcome.best = result.arrays.to_numpy_ndarrays(), result.best
        outcome.losses = {
            server_round: float(metrics["loss"])  # type: ignore[arg-type]
            for server_round, metrics in result.evaluate_metrics_clientapp.items()
        }
        return outcome

    @contextmanager
    def _simulated(self) -> Iterator[None]:
        """Replace what is simulated, disable garbage collection, and limit the duration."""
        clock = Clock(self._rng)
        collects = gc.isenabled()
        gc.disable()
        with ExitStack() as stack:
            for module in MODULES:
                if hasattr(module, "time"):
                    stack.enter_context(mock.patch.object(module, "time", clock))
            stack.enter_context(mock.patch.object(grid_module, "in_threads", self._in_threads))
            stack.enter_context(mock.patch.object(threads, "usable_processors", return_value=1))
            for name in Disk.STEPS:
                stack.enter_context(mock.patch.object(files, name, getattr(self.disk, name)))
            stack.enter_context(_alarm())
            try:
                yield
            finally:
                if collects:
                    gc.enable()

    def _in_threads(self, work: Callable[[Any], Any], tasks: Sequence[Any], max_workers: int) -> Iterator[Any]:
        """Run the tasks in an order in which `max_workers` threads could finish them."""
        waiting = list(tasks)
        while waiting:
            yield work(waiting.pop(self._rng.randrange(min(max_workers, len(waiting)))))


class Clock(SimpleNamespace):
    """Clocks that advance when they are read; the wall clock is also set forward and back."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._now, self._offset = 1000.0, 1.7e9

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        self._now += self._rng.random()
        return self._now

    def time(self) -> float:
        """Return seconds that may go back."""
        if self._rng.random() < 0.05:
            self._offset += self._rng.uniform(-600, 600)
        return self.monotonic() + self._offset

    def sleep(self, seconds: float) -> None:
        """Advance the clock without waiting."""
        self._now += seconds


class Disk:
    """The steps of `flskew._util.files`, on files that lose what was not synced when the power fails."""

    STEPS = (
        "create", "write", "sync", "close", "copy_mode", "rename", "sync_folder", "remove", "make_folder", "names",
        "open_existing", "lock", "unlock",
    )  # fmt: skip

    def __init__(self, world: World) -> None:
        self._world = world
        self._real = {name: getattr(files, name) for name in self.STEPS}
        self._unsynced: dict[Path, bytes] = {}
        self._undo: list[tuple[Path, Callable[[], None]]] = []
        self._holders: dict[Path, str] = {}
        self._paths: dict[int, Path] = {}
        self._writes = 0
        self.was_shared = False

    def create(self, path: Path) -> IO[bytes]:
        """Open a new file."""
        self._step("create", takes_space=True)
        file: IO[bytes] = self._real["create"](path)
        self._unsynced[path] = b""
        self._paths[id(file)] = path
        return file

    def write(self, file: IO[bytes], data: Any) -> None:
        """Append; on a full disk only a part arrives."""
        self._writes += 1
        try:
            if self._writes % WRITES_PER_STEP == 0:
                self._step("write", takes_space=True)
        except OSError:
            self._real["write"](file, bytes(data)[: len(bytes(data)) // 2])
            raise
        self._real["write"](file, data)

    def sync(self, file: IO[bytes]) -> None:
        """Make a file durable."""
        self._step("sync", takes_space=True)
        file.flush()
        self._unsynced.pop(self._paths[id(file)], None)

    def close(self, file: IO[bytes]) -> None:
        """Close a file, as the operating system also does for a killed process."""
        self._real["close"](file)
        self._paths.pop(id(file), None)

    def copy_mode(self, source: Path, target: Path) -> None:
        """Copy permissions."""
        self._step("copy_mode")
        self._real["copy_mode"](source, target)

    def rename(self, source: Path, target: Path) -> None:
        """Replace a file; a power failure may still undo it."""
        self._step("rename")
        before = target.read_bytes() if target.exists() else None
        after = source.read_bytes()
        self._real["rename"](source, target)
        if source in self._unsynced:
            self._unsynced[target] = self._unsynced.pop(source)
        self._undo.append((target.parent, lambda: _restore({source: after, target: before})))

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        self._step("sync_folder")
        self._undo = [(parent, undo) for parent, undo in self._undo if parent != folder]

    def remove(self, path: Path) -> None:
        """Remove a file; a power failure may still undo it."""
        self._step("remove")
        before = path.read_bytes() if path.exists() else None
        self._real["remove"](path)
        self._undo.append((path.parent, lambda: _restore({path: before})))

    def make_folder(self, path: Path) -> None:
        """Make a folder."""
        self._step("make_folder")
        self._real["make_folder"](path)

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder."""
        self._step("names")
        found: list[str] = self._real["names"](folder)
        return found

    def open_existing(self, path: Path) -> IO[bytes]:
        """Open a file for reading."""
        self._step("open")
        file: IO[bytes] = self._real["open_existing"](path)
        return file

    def lock(self, path: Path, name: str) -> Any:
        """Lock a file."""
        self._step("lock")
        held = self._real["lock"](path, name)
        if self._holders:
            self.was_shared = True
        self._holders[path] = self._world.speaker
        return held

    def unlock(self, held: Any) -> None:
        """Release a lock, as the operating system also does for a killed process."""
        self._holders = {path: speaker for path, speaker in self._holders.items() if speaker != self._world.speaker}
        self._real["unlock"](held)

    def lose_power(self) -> None:
        """Undo some of what was not synced, at random."""
        rng = self._world._rng
        for path in self._unsynced:
            if path.exists():
                data = path.read_bytes()
                path.write_bytes(rng.choice([b"", data[: len(data) // 2], bytes(len(data)), data]))
        for _, undo in reversed(self._undo):
            if rng.random() < 0.5:
                undo()

    def rot(self, folder: Path) -> str | None:
        """Change one bit of one file, and return its name."""
        rng = self._world._rng
        found = sorted(path for path in folder.glob("*.npz") if path.stat().st_size)
        if not found:
            return None
        path = rng.choice(found)
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        return path.name

    def _step(self, name: str, *, takes_space: bool = False) -> None:
        self._world.step(name)
        if takes_space and self._world.is_full():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _alarm() -> Iterator[None]:
    """Raise HungError after a minute, even inside a regular expression, in the main thread of systems with alarms."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: object) -> None:
        raise HungError(f"not done after {MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _restore(contents: dict[Path, bytes | None]) -> None:
    for path, content in contents.items():
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(content)


def _story(error: str | None, result: RunResult, history: History) -> Story:
    entries: dict[int, str] = {}
    for entry in history:
        replies = tuple(replace(reply, seconds=0.0) for reply in entry.replies)
        timeless = repr(replace(entry, seconds=0.0, replies=replies))
        entries[entry.server_round] = entries.get(entry.server_round, "") + timeless
    models = [result.arrays, *([] if result.best is None else [result.best.arrays])]
    arrays = [(name, array.dtype, tuple(array.shape), array.data) for model in models for name, array in model.items()]
    return Story(error, (arrays, repr(vars(result) | {"arrays": None})), entries)
