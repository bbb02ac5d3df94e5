"""Elementary steps to write, read and lock files; each is about one call to the operating system.

Runs and assignments are written only through this module, as `files.step(...)`, so that a test can make any step fail,
or end the process there.
"""

from __future__ import annotations

import errno
import os
import platform
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

__all__ = [
    "Lock", "check_writable", "close", "copy_mode", "create", "identity", "lock", "make_folder", "names",
    "open_existing", "owner", "remove", "rename", "replacing", "sync", "sync_folder", "token", "unlock", "write",
]  # fmt: skip

_LONGEST_OWNER = 400
_LOCKED_BYTE = 1 << 30  # On Windows, others cannot read a locked byte, so lock one far beyond the text.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_NO_SYNC = (errno.EACCES, errno.EBADF, errno.EINVAL)
_held: set[int] = set()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a new file, which atomically replaces `path` when the block ends without an error.

    After an error, or on a full disk, `path` is unchanged, and no other file is left in the folder. The new file gets
    the mode of the one it replaces. Once this returns, the new file survives a power failure.

    Raises:
        OSError: The file cannot be written; the error names it.
    """
    unfinished = path.with_name(f".{path.name}.{token()}.tmp")
    try:
        file = create(unfinished)
        try:
            try:
                copy_mode(path, unfinished)  # before the first byte, as the content may be private
                yield file
                sync(file)
            finally:
                close(file)
            rename(unfinished, path)
        except BaseException:
            remove(unfinished)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, f"{path} was not written: {error.strerror or error}") from error


def create(path: Path) -> IO[bytes]:
    """Open a new file for writing; the umask determines who may read it."""
    return path.open("xb")


def write(file: IO[bytes], data: bytes | memoryview) -> None:
    """Append to a new file; the bytes may be lost until `sync`."""
    file.write(data)


def sync(file: IO[bytes]) -> None:
    """Wait until everything written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def close(file: IO[bytes]) -> None:
    """Close a file opened by `create`."""
    file.close()


def copy_mode(source: Path, target: Path) -> None:
    """Give one file the permissions of another, if that exists."""
    try:
        mode = stat.S_IMODE(source.stat().st_mode)
    except FileNotFoundError:
        return
    if mode != stat.S_IMODE(target.stat().st_mode):  # some network drives have one mode and refuse to set it
        target.chmod(mode)


def rename(source: Path, target: Path) -> None:
    """Atomically replace one file with another; a power failure before `sync_folder` may undo it."""
    source.replace(target)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; does nothing where this is impossible, as on Windows."""
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def remove(path: Path) -> None:
    """Remove a file, if it exists."""
    path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, durably."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def check_writable(folder: Path) -> None:
    """Refuse a folder in which no file can be written.

    Raises:
        OSError: A file cannot be created or removed there; the error names the folder.
    """
    probe = folder / f".{token()}.tmp"
    try:
        close(create(probe))
        remove(probe)
    except OSError as error:
        raise type(error)(error.errno, f"{folder} is not writable: {error.strerror or error}") from error


def names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    return sorted(path.name for path in folder.iterdir())


def open_existing(path: Path) -> IO[bytes]:
    """Open a file for reading at any position.

    Raises:
        FileNotFoundError: There is no such file.
    """
    return path.open("rb")


class Lock(NamedTuple):
    """A locked file.

    Attributes:
        descriptor: The open file.
        is_exclusive: Whether the file system enforces the lock.
    """

    descriptor: int
    is_exclusive: bool


def lock(path: Path, name: str) -> Lock:
    """Lock a file without waiting, and write into it who holds the lock. Creates the file if it does not exist.

    The operating system releases the lock when the process ends, however it ends. The file itself is never removed:
    otherwise two processes could hold locks on two files with the same name.

    Raises:
        BlockingIOError: Another process, or this one, holds the lock.
    """
    # A folder from elsewhere may have a link here, to a file that is not to be overwritten.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        is_exclusive = _lock(descriptor)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, name.encode()[:_LONGEST_OWNER])
    except BaseException:
        os.close(descriptor)
        raise
    _held.add(descriptor)
    return Lock(descriptor, is_exclusive)


def unlock(held: Lock) -> None:
    """Release a lock; does nothing in a process that was forked since, which does not hold it."""
    if held.descriptor not in _held:
        return
    _held.remove(held.descriptor)
    try:
        if held.is_exclusive:
            _unlock(held.descriptor)
    finally:
        os.close(held.descriptor)


def owner(path: Path) -> str:
    """Return who holds the lock on a file, or held it last; empty if that is unknown."""
    try:
        with open_existing(path) as file:
            text = file.read(_LONGEST_OWNER).decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "".join(letter for letter in text if letter.isprintable())


def identity() -> str:
    """Return a readable name that no other run has: process, machine, time and a token."""
    now = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    return f"process {os.getpid()} on {platform.node() or 'this machine'} since {now} ({token()})"


def token() -> str:
    """Return 16 random hex digits."""
    return os.urandom(8).hex()


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        # Not lockf, whose locks belong to a process: two runs in one process would share them.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return False
        return True

    def _unlock(descriptor: int) -> None:
        # Closing the file does not release the lock while a process that was just forked has it open.
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _forget_locks() -> None:
        """In a forked process: a worker that outlives its run must not keep the lock."""
        for descriptor in _held:
            os.close(descriptor)
        _held.clear()

    os.register_at_fork(after_in_child=_forget_locks)
