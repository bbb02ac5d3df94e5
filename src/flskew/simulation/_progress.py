"""One line on a terminal that says how far the clients are; nothing anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

__all__ = ["Progress"]

_ERASE_LINE = "\r\x1b[2K"


class Progress:
    """Counts clients on standard error while a round runs, and erases itself afterwards; quiet if it is no terminal.

    Args:
        task: What the clients do, such as "train".
        total: How many will do it.
    """

    def __init__(self, task: str, total: int) -> None:
        self._task = task
        self._total = total
        self._done = 0
        self._started = time.monotonic()
        self._is_shown = total > 0 and sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Self:
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_shown:
            sys.stderr.write(_ERASE_LINE)
            sys.stderr.flush()

    def advance(self) -> None:
        """Count one client more."""
        self._done += 1
        self._show()

    def _show(self) -> None:
        if self._is_shown:
            width = 20
            full = width * self._done // self._total
            bar = "#" * full + "." * (width - full)
            seconds = time.monotonic() - self._started
            sys.stderr.write(f"{_ERASE_LINE}{self._task} {bar} {self._done}/{self._total} clients, {seconds:.0f} s")
            sys.stderr.flush()
