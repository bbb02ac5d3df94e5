"""What a run shows while it runs: one progress bar, or Flower's log."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flskew._util.texts import one_line

__all__ = ["Progress", "counted", "is_verbose", "progress", "silence", "steps", "verbosity"]

_logger = logging.getLogger("flwr")
_verbose: ContextVar[bool | None] = ContextVar("verbose", default=None)
_silent: ContextVar[bool] = ContextVar("silent", default=False)
_current: ContextVar[Progress | None] = ContextVar("progress", default=None)
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {postfix}"


def is_verbose(default: bool) -> bool:
    """Return whether the enclosing `verbosity` asks for the log; `default` if there is none."""
    verbose = _verbose.get()
    return default if verbose is None else verbose


@contextmanager
def verbosity(verbose: bool) -> Iterator[None]:
    """Show or hide the INFO lines of Flower and flskew that this thread logs within the block.

    Warnings, and whatever other code logs, are always shown. Logging is not configured: a filter of Flower's logger
    reads a context variable, so runs in other threads log as they like.
    """
    token = _verbose.set(verbose)
    _filter.install()
    try:
        yield
    finally:
        _filter.remove()
        _verbose.reset(token)


@contextmanager
def silence() -> Iterator[None]:
    """Hide all that Flower and flskew log in this thread within the block, warnings too, and show no bar of a run.

    For runs whose results say what the log would.
    """
    tokens = _silent.set(True), _current.set(Progress("", 0, 0, is_shown=False))
    try:
        with verbosity(False):
            yield
    finally:
        _silent.reset(tokens[0])
        _current.reset(tokens[1])


class Progress:
    """A bar that moves by rounds and, within a round, by clients.

    Args:
        name: What runs, such as "FedAvg".
        done: Rounds that an earlier run completed.
        total: Number of rounds.
        is_shown: Whether there is a bar at all.
    """

    def __init__(self, name: str, done: int, total: int, *, is_shown: bool) -> None:
        self._name, self._total = name, total
        self._bar = (
            _bar(total=total, initial=done, bar_format=_FORMAT, leave=False) if is_shown and total > done else None
        )
        self._round = done
        self._metrics = ""
        self._describe()

    def start_round(self, server_round: int) -> None:
        """Begin a round."""
        self._move(server_round - 1)
        self._round = server_round
        self._describe()

    def end_round(self, metrics: Mapping[str, object]) -> None:
        """Show the latest metrics."""
        numbers = {key: value for key, value in metrics.items() if isinstance(value, float | int)}
        self._metrics = ", ".join(f"{one_line(key)}={value:.3g}" for key, value in list(numbers.items())[:3])
        self._move(self._round)
        self._describe()

    def clients(self, count: int) -> Callable[[], None]:
        """Return a function to call after each of the clients of one phase; training is taken for half of a round."""
        start = 0.0 if self._bar is None else float(self._bar.n)
        end = self._round - 0.5 if start < self._round - 0.5 else float(self._round)
        finished = 0

        def step() -> None:
            nonlocal finished
            finished += 1
            self._move(start + (end - start) * finished / count)

        return step

    def hide(self) -> None:
        """Erase the bar, so that a line can be written; the next step draws it again."""
        if self._bar is not None:
            self._bar.clear()

    def close(self) -> None:
        """Erase the bar."""
        if self._bar is not None:
            self._bar.close()

    def _move(self, place: float) -> None:
        if self._bar is not None:
            self._bar.update(place - self._bar.n)

    def _describe(self) -> None:
        if self._bar is not None:
            self._bar.set_description_str(f"{self._name}, round {self._round}/{self._total}", refresh=False)
            self._bar.set_postfix_str(self._metrics, refresh=True)


@contextmanager
def progress(name: str, done: int, total: int, *, verbose: bool) -> Iterator[Progress]:
    """Show a run: its log if `verbose`, otherwise one bar on a terminal or in a notebook."""
    with verbosity(verbose):
        shown = Progress(name, done, total, is_shown=not (verbose or _silent.get()) and _is_watched())
        token = _current.set(shown)
        try:
            yield shown
        finally:
            _current.reset(token)
            shown.close()


@contextmanager
def steps(task: str, count: int) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each of the clients that get a message of type `task`.

    It moves the bar of the run, if there is one, and otherwise a bar that is erased at the end.
    """
    run = _current.get()
    if run is not None or not count or not _is_watched():
        yield run.clients(count) if run is not None and count else lambda: None
        return
    bar = _bar(total=count, desc=task, unit="client", leave=False)
    try:
        yield bar.update
    finally:
        bar.close()


@contextmanager
def counted(task: str, count: int, unit: str) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each of `count` units, which moves the only bar that is shown meanwhile."""
    if not count or not _is_watched():
        yield lambda: None
        return
    bar = _bar(total=count, desc=task, unit=unit)
    try:
        bar.refresh()
        yield bar.update
    finally:
        bar.close()


def _is_watched() -> bool:
    """Return whether there is someone to watch a bar: a terminal or a notebook."""
    return (
        sys.stderr is not None and not getattr(sys.stderr, "closed", False) and (sys.stderr.isatty() or _is_notebook())
    )


def _is_notebook() -> bool:
    return "ipykernel" in sys.modules


def _bar(**options: object) -> Any:
    with warnings.catch_warnings():
        # Without ipywidgets, a notebook shows a bar made of text, and tqdm warns about it.
        warnings.simplefilter("ignore")
        if _is_notebook():
            from tqdm.auto import tqdm  # type: ignore[import-untyped]
        else:
            from tqdm import tqdm  # type: ignore[import-untyped]
        return tqdm(file=sys.stderr, **options)


class _Filter(logging.Filter):
    """Drops what `verbosity` hides, and keeps the bar off the lines that remain."""

    def __init__(self) -> None:
        super().__init__()
        self._users = 0
        self._lock = threading.Lock()

    def install(self) -> None:
        with self._lock:
            if not self._users:
                _logger.addFilter(self)
            self._users += 1

    def remove(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                _logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        is_told = _verbose.get() is not False or (record.levelno >= logging.WARNING and not _silent.get())
        is_shown = is_told or not _is_ours(record.pathname)
        run = _current.get()
        if is_shown and run is not None:
            run.hide()
        return is_shown


@lru_cache(maxsize=1024)
def _is_ours(path: str) -> bool:
    """Whether a line comes from Flower or flskew; users may log on Flower's logger too, and add mods that do."""
    file = Path(path)
    return any(file.is_relative_to(folder) for folder in _folders()) and file.parent.name != "mod"


@cache
def _folders() -> list[Path]:
    found = [find_spec(name) for name in ("flwr", "flskew")]
    return [Path(spec.origin).parent for spec in found if spec is not None and spec.origin is not None]


_filter = _Filter()
